"""A BoTorch model whose design space is (mean, deviation): lets BoTorch's analytic acquisitions read marginals.

Only imported where one is evaluated, because it needs BoTorch at class level.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal
from linear_operator.operators import DiagLinearOperator


class MarginalsModel(Model):
    """The posterior at X = (mean, deviation) is the normal distribution with just those."""

    @property
    def num_outputs(self) -> int:
        """One."""
        return 1

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
        """Independent normals.

        Args:
            X: `b x q x 2`, mean and deviation in the last dimension.
            output_indices: not used: there is one output.
            observation_noise: not used: the deviation is taken as it is given.
            posterior_transform: applied to the posterior where given.
        """
        normal = MultivariateNormal(X[..., 0], DiagLinearOperator(X[..., 1].square()))
        posterior = GPyTorchPosterior(normal)
        return posterior if posterior_transform is None else posterior_transform(posterior)


@cache
def marginals_model() -> MarginalsModel:
    """The one instance: it holds no state."""
    return MarginalsModel()
