"""Mapping what becomes of a film under lateral-gradient annealing: `tell` spectra, `ask` for stripes and positions.

A laser that moves along a line anneals a stripe. Across it the temperature falls from a peak to that of the room, so a
stripe holds many experiments, and each position is one at its own temperature. As in SARA (Ament et al., Sci. Adv. 7,
eabg4930 (2021)) there are two loops: which position of a stripe to measure, and which stripe to anneal. Signatures are
learned over (temperature, logarithm of the dwell), to which the known profile takes a position: so both flanks of a
stripe, and stripes of different peaks, teach about each other.

>>> import numpy as np
>>> from lodestone.surrogate.mapping import GaussianProfile, Stripe, StripeMapper
>>> stripes = [Stripe(peak, dwell) for peak in (600.0, 900.0, 1200.0) for dwell in (500.0, 5000.0)]
>>> mapper = StripeMapper(GaussianProfile(lambda stripe: 0.6), stripes, np.linspace(-0.75, 0.75, 151))
>>> (stripe,) = mapper.ask_stripes()
>>> (position,) = mapper.ask_positions(stripe)
>>> mapper.tell(stripe, [position], [[0.31, 0.02, -0.11]])

What is not here: how a spectrum becomes a signature; any orthonormal coefficients will do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..tools.core.errors import ToolError
from .mapping_process import SignatureProcess, fit_signatures
from .tables.columns import is_usable

TARGETS = 300
"""Places, evenly over the whole map, at which it is judged how well the map is known."""

REVEALED = 12
"""Temperatures, evenly from the coldest to the hottest of a stripe, at which it is judged what it would show."""


@dataclass(frozen=True, order=True)
class Stripe:
    """One pass of the laser."""

    peak: float
    """Highest temperature, in °C."""
    dwell: float
    """Time that the laser takes to pass over a point, in microseconds."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.peak):
            raise ToolError(f"A stripe with a peak of {self.peak} °C.", "Give a finite temperature.")
        if not (math.isfinite(self.dwell) and self.dwell > 0):
            raise ToolError(f"A stripe with a dwell of {self.dwell} µs.", "Give a time above zero.")


Profile = Callable[[Stripe, np.ndarray], np.ndarray]
"""Peak temperatures in °C that positions (`n`, in mm from the middle of the stripe) have passed through; `n`."""


@dataclass(frozen=True)
class GaussianProfile:
    """T(x) = room + (peak - room) exp(-(2 x / width)²), the form fitted for SARA (Ament et al., 2021)."""

    width: Callable[[Stripe], float]
    """Of the stripe, in mm: over this distance, centred, the rise is at least 1/e of the peak's."""
    room: float = 25.0

    def __call__(self, stripe: Stripe, positions: np.ndarray) -> np.ndarray:
        return self.room + (stripe.peak - self.room) * np.exp(-np.square(2.0 * positions / self.width(stripe)))


@dataclass(frozen=True)
class MapPrediction:
    """What is believed about positions of a stripe; noise of measurements is not part of it."""

    mean: np.ndarray
    """`n x c`: the signature expected."""
    std: np.ndarray
    """`n x c`: its standard deviation."""


