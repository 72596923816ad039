"""What relaxation asks of a model: energy, forces and stress of several crystals in one call.

What lives here: the protocol, what models that make graphs share, and the refusal of elements that a model never saw.
No model: each has a file of its own (`chgnet.py`, `sevennet.py`, `ase_calculator.py`).
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from ..core.errors import ToolError
from ..core.types import PotentialRecord

if TYPE_CHECKING:
    from ase import Atoms

NEVER_IN_MPTRJ = frozenset({"Po", "At", "Rn", "Fr", "Ra"})
"""Of hydrogen to plutonium, the elements without a frame in MPtrj (Deng et al., Nat. Mach. Intell. 5, 1031 (2023)), on
which CHGNet and SevenNet-0 and -l3i5 were trained. CHGNet has numbers for them that no training ever touched."""


@dataclass(frozen=True)
class ModelOutput:
    """What a model says of one crystal of `n` atoms."""

    energy: float
    """eV for the cell."""
    forces: np.ndarray
    """`n x 3`, eV/Å."""
    stress: np.ndarray
    """`3 x 3`, eV/Å³, positive under tension (ASE's sign)."""
    min_distance: float
    """Å; shortest distance between two atoms, infinite where no neighbour is within the model's cutoff."""
    features: np.ndarray | None = None
    """`n x d`, dimensionless: what the model's last layer sees of each atom; None where it does not say."""


@runtime_checkable
class BatchModel(Protocol):
    """Energy, forces and stress of several crystals in one call."""

    @property
    def record(self) -> PotentialRecord:
        """Name, version, checksum, licence and elements."""
        ...

    def evaluate(self, atoms: Sequence[Atoms]) -> list[ModelOutput | str]:
        """One output for each crystal, in order; a reason (str) for one that the model cannot take.

        Elements are looked up before (`ask`); only crystals whose elements all stand in `record` arrive here.
        """
        ...


def ask(model: BatchModel, atoms: Sequence[Atoms]) -> list[ModelOutput | str]:
    """`BatchModel.evaluate`, but for crystals with elements that the model never saw: they get a reason instead."""
    refusals = [refusal(model.record, one) for one in atoms]
    known = [one for one, reason in zip(atoms, refusals, strict=True) if not reason]
    outputs = iter(model.evaluate(known) if known else [])
    return [reason or next(outputs) for reason in refusals]


def refusal(record: PotentialRecord, atoms: Atoms) -> str:
    """Why the model is not asked about this crystal: elements that did not occur in its training; empty if none."""
    if record.elements is None:
        return ""
    unknown = sorted(set(atoms.get_chemical_symbols()) - set(record.elements))
    return f"{record.name} never saw {', '.join(unknown)} in its training" if unknown else ""


def pieces(sizes: Iterable[int], max_count: int, max_atoms: int) -> Iterator[slice]:
    """Consecutive stretches of at most `max_count` crystals and `max_atoms` atoms; a larger crystal goes alone."""
    start = stop = atoms = 0
    for size in sizes:
        if stop > start and (stop - start == max_count or atoms + size > max_atoms):
            yield slice(start, stop)
            start, atoms = stop, 0
        stop, atoms = stop + 1, atoms + size
    if stop > start:
        yield slice(start, stop)


class GraphModel(ABC):
    """A network over graphs of atoms that takes several graphs in one call.

    A batch that does not fit the device's memory is halved until it does; one crystal that does not is a reason.
    """

    record: PotentialRecord
    device: str

    @abstractmethod
    def graph(self, atoms: Atoms) -> Any:
        """The graph of one crystal, or the reason (str) why there is none."""

    @abstractmethod
    def predict(self, graphs: list[Any]) -> list[ModelOutput]:
        """One output for each graph, from one call of the network."""

    def evaluate(self, atoms: Sequence[Atoms]) -> list[ModelOutput | str]:
        """See `BatchModel.evaluate`."""
        graphs = [self.graph(one) for one in atoms]
        good = [graph for graph in graphs if not isinstance(graph, str)]
        outputs = iter(self._fitting(good) if good else [])
        return [graph if isinstance(graph, str) else next(outputs) for graph in graphs]

    def _fitting(self, graphs: list[Any]) -> list[ModelOutput | str]:
        import torch

        try:
            return list(self.predict(graphs))
        except torch.OutOfMemoryError as error:
            problem = str(error).partition("\n")[0]
        # Only here, where the failed call no longer holds its tensors, is its memory free again.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if len(graphs) == 1:
            return [f"does not fit the memory of {self.device}: {problem}"]
        half = len(graphs) // 2
        return self._fitting(graphs[:half]) + self._fitting(graphs[half:])


def pick_device(device: str | None) -> str:
    """The device as asked for; for None or `auto` the GPU where torch sees one, else the CPU.

    Raises ToolError for a GPU that torch does not see.
    """
    import torch

    there = torch.cuda.is_available()
    if device in (None, "auto"):
        return "cuda" if there else "cpu"
    if str(device).startswith("cuda") and not there:
        raise ToolError(f"Device '{device}' is asked for, and torch sees no GPU.", "Use device 'cpu' or 'auto'.")
    return str(device)


def digest(path: Path) -> str:
    """sha256 of a file of weights. Raises ToolError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ToolError(f"Cannot read the weights {path}: {error.strerror}.", "Check the path in [relax].") from error


def package_file(package: str, relative: str) -> Path:
    """A file inside an installed package, found without importing it. Raises ToolError when it is not installed."""
    from importlib.util import find_spec

    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ToolError(f"{package} is not installed.", f"Install it with `pip install {package}`.")
    return Path(spec.origin).parent / relative


def versioned(distribution: str) -> str:
    """A distribution's name with its installed version."""
    return f"{distribution} {metadata.version(distribution)}"
