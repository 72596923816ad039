"""What rows are picked for, and what each is worth for that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ...tools.core.errors import ToolError
from ..merit import log_expected_approach
from ..processes.member import Latent
from .ensemble import Ensemble

if TYPE_CHECKING:
    import torch

Kind = Literal["maximise", "minimise", "target", "within", "boundary", "map"]

CAREFUL, HOPEFUL = (150, 1.0), (250, 2.0)
"""Candidates, and deviations above the expectation that a particle hopes for: fewer and more than these, and in between
evenly over the logarithm of the number.

With many candidates there is always one that is promising by chance, so that hoping for little stays where it began; of
few each has its turn anyway. Found on sixteen public pools (benchmarks/RESULTS.md)."""

NEAREST = 0.1
"""A target already met has no distance left; the wanted one never falls below this part of the median deviation."""

STRADDLE = 1.96
"""Deviations by which a row's interval should hold the boundary (Bryan et al., NeurIPS 2005)."""


@dataclass(frozen=True)
class Aim:
    """`maximise`, `minimise`; `target` (one value is wanted); `within` (find as many as possible between `lower` and
    `upper`, either of which may be open); `boundary` (learn where the outcome passes `value`); `map` (learn it
    everywhere). Numbers in the user's unit."""

    kind: Kind
    value: float | None = None
    lower: float | None = None
    upper: float | None = None

    def __post_init__(self) -> None:
        wanted = {"target": (self.value,), "boundary": (self.value,)}.get(self.kind, ())
        given = [v for v in (self.value, self.lower, self.upper) if v is not None]
        if any(v is None for v in wanted) or (self.kind == "within" and self.lower is None and self.upper is None):
            raise ToolError(f"The aim '{self.kind}' has no number.", "Say which value is meant.")
        if any(not math.isfinite(v) for v in given):
            raise ToolError(f"The aim '{self.kind}' has a number that is not finite.", "Give a finite number.")
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise ToolError(f"Nothing lies between {self.lower:g} and {self.upper:g}.", "Give the lower number first.")

    @property
    def high_is_good(self) -> bool:
        """How outcomes are stored; it only matters where an extremum is wanted."""
        return self.kind != "minimise"

    def best(self, values: list[float]) -> float | None:
        """The measured value that serves the aim best; None without any, or where none is better than another."""
        if not values or self.kind in ("boundary", "map"):
            return None
        if self.kind == "within":
            low = -math.inf if self.lower is None else self.lower
            high = math.inf if self.upper is None else self.upper
            return min(values, key=lambda v: max(low - v, v - high, 0.0))
        if self.kind == "target":
            return min(values, key=lambda v: abs(v - (self.value or 0.0)))
        return max(values) if self.kind == "maximise" else min(values)


def optimism(candidates: int) -> float:
    """Deviations above the expectation that are hoped for among so many candidates."""
    (few, least), (many, most) = CAREFUL, HOPEFUL
    part = math.log(max(1, candidates) / few) / math.log(many / few)
    return least + (most - least) * min(1.0, max(0.0, part))


def worth(
    ensemble: Ensemble, latents: list[Latent], aim: Aim, best: float | None, hope: float = HOPEFUL[1]
) -> torch.Tensor:
    """What a measurement of each row is worth for the aim, the higher the better; only differences mean something.

    Args:
        ensemble: what is believed.
        latents: its beliefs about the `m` rows.
        aim: what the rows are picked for.
        best: the measured value that serves it best.
        hope: deviations, where an extremum is wanted; see `optimism`.

    Returns:
        `m`.
    """
    import torch

    if aim.kind in ("maximise", "minimise"):
        total = torch.zeros(()).double()
        for member, latent, weight in zip(ensemble.members, latents, ensemble.weights, strict=True):
            total = total + weight * member.outcome(latent.mean + hope * latent.std).mean(0)
        return total
    mixture = ensemble.mixture(latents, noise=False)
    if aim.kind == "within":
        return _log_chance(ensemble, latents, aim)
    mean, std = mixture.moments()
    if aim.kind == "map":
        return std.log()
    target = ensemble.standard(aim.value or 0.0)
    if aim.kind == "boundary":
        return STRADDLE * std - (mean - target).abs()
    known = (mean - target).abs().min() if best is None else abs(ensemble.standard(best) - target)
    return log_expected_approach(mean, std, target, max(float(known), NEAREST * float(std.median())))


def _log_chance(ensemble: Ensemble, latents: list[Latent], aim: Aim) -> torch.Tensor:
    """Logarithm of the probability that the row itself, without noise, is inside; far out by the nearest tail."""
    import torch

    mixture = ensemble.mixture(latents, noise=False)
    shape = mixture.means[0][0]
    inside = torch.ones_like(shape)
    if aim.upper is not None:
        inside = mixture.below(torch.full_like(shape, ensemble.standard(aim.upper)))
    if aim.lower is not None:
        inside = inside - mixture.below(torch.full_like(shape, ensemble.standard(aim.lower)))
    mean, std = mixture.moments()
    low = -math.inf if aim.lower is None else ensemble.standard(aim.lower)
    high = math.inf if aim.upper is None else ensemble.standard(aim.upper)
    # Where the chance vanishes to rounding, the distance in deviations still says which row is nearer.
    away = torch.maximum(low - mean, mean - high).clamp_min(0.0) / std
    return torch.where(inside > 1e-9, inside.clamp_min(1e-9).log(), math.log(1e-9) - away)


def chance(ensemble: Ensemble, latents: list[Latent], aim: Aim, best: float | None) -> torch.Tensor | None:
    """Probability that one measurement of each row beats the best measured value (or lies within); `m`, or None where
    the aim knows no better."""
    import torch

    mixture = ensemble.mixture(latents, noise=True)
    shape = mixture.means[0][0]

    def under(value: float) -> torch.Tensor:
        return mixture.below(torch.full_like(shape, ensemble.standard(value)))

    if aim.kind == "within":
        upper = torch.ones_like(shape) if aim.upper is None else under(aim.upper)
        return upper if aim.lower is None else (upper - under(aim.lower)).clamp_min(0.0)
    if best is None or aim.kind in ("boundary", "map"):
        return None
    if aim.kind == "target":
        away = abs(best - (aim.value or 0.0))
        return under((aim.value or 0.0) + away) - under((aim.value or 0.0) - away)
    return 1.0 - under(best)
