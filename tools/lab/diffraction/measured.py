"""A measured pattern made ready for fitting: equal steps, its variance, and a smooth background.

What is not here: phases (`screening.py`, `refine.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.ndimage import maximum_filter1d, minimum_filter1d, uniform_filter1d

from ...core.errors import ToolError
from ...core.synthesis import Pattern

Floats = NDArray[np.float64]

MAX_POINTS = 5000
"""Patterns with far more points are summed into so many: 0.02 degrees over 100 degrees resolve any laboratory peak."""

POINTS_A_WIDTH = 4.0
"""At least so many steps across the full width of a peak are kept."""

MIN_POINTS = 100
"""Fewer points hold no pattern."""

KNOT_SPACING_DEG = 4.0
"""Between the knots of the background's spline: wider than a peak, and fine enough for the halo of a glass, which a
phase with very wide peaks would take for itself otherwise."""

INTENSITY_ERROR = 0.06
"""Relative error of calculated peak heights that is expected of a right phase, by texture and peak shape beyond their
models; it enters the variance of each point through the net counts that were measured there."""

_MOST_COUNTS = 1e6
"""At the strongest peak."""

_CUT_OFF_POINTS = 4
"""So many neighbours with the largest count of the pattern are a detector's saturation, if they are counts at all."""

_CUT_OFF_VARIANCE = 1e4
"""By how much more uncertain points are where the detector was saturated."""

_CLIP = 2.5
"""Standard deviations above the background at which a point counts as part of a peak."""


@dataclass(frozen=True, eq=False)
class Measured:
    """N points at equal steps."""

    angles: Floats
    """Degrees 2θ."""
    counts: Floats
    variance: Floats
    """Of the difference to a right model: counting, and `INTENSITY_ERROR`."""
    basis: Floats
    """N x b; cubic B-splines of the background."""
    background: Floats
    """First estimate, by points that lie in no peak."""
    width_deg: float
    """Full width at half maximum of the strongest peaks."""
    wavelength_a: float
    scale: float
    """What the pattern's own counts were divided by, where they are no counts."""

    @property
    def step(self) -> float:
        """Degrees."""
        return float(self.angles[1] - self.angles[0])

    @property
    def net(self) -> Floats:
        """Counts above the first estimate of the background."""
        return self.counts - self.background


def prepare(pattern: Pattern) -> Measured:
    """Check a pattern and estimate its variance and background.

    Raises:
        ToolError: too few points or angles, no counts at all, or a number that is not finite.
    """
    angles = np.array(pattern.two_theta_deg, dtype=float)
    counts = np.array(pattern.counts, dtype=float)
    if not (np.isfinite(angles).all() and np.isfinite(counts).all()):
        raise ToolError("The pattern holds numbers that are not finite.", "Export counts at all angles again.")
    if len(angles) < MIN_POINTS:
        raise ToolError(f"A pattern of {len(angles)} points.", f"At least {MIN_POINTS} points are needed.")
    if counts.max() <= 0.0:
        raise ToolError("The pattern has no counts.", "Look whether the shutter was open and the detector counts.")
    cut = _cut_off(counts)
    _, cut = _equal_steps(angles, cut, MAX_POINTS)
    angles, counts = _equal_steps(angles, counts, MAX_POINTS)
    scale = _count_scale(counts)
    counts = counts / scale
    width = peak_width(angles, counts)
    enough = int(np.ceil((angles[-1] - angles[0]) / width * POINTS_A_WIDTH))
    _, cut = _equal_steps(angles, cut, max(enough, MIN_POINTS))
    angles, counts = _equal_steps(angles, counts, max(enough, MIN_POINTS))
    basis = _splines(angles)
    background = _background(counts, basis, angles[1] - angles[0])
    smooth = uniform_filter1d(counts, 3)
    net = np.maximum(uniform_filter1d(counts - background, 3), 0.0)
    # A peak's error also moves its flanks: the largest net count near by, as far as half a peak, sets the scale.
    reach = max(round(0.04 / (angles[1] - angles[0])), 1)
    net = maximum_filter1d(net, 2 * reach + 1)
    variance = np.maximum(np.maximum(smooth, background), 1.0) + (INTENSITY_ERROR * net) ** 2
    variance[maximum_filter1d(cut, 3) > 0.0] *= _CUT_OFF_VARIANCE
    return Measured(angles, counts, variance, basis, background, width, pattern.wavelength_a, scale)


