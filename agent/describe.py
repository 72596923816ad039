"""A goal in plain words."""

from __future__ import annotations

from ..tools.core.elements import ELEMENT_CLASSES
from ..tools.core.properties import get_property
from ..tools.core.types import Budget, ChemicalSpace, Constraint, GoalSpec, Objective, StructureWish, Understanding

_FEW = 12
"""Elements that are listed one by one."""


def describe(understanding: Understanding) -> list[tuple[str, str]]:
    """Rows (label, plain words) of what was understood, for a table."""
    goal = understanding.goal
    rows = [("aim", "; ".join(_objective_words(objective, goal) for objective in goal.objectives))]
    if goal.tradeoff == "pareto":
        rows.append(("several aims", "the set of best compromises (Pareto front)"))
    rows += [("condition", _constraint_words(constraint)) for constraint in goal.constraints]
    rows += _chemistry_rows(goal.space)
    rows += structure_rows(goal.structure)
    if goal.novel:
        rows.append(("known crystals", "do not count"))
    if goal.synthesizable:
        rows.append(("synthesis", "only what can be expected to be made"))
    rows.append(("budget", _budget_words(goal.budget)))
    hits = f"after {goal.stop.hits} that meet the goal, or " if goal.stop.hits else ""
    rows.append(("stop early", f"{hits}after {goal.stop.patience} rounds without a better one"))
    rows.append(("evaluator", goal.evaluator))
    if goal.laboratory:
        rows.append(("laboratory", goal.laboratory))
    rows.append(("seed", str(goal.seed)))
    rows += [("question", f"{q.text} (until then: {q.assumption})") for q in understanding.questions]
    rows += [("assumed", line) for line in understanding.assumptions]
    rows += [("not used", f"'{words}'") for words in understanding.unused]
    rows += [("note", line) for line in understanding.notes]
    return rows


def amount_words(key: str, value: float) -> str:
    """An amount of a budget, with its noun."""
    return _hours(value) if key == "wall_hours" else f"{value:g} {key.replace('_', '-')}"


def _chemistry_rows(space: ChemicalSpace) -> list[tuple[str, str]]:
    low, high = space.n_elements
    rows: list[tuple[str, str]] = []
    if space.formula:
        rows.append(("composition", space.formula))
    elif set(space.required) == set(space.allowed):
        rows.append(("elements", f"{'-'.join(space.required)} and no others"))
    else:
        rows.append(("must contain", ", ".join(space.required) or "nothing in particular"))
        rows += [("one at least of", ", ".join(group)) for group in space.any_of]
        rows.append(("may contain", _elements(space.allowed)))
    if space.pattern:
        rows.append(("stoichiometry", space.pattern))
    if space.excluded:
        rows.append(("excluded", _elements(space.excluded)))
    rows.append(("elements a crystal", str(low) if low == high else f"{low} to {high}"))
    rows.append(("cell", f"at most {space.max_atoms} atoms"))
    return rows


def structure_rows(structure: StructureWish) -> list[tuple[str, str]]:
    """Rows (label, plain words) of what a crystal should look like."""
    rows: list[tuple[str, str]] = []
    if structure.prototypes:
        rows.append(("structure type", " or ".join(structure.prototypes)))
    if structure.space_groups:
        rows.append(("space group", " or ".join(str(n) for n in structure.space_groups)))
    if structure.crystal_systems:
        rows.append(("crystal system", " or ".join(structure.crystal_systems)))
    if structure.dimensionality:
        words = {0: "molecules", 1: "chains", 2: "layers", 3: "a framework"}
        rows.append(("bonded units", " or ".join(words[n] for n in structure.dimensionality)))
    if structure.centrosymmetric is not None:
        rows.append(("inversion centre", "yes" if structure.centrosymmetric else "no"))
    return rows


def _elements(symbols: tuple[str, ...]) -> str:
    """A list of elements, by the name of a class where it is one."""
    for name, members in ELEMENT_CLASSES.items():
        if set(symbols) == set(members):
            return f"{name} ({len(symbols)} elements)"
    if len(symbols) <= _FEW:
        return ", ".join(symbols)
    return f"{', '.join(symbols[:_FEW])} and {len(symbols) - _FEW} more"


def _budget_words(budget: Budget) -> str:
    parts = [f"{budget.evaluations} evaluations", _hours(budget.wall_hours), f"{budget.rounds} rounds"]
    if budget.per_fidelity:
        kinds = ", ".join(f"{n} {name}" for name, n in budget.per_fidelity.items())
        parts[0] += f" ({kinds})"
    if budget.core_hours is not None:
        parts.append(f"{budget.core_hours:g} core-hours")
    if budget.money is not None:
        parts.append(f"{budget.money:g} of money")
    if budget.samples is not None:
        parts.append(f"{budget.samples} samples")
    return ", ".join(parts)


def _hours(hours: float) -> str:
    return f"{hours * 60:g} minutes" if hours < 1 else f"{hours:g} hours"


def _objective_words(objective: Objective, goal: GoalSpec) -> str:
    row = get_property(objective.property)
    if objective.target is not None:
        words = f"{row.label} close to {objective.target:g} {row.unit}"
    elif objective.direction == "range":
        words = f"{row.label} from {objective.lower:g} to {objective.upper:g} {row.unit}"
    else:
        words = f"{objective.direction} {row.label} ({row.unit})"
    weighted = len({o.weight for o in goal.objectives}) > 1
    return f"{words}, weight {objective.weight:g}" if weighted else words


def _constraint_words(constraint: Constraint) -> str:
    row = get_property(constraint.property)
    if constraint.lower is None:
        return f"{row.label} at most {constraint.upper:g} {row.unit}"
    if constraint.upper is None:
        return f"{row.label} at least {constraint.lower:g} {row.unit}"
    return f"{row.label} from {constraint.lower:g} to {constraint.upper:g} {row.unit}"
