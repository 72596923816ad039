"""What a fitted mixture is worth: probabilities, peaks that nothing explains, weight fractions with their errors.

The numbers of the logistic models were fitted to 300 simulated patterns of one to three phases, every second one with a
phase withheld: `python -m benchmarks.identification --calibrate 300 --seed 1000`, whose patterns are not those of
its table. What is not here: the search for the mixture (`search.py`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from .measured import Measured
from .refine import Fit
from .screening import matched_filter
from .search import LEAST_GAIN, Found

Floats = NDArray[np.float64]

PRESENCE = (-0.59, 0.66, 1.30, -1.33)
"""Weights of 1, the logarithm of the gain over its threshold, the coherence of a phase, and the logarithm of the
reduced residual of the whole fit."""
UNKNOWN = (-2.45, 5.35, -0.83)
"""Weights of 1, the logarithm of the strongest unexplained peak, and that of the reduced residual."""
RIVAL_TEMPERATURE = 2.34
"""By how much differences of the objective are overconfident about which of two candidates it is."""

PEAK_SIGNIFICANCE = 6.0
"""Standard deviations of a residual peak that is reported as unexplained: 2000 resolved places hold none by chance."""

AMOUNT_ERROR = 0.06
"""Relative error of the amount of a phase by texture and temperature factors beyond their models."""

HUMP_CENTRES_DEG = (14.0, 42.0)
HUMP_WIDTHS_DEG = (5.0, 16.0)
"""Where the halo of a glass may be, for copper radiation; scaled with the wavelength."""
_LEAST_AMORPHOUS = 0.05
_HUMP_EXPLAINS = 0.8
"""Share of the background's deviation from a parabola that a halo must explain."""


class Unexplained(NamedTuple):
    """What a model leaves over."""

    peaks_deg: tuple[float, ...]
    strongest: float
    """Standard deviations of the strongest residual peak, 0 or more."""
    reduced: float
    """Mean square of the weighted residual, smoothed over a peak, where there are peaks in model or pattern."""


def unexplained(data: Measured, fit: Fit) -> Unexplained:
    """Residual peaks, with what intensity errors of the phases allow next to their own peaks."""
    residual = data.counts - fit.model
    area, error = matched_filter(data, residual)
    # Tails of strong peaks and shifts of their flanks are model errors, not peaks.
    crystalline = fit.profiles.sum(axis=0) if len(fit.profiles) else np.zeros(len(residual))
    reach = max(round(data.width_deg / data.step), 1)
    slack = 0.05 * maximum_filter1d(gaussian_filter1d(crystalline, 0.4 * reach), 2 * reach + 1) * data.width_deg
    z = area / np.sqrt(error**2 + slack**2)
    tops = (z == maximum_filter1d(z, 2 * reach + 1)) & (z > PEAK_SIGNIFICANCE)
    places = np.flatnonzero(tops)
    places = places[np.argsort(-z[places])][:30]
    chi = residual**2 / data.variance
    return Unexplained(
        tuple(round(float(a), 3) for a in sorted(data.angles[places])),
        max(float(z.max()), 0.0),
        float(chi.mean()),
    )


def coherence(data: Measured, fit: Fit) -> Floats:
    """For each phase, the share of its calculated intensity that was measured where it should be, 0 to 1."""
    shares = np.ones(len(fit.trials))
    for i, profile in enumerate(fit.profiles):
        own, _ = matched_filter(data, profile)
        rest, error = matched_filter(data, data.counts - fit.model + profile)
        weight = own / error**0.5
        weight = np.where(own > 0.01 * own.max(initial=0.0), weight, 0.0)
        ratio = np.clip(rest / np.maximum(own, 1e-30), 0.0, 1.0)
        shares[i] = float((weight * ratio).sum() / max(weight.sum(), 1e-30))
    return shares


