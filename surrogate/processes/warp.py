"""A warp of outcomes, whose shape is learned with everything else: skewed measurements become nearly normal.

Yeo and Johnson, Biometrika 87, 954 (2000), on outcomes of zero mean and unit variance: power 1 is no warp, below 1 a
long upper tail is drawn in, above 1 a long lower one. Inverse and derivative are closed, so that predictions come
back to the user's unit and powers can be compared by likelihood.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

POWERS = (0.05, 1.95)
"""Powers stay between these: at 0 and 2 the inverse is no longer defined everywhere."""


def warp(values: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
    """Warped values; `power` broadcasts against `values`, and lies inside `POWERS`."""
    import torch

    above = ((values.clamp_min(0.0) + 1.0) ** power - 1.0) / power
    rest = 2.0 - power
    below = (1.0 - (1.0 - values.clamp_max(0.0)) ** rest) / rest
    return torch.where(values >= 0, above, below)


def unwarp(warped: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
    """The values that `warp` took there; beyond the end of its range (one side is bounded) the value at its end."""
    import torch

    above = (warped.clamp_min(0.0) * power + 1.0) ** (1.0 / power) - 1.0
    rest = 2.0 - power
    below = 1.0 - (1.0 - rest * warped.clamp_max(0.0)) ** (1.0 / rest)
    return torch.where(warped >= 0, above, below)


def log_slope(values: torch.Tensor, power: torch.Tensor) -> torch.Tensor:
    """Logarithm of the warp's derivative."""
    return (power - 1.0) * values.sign() * (values.abs() + 1.0).log()
