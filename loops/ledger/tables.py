"""The columns that every round looks at, read once and then only what is new.

A campaign may hold a million crystals: a round must not read them all again. These tables hold a few numbers a row;
the crystals themselves stay in the ledger until one is asked for.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from ...tools.core.types import Quantity
from .ledger import Ledger
from .rows import CandidateRow, quantities
from .schema import candidates, evaluations

KEPT_ROWS = 6000
"""Decoded crystals held in memory."""


class PoolTable:
    """Relaxed crystals that passed every screen: columns in the order in which they came in, never shortened."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.generators: list[str] = []
        self.rounds = array("l")
        self.energies = array("d")
        self.position: dict[str, int] = {}
        self.names: list[str] = []
        """Every formula once; `formula_index` points into it."""
        self.formula_index = array("l")
        self.lowest: dict[str, int] = {}
        """Formula to the row of its lowest energy."""
        self._version = 0
        self._formulas: dict[str, int] = {}
        self._generators: dict[str, str] = {}

    def update(self, connection: sa.Connection) -> set[str]:
        """Read what came in since the last time; the crystals, known before, whose energy has changed."""
        changed: set[str] = set()
        c = candidates.c
        query = (
            sa.select(c.id, c.formula, c.generator, c.round, c.energy, c.version)
            .where(c.pooled == 1, c.version > self._version)
            .order_by(c.version, c.position)
        )
        for identity, formula, generator, number, energy, version in connection.execute(query):
            self._version = version
            if identity in self.position:
                # A new version of the potential has looked at it again.
                self.energies[self.position[identity]] = energy
                changed.add(identity)
                continue
            row = len(self.ids)
            self.position[identity] = row
            self.ids.append(identity)
            if formula not in self._formulas:
                self._formulas[formula] = len(self.names)
                self.names.append(formula)
            self.formula_index.append(self._formulas[formula])
            if formula not in self.lowest or energy < self.energies[self.lowest[formula]]:
                self.lowest[formula] = row
            self.generators.append(self._generators.setdefault(generator, generator))
            self.rounds.append(number)
            self.energies.append(energy)
        if changed:
            self._rank()
        return changed

    def _rank(self) -> None:
        """Find the lowest crystal of each formula anew."""
        self.lowest = {}
        for row, index in enumerate(self.formula_index):
            formula = self.names[index]
            if formula not in self.lowest or self.energies[row] < self.energies[self.lowest[formula]]:
                self.lowest[formula] = row


@dataclass
class EvaluationEntry:
    """An evaluation without its crystals."""

    key: str
    position: int
    round: int
    candidate_id: str
    formula: str
    purpose: str
    state: str
    failure: str
    outcome: dict[str, Quantity]
    """The observation's values; empty until there are some."""
    predicted_json: str

    @property
    def finished(self) -> bool:
        """Whether there is a result, also a failed one."""
        return self.state in ("DONE", "FAILED_CHARGED")

    @property
    def predicted(self) -> dict[str, Quantity]:
        """What the surrogate expected."""
        return quantities(self.predicted_json)


class EvaluationTable:
    """Every evaluation, in the order of reservation."""

    def __init__(self) -> None:
        self.entries: list[EvaluationEntry] = []
        self.evaluated: set[str] = set()
        """Candidates that have a reservation, whatever came of it; second opinions and labels do not count."""
        self._index: dict[str, int] = {}
        self._version = 0

    def update(self, connection: sa.Connection) -> None:
        """Read what changed since the last time."""
        c = evaluations.c
        query = (
            sa.select(
                c.key, c.position, c.round, c.candidate_id, c.formula, c.purpose, c.state, c.failure, c.outcome,
                c.predicted, c.version,
            )
            .where(c.version > self._version)
            .order_by(c.position)
        )  # fmt: skip
        newest = self._version
        for row in connection.execute(query):
            *_, outcome, predicted, version = row
            entry = EvaluationEntry(*row[:8], quantities(outcome), predicted)
            index = self._index.setdefault(entry.key, len(self.entries))
            if index == len(self.entries):
                self.entries.append(entry)
            else:
                self.entries[index] = entry
            if entry.purpose in ("candidate", "reference"):
                self.evaluated.add(entry.candidate_id)
            newest = max(newest, version)
        self._version = newest


class Tables:
    """Both tables of one ledger, and the decoded crystals that were asked for last."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.pool = PoolTable()
        self.evaluations = EvaluationTable()
        self._rows: OrderedDict[str, CandidateRow] = OrderedDict()
        self.hulls: dict[str, tuple[object, object]] = {}
        """Kind to (what it was built from, hull): a round adds phases above the hull far more often than below."""

    @classmethod
    def of(cls, ledger: Ledger) -> Tables:
        """The tables of a ledger, brought up to date; the same ones for every reader in this process."""
        if ledger.tables is None:
            ledger.tables = cls(ledger)
        tables: Tables = ledger.tables
        tables.update()
        return tables

    def update(self) -> None:
        """Read what is new, in one consistent view."""
        with self._ledger.store.read() as connection:
            changed = self.pool.update(connection)
            self.evaluations.update(connection)
        for identity in changed:
            self._rows.pop(identity, None)

    def fetch(self, ids: Sequence[str]) -> dict[str, CandidateRow]:
        """Decoded rows of pool members; one changes only where another version of the potential looks at it."""
        missing = [i for i in ids if i not in self._rows]
        self._rows.update(self._ledger.candidates_by_id(missing))
        found = {i: self._rows[i] for i in ids}
        for identity in ids:
            self._rows.move_to_end(identity)
        while len(self._rows) > KEPT_ROWS:
            self._rows.popitem(last=False)
        return found
