"""How much a crystal deserves an evaluation: logarithms of expected improvement and of the chance to meet limits.

Functions of normal marginals only. What is not here: batches, exploration and words (`acquisition.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..tools.core.types import Constraint, GoalSpec, Objective
from .beliefs import Belief
from .tails import Tails

if TYPE_CHECKING:
    import torch

FLOOR = -1e300
"""Stands for log 0, so that orders and sums stay finite."""

QUADRATURE_NODES = 64
"""Gauss-Legendre nodes for each side of a target, where the closed form cancels."""


def log_expected_improvement(mean: torch.Tensor, std: torch.Tensor, best: float, maximise: bool) -> torch.Tensor:
    """log E[max(y - best, 0)] (or best - y), stable far into the tails (Ament et al., NeurIPS 2023).

    Args:
        mean: `m`.
        std: `m`, > 0.
        best: value to improve on.
        maximise: whether high is good.

    Returns:
        `m`.
    """
    import torch
    from botorch.acquisition.analytic import LogExpectedImprovement

    from .marginals import marginals_model

    # In units of each deviation, about `best`: BoTorch clamps variances at an absolute 1e-12.
    shifted = (mean - best) / std
    points = torch.stack([shifted, torch.ones_like(shifted)], dim=-1).unsqueeze(-2)
    value = LogExpectedImprovement(marginals_model(), best_f=0.0, maximize=maximise)(points) + std.log()
    return value.nan_to_num(nan=FLOOR, neginf=FLOOR)


def log_expected_approach(mean: torch.Tensor, std: torch.Tensor, target: float, distance: float) -> torch.Tensor:
    """log E[max(distance - |y - target|, 0)]: expected improvement when a value is to be hit.

    The payoff is a triangle, which is the difference of three one-sided improvements with strikes target + distance,
    target (twice) and target - distance. Where the deviation exceeds `distance` that difference cancels, and
    Gauss-Legendre quadrature over the two sides (smooth there) is used instead.

    Args:
        mean: `m`.
        std: `m`, > 0.
        target: wanted value.
        distance: of the best so far from the target, > 0.

    Returns:
        `m`.
    """
    import torch

    # The triangle is symmetric: seen from above the target, only its upper edge is near.
    above = (mean - target).abs()
    outer = log_expected_improvement(above, std, distance, maximise=False)
    middle = log_expected_improvement(above, std, 0.0, maximise=False)
    inner = log_expected_improvement(above, std, -distance, maximise=False)
    rest = -2.0 * (middle - outer).exp() + (inner - outer).exp()
    closed = outer + torch.log1p(rest.clamp_min(-1.0 + 1e-12))
    nodes, weights = np.polynomial.legendre.leggauss(QUADRATURE_NODES)
    half = torch.from_numpy((nodes + 1.0) / 2.0)
    offset = torch.cat([half - 1.0, half]) * distance
    payoff = torch.from_numpy(np.tile(weights, 2) / 2.0) * distance * (distance - offset.abs())
    z = (offset - above.unsqueeze(-1)) / std.unsqueeze(-1)
    density = -0.5 * z.square() - std.log().unsqueeze(-1) - 0.5 * math.log(2 * math.pi)
    numeric = torch.logsumexp(payoff.log() + density, dim=-1)
    return torch.where(std > distance, numeric, closed).nan_to_num(nan=FLOOR, neginf=FLOOR)


def log_probability_within(belief: Belief, lower: float | None, upper: float | None) -> torch.Tensor:
    """log P(lower <= y <= upper), `m`; an interval narrower than a thousandth of the deviation is widened to that."""
    import torch
    from botorch.utils.probability.utils import log_ndtr, log_prob_normal_in

    if belief.tails is not None:
        return belief.tails.log_within(lower, upper).nan_to_num(nan=FLOOR).clamp(FLOOR, 0.0)

    if lower is None and upper is None:
        return torch.zeros_like(belief.mean)
    if lower is None or upper is None:
        z = (upper - belief.mean) if upper is not None else (belief.mean - (lower or 0.0))
        return log_ndtr(z / belief.std).clamp_min(FLOOR)
    low, high = (lower - belief.mean) / belief.std, (upper - belief.mean) / belief.std
    spare = (1e-3 - (high - low)).clamp_min(0.0) / 2
    return log_prob_normal_in(low - spare, high + spare).nan_to_num(nan=FLOOR).clamp(FLOOR, 0.0)


def log_feasibility(constraints: Sequence[Constraint], table: Mapping[str, Belief]) -> torch.Tensor:
    """log of the chance that every constraint holds, properties taken as independent; `m`.

    Energy above hull is never negative, so a lower bound of 0 or less on it always holds.
    """
    import torch

    total = torch.zeros_like(next(iter(table.values())).mean)
    for constraint in constraints:
        lower = constraint.lower
        if constraint.property == "energy_above_hull" and lower is not None and lower <= 0:
            lower = None
        total = total + log_probability_within(table[constraint.property], lower, constraint.upper)
    return total


def objective_scales(objectives: Sequence[Objective], table: Mapping[str, Belief]) -> dict[str, float]:
    """Spread of each objective over the pool (between crystals and within beliefs), by which it is divided
    when several are added. One objective alone keeps its unit."""
    if len(objectives) == 1:
        return {objectives[0].property: 1.0}
    scales = {}
    for objective in objectives:
        belief = table[objective.property]
        variance = float(belief.mean.var(correction=0) + belief.std.square().mean())
        scales[objective.property] = math.sqrt(variance) if variance > 0 else 1.0
    return scales


def utility(goal: GoalSpec, values: Mapping[str, float], scales: Mapping[str, float]) -> float | None:
    """Weighted sum of standardised objectives, higher is better; None where a value is missing.

    A target, or a range, contributes minus the distance from it.
    """
    total = 0.0
    for objective in goal.objectives:
        value = values.get(objective.property)
        if value is None or not math.isfinite(value):
            return None
        total -= objective.weight * objective.loss(value) / scales[objective.property]
    return total


def utility_belief(goal: GoalSpec, table: Mapping[str, Belief], scales: Mapping[str, float]) -> Belief:
    """Mean and deviation of the utility, properties taken as independent.

    The distance from a target is a folded normal; beside other objectives it enters with its exact first two
    moments (Leone, Nelson & Nottingham 1961), as if it were normal.
    """
    import torch

    first = table[goal.objectives[0].property].mean
    mean, variance = torch.zeros_like(first), torch.zeros_like(first)
    for objective in goal.objectives:
        belief = table[objective.property]
        factor = objective.weight / scales[objective.property]
        if objective.direction == "target":
            gap = belief.mean - (objective.target or 0.0)
            z = gap / belief.std
            folded = belief.std * math.sqrt(2 / math.pi) * (-0.5 * z.square()).exp() + gap * torch.erf(z / math.sqrt(2))
            mean = mean - factor * folded
            spread = gap.square() + belief.std.square() - folded.square()
            variance = variance + factor**2 * spread.clamp_min(0.0)
        elif objective.lower is not None and objective.upper is not None:
            away, spread = _outside(belief, objective.lower, objective.upper)
            mean = mean - factor * away
            variance = variance + factor**2 * spread
        else:
            sign = 1.0 if objective.direction == "maximise" else -1.0
            mean = mean + factor * sign * belief.mean
            variance = variance + factor**2 * belief.std.square()
    return Belief(mean, variance.sqrt().clamp_min(1e-12), _tails(goal, table, scales))


def _tails(goal: GoalSpec, table: Mapping[str, Belief], scales: Mapping[str, float]) -> Tails | None:
    """Of the utility, where it is one property alone."""
    first = goal.objectives[0]
    tails = table[first.property].tails
    if len(goal.objectives) > 1 or first.direction not in ("maximise", "minimise") or tails is None:
        return None
    return tails.times(first.weight / scales[first.property] * (1.0 if first.direction == "maximise" else -1.0))


def _outside(belief: Belief, low: float, high: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of the distance of a normal value from an interval, 0 inside it: the two excesses are
    truncated normal moments, and they never come together."""
    import torch

    mean, square = torch.zeros_like(belief.mean), torch.zeros_like(belief.mean)
    for gap in (low - belief.mean, belief.mean - high):
        z = gap / belief.std
        below, density = torch.special.ndtr(z), (-0.5 * z.square()).exp() / math.sqrt(2 * math.pi)
        mean = mean + gap * below + belief.std * density
        square = square + (gap.square() + belief.std.square()) * below + gap * belief.std * density
    return mean, (square - mean.square()).clamp_min(0.0)
