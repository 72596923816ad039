"""Where an experiment is noisy and where it is not, learned from how repeated measurements scatter.

Stochastic kriging (Ankenman, Nelson & Staum, Oper. Res. 58, 371 (2010)) with a process of its own for the logarithm of
the noise variance. Of a normal outcome measured k times the logarithm of the sample variance has a known bias and
variance (digamma and trigamma functions of (k - 1) / 2), so that what repeats leave open is not taken for a difference
between places. What is not here: how noise enters a likelihood (`posterior.py`) and a prediction (`member.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .member import Member, fit_member
from .posterior import Prior, Table, sample

if TYPE_CHECKING:
    import torch

LEAST = 6
"""Repeated designs below which nothing is said of where noise is."""

MOST = 300
"""Repeated designs that are learned from, at most: every so-many-th of more."""

PARTICLES, MOVES = 12, 8

REAL = 0.25
"""Part of its own sampling variance by which the scatter's logarithm must vary beyond it, to be more than chance."""

FLOOR = 1e-4
"""Of the mean variance: repeats that agree to the last digit were rounded, not without noise."""


@dataclass(frozen=True)
class Loudness:
    """Logarithm of the noise variance over its average, as a function of the features."""

    member: Member
    scale: float
    learned: torch.Tensor
    """Which designs of the table it was learned from."""

    def at(self, x: torch.Tensor) -> torch.Tensor:
        """Of rows `m x width`; `m`, zero on average over the designs that were repeated."""
        return self.member.latent(x).mean.mean(0) * self.scale

    def left_out(self, loud: torch.Tensor) -> torch.Tensor:
        """That of the table's designs, `n`, each as the scatter of the others foretells it."""
        others, _ = self.member.leave_one_out()
        return loud.index_copy(0, self.learned, others.mean.mean(0) * self.scale)


def learn_loudness(
    x: torch.Tensor, scatter: torch.Tensor | None, repeats: torch.Tensor, alike: Sequence[bool], columns: int, seed: int
) -> Loudness | None:
    """Learn from `n` designs; None where repeats are too few, or scatter alike as far as they can tell.

    Args:
        x: `n x width`.
        scatter: `n`, sum of squares of each design's repeats about their mean.
        repeats: `n`.
        alike: as for `sample`.
        columns: likewise.
        seed: of the sample.
    """
    import torch

    if scatter is None:
        return None
    many = (repeats > 1).nonzero().squeeze(-1)
    many = many[:: max(1, -(-len(many) // MOST))]
    pooled = scatter[many].sum() / (repeats[many] - 1).sum().clamp_min(1)
    if len(many) < LEAST or not float(pooled) > 0:
        return None
    half = (repeats[many] - 1) / 2
    variance = (scatter[many] / (2 * half)).clamp_min(FLOOR * pooled)
    level = variance.log() - torch.digamma(half) + half.log()
    chance = torch.polygamma(1, half)
    weight = 1 / chance
    centre = float((weight * level).sum() / weight.sum())
    excess = float((weight * (level - centre).square()).sum() / weight.sum() - len(many) / weight.sum())
    typical = float(len(many) / weight.sum())
    if excess < REAL * typical:
        return None
    scale = math.sqrt(excess)
    # The noise of these outcomes is known; that of a design counts as that of so many typical ones.
    table = Table(x[many], (level - centre) / scale, typical / chance, anchored=True)
    prior = Prior(noise=math.log(typical / excess), noise_spread=0.1)
    particles = sample(table, prior, alike, columns, PARTICLES, MOVES, seed)
    return Loudness(fit_member(table, particles), scale, many)
