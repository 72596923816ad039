"""What a campaign knows, derived from its ledger alone: pool, hulls, measured values, hits.

Built anew each time it is needed, so that a resumed campaign sees exactly what an undisturbed one sees. What
is not here: deciding (`agent/`, `surrogate/`) and writing (`round.py`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from ..surrogate.campaign_model import Measurement, PoolPoint
from ..tools.core.properties import CATALOGUE, get_property
from ..tools.core.types import (
    Brief,
    Candidate,
    Crystal,
    Frozen,
    GeneratorYield,
    GoalSpec,
    Observation,
    Quantity,
    Recognition,
    Relaxation,
)
from ..tools.evaluate.hull import HullEntry
from .hulls import Hulls
from .ledger import CandidateRow, EvaluationRow, Ledger

NEAR_HULL = 0.025
"""eV/atom; within this of the hull a crystal counts as a useful proposal (thermal energy at room temperature)."""


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
    """A pool member with its observation and the properties derived from it; `values` is empty on failure."""

    member: PoolMember
    row: EvaluationRow
    observation: Observation
    values: dict[str, Quantity]


@dataclass
class Knowledge:
    """Everything derived from the ledger at one moment."""

    goal: GoalSpec
    references: dict[str, Reference]
    potential: str
    pool: list[PoolMember]
    evaluations: list[EvaluationRow]
    rows: list[CandidateRow]

    @classmethod
    def read(cls, ledger: Ledger) -> Knowledge:
        """Derive it from a ledger."""
        rows = ledger.candidates()
        pool = [
            PoolMember(
                row.candidate, row.relaxation, row.recognition, row.round, amounts(row.relaxation.crystal), row.cheap
            )
            for row in rows
            if row.failure is None and row.relaxation is not None and row.recognition is not None
        ]
        references = {r["symbol"]: Reference.model_validate(r) for r in ledger.meta("references", [])}
        return cls(
            goal=GoalSpec.model_validate(ledger.meta("goal")),
            references=references,
            potential=str(ledger.meta("potential")),
            pool=pool,
            evaluations=ledger.evaluations(),
            rows=rows,
        )

    # --- on the potential ----------------------------------------------------------------------

    @cached_property
    def cheap_hull(self) -> Hulls:
        """Hull of the references and every pool member, on the relaxation potential."""
        entries = [
            HullEntry(
                id=r.candidate_id,
                amounts={r.symbol: 1.0},
                energy_per_atom=r.energy_per_atom,
                source="reference",
                method=self.potential,
            )
            for r in self.references.values()
        ]
        entries += [
            HullEntry(
                id=m.candidate.id,
                amounts=m.amounts,
                energy_per_atom=m.relaxation.energy_per_atom,
                source="campaign",
                method=self.potential,
            )
            for m in self.pool
        ]
        return Hulls(entries)

    @cached_property
    def cheap(self) -> dict[str, dict[str, float]]:
        """Per pool member, the properties that the potential predicts, in catalogue units."""
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
        for row in self.evaluations:
            if row.request.purpose == "reference" and row.observation is not None and not row.observation.failure:
                symbol = row.request.candidate_id.removeprefix("reference-")
                found[symbol] = row.observation.values["energy_per_atom"].value
        return found

    def broken_evaluator(self) -> str:
        """Why paying for more makes no sense: a failed reference, or the same failure again and again; else empty."""
        reasons = [
            (row.request, row.observation.failure.reason if row.observation.failure else "")
            for row in self.evaluations
            if row.observation is not None
        ]
        for request, reason in reasons:
            if reason and request.purpose == "reference":
                symbol = request.candidate_id.removeprefix("reference-")
                return f"The reference of {symbol}, without which no formation energy has a meaning, failed: {reason}."
        last = [reason for _, reason in reasons[-SAME_FAILURES:]]
        if len(last) == SAME_FAILURES and last[0] and len(set(last)) == 1:
            return f"The last {SAME_FAILURES} evaluations all failed for one reason: {last[0]}."
        return ""

    @cached_property
    def measured_hull(self) -> Hulls | None:
        """Hulls of measured references and crystals; None before a reference is measured."""
        if not self.measured_references:
            return None
        method = self.method
        entries = [
            HullEntry(
                id=f"reference-{symbol}",
                amounts={symbol: 1.0},
                energy_per_atom=energy,
                source="reference",
                method=method,
            )
            for symbol, energy in self.measured_references.items()
        ]
        members = {m.candidate.id: m for m in self.pool}
        for row in self.evaluations:
            done = row.observation is not None and not row.observation.failure
            if row.request.purpose == "candidate" and done and row.observation is not None:
                entries.append(
                    HullEntry(
                        id=row.request.candidate_id,
                        amounts=members[row.request.candidate_id].amounts,
                        energy_per_atom=row.observation.values["energy_per_atom"].value,
                        source="campaign",
                        method=method,
                    )
                )
        known = set(self.measured_references)
        return Hulls([e for e in entries if set(e.amounts) <= known])

    @property
    def method(self) -> str:
        """The evaluator's method, from the first observation; empty before there is one."""
        return next((r.observation.method for r in self.evaluations if r.observation is not None), "")

    @cached_property
    def measured(self) -> list[Measured]:
        """Finished candidate evaluations in the order of their reservation."""
        members = {m.candidate.id: m for m in self.pool}
        hull = self.measured_hull
        found = []
        for row in self.evaluations:
            if row.request.purpose != "candidate" or row.observation is None:
                continue
            member = members[row.request.candidate_id]
            values: dict[str, Quantity] = {}
            if row.observation.failure is None:
                values = {k: v for k, v in row.observation.values.items() if k in CATALOGUE}
                crystal = row.observation.crystal or member.relaxation.crystal
                for name, value in geometry_values(crystal).items():
                    values.setdefault(name, Quantity(value=value, unit=get_property(name).unit))
                if hull is not None and hull.covers(member.amounts):
                    energy = row.observation.values["energy_per_atom"].value
                    values["formation_energy"] = Quantity(
                        value=hull.formation_energy(member.amounts, energy), unit="eV/atom"
                    )
                    values["energy_above_hull"] = Quantity(
                        value=max(0.0, hull.distance(member.amounts, energy)), unit="eV/atom"
                    )
            found.append(Measured(member, row, row.observation, values))
        return found

    @property
    def evaluated_ids(self) -> set[str]:
        """Candidates that have a reservation, whatever came of it."""
        return {r.request.candidate_id for r in self.evaluations}

    def in_space(self, member: PoolMember) -> bool:
        """Whether a crystal is one that the goal asks for; fetched phases may only be there to bound the hull."""
        space, elements = self.goal.space, set(member.amounts)
        low, high = space.n_elements
        return (
            set(space.required) <= elements <= set(space.allowed)
            and low <= len(elements) <= high
            and (space.formula is None or member.candidate.formula == space.formula)
        )

    def meets_goal(self, values: dict[str, Quantity]) -> bool:
        """Whether every constraint holds on measured values (a missing value does not hold)."""
        return bool(values) and all(
            c.property in values and c.holds(values[c.property].value) for c in self.goal.constraints
        )

    def rank(self, values: dict[str, Quantity]) -> float:
        """Weighted objective, lower is better; infinite where a value is missing."""
        total = 0.0
        for objective in self.goal.objectives:
            if objective.property not in values:
                return float("inf")
            value = values[objective.property].value
            if objective.direction == "target" and objective.target is not None:
                value = abs(value - objective.target)
            total += objective.weight * (-value if objective.direction == "maximise" else value)
        return total

    def best(self) -> Measured | None:
        """The best measured crystal: those that meet the goal first, then by the objective."""
        done = [m for m in self.measured if m.values and self.in_space(m.member)]
        return min(done, key=self._order, default=None)

    def _order(self, m: Measured) -> tuple[bool, float, float, int]:
        """Meets the goal, then the objective; several phases on one hull by formation energy, then by age."""
        energy = m.values.get("formation_energy")
        return (
            not self.meets_goal(m.values),
            round(self.rank(m.values), 9),
            energy.value if energy else 0.0,
            m.row.position,
        )

    def hits(self) -> list[Measured]:
        """Measured crystals that count as found: all that keep every constraint; without constraints those on the
        hull for a goal of stability, and the single best for any other goal."""
        done = [m for m in self.measured if m.values and self.in_space(m.member)]
        if self.goal.constraints:
            return [m for m in done if self.meets_goal(m.values)]
        if self.goal.objectives[0].property in ("energy_above_hull", "formation_energy"):
            return [m for m in done if "energy_above_hull" in m.values and m.values["energy_above_hull"].value <= 1e-6]
        best = self.best()
        return [] if best is None else [best]

    # --- for the surrogate ---------------------------------------------------------------------

    def points(
        self, members: list[PoolMember], head: dict[str, float], offsets: dict[str, float] | None = None
    ) -> list[PoolPoint]:
        """Pool members as the surrogate sees them.

        Args:
            members: which ones.
            head: candidate to the network head's prediction; empty where no head was kept.
            offsets: candidate to the hull's formation energy (eV/atom) at its composition.
        """
        cheap = self.cheap
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
                cheap={k: v for k, v in cheap[m.candidate.id].items() if k != "energy_above_hull"},
                offsets={} if offsets is None else {"energy_above_hull": offsets[m.candidate.id]},
            )
            for m in members
        ]

    def measurements(self, head: dict[str, float]) -> tuple[list[Measurement], list[PoolPoint]]:
        """What was measured, and what failed, as the surrogate sees them."""
        done = [m for m in self.measured if m.values]
        failed = [m.member for m in self.measured if not m.values]
        points = self.points([m.member for m in done], head)
        measurements = [
            Measurement(
                point=point,
                values={k: q.value for k, q in m.values.items() if k != "energy_above_hull"},
            )
            for point, m in zip(points, done, strict=True)
        ]
        return measurements, self.points(failed, head)

    # --- for the planner -----------------------------------------------------------------------

    def brief(self, round_number: int, wall_s_left: float, calibration: float | None) -> Brief:
        """What the planner is told; its size does not grow with the campaign."""
        best = self.best()
        spent = sum(r.state != "PROPOSED" for r in self.evaluations)
        reasons = Counter(row.failure["stage"] for row in self.rows if row.failure)
        failed = sum(m.observation.failure is not None for m in self.measured)
        if failed:
            reasons["evaluate"] = failed
        return Brief(
            goal=self.goal,
            round=round_number,
            generators=self.yields(),
            evaluations_spent=spent,
            evaluations_left=max(0, self.goal.budget.evaluations - spent),
            wall_s_left=max(0.0, wall_s_left),
            rounds_left=max(0, self.goal.budget.rounds - round_number + 1),
            best=None
            if best is None
            else {
                "formula": best.member.candidate.formula,
                "space_group": best.member.recognition.space_group_symbol,
                **{k: round(q.value, 4) for k, q in best.values.items() if k in self.goal.properties},
            },
            best_by_round=tuple(self.best_by_round(round_number - 1)),
            hits=len(self.hits()),
            calibration=calibration,
            pool=sum(m.candidate.id not in self.evaluated_ids for m in self.pool),
            failures=dict(reasons),
        )

    def best_by_round(self, last: int) -> list[float | None]:
        """First objective of the best crystal known after each finished round, on today's hull; the last twenty."""
        name = self.goal.objectives[0].property
        found: list[float | None] = []
        for number in range(1, last + 1):
            done = [m for m in self.measured if name in m.values and m.row.round <= number]
            done = [m for m in done if self.meets_goal(m.values)] or done
            best = min(done, key=lambda m: self.rank(m.values), default=None)
            found.append(None if best is None else best.values[name].value)
        return found[-20:]

    def yields(self) -> dict[str, GeneratorYield]:
        """How each generator has done so far."""
        table: dict[str, Counter[str]] = {}
        sums: dict[str, list[float]] = {}
        evaluated = self.evaluated_ids
        for row in self.rows:
            counts = table.setdefault(row.candidate.provenance.generator, Counter())
            counts["proposed"] += 1
            stage = row.failure["stage"] if row.failure else ""
            counts["screened_out"] += stage == "screen"
            counts["duplicates"] += stage == "duplicate"
            counts["relaxed"] += row.relaxation is not None
            counts["evaluated"] += row.candidate.id in evaluated
            if row.failure is None and row.candidate.id in self.cheap:
                above = self.cheap[row.candidate.id]["energy_above_hull"]
                counts["near_hull"] += above <= NEAR_HULL
                sums.setdefault(row.candidate.provenance.generator, []).append(above)
        return {
            name: GeneratorYield(
                **{k: int(v) for k, v in counts.items()},
                mean_energy_above_hull=round(sum(sums[name]) / len(sums[name]), 4) if sums.get(name) else None,
            )
            for name, counts in table.items()
        }


def amounts(crystal: Crystal) -> dict[str, float]:
    """Atoms of each element in the cell."""
    return {str(k): float(v) for k, v in sorted(Counter(crystal.species).items())}


def geometry_values(crystal: Crystal) -> dict[str, float]:
    """Density (g/cm³) and volume per atom (Å³/atom) of a cell."""
    from ..tools.core.structure import to_pymatgen

    structure = to_pymatgen(crystal)
    return {
        "density": float(structure.density),
        "volume_per_atom": float(structure.volume) / len(structure),
    }
