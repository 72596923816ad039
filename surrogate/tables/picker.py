"""`tell` what was measured, `ask` what to measure next: the surrogate without a campaign.

>>> from lodestone.surrogate.tables import Aim, Survey, TablePicker
>>> rows = [(t, p) for t in (300.0, 400.0, 500.0) for p in (1.0, 2.0)]
>>> picker = TablePicker(Survey(["temperature", "pressure"]).add(rows).space(), Aim("maximise"))
>>> picker.tell(rows[:2], [0.1, 0.4])
>>> picks = picker.ask(rows, q=2)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...tools.core.errors import ToolError
from ..calibration import Calibration, calibrate
from .aims import Aim, chance
from .choice import Row, choose, compose, spread
from .columns import Space, Value, is_usable
from .ensemble import Ensemble, Prediction, fit_ensemble
from .former import Former, Trusting
from .nearness import Nearness

LATEST = 200
"""Comparisons of predictions with measurements that calibration rests on: the latest."""


@dataclass(frozen=True)
class Pick:
    """A row that deserves a measurement; numbers in the user's unit."""

    row: Row
    place: int
    """Of the row in the stream, from 0."""
    mean: float
    low: float
    high: float
    """Ends of the calibrated 90 % interval of one measurement. These three are NaN while nothing is measured."""
    chance: float | None
    """To beat the best so far, or to lie within the limits."""
    distance: float
    """To the nearest measured row, over the typical one between measured rows; infinite while there is none."""
    outside: bool
    """Farther from everything measured than the model can be trusted."""


class TablePicker:
    """Picks rows of one table for one aim. Not thread-safe; deterministic: the same rows told (in any order) and the
    same stream give the same picks."""

    def __init__(self, space: Space, aim: Aim, seed: int = 0, formers: Sequence[Former] = ()) -> None:
        """A picker that has seen nothing but, maybe, former tables."""
        self.space = space
        self._formers = tuple(formers)
        self.aim = aim
        self._seed = seed
        self._rows: list[Row] = []
        self._values: list[float] = []
        self._foretold: list[tuple[float, float, float]] = []
        self._ensemble: Ensemble | None = None

    @property
    def measured(self) -> int:
        """Number of measurements told."""
        return len(self._rows)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows told, in their order."""
        return tuple(self._rows)

    @property
    def best(self) -> float | None:
        """The measured value that serves the aim best."""
        return self.aim.best(self._values)

    def tell(self, rows: Sequence[Sequence[Value]], values: Sequence[float]) -> None:
        """Learn from measurements; a row told again is a repeat.

        Raises:
            ToolError: the numbers of rows and values differ, a value is not finite, or a row does not fit the space.
        """
        if len(rows) != len(values):
            raise ToolError(f"{len(rows)} rows and {len(values)} values.", "Give one value a row.")
        if any(not is_usable(v) for v in values):
            strange = next(v for v in values if not is_usable(v))
            raise ToolError(
                f"A measured value of {strange:g}.", "Leave rows out that gave no number, or use another unit."
            )
        if not rows:
            return
        told = [tuple(row) for row in rows]
        self.space.encode(told)
        if self._ensemble is not None:
            prediction = self._ensemble.predict(told)
            widen = self._ensemble.widen
            for mean, low, high, value in zip(prediction.mean, prediction.low, prediction.high, values, strict=True):
                side = float(high - mean) if value > float(mean) else float(mean - low)
                self._foretold.append((float(mean), side / widen, float(value)))
        self._rows += told
        self._values += [float(v) for v in values]
        self._ensemble = None

    def predict(self, rows: Sequence[Sequence[Value]]) -> Prediction:
        """What one measurement of each row will give. Raises ToolError while nothing is measured."""
        return self.ensemble().predict([tuple(row) for row in rows])

    def ask(self, stream: Iterable[Sequence[Value]], q: int = 1, repeat: bool = False) -> list[Pick]:
        """At most q different rows to measure next, the most deserving first.

        Args:
            stream: rows that can be measured; a generator or a file of any length will do.
            q: how many.
            repeat: whether rows measured already may be picked again.

        Raises:
            ToolError: q is less than 1, or a row does not fit the space.
        """
        if q < 1:
            raise ToolError(f"{q} picks.", "Ask for at least 1.")
        if not self._rows:
            blank = math.nan
            if self._formers and self.aim.kind not in ("boundary", "map"):
                chosen = compose(Trusting(self._formers[0], self.aim), stream, q, set())
            else:
                chosen = spread(self.space, stream, q)
            return [Pick(c.row, c.place, blank, blank, blank, None, math.inf, False) for c in chosen]
        ensemble = self.ensemble()
        done: set[Row] = set() if repeat else set(self._rows)
        chosen = choose(ensemble, stream, q, self.aim, self.best, done)
        if not chosen:
            return []
        rows = [c.row for c in chosen]
        latents = ensemble.latent(rows)
        prediction = ensemble.interval(ensemble.mixture(latents, noise=True))
        chances = chance(ensemble, latents, self.aim, self.best)
        nearness = Nearness.of(ensemble)
        distances, outside = nearness.judge(rows)
        return [
            Pick(
                row=c.row,
                place=c.place,
                mean=float(prediction.mean[i]),
                low=float(prediction.low[i]),
                high=float(prediction.high[i]),
                chance=None if chances is None else float(chances[i]),
                distance=float(distances[i]),
                outside=bool(outside[i]),
            )
            for i, c in enumerate(chosen)
        ]

    def ensemble(self) -> Ensemble:
        """What is believed now; fitted anew after `tell`. Raises ToolError while nothing is measured."""
        if not self._rows:
            raise ToolError("Nothing is measured yet.", "Tell at least one measurement.")
        if self._ensemble is None:
            fitted = fit_ensemble(
                self.space, self._rows, self._values, maximise=self.aim.high_is_good, seed=self._seed,
                formers=self._formers,
            )  # fmt: skip
            self._ensemble = fitted.widened(self._record())
        return self._ensemble

    def calibration(self) -> Calibration:
        """How the intervals before calibration compared with what was then measured."""
        return self._record()

    def _record(self) -> Calibration:
        pairs = self._foretold[-LATEST:]
        return calibrate(*_columns(pairs)) if pairs else Calibration(1.0, None, None, 0)


_WIDTH = 1.6448536269514722
"""Half a central 90 % interval of a normal distribution, in deviations."""


def _columns(pairs: Sequence[tuple[float, float, float]]) -> tuple[list[float], list[float], list[float]]:
    return [p[0] for p in pairs], [p[1] / _WIDTH for p in pairs], [p[2] for p in pairs]
