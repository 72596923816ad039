"""The lowest of a function of a few numbers in few evaluations: Bayesian optimisation, then a local refinement.

What lives here: numbers alone, no crystal and no model; the caller evaluates, many searches at a time.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..core.errors import ToolError
from .stepwise import StepwiseMinimiser

SOFT = 0.1
"""eV/atom above the lowest; energies beyond it are put together by their logarithm, as a process does not need to
describe atoms on top of each other."""
NOISE = 1e-5
"""eV/atom; round-off of a network in 32 bits."""
MAX_FITTED = 60
"""Evaluations, the nearest to the best, that a process is fitted to."""
SUCCESSES = 2
"""Gains in a row after which the trust region doubles (TuRBO: 3)."""
SHAPE = 5.0
"""Most by which the width of the trust region along a parameter differs from its mean width."""
RESTARTS, DRAWS, MOVES = 2, 64, 20
"""Starts, points that they are chosen from, and steps of the acquisition's optimiser."""
FITS = 30
"""Steps of the fit; the next guess fits anew, so that the last digit of a lengthscale is not worth its time."""
FINAL = 0.02
"""Part of `SearchSettings.start`: the last trust region. With `start` a twentieth, steps of a thousandth."""
EDGE = 1e-3
"""Part of a bound; what is nearer to it lies on it."""


