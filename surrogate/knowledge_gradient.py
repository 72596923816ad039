"""The knowledge gradient: how much the best of many is expected to rise for one reading.

Functions of normal beliefs only. What is not here: who is asked, and what it costs (`fidelity.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from .beliefs import Belief

if TYPE_CHECKING:
    import torch

DRAWS = 128
"""Made-up readings (scrambled Sobol points) where no closed form exists."""

FARTHEST = 40.0
"""Deviations beyond which a normal density is 0 in double precision."""


def changes_of(covariance: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """How the means move for a reading that lies one deviation above what was expected.

    Args:
        covariance: `k x m`, of k possible readings with m values.
        variance: `k`, of the readings, the noise of a measurement included. Where it is 0 nothing is learned.

    Returns:
        `k x m`.
    """
    import torch

    known = variance <= 0.0
    deviation = variance.clamp_min(0.0).sqrt().masked_fill(known, 1.0)
    return torch.where(known.unsqueeze(-1), torch.zeros_like(covariance), covariance / deviation.unsqueeze(-1))


def expected_rise(mean: np.ndarray, changes: np.ndarray) -> np.ndarray:
    """E[max_i (mean_i + change_i Z)] - max_i mean_i for a standard normal Z: exact, and never negative.

    The maximum of lines in Z is convex and piecewise linear. Of the lines on it, in the order of their slopes b and
    with corners c, the expectation is the sum of (b_next - b) f(-|c|), where f(z) = density(z) + z P(Z < z) (Frazier,
    Powell & Dayanik, INFORMS J. Comput. 21, 599 (2009), equation 14 and algorithm 1).

    Args:
        mean: `m`, what is expected of the alternatives now; higher is better.
        changes: `k x m`, of `changes_of`, for k readings.

    Returns:
        `k`, in the unit of `mean`.
    """
    from scipy.special import erfcx

    found = np.zeros(len(changes))
    for place, change in enumerate(changes):
        slopes, corners = _upper_lines(mean, change)
        far = np.minimum(np.abs(corners), FARTHEST)
        # f(-c) = density(c) (1 - c R(c)) with Mills' ratio R, which does not cancel far out.
        ratio = math.sqrt(math.pi / 2) * erfcx(far / math.sqrt(2))
        loss = np.exp(-0.5 * far**2) / math.sqrt(2 * math.pi) * np.maximum(1.0 - far * ratio, 0.0)
        found[place] = float(np.diff(slopes) @ loss)
    return found


def _upper_lines(mean: np.ndarray, change: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slopes of the lines mean + change z that are the highest somewhere, rising, and where each gives way to the next
    (one fewer)."""
    order = np.lexsort((mean, change))
    a, b = mean[order], change[order]
    last = np.append(b[1:] > b[:-1], True)  # of equal slopes only the highest line
    kept: list[tuple[float, float]] = []
    corners: list[float] = []
    for level, slope in zip(a[last].tolist(), b[last].tolist(), strict=True):
        corner = -math.inf
        while kept:
            corner = (kept[-1][0] - level) / (slope - kept[-1][1])
            if not corners or corner > corners[-1]:
                break
            kept.pop()
            corners.pop()
        if kept:
            corners.append(corner)
        kept.append((level, slope))
    return np.array([slope for _, slope in kept]), np.array(corners)


def expected_rise_of(
    merit: Callable[[Mapping[str, Belief]], torch.Tensor],
    table: Mapping[str, Belief],
    changes: Mapping[str, torch.Tensor],
    seed: int = 0,
) -> torch.Tensor:
    """E[max_i merit_i after a reading] - max_i merit_i now, for a merit that is no line in the reading.

    By quasi-random readings. What the best one now is expected to be afterwards is its merit now (a merit is an
    expectation), so its own change is subtracted from each draw: that keeps the estimate from falling below 0.

    Args:
        merit: beliefs (of shape `... x m`) to merits of the same shape, each the expectation of a payoff.
        table: property to normal beliefs about m crystals.
        changes: property to `k x m` of `changes_of`; properties are independent, those left out are not read.
        seed: for the draws.

    Returns:
        `k`, in the unit of the merit.
    """
    import torch
    from botorch.utils.sampling import draw_sobol_normal_samples

    count = len(next(iter(changes.values())))
    now = int(merit(table).argmax())
    draws = draw_sobol_normal_samples(len(changes), DRAWS, seed=seed, dtype=torch.float64)
    found = torch.zeros(count, dtype=torch.float64)
    for place in range(count):
        after = dict(table)
        for column, (name, change) in enumerate(changes.items()):
            belief, own = table[name], change[place]
            mean = belief.mean + draws[:, column : column + 1] * own
            left = (belief.std.square() - own.square()).clamp_min(1e-12 * belief.std.square()).sqrt()
            after[name] = Belief(mean, left.expand_as(mean))
        shape = (DRAWS, len(table[name].mean))
        wide = {k: Belief(b.mean.expand(shape), b.std.expand(shape)) for k, b in after.items()}
        worth = merit(wide)
        found[place] = (worth.max(-1).values - worth[:, now]).mean()
    return found
