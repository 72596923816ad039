"""Which crystals of the pool deserve the next evaluations, in order and with a reason in words.

What is not here: merit of single crystals (`merit.py`), the models (`models.py`), sentences (`reasons.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from ..tools.core.errors import ToolError
from ..tools.core.types import GoalSpec
from .beliefs import Belief, PoolBeliefs
from .diversity import log_penalty, nearest_distance, typical_distance
from .merit import (
    FLOOR,
    log_expected_approach,
    log_expected_improvement,
    log_feasibility,
    log_probability_within,
    objective_scales,
    utility,
    utility_belief,
)

if TYPE_CHECKING:
    import torch

SHORTLIST = 2000
"""Crystals (best by first score) among which a batch is composed; the others are scored once."""

MIN_DISTANCE_SHARE = 0.1
"""A target already met has no improvement left; the wanted distance never falls below this part of the median
deviation, so that the choice stays among the most probable."""


class Aim(StrEnum):
    """What the batch is chosen for."""

    IMPROVE = "improve"
    """Beat the best measured crystal that keeps the limits (or, before there is one, the best expected)."""
    FEASIBLE = "feasible"
    """Nothing measured keeps the limits yet: find one that does."""
    HITS = "hits"
    """The goal counts crystals that keep the limits: find as many as possible."""
    FRONT = "front"
    """The goal asks for the set of best compromises: extend it (`front.py`)."""


@dataclass(frozen=True)
class Selection:
    """One chosen crystal, by its row in the pool."""

    row: int
    score: float
    """Logarithm of the blended merit at its turn in the batch, relative to the best left then."""
    chance: float
    """Probability, before the batch, to reach the aim: to be the new best within the limits, or to keep the limits."""
    novelty: float
    """Distance to the nearest measured crystal over the typical distance in the pool; infinite without any."""
    explored: bool
    """Whether exploration rather than merit brought it here."""


@dataclass(frozen=True)
class Context:
    """Everything a choice depends on besides the beliefs."""

    goal: GoalSpec
    q: int
    exploration: float
    """0: only merit; 1: only what is least known."""
    best: Mapping[str, float] | None
    """Measured values of the best crystal so far, energy above hull relative to the pool's hull."""
    measured: torch.Tensor
    """`n x d` features of what was measured; chosen crystals keep a distance from them."""
    log_success: torch.Tensor | None = field(default=None)
    """`m` logarithms of the chance that the evaluation yields a number; None: the same for all."""


def aim_of(goal: GoalSpec, best: Mapping[str, float] | None) -> Aim:
    """Hits where the goal has limits and a number of hits to stop at; else improvement once a measured crystal
    keeps the limits (Gardner et al., ICML 2014), and before that feasibility."""
    if goal.stop.hits is not None and goal.constraints:
        return Aim.HITS
    if best is not None and not keeps_limits(goal, best):
        return Aim.FEASIBLE
    return Aim.IMPROVE


def keeps_limits(goal: GoalSpec, values: Mapping[str, float]) -> bool:
    """Whether values satisfy every constraint; a missing value does not. An energy below the hull of the other
    phases counts as on the hull."""
    clipped = {k: max(0.0, v) if k == "energy_above_hull" else v for k, v in values.items()}
    return all(c.property in clipped and c.holds(clipped[c.property]) for c in goal.constraints)


def select(beliefs: PoolBeliefs, context: Context) -> list[Selection]:
    """Choose at most q crystals, the most deserving first.

    Score = log[(1 - e) merit / max merit + e deviation / max deviation] + log success + log penalty, where merit is
    expected improvement times the chance to keep the limits, or that chance alone, by the aim. Several objectives
    enter as a weighted sum of standardised ones; where the goal asks for the Pareto front, and measured crystals keep
    its limits, as the hypervolume under it (`front.py`).
    The batch is greedy: after each pick the models believe its expected value (`PoolBeliefs.after`), the incumbent
    follows, and near-duplicates of picks and of measured crystals are held back. Ties go to the earlier row.

    Args:
        beliefs: of the m crystals of the pool.
        context: goal, batch size and what was measured.

    Returns:
        min(q, m) different rows.

    Raises:
        ToolError: exploration is outside [0, 1], or the goal names a property without a model.
    """
    import torch

    goal = context.goal
    if not 0.0 <= context.exploration <= 1.0:
        raise ToolError(f"Exploration of {context.exploration} is not a share.", "Give a number from 0 to 1.")
    missing = [p for p in goal.properties if p not in beliefs.table]
    if missing:
        raise ToolError(f"No model for {', '.join(missing)}.", "Name the property when the model is made.")
    total = len(beliefs.features)
    if total == 0 or context.q < 1:
        return []
    scales = objective_scales(goal.objectives, beliefs.table)
    typical = typical_distance(torch.cat([beliefs.features, context.measured]))
    distance = nearest_distance(beliefs.features, context.measured)
    likely = _chances(beliefs, context, scales)
    chances = torch.zeros(total, dtype=torch.float64) if context.log_success is None else context.log_success
    first = score_of(merit_of(beliefs.table, goal, scales, context.best), beliefs, context)
    keep = min(total, max(SHORTLIST, 50 * context.q))
    # Stable sorting keeps ties in the order of the rows, so that the choice is reproducible.
    ranked = first + chances + log_penalty(distance, typical)
    rows = ranked.argsort(descending=True, stable=True)[:keep].sort().values
    current, near, chances = beliefs.subset(rows), distance[rows], chances[rows]
    best, taken = context.best, torch.zeros(len(rows), dtype=torch.bool)
    picks: list[Selection] = []
    for _ in range(min(context.q, total)):
        merit = merit_of(current.table, goal, scales, best).masked_fill(taken, FLOOR)
        score = score_of(merit, current, context) + chances + log_penalty(near, typical)
        score = score.masked_fill(taken, -math.inf)
        at = int(score.argmax())
        greedy = int((merit + chances + log_penalty(near, typical)).masked_fill(taken, -math.inf).argmax())
        picks.append(
            Selection(
                row=int(rows[at]),
                score=float(score[at]),
                chance=float(likely[rows[at]]),
                novelty=float(distance[rows[at]]) / typical,
                explored=at != greedy,
            )
        )
        taken[at] = True
        best = _believed_best(current, context, scales, best, at)
        near = torch.minimum(near, nearest_distance(current.features, current.features[at : at + 1]))
        current = current.after(at)
    return picks


