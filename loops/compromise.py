"""Several aims without weights: the set of best compromises among what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..tools.core.types import GoalSpec, Quantity

if TYPE_CHECKING:
    from .knowledge import Measured


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
