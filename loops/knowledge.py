"""What a campaign knows, derived from its ledger alone: pool, hulls, measured values, hits.

Built anew each time it is needed, so that a resumed campaign sees exactly what an undisturbed one sees. What
is not here: deciding (`agent/`, `surrogate/`) and writing (`round.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace

import numpy as np

from ..surrogate.campaign_model import Measurement, PoolPoint
from ..tools.core.errors import LedgerError
from ..tools.core.properties import CATALOGUE
from ..tools.core.types import (
    Candidate,
    Crystal,
    Frozen,
    GoalSpec,
    Quantity,
    Recognition,
    Relaxation,
)
from ..tools.evaluate.hull import HullEntry
from .geometry import amounts, formula_amounts, geometry_values
from .hulls import Hulls
from .ledger import CandidateRow, Ledger
from .ledger.tables import EvaluationEntry, Tables
from .standing import Standing

MAX_POOL = 2000
"""Crystals that wait, nearest to the hull first, that one round chooses from, in a campaign without settings."""

MAX_TRAINING = 1000
"""Measured crystals that the models learn from: exact Gaussian processes grow with the cube of it."""

SAME_FAILURES = 5
"""So many evaluations in a row that fail for one and the same reason are the evaluator's fault, not the crystals'."""


class Reference(Frozen):
    """An element's lowest crystal on the relaxation potential."""

    symbol: str
    crystal: Crystal
    energy_per_atom: float

    @property
    def candidate_id(self) -> str:
        """The name under which its evaluation is booked."""
        return f"reference-{self.symbol}"


@dataclass(frozen=True)
class PoolMember:
    """A relaxed crystal that passed every screen."""

    candidate: Candidate
    relaxation: Relaxation
    recognition: Recognition
    round: int
    amounts: dict[str, float]
    extra_cheap: dict[str, float]


@dataclass(frozen=True)
class Measured:
    """A finished evaluation of a pool member with the properties derived from it; `values` is empty on failure."""

    entry: EvaluationEntry
    amounts: dict[str, float]
    values: dict[str, Quantity]
    _tables: Tables

    @property
    def id(self) -> str:
        """Candidate id."""
        return self.entry.candidate_id

    @property
    def member(self) -> PoolMember:
        """The crystal itself, read from the ledger when asked for."""
        return _member(self._tables.fetch([self.id])[self.id])


