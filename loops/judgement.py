"""Between the ledger and the surrogate: what was measured goes in, a ranked batch with reasons comes out.

What is not here: the models and acquisition functions themselves (`surrogate/`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ..surrogate.calibration import Calibration, calibrate
from ..surrogate.campaign_model import CampaignModel, PoolPoint
from ..surrogate.fidelity import LEAST_PAIRS, SLOPES, Gains, slope_of
from ..tools.core.plans import FidelityFacts
from ..tools.core.properties import get_property
from ..tools.core.types import Quantity
from ..tools.evaluate.hull import HullEntry
from .head import HeadKeeper
from .hulls import Hulls
from .inherited import Inherited
from .knowledge import Knowledge, PoolMember
from .ledger import Ledger
from .opinions import Opinions

MODELLED = ("formation_energy", "density", "volume_per_atom", "bulk_modulus", "band_gap")
"""What the surrogate models directly; energy above hull is formation energy minus the hull's."""

BEST_PART = 0.1
"""Part of the pool that counts as promising."""

LEAST_BEST = 3
"""Crystals that count as promising, at least."""

LEAST_COST = 1e-3
"""Core seconds that a question costs at least, so that one which is free has a finite worth for its cost."""

LEAST_GAIN = 1e-9
"""What is expected to rise by less, in whatever unit, does not rise: two such numbers decide nothing."""

LATEST = 1000
"""Predictions whose outcome says how well the surrogate is calibrated now."""


@dataclass(frozen=True)
class Choice:
    """A pool member that deserves an evaluation, with what is expected of it and why."""

    member: PoolMember
    predicted: dict[str, Quantity]
    why: str


