"""The Gaussian process on (measured - cheap): delta-learning that still works with no, one or two measurements.

What is not here: features (`features.py`), calibration of the deviations (`calibration.py`), decisions
(`acquisition.py`).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..tools.core.errors import ToolError

if TYPE_CHECKING:
    import torch
    from botorch.models import SingleTaskGP

MIN_POINTS_TO_FIT = 4
"""With fewer measurements the hyperparameters stay at the mode of their priors."""

PRIOR_MEAN_WEIGHT = 1.0
"""Measurements that the prior mean is worth: one measurement moves the mean by half its residual, and counts the other
half as evidence that differences are large. With less weight, a batch of alike crystals passes for a global shift."""

PRIOR_STD_WEIGHT = 3.0
"""Measurements that the prior deviation is worth."""

NOISE_BOUNDS = (1e-4, 1.0)
"""Of the noise variance, in units of the prior variance of the difference. The lower one doubles as jitter."""

UNIT_CUBE_STD = 1.0 / math.sqrt(12.0)
"""Deviation of a uniform variable on [0, 1]: the lengthscale prior was made for inputs spread like that."""

CHUNK = 1024
"""Rows predicted at a time, so that memory does not grow with the pool."""


@dataclass(frozen=True)
class Prior:
    """What is believed of a property before any measurement; catalogue's unit."""

    delta_std: float
    """Typical difference between evaluator and relaxation potential."""
    mean: float
    """Typical value, used where there is no cheap prediction."""
    std: float
    """Spread of values, used where there is no cheap prediction."""


PRIORS = {
    "formation_energy": Prior(delta_std=0.1, mean=-1.0, std=1.0),
    "density": Prior(delta_std=0.3, mean=5.0, std=3.0),
    "volume_per_atom": Prior(delta_std=1.0, mean=18.0, std=8.0),
    "bulk_modulus": Prior(delta_std=25.0, mean=90.0, std=60.0),
    "band_gap": Prior(delta_std=1.0, mean=1.0, std=1.5),
}
"""Order-of-magnitude beliefs: errors of universal potentials of the first generation against PBE, and the spread of
inorganic crystals. A handful of measurements outweighs them (`PRIOR_STD_WEIGHT`)."""


class DeltaGP:
    """Predicts a measured value as cheap prediction + Gaussian process on the features.

    The difference is standardised with the mean and variance of a normal-inverse-gamma posterior (K. Murphy,
    "Conjugate Bayesian analysis of the Gaussian distribution", 2007, section 6), so that one measurement, or several
    identical ones, still leave a finite scale. The GP has a constant mean, a Matern-5/2 kernel with one lengthscale a
    feature and the dimension-scaled priors of Hvarfner, Hellsten & Nardi (ICML 2024), and a learned noise: the part of
    the difference that the features do not explain. Deviations are those of a measured value, noise included.
    """

    def __init__(self, prior_std: float, prior_mean: float = 0.0, seed: int = 0, alike: int = 0) -> None:
        """A model that knows nothing yet.

        Args:
            prior_std: deviation of (measured - cheap) before any measurement, > 0, in the property's unit.
            prior_mean: its mean; 0 where there is a cheap prediction.
            seed: for the restarts of a fit that does not converge at once.
            alike: features at the end that share one lengthscale, in a kernel of their own that multiplies the other.
        """
        if not (math.isfinite(prior_std) and prior_std > 0):
            raise ToolError(f"A prior deviation of {prior_std} is not possible.", "Give a positive number.")
        self._prior_std = prior_std
        self._prior_mean = prior_mean
        self._seed = seed
        self._alike = alike
        self._centre = prior_mean
        self._scale = prior_std
        self._x: torch.Tensor | None = None
        self._y: torch.Tensor | None = None
        self._gp: SingleTaskGP | None = None
        self._notes: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was out of the ordinary in the last fit, in words."""
        return self._notes

    @property
    def n(self) -> int:
        """Number of measurements that the model rests on (fantasies of `believe` included)."""
        return 0 if self._y is None else len(self._y)

    def fit(self, features: torch.Tensor, cheap: torch.Tensor, measured: torch.Tensor) -> None:
        """Learn from measurements; replaces what was learned before.

        Args:
            features: `n x d`, finite, of about zero mean and unit variance.
            cheap: `n` cheap predictions (zeros where there are none).
            measured: `n` values. A row that is not finite is left out, and noted.
        """

        notes = []
        residual = (measured - cheap).double()
        usable = residual.isfinite() & features.isfinite().all(dim=1)
        if not bool(usable.all()):
            notes.append(f"{int((~usable).sum())} measurements without a finite value left out")
        x, residual = features[usable].double() * UNIT_CUBE_STD, residual[usable]
        self._centre, self._scale = self._location_and_scale(residual)
        self._x, self._y = x, (residual - self._centre) / self._scale
        self._gp = None
        if len(x):
            gp = _build(x, self._y, self._alike)
            problem = _optimise(gp, self._seed) if len(x) >= MIN_POINTS_TO_FIT else ""
            if problem:
                notes.append(f"hyperparameters kept at their priors: {problem}")
            self._gp = _build(x, self._y, self._alike) if problem else gp
        self._notes = tuple(notes)

    def posterior(self, features: torch.Tensor, cheap: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of a measured value.

        Args:
            features: `m x d`.
            cheap: `m`.

        Returns:
            Mean and deviation, each `m` (float64), in the property's unit.
        """
        import torch

        if self._gp is None:
            return cheap.double() + self._centre, torch.full((len(features),), self._scale, dtype=torch.float64)
        means, variances = [], []
        with torch.no_grad():
            for chunk in (features.double() * UNIT_CUBE_STD).split(CHUNK):
                # One t-batch a crystal, `chunk x 1 x d`: marginals only, no covariance between crystals.
                posterior = self._gp.posterior(chunk.unsqueeze(-2), observation_noise=True)
                means.append(posterior.mean.flatten())
                variances.append(posterior.variance.flatten())
        empty = features.new_zeros(0, dtype=torch.float64)
        mean = torch.cat([empty, *means]) * self._scale + self._centre + cheap.double()
        return mean, torch.cat([empty, *variances]).clamp_min(1e-12).sqrt() * self._scale

    def believe(self, features: torch.Tensor) -> DeltaGP:
        """The model after a fantasy: the crystal (`1 x d`) was measured and gave what was expected.

        The kriging believer (Ginsbourger, Le Riche & Carraro 2010): hyperparameters stay, means stay, deviations
        shrink around the crystal.
        """
        import torch

        x = features.double() * UNIT_CUBE_STD
        if self._gp is None or self._x is None or self._y is None:
            joined, targets, state = x, torch.zeros(1, dtype=torch.float64), None
        else:
            with torch.no_grad():
                expected = self._gp.posterior(x).mean.flatten()
            joined, targets = torch.cat([self._x, x]), torch.cat([self._y, expected])
            state = self._gp.state_dict()
        other = copy.copy(self)
        other._x, other._y = joined, targets
        other._gp = _build(joined, targets, self._alike, state)
        return other

    def _location_and_scale(self, residual: torch.Tensor) -> tuple[float, float]:
        n = len(residual)
        if n == 0:
            return self._prior_mean, self._prior_std
        mean = float(residual.mean())
        shift = mean - self._prior_mean
        weight = PRIOR_MEAN_WEIGHT * n / (PRIOR_MEAN_WEIGHT + n)
        squares = float((residual - mean).square().sum()) + weight * shift**2
        variance = (PRIOR_STD_WEIGHT * self._prior_std**2 + squares) / (PRIOR_STD_WEIGHT + n)
        return self._prior_mean + shift * n / (PRIOR_MEAN_WEIGHT + n), math.sqrt(variance)


