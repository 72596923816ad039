"""Powder patterns of mixtures, as a laboratory diffractometer in Bragg-Brentano geometry would count them.

The intensity of a phase in a thick sample is its weight fraction times what it scatters per mass over the absorption
of the whole sample, which all phases share: I ∝ w Σ|F|² LP / (V M) with the volume V and mass M of the cell. It is the
ZMV relation of Hill and Howard (J. Appl. Cryst. 20, 467, 1987) and what reference intensity ratios measure. Absorption
within single grains and anomalous dispersion are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ToolError
from ...core.synthesis import CU_K_ALPHA_1_A, Pattern, Phase
from .profile import (
    SINGLE_LINE,
    caglioti,
    doublet,
    lorentz_polarisation,
    pseudo_voigt,
    sample_width,
    thompson_cox_hastings,
)
from .reflections import Reflections, reflections

Floats = NDArray[np.float64]

_TAIL = 25.0
"""Full widths to either side of a peak within which it is counted."""

_WEAKEST_COUNT = 1e-6
"""Of the strongest peak; weaker ones are not drawn."""


@dataclass(frozen=True)
class State:
    """How one phase is in the sample."""

    weight_fraction: float = 1.0
    """Of the crystalline part."""
    cell_change: tuple[float, ...] = (0.0,)
    """Relative change of each edge of the standard cell that the crystal system leaves free; one value for all."""
    size_nm: float = 100.0
    strain: float = 5e-4
    texture_ratio: float = 1.0
    """March-Dollase r: below one for plates, above for needles, one for none."""
    texture_axis: tuple[float, float, float] = (0.0, 0.0, 1.0)
    """Cartesian direction in the frame of the standard cell."""
    b_iso: float = 0.5
    """Å²; temperature factor of all atoms."""


@dataclass(frozen=True)
class Optics:
    """The diffractometer. Widths of a laboratory machine with a strip detector by default."""

    wavelength_a: float = CU_K_ALPHA_1_A
    caglioti: tuple[float, float, float] = (0.004, -0.002, 0.005)
    """U, V, W in degrees²."""
    zero_deg: float = 0.0
    displacement: float = 0.0
    """Height of the sample's surface above the axis over the goniometer's radius; shifts peaks by -2 s cosθ rad."""
    k_alpha_2: bool = False


@dataclass(frozen=True)
class Background:
    """What is no peak, in units of the strongest peak's height."""

    polynomial: tuple[float, ...] = (0.02,)
    """Coefficients of 1, x, x² … with x from -1 to 1 over the range."""
    amorphous_fraction: float = 0.0
    """Weight fraction of the sample that is amorphous; it scatters as much per mass as the crystalline part."""
    hump_deg: float = 24.0
    hump_width_deg: float = 8.0
    """Full width at half maximum."""


@dataclass(frozen=True)
class Measurement:
    """Angles and counting time."""

    start_deg: float = 10.0
    stop_deg: float = 90.0
    step_deg: float = 0.02
    peak_counts: float = 10_000.0
    """Counts at the top of the strongest peak."""
    saturation: float | None = None
    """Counts at which the detector stops; None: never."""

    def angles(self) -> Floats:
        """The steps, in degrees."""
        n = round((self.stop_deg - self.start_deg) / self.step_deg) + 1
        return np.asarray(self.start_deg + self.step_deg * np.arange(n), dtype=float)


@dataclass(frozen=True)
class Specimen:
    """Phases with their states, in the same order."""

    phases: Sequence[Phase]
    states: Sequence[State] = field(default_factory=list)


