"""Chances and expected improvements under a sample of warped processes, exact in the tails.

A warped outcome is not normal: what can hardly fall below zero gets a long lower tail from a mean and a deviation
alone, and crystals without a hope look worth a try. Here each particle is asked in its own warped outcome, where it is
normal.
What is not here: merit (`merit.py`), and sums of several objectives, which stay normal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from .processes.member import Member

if TYPE_CHECKING:
    import torch

NODES = 24
"""Of the Gauss-Legendre rule over the improving tail; a test compares it with the closed form of a normal outcome."""

REACH = 60.0
"""Twice the logarithm by which the density has fallen where the integral ends."""


@dataclass(frozen=True)
class Tails:
    """Beliefs about one measurement of each of `m` crystals: value = scale x outcome + offset."""

    member: Member
    mean: torch.Tensor
    """`p x m`, of each particle's warped outcome."""
    std: torch.Tensor
    """`p x m`, noise of a measurement included, calibrated."""
    offset: torch.Tensor
    """`m`."""
    scale: float
    """Not 0; negative where outcomes are stored upside down."""

    def shifted(self, by: torch.Tensor) -> Tails:
        """Of the value less `by` (`m`)."""
        return replace(self, offset=self.offset - by)

    def times(self, factor: float) -> Tails:
        """Of the value multiplied."""
        return replace(self, offset=self.offset * factor, scale=self.scale * factor)

    def widened(self, factor: float) -> Tails:
        """With deviations multiplied."""
        return replace(self, std=self.std * factor)

    def moments(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and deviation, each `m`: of the particles' medians, and of half the distance between their 16 and 84 %
        quantiles, together."""
        member = self.member
        middle = member.outcome(self.mean)
        half = 0.5 * (member.outcome(self.mean + self.std) - member.outcome(self.mean - self.std))
        mean = middle.mean(0)
        variance = (middle - mean).square().mean(0) + half.square().mean(0)
        return mean * self.scale + self.offset, variance.clamp_min(1e-12).sqrt() * abs(self.scale)

    def log_within(self, lower: float | None, upper: float | None) -> torch.Tensor:
        """log P(lower <= value <= upper), `m`; None is no limit. An interval narrower than a thousandth of the
        deviation is widened to that."""
        import torch
        from botorch.utils.probability.utils import log_ndtr, log_prob_normal_in

        ends = (lower, upper) if self.scale > 0 else (upper, lower)
        low, high = (None if end is None else self._z(end) for end in ends)
        if low is None and high is None:
            return torch.zeros_like(self.offset)
        if low is None or high is None:
            each = log_ndtr(high if high is not None else -low)  # type: ignore[operator]
        else:
            spare = (1e-3 - (high - low)).clamp_min(0.0) / 2
            each = log_prob_normal_in(low - spare, high + spare)
        return _average(each)

    def log_improvement(self, best: float) -> torch.Tensor:
        """log E[max(value - best, 0)], `m`; -inf where a particle's outcome cannot get there."""
        import torch

        z = self._z(best)
        up = self.scale > 0
        # Seen from the incumbent the improving tail begins at -z above, or at z below.
        edge = (-z if up else z).clamp_max(math.sqrt(REACH))
        width = (edge.square() + REACH).sqrt() - edge.abs() + 2.0 * edge.clamp_min(0.0)
        nodes, weights = _legendre()
        away = edge.unsqueeze(-1) - width.unsqueeze(-1) * torch.from_numpy(nodes)
        sign = -1.0 if up else 1.0
        count, size = z.shape
        at = (self.mean.unsqueeze(-1) + self.std.unsqueeze(-1) * sign * away).reshape(count, -1)
        outcome = self.member.outcome(at).reshape(count, size, -1)
        threshold = ((best - self.offset) / self.scale).unsqueeze(-1)
        gain = (sign * (threshold - outcome)).clamp_min(0.0) * abs(self.scale)
        density = -0.5 * away.square() - 0.5 * math.log(2 * math.pi)
        parts = gain.log() + density + torch.from_numpy(weights).log() + width.unsqueeze(-1).log()
        return _average(torch.logsumexp(parts, -1))

    def _z(self, value: float) -> torch.Tensor:
        """Where a value lies in each particle's belief, in deviations; `p x m`."""
        return (self.member.warped((value - self.offset) / self.scale) - self.mean) / self.std


def _average(logarithms: torch.Tensor) -> torch.Tensor:
    """Logarithm of the mean over particles, `p x m` to `m`."""
    import torch

    return torch.logsumexp(logarithms, 0) - math.log(len(logarithms))


@cache
def _legendre() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    return (nodes + 1.0) / 2.0, weights / 2.0
