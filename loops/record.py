"""The campaign as plain data: what `status`, `report` and `export` read. Filled from the ledger, never written back."""

from __future__ import annotations

from ..tools.core.plans import RoundPlan
from ..tools.core.types import Crystal, Frozen, GoalSpec, Quantity


class EvaluatedCrystal(Frozen):
    """One paid evaluation of a candidate, as the report shows it. `None`: not known or not applicable."""

    key: str
    candidate_id: str
    order: int
    """Position in the sequence of finished candidate evaluations, from 1."""
    round: int
    formula: str
    crystal: Crystal
    """As evaluated (relaxed by the evaluator where it relaxes, else by the potential)."""
    space_group: int
    space_group_symbol: str
    prototype: str
    dimensionality: int
    generator: str
    values: dict[str, Quantity]
    """Measured (and hull-derived) properties by catalogue name, by the evaluator."""
    predicted: dict[str, Quantity] = {}
    """What the surrogate expected before the money was spent; `std` is one calibrated standard deviation."""
    cheap: dict[str, float] = {}
    """What the relaxation potential alone said."""
    meets_goal: bool
    why: str = ""
    """Why it was chosen, in the words of that moment."""
    evaluator: str
    method: str
    cost_core_s: float
    wall_s: float
    failure: str = ""
    novel: bool | None = None


class PoolEntry(Frozen):
    """One relaxed crystal, evaluated or not: the pool that the acquisition chose from."""

    candidate_id: str
    formula: str
    round: int
    generator: str
    space_group: int
    cheap: dict[str, float]
    predicted: dict[str, Quantity] = {}
    evaluated: bool


class HullPhase(Frozen):
    """One phase on or above the hull. Energies in eV/atom by `method`."""

    formula: str
    amounts: dict[str, float]
    energy_per_atom: float
    formation_energy: float
    energy_above_hull: float
    method: str
    source: str
    """`reference`, `campaign`, or `materials project`."""
    candidate_id: str = ""


class FailureRow(Frozen):
    """One failure with its reason; `count` repeats of the same reason are merged."""

    round: int
    stage: str
    what: str
    reason: str
    count: int = 1


class StageTime(Frozen):
    """Wall seconds spent in one stage of the rounds. `tool` False marks Lodestone's own time."""

    stage: str
    wall_s: float
    tool: bool


class CampaignRecord(Frozen):
    """Everything about one campaign."""

    directory: str
    goal: GoalSpec
    assumptions: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    status: str
    """`running`, `interrupted`, `finished`."""
    stop_reason: str = ""
    started_at: str
    finished_at: str = ""
    wall_s: float
    evaluator: str
    method: str
    opinion_fidelity: str = ""
    """Of the evaluator that gives second opinions; empty where nobody does."""
    potential: str
    plans: tuple[RoundPlan, ...] = ()
    evaluated: tuple[EvaluatedCrystal, ...] = ()
    pool: tuple[PoolEntry, ...] = ()
    hull: tuple[HullPhase, ...] = ()
    hull_statement: str = ""
    """Relative to which phases energies above hull are given, in words."""
    failures: tuple[FailureRow, ...] = ()
    times: tuple[StageTime, ...] = ()
    evaluations_spent: int = 0
    evaluations_reference: int = 0
    evaluations_labels: int = 0
    evaluations_failed: int = 0
    coverage_90: float | None = None
    """Share of measured objective values inside their 90 % prediction intervals (prequential)."""
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = {}
