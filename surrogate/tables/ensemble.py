"""Everything believed about a table's outcome: encodings times hyperparameters, weighed by what they foretold.

What is not here: which rows to measure (`choice.py`), and the table's columns (`columns.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from ..calibration import Calibration
from ..processes.joint import joint_belief
from ..processes.loudness import learn_loudness
from ..processes.member import Latent, Member, fit_member
from ..processes.posterior import Prior, Table, sample
from ..processes.sparse import climb
from .columns import Space, Value

if TYPE_CHECKING:
    import torch

PARTICLES = 32
MOVES = 8
"""Hyperparameter sets, and moves of each, up to `MANY` designs; fewer where each costs more and the data say more."""

MANY = 100
SUBSET = 300
"""Designs that hyperparameters are learned from, at most: the best third, and others evenly over the values."""

MANY_FEATURES = 7
"""Features from which on sparse axes are looked for as well: moves at random find the few that matter among six, on all
public pools, but of eight or forty they do not (benchmarks/RESULTS.md)."""

NEGLIGIBLE = 0.01
"""Of the largest weight: members with less are left out, since each costs as much time as the others."""

BESIDE = 0.25
"""Factor on the other features beside a former table's expectation: what it leaves to explain is taken to be smoother.

Of 1, 1/2 and 1/4 the best on a made-up function and between two tables of organic solar cells (six to eight runs)."""

SEARCHES = 60
"""Most halvings in the search of a quantile: the length of a double's mantissa, and some."""

QUANTILES = (0.05, 0.5, 0.95)


class Expecting(Protocol):
    """Expects something of rows that helps to predict them."""

    def feature(self, rows: Sequence[Sequence[Value]]) -> torch.Tensor:
        """`m x 1`, scaled as columns of numbers are."""
        ...


@dataclass(frozen=True)
class Encoding:
    """How rows become features: by the space, and with what a former table expects of them."""

    name: str
    former: Expecting | None = None


@dataclass(frozen=True)
class Prediction:
    """Of one measurement of each of `m` rows, in the user's unit; each `m`."""

    mean: torch.Tensor
    """Median of what is expected: the value that is as likely passed as not."""
    low: torch.Tensor
    high: torch.Tensor
    """Ends of the central 90 % interval, noise of the measurement included, calibrated."""