class StripeMapper:
    """Maps one film. Not thread-safe; deterministic: the same measurements (in any order) give the same answers."""

    def __init__(self, profile: Profile, stripes: Sequence[Stripe], positions: Sequence[float], seed: int = 0) -> None:
        """A mapper that has seen nothing.

        Args:
            profile: temperature across a stripe.
            stripes: that can be annealed. With the positions they are the map; one stripe alone is a map too.
            positions: that can be measured on each, in mm from its middle.
            seed: of the sample of hyperparameters.

        Raises:
            ToolError: no stripe, no position, one that is not finite, or a profile that gives no temperatures.
        """
        self._stripes = sorted(set(stripes))
        self._positions = np.unique(_finite(positions, "position"))
        if not self._stripes or not len(self._positions):
            raise ToolError(
                f"A map of {len(self._stripes)} stripes with {len(self._positions)} positions.",
                "Give at least one of each.",
            )
        self._profile = profile
        self._seed = seed
        everything = np.concatenate([self._settings(s, self._positions) for s in self._stripes])
        self._low = everything.min(0)
        self._range = np.ptp(everything, axis=0)
        if not self._range[0] > 0:
            raise ToolError("All positions of all stripes pass through the same temperature.", "Check the profile.")
        # A dwell that never varies teaches nothing.
        self._varies = self._range > 0
        ordered = self._scaled(everything[np.lexsort(everything.T)])
        self._targets = ordered[np.linspace(0, len(ordered) - 1, min(TARGETS, len(ordered))).round().astype(int)]
        self._x: list[np.ndarray] = []
        self._y: list[np.ndarray] = []
        self._told: dict[Stripe, set[float]] = {}
        self._process: SignatureProcess | None = None

    @property
    def measured(self) -> int:
        """Number of measurements told."""
        return len(self._x)

    def tell(self, stripe: Stripe, positions: Sequence[float], signatures: Sequence[Sequence[float]]) -> None:
        """Learn from measurements of one stripe; a position told again is a repeat.

        Args:
            stripe: inside the map.
            positions: `n`, in mm from its middle.
            signatures: `n x c`, c always the same.

        Raises:
            ToolError: the stripe is outside of the map, the shapes do not fit, or a number is not finite.
        """
        self._check_inside(stripe)
        where = _finite(positions, "position")
        length = len(self._y[0]) if self._y else None
        if len(where) != len(signatures):
            raise ToolError(f"{len(where)} positions and {len(signatures)} signatures.", "Give one signature each.")
        if not len(where):
            return
        rows = [np.asarray(s, dtype=float) for s in signatures]
        for row in rows:
            if row.ndim != 1 or not len(row) or len(row) != (length or len(rows[0])):
                raise ToolError(
                    f"A signature of shape {row.shape}.", f"Give {length or 'equally many'} coefficients each time."
                )
            _finite(row, "coefficient")
        self._x += list(self._features(stripe, where))
        self._y += rows
        self._told.setdefault(stripe, set()).update(where.tolist())
        self._process = None

    def predict(self, stripe: Stripe, positions: Sequence[float]) -> MapPrediction:
        """What is believed about a stripe, annealed or not.

        Raises:
            ToolError: nothing is measured yet, the stripe is outside of the map, or a position is not finite.
        """
        self._check_inside(stripe)
        x = self._features(stripe, _finite(positions, "position"))
        mean, variance = self.process().moments(x)
        return MapPrediction(mean, np.sqrt(variance))

    def change(self, stripe: Stripe, positions: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
        """By how much the signature changes per °C, and how little is known of that; its ridges are phase boundaries.

        Returns:
            Length of the expected derivative by temperature, and root of the summed variances of its coefficients;
            both `n`.

        Raises:
            ToolError: nothing is measured yet, the stripe is outside of the map, or a position is not finite.
        """
        self._check_inside(stripe)
        slopes = self.process().slopes(self._features(stripe, _finite(positions, "position")))
        expected, doubt = (np.sqrt(part[:, 0]) / self._range[0] for part in (slopes.expected, slopes.variance))
        return expected, doubt

    def ask_positions(self, stripe: Stripe, q: int = 1) -> list[float]:
        """At most q positions of a stripe to measure next, the most deserving first; none measured there before.

        Each is the one whose measurement would leave the least variance over the whole map, where places count by the
        expected squared gradient: a process of one lengthscale is as sure of a boundary as of a plain, and is wrong at
        the boundary. Chosen one by one, each as if those before had given what is expected.

        Raises:
            ToolError: q is less than 1, or the stripe is outside of the map.
        """
        _check_count(q)
        self._check_inside(stripe)
        done = self._told.get(stripe, set())
        left = np.array([p for p in self._positions.tolist() if p not in done])
        x = self._features(stripe, left)
        if not self._x:
            return left[_spread(x, q)].tolist()
        process = self.process().scouts()
        slopes = process.slopes(self._targets)
        weights = (slopes.expected + slopes.variance).sum(1)
        chosen: list[int] = []
        while len(chosen) < min(q, len(left)):
            gains = process.gains(self._targets, weights, x)
            gains[chosen] = -math.inf
            chosen.append(int(gains.argmax()))
            process = process.believe(x[chosen[-1:]])
        return left[chosen].tolist()

    def ask_stripes(self, q: int = 1) -> list[Stripe]:
        """At most q stripes to anneal next, the most deserving first; none of those told.

        Each is the one along which the gradient of the signature (by temperature and logarithm of the dwell, each over
        its range in the map) is least known: its standard deviation, added up over what the stripe would reveal.
        Chosen one by one, each as if those before had shown what is expected.

        Raises:
            ToolError: q is less than 1.
        """
        _check_count(q)
        left = [s for s in self._stripes if s not in self._told]
        if not left:
            return []
        revealed = np.stack([self._revealed(s) for s in left])
        if not self._x:
            return [left[i] for i in _spread(revealed[:, -1], q)]
        process = self.process().scouts()
        chosen: list[int] = []
        while len(chosen) < min(q, len(left)):
            variance = process.slopes(revealed.reshape(-1, revealed.shape[-1])).variance.sum(1)
            doubts = np.sqrt(variance).reshape(len(left), -1).sum(1)
            doubts[chosen] = -math.inf
            chosen.append(int(doubts.argmax()))
            process = process.believe(revealed[chosen[-1]])
        return [left[i] for i in chosen]

    def process(self) -> SignatureProcess:
        """What is believed now; fitted anew after `tell`. Raises ToolError while nothing is measured."""
        if not self._x:
            raise ToolError("Nothing is measured yet.", "Tell at least one measurement.")
        if self._process is None:
            self._process = fit_signatures(np.stack(self._x), np.stack(self._y), self._seed)
        return self._process

    def _settings(self, stripe: Stripe, positions: np.ndarray) -> np.ndarray:
        """Temperature and logarithm of the dwell; `n x 2`."""
        temperatures = np.asarray(self._profile(stripe, positions), dtype=float)
        if temperatures.shape != positions.shape or not np.isfinite(temperatures).all():
            raise ToolError(
                f"The profile gives no temperatures across {stripe}.", "It must return one finite number a position."
            )
        return np.column_stack([temperatures, np.full(len(positions), math.log10(stripe.dwell))])

    def _scaled(self, settings: np.ndarray) -> np.ndarray:
        """Settings that vary, over their range in the map; `n x d`.

        Rounded, so that mirrored positions are one place although their last digits differ.
        """
        return np.round((settings - self._low)[:, self._varies] / self._range[self._varies], 9)

    def _features(self, stripe: Stripe, positions: np.ndarray) -> np.ndarray:
        return self._scaled(self._settings(stripe, positions))

    def _revealed(self, stripe: Stripe) -> np.ndarray:
        """`REVEALED x d`, the coldest first."""
        settings = self._settings(stripe, self._positions)
        temperatures = np.linspace(settings[:, 0].min(), settings[:, 0].max(), REVEALED)
        return self._scaled(np.column_stack([temperatures, np.full(REVEALED, settings[0, 1])]))

    def _check_inside(self, stripe: Stripe) -> None:
        for name, unit, value, known in (
            ("peak", "°C", stripe.peak, [s.peak for s in self._stripes]),
            ("dwell", "µs", stripe.dwell, [s.dwell for s in self._stripes]),
        ):
            if not min(known) <= value <= max(known):
                limits = f"{min(known):g} to {max(known):g}"
                raise ToolError(
                    f"A stripe with a {name} of {value:g} {unit}; the map reaches from {limits}.",
                    "Give the mapper stripes that reach as far.",
                )


def _check_count(q: int) -> None:
    if q < 1:
        raise ToolError(f"{q} picks.", "Ask for at least 1.")


def _finite(numbers: Sequence[float] | np.ndarray, name: str) -> np.ndarray:
    values = np.asarray(numbers, dtype=float).reshape(-1)
    strange = [v for v in values.tolist() if not is_usable(v)]
    if strange:
        raise ToolError(f"A {name} of {strange[0]:g}.", "Give finite numbers of a size that can be squared.")
    return values


def _spread(x: np.ndarray, q: int) -> list[int]:
    """Where nothing is measured: the hottest row of `n x d` first, then each as far as can be from the others."""
    chosen = [int(x[:, 0].argmax())]
    near = np.square(x - x[chosen[0]]).sum(1)
    while len(chosen) < min(q, len(x)):
        chosen.append(int(near.argmax()))
        near = np.minimum(near, np.square(x - x[chosen[-1]]).sum(1))
    return chosen
