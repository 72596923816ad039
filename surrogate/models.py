"""A Gaussian process on (measured - cheap): delta-learning that still works with no, one or two measurements.

The process is the one of `processes/`: hyperparameters sampled, outcomes warped. What is not here: features
(`features.py`), calibration of the deviations (`calibration.py`), decisions (`acquisition.py`).
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..tools.core.errors import ToolError
from .processes.joint import joint_belief
from .processes.member import Member, fit_member
from .processes.posterior import ASSUMED_WEIGHT, Prior, Table, sample
from .processes.sparse import climb
from .tails import Tails

if TYPE_CHECKING:
    import torch

MIN_POINTS_TO_FIT = 4
"""With fewer measurements outcomes are not standardised by themselves: prior mean and deviation stand."""

UNIT_CUBE_STD = 1.0 / math.sqrt(12.0)
"""Deviation of a uniform variable on [0, 1]: the lengthscale prior was made for inputs spread like that."""

PARTICLES, MOVES = 32, 30
"""Hyperparameter sets, and moves of each."""

MOST = 300
"""Designs that hyperparameters are learned from, at most: every so-many-th of more."""

PRIOR = Prior(lengthscale=0.5, own_spread=1.0, noise=-4.0)
"""Features of crystals are many and most say little, and DFT does not scatter: smoother than tables of experiments, and
with less noise. Chosen on formation energies of perovskites and on made-up landscapes (benchmarks/RESULTS.md)."""

PRIOR_SPREAD = math.sqrt(math.exp(PRIOR.outputscale + PRIOR.outputscale_spread**2 / 2) + 1.0)
"""Deviation of the process before any measurement, its unknown mean included, in its own units."""


@dataclass(frozen=True)
class Expected:
    """What is believed of a property before any measurement; catalogue's unit."""

    delta_std: float
    """Typical difference between evaluator and relaxation potential."""
    mean: float
    """Typical value, used where there is no cheap prediction."""
    std: float
    """Spread of values, used where there is no cheap prediction."""


PRIORS = {
    "formation_energy": Expected(delta_std=0.1, mean=-1.0, std=1.0),
    "density": Expected(delta_std=0.3, mean=5.0, std=3.0),
    "volume_per_atom": Expected(delta_std=1.0, mean=18.0, std=8.0),
    "bulk_modulus": Expected(delta_std=25.0, mean=90.0, std=60.0),
    "band_gap": Expected(delta_std=1.0, mean=1.0, std=1.5),
}
"""Order-of-magnitude beliefs: errors of universal potentials of the first generation against PBE, and the spread of
inorganic crystals. A handful of measurements outweighs them (`ASSUMED_WEIGHT`)."""


