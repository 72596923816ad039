"""A request in English to an accepted goal: what the grammar read, converted, checked, completed and said back.

Nothing is guessed in silence: each default and each reading that could have been another is in `assumptions`,
and each word that changed nothing is in `unused`. The grammar itself is in `grammar.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, ValidationError

from ..tools.core.errors import GoalError
from ..tools.core.properties import check_range, get_property
from ..tools.core.types import MAX_SITES, Budget, Constraint, Frozen, GoalSpec, Objective, StopRule, Understanding
from ..tools.core.units import convert
from .grammar import read
from .reader import Request
from .space import build_space

STABLE = 0.025
"""eV/atom above the hull that counts as stable: the thermal energy at room temperature, and about the error of a
hull distance by one functional."""

METASTABLE = 0.1
"""eV/atom above the hull that counts as metastable: beyond the 67 meV/atom within which 90 % of the known
metastable phases lie (Sun et al., Science Advances 2, e1600225, 2016)."""

ON_HULL = 0.001
"""eV/atom above the hull that counts as on it: numerical noise of a relaxation."""


class GoalDefaults(Frozen):
    """What a request gets where it says nothing; the caller fills it from its settings."""

    evaluations: int = Field(default=20, ge=1)
    wall_hours: float = Field(default=24.0, gt=0.0)
    rounds: int = Field(default=1000, ge=1)
    max_atoms: int = Field(default=20, ge=1, le=MAX_SITES)
    evaluator: str = "auto"
    seed: int = Field(default=0, ge=0, lt=2**31)
    patience: int = Field(default=4, ge=1)


def parse_goal(text: str, defaults: GoalDefaults | None = None) -> Understanding:
    """Understand a request.

    Args:
        text: one or a few English sentences, at most `grammar.MAX_CHARACTERS` characters.
        defaults: what to use where the text says nothing.

    Returns:
        The goal with every assumption, every word that was not used, and remarks.

    Raises:
        GoalError: when there is no goal in the text, or it contradicts itself or physics.
    """
    defaults = defaults or GoalDefaults()
    reader = read(text)
    request = reader.request
    space, said = build_space(reader, defaults.max_atoms)
    constraints = _constraints(request, said)
    objectives = _objectives(request, constraints, said)
    budget, stop = _budget(request, defaults, said)
    if request.seeds[1:] and len(set(request.seeds)) > 1:
        raise GoalError(f"Two seeds: {request.seeds[0]} and {request.seeds[1]}.", "Give one.")
    if not request.seeds:
        said.append(f"seed: {defaults.seed} (default)")
    try:
        goal = GoalSpec(
            text=text.strip(),
            objectives=objectives,
            constraints=constraints,
            space=space,
            budget=budget,
            stop=stop,
            evaluator=_evaluator(request, defaults, said),
            seed=request.seeds[0] if request.seeds else defaults.seed,
        )
    except ValidationError as error:
        raise _invalid(error) from error
    notes = list(dict.fromkeys(request.notes))
    for name in goal.properties:
        if not get_property(name).cheap:
            notes.append(
                f"{get_property(name).label} comes from the evaluator only: it needs one that computes it (DFT)"
            )
    return Understanding(
        goal=goal,
        assumptions=tuple(dict.fromkeys((*request.assumptions, *said))),
        unused=reader.unused(),
        notes=tuple(notes),
    )


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
            given.append((label, f"{label}: {_budget_words(key, value)} (given with the command)"))
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
        raise _invalid(error) from error
    replaced = tuple(f"{label}: " for label, _ in given)
    kept = [line for line in understanding.assumptions if not (replaced and line.startswith(replaced))]
    return understanding.model_copy(update={"goal": changed, "assumptions": (*kept, *(line for _, line in given))})


def describe(understanding: Understanding) -> list[tuple[str, str]]:
    """Rows (label, plain words) of what was understood, for a table."""
    goal = understanding.goal
    space = goal.space
    low, high = space.n_elements
    rows = [("aim", "; ".join(_objective_words(objective) for objective in goal.objectives))]
    rows += [("condition", _constraint_words(constraint)) for constraint in goal.constraints]
    if space.formula:
        rows.append(("composition", space.formula))
    elif set(space.required) == set(space.allowed):
        rows.append(("elements", f"{'-'.join(space.required)} and no others"))
    else:
        rows.append(("must contain", ", ".join(space.required) or "nothing in particular"))
        many = len(space.allowed) > 12
        rows.append(("may contain", f"{len(space.allowed)} elements" if many else ", ".join(space.allowed)))
    if space.excluded:
        shown = ", ".join(space.excluded[:12]) + (
            f" and {len(space.excluded) - 12} more" if space.excluded[12:] else ""
        )
        rows.append(("excluded", shown))
    rows.append(("elements a crystal", str(low) if low == high else f"{low} to {high}"))
    rows.append(("cell", f"at most {space.max_atoms} atoms"))
    rows.append(
        (
            "budget",
            _all_budget_words(goal.budget),
        )
    )
    hits = f"after {goal.stop.hits} that meet the goal, or " if goal.stop.hits else ""
    rows.append(("stop early", f"{hits}after {goal.stop.patience} rounds without a better one"))
    rows.append(("evaluator", goal.evaluator))
    rows.append(("seed", str(goal.seed)))
    rows += [("assumed", line) for line in understanding.assumptions]
    rows += [("not used", f"'{words}'") for words in understanding.unused]
    rows += [("note", line) for line in understanding.notes]
    return rows


def _constraints(request: Request, said: list[str]) -> tuple[Constraint, ...]:
    lower: dict[str, float] = {}
    upper: dict[str, float] = {}
    for name, bound in request.bounds:
        if bound.kind == "target":
            continue
        value = _in_unit(name, bound.value, bound.unit, said)
        if bound.kind == "lower":
            lower[name] = max(value, lower.get(name, value))
        else:
            upper[name] = min(value, upper.get(name, value))
    hull = "energy_above_hull"
    if hull not in upper:
        for meaning, limit in (("on the hull", ON_HULL), ("stable", STABLE), ("metastable", METASTABLE)):
            if meaning in request.stability:
                upper[hull] = limit
                said.append(f"'{meaning}' read as at most {limit * 1000:g} meV/atom above the hull")
                break
    for name in sorted(set(lower) & set(upper)):
        if lower[name] > upper[name]:
            row = get_property(name)
            raise GoalError(
                f"{row.label} above {lower[name]:g} and below {upper[name]:g} {row.unit} contradict each other.",
                "Change one of the bounds.",
            )
    names = dict.fromkeys([name for name, bound in request.bounds if bound.kind != "target"] + sorted(upper))
    return tuple(Constraint(property=name, lower=lower.get(name), upper=upper.get(name)) for name in names)


def _objectives(request: Request, constraints: Sequence[Constraint], said: list[str]) -> tuple[Objective, ...]:
    wanted = list(request.objectives)
    for name, bound in request.bounds:
        if bound.kind == "target":
            value = _in_unit(name, bound.value, bound.unit, said)
            wanted.append(Objective(property=name, direction="target", target=value))
    hull = Objective(property="energy_above_hull", direction="minimise")
    if request.stability:
        if "most stable" in request.stability:
            said.append("the most stable read as the lowest energy above the hull")
        wanted.append(hull)
    if not wanted:
        said.append("aim: lowest energy above hull (default, since nothing is to be highest or lowest)")
        wanted.append(hull)
    kept: dict[str, Objective] = {}
    for objective in wanted:
        label = get_property(objective.property).label
        if kept.setdefault(objective.property, objective) != objective:
            raise GoalError(f"Two different aims for {label}.", "Keep one of them.")
        if objective.target is not None:
            for constraint in constraints:
                if constraint.property == objective.property and not constraint.holds(objective.target):
                    raise GoalError(f"The {label} aimed at is outside the bounds on it.", "Change one of them.")
    return tuple(kept.values())


def _in_unit(name: str, value: float, unit: str | None, said: list[str]) -> float:
    """A value in the catalogue's unit, checked against physics."""
    row = get_property(name)
    if unit is None:
        said.append(f"{row.label}: {value:g} has no unit, read as {row.unit}")
    elif unit == "other":
        raise GoalError(f"{row.label} of {value:g} has a unit that does not fit.", f"Give it in {row.unit}.")
    else:
        value = convert(value, unit, row.unit)
    value = float(f"{value:.12g}")
    check_range(name, value)
    return value