class Judgement:
    """The surrogate fitted to one state of knowledge."""

    def __init__(self, knowledge: Knowledge, head: HeadKeeper, ledger: Ledger) -> None:
        self._knowledge = knowledge
        self._head = head.predict(knowledge.pool)
        wanted = {"formation_energy" if p == "energy_above_hull" else p for p in knowledge.goal.properties}
        self._properties = tuple(p for p in MODELLED if p in wanted or p == "formation_energy")
        self.scales = {p: calibration.scale for p, calibration in calibrations(ledger, knowledge).items()}
        self.opinions = Opinions(knowledge)
        self._former = [Inherited.model_validate(row).measurement() for row in ledger.meta("inherited", [])]
        self._scout = self.opinions.learn(self._head)
        self._slope, self._sharper = self._sharpened()
        self._model = self._fitted(self._properties, self._sharper)

    def _fitted(self, properties: Sequence[str], sharper: dict[str, float]) -> CampaignModel:
        knowledge = self._knowledge
        model = CampaignModel(properties, seed=knowledge.goal.seed, scales=self.scales)
        measurements, failed = knowledge.measurements(self._head, sharper)
        model.fit(measurements, failed, knowledge.points(knowledge.pool, self._head, None, sharper), self._former)
        return model

    def _sharpened(self) -> tuple[float, dict[str, float]]:
        """How much of the second opinions is believed, and what formation energies (eV/atom) they make of the
        potential's: the model corrects that sum.

        All of it while few crystals had both evaluators; then what foretells the measured values best.
        """
        if self._scout is None:
            return 0.0, {}
        cheap = self._knowledge.cheap
        expected = self.opinions.expected(self._scout, self._head)

        def sharper(slope: float) -> dict[str, float]:
            base = {i: cheap[i]["formation_energy"] for i in expected} if slope else {}
            return {i: energy + slope * (expected[i] - energy) for i, energy in base.items()}

        slope = 1.0
        if self.opinions.pairs >= LEAST_PAIRS:
            energy = ("formation_energy",)
            slope = slope_of({s: self._fitted(energy, sharper(s)).foretold(*energy) for s in SLOPES})
        return slope, sharper(slope)

    def gains(self) -> Gains | None:
        """What the most telling question to either evaluator is worth; None while few crystals had both."""
        waiting = sorted(self._waiting(self._knowledge.evaluated_ids), key=lambda m: m.candidate.id)
        if self._scout is None or self.opinions.pairs < LEAST_PAIRS or not waiting:
            return None
        points, best, levels = self._choosing(waiting)
        plain = self._knowledge.points(waiting, self._head)
        scout = self._scout.as_scout(plain, self.opinions.asked, self._slope)
        return self._model.gains(points, self._knowledge.goal, scout, best, levels)

    @cached_property
    def predictions(self) -> dict[str, dict[str, Quantity]]:
        """For every pool member, evaluated or not: each property with its calibrated standard deviation."""
        members = self._knowledge.pool
        if not members:
            return {}
        table = self._model.predict(self._knowledge.points(members, self._head, None, self._sharper))
        found: dict[str, dict[str, Quantity]] = {m.candidate.id: {} for m in members}
        for name, (mean, std) in table.items():
            unit = get_property(name).unit
            for m, centre, spread in zip(members, mean.tolist(), std.tolist(), strict=True):
                found[m.candidate.id][name] = Quantity(value=centre, unit=unit, std=spread)
        hulls = self._predicted_hulls(found)
        for m in members:
            energy = found[m.candidate.id]["formation_energy"]
            above = energy.value - hulls.hull_formation_energy(m.amounts)
            found[m.candidate.id]["energy_above_hull"] = Quantity(value=max(0.0, above), unit="eV/atom", std=energy.std)
        return found

    def choose(self, batch: int, exploration: float, opinion: bool = False) -> list[Choice]:
        """At most `batch` unevaluated pool members, the most deserving first; for a second opinion only such that
        have none."""
        knowledge = self._knowledge
        waiting = self._waiting(knowledge.evaluated_ids | self.opinions.asked if opinion else knowledge.evaluated_ids)
        if batch < 1 or not waiting:
            return []
        points, best, levels = self._choosing(waiting)
        picks = self._model.choose(
            points, q=batch, exploration=exploration, goal=knowledge.goal, best=best, levels=levels
        )
        members = {m.candidate.id: m for m in waiting}
        return [Choice(members[p.candidate_id], self.predictions[p.candidate_id], p.reason) for p in picks]

    def _waiting(self, done: set[str]) -> list[PoolMember]:
        knowledge = self._knowledge
        return [m for m in knowledge.pool if m.candidate.id not in done and knowledge.is_asked_for(m)]

    def _choosing(self, waiting: list[PoolMember]) -> tuple[list[PoolPoint], dict[str, float] | None, dict[str, float]]:
        """Waiting crystals with their hull offsets, the best measured values, and the hull at what was measured."""
        knowledge = self._knowledge
        hulls = self._predicted_hulls(self.predictions)
        offsets = {m.candidate.id: hulls.hull_formation_energy(m.amounts) for m in waiting}
        levels = {m.id: hulls.hull_formation_energy(m.amounts) for m in knowledge.training}
        best = knowledge.best()
        values = None if best is None else {k: q.value for k, q in best.values.items()}
        return knowledge.points(waiting, self._head, offsets, self._sharper), values, levels

    def promising(self) -> dict[str, dict[str, int]]:
        """How many of the best part of the pool (`BEST_PART`) each generator made, hold each element, and lie in each
        chemical system, by what was measured or is expected for the goal; empty where nothing of it is known."""
        knowledge = self._knowledge
        measured = {m.id: m.values for m in knowledge.measured if m.values}
        ranked = []
        for member in knowledge.pool:
            values = measured.get(member.candidate.id) or self.predictions[member.candidate.id]
            rank = knowledge.rank(values)
            if math.isfinite(rank) and knowledge.is_asked_for(member):
                ranked.append((not knowledge.meets_goal(values), rank, member.candidate.id, member))
        best = sorted(ranked, key=lambda row: row[:3])[: max(LEAST_BEST, round(BEST_PART * len(ranked)))]
        members = [row[-1] for row in best]
        if not members:
            return {}
        return {
            "generators": dict(Counter(m.candidate.provenance.generator for m in members)),
            "elements": dict(Counter(symbol for m in members for symbol in m.amounts)),
            "systems": dict(Counter("-".join(sorted(m.amounts)) for m in members)),
        }

    def _predicted_hulls(self, predicted: dict[str, dict[str, Quantity]]) -> Hulls:
        """Hulls in formation energy: measured where measured, else expected.

        Unmeasured crystals belong in: before the first evaluation the elements alone would make every compound
        look equally stable.
        """
        knowledge = self._knowledge
        measured = {
            m.id: m.values["formation_energy"].value for m in knowledge.measured if "formation_energy" in m.values
        }
        entries = [
            HullEntry(id=r.candidate_id, amounts={s: 1.0}, energy_per_atom=0.0, source="reference", method="expected")
            for s, r in knowledge.references.items()
        ]
        for m in knowledge.pool:
            energy = measured.get(m.candidate.id, predicted[m.candidate.id]["formation_energy"].value)
            entries.append(
                HullEntry(
                    id=m.candidate.id,
                    amounts=m.amounts,
                    energy_per_atom=energy,
                    source="campaign",
                    method="expected",
                )
            )
        return Hulls(entries)


