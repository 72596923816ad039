"""What the planner is told at the start of a round: a brief whose size does not grow with the campaign."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ..tools.core.plans import Brief, FidelityFacts, GeneratorYield, SystemYield
from .geometry import formula_amounts
from .knowledge import Knowledge
from .ledger import counts

NEAR_HULL = 0.025
"""eV/atom; within this of the hull a crystal counts as a useful proposal (thermal energy at room temperature)."""

ENOUGH = 15
"""Relaxed crystals of an element, none of them promising, after which it counts as barren: by chance, with a tenth of
all crystals promising, one element in five would."""

MAX_SYSTEMS = 8
"""Chemical systems that a brief tells of."""


def make_brief(
    knowledge: Knowledge,
    round_number: int,
    wall_s_left: float,
    calibration: float | None,
    fidelities: tuple[FidelityFacts, ...] = (),
) -> Brief:
    """What the planner is told; its size does not grow with the campaign."""
    best = knowledge.best()
    asked = knowledge.ledger.events("planner")
    spent = sum(e.state != "PROPOSED" for e in [*knowledge.evaluations, *knowledge.labels])
    reasons = counts.by_stage(knowledge.ledger)
    failed = sum(bool(e.failure) for e in knowledge.evaluations if e.purpose == "candidate")
    if failed:
        reasons["evaluate"] = failed
    return Brief(
        goal=knowledge.goal,
        round=round_number,
        generators=yields(knowledge),
        evaluations_spent=spent,
        evaluations_left=max(0, knowledge.goal.budget.evaluations - spent),
        wall_s_left=max(0.0, wall_s_left),
        rounds_left=max(0, knowledge.goal.budget.rounds - round_number + 1),
        best=None
        if best is None
        else {
            "formula": best.entry.formula,
            "space_group": best.member.recognition.space_group_symbol,
            **{k: round(q.value, 4) for k, q in best.values.items() if k in knowledge.goal.properties},
        },
        best_by_round=tuple(best_by_round(knowledge, round_number - 1)),
        hits=len(knowledge.hits()),
        calibration=calibration,
        pool=knowledge.waiting,
        systems=systems(knowledge)[:MAX_SYSTEMS],
        barren=barren(knowledge),
        fidelities=fidelities,
        planner_tokens=sum(e["tokens"] for e in asked),
        planner_money=round(sum(e["money"] for e in asked), 6),
        failures=dict(reasons),
    )


def best_by_round(knowledge: Knowledge, last: int) -> list[float | None]:
    """First objective of the best crystal known after each finished round, on today's hull; the last twenty.

    Rounds of second opinions are left out: they could not find anything.
    """
    opinions = {e.round for e in knowledge.opinions}
    name = knowledge.goal.objectives[0].property
    best: dict[bool, tuple[float, float]] = {}
    by_round: dict[int, float] = {}
    for m in sorted(
        (m for m in knowledge.measured if name in m.values and knowledge.is_asked_for(m.member)),
        key=lambda m: m.entry.round,
    ):
        rank, meets = knowledge.rank(m.values), knowledge.meets_goal(m.values)
        if meets not in best or rank < best[meets][0]:
            best[meets] = (rank, m.values[name].value)
        by_round[m.entry.round] = best[True in best][1]
    found: list[float | None] = []
    known: float | None = None
    for number in range(1, last + 1):
        known = by_round.get(number, known)
        if number not in opinions:
            found.append(known)
    return found[-20:]


def yields(knowledge: Knowledge) -> dict[str, GeneratorYield]:
    """How each generator has done so far."""
    table = counts.by_generator(knowledge.ledger)
    evaluated = Counter(knowledge.generator_of(i) for i in knowledge.evaluated_ids)
    promising = _promising(knowledge, "generators")
    sums: dict[str, list[float]] = {}
    for generator, above in zip(knowledge.generators, knowledge.above.tolist(), strict=True):
        total = sums.setdefault(generator, [0.0, 0.0, 0.0])
        total[0] += 1
        total[1] += above
        total[2] += above <= NEAR_HULL
    return {
        name: GeneratorYield(
            proposed=count["proposed"],
            screened_out=count["screened_out"],
            duplicates=count["duplicates"],
            relaxed=count["relaxed"],
            evaluated=evaluated[name],
            near_hull=int(sums[name][2]) if name in sums else 0,
            promising=promising.get(name, 0) if promising else None,
            mean_energy_above_hull=round(sums[name][1] / sums[name][0], 4) if name in sums else None,
        )
        for name, count in table.items()
    }


def systems(knowledge: Knowledge) -> tuple[SystemYield, ...]:
    """How each chemical system of the goal has done, the one with most promising crystals first."""
    formulas, rows = knowledge.formulas
    names: dict[tuple[str, ...], int] = {}
    of_formula = np.full(len(formulas), -1)
    for index, formula in enumerate(formulas):
        elements = _elements(formula)
        if len(elements) > 1 and knowledge.in_space(formula):
            of_formula[index] = names.setdefault(elements, len(names))
    if not names:
        return ()
    of_crystal = of_formula[rows]
    asked = of_crystal >= 0
    of_crystal, above = of_crystal[asked], knowledge.above[asked]
    relaxed = np.bincount(of_crystal, minlength=len(names))
    near = np.bincount(of_crystal, weights=above <= NEAR_HULL, minlength=len(names))
    lowest = np.full(len(names), np.inf)
    np.minimum.at(lowest, of_crystal, above)
    promising = _promising(knowledge, "systems")
    evaluated = Counter(_elements(e.formula) for e in knowledge.evaluations if e.purpose == "candidate")
    table = [
        SystemYield(
            elements=elements,
            relaxed=int(relaxed[i]),
            near_hull=int(near[i]),
            promising=promising.get("-".join(elements), 0),
            evaluated=evaluated[elements],
            lowest_above_hull=round(float(lowest[i]), 4),
        )
        for elements, i in names.items()
        if relaxed[i]
    ]
    return tuple(sorted(table, key=lambda s: (-s.promising, -s.near_hull, s.lowest_above_hull, s.elements)))


def barren(knowledge: Knowledge) -> tuple[str, ...]:
    """Elements of which many crystals were relaxed and none is promising; never one that the goal requires."""
    promising = _promising(knowledge, "elements")
    if not promising:
        return ()
    formulas, rows = knowledge.formulas
    each = np.bincount(rows, minlength=len(formulas)).tolist()
    relaxed: Counter[str] = Counter()
    for formula, count in zip(formulas, each, strict=True):
        relaxed.update(dict.fromkeys(_elements(formula), count))
    space = knowledge.goal.space
    return tuple(s for s in sorted(relaxed) if relaxed[s] >= ENOUGH and s not in promising and s not in space.required)


def _promising(knowledge: Knowledge, what: str) -> dict[str, int]:
    """What the last selection found promising; empty before the first."""
    events = knowledge.ledger.events("calibrated")
    found: dict[str, int] = events[-1].get("promising", {}).get(what, {}) if events else {}
    return found


def _elements(formula: str) -> tuple[str, ...]:
    return tuple(sorted(symbol for symbol, _ in formula_amounts(formula)))
