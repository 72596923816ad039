"""`results.json`: a campaign's results as plain, documented data with a schema version.

The file is canonical JSON (sorted keys, UTF-8, no NaN): equal records give equal bytes. `Results` is its schema;
`Results.model_json_schema()` yields it as JSON Schema for other programs.
"""

from __future__ import annotations

from typing import Literal

from ...tools.core.plans import RoundPlan
from ...tools.core.types import Crystal, Frozen, GoalSpec, Quantity
from ..record import CampaignRecord, FailureRow, HullPhase, PoolEntry, StageTime
from .discovery import Discovery, discover
from .names import crystal_stem
from .ranking import RANKING_RULE, headline, ranked

SCHEMA: Literal["lodestone-results"] = "lodestone-results"
SCHEMA_VERSION: Literal[1] = 1
"""Raised when a key is renamed, removed or changes its meaning; new keys leave it as it is."""

BEST_WITH_CIF = 10
"""CIFs are written for every crystal that meets the goal, and for this many of the best in any case."""


class RankedCrystal(Frozen):
    """One measured crystal. Lattice in Å, coordinates fractional."""

    rank: int
    """1 is the best, by `ranking_rule`."""
    candidate_id: str
    evaluation_key: str
    order: int
    """Position in the sequence of finished evaluations, from 1."""
    round: int
    formula: str
    space_group: int
    space_group_symbol: str
    prototype: str
    dimensionality: int
    generator: str
    novel: bool | None
    meets_goal: bool
    values: dict[str, Quantity]
    """Measured by `method`, catalogue names and units."""
    predicted: dict[str, Quantity]
    """Expected by the surrogate before the evaluation; `std` is one standard deviation."""
    cheap: dict[str, float]
    """By the relaxation potential alone, catalogue units."""
    evaluator: str
    method: str
    cost_core_s: float
    wall_s: float
    cif: str | None
    """Path of its CIF relative to this file, where one is written."""
    crystal: Crystal


class FailedEvaluation(Frozen):
    """An evaluation that was paid for and yielded nothing."""

    candidate_id: str
    evaluation_key: str
    order: int
    round: int
    formula: str
    reason: str
    method: str
    cost_core_s: float


class Spent(Frozen):
    """What the campaign has cost, against what it was allowed."""

    evaluations: int
    evaluations_budget: int
    evaluations_reference: int
    evaluations_labels: int = 0
    """Configurations that the potential was to learn."""
    evaluations_failed: int
    wall_s: float
    wall_budget_s: float
    core_s: float
    """Core-seconds of the candidates' evaluations."""


class Results(Frozen):
    """The whole file."""

    schema_name: Literal["lodestone-results"] = SCHEMA
    schema_version: Literal[1] = SCHEMA_VERSION
    headline: str
    status: str
    stop_reason: str
    started_at: str
    finished_at: str
    goal: GoalSpec
    goal_digest: str
    assumptions: tuple[str, ...]
    unused_words: tuple[str, ...]
    method: str
    evaluator: str
    potential: str
    hull_statement: str
    ranking_rule: str = RANKING_RULE
    crystals: tuple[RankedCrystal, ...]
    failed_evaluations: tuple[FailedEvaluation, ...]
    hull: tuple[HullPhase, ...]
    pool: tuple[PoolEntry, ...]
    discovery: Discovery | None
    coverage_90: float | None
    spent: Spent
    plans: tuple[RoundPlan, ...]
    failures: tuple[FailureRow, ...]
    times: tuple[StageTime, ...]
    notes: tuple[str, ...]
    versions: dict[str, str]


def cif_names(record: CampaignRecord) -> dict[str, str]:
    """Evaluation key to CIF file name, for every crystal that gets one (`BEST_WITH_CIF`)."""
    return {
        crystal.key: crystal_stem(rank, crystal) + ".cif"
        for rank, crystal in enumerate(ranked(record), 1)
        if crystal.meets_goal or rank <= BEST_WITH_CIF
    }


def make_results(record: CampaignRecord) -> Results:
    """The content of `results.json` for a campaign."""
    cifs = cif_names(record)
    crystals = tuple(
        RankedCrystal(
            rank=rank,
            candidate_id=row.candidate_id,
            evaluation_key=row.key,
            order=row.order,
            round=row.round,
            formula=row.formula,
            space_group=row.space_group,
            space_group_symbol=row.space_group_symbol,
            prototype=row.prototype,
            dimensionality=row.dimensionality,
            generator=row.generator,
            novel=row.novel,
            meets_goal=row.meets_goal,
            values=row.values,
            predicted=row.predicted,
            cheap=row.cheap,
            evaluator=row.evaluator,
            method=row.method,
            cost_core_s=row.cost_core_s,
            wall_s=row.wall_s,
            cif=f"cifs/{cifs[row.key]}" if row.key in cifs else None,
            crystal=row.crystal,
        )
        for rank, row in enumerate(ranked(record), 1)
    )
    failed = tuple(
        FailedEvaluation(
            candidate_id=row.candidate_id,
            evaluation_key=row.key,
            order=row.order,
            round=row.round,
            formula=row.formula,
            reason=row.failure,
            method=row.method,
            cost_core_s=row.cost_core_s,
        )
        for row in record.evaluated
        if row.failure
    )
    return Results(
        headline=headline(record),
        status=record.status,
        stop_reason=record.stop_reason,
        started_at=record.started_at,
        finished_at=record.finished_at,
        goal=record.goal,
        goal_digest=record.goal.digest(),
        assumptions=record.assumptions,
        unused_words=record.unused,
        method=record.method,
        evaluator=record.evaluator,
        potential=record.potential,
        hull_statement=record.hull_statement,
        crystals=crystals,
        failed_evaluations=failed,
        hull=record.hull,
        pool=record.pool,
        discovery=discover(record),
        coverage_90=record.coverage_90,
        spent=spent(record),
        plans=record.plans,
        failures=record.failures,
        times=record.times,
        notes=record.notes,
        versions=record.versions,
    )


def spent(record: CampaignRecord) -> Spent:
    """The campaign's cost so far."""
    return Spent(
        evaluations=record.evaluations_spent,
        evaluations_budget=record.goal.budget.evaluations,
        evaluations_reference=record.evaluations_reference,
        evaluations_labels=record.evaluations_labels,
        evaluations_failed=record.evaluations_failed,
        wall_s=record.wall_s,
        wall_budget_s=record.goal.budget.wall_hours * 3600,
        core_s=sum(crystal.cost_core_s for crystal in record.evaluated),
    )
