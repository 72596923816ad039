"""What a campaign may spend, when it stops, and what evaluates: from what was read, with defaults said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, ValidationError

from ..tools.core.errors import GoalError
from ..tools.core.types import MAX_SITES, Budget, Frozen, StopRule
from .describe import amount_words
from .words.request import Request

_FIDELITY: dict[str, Literal["potential", "dft", "experiment"]] = {
    "sevennet": "potential",
    "gpaw": "dft",
    "espresso": "dft",
    "abinit": "dft",
    "vasp": "dft",
    "dft": "dft",
}


class GoalDefaults(Frozen):
    """What a request gets where it says nothing; the caller fills it from its settings."""

    evaluations: int = Field(default=20, ge=1)
    wall_hours: float = Field(default=24.0, gt=0.0)
    rounds: int = Field(default=1000, ge=1)
    max_atoms: int = Field(default=20, ge=1, le=MAX_SITES)
    evaluator: str = "auto"
    seed: int = Field(default=0, ge=0, lt=2**31)
    patience: int = Field(default=4, ge=1)


def limits_of(request: Request, defaults: GoalDefaults, said: list[str]) -> tuple[Budget, StopRule]:
    values: dict[str, object] = {}
    evaluations, per_fidelity = _evaluations(request)
    if request.hours:
        values["wall_hours"] = sum(request.hours.values())
    amounts: tuple[tuple[str, Sequence[float]], ...] = (
        ("evaluations", evaluations),
        ("rounds", request.rounds),
        ("core_hours", request.core_hours),
        ("money", request.money),
        ("samples", request.samples),
    )
    for key, stated in amounts:
        if len(set(stated)) > 1:
            raise GoalError(f"Two budgets of {key.replace('_', ' ')}: {stated[0]:g} and {stated[1]:g}.", "Give one.")
        if stated:
            values[key] = stated[0]
    for key, label in (("evaluations", "budget"), ("wall_hours", "time"), ("rounds", "rounds")):
        if key not in values:
            values[key] = getattr(defaults, key)
            said.append(f"{label}: {amount_words(key, getattr(defaults, key))} (default)")
    if per_fidelity:
        values["per_fidelity"] = per_fidelity
    patience = request.patience[0] if request.patience else defaults.patience
    if not request.patience:
        said.append(f"stop early after {patience} rounds without a better crystal (default)")
    if len(set(request.hits)) > 1:
        raise GoalError(f"Two numbers of crystals wanted: {request.hits[0]} and {request.hits[1]}.", "Give one.")
    try:
        return Budget.model_validate(values), StopRule(
            hits=request.hits[0] if request.hits else None, patience=patience
        )
    except ValidationError as error:
        raise invalid(error) from error


def _evaluations(request: Request) -> tuple[list[int], dict[str, int]]:
    """The numbers of evaluations said, and those of each fidelity where several evaluators are named."""
    named = {name: n for name, n in request.evaluations if name}
    total = [n for name, n in request.evaluations if not name]
    if len(named) < 2 and not (named and total):
        return [n for _, n in request.evaluations], {}
    fidelities: dict[str, int] = {}
    for name, n in named.items():
        fidelities[_FIDELITY[name]] = fidelities.get(_FIDELITY[name], 0) + n
    if not total:
        return [sum(named.values())], fidelities
    if any(n > min(total) for n in fidelities.values()):
        raise GoalError(f"Of {min(total)} evaluations, {max(fidelities.values())} are asked for.", "Change one number.")
    return total, fidelities


def evaluator_of(request: Request, defaults: GoalDefaults, said: list[str]) -> str:
    counted = [name for name, _ in request.evaluations if name]
    part = counted and any(not name for name, _ in request.evaluations)
    if (len(set(counted)) > 1 or part) and not request.evaluators:
        said.append(f"evaluator: {defaults.evaluator}, within the numbers given for each kind")
        return defaults.evaluator
    every = [*counted, *request.evaluators]
    names = [name for name in dict.fromkeys(every) if name != "dft"]
    if len(names) > 1:
        raise GoalError(f"Two evaluators: {names[0]} and {names[1]}.", "Name one.")
    if "dft" in every and names == ["sevennet"]:
        raise GoalError("SevenNet is not DFT, and both are asked for.", "Name one.")
    if names:
        return names[0]
    if every:
        said.append("evaluator: any installed density-functional code ('DFT')")
        return "dft"
    said.append(f"evaluator: {defaults.evaluator} (default)")
    return defaults.evaluator


def invalid(error: ValidationError) -> GoalError:
    """The first complaint of the types, as words for the user."""
    first = error.errors(include_url=False, include_input=True)[0]
    where = " ".join(str(part) for part in first["loc"]) or "goal"
    value = first.get("input")
    shown = f" ({value:g})" if isinstance(value, int | float) else ""
    return GoalError(f"{where}{shown}: {first['msg']}.", "Change the request.")