def weighed(
    facts: tuple[FidelityFacts, ...], knowledge: Knowledge, head: HeadKeeper, ledger: Ledger
) -> tuple[FidelityFacts, ...]:
    """The facts of two evaluators with what asking each is worth, where both can be asked and enough is known."""
    if not facts or facts[0].left < 1 or facts[0].unasked < 1 or Opinions(knowledge).pairs < LEAST_PAIRS:
        return facts
    found = Judgement(knowledge, head, ledger).gains()
    if found is None:
        return facts
    told = []
    for fact, value in zip(facts, (found.scout, found.judge), strict=True):
        gain = value if value >= LEAST_GAIN else 0.0
        per_hour = 3600.0 * gain / max(fact.core_s, LEAST_COST)
        shown = {"gain": float(f"{gain:.3g}"), "gain_per_core_h": float(f"{per_hour:.3g}"), "gain_unit": found.unit}
        told.append(fact.model_copy(update=shown))
    return tuple(told)


def calibrations(ledger: Ledger, knowledge: Knowledge) -> dict[str, Calibration]:
    """Per property: how predictions made before measuring compared with what was measured.

    Predictions are stored with the scale of their time already applied, so the new scale multiplies the last one;
    `calibrate` is therefore given raw deviations, found by dividing that scale out again.
    """
    scales = {e["round"]: e["scales"] for e in ledger.events("calibrated")}
    known = [(m, m.entry.predicted) for m in knowledge.measured[-LATEST:] if m.values]
    found = {}
    for name in MODELLED:
        rows = [
            (predicted[name], m.values[name].value, scales.get(m.entry.round, {}).get(name, 1.0))
            for m, predicted in known
            if name in m.values and name in predicted and predicted[name].std
        ]
        if rows:
            found[name] = calibrate(
                [p.value for p, _, _ in rows], [(p.std or 0.0) / s for p, _, s in rows], [v for _, v, _ in rows]
            )
    return found


def calibration_of(knowledge: Knowledge) -> float | None:
    """Share of measured objective values inside the 90 % intervals given before measuring; None below 4 values."""
    name = knowledge.goal.objectives[0].property
    known = [(m.values[name].value, m.entry.predicted) for m in knowledge.measured[-LATEST:] if name in m.values]
    inside = [
        abs(value - predicted[name].value) <= 1.6449 * (predicted[name].std or 0.0)
        for value, predicted in known
        if name in predicted
    ]
    return sum(inside) / len(inside) if len(inside) >= 4 else None