def _optimise(gp: SingleTaskGP, seed: int) -> str:
    """Maximise the posterior density of the hyperparameters in place; what went wrong, or an empty string."""
    import torch
    from botorch.exceptions.errors import ModelFittingError
    from botorch.fit import fit_gpytorch_mll
    from botorch.utils.sampling import manual_seed
    from gpytorch.mlls import ExactMarginalLogLikelihood
    from linear_operator.utils.errors import NanError, NotPSDError

    mll = ExactMarginalLogLikelihood(gp.likelihood, gp)
    try:
        # A restart draws from the priors with torch's global generator; it is put back afterwards.
        with manual_seed(seed), torch.enable_grad():
            fit_gpytorch_mll(mll, max_attempts=3, optimizer_kwargs={"options": {"maxiter": 200}})
    except (ModelFittingError, NotPSDError, NanError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


def _build(x: torch.Tensor, y: torch.Tensor, alike: int, state: dict[str, Any] | None = None) -> SingleTaskGP:
    """A GP on standardised targets, hyperparameters from `state` or at the mode of their priors.

    Args:
        x: `n x d`, spread like the unit cube.
        y: `n`.
        alike: columns at the end of x that share one lengthscale.
        state: from the `state_dict` of a GP with the same d.
    """
    from botorch.models import SingleTaskGP
    from botorch.models.utils.gpytorch_modules import get_covar_module_with_dim_scaled_prior
    from gpytorch.constraints import GreaterThan, Interval
    from gpytorch.kernels import MaternKernel
    from gpytorch.likelihoods import GaussianLikelihood
    from gpytorch.means import ConstantMean
    from gpytorch.priors import NormalPrior
    from gpytorch.priors.torch_priors import LogNormalPrior

    alike = alike if alike < x.shape[-1] else 0
    own = x.shape[-1] - alike
    kernel = get_covar_module_with_dim_scaled_prior(
        ard_num_dims=own, use_rbf_kernel=False, active_dims=range(own) if alike else None
    )
    if alike:
        # One lengthscale over all of them: the prior of one dimension.
        prior = LogNormalPrior(loc=math.sqrt(2.0), scale=math.sqrt(3.0))
        kernel = kernel * MaternKernel(
            nu=2.5,
            active_dims=range(own, x.shape[-1]),
            lengthscale_prior=prior,
            lengthscale_constraint=GreaterThan(2.5e-2, transform=None, initial_value=prior.mode),
        )
    noise_prior = LogNormalPrior(loc=-4.0, scale=1.0)
    likelihood = GaussianLikelihood(
        noise_prior=noise_prior,
        noise_constraint=Interval(*NOISE_BOUNDS, transform=None, initial_value=noise_prior.mode),
    )
    gp = SingleTaskGP(
        x,
        y.unsqueeze(-1),
        likelihood=likelihood,
        covar_module=kernel,
        mean_module=ConstantMean(constant_prior=NormalPrior(0.0, 1.0)),
        outcome_transform=None,
    )
    if state is not None:
        gp.load_state_dict(state)
    gp.eval()
    return gp
