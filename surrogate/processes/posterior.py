"""Gaussian-process hyperparameters as a sample of their posterior, not as one best guess.

With five to fifty measurements the data leave lengthscales, noise and the warp of the outcome wide open; one point
estimate is overconfident and often wrong, and the picks that follow confirm it (Snoek, Larochelle & Adams, NeurIPS
2012; De Ath, Everson & Fieldsend, GECCO 2021). BoTorch samples such posteriors by NUTS, which takes minutes a pick; a
population that moves by differential evolution takes a tenth of a second. A test holds the likelihood and the beliefs
against GPyTorch's. What is not here: predictions (`member.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .warp import POWERS, log_slope, warp

if TYPE_CHECKING:
    import torch

JITTER = 1e-5
"""Added to the noise variance (outcomes have unit variance)."""

ASSUMED_WEIGHT = 3.0
"""Outcomes that an assumed variance is worth."""

DRAWS = 4
"""Draws of the prior for each particle kept."""

JUMP = 0.12
"""Random part of a move, in prior deviations: keeps a population that has collapsed moving."""


@dataclass(frozen=True)
class Prior:
    """Normal prior of the logarithms of hyperparameters, and of the warp's power.

    Centres and widths were chosen after looking at fits to eighteen public tables of experiments (up to 150 rows each,
    scaled as `columns.py` scales them): most lengthscales of numbers from 0.2 to 2, most noise from 0.5 to 20 % of the
    variance. Lengthscales share a common part, so that rough functions are rough along all columns.
    """

    lengthscale: float = -0.7
    """For four columns; grows by half the logarithm of their number (Hvarfner, Hellsten & Nardi, ICML 2024)."""
    common_spread: float = 0.7
    own_spread: float = 0.8
    own_spread_of_shares: float = 0.4
    """Of the components of a mixture, which are much alike."""
    noise: float = -3.0
    noise_spread: float = 1.2
    outputscale: float = 0.2
    outputscale_spread: float = 0.4
    power_spread: float = 0.4

    def moments(self, alike: Sequence[bool], columns: int, designs: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean `k` and covariance `k x k` of (log lengthscales, log noise, log outputscale, power).

        Outcomes are scaled by the deviation of few designs, whose square has a relative variance of 2 / (n - 1): so
        much wider is the outputscale.
        """
        import torch

        width = len(alike)
        centre = self.lengthscale + 0.5 * math.log(max(1, columns) / 4)
        mean = torch.tensor([centre] * width + [self.noise, self.outputscale, 1.0], dtype=torch.float64)
        covariance = torch.zeros(width + 3, width + 3, dtype=torch.float64)
        covariance[:width, :width] = self.common_spread**2
        outputscale = math.sqrt(self.outputscale_spread**2 + 2.0 / max(1, designs - 1))
        own = [self.own_spread_of_shares if a else self.own_spread for a in alike]
        own += [self.noise_spread, outputscale, self.power_spread]
        return mean, covariance + torch.tensor(own, dtype=torch.float64).square().diag()


@dataclass(frozen=True)
class Particles:
    """Hyperparameters, `p` rows each: `log_lengthscale` `p x width`, the others `p`."""

    log_lengthscale: torch.Tensor
    log_noise: torch.Tensor
    log_outputscale: torch.Tensor
    power: torch.Tensor

    def some(self, kept: slice | torch.Tensor) -> Particles:
        """Some of them."""
        return Particles(self.log_lengthscale[kept], self.log_noise[kept], self.log_outputscale[kept], self.power[kept])

    @staticmethod
    def of(flat: torch.Tensor, ties: Sequence[int] | None = None, warps: bool = True) -> Particles:
        """From rows of `Prior.moments`; `ties` says of each feature which lengthscale is its own."""
        import torch

        lengths = flat[:, :-3] if ties is None else flat[:, list(ties)]
        power = flat[:, -1].clamp(*POWERS) if warps else torch.ones_like(flat[:, -1])
        return Particles(lengths, flat[:, -3], flat[:, -2], power)