class Knowledge(Standing):
    """Everything derived from the ledger at one moment.

    What a round works on stays bounded however large the campaign grows: of the crystals that wait, the `max_pool`
    nearest to the hull; of the measured ones, the `max_training` best and latest. Up to that size it is everything.
    """

    def __init__(self, ledger: Ledger, max_pool: int | None = None, max_training: int | None = None) -> None:
        meta = ledger.all_meta()
        stored = meta.get("settings", {}).get("surrogate", {})
        limits = SimpleNamespace(**{"max_pool": MAX_POOL, "max_training": MAX_TRAINING, **stored})
        tables = Tables.of(ledger)
        self.goal = GoalSpec.model_validate(meta["goal"])
        self.references = {r["symbol"]: Reference.model_validate(r) for r in meta.get("references", [])}
        self.potential = str(meta["potential"])
        self.method = str(meta["method"])
        entries = tables.evaluations.entries
        self.evaluations = [e for e in entries if e.purpose in ("candidate", "reference")]
        self.opinions = [e for e in entries if e.purpose == "opinion"]
        """Second opinions: evaluations by a cheaper evaluator."""
        self.labels = [e for e in entries if e.purpose == "label"]
        """Configurations evaluated for the potential to learn from; they decide nothing."""
        self.evaluated_ids = set(tables.evaluations.evaluated)
        self.size = len(tables.pool.ids)
        """Relaxed crystals that passed every screen."""
        self.ledger = ledger
        self._tables = tables
        self._lowest = dict(tables.pool.lowest)
        self._max_pool = max_pool or int(limits.max_pool)
        self._max_training = max_training or int(limits.max_training)

    @classmethod
    def read(cls, ledger: Ledger, max_pool: int | None = None, max_training: int | None = None) -> Knowledge:
        """Derive it from a ledger; the sizes are those of the campaign's settings, unless given."""
        return cls(ledger, max_pool, max_training)

    # --- on the potential ----------------------------------------------------------------------

    @cached_property
    def cheap_hull(self) -> Hulls:
        """Hull of the references and the lowest crystal of each composition, on the relaxation potential."""
        pool = self._tables.pool
        lowest = [(f, pool.ids[row], pool.energies[row]) for f, row in sorted(self._lowest.items())]
        phases = [(r.candidate_id, r.symbol, r.energy_per_atom) for r in self.references.values()]
        return self._hulls("cheap", phases, lowest, self.potential)

    def _hulls(
        self, kind: str, references: list[tuple[str, str, float]], phases: list[tuple[str, str, float]], method: str
    ) -> Hulls:
        """Hulls of (id, element, energy) and (formula, id, energy), built again only when one of them changed."""
        source = (tuple(references), tuple(phases), method)
        built = self._tables.hulls.get(kind)
        if built is not None and built[0] == source:
            found: Hulls = built[1]  # type: ignore[assignment]
            return found
        hulls = Hulls(
            [_entry(i, {s: 1.0}, e, "reference", method) for i, s, e in references]
            + [_entry(i, dict(formula_amounts(f)), e, "campaign", method) for f, i, e in phases]
        )
        self._tables.hulls[kind] = (source, hulls)
        return hulls

    @cached_property
    def above(self) -> np.ndarray:
        """Distance to the hull (eV/atom) on the potential, of every crystal that passed, in the order of the table."""
        pool = self._tables.pool
        hull = np.array([self.cheap_hull.energy(dict(formula_amounts(f))) for f in pool.names])
        index = self.formulas[1]
        found: np.ndarray = np.maximum(0.0, np.array(pool.energies[: self.size]) - hull[index]) if self.size else hull
        return found

    @property
    def formulas(self) -> tuple[list[str], np.ndarray]:
        """Every formula once, and which of them each crystal has, in the order of `above`."""
        pool = self._tables.pool
        return pool.names, np.array(pool.formula_index[: self.size], dtype=int)

    @cached_property
    def pool(self) -> list[PoolMember]:
        """The crystals that this round works on, in the order in which they came in."""
        rows = range(self.size)
        if self.size > self._max_pool:
            pool = self._tables.pool
            wanted = {pool.position[m.id] for m in self.training} | {
                pool.position[e.candidate_id] for e in self._failed
            }
            waiting = 0
            allowed = [self.in_space(f) for f in pool.names]
            for row in np.argsort(self.above, kind="stable"):
                if waiting == self._max_pool:
                    break
                if allowed[pool.formula_index[row]] and pool.ids[row] not in self.evaluated_ids:
                    if not self.goal.structure.is_open and not self.is_asked_for(self._fetch([int(row)])[0]):
                        continue
                    wanted.add(int(row))
                    waiting += 1
            return self._fetch(sorted(wanted))
        return self._fetch(list(rows))

    def nearest(self, count: int) -> list[PoolMember]:
        """The crystals nearest to the hull on the potential, evaluated or not."""
        return self._fetch([int(row) for row in np.argsort(self.above, kind="stable")[:count]])

    def look_alikes(self, formulas: set[str], energies: list[float], tolerance: float) -> list[PoolMember]:
        """Crystals of some compositions whose energy (eV/atom) is within a tolerance of one of those given."""
        pool = self._tables.pool
        wanted = [i for i, f in enumerate(pool.names) if f in formulas]
        if not wanted or not energies:
            return []
        known = np.array(pool.energies[: self.size])
        rows = np.flatnonzero(np.isin(self.formulas[1], wanted))
        levels = np.sort(np.array(energies))
        place = np.clip(np.searchsorted(levels, known[rows]), 1, len(levels)) - 1
        near = np.minimum(
            np.abs(known[rows] - levels[place]), np.abs(known[rows] - levels[np.minimum(place + 1, len(levels) - 1)])
        )
        return self._fetch([int(row) for row in rows[near <= tolerance]])

    def _fetch(self, rows: list[int]) -> list[PoolMember]:
        ids = [self._tables.pool.ids[row] for row in rows]
        found = self._tables.fetch(ids)
        return [_member(found[i]) for i in ids]

    @cached_property
    def cheap(self) -> dict[str, dict[str, float]]:
        """Per member of `pool`, the properties that the potential predicts, in catalogue units."""
        hull = self.cheap_hull
        table = {}
        for m in self.pool:
            energy = m.relaxation.energy_per_atom
            table[m.candidate.id] = {
                "formation_energy": hull.formation_energy(m.amounts, energy),
                "energy_above_hull": max(0.0, hull.distance(m.amounts, energy)),
                **geometry_values(m.relaxation.crystal),
                **m.extra_cheap,
            }
        return table

    # --- measured ------------------------------------------------------------------------------

    @cached_property
    def measured_references(self) -> dict[str, float]:
        """Element to measured energy, eV/atom; elements whose evaluation is not finished are missing."""
        found = {}
        for e in self.evaluations:
            if e.purpose == "reference" and "energy_per_atom" in e.outcome and not e.failure:
                found[e.candidate_id.removeprefix("reference-")] = e.outcome["energy_per_atom"].value
        return found

    def broken_evaluator(self) -> str:
        """Why paying for more makes no sense: a failed reference, or the same failure again and again; else empty."""
        finished = [e for e in self.evaluations if e.finished]
        for e in finished:
            if e.failure and e.purpose == "reference":
                symbol = e.candidate_id.removeprefix("reference-")
                return (
                    f"The reference of {symbol}, without which no formation energy has a meaning, failed: {e.failure}."
                )
        last = [e.failure for e in finished[-SAME_FAILURES:]]
        if len(last) == SAME_FAILURES and last[0] and len(set(last)) == 1:
            return f"The last {SAME_FAILURES} evaluations all failed for one reason: {last[0]}."
        return ""

    @cached_property
    def measured_hull(self) -> Hulls | None:
        """Hulls of measured references and the lowest measured crystal of each composition; None without reference."""
        if not self.measured_references:
            return None
        known = set(self.measured_references)
        lowest: dict[str, tuple[float, str]] = {}
        for e in self.evaluations:
            if e.purpose != "candidate" or e.failure or "energy_per_atom" not in e.outcome:
                continue
            energy = e.outcome["energy_per_atom"].value
            if {s for s, _ in formula_amounts(e.formula)} <= known and energy < lowest.get(e.formula, (np.inf,))[0]:
                lowest[e.formula] = (energy, e.candidate_id)
        references = [(f"reference-{s}", s, energy) for s, energy in self.measured_references.items()]
        return self._hulls("measured", references, [(f, i, e) for f, (e, i) in sorted(lowest.items())], self.method)

    @cached_property
    def measured(self) -> list[Measured]:
        """Finished candidate evaluations in the order of their reservation."""
        hull = self.measured_hull
        levels: dict[str, tuple[float, float] | None] = {}
        found = []
        for e in self.evaluations:
            if e.purpose != "candidate" or not e.finished:
                continue
            amounts = dict(formula_amounts(e.formula))
            values: dict[str, Quantity] = {}
            if not e.failure:
                values = {k: v for k, v in e.outcome.items() if k in CATALOGUE}
                if e.formula not in levels:
                    levels[e.formula] = hull.levels(amounts) if hull is not None and hull.covers(amounts) else None
                level = levels[e.formula]
                if level is not None:
                    energy = e.outcome["energy_per_atom"].value
                    values["formation_energy"] = Quantity(value=energy - level[0], unit="eV/atom")
                    values["energy_above_hull"] = Quantity(value=max(0.0, energy - level[1]), unit="eV/atom")
            found.append(Measured(e, amounts, values, self._tables))
        return found

    @cached_property
    def training(self) -> list[Measured]:
        """What the models learn from: everything measured, or the best and the latest of it."""
        done = [m for m in self.measured if m.values]
        if len(done) <= self._max_training:
            return done
        latest = done[-(self._max_training * 2 // 3) :]
        best = sorted(done[: -len(latest)], key=self._order)[: self._max_training - len(latest)]
        chosen = {m.id for m in [*latest, *best]}
        return [m for m in done if m.id in chosen]

    @cached_property
    def _failed(self) -> list[EvaluationEntry]:
        """The latest evaluations that failed."""
        failed = [e for e in self.evaluations if e.purpose == "candidate" and e.finished and e.failure]
        return failed[-self._max_training // 3 :]

    # --- for the surrogate ---------------------------------------------------------------------

    def points(
        self,
        members: list[PoolMember],
        head: dict[str, float],
        offsets: dict[str, float] | None = None,
        sharper: dict[str, float] | None = None,
    ) -> list[PoolPoint]:
        """Pool members as the surrogate sees them.

        Args:
            members: which ones.
            head: candidate to the network head's prediction; empty where no head was kept.
            offsets: candidate to the hull's formation energy (eV/atom) at its composition.
            sharper: candidate to a formation energy (eV/atom) that takes the place of the potential's.
        """
        cheap = self.cheap
        better = sharper or {}
        return [
            PoolPoint(
                candidate_id=m.candidate.id,
                amounts=m.amounts,
                embedding=m.recognition.embedding,
                extras={
                    "density": cheap[m.candidate.id]["density"],
                    "volume_per_atom": cheap[m.candidate.id]["volume_per_atom"],
                    "space_group": float(m.recognition.space_group),
                    "formation_energy": cheap[m.candidate.id]["formation_energy"],
                    **({"head": head[m.candidate.id]} if head else {}),
                },
                cheap={k: v for k, v in cheap[m.candidate.id].items() if k != "energy_above_hull"}
                | ({"formation_energy": better[m.candidate.id]} if m.candidate.id in better else {}),
                offsets={} if offsets is None else {"energy_above_hull": offsets[m.candidate.id]},
            )
            for m in members
        ]

    def measurements(
        self, head: dict[str, float], sharper: dict[str, float] | None = None
    ) -> tuple[list[Measurement], list[PoolPoint]]:
        """What was measured, and what failed, as the surrogate sees them; arguments as those of `points`."""
        done = self.training
        self._tables.fetch([m.id for m in done])
        points = self.points([m.member for m in done], head, None, sharper)
        measurements = [
            Measurement(
                point=point,
                values={k: q.value for k, q in m.values.items() if k != "energy_above_hull"},
            )
            for point, m in zip(points, done, strict=True)
        ]
        failed = self._tables.fetch([e.candidate_id for e in self._failed])
        return measurements, self.points([_member(row) for row in failed.values()], head, None, sharper)

    @property
    def waiting(self) -> int:
        """Relaxed crystals that have no evaluation."""
        pool = self._tables.pool
        return self.size - sum(pool.position.get(i, self.size) < self.size for i in self.evaluated_ids)

    @property
    def generators(self) -> list[str]:
        """Which generator each pool crystal came from, in the order of `above`."""
        return self._tables.pool.generators[: self.size]

    def generator_of(self, candidate_id: str) -> str | None:
        """Which generator a pool crystal came from; None for one that is not in the pool."""
        row = self._tables.pool.position.get(candidate_id, self.size)
        return self._tables.pool.generators[row] if row < self.size else None


def _member(row: CandidateRow) -> PoolMember:
    if row.relaxation is None or row.recognition is None:
        raise LedgerError(
            f"Candidate {row.candidate.id} is in the pool without a relaxation.", "Run `lodestone ledger verify`."
        )
    return PoolMember(
        row.candidate, row.relaxation, row.recognition, row.round, amounts(row.relaxation.crystal), row.cheap
    )


def _entry(identity: str, amounts: dict[str, float], energy: float, source: str, method: str) -> HullEntry:
    return HullEntry(id=identity, amounts=amounts, energy_per_atom=energy, source=source, method=method)
