"""The CHGNet universal potential, batched. The only module that imports chgnet.

Deng et al., "CHGNet as a pretrained universal neural network potential for charge-informed atomistic
modelling", Nature Machine Intelligence 5, 1031 (2023); weights 0.3.0 come in the chgnet wheel.
Relaxation itself lives in `batched.py`.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import ToolError
from ..core.protocols import Progress
from ..core.structure import to_ase
from ..core.types import Crystal, Relaxation
from .batched import ModelOutput, RelaxationSettings, relax_batched

if TYPE_CHECKING:
    from ase import Atoms

WEIGHTS = "0.3.0"
MAX_ATOMIC_NUMBER = 94
"""CHGNet's embedding table ends at plutonium."""


class ChgnetModel:
    """CHGNet as a `BatchModel`: graphs of several crystals in one forward and one backward pass.

    CHGNet's own `predict_graph` differentiates twice, for forces and for stress, and keeps the graph of the
    derivative for training. Here one pass gives both, which halves the time; a test holds the two together.
    """

    def __init__(self, device: str | None = None) -> None:
        import torch
        from chgnet.model.model import CHGNet

        self.name = f"chgnet-{WEIGHTS}"
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        # CHGNet prints its parameter count from its constructor, whatever `verbose` says.
        with contextlib.redirect_stdout(io.StringIO()):
            self._net = CHGNet.load(model_name=WEIGHTS, use_device=self.device, verbose=False)
        self._net.eval()
        self._net.requires_grad_(False)
        self._net.graph_converter.set_isolated_atom_response("error")

    def evaluate(self, atoms: Sequence[Atoms]) -> list[ModelOutput | str]:
        """See `BatchModel.evaluate`. An atom without neighbours within 6 Å is a reason."""
        graphs = [self._graph(one) for one in atoms]
        good = [graph for graph in graphs if not isinstance(graph, str)]
        outputs = iter(self._predict(good) if good else [])
        return [graph if isinstance(graph, str) else next(outputs) for graph in graphs]

    def _graph(self, atoms: Atoms) -> Any:
        """CHGNet's graph of one crystal, or the reason why there is none."""
        from pymatgen.core import Lattice, Structure

        if unknown := sorted({s for s, z in zip(atoms.symbols, atoms.numbers, strict=True) if z > MAX_ATOMIC_NUMBER}):
            return f"CHGNet does not know {', '.join(unknown)}"
        structure = Structure(Lattice(np.asarray(atoms.cell)), atoms.numbers, atoms.get_scaled_positions(wrap=False))
        try:
            return self._net.graph_converter(structure)
        except ValueError as error:
            if "isolated" not in str(error):
                raise
            cutoff = self._net.graph_converter.atom_graph_cutoff
            return f"an atom has no neighbour within {cutoff:g} Å, where CHGNet ends"

    def _predict(self, graphs: list[Any]) -> list[ModelOutput]:
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


class ChgnetPotential:
    """CHGNet as a `Potential`.

    Energies are on the scale of its training set, MPtrj: PBE and PBE+U mixed and corrected by
    MaterialsProject2020Compatibility (Wang et al., Sci. Rep. 11, 15496 (2021)). They already hold the anion and
    +U corrections, so none is added to them, and they never share a hull with plain PBE energies.

    Args:
        settings: of the relaxations.
        device: `cpu` or `cuda`; by default the GPU where torch sees one.
    """

    def __init__(self, settings: RelaxationSettings | None = None, device: str | None = None) -> None:
        self.name = f"chgnet-{WEIGHTS}"
        self.settings = settings or RelaxationSettings()
        self._device = device

    @cached_property
    def model(self) -> ChgnetModel:
        """The network; loaded at first use, because it takes a second."""
        return ChgnetModel(self._device)

    def relax(self, crystals: Sequence[tuple[str, Crystal]], progress: Progress | None = None) -> list[Relaxation]:
        """See `Potential.relax`. Ends at `settings.fmax` or `settings.max_steps`."""
        return relax_batched(self.model, crystals, self.settings, progress)

    def energies(self, crystals: Sequence[Crystal]) -> list[float]:
        """Single-point energies in eV/atom, in order. Raises ToolError for a crystal that CHGNet cannot take."""
        size = self.settings.batch_size
        energies: list[float] = []
        for start in range(0, len(crystals), size):
            for index, output in enumerate(self.model.evaluate([to_ase(c) for c in crystals[start : start + size]])):
                if isinstance(output, str):
                    raise ToolError(f"Crystal {start + index}: {output}.", "Relax it, or leave it out.")
                energies.append(output.energy / len(crystals[start + index]))
        return energies


def _symmetric(stress: np.ndarray) -> np.ndarray:
    return 0.5 * (stress + stress.T)


def _shortest(graph: Any) -> float:
    """Shortest interatomic distance in Å, from the edges of a graph."""
    lattice = graph.lattice.detach().cpu().numpy().astype(float)
    frac = graph.atom_frac_coord.detach().cpu().numpy().astype(float)
    edges = graph.atom_graph.cpu().numpy()
    vectors = (frac[edges[:, 1]] - frac[edges[:, 0]] + graph.neighbor_image.cpu().numpy()) @ lattice
    return float(np.sqrt((vectors**2).sum(axis=1).min())) if len(edges) else float("inf")
