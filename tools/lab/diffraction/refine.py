"""Full-pattern least squares: cell, widths, texture and amount of each phase, zero shift and background together.

The model is that of Rietveld (J. Appl. Cryst. 2, 65, 1969) with atoms held where the phase has them. It is scipy-free
numpy of a few hundred columns because an identification refines some hundred trial mixtures within a second or two;
refinement codes take as long for one. Texture is the exponential of symmetrised harmonics (after Järvinen, J. Appl.
Cryst. 26, 525, 1993, and Von Dreele, ibid. 30, 517, 1997), so that intensities stay positive and no axis is guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .measured import Measured
from .profile import LN2, Lines, lorentz_polarisation
from .reflections import Reflections

Floats = NDArray[np.float64]

MAX_CELL_CHANGE = 0.02
"""Relative change of an edge beyond which a phase counts as another one."""

_METRIC_STD = 0.014
"""Prior of relative changes of the reciprocal metric: 0.7 % of an edge."""
_ANGLE_STD = 0.006
_TEXTURE_STD = 0.6
_LOG_WIDTH_STD = (0.5, 0.9)
_ETA = (0.5, 0.25)
_ZERO_STD_DEG = 0.08
_DISPLACEMENT_STD_DEG = 0.05
B_ISO_A2 = 0.5
"""Å²; temperature factor of all phases, usual for inorganic crystals at room temperature."""
_REACH = 9.0
"""Full widths to either side of a peak within which it is computed."""


@dataclass(frozen=True, eq=False)
class Trial:
    """A phase as it stands in a model. n reflections, m metric components, k harmonics."""

    index: int
    """Of the candidate."""
    found: Reflections
    log_amount: float
    metric: Floats
    log_width: Floats
    """Logarithms of α and β in degrees: Γ² = α²/cos²θ + β² tan²θ."""
    eta: float
    texture: Floats

    def vector(self) -> Floats:
        """All parameters in a row: amount, metric, widths, η, texture."""
        return np.concatenate([[self.log_amount], self.metric, self.log_width, [self.eta], self.texture])

    def moved(self, step: Floats) -> Trial:
        """After a step of the parameters, inside their bounds."""
        m, bound = len(self.metric), 2.0 * MAX_CELL_CHANGE
        return replace(
            self,
            log_amount=float(np.clip(self.log_amount + step[0], -60.0, 60.0)),
            metric=np.clip(self.metric + step[1 : 1 + m], -bound, bound),
            log_width=np.clip(self.log_width + step[1 + m : 3 + m], -6.0, 1.0),
            eta=float(np.clip(self.eta + step[3 + m], 0.0, 1.0)),
            texture=np.clip(self.texture + step[4 + m :], -3.0, 3.0),
        )


@dataclass(frozen=True, eq=False)
class Peaks:
    """Peaks of one phase in the range of a pattern, J of them: one for each reflection and line, with its window of W
    points."""

    index: NDArray[np.int64]
    """J x W; points of each window."""
    distance: Floats
    """J x W; to the centre, degrees."""
    width: Floats
    """J x 1; full width at half maximum, degrees."""
    theta: Floats
    """J; rad."""
    area: Floats
    """J x 1; counts times degrees."""
    rows: NDArray[np.int64]
    """J; of the reflections."""
    x4: Floats
    """J x W; four times the squared distance in widths."""
    lorentz: Floats
    """J x W; of unit area, as `gauss`."""
    gauss: Floats


@dataclass(frozen=True, eq=False)
class Fit:
    """A mixture that was fitted."""

    trials: tuple[Trial, ...]
    shifts: Floats
    """Zero shift and displacement in degrees: Δ2θ = shifts[0] + shifts[1] cosθ."""
    splines: Floats
    profiles: Floats
    """p x N; counts of each phase."""
    background: Floats
    peaks: tuple[Peaks, ...]
    objective: float
    """Weighted squares of the residual, and of what the priors make of the parameters."""
    covariance: Floats | None = None
    """Of the logarithms of the amounts, p x p; where it was asked for."""

    @property
    def model(self) -> Floats:
        """N; counts."""
        return np.asarray(self.background + self.profiles.sum(axis=0))


def start(index: int, found: Reflections, metric: Floats, amount: float, log_width: Floats) -> Trial:
    """A phase before its first refinement."""
    return Trial(
        index=index,
        found=found,
        log_amount=float(np.log(max(amount, 1e-20))),
        metric=metric,
        log_width=log_width.copy(),
        eta=_ETA[0],
        texture=np.zeros(found.harmonics.shape[1]),
    )


def empty(data: Measured) -> Fit:
    """The background alone."""
    weight = 1.0 / data.variance
    left = data.basis.T @ (data.basis * weight[:, None])
    splines = np.linalg.solve(
        left + 1e-9 * np.trace(left) * np.eye(len(left)), data.basis.T @ (weight * data.background)
    )
    return _evaluate(data, (), np.zeros(2), splines, np.log([0.1, 0.05]), Lines(np.ones(1), np.ones(1)))


def refine(
    data: Measured,
    trials: Sequence[Trial],
    shifts: Floats,
    splines: Floats,
    width: Floats,
    lines: Lines,
    steps: int = 8,
    covariance: bool = False,
) -> Fit:
    """Levenberg-Marquardt from a start.

    Args:
        data: the pattern.
        trials: phases to fit, with where they start.
        shifts: start of zero shift and displacement.
        splines: start of the background's coefficients.
        width: prior mean of the logarithms of α and β of all phases.
        lines: of the radiation.
        steps: at most so many.
        covariance: whether to compute that of the amounts.
    """
    current = _evaluate(data, tuple(trials), shifts, splines, width, lines)
    damping = 1e-3
    b = data.basis.shape[1]
    root = 1.0 / np.sqrt(data.variance)
    hessian = np.zeros((0, 0))
    for _ in range(steps):
        columns = _jacobian(data, current) * root
        residual = (data.counts - current.model) * root
        means, precisions = _prior(current, width)
        hessian = columns @ columns.T + np.diag(precisions)
        gradient = columns @ residual + precisions * means
        improved = False
        for _ in range(4):
            scaled = hessian + damping * np.diag(np.diag(hessian) + 1e-12)
            step = _capped(np.asarray(np.linalg.solve(scaled, gradient), dtype=float), b, current.trials)
            nearby = _moved(data, current, step, width, lines)
            if nearby.objective < current.objective:
                improved = True
                break
            damping *= 8.0
        if not improved:
            break
        gain = current.objective - nearby.objective
        current = nearby
        damping = max(damping / 5.0, 1e-7)
        if gain < 1e-4 * current.objective + 0.05:
            break
    if covariance and current.trials:
        columns = _jacobian(data, current) * root
        inverse = np.linalg.pinv(columns @ columns.T + np.diag(_prior(current, width)[1]), hermitian=True)
        where = b + 2 + np.cumsum([0] + [len(t.vector()) for t in current.trials[:-1]])
        return replace(current, covariance=np.asarray(inverse[np.ix_(where, where)], dtype=float))
    return current


def _moved(data: Measured, fit: Fit, step: Floats, width: Floats, lines: Lines) -> Fit:
    b = data.basis.shape[1]
    trials, at = [], b + 2
    for trial in fit.trials:
        size = len(trial.vector())
        trials.append(trial.moved(step[at : at + size]))
        at += size
    shifts = np.clip(fit.shifts + step[b : b + 2], -0.3, 0.3)
    return _evaluate(data, tuple(trials), shifts, fit.splines + step[:b], width, lines)


def _capped(step: Floats, b: int, trials: Sequence[Trial]) -> Floats:
    """No phase grows or shrinks by more than e², no cell moves by more than 0.4 % at once."""
    step = step.copy()
    step[b : b + 2] = np.clip(step[b : b + 2], -0.06, 0.06)
    at = b + 2
    for trial in trials:
        m, size = len(trial.metric), len(trial.vector())
        step[at] = np.clip(step[at], -2.0, 2.0)
        step[at + 1 : at + 1 + m] = np.clip(step[at + 1 : at + 1 + m], -0.008, 0.008)
        step[at + 1 + m : at + size] = np.clip(step[at + 1 + m : at + size], -0.5, 0.5)
        at += size
    return step


def _prior(fit: Fit, width: Floats) -> tuple[Floats, Floats]:
    """Distance to the prior's mean, and its precision, for each parameter."""
    b = len(fit.splines)
    means: list[Floats] = [np.zeros(b), -fit.shifts]
    precisions: list[Floats] = [np.full(b, 1e-12), np.array([_ZERO_STD_DEG**-2, _DISPLACEMENT_STD_DEG**-2])]
    for trial in fit.trials:
        m, k = len(trial.metric), len(trial.texture)
        cell = np.full(m, _METRIC_STD**-2)
        cell[trial.found.edges :] = _ANGLE_STD**-2
        means += [np.zeros(1), -trial.metric, width - trial.log_width, np.array([_ETA[0] - trial.eta]), -trial.texture]
        precisions += [
            np.full(1, 1e-9),
            cell,
            np.array(_LOG_WIDTH_STD) ** -2.0,
            np.array([_ETA[1] ** -2]),
            np.full(k, _TEXTURE_STD**-2),
        ]
    return np.concatenate(means), np.concatenate(precisions)


