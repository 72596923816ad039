"""Samples and a simple rival for `identification`: mixtures with all that a laboratory does to a powder pattern."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from lodestone.tools.core.synthesis import Pattern, Phase
from lodestone.tools.lab.diffraction.measured import Measured, prepare
from lodestone.tools.lab.diffraction.reflections import reflections
from lodestone.tools.lab.diffraction.simulate import (
    Background,
    Measurement,
    Optics,
    Specimen,
    State,
    phase_profile,
    simulate,
)
from lodestone.tools.lab.known_phases import elements_of

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """What is in the crucible, and its pattern."""

    truth: tuple[Phase, ...]
    fractions: tuple[float, ...]
    amorphous: float
    pattern: Pattern

    @property
    def elements(self) -> frozenset[str]:
        """All that are in the sample."""
        return frozenset().union(*(elements_of(p) for p in self.truth))


def draw(library: Sequence[Phase], n: int, rng: np.random.Generator, impurity: bool = False) -> Sample:
    """A mixture of n phases, each edge changed by up to 1 %, one phase of about 5 % by weight where asked for.

    Log-normal March-Dollase texture (standard deviation 0.2) along any direction, crystallites of 25 to 200 nm,
    microstrain up to 0.1 %, temperature factors of 0.2 to 1.2 Å², zero shift up to 0.05 degrees and sample height up to
    0.1 mm on a radius of 200 mm, half of the patterns with Kα2, 2,000 to 30,000 counts at the strongest peak over a
    curved background; a quarter of the samples with up to 30 % glass.
    """
    chosen = [library[i] for i in rng.choice(len(library), n, replace=False)]
    fractions = rng.dirichlet(np.full(n, 3.0)) * (1.0 - 0.15 * n) + 0.15
    if impurity and n > 1:
        fractions = np.append(0.95 * fractions[:-1] / fractions[:-1].sum(), 0.05)
    states = [_state(p, float(f), rng) for p, f in zip(chosen, fractions, strict=True)]
    optics = Optics(
        zero_deg=float(rng.uniform(-0.05, 0.05)),
        displacement=float(rng.uniform(-0.1, 0.1)) / 200.0,
        k_alpha_2=bool(rng.random() < 0.5),
    )
    amorphous = float(rng.uniform(0.1, 0.3)) if rng.random() < 0.25 else 0.0
    level = float(rng.uniform(0.01, 0.1))
    background = Background(
        polynomial=(level, -level * float(rng.uniform(0.0, 0.6)), level * float(rng.uniform(0.0, 0.4))),
        amorphous_fraction=amorphous,
        hump_deg=float(rng.uniform(20.0, 32.0)),
        hump_width_deg=float(rng.uniform(7.0, 11.0)),
    )
    measurement = Measurement(peak_counts=float(np.exp(rng.uniform(np.log(2e3), np.log(3e4)))))
    pattern = simulate(Specimen(chosen, states), optics, background, measurement, rng)
    return Sample(tuple(chosen), tuple(float(f) for f in fractions), amorphous, pattern)


def _state(phase: Phase, fraction: float, rng: np.random.Generator) -> State:
    edges = reflections(phase.crystal, 0.9).edges
    axis = rng.normal(size=3)
    return State(
        weight_fraction=fraction,
        cell_change=tuple(float(e) for e in rng.uniform(-0.01, 0.01, edges)),
        size_nm=float(rng.uniform(25.0, 200.0)),
        strain=float(rng.uniform(0.0, 1e-3)),
        texture_ratio=float(np.exp(rng.normal(0.0, 0.2))),
        texture_axis=(float(axis[0]), float(axis[1]), float(axis[2])),
        b_iso=float(rng.uniform(0.2, 1.2)),
    )


class SearchMatch:
    """The rival: lines of the peak list against the candidates' by position, then non-negative least squares.

    As a classical search-match: candidates are ranked by the share of their intensity with a line within 0.15 degrees
    (in which it may rescale the cell by one factor of up to 1 %), the best 20 enter a fit of fixed patterns (100 nm, no
    texture) by non-negative least squares, and phases above 3 % by weight are reported.
    """

    TOLERANCE_DEG = 0.15
    KEPT = 20
    LEAST_WEIGHT = 0.03

    def __init__(self, library: Sequence[Phase]) -> None:
        self.library = library

    def identify(self, pattern: Pattern, allowed: Sequence[int]) -> dict[str, float]:
        """Weight fractions by id."""
        data = prepare(pattern)
        lines = _lines(data)
        scored = sorted(((*self._score(data, lines, i), i) for i in allowed), reverse=True)[: self.KEPT]
        optics = Optics(wavelength_a=data.wavelength_a)
        columns = [
            phase_profile(self.library[i], State(cell_change=(change,)), optics, data.angles) for _, change, i in scored
        ]
        if not columns or not lines.size:
            return {}
        matrix = np.array(columns).T
        root = 1.0 / np.sqrt(np.maximum(data.counts, 1.0))
        norms = np.maximum(np.linalg.norm(matrix * root[:, None], axis=0), 1e-30)
        amounts = nnls(matrix * root[:, None] / norms, data.net * root)[0] / norms
        total = amounts.sum()
        if total <= 0.0:
            return {}
        shares = amounts / total
        kept = {self.library[i].id: float(s) for s, (_, _, i) in zip(shares, scored, strict=True)}
        kept = {k: v for k, v in kept.items() if v > self.LEAST_WEIGHT}
        return {k: v / sum(kept.values()) for k, v in kept.items()}

    def _score(self, data: Measured, lines: Floats, index: int) -> tuple[float, float]:
        found = reflections(self.library[index].crystal, 0.9)
        sin2 = found.q * data.wavelength_a**2 / 4.0
        intensity = found.strength / sin2
        best = (0.0, 0.0)
        for change in np.linspace(-0.01, 0.01, 9):
            angle = np.degrees(2.0 * np.arcsin(np.sqrt(np.minimum(sin2 * (1.0 + change) ** -2, 0.99))))
            inside = (angle > data.angles[0]) & (angle < data.angles[-1])
            if inside.any() and lines.size:
                hit = np.abs(angle[inside][:, None] - lines).min(axis=1) < self.TOLERANCE_DEG
                weight = intensity[inside]
                best = max(best, (float((weight * hit).sum() / weight.sum()), float(change)))
        return best


def _lines(data: Measured) -> Floats:
    """Positions of local maxima five standard deviations above the background, in degrees."""
    net = np.convolve(data.net, np.ones(3) / 3.0, mode="same")
    middle = net[1:-1]
    top = (middle >= net[:-2]) & (middle > net[2:]) & (middle > 5.0 * np.sqrt(np.maximum(data.background[1:-1], 1.0)))
    return data.angles[1:-1][top]
