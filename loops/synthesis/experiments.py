"""The experiments of a synthesis campaign, as its ledger and its laboratory's files have them.

What is not here: doing them (`campaign.py`), and showing them (`report.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ...tools.core.synthesis import Identification, Recipe, SynthesisGoal
from ...tools.lab.evaluator import PRESENT, TARGET_FRACTION, LabEvaluator, Reading, target_fraction
from ...tools.lab.recipes.balance import balance
from ...tools.lab.recipes.outcomes import Outcome
from ...tools.lab.station import Result
from ..ledger import EvaluationRow, Ledger

UNKNOWN = 0.5
"""Probability of unknown phases from which on a sample is not called pure."""


@dataclass(frozen=True)
class Experiment:
    """One sample."""

    number: int
    """From 1, in the order in which they were reserved."""
    row: EvaluationRow
    recipe: Recipe
    result: Result | None
    """None while it is under way."""
    reading: Reading | None
    """None where no pattern was measured."""

    @property
    def identification(self) -> Identification | None:
        """What its pattern says."""
        return None if self.reading is None else self.reading.identification

    @property
    def failure(self) -> str:
        """Why it gave nothing; empty where it did, or is under way."""
        observation = self.row.observation
        return "" if observation is None or observation.failure is None else observation.failure.reason

    @property
    def fraction(self) -> float | None:
        """Weight fraction of the target; None where it is not known."""
        observation = self.row.observation
        value = None if observation is None else observation.values.get(TARGET_FRACTION)
        return None if value is None else value.value

    @property
    def spread(self) -> float:
        """Standard deviation of the fraction; 0 where it is not known."""
        observation = self.row.observation
        value = None if observation is None else observation.values.get(TARGET_FRACTION)
        return 0.0 if value is None or value.std is None else value.std

    def reaches(self, goal: SynthesisGoal) -> bool:
        """Whether it is what was asked for, and nothing unknown beside it."""
        found, fraction = self.identification, self.fraction
        return (
            found is not None
            and fraction is not None
            and fraction >= goal.purity
            and found.unknown_probability < UNKNOWN
        )

    def in_another_form(self, goal: SynthesisGoal, wanted: Collection[str]) -> bool:
        """Whether a predicted crystal's composition was made, as pure as asked for, and none of that crystal."""
        found = self.identification
        if found is None or not wanted or self.fraction:
            return False
        return target_fraction(found, goal.target)[0] >= goal.purity

    def outcome(self) -> Outcome | None:
        """For who learns from it; None where nothing was measured."""
        found = self.identification
        if found is None:
            return None
        crystalline = 1.0 - (found.amorphous_fraction or 0.0)
        weights: dict[str, float] = {}
        for phase in found.phases:
            if phase.probability >= PRESENT:
                weights[phase.formula] = weights.get(phase.formula, 0.0) + crystalline * phase.weight_fraction
        return Outcome(recipe=self.recipe, weight_fractions={k: min(v, 1.0) for k, v in weights.items()})


def experiments_of(ledger: Ledger, evaluator: LabEvaluator) -> list[Experiment]:
    """All of a campaign, in order."""
    found = []
    for number, row in enumerate(ledger.evaluations(), start=1):
        over = row.state in ("DONE", "FAILED_CHARGED")
        found.append(
            Experiment(
                number=number,
                row=row,
                recipe=Recipe.model_validate_json(row.request.recipe),
                result=evaluator.result(row.key) if over else None,
                reading=evaluator.reading(row.key) if over else None,
            )
        )
    return found


def best_of(experiments: Sequence[Experiment]) -> Experiment | None:
    """The one with most target."""
    measured = [e for e in experiments if e.fraction is not None]
    return max(measured, key=lambda e: e.fraction or 0.0, default=None)


def reaction_of(recipe: Recipe) -> str:
    """In the chemist's form, e.g. `BaCO3 + TiO2 -> BaTiO3 + CO2`."""
    return str(balance(recipe.target, [p.formula for p in recipe.powders]))


def conditions_of(recipe: Recipe) -> str:
    """In words, e.g. `1123 K, 12 h in air, milled 30 min, reground once`."""
    few = {0: "", 1: ", reground once", 2: ", reground twice"}
    times = few.get(recipe.regrinds, f", reground {recipe.regrinds} times")
    gas = recipe.atmosphere.replace("hydrogen_argon", "hydrogen in argon")
    return f"{recipe.temperature_k:.0f} K, {recipe.hold_h:g} h in {gas}, milled {recipe.mill_min:g} min{times}"