def _peaks(data: Measured, trial: Trial, shifts: Floats, lines: Lines) -> Peaks:
    found = trial.found
    q = found.q * (1.0 + found.metric @ trial.metric)
    strength = found.strength * np.exp(
        np.clip(trial.log_amount + found.harmonics @ trial.texture - 0.5 * B_ISO_A2 * q, -80.0, 80.0)
    )
    sin = np.sqrt(np.maximum(q, 1e-9)) * data.wavelength_a / 2.0 * lines.relative[:, None]
    rows = np.broadcast_to(np.arange(len(q)), sin.shape).ravel()
    area = (strength * lines.intensity[:, None]).ravel()
    sin = sin.ravel()
    possible = sin < 0.999
    sin, rows, area = sin[possible], rows[possible], area[possible]
    theta = np.arcsin(sin)
    area = area * lorentz_polarisation(sin)
    centre = np.degrees(2.0 * theta) + shifts[0] + shifts[1] * np.cos(theta)
    alpha, beta = np.exp(trial.log_width)
    width = np.sqrt((alpha / np.cos(theta)) ** 2 + (beta * np.tan(theta)) ** 2)
    near = (centre > data.angles[0] - 2.0) & (centre < data.angles[-1] + 2.0)
    near &= area > 1e-4 * area[near].max(initial=0.0)
    centre, width, theta, area, rows = centre[near], width[near], theta[near], area[near], rows[near]
    half = int(min(_REACH * float(np.median(width)) if len(width) else 0.0, 4.0) / data.step) + 3
    middle = np.round((centre - data.angles[0]) / data.step).astype(int)
    index = middle[:, None] + np.arange(-half, half + 1)
    distance = data.angles[0] + data.step * index - centre[:, None]
    width = width[:, None]
    x4 = 4.0 * (distance / width) ** 2
    lorentz = 2.0 / np.pi / width / (1.0 + x4)
    gauss = 2.0 * np.sqrt(LN2 / np.pi) / width * np.exp(-LN2 * x4)
    return Peaks(index, distance, width, theta, area[:, None], rows, x4, lorentz, gauss)


