"""The SevenNet universal potentials, batched. The only module of relaxation that imports sevenn.

Park, Kim, Hwang, Han, "Scalable parallel algorithm for graph neural network interatomic potentials in molecular
dynamics simulations", J. Chem. Theory Comput. 20, 4857 (2024). The weights of SevenNet-0 and SevenNet-l3i5, trained
on MPtrj, come in the sevenn wheel. Relaxation itself lives in `batched.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import ToolError
from ..core.types import PotentialRecord
from .batched import BatchedPotential
from .models import GraphModel, ModelOutput, digest, package_file, pick_device, versioned
from .settings import RelaxationSettings

if TYPE_CHECKING:
    from ase import Atoms

CHECKPOINTS = {
    "sevennet-0": ("11jul2024", "pretrained_potentials/SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth"),
    "sevennet-l3i5": ("12dec2024", "pretrained_potentials/SevenNet_l3i5/checkpoint_l3i5.pth"),
}
"""Name to the date by which its makers call the version, and its file in the wheel. l3i5 costs about twice as
much as 0 and errs less."""


class SevenNetModel(GraphModel):
    """SevenNet as a `BatchModel`: graphs of several crystals in one forward and one backward pass.

    Args:
        name: `sevennet-0` or `sevennet-l3i5`; with other weights, what they are.
        device: `cpu`, `cuda` or `auto`.
        weights: a checkpoint of sevenn (it is unpickled: only one that you trust); None: the one in the wheel.

    Raises:
        ToolError: for a name without weights, or a checkpoint of several fidelities.
    """

    def __init__(self, name: str = "sevennet-0", device: str | None = None, weights: Path | None = None) -> None:
        from sevenn.util import load_checkpoint

        full_name, checksum, file = identify(name, weights)
        checkpoint = load_checkpoint(str(file))
        self.device = pick_device(device)
        net = checkpoint.build_model()
        if net.modal_map:
            raise ToolError(
                f"{file.name} was trained on several fidelities: {', '.join(net.modal_map)}.",
                "Use it through a factory that picks one: [relax] potential = 'module:factory'.",
            )
        net.set_is_batch_data(True)
        self._net = net.to(self.device).eval().requires_grad_(False)
        self.cutoff = float(net.cutoff)
        self.record = PotentialRecord(
            name=full_name,
            package=versioned("sevenn"),
            sha256=checksum,
            licence="MIT" if weights is None else "not stated",
            elements=_symbols(net.type_map),
        )

    def graph(self, atoms: Atoms) -> Any:
        """See `GraphModel.graph`. An atom without neighbours within 5 Å is a reason."""
        import sevenn._keys as key
        from sevenn.atom_graph_data import AtomGraphData
        from sevenn.train.dataload import unlabeled_atoms_to_graph

        made = unlabeled_atoms_to_graph(atoms, self.cutoff)
        if len(np.unique(made[key.EDGE_IDX])) < len(atoms):
            return f"an atom has no neighbour within {self.cutoff:g} Å, where SevenNet ends"
        return AtomGraphData.from_numpy_dict(made)

    def predict(self, graphs: list[Any]) -> list[ModelOutput]:
        """See `GraphModel.predict`."""
        import sevenn._keys as key
        from torch_geometric.data import Batch

        counts = [int(graph[key.NUM_ATOMS]) for graph in graphs]
        nearest = [float(graph[key.EDGE_VEC].norm(dim=1).min()) for graph in graphs]
        answer = self._net(Batch.from_data_list(graphs).to(self.device))
        energies, forces, stresses = (
            answer[name].detach().cpu().numpy().astype(float)
            for name in (key.PRED_TOTAL_ENERGY, key.PRED_FORCE, key.PRED_STRESS)
        )
        outputs = []
        for i, end in enumerate(np.cumsum(counts)):
            xx, yy, zz, xy, yz, zx = -stresses[i]  # sevenn's stress is positive under compression
            outputs.append(
                ModelOutput(
                    energy=float(energies[i]),
                    forces=forces[end - counts[i] : end],
                    stress=np.array([[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]]),
                    min_distance=nearest[i],
                )
            )
        return outputs


class SevenNetPotential(BatchedPotential):
    """SevenNet as a `Potential`. Energies are on the scale of MPtrj, as CHGNet's are.

    Args:
        name: see `SevenNetModel`.
        settings: of the relaxations.
        device: `cpu` or `cuda`; by default the GPU where torch sees one.
        weights: see `SevenNetModel`.
    """

    def __init__(
        self,
        name: str = "sevennet-0",
        settings: RelaxationSettings | None = None,
        device: str | None = None,
        weights: Path | None = None,
    ) -> None:
        super().__init__(identify(name, weights)[0], lambda: SevenNetModel(name, device, weights), settings)


def identify(name: str, weights: Path | None = None) -> tuple[str, str, Path]:
    """Full name, sha256 and file of some weights; others than the wheel's are named by their checksum.

    Raises ToolError for an unknown name, or a file that cannot be read.
    """
    if weights is not None:
        checksum = digest(weights)
        return f"{name}-{checksum[:8]}", checksum, weights
    if name not in CHECKPOINTS:
        raise ToolError(f"No weights of '{name}' come with sevenn.", f"Known: {', '.join(CHECKPOINTS)}.")
    version, relative = CHECKPOINTS[name]
    file = package_file("sevenn", relative)
    return f"{name}-{version}", digest(file), file


def _symbols(type_map: dict[int, int]) -> tuple[str, ...]:
    from ase.data import chemical_symbols

    return tuple(chemical_symbols[z] for z in sorted(type_map))
