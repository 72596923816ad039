"""How far a potential can be trusted on a configuration: an expected error for each atom and for the crystal.

Two signs are put together, neither of which needs another DFT run:

* A committee: how far the forces of a second potential, trained by others in another way, are from this one's.
* The features that this potential's last layer sees: a Gaussian process over them knows where labels were wrong, and
  grows unsure where there were none (as feature-space and last-layer uncertainties do: Zhu et al., J. Chem. Phys. 158,
  164111 (2023); Bigi et al., Mach. Learn.: Sci. Technol. 5, 045018 (2024)).

The process is on the logarithm of the force error; its mean is a line in the logarithm of the disagreement, so that
without a single label the committee alone speaks. Errors known from labels teach it how far to believe the committee
where. What is not here: asking for labels and learning from them (`learning.py`).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import ToolError
from .models import ModelOutput

if TYPE_CHECKING:
    from botorch.models import SingleTaskGP

LEAST_ERROR = 1e-3
"""eV/Å; smaller errors and disagreements count as this one: DFT is not converged better."""

PRIOR_SPREAD = 0.8
"""Standard deviation of ln(error / disagreement) before there are labels: found on molten, strained and defective Mo
and Si (CHGNet 0.3.0 and SevenNet-0, `benchmarks.doubt`)."""

PRIOR_WEIGHT = 10.0
"""Atoms that the prior line counts for against the labelled ones."""

LEAST_ATOMS = 20
"""Labelled atoms below which only the prior line speaks."""

MOST_ATOMS = 400
"""That the process learns from: the newest half of these and a draw of the others."""

DIRECTIONS = 5
"""Principal directions of the features that the process sees."""

UPPER = 1.0
"""Standard deviations above the expected logarithm at which an atom's error is put for the trigger."""

RECALL = 0.95
"""Share of the bad configurations that the threshold has to let pass to DFT."""

FOLDS = 4
"""Parts of the record that are scored by a judge which learned from the others."""

ENOUGH_BAD = 15
"""Bad configurations in the record before the threshold is set from it alone."""


@dataclass(frozen=True)
class Doubt:
    """What is to be expected of the forces and the energy of one configuration of `n` atoms."""

    atoms: np.ndarray
    """`n`, eV/Å: the median of each atom's force error."""
    upper: np.ndarray
    """`n`, eV/Å: one standard deviation (of the logarithm) above."""
    energy: float
    """eV/atom: how far the committee's two energies are apart, as they are; no label has taught it anything."""

    @property
    def score(self) -> float:
        """eV/Å: the largest error of a force that has to be reckoned with. The trigger looks at it."""
        return float(self.upper.max())

    @property
    def worst(self) -> int:
        """The atom that it belongs to."""
        return int(self.upper.argmax())


@dataclass
class ErrorRecord:
    """What labels have shown: for each atom of `m` labelled configurations the signs and the error."""

    features: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    """`k x d`."""
    disagreement: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """`k`, eV/Å."""
    error: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """`k`, eV/Å: of the force vector."""
    owner: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """`k`: number of the configuration, from 0 to `m - 1`."""

    @property
    def configurations(self) -> int:
        """`m`."""
        return int(self.owner.max()) + 1 if len(self.owner) else 0

    @property
    def largest(self) -> np.ndarray:
        """`m`, eV/Å: the largest error of a force in each configuration."""
        return _largest(self.error, self.owner, self.configurations)

    def only(self, atoms: np.ndarray) -> ErrorRecord:
        """Some of the atoms, by a mask of `k`."""
        return ErrorRecord(self.features[atoms], self.disagreement[atoms], self.error[atoms], self.owner[atoms])

    def add(self, outputs: ModelOutput, disagreement: np.ndarray, forces: np.ndarray) -> None:
        """Take a labelled configuration: the model's output, the committee's disagreement, the label's forces."""
        if outputs.features is None:
            raise ToolError("This potential gives no features.", "Use CHGNet, or switch learning off.")
        error = np.linalg.norm(outputs.forces - forces, axis=1)
        old = self.features if len(self.features) else np.zeros((0, outputs.features.shape[1]))
        self.owner = np.concatenate([self.owner, np.full(len(error), float(self.configurations))])
        self.features = np.vstack([old, outputs.features])
        self.disagreement = np.concatenate([self.disagreement, disagreement])
        self.error = np.concatenate([self.error, error])

    def to_bytes(self) -> bytes:
        """As a `.safetensors` file."""
        from safetensors.numpy import save

        return save({name: np.ascontiguousarray(values, float) for name, values in vars(self).items()})

    @classmethod
    def from_bytes(cls, data: bytes) -> ErrorRecord:
        """What `to_bytes` wrote."""
        from safetensors.numpy import load

        return cls(**load(data))

    def rescaled(self, factor: float) -> ErrorRecord:
        """For the next version of the potential, whose held-out force error is so many times this one's."""
        return ErrorRecord(self.features, self.disagreement, self.error * factor, self.owner)