class DeltaGP:
    """Predicts a measured value as cheap prediction + Gaussian process on the features.

    From `MIN_POINTS_TO_FIT` designs on the difference is standardised by its mean and by a deviation that the prior one
    adds `ASSUMED_WEIGHT` measurements to, so that identical ones still leave a finite scale; below that it is measured
    from the prior mean, in units of the prior deviation. Deviations are those of a measured value, noise included: the
    part of the difference that the features do not explain.
    """

    def __init__(self, prior_std: float, prior_mean: float = 0.0, seed: int = 0, alike: int = 0) -> None:
        """A model that knows nothing yet.

        Args:
            prior_std: deviation of (measured - cheap) before any measurement, > 0, in the property's unit.
            prior_mean: its mean; 0 where there is a cheap prediction.
            seed: for the sample of hyperparameters.
            alike: features at the end that share one lengthscale.
        """
        if not (math.isfinite(prior_std) and prior_std > 0):
            raise ToolError(f"A prior deviation of {prior_std} is not possible.", "Give a positive number.")
        self._prior_std = prior_std
        self._prior_mean = prior_mean
        self._seed = seed
        self._alike = alike
        self._centre = prior_mean
        # Negative where outcomes are stored upside down.
        self._scale = prior_std / PRIOR_SPREAD
        self._member: Member | None = None
        self._count = 0
        self._notes: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was out of the ordinary in the last fit, in words."""
        return self._notes

    @property
    def n(self) -> int:
        """Number of measurements that the model rests on (fantasies of `believe` included)."""
        return self._count

    def fit(self, features: torch.Tensor, cheap: torch.Tensor, measured: torch.Tensor) -> None:
        """Learn from measurements; replaces what was learned before.

        Args:
            features: `n x d`, finite, of about zero mean and unit variance.
            cheap: `n` cheap predictions (zeros where there are none).
            measured: `n` values. A row that is not finite is left out, and noted.
        """
        residual = (measured - cheap).double()
        usable = residual.isfinite() & features.isfinite().all(dim=1)
        self._notes = ()
        if not bool(usable.all()):
            self._notes = (f"{int((~usable).sum())} measurements without a finite value left out",)
        x, residual = features[usable].double() * UNIT_CUBE_STD, residual[usable]
        self._count = len(x)
        self._centre, self._scale, self._member = self._prior_mean, self._prior_std / PRIOR_SPREAD, None
        if len(x):
            self._learn(x, residual)

    def tails(self, features: torch.Tensor, cheap: torch.Tensor) -> Tails | None:
        """What is believed of a measured value beyond mean and deviation; None before anything is measured (then it is
        normal). Arguments as of `posterior`."""
        import torch

        if self._member is None:
            return None
        with torch.no_grad():
            latent = self._member.latent(features.double() * UNIT_CUBE_STD)
            std = (latent.std.square() + self._member.noise(latent)).sqrt()
        return Tails(self._member, latent.mean, std, cheap.double() + self._centre, self._scale)

    def posterior(self, features: torch.Tensor, cheap: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of a measured value.

        Args:
            features: `m x d`.
            cheap: `m`.

        Returns:
            Mean and deviation, each `m` (float64), in the property's unit.
        """
        import torch

        tails = self.tails(features, cheap)
        if tails is None:
            return cheap.double() + self._centre, torch.full((len(features),), self._prior_std, dtype=torch.float64)
        return tails.moments()

    def joint(self, features: torch.Tensor, cheap: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean `m` and covariance `m x m` of the property itself, without the noise of a measurement.

        Args:
            features: `m x d`.
            cheap: `m`.
        """
        import torch

        if self._member is None:
            apart = torch.eye(len(features), dtype=torch.float64) * self._prior_std**2
            return cheap.double() + self._centre, apart
        mean, covariance = joint_belief(self._member, features.double() * UNIT_CUBE_STD)
        return mean * self._scale + self._centre + cheap.double(), covariance * self._scale**2

    def foretold(self) -> float:
        """Logarithm of the density (property's unit) that the model gives to each design's measurement from the others,
        summed: by it models of the same measurements compare, whatever their cheap predictions. 0 before any."""
        if self._member is None:
            return 0.0
        return float(self._member.foretold()) - len(self._member.table.y) * math.log(abs(self._scale))

    def believe(self, features: torch.Tensor) -> DeltaGP:
        """The model after a fantasy: the crystal (`1 x d`) was measured and gave what was expected.

        The kriging believer (Ginsbourger, Le Riche & Carraro 2010): hyperparameters stay, means stay, deviations
        shrink around the crystal.
        """
        other = copy.copy(self)
        if self._member is None:
            other._learn(features[:0].double(), features.new_zeros(0, dtype=features.double().dtype))
        assert other._member is not None
        other._member = other._member.believe(features.double() * UNIT_CUBE_STD)
        other._count += 1
        return other

    def _learn(self, x: torch.Tensor, residual: torch.Tensor) -> None:
        table = self._table(x, residual)
        own = x.shape[1] - self._alike
        groups = own + (self._alike > 0)
        ties = [*range(own), *[own] * self._alike]
        step = -(-len(table.y) // MOST)
        part = table
        if step > 1:
            part = table.some(slice(None, None, step))
        particles = sample(part, PRIOR, (False,) * groups, groups, PARTICLES, MOVES, self._seed, ties)
        learned = fit_member(part, particles)
        if len(part.y) >= MIN_POINTS_TO_FIT:
            sparse = fit_member(part, climb(part, PRIOR, groups, self._seed, ties))
            learned = max(learned, sparse, key=lambda member: float(member.foretold()))
        self._member = learned if part is table else fit_member(table, learned.particles)

    def _table(self, x: torch.Tensor, residual: torch.Tensor) -> Table:
        """Designs in an order of their own, repeats together."""
        import torch

        designs, place = torch.unique(x, dim=0, return_inverse=True) if len(x) else (x, torch.zeros(0).long())
        repeats = torch.zeros(len(designs), dtype=torch.float64).index_add(0, place, torch.ones_like(residual))
        # Added up by size, so that the order in which repeats arrived does not change the last digit.
        order = residual.argsort()
        means = torch.zeros_like(repeats).index_add(0, place[order], residual[order]) / repeats
        anchored = len(designs) < MIN_POINTS_TO_FIT
        if anchored:
            squares = float((means - self._prior_mean).square().sum()) / 2
            variance = (ASSUMED_WEIGHT * self._prior_std**2 + squares) / (ASSUMED_WEIGHT + len(designs))
            self._centre, self._scale = self._prior_mean, math.sqrt(variance) / PRIOR_SPREAD
        else:
            self._centre = float(means.mean())
            squares = float((means - self._centre).square().sum())
            variance = (ASSUMED_WEIGHT * self._prior_std**2 + squares) / (ASSUMED_WEIGHT + len(designs))
            # The longer tail always lies above, so that a property and its negative are learned alike.
            skew = float((means - self._centre).pow(3).sum())
            self._scale = math.copysign(math.sqrt(variance), skew)
        scatter = None
        if len(designs) < len(x):
            within = (residual - means[place])[order].square() / self._scale**2
            scatter = torch.zeros_like(repeats).index_add(0, place[order], within)
        return Table(
            designs,
            (means - self._centre) / self._scale,
            repeats,
            scatter,
            assumed=(self._prior_std / self._scale) ** 2,
            anchored=anchored,
        )
