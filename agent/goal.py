"""A request in words to an accepted goal: what was read, converted, checked, completed and said back.

Nothing is guessed in silence: each default and each reading that could have been another is in `assumptions`, what
should be settled first is in `questions`, and each word that changed nothing is in `unused`. The reading itself is in
`words/`, the chemistry in `space.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from ..tools.core.errors import GoalError
from ..tools.core.properties import CATALOGUE, check_range, get_property
from ..tools.core.types import (
    Constraint,
    GoalSpec,
    Objective,
    Question,
    Understanding,
)
from ..tools.core.units import convert
from .space import build_space
from .spending import GoalDefaults as GoalDefaults
from .spending import evaluator_of, invalid, limits_of
from .structure import structure_of
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
    budget, stop = limits_of(request, defaults, said)
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
            structure=structure_of(request),
            novel=request.novel,
            synthesizable=request.synthesizable,
            budget=budget,
            stop=stop,
            evaluator=evaluator_of(request, defaults, said),
            laboratory=LABORATORY if request.laboratory else None,
            seed=request.seeds[0] if request.seeds else defaults.seed,
        )
    except ValidationError as error:
        raise invalid(error) from error
    _check_evaluator(goal)
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


def _check_evaluator(goal: GoalSpec) -> None:
    """Raises GoalError where the evaluator that is asked for yields no value of a property."""
    known = {source.by for row in CATALOGUE.values() for source in row.sources}
    if goal.evaluator not in known:
        return
    for name in goal.properties:
        row = get_property(name)
        if goal.evaluator not in {source.by for source in row.sources}:
            able = " or ".join(source.by for source in row.sources)
            raise GoalError(f"{goal.evaluator} does not yield the {row.label}.", f"Name {able}, or leave it out.")


class _Numbers:
    """Bounds and wishes of a request, in the catalogue's units."""

    def __init__(self, request: Request, said: list[str]) -> None:
        self._request = request
        self._said = said
        self._weights = {n: w for clause, factors in request.weights for n, w in self._weighed(clause, factors)}

    def _weighed(self, clause: int, factors: Sequence[float]) -> list[tuple[int, float]]:
        """The clauses about properties that weights belong to: those before (`X, weight 3`), else those behind."""
        about = sorted({n for _, _, n in self._request.bounds} | {w.clause for w in self._request.wishes})
        before = [n for n in about if n < clause][-len(factors) :]
        chosen = before if len(before) == len(factors) else [n for n in about if n > clause][: len(factors)]
        if len(chosen) < len(factors):
            raise GoalError("A weight belongs to no aim.", "Say it behind the aim: 'maximise the gap (weight 2)'.")
        return list(zip(chosen, factors, strict=True))

    def constraints(self) -> tuple[Constraint, ...]:
        """Every bound that is no objective."""
        request = self._request
        lower: dict[str, float] = {}
        upper: dict[str, float] = {}
        for name, bound, clause in request.bounds:
            if bound.kind == "target" or clause in self._weights or self._is_weighed_range(name, clause):
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

    def _is_weighed_range(self, name: str, clause: int) -> bool:
        """Whether two bounds of one clause are an aim, since the property has a weight and no other aim."""
        request = self._request
        two = sum(n == clause for _, _, n in request.bounds) == 2
        return name in request.property_weights and two and not any(w.property == name for w in request.wishes)

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

    def _is_bounded(self, name: str) -> bool:
        return any(about == name for about, _, _ in self._request.bounds)

    def _of_clause(self, clause: int) -> list[Objective]:
        by_name = self._request.property_weights
        weight = self._weights.get(clause, 1.0)
        found = [
            Objective(property=w.property, direction=w.direction, weight=by_name.get(w.property, weight))
            for w in self._request.wishes
            if w.clause == clause and not (w.vague and self._is_bounded(w.property))
        ]
        bounds = [(name, bound) for name, bound, n in self._request.bounds if n == clause]
        for name, bound in bounds:
            if bound.kind == "target":
                value = self._in_unit(name, bound.value, bound.unit)
                weight = by_name.get(name, weight)
                found.append(Objective(property=name, direction="target", target=value, weight=weight))
        as_range = bool(bounds) and (clause in self._weights or self._is_weighed_range(bounds[0][0], clause))
        if as_range and not found:
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
                    weight=by_name.get(bounds[0][0], weight),
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
            try:
                value = convert(value, unit, row.unit)
            except GoalError as error:
                raise GoalError(f"{row.label}: {error.problem}", error.remedy) from error
        value = float(f"{value:.12g}")
        check_range(name, value)
        return value