@dataclass(frozen=True)
class Ensemble:
    """Members (each an encoding, a belief about noise and a way to hyperparameters) with weights that sum to 1."""

    space: Space
    members: tuple[Member, ...]
    encodings: tuple[Encoding, ...]
    weights: torch.Tensor
    centre: float
    """Mean of the designs' outcomes, in the user's unit."""
    scale: float
    """Their deviation."""
    sign: float
    """-1 where low is good: outcomes are stored so that high is good."""
    widen: float = 1.0
    """Factor on the distance of an interval's ends from its middle, from calibration."""

    def widened(self, calibration: Calibration) -> Ensemble:
        """With intervals corrected by the record of earlier ones."""
        return replace(self, widen=calibration.scale)

    def thinned(self, count: int) -> Ensemble:
        """With about `count` particles a member, evenly taken; fewer beyond `MANY` designs, when each costs more and
        they hardly differ any more."""
        share = min(1.0, MANY / max(1, len(self.members[0].table.y)))
        return replace(self, members=tuple(m.thinned(max(2, round(count * share))) for m in self.members))

    def encode(self, rows: Sequence[Sequence[Value]], encoding: Encoding) -> torch.Tensor:
        """Features of rows for the members of an encoding, `m x width`."""
        return _encode(self.space, rows, encoding)

    def latent(self, rows: Sequence[Sequence[Value]]) -> list[Latent]:
        """Beliefs of each member about rows."""
        return [m.latent(self.encode(rows, e)) for m, e in zip(self.members, self.encodings, strict=True)]

    def believe(self, row: Sequence[Value]) -> Ensemble:
        """As if the row had been measured and gave what was expected."""
        pairs = zip(self.members, self.encodings, strict=True)
        return replace(self, members=tuple(m.believe(self.encode([row], e)) for m, e in pairs))

    def standard(self, value: float) -> float:
        """A value in the user's unit as the ensemble stores it."""
        return self.sign * (value - self.centre) / self.scale

    def user(self, values: torch.Tensor) -> torch.Tensor:
        """The other way."""
        return self.sign * values * self.scale + self.centre

    def mixture(self, latents: Sequence[Latent], noise: bool) -> Mixture:
        """Beliefs of all particles of all members as one distribution."""
        import torch

        means, stds, weights = [], [], []
        for member, latent, weight in zip(self.members, latents, self.weights, strict=True):
            std = (latent.std.square() + member.noise(latent)).sqrt() if noise else latent.std
            means.append(latent.mean)
            stds.append(std)
            weights.append(torch.full((len(latent.mean),), float(weight) / len(latent.mean), dtype=torch.float64))
        return Mixture(self.members, tuple(means), tuple(stds), tuple(weights))

    def predict(self, rows: Sequence[Sequence[Value]]) -> Prediction:
        """What a measurement of each row will give."""
        return self.interval(self.mixture(self.latent(rows), noise=True))

    def joint(self, rows: Sequence[Sequence[Value]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean `m` and covariance `m x m` of the rows' outcomes themselves, without the noise of a measurement; in the
        user's unit. One normal belief for the mixture of all particles of all members, by its first two moments."""
        import torch

        means, covariances = [], []
        for member, encoding in zip(self.members, self.encodings, strict=True):
            mean, covariance = joint_belief(member, self.encode(rows, encoding))
            means.append(mean)
            covariances.append(covariance)
        mean = self.weights @ torch.stack(means)
        away = torch.stack(means) - mean
        covariance = torch.tensordot(self.weights, torch.stack(covariances), 1) + (self.weights * away.T) @ away
        return self.user(mean), covariance * self.scale**2

    def interval(self, mixture: Mixture) -> Prediction:
        """Median and calibrated 90 % interval of a distribution of the ensemble."""
        low, middle, high = (mixture.quantile(level) for level in QUANTILES)
        low, high = middle - self.widen * (middle - low), middle + self.widen * (high - middle)
        ends = (low, high) if self.sign > 0 else (high, low)
        return Prediction(self.user(middle), self.user(ends[0]), self.user(ends[1]))


@dataclass(frozen=True)
class Mixture:
    """A weighted mixture of warped normal distributions over `m` rows, in standard outcomes."""

    members: tuple[Member, ...]
    means: tuple[torch.Tensor, ...]
    stds: tuple[torch.Tensor, ...]
    weights: tuple[torch.Tensor, ...]

    def below(self, values: torch.Tensor) -> torch.Tensor:
        """Probability that the outcome of each row is below its value; `m`."""
        import torch

        total = torch.zeros_like(values)
        for member, mean, std, weight in zip(self.members, self.means, self.stds, self.weights, strict=True):
            z = (member.warped(values) - mean) / std
            total = total + weight @ torch.special.ndtr(z)
        return total

    def quantile(self, level: float) -> torch.Tensor:
        """Value of each row that is not passed with this probability; `m`. An interval that holds it is halved."""
        import torch

        z = math.sqrt(2.0) * float(torch.special.erfinv(torch.tensor(2 * level - 1, dtype=torch.float64)))
        bounds = [m.outcome(mean + z * std) for m, mean, std in zip(self.members, self.means, self.stds, strict=True)]
        joined = torch.cat(bounds)
        low, high = joined.min(0).values, joined.max(0).values
        for _ in range(SEARCHES):
            middle = 0.5 * (low + high)
            if bool((high - low <= 1e-9 * (1.0 + middle.abs())).all()):
                break
            under = self.below(middle) < level
            low, high = torch.where(under, middle, low), torch.where(under, high, middle)
        return 0.5 * (low + high)

    def moments(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and deviation of each row, from the medians and the 16 and 84 % quantiles of the particles; each `m`."""
        import torch

        mean, square = torch.zeros(()).double(), torch.zeros(()).double()
        for member, centre, std, weight in zip(self.members, self.means, self.stds, self.weights, strict=True):
            middle = member.outcome(centre)
            half = 0.5 * (member.outcome(centre + std) - member.outcome(centre - std))
            mean = mean + weight @ middle
            square = square + weight @ (middle.square() + half.square())
        return mean, (square - mean.square()).clamp_min(1e-12).sqrt()


def fit_ensemble(
    space: Space,
    rows: Sequence[Sequence[Value]],
    values: Sequence[float],
    *,
    maximise: bool,
    seed: int,
    prior: Prior | None = None,
    formers: Sequence[Expecting] = (),
) -> Ensemble:
    """Learn from measured rows; equal rows are repeats of one design.

    Args:
        space: of the whole table.
        rows: `n` rows, in any order: the result does not depend on it.
        values: their outcomes, finite.
        maximise: whether high is good.
        seed: of the sample of hyperparameters.
        prior: of hyperparameters; None: the house's.
        formers: for each, further members are learned with its expectation as a feature.
    """
    import torch

    prior = prior or Prior()
    designs = _collected(rows, values)
    sign = 1.0 if maximise else -1.0
    means = torch.tensor([math.fsum(v) / len(v) for v in designs.values()], dtype=torch.float64)
    centre = float(means.mean()) if len(means) else 0.0
    scale = float((means - centre).square().mean().sqrt()) if len(means) > 1 else 1.0
    # Equal outcomes have no spread of their own; any scale will do, and relative to their size none is lost.
    scale = scale if scale > 1e-12 * abs(centre) else abs(centre) or 1.0
    y = sign * (means - centre) / scale
    repeats = torch.tensor([len(v) for v in designs.values()], dtype=torch.float64)
    scatter = None
    if len(designs) < len(rows):
        within = [sum(((x - math.fsum(v) / len(v)) / scale) ** 2 for x in v) for v in designs.values()]
        scatter = torch.tensor(within, dtype=torch.float64)
    few = _subset(y)
    share = min(1.0, MANY / max(1, len(few)))
    count, moves = max(8, round(PARTICLES * share)), max(4, round(MOVES * share**0.5))
    wide = max(1, len(space.columns))
    members, scores, encodings = [], [], []
    for encoding in (Encoding(name, former) for former in (None, *formers) for name in space.encodings):
        alike = space.alike if encoding.former is None else (*space.alike, False)
        table = Table(_encode(space, list(designs), encoding), y, repeats, scatter)
        part = table if len(few) == len(y) else table.some(few)
        loudness = learn_loudness(part.x, part.scatter, part.repeats, alike, wide, seed)
        # Noise that is even in warped outcomes, and, where repeats speak for it, noise with a map of its own.
        for heard in (None,) if loudness is None else (None, loudness):
            taught = part if heard is None else replace(part, loud=heard.at(part.x))
            found = [sample(taught, prior, alike, wide, count, moves, seed)]
            if len(alike) >= MANY_FEATURES and len(y) > 2:
                found.append(climb(taught, prior, wide, seed))
            whole = table if heard is None else replace(table, loud=heard.at(table.x))
            for particles in found:
                learned = fit_member(taught, particles, heard)
                scores.append(learned.foretold() if len(y) > 1 else torch.zeros(()).double())
                members.append(learned if part is table else fit_member(whole, learned.particles, heard))
                encodings.append(encoding)
    weights = torch.softmax(torch.stack(scores), 0)
    kept = [i for i, w in enumerate(weights.tolist()) if w >= NEGLIGIBLE * float(weights.max())]
    members, encodings, weights = [members[i] for i in kept], [encodings[i] for i in kept], weights[kept]
    weights = weights / weights.sum()
    return Ensemble(space, tuple(members), tuple(encodings), weights, centre, scale, sign)


def _encode(space: Space, rows: Sequence[Sequence[Value]], encoding: Encoding) -> torch.Tensor:
    import torch

    own = space.encode(rows, encoding.name)
    return own if encoding.former is None else torch.cat([BESIDE * own, encoding.former.feature(rows)], 1)


def _collected(rows: Sequence[Sequence[Value]], values: Sequence[float]) -> dict[tuple[Value, ...], list[float]]:
    """Designs in an order of their own, with all outcomes of each."""
    found: dict[tuple[Value, ...], list[float]] = {}
    for row, value in zip(rows, values, strict=True):
        found.setdefault(tuple(row), []).append(float(value))
    return {row: sorted(found[row]) for row in sorted(found, key=order_of)}


def order_of(row: tuple[Value, ...]) -> tuple[tuple[int, float, str], ...]:
    """Sorts rows whatever their cells are, so that nothing depends on the order in which they were told."""
    return tuple((0, 0.0, "") if c is None else (1, 0.0, c) if isinstance(c, str) else (2, float(c), "") for c in row)


def _subset(y: torch.Tensor) -> torch.Tensor:
    """Designs that hyperparameters are learned from, in their order."""
    import torch

    if len(y) <= SUBSET:
        return torch.arange(len(y))
    order = y.argsort(descending=True, stable=True)
    best, rest = order[: SUBSET // 3], order[SUBSET // 3 :]
    even = torch.linspace(0, len(rest) - 1, SUBSET - len(best)).round().long()
    return torch.cat([best, rest[even]]).unique()
