"""Changes to an understood goal from the command line."""

from __future__ import annotations

from pydantic import ValidationError

from ..tools.core.errors import GoalError
from ..tools.core.types import Budget, GoalSpec, Understanding
from .describe import amount_words
from .spending import invalid


def apply_overrides(
    understanding: Understanding,
    *,
    evaluations: int | None = None,
    wall_hours: float | None = None,
    rounds: int | None = None,
    core_hours: float | None = None,
    money: float | None = None,
    seed: int | None = None,
    evaluator: str | None = None,
) -> Understanding:
    """The same understanding with values from the command line in place of those of the text or the defaults.

    Raises:
        GoalError: for a value that cannot be used.
    """
    goal = understanding.goal
    given: list[tuple[str, str]] = []
    budget = goal.budget.model_dump()
    for key, label, value in (
        ("evaluations", "budget", evaluations),
        ("wall_hours", "time", wall_hours),
        ("rounds", "rounds", rounds),
        ("core_hours", "core-hours", core_hours),
        ("money", "money", money),
    ):
        if value is not None:
            if not value > 0:
                raise GoalError(f"{label}: {value:g} is not positive.", "Give at least 1, or a positive time.")
            budget[key] = value
            given.append((label, f"{label}: {amount_words(key, value)} (given with the command)"))
    if seed is not None:
        given.append(("seed", f"seed: {seed} (given with the command)"))
    if evaluator is not None:
        if not evaluator.strip():
            raise GoalError("The evaluator's name is empty.", "Give a name, or 'auto'.")
        given.append(("evaluator", f"evaluator: {evaluator} (given with the command)"))
    try:
        changed = GoalSpec(
            **{
                **{name: getattr(goal, name) for name in GoalSpec.model_fields},
                "budget": Budget(**budget),
                "seed": goal.seed if seed is None else seed,
                "evaluator": goal.evaluator if evaluator is None else evaluator,
            }
        )
    except ValidationError as error:
        raise invalid(error) from error
    replaced = tuple(f"{label}: " for label, _ in given)
    kept = [line for line in understanding.assumptions if not (replaced and line.startswith(replaced))]
    return understanding.model_copy(update={"goal": changed, "assumptions": (*kept, *(line for _, line in given))})
