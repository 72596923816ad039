"""Choosing crystals for a set of compromises: several aims without weights ask for the whole Pareto front.

What is not here: the acquisition itself (`hypervolume.py`), weights and single aims (`acquisition.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from ..tools.core.types import Constraint, Objective
from .acquisition import Context, Selection, score_of
from .beliefs import PoolBeliefs
from .diversity import log_penalty, nearest_distance, typical_distance
from .hypervolume import Hypervolume, Limit, PoolModel, Worth, above, below, on_front, rough_merit
from .merit import FLOOR

SHORTLIST = 400
"""Crystals (best by first score) among which a batch is composed; covariances of all of them are held."""


def select_front(
    beliefs: PoolBeliefs, measured: PoolBeliefs, context: Context, scales: Mapping[str, float]
) -> list[Selection]:
    """At most q crystals that together promise to add most to the hypervolume under the front.

    Greedy with fantasies: what is already picked counts as measured, with its value integrated out. Success, distance
    to what is known and exploration enter as in `acquisition.select`.

    Args:
        beliefs: of the `m` waiting crystals.
        measured: of the `n` measured ones, at least 1 (noise-free: they are believed, not copied).
        context: goal, batch size, and the chance of success.
        scales: objective to the spread by which it is divided.

    Returns:
        min(q, m) different rows of `beliefs`.
    """
    goal = context.goal
    names = list(goal.properties)
    worth, limits = _worth(goal.objectives, names, scales), _limits(goal.constraints, names)
    total = len(beliefs.features)
    typical = typical_distance(torch.cat([beliefs.features, context.measured]))
    distance = nearest_distance(beliefs.features, context.measured)
    success = torch.zeros(total, dtype=torch.float64) if context.log_success is None else context.log_success
    base = measured.subset(on_front(_model(measured, names), worth, limits, goal.seed))
    marginals = [beliefs.table[name] for name in names]
    anchors = torch.stack([base.joint(name)[0] for name in names], dim=-1)
    rough = rough_merit(
        torch.stack([b.mean for b in marginals]), torch.stack([b.std for b in marginals]), anchors, worth, limits
    )
    first = score_of(rough, beliefs, context) + success + log_penalty(distance, typical)
    keep = min(total, max(SHORTLIST, 4 * context.q))
    rows = first.argsort(descending=True, stable=True)[:keep].sort().values
    current, near, success = beliefs.subset(rows), distance[rows], success[rows]
    both = _model(base.joined(current), names)
    volume = Hypervolume(both, len(base.features), len(rows), worth, limits, goal.seed)
    likely = volume.chance()
    taken: list[int] = []
    picks = []
    for _ in range(min(context.q, total)):
        merit = volume.merit()
        merit[taken] = FLOOR
        rest = success + log_penalty(near, typical)
        rest[taken] = -math.inf
        score = score_of(merit, current, context) + rest
        at = int(score.argmax())
        greedy = int((merit + rest).argmax())
        novelty = float(distance[rows[at]]) / typical
        picks.append(Selection(int(rows[at]), float(score[at]), float(likely[at]), novelty, explored=at != greedy))
        taken.append(at)
        volume.pend(taken)
        near = torch.minimum(near, nearest_distance(current.features, current.features[at : at + 1]))
    return picks


def _model(beliefs: PoolBeliefs, names: Sequence[str]) -> PoolModel:
    means, covariances = zip(*(beliefs.joint(name) for name in names), strict=True)
    return PoolModel(torch.stack(means), torch.stack(covariances))


def _worth(objectives: Sequence[Objective], names: Sequence[str], scales: Mapping[str, float]) -> Worth:
    """Minus the loss of each objective, in units of its spread."""
    parts = [(o, names.index(o.property), scales[o.property]) for o in objectives]
    return lambda samples: torch.stack([-_loss(o, samples[..., at]) / scale for o, at, scale in parts], dim=-1)


def _limits(constraints: Sequence[Constraint], names: Sequence[str]) -> list[Limit]:
    """Limits of a goal. Energy above hull is never negative, so a lower one of 0 always holds."""
    found = []
    for constraint in constraints:
        column = names.index(constraint.property)
        always = constraint.property == "energy_above_hull" and (constraint.lower or 0.0) <= 0.0
        if constraint.lower is not None and not always:
            found.append(above(column, constraint.lower))
        if constraint.upper is not None:
            found.append(below(column, constraint.upper))
    return found


def _loss(objective: Objective, values: torch.Tensor) -> torch.Tensor:
    """`Objective.loss` of many values."""
    if objective.target is not None:
        return (values - objective.target).abs()
    if objective.lower is not None and objective.upper is not None:
        return torch.maximum(objective.lower - values, values - objective.upper).clamp_min(0.0)
    return values if objective.direction == "minimise" else -values
