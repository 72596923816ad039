"""Crystals to feature vectors for the Gaussian process: embedding, composition and a few scalars, scaled once.

What is not here: elemental statistics (`composition.py`, whose public function is offered here as well).
"""

from __future__ import annotations

import bisect
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..tools.core.errors import ToolError
from ..tools.core.valence import charge_imbalance, has_odd_electrons
from .composition import COMPOSITION_FEATURES, composition_features
from .points import PoolPoint

if TYPE_CHECKING:
    import torch

__all__ = ["COMPOSITION_FEATURES", "Featuriser", "composition_features", "point_group_order"]

EMBEDDING_COMPONENTS = 8
COMPOSITION_COMPONENTS = 6
"""Most principal components kept of each block: ten to sixty measurements cannot tell more directions apart."""

MANY_ELEMENTS = 6
"""Elements up to which the components of the composition tell all compositions apart. Beyond them the atomic fractions
themselves are features too: what an element does is not all in its tabulated properties."""

FAR_FROM_NEUTRAL = 0.5
"""Charge left over (electrons an atom) beyond which more makes no difference: metals among metals."""

MIN_VARIANCE_RATIO = 1e-3
"""A principal component with less of the leading one's variance than this is noise, and dropped."""

CONSTANT = 1e-9
"""A column whose spread is below this part of its size is constant, and dropped."""

_CLASS_FIRST = (1, 2, 3, 6, 10, 16, 25, 47, 75, 81, 83, 89, 99, 111, 123, 143, 147, 149, 156, 162, 168, 174, 175, 177,
                183, 187, 191, 195, 200, 207, 215, 221)  # fmt: skip
_CLASS_ORDER = (1, 2, 2, 2, 4, 4, 4, 8, 4, 4, 8, 8, 8, 8, 16, 3, 6, 6, 6, 12, 6, 6, 12, 12, 12, 12, 24, 12, 24, 24, 24,
                48)  # fmt: skip


def point_group_order(space_group: int) -> int:
    """Number of operations in the point group (1 for P1, 48 for Fm-3m), from the space-group number.

    The 230 types are numbered crystal class by crystal class (International Tables A), so the first number of
    each of the 32 classes is enough.
    """
    if not 1 <= space_group <= 230:
        raise ToolError(f"There is no space group {space_group}.", "Give a number from 1 to 230.")
    return _CLASS_ORDER[bisect.bisect_right(_CLASS_FIRST, space_group) - 1]


@dataclass(frozen=True)
class _Block:
    """A linear map from raw columns to scaled ones: `(x - centre) / spread @ directions`."""

    centre: torch.Tensor
    spread: torch.Tensor
    directions: torch.Tensor

    def apply(self, raw: torch.Tensor) -> torch.Tensor:
        """`n x raw` to `n x kept`; a missing value (NaN) counts as the mean of its column."""
        return ((raw - self.centre) / self.spread).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0) @ self.directions