def _budget(request: Request, defaults: GoalDefaults, said: list[str]) -> tuple[Budget, StopRule]:
    values: dict[str, float] = {}
    if request.hours:
        values["wall_hours"] = sum(request.hours.values())
    amounts: tuple[tuple[str, Sequence[float]], ...] = (
        ("evaluations", request.evaluations),
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
            said.append(f"{label}: {_budget_words(key, values[key])} (default)")
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
        raise _invalid(error) from error


def _evaluator(request: Request, defaults: GoalDefaults, said: list[str]) -> str:
    names = [name for name in dict.fromkeys(request.evaluators) if name != "dft"]
    if len(names) > 1:
        raise GoalError(f"Two evaluators: {names[0]} and {names[1]}.", "Name one.")
    if "dft" in request.evaluators and names == ["sevennet"]:
        raise GoalError("SevenNet is not DFT, and both are asked for.", "Name one.")
    if names:
        return names[0]
    if request.evaluators:
        said.append("evaluator: any installed density-functional code ('DFT')")
        return "dft"
    said.append(f"evaluator: {defaults.evaluator} (default)")
    return defaults.evaluator


def _invalid(error: ValidationError) -> GoalError:
    """The first complaint of the types, as words for the user."""
    first = error.errors(include_url=False, include_input=True)[0]
    where = " ".join(str(part) for part in first["loc"]) or "goal"
    value = first.get("input")
    shown = f" ({value:g})" if isinstance(value, int | float) else ""
    return GoalError(f"{where}{shown}: {first['msg']}.", "Change the request.")


def _budget_words(key: str, value: float) -> str:
    return _hours(value) if key == "wall_hours" else f"{value:g} {key.replace('_', '-')}"


def _all_budget_words(budget: Budget) -> str:
    parts = [f"{budget.evaluations} evaluations", _hours(budget.wall_hours), f"{budget.rounds} rounds"]
    if budget.core_hours is not None:
        parts.append(f"{budget.core_hours:g} core-hours")
    if budget.money is not None:
        parts.append(f"{budget.money:g} of money")
    if budget.samples is not None:
        parts.append(f"{budget.samples} samples")
    return ", ".join(parts)


def _hours(hours: float) -> str:
    return f"{hours * 60:g} minutes" if hours < 1 else f"{hours:g} hours"


def _objective_words(objective: Objective) -> str:
    row = get_property(objective.property)
    if objective.target is not None:
        return f"{row.label} close to {objective.target:g} {row.unit}"
    return f"{objective.direction} {row.label} ({row.unit})"


def _constraint_words(constraint: Constraint) -> str:
    row = get_property(constraint.property)
    if constraint.lower is None:
        return f"{row.label} at most {constraint.upper:g} {row.unit}"
    if constraint.upper is None:
        return f"{row.label} at least {constraint.lower:g} {row.unit}"
    return f"{row.label} from {constraint.lower:g} to {constraint.upper:g} {row.unit}"
