"""Which crystal is best, and the one sentence that says what a campaign found.

Every number comes from the record; nothing is computed anew but order and counts.
"""

from __future__ import annotations

import statistics

from ...tools.core.types import Objective
from ..record import CampaignRecord, EvaluatedCrystal
from .words import counted, label, quantity_text, stored

RANKING_RULE = (
    "Crystals that meet the goal come first; within each group the weighted objectives decide, "
    "each scaled by its spread over the evaluated crystals."
)


def loss(objective: Objective, value: float) -> float:
    """How far a value is from what is wanted: lower is better, in the catalogue's unit."""
    return objective.loss(value)


def main_objective(record: CampaignRecord) -> Objective:
    """The heaviest objective (the first of equals): the one that the curves follow."""
    return max(record.goal.objectives, key=lambda objective: objective.weight)


def measured_value(crystal: EvaluatedCrystal, name: str) -> float | None:
    """The measured value in the catalogue's unit, None where the evaluation failed or did not yield it."""
    quantity = crystal.values.get(name)
    return None if crystal.failure or quantity is None else stored(name, quantity).value


def ranked(record: CampaignRecord) -> list[EvaluatedCrystal]:
    """Measured crystals, best first (`RANKING_RULE`); failed evaluations are left out."""
    measured = [crystal for crystal in record.evaluated if not crystal.failure]
    columns: dict[int, tuple[list[float | None], float]] = {}
    for index, objective in enumerate(record.goal.objectives):
        values = [measured_value(crystal, objective.property) for crystal in measured]
        losses = [None if value is None else loss(objective, value) for value in values]
        known = [value for value in losses if value is not None]
        columns[index] = (losses, statistics.pstdev(known) or 1.0 if known else 1.0)

    def order(position: int) -> tuple[bool, int, float, float, int]:
        missing, total = 0, 0.0
        for index, objective in enumerate(record.goal.objectives):
            losses, spread = columns[index]
            value = losses[position]
            if value is None:
                missing += 1
            else:
                total += objective.weight * value / spread
        # Several phases lie on one hull: among them the most strongly bound comes first.
        energy = measured_value(measured[position], "formation_energy") or 0.0
        return (not measured[position].meets_goal, missing, round(total, 9), energy, measured[position].order)

    return [measured[position] for position in sorted(range(len(measured)), key=order)]


def crystal_name(crystal: EvaluatedCrystal) -> str:
    """Formula and space group, e.g. `NaCl (Fm-3m, no. 225)`."""
    return f"{crystal.formula} ({crystal.space_group_symbol}, no. {crystal.space_group})"


def reference_text(record: CampaignRecord) -> str:
    """Relative to which phases energies above hull are given, as the end of a sentence."""
    others = [phase for phase in record.hull if phase.source != "campaign"]
    own = len(record.hull) - len(others)
    if not record.hull:
        return ""
    names = list(dict.fromkeys(phase.formula for phase in others))
    listed = f" ({', '.join(names)})" if 0 < len(names) <= 5 else ""
    return (
        f"relative to {counted(len(others), 'reference phase')}{listed} "
        f"and the {counted(own, 'phase')} of this campaign, same method"
    )


def headline(record: CampaignRecord) -> str:
    """What was found, relative to which phases, by which method: one sentence, never more than was measured."""
    order = ranked(record)
    by = f"by {record.method}"
    failed = sum(1 for crystal in record.evaluated if crystal.failure)
    if not order:
        if failed:
            return f"Nothing was found: {counted(failed, 'evaluation')} {by} failed, and none succeeded."
        return f"Nothing was found: no crystal was evaluated {by}."
    best = order[0]
    hits = sum(1 for crystal in order if crystal.meets_goal)
    values = [
        f"{label(name)} {quantity_text(name, best.values[name])}"
        for name in record.goal.properties
        if name in best.values
    ]
    relative = reference_text(record) if "energy_above_hull" in record.goal.properties else ""
    tail = ", ".join([*values, *([relative] if relative else []), by])
    if hits:
        verb = "meets" if hits == 1 else "meet"
        lead = f"{hits} of {counted(len(order), 'evaluated crystal')} {verb} the goal; the best is {crystal_name(best)}"
    else:
        lead = f"None of {counted(len(order), 'evaluated crystal')} meets the goal; the closest is {crystal_name(best)}"
    return f"{lead}: {tail}."
