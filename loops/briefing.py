"""What the planner is told at the start of a round: a brief whose size does not grow with the campaign."""

from __future__ import annotations

from collections import Counter

from ..tools.core.types import Brief, GeneratorYield
from .knowledge import Knowledge
from .ledger import counts

NEAR_HULL = 0.025
"""eV/atom; within this of the hull a crystal counts as a useful proposal (thermal energy at room temperature)."""


def make_brief(knowledge: Knowledge, round_number: int, wall_s_left: float, calibration: float | None) -> Brief:
    """What the planner is told; its size does not grow with the campaign."""
    best = knowledge.best()
    spent = sum(e.state != "PROPOSED" for e in knowledge.evaluations)
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
        failures=dict(reasons),
    )


def best_by_round(knowledge: Knowledge, last: int) -> list[float | None]:
    """First objective of the best crystal known after each finished round, on today's hull; the last twenty."""
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
        found.append(known)
    return found[-20:]


def yields(knowledge: Knowledge) -> dict[str, GeneratorYield]:
    """How each generator has done so far."""
    table = counts.by_generator(knowledge.ledger)
    evaluated = Counter(knowledge.generator_of(i) for i in knowledge.evaluated_ids)
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
            mean_energy_above_hull=round(sums[name][1] / sums[name][0], 4) if name in sums else None,
        )
        for name, count in table.items()
    }
