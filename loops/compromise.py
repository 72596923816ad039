"""Several aims without weights: the set of best compromises, and where in it the next evaluations go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..tools.core.types import GoalSpec, Quantity

if TYPE_CHECKING:
    from .knowledge import Measured

LEAST = 0.02
"""Smallest weight of an aim: none is ever ignored."""


def losses(goal: GoalSpec, values: Mapping[str, Quantity]) -> tuple[float, ...]:
    """One loss an objective, lower is better; infinite where a value is missing."""
    return tuple(o.loss(values[o.property].value) if o.property in values else float("inf") for o in goal.objectives)


def front(goal: GoalSpec, measured: Sequence[Measured]) -> list[Measured]:
    """Those that no other beats in one aim without losing in another (Pareto front), in the order given."""
    table = np.array([losses(goal, m.values) for m in measured]).reshape(len(measured), len(goal.objectives))
    kept = []
    for row, m in enumerate(measured):
        if not np.isfinite(table[row]).all():
            continue
        no_worse = (table <= table[row]).all(axis=1)
        better = (table < table[row]).any(axis=1)
        if not (no_worse & better).any():
            kept.append(m)
    return kept


def weighted(goal: GoalSpec, number: int) -> GoalSpec:
    """The goal with weights of its own for one choice, so that choices spread along the front.

    ParEGO (Knowles, IEEE Trans. Evol. Comput. 10, 50 (2006)) draws them evenly from the simplex; here with the sum of
    the objectives' number. The same goal and number give the same weights.
    """
    if goal.tradeoff != "pareto" or len(goal.objectives) < 2:
        return goal
    count = len(goal.objectives)
    drawn = np.random.default_rng([goal.seed, number]).dirichlet(np.ones(count)) * count
    objectives = tuple(
        o.model_copy(update={"weight": max(LEAST, round(float(w), 6))})
        for o, w in zip(goal.objectives, drawn, strict=True)
    )
    return goal.model_copy(update={"objectives": objectives})


def best_for(goal: GoalSpec, measured: Sequence[Measured]) -> Measured | None:
    """The best by the weights of a goal, each loss in units of its spread."""
    table = np.array([losses(goal, m.values) for m in measured]).reshape(len(measured), len(goal.objectives))
    finite = np.isfinite(table).all(axis=1)
    if not finite.any():
        return None
    spread = table[finite].std(axis=0)
    spread[spread == 0] = 1.0
    weights = np.array([o.weight for o in goal.objectives])
    total = np.where(finite, np.where(np.isfinite(table), table, 0.0) @ (weights / spread), np.inf)
    return measured[int(np.argmin(total))]