class Featuriser:
    """Turns crystals into `n x d` features; the scaling is fixed by `fit` and stored.

    Blocks side by side: principal components of the embedding, principal components of the composition statistics,
    scalars (extras; the space group as log2 of its point-group order; charge left over and parity of electrons, which
    say more of gap and stability than any statistic), and, in wide chemical spaces, atomic fractions.
    Components are scaled by the leading one's deviation, so that minor ones stay minor (no whitening); scalars to unit
    variance; fractions together, so that two crystals are apart by how much of their atoms differs.
    """

    def __init__(self) -> None:
        self._blocks: tuple[_Block, ...] | None = None
        self._embedding_length = 0
        self._extras: tuple[str, ...] = ()
        self._elements: tuple[str, ...] = ()

    @property
    def dimension(self) -> int:
        """Number of features d; at least 1, because a GP needs a column even if it says nothing."""
        return max(1, sum(b.directions.shape[1] for b in self._fitted()))

    @property
    def alike(self) -> int:
        """Number of features at the end that are alike (atomic fractions): a kernel gives them one lengthscale."""
        return self._fitted()[-1].directions.shape[1]

    def fit(self, points: Sequence[PoolPoint], measured: Sequence[PoolPoint] = ()) -> Featuriser:
        """Fix scaling and components on these crystals (measured and waiting ones together).

        Args:
            points: at least one crystal.
            measured: those that a model will learn from. An extra that most of them lack tells it nothing and would
                only set waiting crystals apart, so it is left out.

        Returns:
            Itself.

        Raises:
            ToolError: no crystal is given.
        """
        if not points:
            raise ToolError("No crystal to scale the features on.", "Give at least one.")
        lengths = Counter(len(p.embedding) for p in points if len(p.embedding))
        # The most common length; a crystal with another one (from an older network) counts as having no embedding.
        self._embedding_length = max(lengths, key=lambda n: (lengths[n], n)) if lengths else 0
        names = sorted({name for p in points for name in p.extras})
        self._extras = tuple(n for n in names if 2 * sum(n in p.extras for p in measured) >= len(measured))
        present = sorted({symbol for p in points for symbol in p.amounts})
        self._elements = tuple(present) if len(present) > MANY_ELEMENTS else ()
        embedding, composition, scalars, fractions = self._raw(points)
        self._blocks = (
            principal(embedding, EMBEDDING_COMPONENTS, per_column=False),
            principal(composition, COMPOSITION_COMPONENTS, per_column=True),
            _standard(scalars),
            _together(fractions),
        )
        return self

    def transform(self, points: Sequence[PoolPoint]) -> torch.Tensor:
        """`n x d` features (float64), always finite.

        Raises:
            ToolError: called before `fit`.
        """
        import torch

        blocks = self._fitted()
        parts = [block.apply(raw) for block, raw in zip(blocks, self._raw(points), strict=True)]
        joined = torch.cat(parts, dim=1)
        return joined if joined.shape[1] else torch.zeros(len(points), 1, dtype=torch.float64)

    def _fitted(self) -> tuple[_Block, ...]:
        if self._blocks is None:
            raise ToolError("The features have no scale yet.", "Call fit first.")
        return self._blocks

    def _raw(self, points: Sequence[PoolPoint]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        import torch

        size = self._embedding_length
        missing = [math.nan] * size
        embedding = [list(p.embedding) if len(p.embedding) == size else missing for p in points]
        scalars = [
            [_scalar(name, p.extras.get(name, math.nan)) for name in self._extras] + _electrons(p.amounts)
            for p in points
        ]
        return (
            torch.tensor(embedding, dtype=torch.float64).reshape(len(points), size),
            composition_features([p.amounts for p in points]),
            torch.tensor(scalars, dtype=torch.float64).reshape(len(points), len(self._extras) + 2),
            torch.tensor(
                [[p.amounts.get(s, 0.0) / sum(p.amounts.values()) for s in self._elements] for p in points],
                dtype=torch.float64,
            ).reshape(len(points), len(self._elements)),
        )


def _electrons(amounts: Mapping[str, float]) -> list[float]:
    return [min(charge_imbalance(amounts), FAR_FROM_NEUTRAL), has_odd_electrons(amounts)]


def _scalar(name: str, value: float) -> float:
    if name == "space_group" and math.isfinite(value):
        return math.log2(point_group_order(int(value)))
    return value if math.isfinite(value) else math.nan


def _moments(raw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each column over its finite values; 0 where there are none."""
    finite = raw.isfinite()
    count = finite.sum(dim=0).clamp_min(1)
    filled = raw.where(finite, raw.new_zeros(()))
    mean = filled.sum(dim=0) / count
    deviation = (raw - mean).where(finite, raw.new_zeros(()))
    return mean, (deviation.square().sum(dim=0) / count).sqrt()


def _standard(raw: torch.Tensor) -> _Block:
    """Each column to zero mean and unit variance; constant ones dropped."""
    import torch

    mean, std = _moments(raw)
    kept = std > CONSTANT * mean.abs().clamp_min(1.0)
    spread = std.where(kept, torch.ones_like(std))
    return _Block(mean, spread, torch.eye(raw.shape[1], dtype=raw.dtype)[:, kept])


def _together(raw: torch.Tensor) -> _Block:
    """Columns of one kind, scaled by one factor so that a row is one away from the mean on average."""
    import torch

    mean, std = _moments(raw)
    size = float(std.square().sum().sqrt())
    return _Block(mean, torch.full_like(mean, size or 1.0), torch.eye(raw.shape[1], dtype=raw.dtype))


def principal(raw: torch.Tensor, at_most: int, per_column: bool) -> _Block:
    """Leading principal components, scaled so that the first has unit variance.

    Args:
        raw: `n x c`.
        at_most: most components kept.
        per_column: whether columns are brought to unit variance first (columns of different kinds).
    """
    import torch

    mean, std = _moments(raw)
    varies = std > CONSTANT * mean.abs().clamp_min(1.0)
    if not bool(varies.any()):
        return _Block(mean, torch.ones_like(std), raw.new_zeros(raw.shape[1], 0))
    one = torch.ones_like(std)
    spread = std.where(varies, one) if per_column else one
    scaled = ((raw - mean) / spread).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0) * varies
    # Eigenvectors of the c x c covariance: the cost grows with the pool only linearly.
    variances, vectors = torch.linalg.eigh(scaled.T @ scaled / len(raw))
    order = torch.arange(len(variances) - 1, -1, -1)[:at_most]
    variances, vectors = variances[order], vectors[:, order]
    kept = variances > MIN_VARIANCE_RATIO * variances[0]
    vectors = vectors[:, kept]
    # A component's sign is arbitrary; its largest entry is made positive so that it is the same everywhere.
    largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
    return _Block(mean, spread, vectors * largest.sign() / variances[0].sqrt())