def _cut_off(counts: Floats) -> Floats:
    """One where the detector was saturated, zero elsewhere."""
    top = counts >= counts.max()
    runs = minimum_filter1d(top.astype(float), _CUT_OFF_POINTS)
    saturated = maximum_filter1d(runs, 2 * _CUT_OFF_POINTS - 1) * top
    return np.asarray(saturated if counts.max() > 2.0 * np.median(counts) else np.zeros(len(counts)))


def _equal_steps(angles: Floats, counts: Floats, enough: int) -> tuple[Floats, Floats]:
    """Equal steps, `enough` or up to twice as many: sums of neighbours, interpolated where steps differ."""
    together = max(len(angles) // enough, 1)
    if together > 1:
        n = len(angles) // together * together
        angles = angles[:n].reshape(-1, together).mean(axis=1)
        counts = counts[:n].reshape(-1, together).sum(axis=1)
    even = np.linspace(angles[0], angles[-1], len(angles))
    if np.abs(even - angles).max() > 0.05 * (even[1] - even[0]):
        counts = np.interp(even, angles, counts)
    return even, counts


def _count_scale(counts: Floats) -> float:
    """By how much to divide so that the scatter between neighbours is that of counts; 1 where it is.

    Patterns come scaled to 100 or in counts per second. The second difference of a smooth curve has six times the
    variance of one point; its median over points holds against peaks.
    """
    second = counts[2:] - 2.0 * counts[1:-1] + counts[:-2]
    level = np.maximum(uniform_filter1d(counts, 5)[1:-1], 1e-12)
    gain = float(np.median(second**2 / 6.0 / level) / 0.4549)  # median of chi-squared with one degree of freedom
    # A curve without noise would be worth any number of counts; no laboratory counts more than these.
    gain = max(gain, float(counts.max()) / _MOST_COUNTS)
    # Where the background hardly counts the median says nothing; whole numbers are counts then.
    whole = gain < 0.5 and bool((counts == np.round(counts)).all()) and counts.max() > 20.0
    return 1.0 if whole or 0.5 < gain < 2.0 else gain


def _splines(angles: Floats) -> Floats:
    n = max(round((angles[-1] - angles[0]) / KNOT_SPACING_DEG), 2)
    inner = np.linspace(angles[0], angles[-1], n + 1)
    knots = np.r_[[inner[0]] * 3, inner, [inner[-1]] * 3]
    inside = np.clip(angles, inner[0], inner[-1] - 1e-9)
    return np.asarray(BSpline.design_matrix(inside, knots, 3).toarray())


def _background(counts: Floats, basis: Floats, step: float) -> Floats:
    """Least squares over points that lie in no peak, which are found by clipping in turns from a low envelope."""
    half = max(round(1.5 / step), 2)
    padded = np.pad(uniform_filter1d(counts, 5), half, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1)[:, :: max(half // 15, 1)]
    level = np.quantile(windows, 0.2, axis=1)
    for _ in range(12):
        keep = counts < level + _CLIP * np.sqrt(np.maximum(level, 1.0))
        if keep.sum() < 2 * basis.shape[1]:
            break
        weight = keep / np.maximum(level, 1.0)
        left = basis.T @ (basis * weight[:, None])
        left += 1e-6 * np.trace(left) / len(left) * np.eye(len(left))
        fitted = basis @ np.linalg.solve(left, basis.T @ (weight * counts))
        fitted = np.maximum(fitted, 0.0)
        if np.abs(fitted - level).max() < 0.05 * np.sqrt(max(level.mean(), 1.0)):
            return np.asarray(fitted)
        level = fitted
    return np.asarray(level)


def peak_width(angles: Floats, counts: Floats) -> float:
    """Full width at half maximum of the strongest peaks in degrees, their median; 0.15 where there are none."""
    step = float(angles[1] - angles[0])
    smooth = uniform_filter1d(counts, 3)
    half = max(round(3.0 / step), 2)
    net = smooth - uniform_filter1d(minimum_filter1d(uniform_filter1d(counts, 5), 2 * half + 1), 2 * half + 1)
    left = net.copy()
    widths = []
    for _ in range(8):
        top = int(np.argmax(left))
        height = left[top]
        if height < 6.0 * np.sqrt(max(smooth[top] - height, 1.0)) or height < 0.05 * net.max():
            break
        low, high = top, top
        while low > 0 and net[low - 1] > 0.5 * height:
            low -= 1
        while high < len(net) - 1 and net[high + 1] > 0.5 * height:
            high += 1
        widths.append((high - low + 1) * step)
        reach = 2 * (high - low + 1)
        left[max(top - reach, 0) : top + reach + 1] = 0.0
    return float(np.clip(np.median(widths), 2.5 * step, 3.0)) if widths else 0.15
