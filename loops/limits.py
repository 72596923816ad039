"""The operator's limits on what any request may ask for. No words, no model and no flag can raise them."""

from __future__ import annotations

from ..tools.core.errors import GoalError
from ..tools.core.types import Budget, GoalSpec, Understanding
from .settings import LimitSettings

LABELS = {
    "evaluations": "evaluations",
    "wall_hours": "hours",
    "core_hours": "core-hours",
    "money": "of money",
    "samples": "samples",
}
"""Fields of a budget that can have a limit, with their units in words."""


def check_limits(budget: Budget, limits: LimitSettings) -> None:
    """Raise GoalError for a budget beyond a limit."""
    for name, unit in LABELS.items():
        limit, wanted = getattr(limits, name), getattr(budget, name)
        if limit and wanted is not None and wanted > limit:
            raise GoalError(
                f"The request asks for {wanted:g} {unit}; {limit:g} are allowed here ([limits] {name}).",
                f"Ask for at most {limit:g}, or have the operator raise the limit.",
            )


def within_limits(understanding: Understanding, limits: LimitSettings) -> Understanding:
    """The same understanding, with the limits as caps of what it leaves open.

    Raises:
        GoalError: for a budget beyond a limit.
    """
    goal = understanding.goal
    check_limits(goal.budget, limits)
    open_ones = {
        name: limit
        for name in LABELS
        if (limit := getattr(limits, name))
        and getattr(goal.budget, name) is None
        and (name != "samples" or goal.laboratory is not None)
    }
    if not open_ones:
        return understanding
    budget = goal.budget.model_copy(update=open_ones)
    said = tuple(f"at most {limit:g} {LABELS[name]} (the limit here)" for name, limit in open_ones.items())
    return understanding.model_copy(
        update={
            "goal": GoalSpec.model_validate({**goal.model_dump(), "budget": budget.model_dump()}),
            "assumptions": (*understanding.assumptions, *said),
        }
    )