class Doubter:
    """Expected errors from an error record.

    Args:
        record: may be empty.
        seed: of the draw where it holds more than `MOST_ATOMS` atoms.
    """

    def __init__(self, record: ErrorRecord, seed: int = 0) -> None:
        self.record = record
        rng = np.random.default_rng(seed)
        chosen = _chosen(len(record.error), rng)
        self._line = _line(record.disagreement, record.error)
        self._process: SingleTaskGP | None = None
        if len(chosen) >= LEAST_ATOMS:
            self._fit(chosen)

    def _fit(self, chosen: np.ndarray) -> None:
        import torch
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import SingleTaskGP
        from gpytorch.mlls import ExactMarginalLogLikelihood

        features = self.record.features[chosen]
        self._centre = features.mean(axis=0)
        _, sizes, axes = np.linalg.svd(features - self._centre, full_matrices=False)
        kept = max(1, min(DIRECTIONS, int((sizes > 1e-6 * sizes[0]).sum())))
        self._axes = axes[:kept].T / (sizes[:kept] / np.sqrt(len(chosen)) + 1e-12)
        inputs = torch.tensor(self._inputs(features, self.record.disagreement[chosen]))
        left = torch.tensor(
            np.log(np.maximum(self.record.error[chosen], LEAST_ERROR)) - self._prior(self.record.disagreement[chosen])
        )
        with warnings.catch_warnings():
            # The inputs are scaled to unit variance, not to the unit cube that BoTorch looks for.
            warnings.filterwarnings("ignore", message="Data \\(input features\\) is not contained")
            process = SingleTaskGP(inputs, left.unsqueeze(-1))
        fit_gpytorch_mll(ExactMarginalLogLikelihood(process.likelihood, process))
        self._process = process

    def _inputs(self, features: np.ndarray, disagreement: np.ndarray) -> np.ndarray:
        return np.column_stack([(features - self._centre) @ self._axes, _logarithm(disagreement)])

    def _prior(self, disagreement: np.ndarray) -> np.ndarray:
        start, slope = self._line
        values: np.ndarray = start + slope * _logarithm(disagreement)
        return values

    def judge(self, output: ModelOutput, other: ModelOutput) -> Doubt:
        """The doubt of one configuration.

        Args:
            output: what the potential says of it.
            other: what the second potential says of it.
        """
        apart = np.linalg.norm(output.forces - other.forces, axis=1)
        apart = disagreement(output, other)
        mean, spread = self._believed(output.features, apart)
        energy = abs(output.energy - other.energy) / len(apart)
        return Doubt(np.exp(mean), np.exp(mean + UPPER * spread), energy)

    def _believed(self, features: np.ndarray | None, apart: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the logarithm of each atom's error."""
        mean, spread = self._prior(apart), np.full(len(apart), PRIOR_SPREAD)
        if self._process is not None and features is not None:
            import torch

            with torch.no_grad():
                posterior = self._process.posterior(torch.tensor(self._inputs(features, apart)), observation_noise=True)
            mean = mean + posterior.mean.squeeze(-1).detach().numpy()
            spread = posterior.variance.squeeze(-1).sqrt().detach().numpy()
        return mean, spread

    def held_out_scores(self) -> np.ndarray:
        """`m`, eV/Å: the score of each configuration of the record, by a judge that has not seen its fold."""
        record, count = self.record, self.record.configurations
        found = np.zeros(count)
        for fold in range(min(FOLDS, count)):
            out = record.owner % FOLDS == fold
            judge = Doubter(record.only(~out))
            mean, spread = judge._believed(record.features[out], record.disagreement[out])
            upper = _largest(np.exp(mean + UPPER * spread), record.owner[out], count)
            found[fold::FOLDS] = upper[fold::FOLDS]
        return found

    def threshold(self, tolerance: float) -> float:
        """The score (eV/Å) from which on a configuration deserves a label.

        The highest that still catches `RECALL` of the record's configurations with a force error above `tolerance`
        (eV/Å), each scored by a judge that has not seen it. With few of them it is pulled to what a perfect judge would
        need, the tolerance itself.
        """
        bad = np.sort(self.held_out_scores()[self.record.largest > tolerance])
        if len(bad) == 0:
            return tolerance
        # The conformal rank: of n bad ones so many may lie below for the next one to lie above with this probability.
        rank = int(np.floor((1 - RECALL) * (len(bad) + 1)))
        own = max(float(bad[max(0, rank - 1)]), LEAST_ERROR)
        weight = min(1.0, len(bad) / ENOUGH_BAD)
        return float(np.exp(weight * np.log(own) + (1 - weight) * np.log(tolerance)))


def _largest(values: np.ndarray, owner: np.ndarray, count: int) -> np.ndarray:
    """`count`: the largest value of each owner; 0 where it has none."""
    found = np.zeros(count)
    np.maximum.at(found, owner.astype(int), values)
    return found


def _line(disagreement: np.ndarray, error: np.ndarray) -> tuple[float, float]:
    """Intercept and slope of ln(error) on ln(disagreement), ridge towards 0 and 1."""
    x, y = _logarithm(disagreement), _logarithm(error)
    rows = np.column_stack([np.ones_like(x), x])
    prior = np.array([0.0, 1.0])
    gram = rows.T @ rows + PRIOR_WEIGHT * np.eye(2)
    start, slope = prior + np.linalg.solve(gram, rows.T @ (y - rows @ prior))
    return float(start), float(slope)


def _logarithm(values: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.log(np.maximum(values, LEAST_ERROR))
    return found


def _chosen(count: int, rng: np.random.Generator) -> np.ndarray:
    """The newest half of what fits, and a draw of the rest."""
    if count <= MOST_ATOMS:
        return np.arange(count)
    newest = np.arange(count - MOST_ATOMS // 2, count)
    others = rng.choice(count - len(newest), MOST_ATOMS - len(newest), replace=False)
    return np.sort(np.concatenate([others, newest]))


def disagreement(output: ModelOutput, other: ModelOutput) -> np.ndarray:
    """`n`, eV/Å: how far the forces of two potentials are from each other, atom by atom."""
    apart: np.ndarray = np.linalg.norm(output.forces - other.forces, axis=1)
    return apart


def spread_out(features: Sequence[np.ndarray], scores: Sequence[float], count: int) -> list[int]:
    """Which configurations to label: the highest score first, and none whose worst atom looks like that of one taken.

    Args:
        features: `d` each, of the atom that is doubted most.
        scores: eV/Å.
        count: at most so many.
    """
    chosen: list[int] = []
    if not len(features):
        return chosen
    table = np.array(features)
    reach = 0.5 * float(np.median(np.linalg.norm(table - table.mean(axis=0), axis=1)))
    for i in sorted(range(len(scores)), key=lambda i: (-scores[i], i)):
        if len(chosen) == count:
            break
        if all(np.linalg.norm(table[i] - table[j]) > reach for j in chosen):
            chosen.append(i)
    return chosen