@dataclass(frozen=True)
class SearchSettings:
    """How far and how long a search for free parameters goes."""

    strain: float = 0.2
    """Largest strain either way, as a logarithm of lengths: BOWSR's fifth of an edge."""
    shift: float = 0.2
    """Largest change of a coordinate either way, part of a cell: BOWSR's."""
    start: float = 0.25
    """Part of the bounds that the first trust region spans either way: where the first points are drawn."""
    gain: float = 1e-3
    """eV/atom; the Bayesian part ends where the expected improvement is smaller, and so was the last one."""
    per_parameter: int = 5
    """Evaluations of the Bayesian part for each parameter and one more, at most; 0: refinement alone."""

    def __post_init__(self) -> None:
        for name in ("strain", "shift", "start"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ToolError(f"Search setting {name} is {getattr(self, name)}.", "Give more than 0 and at most 1.")
        if self.shift > 0.5:
            raise ToolError(f"shift is {self.shift} of a cell.", "Give at most 0.5: the cell repeats itself.")
        if not self.gain > 0 or self.per_parameter < 0:
            raise ToolError("gain and per_parameter are not negative.", "Give a positive gain.")


class Search:
    """One search: `ask` for points, `tell` their values, until it has `ended`. Deterministic by its seed.

    First points by Sobol's sequence around the origin; then a Gaussian process (SingleTaskGP, Matérn kernel with a
    lengthscale for each parameter) and LogEI (Ament et al., NeurIPS 2023) inside a trust region around the best, which
    doubles and halves as TuRBO's does (Eriksson et al., NeurIPS 2019). Last a refinement by a quadratic model: in a
    valley that lies askew it ends where a process needs several times the evaluations.

    Args:
        size: `d`, number of parameters; each goes from -1 to 1 and begins at 0.
        seed: of every random number.
        settings: bounds and ends.
        budget: evaluations at most.
    """

    def __init__(self, size: int, seed: int, settings: SearchSettings, budget: int) -> None:
        self.size = size
        self.ended = False
        self.converged = False
        self._settings = settings
        self._seed = seed % 2**31
        self._budget = budget
        self._points = np.empty((0, size))
        self._values = np.empty(0)
        self._widths = np.full(size, settings.start)
        self._hits = self._misses = 0
        self._last_gain = math.inf
        self._refinement: StepwiseMinimiser | None = None

    @property
    def evaluations(self) -> int:
        """Values told so far."""
        return len(self._values)

    @property
    def best(self) -> int | None:
        """Place of the lowest value among all told; None where none was finite."""
        finite = np.isfinite(self._values)
        return int(np.where(finite, self._values, np.inf).argmin()) if finite.any() else None

    @property
    def point(self) -> np.ndarray:
        """`d`; the best point, the origin where there is none."""
        return np.zeros(self.size) if self.best is None else self._points[self.best]

    @property
    def edge(self) -> int | None:
        """A parameter that lies on its bound at the best point; None where all are inside."""
        return int(np.abs(self.point).argmax()) if self.size and np.abs(self.point).max() > 1 - EDGE else None

    def ask(self) -> np.ndarray:
        """`k x d`, the next points; none when it has ended."""
        if not self.ended and not self.evaluations:
            return self._first()
        if not self.ended and (self.best is None or self.size == 0):
            self.ended, self.converged = True, self.best is not None
        if self.ended:
            return np.empty((0, self.size))
        if self._refinement is None:
            point = self._guess()
            if point is not None:
                return point[None]
            self._refinement = self._refine()
        return self._refined(self._refinement)

    def tell(self, points: np.ndarray, values: Sequence[float]) -> None:
        """The values (eV/atom) of the points that were asked for last, not finite where there is none."""
        before = None if self.best is None else self._values[self.best]
        self._points = np.concatenate([self._points, points])
        self._values = np.concatenate([self._values, values])
        if self._refinement is not None:
            self._refinement.tell(self._usable()[-1])
        elif before is not None:
            self._last_gain = float(before - self._values[self.best])
            self._breathe(self._last_gain > self._settings.gain)

    def close(self) -> None:
        """Leave it before its end."""
        if self._refinement is not None:
            self._refinement.close()

    def _usable(self) -> np.ndarray:
        """All values, the worst finite one where there is none: LogEI and quadratic models take no infinity."""
        finite = np.isfinite(self._values)
        return np.where(finite, self._values, self._values[finite].max())

    def _first(self) -> np.ndarray:
        from scipy.stats.qmc import Sobol

        origin = np.zeros((1, self.size))
        count = min(self.size + 1, self._budget - 1) if self._settings.per_parameter and self.size else 0
        if count < 1:
            return origin
        with warnings.catch_warnings():
            # Balance needs a power of two; the numbers of parameters are none.
            warnings.filterwarnings("ignore", message="The balance properties of Sobol")
            drawn = Sobol(self.size, seed=self._seed).random(count)
        return np.concatenate([origin, (2 * drawn - 1) * self._widths])

    def _breathe(self, gained: bool) -> None:
        """Double or halve the trust region after gains or misses in a row."""
        self._hits, self._misses = (self._hits + 1, 0) if gained else (0, self._misses + 1)
        if self._hits == SUCCESSES:
            self._widths, self._hits = np.minimum(2 * self._widths, 1.0), 0
        elif self._misses == max(SUCCESSES, self.size // 3):
            self._widths, self._misses = self._widths / 2, 0

    def _guess(self) -> np.ndarray | None:
        """Where LogEI is largest in the trust region (`d`); None where the Bayesian part has ended."""
        limit = min(self._settings.per_parameter * (self.size + 1), self._budget)
        if self.evaluations >= limit:
            return None
        import torch
        from botorch.acquisition import LogExpectedImprovement
        from botorch.optim import optimize_acqf
        from botorch.utils.sampling import manual_seed

        centre = self.point
        low, high = np.maximum(centre - self._widths, -1.0), np.minimum(centre + self._widths, 1.0)
        unit = 2 * self._widths
        near = np.abs((self._points - centre) / unit).max(axis=1)
        count = min(max(int((near <= 1.0).sum()), 2 * self.size + 2), MAX_FITTED)
        chosen = np.argsort(near, kind="stable")[:count]
        above = self._usable()[chosen] - self._values[self.best]
        with manual_seed(self._seed), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of fits that end at a bound: the guess is one among many
            model, kernel = _fitted((self._points[chosen] - centre) / unit, -SOFT * np.log1p(above / SOFT))
            point, value = optimize_acqf(
                LogExpectedImprovement(model, best_f=0.0),
                bounds=torch.tensor(np.stack([(low - centre) / unit, (high - centre) / unit])),
                q=1,
                num_restarts=RESTARTS,
                raw_samples=DRAWS,
                options={"seed": self._seed + self.evaluations, "maxiter": MOVES},
            )
        if math.exp(float(value)) < self._settings.gain and self._last_gain < self._settings.gain:
            return None
        guess: np.ndarray = np.clip(centre + point.numpy().ravel() * unit, low, high)
        self._widths = _shaped(self._widths, kernel.lengthscale.detach().numpy().ravel())
        return guess

    def _refine(self) -> StepwiseMinimiser:
        final = FINAL * self._settings.start
        radius = float(np.clip(_mean(self._widths), 4 * final, self._settings.start)) / 2
        bounds = np.tile([-1.0, 1.0], (self.size, 1))
        return StepwiseMinimiser(self.point, radius, final, bounds, max(self._budget - self.evaluations, 1))

    def _refined(self, refinement: StepwiseMinimiser) -> np.ndarray:
        while (point := refinement.ask()) is not None:
            known = np.flatnonzero((self._points == point).all(axis=1))
            if not len(known):
                return point[None]
            refinement.tell(self._usable()[known[0]])
        self.ended, self.converged = True, refinement.converged
        return np.empty((0, self.size))


def _fitted(points: np.ndarray, values: np.ndarray) -> tuple[Any, Any]:
    """A process on `n x d` points (of the order of 1) and `n` values to be maximised, and its kernel."""
    import torch
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Standardize
    from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
    from gpytorch.mlls import ExactMarginalLogLikelihood

    inputs, outcomes = torch.tensor(points), torch.tensor(values)[:, None]
    kernel = get_covar_module_with_dim_scaled_prior(ard_num_dims=points.shape[1], use_rbf_kernel=False)
    model = SingleTaskGP(
        inputs,
        outcomes,
        torch.full_like(outcomes, NOISE**2),
        covar_module=kernel,
        outcome_transform=Standardize(1),
    )
    likelihood = ExactMarginalLogLikelihood(model.likelihood, model)
    fit_gpytorch_mll(likelihood, optimizer_kwargs={"options": {"maxiter": FITS}})
    return model, kernel


def _shaped(widths: np.ndarray, lengthscales: np.ndarray) -> np.ndarray:
    """Widths with the mean of before, in the ratios of the lengthscales (which are in units of the widths)."""
    ratios = lengthscales * widths
    ratios = np.clip(ratios / _mean(ratios), 1 / SHAPE, SHAPE)
    return np.minimum(_mean(widths) * ratios / _mean(ratios), 1.0)


def _mean(widths: np.ndarray) -> float:
    return float(np.exp(np.log(widths).mean()))
