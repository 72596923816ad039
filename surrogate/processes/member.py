"""One encoding of the table under a sample of hyperparameters: a batch of Gaussian processes that predict together.

Exact up to `EXACT` designs; beyond that by inducing points. What is not here: how hyperparameters are found
(`posterior.py`) and how encodings are weighed (`ensemble.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .posterior import (
    JITTER,
    Particles,
    Table,
    design_noise,
    factor,
    matern,
    noise_variance,
    scatter_likelihood,
    warped,
)
from .warp import log_slope, unwarp, warp

if TYPE_CHECKING:
    import torch

    from .loudness import Loudness

EXACT = 2000
"""Most designs for exact prediction."""

INDUCING = 512
"""Inducing points beyond that."""

BLOCK = 4_000_000
"""Covariances held at a time (about 32 MB), so that memory does not grow with the pool."""


@dataclass(frozen=True)
class Latent:
    """Normal beliefs of `p` particles about `m` rows, of their own warped outcome without noise; each `p x m`."""

    mean: torch.Tensor
    std: torch.Tensor
    loud: torch.Tensor | None = None
    """`m`: how noisy a measurement of each is (as of a `Table`), None where noise is even."""

    def columns(self, index: torch.Tensor) -> Latent:
        """Some rows only."""
        return Latent(self.mean[:, index], self.std[:, index], None if self.loud is None else self.loud[index])


@dataclass(frozen=True)
class Member:
    """A fitted batch of processes."""

    table: Table
    particles: Particles
    centre: torch.Tensor
    """`p x 1`: taken out of each particle's warped outcomes, as `spread` is."""
    spread: torch.Tensor
    basis: torch.Tensor
    """`b x width`: rows whose covariances predict: the designs, or inducing points."""
    solve: torch.Tensor
    """`p x b`: weights of the covariances in the mean."""
    explained: torch.Tensor
    """`p x b x b` lower triangular; its solve against a covariance is what the data explain of the variance."""
    restored: torch.Tensor | None = None
    """Likewise what inducing points leave open (None where exact)."""
    loudness: Loudness | None = None
    """Where noise is; None: even in warped outcomes."""

    def latent(self, x: torch.Tensor) -> Latent:
        """Beliefs about rows `m x width`, in blocks."""
        import torch

        count, base = self.solve.shape
        step = max(16, BLOCK // max(1, count * base))
        means, stds = [x.new_zeros(count, 0)], [x.new_zeros(count, 0)]
        for part in x.split(step):
            k = matern(part, self.basis, self.particles)
            means.append((k @ self.solve.unsqueeze(-1)).squeeze(-1))
            rows = k.transpose(-1, -2)
            gone = torch.linalg.solve_triangular(self.explained, rows, upper=False).square().sum(-2)
            if self.restored is not None:
                gone = gone - torch.linalg.solve_triangular(self.restored, rows, upper=False).square().sum(-2)
            prior = self.particles.log_outputscale.exp().unsqueeze(-1) + 1.0
            stds.append((prior - gone).clamp_min(1e-10).sqrt())
        loud = None if self.loudness is None else self.loudness.at(x)
        return Latent(torch.cat(means, 1), torch.cat(stds, 1), loud)

    def covariance(self, x: torch.Tensor) -> torch.Tensor:
        """Covariances of each particle's beliefs about rows `m x width`, without noise; `p x m x m`."""
        import torch

        rows = matern(x, self.basis, self.particles).transpose(-1, -2)
        gone = torch.linalg.solve_triangular(self.explained, rows, upper=False)
        covariance = matern(x, x, self.particles) - gone.transpose(-1, -2) @ gone
        if self.restored is not None:
            back = torch.linalg.solve_triangular(self.restored, rows, upper=False)
            covariance = covariance + back.transpose(-1, -2) @ back
        return covariance

    def noise(self, latent: Latent) -> torch.Tensor:
        """Noise variance of one measurement of each row, in warped outcomes; `p x m`, or `p x 1` where it is even."""
        if latent.loud is None:
            return noise_variance(self.particles, None, latent.mean)
        power = self.particles.power.unsqueeze(-1)
        slopes = log_slope(self.outcome(latent.mean), power) - self.spread.log()
        return noise_variance(self.particles, latent.loud, slopes)

    def outcome(self, warped_values: torch.Tensor) -> torch.Tensor:
        """From each particle's warped outcome to the common one; `p x m`."""
        return unwarp(warped_values * self.spread + self.centre, self.particles.power.unsqueeze(-1))

    def warped(self, values: torch.Tensor) -> torch.Tensor:
        """The other way: values (`m`, or `p x m`) as each particle sees them; `p x m`."""
        return (warp(values, self.particles.power.unsqueeze(-1)) - self.centre) / self.spread

    def leave_one_out(self) -> tuple[Latent, torch.Tensor]:
        """Each design as the others predict it (noise of one more measurement of it included), and the logarithm of the
        density of its outcome so; both `p x n` (Sundararajan & Keerthi, Neural Comput. 13, 1103 (2001)).

        The density is of the mean of its repeats and of their scatter. Exact members only.
        """
        import torch

        t, _, spread = warped(self.table, self.particles)
        inverse = torch.cholesky_inverse(self.explained).diagonal(dim1=-2, dim2=-1)
        variance = 1.0 / inverse
        mean = t - self.solve * variance
        density = -0.5 * (self.solve.square() * variance + variance.log() + math.log(2 * math.pi))
        slope = log_slope(self.table.y, self.particles.power.unsqueeze(-1)) - spread.log()
        table = self.table
        if self.loudness is not None and table.loud is not None:
            # Where noise is must be foretold by the other designs as well.
            table = replace(table, loud=self.loudness.left_out(table.loud))
        return Latent(mean, variance.sqrt()), density + slope + scatter_likelihood(table, self.particles, slope)

    def foretold(self) -> torch.Tensor:
        """Logarithm of the density that the particles give to each design's outcome from the others', summed."""
        import torch

        _, density = self.leave_one_out()
        return (torch.logsumexp(density, 0) - math.log(len(density))).sum()

    def thinned(self, count: int) -> Member:
        """With every k-th particle, about `count` in all, and by inducing points where that is much cheaper."""
        step = max(1, len(self.solve) // count)
        some = self if step == 1 else self._some(slice(None, None, step))
        if some.restored is not None or len(some.basis) <= 2 * INDUCING:
            return some
        t, centre, spread = warped(self.table, some.particles)
        rough = _by_inducing_points(self.table, some.particles, t, centre, spread)
        return replace(rough, loudness=self.loudness)

    def one(self, place: int) -> Member:
        """One particle alone."""
        return self._some(slice(place, place + 1))

    def _some(self, kept: slice | torch.Tensor) -> Member:
        return replace(
            self,
            particles=self.particles.some(kept),
            centre=self.centre[kept],
            spread=self.spread[kept],
            solve=self.solve[kept],
            explained=self.explained[kept],
            restored=None if self.restored is None else self.restored[kept],
        )

    def believe(self, x: torch.Tensor) -> Member:
        """As if the row `1 x width` had been measured and had given what each particle expects: means stay, deviations
        shrink (the kriging believer of Ginsbourger, Le Riche & Carraro, 2010)."""
        import torch

        if self.restored is not None:
            return self
        row = matern(x, self.basis, self.particles)
        corner = self.particles.log_outputscale.exp() + 1.0 + self.noise(self.latent(x)).squeeze(-1)
        below = torch.linalg.solve_triangular(self.explained, row.transpose(-1, -2), upper=False).transpose(-1, -2)
        last = (corner - below.square().sum((-1, -2))).clamp_min(JITTER).sqrt()
        count, size = self.solve.shape
        grown = self.explained.new_zeros(count, size + 1, size + 1)
        grown[:, :size, :size] = self.explained
        grown[:, size, :size] = below.squeeze(-2)
        grown[:, size, size] = last
        # A measurement that equals its expectation leaves the weights of all others as they are.
        solve = torch.cat([self.solve, self.solve.new_zeros(count, 1)], 1)
        return replace(self, basis=torch.cat([self.basis, x]), solve=solve, explained=grown)


def fit_member(table: Table, particles: Particles, loudness: Loudness | None = None) -> Member:
    """Condition a batch of processes on what was measured; `loudness` is where the table's `loud` comes from."""
    import torch

    t, centre, spread = warped(table, particles)
    if len(table.y) > EXACT:
        return replace(_by_inducing_points(table, particles, t, centre, spread), loudness=loudness)
    lower, exists = factor(table, particles, spread)
    solve = torch.cholesky_solve(t.unsqueeze(-1), lower).squeeze(-1)
    member = Member(table, particles, centre, spread, table.x, solve, lower, loudness=loudness)
    return member if bool(exists.all()) else member._some(exists.nonzero().squeeze(-1))


def _by_inducing_points(
    table: Table, particles: Particles, t: torch.Tensor, centre: torch.Tensor, spread: torch.Tensor
) -> Member:
    """The fully independent training conditional (Snelson & Ghahramani, NeurIPS 2005), at designs spread by farthest
    first under the mean lengthscales."""
    import torch

    basis = table.x[farthest(table.x * (-particles.log_lengthscale.mean(0)).exp(), INDUCING)]
    own = matern(basis, basis, particles)
    own.diagonal(dim1=-2, dim2=-1).add_(JITTER)
    lower = torch.linalg.cholesky(own)
    cross = matern(basis, table.x, particles)
    half = torch.linalg.solve_triangular(lower, cross, upper=False)
    prior = particles.log_outputscale.exp().unsqueeze(-1) + 1.0
    noise = design_noise(table, particles, spread) / table.repeats
    weight = 1.0 / ((prior - half.square().sum(-2)).clamp_min(0.0) + noise)
    both = own + (cross * weight.unsqueeze(-2)) @ cross.transpose(-1, -2)
    joint = torch.linalg.cholesky(both)
    solve = torch.cholesky_solve((cross @ (weight * t).unsqueeze(-1)), joint).squeeze(-1)
    return Member(table, particles, centre, spread, basis, solve, lower, joint)


def farthest(x: torch.Tensor, count: int) -> torch.Tensor:
    """Indices of `count` rows, each the farthest from those before; the first is nearest to the middle."""
    import torch

    chosen = [int((x - x.mean(0)).square().sum(-1).argmin())]
    near = (x - x[chosen[0]]).square().sum(-1)
    while len(chosen) < min(count, len(x)):
        chosen.append(int(near.argmax()))
        near = torch.minimum(near, (x - x[chosen[-1]]).square().sum(-1))
    return torch.tensor(chosen)
