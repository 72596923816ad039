"""A Gaussian process for signatures: vectors (coefficients of a spectrum) that change together over a few settings.

Hyperparameters are sampled as everywhere (`processes/posterior.py`). What is here beyond that: principal components,
derivatives, and what a measurement would make known of a whole map. What is not here: stripes (`mapping.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .processes.member import BLOCK, Member, fit_member
from .processes.posterior import JITTER, Particles, Prior, Table, matern, sample

if TYPE_CHECKING:
    import torch

PARTICLES, MOVES = 32, 8
"""Hyperparameter sets of each component up to `MANY` designs (fewer where each costs more and the data say more), and
moves of each."""

MANY, SUBSET = 150, 300
"""Hyperparameters are learned from `SUBSET` designs at most, evenly over them in the order of their settings."""

SCOUTS = 8
"""Particles that score candidates; all of them predict."""

EXPLAINED = 0.99
"""Part of the signatures' variance that the components kept hold together."""

COMPONENTS = 4
"""Most components."""


@dataclass(frozen=True)
class Slopes:
    """Derivatives of a signature by each of `d` inputs at `m` places, as sums of squares over its coefficients; each
    `m x d`."""

    expected: np.ndarray
    """Squared length of the expected derivative."""
    variance: np.ndarray
    """What is unknown about it: the variances of its coefficients, added up."""