def presence_features(gains: Floats, shares: Floats, left: Unexplained) -> Floats:
    """p x 4, for `PRESENCE`."""
    misfit = np.full(len(gains), np.log(max(left.reduced, 0.9)))
    logs = np.log(np.maximum(gains, LEAST_GAIN) / LEAST_GAIN)
    return np.column_stack([np.ones(len(gains)), logs, (shares - 0.9) * 10.0, misfit])


def unknown_features(left: Unexplained) -> Floats:
    """3, for `UNKNOWN`."""
    return np.array([1.0, np.log((left.strongest + 1.0) / PEAK_SIGNIFICANCE), np.log(max(left.reduced, 0.1))])


def sigmoid(x: Floats | float) -> Floats:
    """1 / (1 + e^-x), without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * np.asarray(x))))


def rival_shares(found: Found) -> Floats:
    """For each phase, its probability against the candidates that were tried in its place."""
    shares = []
    for rivals in found.rivals:
        worse = np.array([max(r.objective - found.fit.objective, 0.0) for r in rivals])
        shares.append(1.0 / (1.0 + np.exp(-worse / 2.0 / RIVAL_TEMPERATURE).sum()))
    return np.array(shares)


def weight_fractions(fit: Fit) -> tuple[Floats, Floats]:
    """Weight fractions and their standard deviations; p each."""
    logs = np.array([t.log_amount for t in fit.trials])
    amounts = np.exp(logs - logs.max())
    fractions = amounts / amounts.sum()
    covariance = np.diag(np.full(len(logs), AMOUNT_ERROR**2))
    if fit.covariance is not None:
        covariance = covariance + fit.covariance
    by_log = np.diag(fractions) - np.outer(fractions, fractions)
    return fractions, np.sqrt(np.maximum(np.diag(by_log @ covariance @ by_log.T), 0.0))


def r_wp(data: Measured, fit: Fit) -> float:
    """Weighted profile residual with counting weights (Toby, Powder Diffr. 21, 67, 2006)."""
    weight = 1.0 / np.maximum(data.counts, 1.0)
    return float(np.sqrt((weight * (data.counts - fit.model) ** 2).sum() / (weight * data.counts**2).sum()))


def amorphous_fraction(data: Measured, fit: Fit) -> float | None:
    """Share of the scattering in a broad halo of the background; None where there is no halo to be told from it.

    Equal masses of crystal and glass of like composition scatter the same total intensity (Ruland, Acta Cryst. 14,
    1180, 1961), so the ratio of areas is that of masses.
    """
    background, crystalline = fit.background, float(fit.profiles.sum())
    if crystalline <= 0.0:
        return None
    stretch = data.wavelength_a / 1.5406
    x = np.linspace(-1.0, 1.0, len(background))
    smooth = np.polynomial.polynomial.polyvander(x, 2)
    alone = background - smooth @ np.linalg.lstsq(smooth, background, rcond=None)[0]
    best, area = np.inf, 0.0
    for centre in np.arange(*HUMP_CENTRES_DEG, 2.0) * stretch:
        for width in np.arange(*HUMP_WIDTHS_DEG, 1.5) * stretch:
            if not data.angles[0] + 0.5 * width < centre < data.angles[-1] - 0.5 * width:
                continue
            halo = np.exp(-4.0 * np.log(2.0) * ((data.angles - centre) / width) ** 2)
            columns = np.column_stack([smooth, halo])
            solution = np.linalg.lstsq(columns, background, rcond=None)[0]
            left = float(((background - columns @ solution) ** 2).sum())
            if left < best and solution[-1] > 0.0:
                best, area = left, float(solution[-1] * halo.sum())
    fraction = area / (area + crystalline)
    noise = float(np.mean(np.maximum(background, 1.0))) * len(data.basis.T)
    explained = 1.0 - best / max(float((alone**2).sum()), 1e-30)
    if explained < _HUMP_EXPLAINS or fraction < _LEAST_AMORPHOUS or float((alone**2).sum()) < 9.0 * noise:
        return None
    return fraction
