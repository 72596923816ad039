"""Noisy expected hypervolume improvement over a finite set: what a batch adds under a Pareto front.

Integrated over what is believed of measured rows as well as of waiting ones (Daulton, Balandat & Bakshy, NeurIPS 2021,
in the logarithmic form of Ament et al., NeurIPS 2023). The acquisition is BoTorch's; here stands how beliefs about a
pool become a model that it can read, and a rough first look for long pools. What is not here: crystals (`front.py`)
and tables (`tables/several.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import MCMultiOutputObjective
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.utils.multi_objective.box_decompositions.non_dominated import FastNondominatedPartitioning
from botorch.utils.multi_objective.pareto import is_non_dominated
from gpytorch.distributions import MultitaskMultivariateNormal, MultivariateNormal
from linear_operator import to_linear_operator
from torch.quasirandom import SobolEngine

from .merit import FLOOR

Worth = Callable[[torch.Tensor], torch.Tensor]
"""Samples of outcomes (`... x m`) to what is to be maximised (`... x k`), each in units of its spread."""

Limit = Callable[[torch.Tensor], torch.Tensor]
"""Samples of outcomes (`... x m`) to a number (`...`) that is not positive where the limit is kept."""

SAMPLES = 64
"""Quasi-random samples of the beliefs."""

CHUNK = 256
"""Rows scored at a time."""

JITTER = 1e-5
"""Part of the mean variance that is added to each: twins in a pool would make covariances singular."""

MARGIN = 0.1
"""Distance of the reference point from the front, in parts of the front's extent (or of the unit, if larger)."""


class PoolModel(Model):
    """A BoTorch model whose design space is the row number: normal beliefs about a finite set, looked up.

    Independent over the outcomes; jointly normal over the rows.
    """

    def __init__(self, means: torch.Tensor, covariances: torch.Tensor) -> None:
        """A model of `s` rows and `m` outcomes.

        Args:
            means: `m x s`.
            covariances: `m x s x s`, positive semidefinite.
        """
        super().__init__()
        apart = JITTER * covariances.diagonal(dim1=-2, dim2=-1).mean(-1)
        self._means = means
        self._covariances = covariances + apart[:, None, None] * torch.eye(means.shape[1], dtype=means.dtype)

    @property
    def size(self) -> int:
        """Rows."""
        return self._means.shape[1]

    @property
    def num_outputs(self) -> int:
        """Outcomes."""
        return len(self._means)

    @property
    def batch_shape(self) -> torch.Size:
        """No batch of models."""
        return torch.Size()

    def posterior(
        self,
        X: torch.Tensor,  # noqa: N803 - BoTorch's name
        output_indices: list[int] | None = None,  # noqa: ARG002 - BoTorch's signature
        observation_noise: bool | torch.Tensor = False,  # noqa: ARG002 - BoTorch's signature
        posterior_transform: Any = None,
    ) -> GPyTorchPosterior:
        """Beliefs about the rows `X` (`b x q x 1`, whole numbers)."""
        rows = X[..., 0].round().long()
        normals = [
            MultivariateNormal(mean[rows], to_linear_operator(covariance[rows.unsqueeze(-1), rows.unsqueeze(-2)]))
            for mean, covariance in zip(self._means, self._covariances, strict=True)
        ]
        joined = normals[0] if len(normals) == 1 else MultitaskMultivariateNormal.from_independent_mvns(normals)
        posterior = GPyTorchPosterior(joined)
        return posterior if posterior_transform is None else posterior_transform(posterior)


class _Objective(MCMultiOutputObjective):
    def __init__(self, worth: Worth) -> None:
        super().__init__()
        self._worth = worth

    def forward(self, samples: torch.Tensor, X: torch.Tensor | None = None) -> torch.Tensor:  # noqa: N803, ARG002
        return self._worth(samples)


