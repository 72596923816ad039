"""The CHGNet universal potential, batched. The only module that imports chgnet.

Deng et al., "CHGNet as a pretrained universal neural network potential for charge-informed atomistic
modelling", Nature Machine Intelligence 5, 1031 (2023); weights 0.3.0 come in the chgnet wheel.
Relaxation itself lives in `batched.py`.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.types import PotentialRecord
from .batched import BatchedPotential
from .models import NEVER_IN_MPTRJ, GraphModel, ModelOutput, digest, package_file, pick_device, versioned
from .settings import RelaxationSettings

if TYPE_CHECKING:
    from ase import Atoms

WEIGHTS = "0.3.0"
WEIGHTS_FILE = "pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar"
MAX_ATOMIC_NUMBER = 94
"""CHGNet's embedding table ends at plutonium."""


class ChgnetModel(GraphModel):
    """CHGNet as a `BatchModel`: graphs of several crystals in one forward and one backward pass.

    CHGNet's own `predict_graph` differentiates twice, for forces and for stress, and keeps the graph of the
    derivative for training. Here one pass gives both, which halves the time; a test holds the two together.

    Args:
        device: `cpu`, `cuda` or `auto`.
        weights: file of other weights, as CHGNet's trainer saves them (it is unpickled: only one that you trust);
            None: those in the wheel.
    """

    def __init__(self, device: str | None = None, weights: Path | None = None) -> None:
        from chgnet.model.model import CHGNet

        self.device = pick_device(device)
        self.record = record(weights)
        # CHGNet prints its parameter count from its constructor, whatever `verbose` says.
        with contextlib.redirect_stdout(io.StringIO()):
            if weights is None:
                self._net = CHGNet.load(model_name=WEIGHTS, use_device=self.device, verbose=False)
            else:
                self._net = CHGNet.from_file(str(weights)).to(self.device)
        self._net.eval()
        self._net.requires_grad_(False)
        self._net.graph_converter.set_isolated_atom_response("error")

    def graph(self, atoms: Atoms) -> Any:
        """See `GraphModel.graph`. An atom without neighbours within 6 Å is a reason."""
        from pymatgen.core import Lattice, Structure

        structure = Structure(Lattice(np.asarray(atoms.cell)), atoms.numbers, atoms.get_scaled_positions(wrap=False))
        try:
            return self._net.graph_converter(structure)
        except ValueError as error:
            if "isolated" not in str(error):
                raise
            cutoff = self._net.graph_converter.atom_graph_cutoff
            return f"an atom has no neighbour within {cutoff:g} Å, where CHGNet ends"

    def predict(self, graphs: list[Any]) -> list[ModelOutput]:
        """See `GraphModel.predict`."""
        import torch
        from chgnet.model.model import BatchedGraph

        net = self._net
        graphs = [graph.to(self.device) for graph in graphs]
        with warnings.catch_warnings():
            # chgnet 0.4.2 turns volumes that carry a gradient into plain numbers, on purpose.
            warnings.filterwarnings("ignore", message="Converting a tensor with requires_grad=True")
            batch = BatchedGraph.from_graphs(
                graphs,
                bond_basis_expansion=net.bond_basis_expansion,
                angle_basis_expansion=net.angle_basis_expansion,
                compute_stress=True,
            )
        prediction = net._compute(batch)
        counts = prediction["atoms_per_graph"]
        cells = prediction["e"] * counts
        count = len(graphs)
        gradients = torch.autograd.grad(cells.sum(), [*batch.atom_positions, *batch.strains])
        energies = (cells + net.composition_model(graphs).view(-1) * counts).detach().cpu().numpy().astype(float)
        return [
            ModelOutput(
                energy=float(energies[i]),
                forces=-gradients[i].cpu().numpy().astype(float),
                stress=_symmetric(gradients[count + i].cpu().numpy().astype(float) / float(batch.volumes[i])),
                min_distance=_shortest(graphs[i]),
            )
            for i in range(count)
        ]


class ChgnetPotential(BatchedPotential):
    """CHGNet as a `Potential`.

    Energies are on the scale of its training set, MPtrj: PBE and PBE+U mixed and corrected by
    MaterialsProject2020Compatibility (Wang et al., Sci. Rep. 11, 15496 (2021)). They already hold the anion and
    +U corrections, so none is added to them, and they never share a hull with plain PBE energies.

    Args:
        settings: of the relaxations.
        device: `cpu` or `cuda`; by default the GPU where torch sees one.
        weights: see `ChgnetModel`.
    """

    def __init__(
        self, settings: RelaxationSettings | None = None, device: str | None = None, weights: Path | None = None
    ) -> None:
        super().__init__(record(weights).name, lambda: ChgnetModel(device, weights), settings)


def record(weights: Path | None = None) -> PotentialRecord:
    """Of the weights in the wheel, or of a file of others, which are named by their checksum."""
    from ase.data import chemical_symbols

    checksum = digest(weights or package_file("chgnet", WEIGHTS_FILE))
    return PotentialRecord(
        name=f"chgnet-{WEIGHTS if weights is None else checksum[:8]}",
        package=versioned("chgnet"),
        sha256=checksum,
        licence="Modified BSD" if weights is None else "not stated",
        elements=tuple(s for s in chemical_symbols[1 : MAX_ATOMIC_NUMBER + 1] if s not in NEVER_IN_MPTRJ),
    )


def _symmetric(stress: np.ndarray) -> np.ndarray:
    return 0.5 * (stress + stress.T)


def _shortest(graph: Any) -> float:
    """Shortest interatomic distance in Å, from the edges of a graph."""
    lattice = graph.lattice.detach().cpu().numpy().astype(float)
    frac = graph.atom_frac_coord.detach().cpu().numpy().astype(float)
    edges = graph.atom_graph.cpu().numpy()
    vectors = (frac[edges[:, 1]] - frac[edges[:, 0]] + graph.neighbor_image.cpu().numpy()) @ lattice
    return float(np.sqrt((vectors**2).sum(axis=1).min())) if len(edges) else float("inf")
