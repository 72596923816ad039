"""Which candidates may explain counts that a model leaves over: a fast look at peak positions over all cell changes.

Each candidate's strongest peaks are looked up in a matched filter of the residual, for a grid of cells around its own.
What is not here: the judgement, by full-pattern refinement (`search.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from .measured import Measured
from .profile import lorentz_polarisation
from .refine import B_ISO_A2, MAX_CELL_CHANGE
from .reflections import Reflections

Floats = NDArray[np.float64]

MAX_PEAKS = 24
"""Strongest peaks of a candidate that are looked up."""
_SHORTFALL = 3.0
"""By how much a missing count weighs more than an explained one; the amount follows as the quartile of the ratios of
measured to calculated peaks."""
_GRID = {1: 0.002, 2: 0.003, 3: 0.005}
"""Steps of the relative change of the reciprocal metric, by the number of free edges."""
_TOLERANCE_DEG = 0.05
"""Peaks may be so far away: half a step of the grid, and zero shift."""


@dataclass(frozen=True, eq=False)
class Look:
    """What a candidate promises."""

    index: int
    score: float
    """Explained less missing peak area, in standard deviations."""
    metric: Floats
    amount: float
    """Factor on the intensity per mass."""


@dataclass(frozen=True, eq=False)
class Sighting:
    """A candidate's strongest peaks in the range of a pattern, J of them, at each of g cells."""

    index: int
    found: Reflections
    area: Floats
    """J; with what overlaps with them."""
    changes: Floats
    """g x m; relative changes of the reciprocal metric."""
    at: NDArray[np.int32]
    """g x J; points of the pattern, one more than there are where a peak leaves the range."""
    coarse: NDArray[np.int64]
    """Rows of `at` that are looked at first."""


def sight(data: Measured, index: int, found: Reflections) -> Sighting | None:
    """The peaks to look up; None where no peak lies in the range."""
    sin = np.sqrt(found.q) * data.wavelength_a / 2.0
    inside = sin < 0.999
    theta = np.arcsin(np.where(inside, sin, 0.5))
    angle = np.degrees(2.0 * theta)
    inside &= (angle > data.angles[0]) & (angle < data.angles[-1])
    if not inside.any():
        return None
    temperature = np.exp(-0.5 * B_ISO_A2 * found.q)
    area = np.where(inside, found.strength * temperature * lorentz_polarisation(np.sin(theta)), 0.0)
    chosen = np.argsort(-area)[:MAX_PEAKS]
    chosen = chosen[area[chosen] > 0.003 * area[chosen[0]]]
    near = np.exp(-2.0 * ((angle[chosen][:, None] - angle[None, :]) / data.width_deg) ** 2)
    changes, coarse = _cells(found.edges, found.metric.shape[1])
    q = found.q[chosen] * (1.0 + changes @ found.metric[chosen].T)
    sin = np.minimum(np.sqrt(q) * data.wavelength_a / 2.0, 0.9999)
    at = np.round((np.degrees(2.0 * np.arcsin(sin)) - data.angles[0]) / data.step).astype(np.int32)
    at[(at < 0) | (at >= len(data.angles))] = len(data.angles)
    return Sighting(index, found, (near * area).sum(axis=1), changes, at, coarse)


def matched_filter(data: Measured, residual: Floats) -> tuple[Floats, Floats]:
    """Area of a peak of usual width at each angle, and its standard deviation; N each."""
    width = data.width_deg
    reach = max(int(1.5 * width / data.step), 2)
    x = data.step * np.arange(-reach, reach + 1)
    shape = np.exp(-4.0 * np.log(2.0) * (x / width) ** 2)
    shape *= 1.0 / (shape.sum() * data.step)
    weight = 1.0 / data.variance
    power = np.convolve(weight, shape**2, mode="same")
    area = np.convolve(residual * weight, shape, mode="same") / power
    return area, 1.0 / np.sqrt(power)


def screen(data: Measured, residual: Floats, sightings: Sequence[Sighting], best: int) -> list[Look]:
    """The candidates that promise most, the best first: all on a coarse grid, the better ones on the fine one."""
    area, error = matched_filter(data, residual)
    error = np.append(error, 1e30)
    seen = []
    for tolerance in (2.0 * _TOLERANCE_DEG, _TOLERANCE_DEG):
        reach = max(round(tolerance / data.step), 1)
        seen.append(np.append(np.maximum(maximum_filter1d(area, 2 * reach + 1), 0.0), 0.0) / error)
    first = [(_look(s, seen[0], error, s.coarse).score, s) for s in sightings]
    first = sorted((x for x in first if x[0] > 0.0), key=lambda x: -x[0])[: 5 * best]
    looks = [_look(s, seen[1], error, None) for _, s in first]
    return sorted((x for x in looks if x.score > 0.0), key=lambda x: -x.score)[:best]


def _look(sighting: Sighting, seen: Floats, error: Floats, rows: NDArray[np.int64] | None) -> Look:
    at = sighting.at if rows is None else sighting.at[rows]
    changes = sighting.changes if rows is None else sighting.changes[rows]
    expected = sighting.area / error[at]
    measured = seen[at]
    ratio = measured / np.maximum(expected, 1e-30)
    order = np.argsort(ratio, axis=1)
    cumulated = np.cumsum(np.take_along_axis(expected, order, axis=1), axis=1)
    quartile = (cumulated < cumulated[:, -1:] / (1.0 + _SHORTFALL)).sum(axis=1)
    every = np.arange(len(changes))
    amount = ratio[every, order[every, np.minimum(quartile, order.shape[1] - 1)]]
    wanted = amount[:, None] * expected
    less = np.minimum(measured - wanted, 0.0)
    score = (wanted + (1.0 + _SHORTFALL) * less).sum(axis=1)
    # Of equals, the cell that changes least.
    score = score * (1.0 - 4.0 * np.abs(changes).max(axis=1))
    top = int(np.argmax(score))
    return Look(sighting.index, float(score[top]), changes[top], float(amount[top]))


@lru_cache(maxsize=16)
def _cells(edges: int, components: int) -> tuple[Floats, NDArray[np.int64]]:
    """Relative changes of the metric (g x m; components of angles stay zero), and rows of every second one a way."""
    limit = 1.2 * MAX_CELL_CHANGE
    n = 2 * round(limit / _GRID[edges] / 2.0)
    steps = np.arange(-n, n + 1)
    grid = np.stack(np.meshgrid(*[steps] * edges, indexing="ij"), axis=-1).reshape(-1, edges)
    changes = np.column_stack([grid * _GRID[edges], np.zeros((len(grid), components - edges))])
    return changes, np.flatnonzero((grid % 2 == 0).all(axis=1))
