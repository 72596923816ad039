"""Phases that a powder pattern cannot tell apart: the same peaks after a small change of the cell.

What is not here: which of them is more likely in a sample; `identify.py` shares the probability among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ...core.synthesis import CU_K_ALPHA_1_A, Phase
from .profile import lorentz_polarisation
from .refine import B_ISO_A2
from .reflections import Reflections, reflections

Floats = NDArray[np.float64]

SAME_INTENSITY = 0.05
"""Share of the scattered intensity in which two patterns may differ: what texture, temperature factors and counting
leave open."""
_CELL = 0.02
"""Relative difference of an edge: each of two cells within 1 % of its own."""
_STEP = 0.001
_WIDTH = 0.004
"""Of ln(1/d²): half a per cent of d resolves what a laboratory diffractometer does at medium angles."""


def equivalents(
    phases: Sequence[Phase], wavelength_a: float = CU_K_ALPHA_1_A, stop_deg: float = 90.0
) -> list[tuple[int, int]]:
    """Pairs of phases (positions in `phases`) with the same powder pattern within 1 % of each cell.

    Args:
        phases: any number.
        wavelength_a: Å.
        stop_deg: largest scattering angle.
    """
    q_max = round(float(4.0 * np.sin(np.radians(stop_deg / 2.0)) ** 2 / wavelength_a**2), 6)
    found = [reflections(p.crystal, q_max) for p in phases]
    areas = [_areas(f, wavelength_a) for f in found]
    pairs = []
    for i, j in combinations(range(len(phases)), 2):
        if found[i].system == found[j].system and _difference(found[i], areas[i], found[j], areas[j]) < SAME_INTENSITY:
            pairs.append((i, j))
    return pairs


def _areas(found: Reflections, wavelength_a: float) -> Floats:
    sin = np.minimum(np.sqrt(found.q) * wavelength_a / 2.0, 0.999)
    area = found.strength * np.exp(-0.5 * B_ISO_A2 * found.q) * lorentz_polarisation(sin)
    return np.asarray(area / max(area.sum(), 1e-300))


def _difference(first: Reflections, area1: Floats, second: Reflections, area2: Floats) -> float:
    """Smallest share of intensity that lies elsewhere in the two patterns, over changes of the second cell."""
    if not len(first) or not len(second):
        return 1.0
    if first.system == "cubic":
        # Lattices of different centring may have the same lines: align strong lines instead of edges.
        strong1 = first.q[np.argsort(-area1)[:2]]
        strong2 = second.q[np.argsort(-area2)[:2]]
        changes = [np.array([a / b - 1.0]) for a in strong1 for b in strong2]
        limit = (1.0 + _CELL) ** 2 - 1.0
        changes = [c for c in changes if abs(c[0]) < limit]
    else:
        ratio = second.lengths / first.lengths
        if np.abs(ratio - 1.0).max() > _CELL:
            return 1.0
        edges = ratio[[0, 2]] if first.edges == 2 else ratio
        change = np.zeros(second.metric.shape[1])
        change[: first.edges] = edges**2 - 1.0
        changes = [change]
    return min((_elsewhere(first.q, area1, second.q * (1.0 + second.metric @ c), area2) for c in changes), default=1.0)


def _elsewhere(q1: Floats, area1: Floats, q2: Floats, area2: Floats) -> float:
    low = np.log(min(q1.min(), q2.min())) - 5 * _WIDTH
    high = np.log(max(q1.max(), q2.max())) + 5 * _WIDTH
    n = int((high - low) / _STEP) + 1
    difference = np.zeros(n)
    for q, area in ((q1, area1), (q2, -area2)):
        difference += np.bincount(((np.log(q) - low) / _STEP).round().astype(int), weights=area, minlength=n)[:n]
    x = np.arange(-12, 13) * _STEP
    shape = np.exp(-4.0 * np.log(2.0) * (x / _WIDTH) ** 2)
    return float(np.abs(np.convolve(difference, shape / shape.sum(), mode="same")).sum() / 2.0)