@dataclass(frozen=True)
class SignatureProcess:
    """One batch of processes for each principal component, independent of each other."""

    members: tuple[Member, ...]
    axes: np.ndarray
    """`k x c`, orthonormal rows."""
    centre: np.ndarray
    """`c`: mean signature."""
    shifts: tuple[float, ...]
    scales: tuple[float, ...]
    """Of each component: what was taken out of it so that designs have zero mean and unit variance."""
    rest: np.ndarray
    """`c`: variance of what the components leave out."""

    def moments(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of the signature without noise at `m x d`; both `m x c`.

        The variance is that of all particles together (within each, and between them) and of what components leave out.
        """
        import torch

        means, variances = [], []
        for member, shift, scale in zip(self.members, self.shifts, self.scales, strict=True):
            latent = member.latent(torch.from_numpy(x))
            variance = latent.std.square().mean(0) + latent.mean.var(0, unbiased=False)
            means.append((latent.mean.mean(0) * scale + shift).numpy())
            variances.append((variance * scale**2).numpy())
        return self.centre + np.stack(means, 1) @ self.axes, np.stack(variances, 1) @ self.axes**2 + self.rest

    def slopes(self, x: np.ndarray) -> Slopes:
        """Derivatives at `m x d`, by all particles together."""
        import torch

        expected, variance = np.zeros(x.shape), np.zeros(x.shape)
        for member, scale in zip(self.members, self.scales, strict=True):
            count, base = member.solve.shape
            parts = [_slopes(member, part) for part in torch.from_numpy(x).split(max(16, BLOCK // (count * base)))]
            mean, within = (torch.cat(p, 1) for p in zip(*parts, strict=True))
            expected += scale**2 * mean.mean(0).square().numpy()
            variance += scale**2 * (within.mean(0) + mean.var(0, unbiased=False)).numpy()
        return Slopes(expected, variance)

    def gains(self, targets: np.ndarray, weights: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """By how much the variance at the targets, weighted and added up, is expected to fall if one candidate is
        measured (Cohn, Ghahramani & Jordan, J. Artif. Intell. Res. 4, 129 (1996), section 4).

        Args:
            targets: `t x d`.
            weights: `t`.
            candidates: `m x d`.

        Returns:
            `m`.
        """
        import torch

        there, here, weight = torch.from_numpy(targets), torch.from_numpy(candidates), torch.from_numpy(weights)
        total = np.zeros(len(candidates))
        for member, scale in zip(self.members, self.scales, strict=True):
            particles = member.particles
            shared = matern(there, here, particles)
            left = (particles.log_outputscale.exp() + particles.log_noise.exp()).unsqueeze(-1) + 1.0 + JITTER
            for sign, factor in _factors(member):
                known = torch.linalg.solve_triangular(factor, matern(member.basis, there, particles), upper=False)
                own = torch.linalg.solve_triangular(factor, matern(member.basis, here, particles), upper=False)
                shared = shared + sign * known.transpose(-1, -2) @ own
                left = left + sign * own.square().sum(-2)
            fall = (weight @ shared.square()) / left
            total += scale**2 * fall.mean(0).numpy()
        return total

    def scouts(self) -> SignatureProcess:
        """With fewer particles, for scoring."""
        return replace(self, members=tuple(m.thinned(SCOUTS) for m in self.members))

    def believe(self, x: np.ndarray) -> SignatureProcess:
        """As if each of `m x d` had been measured and had given what is expected."""
        import torch

        members = self.members
        for row in torch.from_numpy(x).split(1):
            members = tuple(m.believe(row) for m in members)
        return replace(self, members=members)


def fit_signatures(x: np.ndarray, signatures: np.ndarray, seed: int) -> SignatureProcess:
    """Learn from measurements; equal rows of x are repeats.

    Args:
        x: `n x d`, each column scaled to [0, 1], n at least 1, in any order: the result does not depend on it.
        signatures: `n x c`, finite.
        seed: of the sample of hyperparameters.
    """
    import torch

    order = np.lexsort(np.column_stack([signatures, x]).T)
    x, signatures = x[order], signatures[order]
    designs, which, repeats = np.unique(x, axis=0, return_inverse=True, return_counts=True)
    which = which.reshape(-1)
    few = np.linspace(0, len(designs) - 1, min(SUBSET, len(designs))).round().astype(int)
    count = max(8, round(PARTICLES * min(1.0, MANY / len(few))))
    centre = signatures.mean(0)
    axes = _components(signatures - centre)
    parts = (signatures - centre) @ axes.T
    rest = np.square(signatures - centre - parts @ axes).mean(0)
    size = float(np.abs(signatures).max())
    members, shifts, scales = [], [], []
    for values in parts.T:
        means = np.bincount(which, values) / repeats
        shift = float(means.mean())
        # A single design, or equal ones, have no spread of their own: others may differ by as much as there is.
        scale = float(means.std())
        scale = scale if scale > 1e-12 * size else size or 1.0
        scatter = np.bincount(which, np.square((values - means[which]) / scale))
        # Without a warp: components have no preferred sign, and derivatives stay normal.
        table = Table(
            torch.from_numpy(designs), torch.from_numpy((means - shift) / scale), torch.from_numpy(repeats).double(),
            torch.from_numpy(scatter), anchored=True,
        )  # fmt: skip
        particles = sample(table.some(few), Prior(), (False,) * x.shape[1], x.shape[1], count, MOVES, seed)
        members.append(fit_member(table, particles))
        shifts.append(shift)
        scales.append(scale)
    return SignatureProcess(tuple(members), axes, centre, tuple(shifts), tuple(scales), rest)


def matern_slope(left: torch.Tensor, right: torch.Tensor, particles: Particles) -> torch.Tensor:
    """Derivatives of `processes.posterior.matern` by its left argument; `p x d x a x b` for `a x d` and `b x d`.

    With r = sqrt(5) |scaled difference|: k = s (1 + r + r^2 / 3) exp(-r), so dk/dx = -(5 s / 3) (1 + r) exp(-r) times
    the difference over the squared lengthscale.
    """
    lengthscale = particles.log_lengthscale.exp()[:, :, None, None]
    away = (left[:, None, :] - right[None, :, :]).permute(2, 0, 1)
    r = math.sqrt(5.0) * (away / lengthscale).square().sum(1, keepdim=True).sqrt()
    size = (5.0 / 3.0) * particles.log_outputscale.exp()[:, None, None, None]
    return -size * (1.0 + r) * (-r).exp() * away / lengthscale.square()


def _slopes(member: Member, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of each particle's derivatives, in standard outcomes; both `p x m x d`."""
    import torch

    cross = matern_slope(x, member.basis, member.particles)
    mean = (cross @ member.solve[:, None, :, None]).squeeze(-1)
    particles = member.particles
    prior = (5.0 / 3.0) * (particles.log_outputscale.unsqueeze(-1) - 2.0 * particles.log_lengthscale).exp()
    variance = prior.unsqueeze(-1)
    for sign, factor in _factors(member):
        told = torch.linalg.solve_triangular(factor.unsqueeze(1), cross.transpose(-1, -2), upper=False)
        variance = variance + sign * told.square().sum(-2)
    return mean.transpose(-1, -2), variance.clamp_min(0.0).transpose(-1, -2)


def _factors(member: Member) -> list[tuple[float, torch.Tensor]]:
    """Factors whose solves against covariances are taken from the prior's variance, or given back to it."""
    return [(-1.0, member.explained)] + ([] if member.restored is None else [(1.0, member.restored)])


def _components(centred: np.ndarray) -> np.ndarray:
    """The fewest leading principal axes that hold `EXPLAINED` of the variance, at least one; `k x c`.

    Where nothing varies yet, any direction may: all coefficients alike.
    """
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    held = np.cumsum(sizes**2)
    if not held[-1] > 0:
        return np.full((1, centred.shape[1]), centred.shape[1] ** -0.5)
    enough = int(np.searchsorted(held, EXPLAINED * held[-1])) + 1
    return axes[: min(enough, COMPONENTS)]
