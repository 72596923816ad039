"""How far a row is from everything measured: novelty in words, and a flag where the model should not be trusted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .columns import Value
from .ensemble import Ensemble

if TYPE_CHECKING:
    import torch

BEYOND = 2.0
"""A row is outside when it is this many times as far from the nearest measured one as measured ones ever are."""


@dataclass(frozen=True)
class Nearness:
    """Measured rows in units of the lengthscales, so that columns that do not matter set nothing apart."""

    ensemble: Ensemble
    measured: torch.Tensor
    """`n x width`."""
    typical: float
    """Median distance of a measured row to its nearest neighbour."""
    farthest: float
    """The largest one."""

    @staticmethod
    def of(ensemble: Ensemble) -> Nearness:
        """From the member of the largest weight."""
        import torch

        member = ensemble.members[int(ensemble.weights.argmax())]
        x = member.table.x * (-member.particles.log_lengthscale.mean(0)).exp()
        if len(x) < 2:
            return Nearness(ensemble, x, math.inf, math.inf)
        between = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
        between.fill_diagonal_(math.inf)
        nearest = between.amin(1)
        return Nearness(ensemble, x, float(nearest.median()), float(nearest.max()))

    def judge(self, rows: Sequence[Sequence[Value]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Distance to the nearest measured row over the typical one, and whether each row is outside; `m` both."""
        import torch

        best = int(self.ensemble.weights.argmax())
        member, encoding = self.ensemble.members[best], self.ensemble.encodings[best]
        x = self.ensemble.encode(rows, encoding) * (-member.particles.log_lengthscale.mean(0)).exp()
        if not len(self.measured):
            return torch.full((len(x),), math.inf, dtype=torch.float64), torch.zeros(len(x), dtype=torch.bool)
        near = torch.cdist(x, self.measured, compute_mode="donot_use_mm_for_euclid_dist").amin(1)
        if len(self.measured) < 2:
            return torch.full((len(x),), math.inf, dtype=torch.float64), torch.zeros(len(x), dtype=torch.bool)
        return near / max(self.typical, 1e-12), near > BEYOND * self.farthest