class Hypervolume:
    """BoTorch's acquisition over some rows, after others were measured."""

    def __init__(
        self, model: PoolModel, base: int, size: int, worth: Worth, limits: Sequence[Limit], seed: int
    ) -> None:
        """Of a model of `base` measured rows (those that may be on the front will do) and `size` waiting ones."""
        self._model, self._base, self._size = model, base, size
        self._worth, self._limits = worth, tuple(limits)
        self._anchor = torch.arange(base, dtype=torch.float64).unsqueeze(-1)
        expected = model.posterior(self._anchor.unsqueeze(0)).mean[0]
        self._acquisition = qLogNoisyExpectedHypervolumeImprovement(
            model=model,
            ref_point=reference(worth(expected), kept(expected, limits)),
            X_baseline=self._anchor,
            sampler=SobolQMCNormalSampler(torch.Size([SAMPLES]), seed=seed),
            objective=_Objective(worth),
            constraints=list(limits) or None,
            prune_baseline=False,
            cache_root=False,
        )

    def merit(self) -> torch.Tensor:
        """Logarithm of the expected gain of each waiting row, after what is pending; `size`, finite."""
        with torch.no_grad():
            parts = [self._acquisition(part) for part in self._rows().split(CHUNK)]
        return torch.cat(parts).double().nan_to_num(nan=FLOOR, neginf=FLOOR)

    def pend(self, taken: Sequence[int]) -> None:
        """These waiting rows are picked: they count as measured, with their outcome integrated out."""
        self._acquisition.set_X_pending(self._rows()[list(taken), 0])

    def chance(self) -> torch.Tensor:
        """Probability of each waiting row to keep the limits and to be beaten by no measured one; `size`."""
        found = []
        for part in self._rows().split(CHUNK):
            x = torch.cat([self._anchor.expand(len(part), -1, -1), part], dim=1)
            sampler = SobolQMCNormalSampler(torch.Size([SAMPLES]), seed=0)
            with torch.no_grad():
                samples = sampler(self._model.posterior(x))
            good = kept(samples, self._limits)
            worth = self._worth(samples)
            own, others = worth[..., -1:, :], worth[..., :-1, :]
            beaten = (others >= own).all(-1) & (others > own).any(-1) & good[..., :-1]
            found.append((good[..., -1] & ~beaten.any(-1)).double().mean(0))
        return torch.cat(found)

    def _rows(self) -> torch.Tensor:
        """`size x 1 x 1`."""
        return torch.arange(self._base, self._base + self._size, dtype=torch.float64).reshape(-1, 1, 1)


def on_front(model: PoolModel, worth: Worth, limits: Sequence[Limit], seed: int) -> torch.Tensor:
    """Rows of a model of measured rows that may be on the front: on it in one of the samples, at least; all where the
    limits are kept in none."""
    rows = torch.arange(model.size)
    sampler = SobolQMCNormalSampler(torch.Size([SAMPLES]), seed=seed)
    with torch.no_grad():
        samples = sampler(model.posterior(rows.double().reshape(1, -1, 1)))[:, 0]
    good = kept(samples, limits)
    value = torch.where(good.unsqueeze(-1), worth(samples), torch.full((), -1e9, dtype=torch.float64))
    on = (is_non_dominated(value, deduplicate=False) & good).any(0)
    return rows[on] if bool(on.any()) else rows


def rough_merit(
    means: torch.Tensor, stds: torch.Tensor, anchors: torch.Tensor, worth: Worth, limits: Sequence[Limit]
) -> torch.Tensor:
    """Logarithm of the expected gain of single rows over the front that is expected of measured ones; `s`, finite.

    A first look at long pools: measured rows are taken at their expectation and waiting ones as independent of them.

    Args:
        means: `m x s`.
        stds: `m x s`.
        anchors: `n x m` expected outcomes of measured rows.
        worth: of outcomes.
        limits: on outcomes.
    """
    good = kept(anchors, limits)
    value = worth(anchors)
    point = reference(value, good)
    if bool(good.any()):
        cells = FastNondominatedPartitioning(point, value[good]).get_hypercell_bounds()
    else:
        # No measured row is expected to keep the limits: everything beyond the reference is gain.
        cells = torch.stack([point, torch.full_like(point, math.inf)]).unsqueeze(1)
    uniform = SobolEngine(len(means), scramble=True, seed=0).draw(SAMPLES, dtype=torch.float64)
    z = math.sqrt(2.0) * torch.erfinv(2.0 * uniform.clamp(1e-6, 1.0 - 1e-6) - 1.0).unsqueeze(1)
    found = []
    for mean, std in zip(means.T.split(CHUNK), stds.T.split(CHUNK), strict=True):
        samples = mean + z * std
        inside = kept(samples, limits)
        overlap = torch.minimum(worth(samples).unsqueeze(-2), cells[1]) - cells[0]
        gain = overlap.clamp_min(0.0).prod(-1).sum(-1) * inside
        found.append(gain.mean(0))
    return torch.cat(found).log().clamp_min(FLOOR)


def reference(worth: torch.Tensor, good: torch.Tensor) -> torch.Tensor:
    """A little worse than the worst of the front in every aim, so that its ends count too."""
    worth = worth[good] if bool(good.any()) else worth
    front = worth[is_non_dominated(worth)]
    nadir = front.min(0).values
    return nadir - MARGIN * (front.max(0).values - nadir).clamp_min(1.0)


def kept(samples: torch.Tensor, limits: Sequence[Limit]) -> torch.Tensor:
    """Whether outcomes (`... x m`) keep every limit; `...`."""
    good = torch.ones(samples.shape[:-1], dtype=torch.bool)
    for limit in limits:
        good = good & (limit(samples) <= 0)
    return good


def above(column: int, lower: float) -> Limit:
    """The outcome in this column is at least `lower`."""
    return lambda samples: lower - samples[..., column]


def below(column: int, upper: float) -> Limit:
    """The outcome in this column is at most `upper`."""
    return lambda samples: samples[..., column] - upper