def merit_of(
    table: Mapping[str, Belief], goal: GoalSpec, scales: Mapping[str, float], best: Mapping[str, float] | None
) -> torch.Tensor:
    """Logarithm of what an evaluation is worth for the aim; of the shape of the beliefs, `... x m`, finite."""
    feasible = log_feasibility(goal.constraints, table)
    if aim_of(goal, best) is not Aim.IMPROVE:
        return feasible
    if len(goal.objectives) == 1 and goal.objectives[0].direction == "target":
        belief, target = table[goal.objectives[0].property], goal.objectives[0].target or 0.0
        return feasible + log_expected_approach(belief.mean, belief.std, target, _distance(belief, target, goal, best))
    belief = utility_belief(goal, table, scales)
    incumbent = _incumbent(belief, feasible, goal, scales, best)
    if belief.tails is not None:
        return feasible + belief.tails.log_improvement(incumbent).nan_to_num(nan=FLOOR, neginf=FLOOR)
    return feasible + log_expected_improvement(belief.mean, belief.std, incumbent, True)


def score_of(merit: torch.Tensor, beliefs: PoolBeliefs, context: Context) -> torch.Tensor:
    """Merit blended with ignorance, both relative to the pool's largest; `m` logarithms."""
    import torch

    names = context.goal.properties
    spread = sum(beliefs.table[p].std / beliefs.table[p].std.max().clamp_min(1e-300) for p in names) / len(names)
    share = torch.tensor(context.exploration, dtype=torch.float64)
    return torch.logaddexp(
        merit - merit.max() + torch.log1p(-share), torch.as_tensor(spread).log() + share.log()
    ).nan_to_num(nan=FLOOR, neginf=FLOOR)


def _incumbent(
    belief: Belief,
    feasible: torch.Tensor,
    goal: GoalSpec,
    scales: Mapping[str, float],
    best: Mapping[str, float] | None,
) -> float:
    """Utility to improve on: the best measured one, else the best expected one among those that probably keep the
    limits (`feasible`: `m` logarithms of that chance)."""
    known = None if best is None else utility(goal, best, scales)
    if known is not None:
        return known
    probable = feasible >= feasible.max().clamp_max(math.log(0.5))
    return float(belief.mean[probable].max())


def _distance(belief: Belief, target: float, goal: GoalSpec, best: Mapping[str, float] | None) -> float:
    """Distance from the target to undercut."""
    known = None if best is None else best.get(goal.objectives[0].property)
    least = float((belief.mean - target).abs().min()) if known is None else abs(known - target)
    return max(least, MIN_DISTANCE_SHARE * float(belief.std.median()))


def _chances(beliefs: PoolBeliefs, context: Context, scales: Mapping[str, float]) -> torch.Tensor:
    """Probability of each crystal to reach the aim, as things stand before the batch; `m`."""
    import torch

    goal, best = context.goal, context.best
    feasible = log_feasibility(goal.constraints, beliefs.table)
    if aim_of(goal, best) is not Aim.IMPROVE:
        return feasible.exp()
    if len(goal.objectives) == 1 and goal.objectives[0].direction == "target":
        belief, target = beliefs.table[goal.objectives[0].property], goal.objectives[0].target or 0.0
        reach = _distance(belief, target, goal, best)
        return (feasible + log_probability_within(belief, target - reach, target + reach)).exp()
    belief = utility_belief(goal, beliefs.table, scales)
    incumbent = _incumbent(belief, feasible, goal, scales, best)
    if belief.tails is not None:
        return (feasible + belief.tails.log_within(incumbent, None)).exp()
    return feasible.exp() * torch.special.ndtr((belief.mean - incumbent) / belief.std)


def _believed_best(
    beliefs: PoolBeliefs,
    context: Context,
    scales: Mapping[str, float],
    best: Mapping[str, float] | None,
    row: int,
) -> Mapping[str, float] | None:
    """The best crystal if `row` turned out as expected; a crystal that keeps the limits beats one that does not."""
    goal = context.goal
    values = {name: float(belief.mean[row]) for name, belief in beliefs.table.items()}
    if not keeps_limits(goal, values):
        return best
    if best is None or not keeps_limits(goal, best):
        # Before anything is measured the incumbent stays the best expected one, which already counts this crystal.
        return best if best is None else values
    new, old = utility(goal, values, scales), utility(goal, best, scales)
    return values if new is not None and (old is None or new > old) else best
