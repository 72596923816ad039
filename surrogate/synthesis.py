"""How severe a recipe is: a Gaussian process over heat, shared by all targets of a laboratory.

Severity is -1 for far too mild, 0 for right and +1 for far too harsh, so its sign says where to go. The covariance is a
sum of parts that a chemist would name: an offset of all recipes, of one target, of one precursor wherever it is used;
slopes in temperature, time, milling and regrinds; and a smooth rest. Whatever targets share is learned once.
What is not here: how severity is read from phases, and the chemistry (`tools.lab.recipes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from ..tools.core.errors import ToolError

FEATURES: Final = 4
"""Temperature beyond what the target is expected to want (100 K), log2 of hours, log2 of (1 + minutes of milling),
regrinds."""
CENTRE: Final = np.array([0.0, 4.0, 4.5, 1.0])
"""Recipe that is expected to be right before anything is known."""
SLOPE: Final = np.array([0.33, 0.08, 0.03, 0.03])
"""Expected change of severity with each feature: a hundred kelvin are worth some four doublings of the time."""
SLOPE_SPREAD: Final = np.array([0.08, 0.03, 0.02, 0.02])
OFFSET_STD, TARGET_STD, SET_STD, REST_STD = 0.2, 0.45, 0.3, 0.2
LENGTHS: Final = np.array([3.0, 3.0, 4.0, 2.0])
NOISE_STD: Final = 0.08
SATURATED_STD: Final = 0.3
"""Of a severity near -1 or +1, which says only on which side a recipe is."""
SATURATES: Final = 0.9
TOLERATED: Final = 0.2
"""Severity up to which a recipe counts as right: so much of the product may be something else."""


class SynthesisHeat:
    """Posterior of severity; implements `tools.lab.recipes.chooser.HeatModel`."""

    def __init__(self) -> None:
        self._targets: list[str] = []
        self._precursors: list[frozenset[str]] = []
        self._features: list[np.ndarray] = []
        self._severities: list[float] = []

    def __len__(self) -> int:
        return len(self._severities)

    def tell(self, target: str, precursors: Sequence[str], conditions: np.ndarray, severity: float) -> None:
        """Remember one outcome.

        Args:
            target: formula.
            precursors: formulas.
            conditions: `FEATURES` numbers.
            severity: -1 to 1.
        """
        row = np.asarray(conditions, dtype=float)
        if row.shape != (FEATURES,) or not np.isfinite(row).all() or not -1.0 <= severity <= 1.0:
            raise ToolError(
                f"Conditions {row.tolist()} with severity {severity}.",
                f"Give {FEATURES} finite numbers, and a severity from -1 to 1.",
            )
        self._targets.append(target)
        self._precursors.append(frozenset(precursors))
        self._features.append(row)
        self._severities.append(float(severity))

    def chances(self, target: str, precursors: Sequence[Sequence[str]], conditions: np.ndarray) -> np.ndarray:
        """Probability that the severity lies within `TOLERATED` of zero, shape `m`.

        Args:
            target: formula.
            precursors: formulas of each of `m` recipes.
            conditions: `m x FEATURES`.
        """
        from scipy.special import ndtr

        mean, std = self.posterior(target, precursors, conditions)
        chances: np.ndarray = ndtr((TOLERATED - mean) / std) - ndtr((-TOLERATED - mean) / std)
        return chances

    def posterior(
        self, target: str, precursors: Sequence[Sequence[str]], conditions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of the severity, each of shape `m`; arguments as of `chances`."""
        features = np.asarray(conditions, dtype=float).reshape(-1, FEATURES)
        sets = [frozenset(names) for names in precursors]
        targets = [target] * len(sets)
        own = self._covariance(targets, sets, features, targets, sets, features, diagonal=True)
        mean = (features - CENTRE) @ SLOPE
        if not self._severities:
            return mean, np.sqrt(own)
        seen = np.array(self._features)
        inner = self._covariance(self._targets, self._precursors, seen, self._targets, self._precursors, seen)
        cross = self._covariance(targets, sets, features, self._targets, self._precursors, seen)
        severities = np.array(self._severities)
        noise = np.where(np.abs(severities) >= SATURATES, SATURATED_STD, NOISE_STD) ** 2
        factor = np.linalg.cholesky(inner + np.diag(noise))
        left = np.linalg.solve(factor, cross.T)
        right = np.linalg.solve(factor, severities - (seen - CENTRE) @ SLOPE)
        return mean + left.T @ right, np.sqrt(np.maximum(own - (left**2).sum(axis=0), 1e-6))

    @staticmethod
    def _covariance(
        targets: Sequence[str],
        sets: Sequence[frozenset[str]],
        features: np.ndarray,
        other_targets: Sequence[str],
        other_sets: Sequence[frozenset[str]],
        other_features: np.ndarray,
        diagonal: bool = False,
    ) -> np.ndarray:
        """`m x n`, or its diagonal, of the sum of parts."""
        if diagonal:
            slopes = ((features - CENTRE) ** 2 * SLOPE_SPREAD**2).sum(axis=1)
            return slopes + OFFSET_STD**2 + TARGET_STD**2 + SET_STD**2 + REST_STD**2
        same = np.array(targets)[:, None] == np.array(other_targets)[None, :]
        names = sorted(frozenset().union(*sets, *other_sets))
        place = {name: index for index, name in enumerate(names)}
        mine, theirs = (np.zeros((len(many), len(names))) for many in (sets, other_sets))
        for table, many in ((mine, sets), (theirs, other_sets)):
            for row, members in enumerate(many):
                for name in members:
                    table[row, place[name]] = 1.0 / np.sqrt(len(members))
        slopes = ((features - CENTRE) * SLOPE_SPREAD**2) @ (other_features - CENTRE).T
        apart = (((features[:, None, :] - other_features[None, :, :]) / LENGTHS) ** 2).sum(axis=2)
        total: np.ndarray = (
            OFFSET_STD**2
            + TARGET_STD**2 * same
            + SET_STD**2 * (mine @ theirs.T)
            + slopes
            + REST_STD**2 * np.exp(-0.5 * apart)
        )
        return total
