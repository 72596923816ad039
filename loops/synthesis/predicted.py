"""From a campaign that computed crystals to a goal of making one of them.

What is not here: making it (`campaign.py`).
"""

from __future__ import annotations

from pathlib import Path

from ...tools.core.errors import GoalError
from ...tools.core.synthesis import Phase, Prediction, SynthesisGoal
from ..explain import explain
from ..history import build_record
from ..report.ranking import ranked
from ..settings import Settings


def goal_from(directory: Path, which: str, settings: Settings, purity: float | None = None) -> SynthesisGoal:
    """What it means to make a crystal of a campaign.

    Args:
        directory: of the campaign that computed it.
        which: as in `explain`: a formula, the first digits of an id, or empty for the best crystal.
        settings: for the number of experiments and the time where nothing else is said.
        purity: weight fraction that is asked for; None: as in requests.

    Raises:
        GoalError: the crystal was never evaluated, or its evaluation failed.
        LedgerError: there is no such campaign, or no such crystal in it.
    """
    found = explain(directory, which)
    record = build_record(directory)
    order = [crystal.candidate_id for crystal in ranked(record)]
    if found.candidate_id not in order:
        raise GoalError(
            f"{found.formula} ({found.candidate_id[:12]}) was not evaluated with success.",
            "Make one that was: `lodestone status DIR` lists them.",
        )
    rank = order.index(found.candidate_id)
    crystal = ranked(record)[rank]
    energy, above = crystal.values.get("formation_energy"), crystal.values.get("energy_above_hull")
    phase = Phase(
        id=f"{crystal.formula}-predicted",
        formula=crystal.formula,
        crystal=crystal.crystal,
        formation_energy_ev_per_atom=None if energy is None else energy.value,
    )
    prediction = Prediction(
        phase=phase,
        origin=f"{crystal.formula}, {crystal.space_group_symbol}, number {rank + 1} of {len(order)} in {directory}",
        method=crystal.method,
        above_hull_ev_per_atom=None if above is None else above.value,
    )
    goal = SynthesisGoal(
        text=f'Make number {rank + 1} of the campaign "{record.goal.text}"',
        target=crystal.formula,
        experiments=settings.laboratory.experiments,
        wall_hours=settings.campaign.wall_hours,
        seed=settings.campaign.seed,
        predicted=prediction,
    )
    return goal if purity is None else goal.model_copy(update={"purity": purity})


def prediction_words(prediction: Prediction) -> str:
    """In a line."""
    above = prediction.above_hull_ev_per_atom
    hull = "" if above is None else f", {1000 * above:.0f} meV/atom above the hull"
    return f"{prediction.origin}; {prediction.method}{hull}"
