"""Hyperparameters under which few columns matter, found by gradients.

A sample of the posterior by moves at random (`posterior.sample`) does not find the three columns of forty that say
anything. Here particles climb to maxima of the posterior under the sparse-axis prior of Eriksson & Jankowiak (UAI
2021): inverse squared lengthscales have a half-Cauchy prior whose width is another for each particle, from "nothing
matters much" to "all may". What is not here: how these particles are weighed against sampled ones
(`tables/ensemble.py`, `models.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .posterior import Particles, Prior, Table, log_likelihood

if TYPE_CHECKING:
    pass

WIDTHS = (1e-3, 0.3)
"""Widths of the half-Cauchy prior, evenly over their logarithms."""

PARTICLES, STEPS = 6, 60

MOST = 120
"""Designs that are learned from, at most: every so-many-th of more. By then it is plain which axes matter."""

RATE = 0.2
"""Of Adam, in logarithms of hyperparameters."""


def climb(table: Table, prior: Prior, columns: int, seed: int, ties: Sequence[int] | None = None) -> Particles:
    """Maxima of the posterior under sparse axes, one for each width of the prior.

    Args:
        table: what was measured, at least two designs.
        prior: of noise, outputscale and power.
        columns: columns of the user's table that vary.
        seed: of the starting points.
        ties: of each feature, which lengthscale is its own; None: each has one.
    """
    import torch

    if len(table.y) > MOST:
        table = table.some(slice(None, None, -(-len(table.y) // MOST)))
    width = table.x.shape[1] if ties is None else max(ties) + 1
    mean, covariance = prior.moments((False,) * width, columns, len(table.y))
    spread = covariance.diagonal().sqrt()
    generator = torch.Generator().manual_seed(seed)
    low, high = (math.log(w) for w in WIDTHS)
    tau = torch.linspace(low, high, PARTICLES, dtype=torch.float64).unsqueeze(-1)
    start = mean + spread * torch.randn(PARTICLES, len(mean), generator=generator, dtype=torch.float64)
    away = torch.randn(PARTICLES, width, generator=generator, dtype=torch.float64).abs()
    start[:, :width] = (-0.5 * tau - 0.5 * away).clamp(-2.0, 3.0)
    flat = start.requires_grad_(True)
    climber = torch.optim.Adam([flat], lr=RATE)
    for _ in range(STEPS):
        climber.zero_grad()
        inverse = -2.0 * flat[:, :width]
        sparse = (inverse - torch.log1p((2.0 * (inverse - tau)).exp())).sum(-1)
        rest = ((flat[:, width:] - mean[width:]) / spread[width:]).square().sum(-1)
        density = log_likelihood(table, Particles.of(flat, ties, not table.anchored)) + sparse - 0.5 * rest
        (-density.sum()).backward()
        if flat.grad is not None:
            # Where a covariance has no factor there is no slope either: that particle stays for this step.
            flat.grad.nan_to_num_(0.0, 0.0, 0.0)
        climber.step()
    return Particles.of(flat.detach(), ties, not table.anchored)
