"""Are the deviations honest? Predictions made before measuring against what was measured.

What is not here: the model that made them (`models.py`). The caller keeps the record; these are pure functions of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from ..tools.core.errors import ToolError

LEVEL = 0.9
"""Share of measured values that the scaled interval is made to hold."""

SCALE_BOUNDS = (0.3, 5.0)
"""The scale never leaves this range: beyond it the model is wrong, and no factor makes it right."""

PRIOR_POINTS = 3.0
"""Comparisons that the belief in the model's own deviations is worth."""


@dataclass(frozen=True)
class Calibration:
    """How predicted deviations compare with errors."""

    scale: float
    """Factor that turns the model's deviation into a calibrated one."""
    coverage_90: float | None
    """Share of measured values inside the model's own central 90 % interval; None without comparisons."""
    coverage_50: float | None
    """The same for 50 %."""
    n: int
    """Comparisons used."""


def calibrate(means: Sequence[float], stds: Sequence[float], measured: Sequence[float]) -> Calibration:
    """Scale for the deviations, and the coverage without it.

    Split-conformal prediction (Papadopoulos et al. 2002; Angelopoulos & Bates, arXiv:2107.07511) with |z| as the
    score: the ceil(0.9 (n+1))-th smallest of n scores bounds the next one with probability 0.9 or more. It is
    divided by the normal quantile of its level. Below nine comparisons that level cannot be reached, and the largest
    score stands for the level n/(n+1) that it has. The logarithm of the ratio is weighted by n/(n + 3), so that a few
    comparisons change little. The guarantee needs exchangeable errors; a campaign that chooses has them only nearly.

    Args:
        means: n predicted means, made before measuring.
        stds: their deviations, not scaled yet, > 0.
        measured: n measured values, in any one unit.

    Raises:
        ToolError: the lengths differ.
    """
    if not len(means) == len(stds) == len(measured):
        raise ToolError(
            f"{len(means)} means, {len(stds)} deviations and {len(measured)} values.", "Give one of each a measurement."
        )
    scores = sorted(
        abs(value - mean) / std
        for mean, std, value in zip(means, stds, measured, strict=True)
        if std > 0 and all(map(math.isfinite, (mean, std, value)))
    )
    n = len(scores)
    if n == 0:
        return Calibration(scale=1.0, coverage_90=None, coverage_50=None, n=0)
    rank = min(n, math.ceil(LEVEL * (n + 1) - 1e-9))
    level = min(LEVEL, n / (n + 1))
    ratio = max(scores[rank - 1], 1e-12) / _half_width(level)
    scale = math.exp(math.log(ratio) * n / (n + PRIOR_POINTS))
    return Calibration(
        scale=min(max(scale, SCALE_BOUNDS[0]), SCALE_BOUNDS[1]),
        coverage_90=sum(s <= _half_width(0.9) for s in scores) / n,
        coverage_50=sum(s <= _half_width(0.5) for s in scores) / n,
        n=n,
    )


def _half_width(level: float) -> float:
    """Half width, in deviations, of the central interval of a normal distribution."""
    return NormalDist().inv_cdf(0.5 + level / 2)
