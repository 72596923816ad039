"""One joint normal belief about many rows, out of a sample of processes. What is not here: units (the callers')."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .member import Member

if TYPE_CHECKING:
    import torch


def joint_belief(member: Member, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean `m` and covariance `m x m` of the outcomes of rows `m x width`, without the noise of a measurement.

    Of the mixture of all particles, which count alike. Each particle's warp is taken as linear between the 16 and 84 %
    quantiles of a row; the means of particles add what they differ by.
    """
    import torch

    with torch.no_grad():
        latent = member.latent(x)
        middle = member.outcome(latent.mean)
        half = 0.5 * (member.outcome(latent.mean + latent.std) - member.outcome(latent.mean - latent.std))
        mean = middle.mean(0)
        away = middle - mean
        covariance = away.T @ away / len(away)
        # One particle at a time: all their covariances together would not fit.
        for place, slope in enumerate(half / latent.std):
            own = member.one(place).covariance(x)[0]
            covariance += slope.unsqueeze(-1) * own * slope / len(away)
    return mean, covariance
