"""`CrystalRecogniser`: space group, prototype, dimensionality and the network's word, joined for each crystal.

What is not here: the parts themselves (`symmetry.py`, `prototypes.py`, `dimensionality.py`, `network.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from ..core.types import Crystal, Recognition
from .dimensionality import dimensionality
from .graph import CrystalGraph, crystal_graph
from .prototypes import has_formula_of, match_prototype
from .symmetry import SYMPREC, symmetry
from .synthetic import OTHER

if TYPE_CHECKING:
    from torch import Tensor

    from .network import CrystalNetwork
    from .weights import Card

BATCH_EDGES = 40_000
"""Edges in one pass of the network; about 200 MB."""

SURE = 0.9
"""Probability from which the network's prototype stands alone. Of crystals that are none of its prototypes it
named 2 in 150 at this threshold, with displacements of 8 % (large AFLOW prototypes; none of 150 undisturbed)."""

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Reading(NamedTuple):
    """What the network says of one crystal: embedding, most likely classes and their probabilities."""

    embedding: tuple[float, ...]
    system: str
    system_confidence: float
    prototypes: dict[str, float]
    """Every class, the one for no known prototype included, to its probability."""


class CrystalRecogniser:
    """Implements `Recogniser`. The network is read and checked when the object is made.

    Args:
        directory: where `recogniser.safetensors` and `recogniser.json` are; those that ship when None.
        symprec: tolerance of the space group in Å.

    Raises:
        ToolError: a file is missing, damaged, or its checksum does not fit.
    """

    def __init__(self, directory: Path | None = None, symprec: float = SYMPREC) -> None:
        from .weights import HERE, load

        self._symprec = symprec
        self._network: CrystalNetwork
        self.card: Card
        self._network, self.card = load(directory or HERE)
        self.name = self.card.model

    @property
    def embedding_size(self) -> int:
        """Length of every embedding."""
        return int(self._network.arch.embedding)

    def recognise(self, crystals: Sequence[tuple[str, Crystal]]) -> list[Recognition]:
        """One result for each (id, crystal), in order.

        A part that fails on a crystal leaves its default (P1, no prototype, 3, an embedding of zeros, confidence 0)
        and a line in the log; the other parts still speak. `prototype` is what matches as a structure. Where
        nothing matches, as in a shaken crystal, it is the network's word if that is at least `SURE` and the
        formula fits, else empty. `prototype_confidence` is the network's probability of that prototype.
        """
        readings = self.read([crystal for _, crystal in crystals])
        return [self._join(i, c, r) for (i, c), r in zip(crystals, readings, strict=True)]

    def embed(self, crystals: Sequence[Crystal]) -> Tensor:
        """n crystals to n x `embedding_size`; a row of zeros for a crystal that has no graph."""
        import torch

        return torch.tensor([r.embedding for r in self.read(crystals)], dtype=torch.float32).reshape(
            len(crystals), self.embedding_size
        )

    def read(self, crystals: Sequence[Crystal]) -> list[Reading]:
        """What the network alone says, in order."""
        nothing = Reading((0.0,) * self.embedding_size, "", 0.0, {})
        readings = [nothing] * len(crystals)
        waiting: list[tuple[int, CrystalGraph]] = []
        for index, crystal in enumerate(crystals):
            try:
                graph = crystal_graph(crystal)
            except ValueError as error:
                _log.info("graph of crystal %d: %s", index, error)
                continue
            if waiting and sum(len(g.centres) for _, g in waiting) + len(graph.centres) > BATCH_EDGES:
                self._flush(waiting, readings)
                waiting = []
            waiting.append((index, graph))
        if waiting:
            self._flush(waiting, readings)
        return readings

    def _flush(self, waiting: list[tuple[int, CrystalGraph]], readings: list[Reading]) -> None:
        import torch
        from torch_geometric.data import Batch

        with torch.inference_mode():
            embeddings, systems, prototypes = self._network(Batch.from_data_list([g.to_data() for _, g in waiting]))
        for row, (index, _) in enumerate(waiting):
            chances = torch.softmax(systems[row].double(), dim=0)
            best = int(chances.argmax())
            named = torch.softmax(prototypes[row].double(), dim=0).tolist()
            # Rounded to five digits: batches of another size differ in the last bits, and ledgers compare text.
            readings[index] = Reading(
                tuple(round(float(v), 5) for v in embeddings[row]),
                self.card.systems[best],
                round(float(chances[best]), 5),
                dict(zip(self.card.prototypes, named, strict=True)),
            )

    def _join(self, identity: str, crystal: Crystal, reading: Reading) -> Recognition:
        found = symmetry(crystal, self._symprec)
        if found.failure:
            _log.info("symmetry of %s: %s", identity, found.failure)
        prototype = _attempt("prototype", identity, lambda: match_prototype(crystal), "")
        if not prototype and reading.prototypes:
            best = max(reading.prototypes, key=lambda label: reading.prototypes[label])
            if reading.prototypes[best] >= SURE and best != OTHER and has_formula_of(crystal, best):
                prototype = best
        return Recognition(
            candidate_id=identity,
            space_group=found.number,
            space_group_symbol=found.symbol,
            symprec=self._symprec,
            crystal_system=found.crystal_system,
            prototype=prototype,
            prototype_confidence=round(reading.prototypes.get(prototype, 0.0), 5),
            network_crystal_system=reading.system,
            network_confidence=reading.system_confidence,
            dimensionality=_attempt("dimensionality", identity, lambda: dimensionality(crystal), 3),
            embedding=reading.embedding,
            model=self.name,
        )


def _attempt(part: str, identity: str, work: Callable[[], _T], otherwise: _T) -> _T:
    """The work's result, or a default and a line in the log."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - numpy and pymatgen raise many types on a broken cell
        _log.info("%s of %s: %s", part, identity, error)
        return otherwise
