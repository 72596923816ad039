"""The CHGNet universal potential, batched. The only module that imports chgnet.

Deng et al., "CHGNet as a pretrained universal neural network potential for charge-informed atomistic
modelling", Nature Machine Intelligence 5, 1031 (2023); weights 0.3.0 come in the chgnet wheel.
Relaxation itself lives in `batched.py`.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import ToolError
from ..core.types import PotentialRecord
from .batched import BatchedPotential
from .models import NEVER_IN_MPTRJ, GraphModel, ModelOutput, digest, package_file, pick_device, versioned
from .settings import RelaxationSettings

if TYPE_CHECKING:
    from ase import Atoms

WEIGHTS = "0.3.0"
WEIGHTS_FILE = "pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar"
SAFE = ".safetensors"

MAX_ATOMIC_NUMBER = 94
"""CHGNet's embedding table ends at plutonium."""


class ChgnetModel(GraphModel):
    """CHGNet as a `BatchModel`: graphs of several crystals in one forward and one backward pass.

    CHGNet's own `predict_graph` differentiates twice, for forces and for stress, and keeps the graph of the
    derivative for training. Here one pass gives both, which halves the time; a test holds the two together.

    Args:
        device: `cpu`, `cuda` or `auto`.
        weights: file of other weights: a fine-tuned version as `save` writes it (`.safetensors`), or what CHGNet's
            trainer saves (it is unpickled: only one that you trust); None: those in the wheel.

    Raises:
        ToolError: a `.safetensors` file that cannot be read or holds other weights.
    """

    def __init__(self, device: str | None = None, weights: Path | None = None) -> None:
        from chgnet.model.model import CHGNet

        self.device = pick_device(device)
        self.record = record(weights)
        # CHGNet prints its parameter count from its constructor, whatever `verbose` says.
        with contextlib.redirect_stdout(io.StringIO()):
            if weights is None or weights.suffix == SAFE:
                self._net = CHGNet.load(model_name=WEIGHTS, use_device=self.device, verbose=False)
            else:
                self._net = CHGNet.from_file(str(weights)).to(self.device)
        if weights is not None and weights.suffix == SAFE:
            self._load(weights)
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

        net = self._net
        graphs = [graph.to(self.device) for graph in graphs]
        batch = self._batch(graphs, True)
        with self._last_layer() as seen:
            prediction = net._compute(batch)
        counts = prediction["atoms_per_graph"]
        cells = prediction["e"] * counts
        count = len(graphs)
        gradients = torch.autograd.grad(cells.sum(), [*batch.atom_positions, *batch.strains])
        features = torch.split(seen[0].detach().cpu(), counts.tolist())
        energies = (cells + net.composition_model(graphs).view(-1) * counts).detach().cpu().numpy().astype(float)
        return [
            ModelOutput(
                energy=float(energies[i]),
                forces=-gradients[i].cpu().numpy().astype(float),
                stress=_symmetric(gradients[count + i].cpu().numpy().astype(float) / float(batch.volumes[i])),
                min_distance=_shortest(graphs[i]),
                features=features[i].numpy().astype(float),
            )
            for i in range(count)
        ]

    def _batch(self, graphs: list[Any], strained: bool) -> Any:
        from chgnet.model.model import BatchedGraph

        with warnings.catch_warnings():
            # chgnet 0.4.2 turns volumes that carry a gradient into plain numbers, on purpose.
            warnings.filterwarnings("ignore", message="Converting a tensor with requires_grad=True")
            return BatchedGraph.from_graphs(
                graphs,
                bond_basis_expansion=self._net.bond_basis_expansion,
                angle_basis_expansion=self._net.angle_basis_expansion,
                compute_stress=strained,
            )

    @contextlib.contextmanager
    def _last_layer(self) -> Iterator[list[Any]]:
        """A list that the next call fills with what goes into the layers that give each atom its energy."""
        seen: list[Any] = []
        hook = self._net.mlp.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            yield seen
        finally:
            hook.remove()

    # --- for learning --------------------------------------------------------------------------

    def differentiable(self, graphs: list[Any], stress: bool) -> tuple[Any, list[Any], list[Any]]:
        """Energies (eV/atom), forces (eV/Å) and, where asked for, stresses (GPa) that weights can be fitted through."""
        graphs = [graph.to(self.device) for graph in graphs]
        prediction = self._net._compute(self._batch(graphs, stress), compute_force=True, compute_stress=stress)
        return prediction["e"] + self._net.composition_model(graphs).view(-1), prediction["f"], prediction.get("s", [])

    def trainable(self) -> list[Any]:
        """The weights, but for the energies of lone atoms."""
        return [p for name, p in self._net.named_parameters() if p.requires_grad and _learns(name)]

    def copy(self) -> ChgnetModel:
        """The same model with weights of its own, which can be fitted."""
        import copy

        twin = copy.copy(self)
        twin._net = copy.deepcopy(self._net)
        for name, parameter in twin._net.named_parameters():
            parameter.requires_grad_(_learns(name))
        return twin

    def weights(self) -> dict[str, Any]:
        """A copy of the weights."""
        return {name: value.detach().cpu().clone() for name, value in self._net.state_dict().items()}

    def restore(self, weights: dict[str, Any]) -> None:
        """Take weights that `weights` gave."""
        self._net.load_state_dict(weights)

    def save(self) -> bytes:
        """The weights as a `.safetensors` file."""
        from safetensors.torch import save

        return save(self.weights())

    def _load(self, path: Path) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            self._net.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError) as error:
            reason = str(error).partition("\n")[0][:200]
            raise ToolError(f"{path} holds no weights of CHGNet {WEIGHTS}: {reason}.", "Name another file.") from error


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


def _learns(parameter: str) -> bool:
    return not parameter.startswith("composition_model")


def _symmetric(stress: np.ndarray) -> np.ndarray:
    return 0.5 * (stress + stress.T)


def _shortest(graph: Any) -> float:
    """Shortest interatomic distance in Å, from the edges of a graph."""
    lattice = graph.lattice.detach().cpu().numpy().astype(float)
    frac = graph.atom_frac_coord.detach().cpu().numpy().astype(float)
    edges = graph.atom_graph.cpu().numpy()
    vectors = (frac[edges[:, 1]] - frac[edges[:, 0]] + graph.neighbor_image.cpu().numpy()) @ lattice
    return float(np.sqrt((vectors**2).sum(axis=1).min())) if len(edges) else float("inf")
