"""A request in words to an accepted goal: what was read, converted, checked, completed and said back.

Nothing is guessed in silence: each default and each reading that could have been another is in `assumptions`, what
should be settled first is in `questions`, and each word that changed nothing is in `unused`. The reading itself is in
`words/`, the chemistry in `space.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, ValidationError

from ..tools.core.errors import GoalError
from ..tools.core.properties import check_range, get_property
from ..tools.core.types import (
    MAX_SITES,
    Budget,
    Constraint,
    Frozen,
    GoalSpec,
    Objective,
    Question,
    StopRule,
    StructureWish,
    Understanding,
)
from ..tools.core.units import convert
from .describe import amount_words
from .space import build_space
from .words.read import read
from .words.request import Request
from .words.units import OTHER

STABLE = 0.025
"""eV/atom above the hull that counts as stable: the thermal energy at room temperature, and about the error of a
hull distance by one functional."""

METASTABLE = 0.1
"""eV/atom above the hull that counts as metastable: beyond the 67 meV/atom within which 90 % of the known
metastable phases lie (Sun et al., Science Advances 2, e1600225, 2016)."""

ON_HULL = 0.001
"""eV/atom above the hull that counts as on it: numerical noise of a relaxation."""

LABORATORY = "default"
_FIDELITY: dict[str, Literal["potential", "dft", "experiment"]] = {
    "sevennet": "potential",
    "gpaw": "dft",
    "espresso": "dft",
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


def parse_goal(text: str, defaults: GoalDefaults | None = None) -> Understanding:
    """Understand a request.

    Args:
        text: one or a few sentences in English, Chinese or Russian, at most `words.text.MAX_CHARACTERS` characters.
        defaults: what to use where the text says nothing.

    Returns:
        The goal with every assumption, open question, word that was not used, and remark.

    Raises:
        GoalError: when there is no goal in the text, or it contradicts itself or physics.
    """
    return complete_goal(text, *read(text), defaults or GoalDefaults())


def complete_goal(text: str, request: Request, unused: tuple[str, ...], defaults: GoalDefaults) -> Understanding:
    """Check and complete what was read, by the grammar or by a model; arguments and errors as for `parse_goal`."""
    space, said = build_space(request, unused, defaults.max_atoms)
    numbers = _Numbers(request, said)
    constraints = numbers.constraints()
    objectives = numbers.objectives(constraints)
    budget, stop = _budget(request, defaults, said)
    if len(set(request.seeds)) > 1:
        raise GoalError(f"Two seeds: {request.seeds[0]} and {request.seeds[1]}.", "Give one.")
    if not request.seeds:
        said.append(f"seed: {defaults.seed} (default)")
    if request.synthesizable:
        said.append("'synthesizable' read as: charge-balanced, and at most metastable")
    try:
        goal = GoalSpec(
            text=text.strip(),
            objectives=objectives,
            tradeoff="pareto" if request.pareto else "weighted",
            constraints=constraints,
            space=space,
            structure=_structure(request),
            novel=request.novel,
            synthesizable=request.synthesizable,
            budget=budget,
            stop=stop,
            evaluator=_evaluator(request, defaults, said),
            laboratory=LABORATORY if request.laboratory else None,
            seed=request.seeds[0] if request.seeds else defaults.seed,
        )
    except ValidationError as error:
        raise invalid(error) from error
    notes = list(dict.fromkeys(request.notes))
    for name in goal.properties:
        if not get_property(name).cheap:
            notes.append(
                f"{get_property(name).label} comes from the evaluator only: it needs one that computes it (DFT)"
            )
    return Understanding(
        goal=goal,
        assumptions=tuple(dict.fromkeys((*request.assumptions, *said))),
        unused=unused,
        notes=tuple(notes),
        questions=tuple(Question(text=q, assumption=a) for q, a in dict.fromkeys(request.questions)),
    )


class _Numbers:
    """Bounds and wishes of a request, in the catalogue's units."""

    def __init__(self, request: Request, said: list[str]) -> None:
        self._request = request
        self._said = said
        self._weights = {self._before(clause): factor for clause, factor in request.weights}

    def _before(self, clause: int) -> int:
        """The last clause about a property before another one: `X, twice as important as Y`."""
        about = [n for _, _, n in self._request.bounds] + [w.clause for w in self._request.wishes]
        return max((n for n in about if n < clause), default=-1)

    def constraints(self) -> tuple[Constraint, ...]:
        """Every bound that is no objective."""
        request = self._request
        lower: dict[str, float] = {}
        upper: dict[str, float] = {}
        for name, bound, clause in request.bounds:
            if bound.kind == "target" or clause in self._weights:
                continue
            value = self._in_unit(name, bound.value, bound.unit)
            if bound.kind == "lower":
                lower[name] = max(value, lower.get(name, value))
            else:
                upper[name] = min(value, upper.get(name, value))
        self._stability(upper)
        for name in sorted(set(lower) & set(upper)):
            if lower[name] > upper[name]:
                row = get_property(name)
                raise GoalError(
                    f"{row.label} above {lower[name]:g} and below {upper[name]:g} {row.unit} contradict each other.",
                    "Change one of the bounds.",
                )
        names = dict.fromkeys([name for name, _, _ in request.bounds if name in lower or name in upper] + sorted(upper))
        return tuple(Constraint(property=name, lower=lower.get(name), upper=upper.get(name)) for name in names)

    def _stability(self, upper: dict[str, float]) -> None:
        """The loosest of `stable`, `metastable`, where no number is given: `stable or metastable` allows both."""
        hull = "energy_above_hull"
        limits = {"on the hull": ON_HULL, "stable": STABLE, "metastable": METASTABLE}
        named = [word for word in self._request.stability if word in limits]
        if self._request.synthesizable and hull not in upper and not named:
            named = ["metastable"]
        if hull in upper or not named:
            return
        word = max(named, key=lambda w: limits[w])
        upper[hull] = limits[word]
        self._said.append(f"'{word}' read as at most {limits[word] * 1000:g} meV/atom above the hull")

    def objectives(self, constraints: Sequence[Constraint]) -> tuple[Objective, ...]:
        """What is to be improved; the lowest energy above hull where nothing is said."""
        wanted: list[Objective] = []
        for clause in sorted({n for _, _, n in self._request.bounds} | {w.clause for w in self._request.wishes}):
            wanted += self._of_clause(clause)
        hull = Objective(property="energy_above_hull", direction="minimise")
        stability = self._request.stability
        if stability and not any(o.property == hull.property for o in wanted):
            if "most stable" in stability:
                self._said.append("the most stable read as the lowest energy above the hull")
            if not wanted or "most stable" in stability:
                wanted.append(hull)
        if not wanted:
            self._said.append("aim: lowest energy above hull (default, since nothing is to be highest or lowest)")
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
        if len(kept) > 1 and not self._weights and not self._request.pareto:
            self._said.append("aims weigh the same, each in units of its spread (default)")
        return tuple(kept.values())

    def _of_clause(self, clause: int) -> list[Objective]:
        weight = self._weights.get(clause, 1.0)
        found = [
            Objective(property=w.property, direction=w.direction, weight=weight)
            for w in self._request.wishes
            if w.clause == clause
        ]
        bounds = [(name, bound) for name, bound, n in self._request.bounds if n == clause]
        for name, bound in bounds:
            if bound.kind == "target":
                value = self._in_unit(name, bound.value, bound.unit)
                found.append(Objective(property=name, direction="target", target=value, weight=weight))
        if clause in self._weights and bounds and not found:
            values = {bound.kind: self._in_unit(name, bound.value, bound.unit) for name, bound in bounds}
            if len(values) < 2:
                raise GoalError("A condition that must hold has no weight.", "Give a target or a range instead.")
            if values["lower"] >= values["upper"]:
                raise GoalError("The range that is aimed at is empty.", "Give the lower value first.")
            found.append(
                Objective(
                    property=bounds[0][0],
                    direction="range",
                    lower=values["lower"],
                    upper=values["upper"],
                    weight=weight,
                )
            )
        return found

    def _in_unit(self, name: str, value: float, unit: str | None) -> float:
        """A value in the catalogue's unit, checked against physics."""
        row = get_property(name)
        if unit is None:
            assumed = f"{row.label}: {value:g} has no unit, read as {row.unit}"
            self._said.append(assumed)
            self._request.questions.append((f"In which unit is the {row.label}?", f"the unit {row.unit}"))
        elif unit == OTHER:
            raise GoalError(f"{row.label} of {value:g} has a unit that does not fit.", f"Give it in {row.unit}.")
        else:
            value = convert(value, unit, row.unit)
        value = float(f"{value:.12g}")
        check_range(name, value)
        return value


def _structure(request: Request) -> StructureWish:
    if len(set(request.centrosymmetric)) > 1:
        raise GoalError("Centrosymmetric and not centrosymmetric contradict each other.", "Drop one of the two.")
    return StructureWish.model_validate(
        {
            "prototypes": tuple(dict.fromkeys(request.prototypes)),
            "space_groups": tuple(sorted(set(request.space_groups))),
            "crystal_systems": tuple(dict.fromkeys(request.crystal_systems)),
            "dimensionality": tuple(sorted(set(request.dimensionality))),
            "centrosymmetric": request.centrosymmetric[0] if request.centrosymmetric else None,
        }
    )


def _budget(request: Request, defaults: GoalDefaults, said: list[str]) -> tuple[Budget, StopRule]:
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


def _evaluator(request: Request, defaults: GoalDefaults, said: list[str]) -> str:
    counted = [name for name, _ in request.evaluations if name]
    if len(set(counted)) > 1 and not request.evaluators:
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