@dataclass(frozen=True)
class Table:
    """What was measured, one row a design.

    `x` `n x width`; `y` `n` means of repeated measurements (zero mean, unit variance); `repeats` `n` how many.
    `scatter` `n`: sum of squares of a design's repeats about their mean, all that they say of noise; None: no repeats.
    `loud` `n`: logarithm of the noise variance of the outcome itself, over its average (`loudness.py`); None: noise is
    even in warped outcomes.
    `assumed`: variance that `ASSUMED_WEIGHT` further outcomes are taken to have had, in a warp's own scale too; 0 where
    the outcomes speak for themselves. `anchored`: zero and unit of `y` mean something and stay, without a warp.
    """

    x: torch.Tensor
    y: torch.Tensor
    repeats: torch.Tensor
    scatter: torch.Tensor | None = None
    loud: torch.Tensor | None = None
    assumed: float = 0.0
    anchored: bool = False

    def some(self, kept: torch.Tensor | slice) -> Table:
        """Some designs only."""
        scatter = None if self.scatter is None else self.scatter[kept]
        loud = None if self.loud is None else self.loud[kept]
        return replace(self, x=self.x[kept], y=self.y[kept], repeats=self.repeats[kept], scatter=scatter, loud=loud)


def matern(left: torch.Tensor, right: torch.Tensor, particles: Particles) -> torch.Tensor:
    """Covariances `p x a x b` of a Matern-5/2 process with a constant of unit variance (its unknown mean).

    Args:
        left: `a x width`.
        right: `b x width`.
    """
    import torch

    scale = (-particles.log_lengthscale).exp().unsqueeze(-2)
    a, b = left * scale, right * scale
    squared = torch.baddbmm(
        a.square().sum(-1, keepdim=True) + b.square().sum(-1).unsqueeze(-2), a, b.transpose(-1, -2), alpha=-2.0
    )
    r = squared.clamp_min_(1e-14).mul_(5.0).sqrt_()
    decay = r.neg().exp_()
    shape = r.square().div_(3.0).add_(r).add_(1.0).mul_(decay)
    return shape.mul_(particles.log_outputscale.exp()[:, None, None]).add_(1.0)


def warped(table: Table, particles: Particles) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Outcomes of each particle's warp at zero mean and unit variance `p x n`, the mean and the deviation taken out
    (each `p x 1`)."""
    t = warp(table.y, particles.power.unsqueeze(-1))
    if table.anchored:
        return t, t.new_zeros(len(t), 1), t.new_ones(len(t), 1)
    centre = t.mean(-1, keepdim=True)
    weight = ASSUMED_WEIGHT if table.assumed else 0.0
    total = (t - centre).square().sum(-1, keepdim=True) + weight * table.assumed
    spread = (total / (t.shape[-1] + weight)).sqrt().clamp_min(1e-9)
    return (t - centre) / spread, centre, spread


def noise_variance(particles: Particles, loud: torch.Tensor | None, slopes: torch.Tensor) -> torch.Tensor:
    """Of one measurement in warped outcomes; `p x m`, or `p x 1` where noise is even in them.

    Args:
        particles: `p` of them.
        loud: `m`, as of a `Table`.
        slopes: `p x m`, logarithm of the warp's derivative where each row's outcome lies or is expected.
    """
    level = particles.log_noise.unsqueeze(-1)
    return (level if loud is None else level + loud + 2.0 * slopes).exp() + JITTER


def design_noise(table: Table, particles: Particles, spread: torch.Tensor) -> torch.Tensor:
    """`noise_variance` of the table's designs; `spread` as `warped` gives it."""
    slopes = log_slope(table.y, particles.power.unsqueeze(-1)) - spread.log()
    return noise_variance(particles, table.loud, slopes)


