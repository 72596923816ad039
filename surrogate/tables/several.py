"""Picking from a table for several targets at once: compromises between objectives, within limits.

One ensemble a target, as if they were independent given a row. With two objectives or more a batch is chosen by noisy
expected hypervolume improvement, so that it extends the whole front; with one, by expected improvement times the
probability of the limits; with limits alone, or while no measured row is expected to keep them, by that probability.

>>> from lodestone.surrogate.tables import Aim, SeveralPicker, Survey
>>> rows = [(t, p) for t in (300.0, 400.0, 500.0) for p in (1.0, 2.0)]
>>> aims = {"yield": Aim("maximise"), "cost": Aim("minimise")}
>>> picker = SeveralPicker(Survey(["temperature", "pressure"]).add(rows).space(), aims)
>>> picker.tell(rows[:3], {"yield": [0.1, 0.4, 0.3], "cost": [2.0, None, 1.0]})
>>> picks = picker.ask(rows, q=2)

What is not here: the acquisition (`../hypervolume.py`), and what one target alone is worth (`aims.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...tools.core.errors import ToolError
from ..calibration import Calibration
from .aims import Aim
from .choice import Chosen, Row, compose, spread
from .columns import Space, Value, is_usable
from .compromise import OBJECTIVES, Beliefs, Product, by_hypervolume
from .ensemble import Ensemble, Prediction, order_of
from .former import Former
from .nearness import Nearness
from .picker import TablePicker

MOST_OBJECTIVES = 4
"""The boxes that a front is cut into grow by powers of half their number: with five a pick takes minutes."""


@dataclass(frozen=True)
class Expectation:
    """Of one measurement of one target, in its unit: median, and ends of the calibrated 90 % interval; NaN while the
    target was never measured."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class SeveralPick:
    """A row that deserves a measurement."""

    row: Row
    place: int
    """Of the row in the stream, from 0."""
    expected: dict[str, Expectation]
    """By target."""
    chance: float | None
    """To keep the limits and be beaten by no measured row; None while nothing is measured."""
    distance: float
    """To the nearest measured row, over the typical one between measured rows; the largest over the targets."""
    outside: bool
    """Farther from everything measured than the model of some target can be trusted."""


@dataclass(frozen=True)
class Compromise:
    """A measured row that keeps the limits and that no other such row beats."""

    row: Row
    values: dict[str, float]
    """By target; means of repeated measurements."""
    places: tuple[int, ...]
    """Of the row among those told, from 0."""


