"""Distances between crystals in feature space: near-duplicates are held back, novelty is put into words.

What is not here: the features themselves (`features.py`) and how much a crystal is worth (`merit.py`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

NEAR = 0.1
"""Crystals closer than about this part of the typical distance count as near-duplicates."""

LOWEST_PENALTY = math.log(1e-3)
"""A perfect duplicate is worth this much less (log), not nothing: where only duplicates are left, one is taken."""

SAMPLE = 512
"""Crystals among which the typical distance is measured."""

CHUNK = 4096
"""Rows compared at a time."""


def typical_distance(features: torch.Tensor) -> float:
    """Median distance between two crystals (evenly spaced sample of the rows); 1 where all are the same.

    Args:
        features: `m x d`.
    """
    import torch

    step = max(1, math.ceil(len(features) / SAMPLE))
    sample = features[::step]
    if len(sample) < 2:
        return 1.0
    median = float(torch.pdist(sample).median())
    return median if median > 0 else 1.0


def nearest_distance(features: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Distance of each crystal (`m x d`) to the nearest of others (`n x d`); `m`, infinite when n = 0."""
    import torch

    if not len(others):
        return torch.full((len(features),), math.inf, dtype=torch.float64)
    # Exact differences: the matrix-product form of cdist loses small distances to cancellation.
    mode = "donot_use_mm_for_euclid_dist"
    return torch.cat([torch.cdist(part, others, compute_mode=mode).amin(dim=1) for part in features.split(CHUNK)])


def log_penalty(distance: torch.Tensor, typical: float) -> torch.Tensor:
    """log(1 - exp(-distance² / 2 l²)) with l = `NEAR` of the typical distance, from `LOWEST_PENALTY` to 0; `m`.

    Local penalisation in the spirit of González et al., AISTATS 2016, with a length from the pool in place of a
    Lipschitz constant.
    """
    import torch

    z = distance / (NEAR * typical)
    return torch.log(-torch.expm1(-0.5 * z.square())).nan_to_num(nan=LOWEST_PENALTY).clamp(LOWEST_PENALTY, 0.0)