def factor(table: Table, particles: Particles, spread: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cholesky factors `p x n x n` of the outcomes' covariances, and whether each exists (`p`)."""
    import torch

    covariance = matern(table.x, table.x, particles)
    covariance.diagonal(dim1=-2, dim2=-1).add_(design_noise(table, particles, spread) / table.repeats)
    lower, info = torch.linalg.cholesky_ex(covariance)
    return lower, info == 0


def log_likelihood(table: Table, particles: Particles) -> torch.Tensor:
    """Logarithm of the density of the measurements in the user's unit, up to a constant; `p`.

    Repeated measurements enter by their mean and by their scatter, which together say all that they say.
    """
    import torch

    t, _, spread = warped(table, particles)
    lower, exists = factor(table, particles, spread)
    z = torch.linalg.solve_triangular(lower, t.unsqueeze(-1), upper=False).squeeze(-1)
    slopes = log_slope(table.y, particles.power.unsqueeze(-1)) - spread.log()
    value = -0.5 * z.square().sum(-1) - lower.diagonal(dim1=-2, dim2=-1).log().sum(-1) + slopes.sum(-1)
    if table.scatter is not None:
        value = value + scatter_likelihood(table, particles, slopes).sum(-1)
    return torch.where(exists & value.isfinite(), value, torch.full_like(value, -1e9))


def scatter_likelihood(table: Table, particles: Particles, slopes: torch.Tensor) -> torch.Tensor:
    """Logarithm of the density of the scatter of each design's repeats, up to a constant; `p x n`.

    What the warp's slope makes of the noise where a design lies must agree with how its repeats scatter.
    """
    if table.scatter is None:
        return slopes.new_zeros(slopes.shape)
    noise = noise_variance(particles, table.loud, slopes)
    stretched = table.scatter * (2.0 * slopes).exp() / noise
    return -0.5 * ((table.repeats - 1.0) * (noise.log() - 2.0 * slopes) + stretched)


def sample(
    table: Table,
    prior: Prior,
    alike: Sequence[bool],
    columns: int,
    count: int,
    moves: int,
    seed: int,
    ties: Sequence[int] | None = None,
) -> Particles:
    """A sample of the posterior of hyperparameters.

    Draws of the prior are resampled by likelihood and then moved by differential evolution (ter Braak, Stat. Comput.
    16, 239 (2006)), in which the population itself gives the size and direction of moves: nothing is tuned.

    Args:
        table: what was measured.
        prior: of hyperparameters.
        alike: of each lengthscale, whether it is that of a share of a mixture.
        columns: columns of the user's table that vary (a text column counts once).
        count: particles wanted, at least 4.
        moves: of every particle.
        seed: the same seed and table give the same sample.
        ties: of each feature, which lengthscale is its own; None: each has one.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    mean, covariance = prior.moments(alike, columns, len(table.y))
    lower = torch.linalg.cholesky(covariance)
    precision = torch.cholesky_inverse(lower)

    def particles(flat: torch.Tensor) -> Particles:
        return Particles.of(flat, ties, warps=not table.anchored)

    def density(flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        away = flat - mean
        return log_likelihood(table, particles(flat)), -0.5 * ((away @ precision) * away).sum(-1)

    def normal(rows: int) -> torch.Tensor:
        return torch.randn(rows, len(mean), generator=generator, dtype=torch.float64) @ lower.T

    flat = mean + normal(DRAWS * count)
    if not len(table.y):
        return particles(flat[:count])
    likelihood, own = density(flat)
    offset = torch.rand(1, generator=generator, dtype=torch.float64)
    ticks = (offset + torch.arange(count, dtype=torch.float64)) / count
    kept = torch.searchsorted(torch.softmax(likelihood, 0).cumsum(0), ticks).clamp_max(len(flat) - 1)
    flat, total = flat[kept], (likelihood + own)[kept]
    for move in range(moves):
        order = torch.rand(count, count, generator=generator, dtype=torch.float64).argsort(-1)
        # Every fifth move spans the whole difference, so that a particle can change from one mode to another.
        size = 1.0 if move % 5 == 4 else 2.38 / math.sqrt(2 * len(mean))
        proposal = flat + size * (flat[order[:, 0]] - flat[order[:, 1]]) + JUMP * normal(count)
        likelihood, own = density(proposal)
        accept = torch.rand(count, generator=generator, dtype=torch.float64).log() < likelihood + own - total
        flat = torch.where(accept.unsqueeze(-1), proposal, flat)
        total = torch.where(accept, likelihood + own, total)
    return particles(flat)