def _collect(data: Measured, index: NDArray[np.int64], values: Floats) -> Floats:
    """Sum of windows on the grid of the data; what falls outside is dropped."""
    n = len(data.angles)
    flat = np.clip(index.ravel() + 1, 0, n + 1)
    return np.asarray(np.bincount(flat, weights=values.ravel(), minlength=n + 2)[1 : n + 1], dtype=float)


def _evaluate(
    data: Measured, trials: tuple[Trial, ...], shifts: Floats, splines: Floats, width: Floats, lines: Lines
) -> Fit:
    profiles = np.zeros((len(trials), len(data.angles)))
    peaks = tuple(_peaks(data, trial, shifts, lines) for trial in trials)
    for row, (trial, own) in enumerate(zip(trials, peaks, strict=True)):
        shape = trial.eta * own.lorentz + (1.0 - trial.eta) * own.gauss
        profiles[row] = _collect(data, own.index, own.area * shape)
    fit = Fit(trials, shifts, splines, profiles, data.basis @ splines, peaks, 0.0)
    residual = data.counts - fit.model
    means, precisions = _prior(fit, width)
    objective = float((residual**2 / data.variance).sum() + (precisions * means**2).sum())
    return replace(fit, objective=objective)


def _jacobian(data: Measured, fit: Fit) -> Floats:
    """Derivatives of the model by all parameters, P x N: splines, shifts, then each phase."""
    columns = [data.basis.T, np.zeros((2, len(data.angles)))]
    for trial, profile, peaks in zip(fit.trials, fit.profiles, fit.peaks, strict=True):
        x4, lorentz, gauss, area = peaks.x4, peaks.lorentz, peaks.gauss, peaks.area
        shape = trial.eta * lorentz + (1.0 - trial.eta) * gauss
        inner = trial.eta * lorentz / (1.0 + x4) + (1.0 - trial.eta) * LN2 * gauss
        by_centre = area * 8.0 * peaks.distance / peaks.width**2 * inner
        by_log_width = area * (2.0 * x4 * inner - shape)
        tan, cos = np.tan(peaks.theta), np.cos(peaks.theta)
        columns[1] = columns[1] + np.array(
            [_collect(data, peaks.index, by_centre), _collect(data, peaks.index, by_centre * cos[:, None])]
        )
        moved = trial.found.metric[peaks.rows]
        by_q = np.degrees(tan) / (1.0 + moved @ trial.metric)
        share = np.exp(2.0 * trial.log_width[0]) / cos**2 / peaks.width[:, 0] ** 2
        own = [profile]
        own += [_collect(data, peaks.index, by_centre * (by_q * column)[:, None]) for column in moved.T]
        own += [
            _collect(data, peaks.index, by_log_width * share[:, None]),
            _collect(data, peaks.index, by_log_width * (1.0 - share)[:, None]),
            _collect(data, peaks.index, area * (lorentz - gauss)),
        ]
        own += [
            _collect(data, peaks.index, area * shape * column[:, None])
            for column in trial.found.harmonics[peaks.rows].T
        ]
        columns.append(np.array(own))
    return np.concatenate(columns)