class SeveralPicker:
    """Picks rows of one table for several targets. Not thread-safe; deterministic: the same rows told (in any order)
    and the same stream give the same picks.

    The first target is the main one: a row is done once that was measured, and only done rows bound the front. So what
    is known of rows beforehand, such as a price, can be told of rows that still wait.
    """

    def __init__(
        self,
        space: Space,
        aims: Mapping[str, Aim],
        seed: int = 0,
        formers: Mapping[str, Sequence[Former]] | None = None,
    ) -> None:
        """A picker that has seen nothing.

        Args:
            space: of the whole table.
            aims: by target, the main one first: objectives (`maximise`, `minimise`, `target`) and limits (`within`).
            seed: of every sample.
            formers: what former tables teach, by target.

        Raises:
            ToolError: fewer than two targets, an aim that does not go with others, or too many objectives.
        """
        check_aims(aims)
        self.space = space
        self.aims = dict(aims)
        self._seed = seed
        self._pickers = {n: TablePicker(space, aim, seed, (formers or {}).get(n, ())) for n, aim in aims.items()}
        self._rows: list[Row] = []
        self._values: list[dict[str, float]] = []

    @property
    def main(self) -> str:
        """The target that says which rows are done."""
        return next(iter(self.aims))

    @property
    def measured(self) -> dict[str, int]:
        """Number of measurements told, by target."""
        return {name: picker.measured for name, picker in self._pickers.items()}

    def rows(self, target: str) -> tuple[Row, ...]:
        """The rows told with a value of this target, in their order."""
        return self._pickers[target].rows

    def ensemble(self, target: str) -> Ensemble:
        """What is believed of a target now. Raises ToolError while it was never measured."""
        return self._pickers[target].ensemble()

    def tell(self, rows: Sequence[Sequence[Value]], values: Mapping[str, Sequence[float | None]]) -> None:
        """Learn from measurements; a row told again is a repeat.

        Args:
            rows: `n`.
            values: target to `n` values, None or NaN where it was not measured; a target may be left out.

        Raises:
            ToolError: a target is not among the aims, the numbers of rows and values differ, a value is not finite, or
                a row does not fit the space. Nothing is learned then.
        """
        for name, given in values.items():
            if name not in self.aims:
                raise ToolError(f"{name!r} is no target.", f"The targets are {', '.join(self.aims)}.")
            if len(given) != len(rows):
                raise ToolError(f"{len(rows)} rows and {len(given)} values of {name!r}.", "Give one value a row.")
            for value in given:
                if value is not None and not math.isnan(value) and not is_usable(value):
                    raise ToolError(f"A measured {name} of {value:g}.", "Use another unit, or None if it failed.")
        told = [tuple(row) for row in rows]
        if not told:
            return
        self.space.encode(told)
        found: list[dict[str, float]] = [{} for _ in told]
        for name, given in values.items():
            for entry, value in zip(found, given, strict=True):
                if value is not None and not math.isnan(value):
                    entry[name] = float(value)
        for name, picker in self._pickers.items():
            mine = [(row, entry[name]) for row, entry in zip(told, found, strict=True) if name in entry]
            picker.tell([row for row, _ in mine], [value for _, value in mine])
        self._rows += told
        self._values += found

    def predict(self, rows: Sequence[Sequence[Value]]) -> dict[str, Prediction]:
        """What one measurement of each row will give, by target; targets never measured are left out."""
        return {name: picker.predict(rows) for name, picker in self._known().items()}

    def calibration(self) -> dict[str, Calibration]:
        """How the intervals before calibration compared with what was then measured, by target."""
        return {name: picker.calibration() for name, picker in self._pickers.items()}

    def front(self) -> list[Compromise]:
        """Measured rows that keep the limits and that no other such row beats, the main target's best first; with
        limits alone, all that keep them. Only rows of which every target was measured can be judged."""
        places: dict[Row, list[int]] = {}
        for place, row in enumerate(self._rows):
            places.setdefault(row, []).append(place)
        judged: list[tuple[list[float], Compromise]] = []
        for row in sorted(places, key=order_of):
            means = {}
            for name in self.aims:
                seen = sorted(self._values[p][name] for p in places[row] if name in self._values[p])
                if seen:
                    means[name] = math.fsum(seen) / len(seen)
            if len(means) == len(self.aims) and all(_keeps(a, means[n]) for n, a in self.aims.items()):
                losses = [_loss(a, means[n]) for n, a in self.aims.items() if a.kind in OBJECTIVES]
                judged.append((losses, Compromise(row, means, tuple(places[row]))))
        best = [one for one in judged if not any(_beats(other[0], one[0]) for other in judged)]
        return [c for _, c in sorted(best, key=lambda item: item[0])]

    def ask(self, stream: Iterable[Sequence[Value]], q: int = 1, repeat: bool = False) -> list[SeveralPick]:
        """At most q different rows to measure next, the most deserving first.

        Args:
            stream: rows that can be measured; a generator or a file of any length will do.
            q: how many.
            repeat: whether rows whose main target was measured may be picked again.

        Raises:
            ToolError: q is less than 1, or a row does not fit the space.
        """
        if q < 1:
            raise ToolError(f"{q} picks.", "Ask for at least 1.")
        if not self._pickers[self.main].measured:
            return [self._pick(c, None) for c in spread(self.space, stream, q)]
        done = set(self.rows(self.main))
        skipped: set[Row] = set() if repeat else done
        known = self._known()
        beliefs = Beliefs(tuple((self.aims[n], p.ensemble()) for n, p in known.items()))
        base = beliefs.likely(sorted(done, key=order_of))
        if beliefs.objectives > 1 and beliefs.keeps(base):
            chosen = by_hypervolume(beliefs, base, stream, q, skipped, self._seed)
        else:
            judge = Product.of(beliefs, base)
            found = compose(judge, stream, q, skipped)
            chosen = list(zip(found, judge.chance([c.row for c in found]) if found else [], strict=True))
        return [self._pick(c, likely) for c, likely in chosen]

    def _known(self) -> dict[str, TablePicker]:
        """Targets that were measured; the others say nothing yet."""
        return {name: picker for name, picker in self._pickers.items() if picker.measured}

    def _pick(self, chosen: Chosen, likely: float | None) -> SeveralPick:
        expected = dict.fromkeys(self.aims, Expectation(math.nan, math.nan, math.nan))
        distance, outside = math.inf if likely is None else 0.0, False
        for name, picker in self._known().items():
            p = picker.predict([chosen.row])
            expected[name] = Expectation(float(p.mean[0]), float(p.low[0]), float(p.high[0]))
            if likely is not None:
                away, beyond = Nearness.of(picker.ensemble()).judge([chosen.row])
                distance, outside = max(distance, float(away[0])), outside or bool(beyond[0])
        return SeveralPick(chosen.row, chosen.place, expected, likely, distance, outside)


def check_aims(aims: Mapping[str, Aim]) -> None:
    """Refuse what cannot be wanted together; see `SeveralPicker`. Raises ToolError."""
    if len(aims) < 2:
        raise ToolError(f"{len(aims)} targets.", "Give at least two; for one alone there is TablePicker.")
    for name, aim in aims.items():
        if aim.kind not in (*OBJECTIVES, "within"):
            raise ToolError(
                f"The aim '{aim.kind}' of {name!r} does not go with other targets.",
                "Learn that target alone, or give it a direction, a value or limits.",
            )
    count = sum(aim.kind in OBJECTIVES for aim in aims.values())
    if count > MOST_OBJECTIVES:
        raise ToolError(
            f"{count} objectives at once.", f"Give at most {MOST_OBJECTIVES}, and limits for what need only be enough."
        )


def _keeps(aim: Aim, value: float) -> bool:
    """Whether a value keeps the limits of its aim; objectives have none."""
    return (aim.lower is None or value >= aim.lower) and (aim.upper is None or value <= aim.upper)


def _loss(aim: Aim, value: float) -> float:
    if aim.kind == "target":
        return abs(value - (aim.value or 0.0))
    return value if aim.kind == "minimise" else -value


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether losses are nowhere higher, and lower somewhere."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and any(a < b for a, b in zip(one, other, strict=True))
