"""Peak shapes and angles of a powder diffractometer in Bragg-Brentano geometry.

What is not here: which peaks there are (`reflections.py`) and how shapes are fitted (`refine.py`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
LN2 = float(np.log(2.0))

SCHERRER_K = 0.9
"""Shape factor of the Scherrer equation for a full width at half maximum and cubes (Langford and Wilson, J. Appl.
Cryst. 11, 102, 1978)."""

K_ALPHA_PAIRS_A = (
    (0.559421, 0.563813),
    (0.709317, 0.713607),
    (1.5405929, 1.5444274),
    (1.7889960, 1.7928350),
    (1.9360410, 1.9399730),
    (2.2897260, 2.2936510),
)
"""Kα1 and Kα2 of Ag, Mo, Cu, Co, Fe and Cr in Å (Deslattes et al., Rev. Mod. Phys. 75, 35, 2003, to 1e-4 relative)."""

K_ALPHA_2_INTENSITY = 0.5
"""Of Kα2 against Kα1: the ratio of the occupations of the 2p levels that the electrons fall from."""


class Lines(NamedTuple):
    """Wavelengths relative to that of the pattern, with intensities that sum to one."""

    relative: Floats
    intensity: Floats


SINGLE_LINE = Lines(np.ones(1), np.ones(1))


def doublet(wavelength_a: float) -> Lines:
    """The Kα doublet of the anode whose Kα1, or weighted mean, the wavelength is; one line where it is no anode's."""
    share = K_ALPHA_2_INTENSITY / (1.0 + K_ALPHA_2_INTENSITY)
    for first, second in K_ALPHA_PAIRS_A:
        mean = (1.0 - share) * first + share * second
        if min(abs(wavelength_a - first), abs(wavelength_a - mean)) < 3e-4 * first:
            return Lines(np.array([first, second]) / wavelength_a, np.array([1.0 - share, share]))
    return SINGLE_LINE


def lorentz_polarisation(sin_theta: Floats) -> Floats:
    """(1 + cos²2θ) / (sin²θ cosθ) of a powder without monochromator."""
    sin2 = sin_theta**2
    return np.asarray((1.0 + (1.0 - 2.0 * sin2) ** 2) / (sin2 * np.sqrt(1.0 - sin2)))


def caglioti(theta: Floats, u: float, v: float, w: float) -> Floats:
    """Gaussian full width of the instrument in degrees 2θ: H² = U tan²θ + V tanθ + W (Caglioti, Paoletti and Ricci,
    Nucl. Instrum. 3, 223, 1958)."""
    tan = np.tan(theta)
    return np.asarray(np.sqrt(np.maximum(u * tan**2 + v * tan + w, 1e-6)))


def sample_width(theta: Floats, size_nm: float, strain: float, wavelength_a: float) -> Floats:
    """Lorentzian full width in degrees 2θ by crystallite size (Scherrer) and microstrain: Kλ/(L cosθ) + 4ε tanθ."""
    return np.asarray(
        np.degrees(SCHERRER_K * wavelength_a / (10.0 * size_nm * np.cos(theta)) + 4.0 * strain * np.tan(theta))
    )


def thompson_cox_hastings(gauss: Floats, lorentz: Floats) -> tuple[Floats, Floats]:
    """Full width and Lorentzian share η of the pseudo-Voigt that stands for a Voigt profile (Thompson, Cox and
    Hastings, J. Appl. Cryst. 20, 79, 1987)."""
    g, lo = gauss, lorentz
    width = (
        g**5 + 2.69269 * g**4 * lo + 2.42843 * g**3 * lo**2 + 4.47163 * g**2 * lo**3 + 0.07842 * g * lo**4 + lo**5
    ) ** 0.2
    ratio = lo / width
    return width, 1.36603 * ratio - 0.47719 * ratio**2 + 0.11116 * ratio**3


def pseudo_voigt(x: Floats, width: Floats, eta: Floats | float) -> Floats:
    """Profile of unit area at distance `x` from its centre, all in degrees."""
    t = (x / width) ** 2
    lorentz = 2.0 / (np.pi * width) / (1.0 + 4.0 * t)
    gauss = 2.0 * np.sqrt(LN2 / np.pi) / width * np.exp(-4.0 * LN2 * t)
    return np.asarray(eta * lorentz + (1.0 - eta) * gauss)