def simulate(
    specimen: Specimen,
    optics: Optics = Optics(),
    background: Background = Background(),
    measurement: Measurement = Measurement(),
    rng: np.random.Generator | None = None,
) -> Pattern:
    """The pattern of a mixture, with counting noise where `rng` is given.

    Raises:
        ToolError: nothing to draw: no phase, weights that are not positive, or no reflection in the range.
    """
    phases = list(specimen.phases)
    states = list(specimen.states) or [State(1.0 / max(len(phases), 1))] * len(phases)
    total = sum(s.weight_fraction for s in states)
    if not phases or len(states) != len(phases) or min(s.weight_fraction for s in states) < 0.0 or total <= 0.0:
        raise ToolError(
            f"{len(phases)} phases with {len(states)} states do not make a sample.",
            "Give one state for each phase, with weight fractions that are not negative.",
        )
    angles = measurement.angles()
    crystalline = np.zeros(len(angles))
    for phase, state in zip(phases, states, strict=True):
        crystalline += state.weight_fraction / total * phase_profile(phase, state, optics, angles)
    top = float(crystalline.max())
    if top <= 0.0:
        raise ToolError(
            f"No reflection between {angles[0]:g} and {angles[-1]:g} degrees.", "Choose a wider range of angles."
        )
    counts = crystalline / top
    x = np.linspace(-1.0, 1.0, len(angles))
    counts = counts + np.maximum(np.polynomial.polynomial.polyval(x, background.polynomial), 0.0)
    if background.amorphous_fraction > 0.0:
        ratio = background.amorphous_fraction / (1.0 - background.amorphous_fraction)
        hump = np.exp(-4.0 * np.log(2.0) * ((angles - background.hump_deg) / background.hump_width_deg) ** 2)
        counts = counts + ratio * crystalline.sum() / top * hump / hump.sum()
    counts = counts * measurement.peak_counts
    if rng is not None:
        counts = rng.poisson(counts).astype(float)
    if measurement.saturation is not None:
        counts = np.minimum(counts, measurement.saturation)
    return Pattern(two_theta_deg=tuple(angles), counts=tuple(counts), wavelength_a=optics.wavelength_a)


def phase_profile(phase: Phase, state: State, optics: Optics, angles: Floats) -> Floats:
    """Intensity per mass of one phase at the angles (degrees), per degree and without background."""
    lines = doublet(optics.wavelength_a) if optics.k_alpha_2 else SINGLE_LINE
    half = np.radians(min(float(angles[-1]) + 2.0, 179.0)) / 2.0
    # Cells may grow: reflections just outside the range come in.
    found = reflections(phase.crystal, round(float(4.0 * np.sin(half) ** 2 / optics.wavelength_a**2) * 1.05, 6))
    q = found.q * (1.0 + found.metric @ metric_change(found, state.cell_change))
    strength = found.strength * np.exp(-0.5 * state.b_iso * q)
    if state.texture_ratio != 1.0:
        strength = strength * found.march_dollase(state.texture_ratio, np.array(state.texture_axis))
    profile = np.zeros(len(angles))
    for relative, share in zip(*lines, strict=True):
        _add_line(profile, angles, q, strength * share, relative * optics.wavelength_a, state, optics)
    return profile


def metric_change(found: Reflections, cell_change: Sequence[float]) -> Floats:
    """Relative changes of the free components of the reciprocal metric for relative changes of the cell's edges."""
    edges = list(cell_change) * found.edges if len(cell_change) == 1 else list(cell_change)
    if len(edges) != found.edges:
        raise ToolError(
            f"{len(edges)} changes for the {found.edges} free edges of a {found.system} cell.",
            "Give one change for all edges or one for each free edge.",
        )
    change = np.zeros(found.metric.shape[1])
    change[: found.edges] = (1.0 + np.array(edges)) ** -2.0 - 1.0
    return change


def _add_line(
    profile: Floats, angles: Floats, q: Floats, strength: Floats, wavelength: float, state: State, optics: Optics
) -> None:
    sin = wavelength * np.sqrt(q) / 2.0
    seen = sin < 0.9999
    sin, strength = sin[seen], strength[seen]
    theta = np.arcsin(sin)
    height = strength * lorentz_polarisation(sin)
    centre = np.degrees(2.0 * theta - 2.0 * optics.displacement * np.cos(theta)) + optics.zero_deg
    gauss = caglioti(theta, *optics.caglioti)
    width, eta = thompson_cox_hastings(gauss, sample_width(theta, state.size_nm, state.strain, wavelength))
    drawn = height > _WEAKEST_COUNT * height.max(initial=0.0)
    for c, h, w, e in zip(centre[drawn], height[drawn], width[drawn], eta[drawn], strict=True):
        low, high = np.searchsorted(angles, (c - _TAIL * w, c + _TAIL * w))
        profile[low:high] += h * pseudo_voigt(angles[low:high] - c, w, e)
