"""What the model rests on: which columns matter, how the outcome follows one of them, and what speaks for one row.

All of it is about the model's expectation, not about nature: columns that always changed together share the credit.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .columns import Value
from .ensemble import Ensemble

if TYPE_CHECKING:
    import torch

Row = tuple[Value, ...]

BACKGROUND = 64
"""Measured rows that others are compared with, at most: evenly over their order."""

PERMUTATIONS = 32
"""Orders in which columns are set, where there are too many columns for all of them."""

SHIFTS = 20
"""Other rows, about, that each row takes a column's value from."""

GRID = 15
"""Values of a column of numbers at which the outcome is shown."""


@dataclass(frozen=True)
class Dependence:
    """Outcome against one column, averaged over the measured rows; in the user's unit."""

    column: str
    at: tuple[Value, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    """Ends of the central 90 % interval of that average's terms: what is not known, and what other columns change."""


def relevance(ensemble: Ensemble, rows: Sequence[Row]) -> dict[str, float]:
    """Column to its part in the variance of the expected outcome over rows, its interplay with others included.

    The total index of Sobol' (Math. Comput. Simul. 55, 271 (2001)) by Jansen's estimator: half the mean square change
    of the expectation when the column alone is taken from another row, over the variance. Indices sum to more than 1
    where columns interact.
    """
    rows = _thinned(rows)
    if len(rows) < 2:
        return {c.name: 0.0 for c in ensemble.space.columns}
    here = _expected(ensemble, rows)
    variance = float(here.var(correction=0))
    found = {}
    for column in ensemble.space.columns:
        place = ensemble.space.names.index(column.name)
        total, count = 0.0, 0
        for shift in range(1, len(rows), max(1, len(rows) // SHIFTS)):
            other = [_with(r, place, rows[(i + shift) % len(rows)][place]) for i, r in enumerate(rows)]
            total += float((_expected(ensemble, other) - here).square().sum())
            count += len(rows)
        found[column.name] = total / (2 * count * variance) if variance > 0 else 0.0
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def dependence(ensemble: Ensemble, column: str, rows: Sequence[Row]) -> Dependence:
    """Partial dependence (Friedman, Ann. Stat. 29, 1189 (2001)) of the outcome on one column that varies.

    It is shown at each level of a column of texts, at each measured formula, and at up to `GRID` measured numbers.
    """
    import torch

    rows = _thinned(rows)
    place = ensemble.space.names.index(column)
    known = next(c for c in ensemble.space.columns if c.name == column)
    if known.levels:
        at: list[Value] = list(known.levels)
    elif known.formulas is not None:
        at = [*sorted({c for r in rows if isinstance(c := r[place], str)})]
    else:
        seen = sorted({c for r in rows if isinstance(c := r[place], float | int)})
        at = list(seen) if len(seen) <= GRID else [seen[round(i * (len(seen) - 1) / (GRID - 1))] for i in range(GRID)]
    means, lows, highs = [], [], []
    for value in at:
        mixture = ensemble.mixture(ensemble.latent([_with(r, place, value) for r in rows]), noise=False)
        belief = ensemble.interval(mixture)
        means.append(float(belief.mean.mean()))
        lows.append(float(torch.quantile(belief.low, 0.5)))
        highs.append(float(torch.quantile(belief.high, 0.5)))
    return Dependence(column, tuple(at), tuple(means), tuple(lows), tuple(highs))


def contributions(ensemble: Ensemble, row: Row, rows: Sequence[Row], seed: int = 0) -> dict[str, float]:
    """Column to what it adds to the expected outcome of a row, against the average over the measured rows; the user's
    unit, the largest first. They sum to the difference exactly.

    Shapley's values (Strumbelj & Kononenko, Knowl. Inf. Syst. 41, 647 (2014)): the mean change of the expectation when
    the row's value is put in, over the orders in which columns can be set; over all orders for up to four columns.
    """
    rows = _thinned(rows)
    places = [ensemble.space.names.index(c.name) for c in ensemble.space.columns]
    orders = list(itertools.permutations(places)) if len(places) <= 4 else _orders(places, seed)
    cache: dict[frozenset[int], float] = {}

    def average(taken: frozenset[int]) -> float:
        if taken not in cache:
            mixed = [tuple(row[i] if i in taken else cell for i, cell in enumerate(other)) for other in rows]
            cache[taken] = float(_expected(ensemble, mixed).mean())
        return cache[taken]

    total = dict.fromkeys(places, 0.0)
    for order in orders:
        taken: frozenset[int] = frozenset()
        for place in order:
            total[place] += average(taken | {place}) - average(taken)
            taken |= {place}
    found = {ensemble.space.names[p]: value / len(orders) for p, value in total.items()}
    return dict(sorted(found.items(), key=lambda item: -abs(item[1])))


def _orders(places: list[int], seed: int) -> list[tuple[int, ...]]:
    """Orders by chance, each with its reverse: what an early place adds, a late one takes back."""
    rng = random.Random(seed)
    found: list[tuple[int, ...]] = []
    while len(found) < PERMUTATIONS:
        order = tuple(rng.sample(places, len(places)))
        found += [order, order[::-1]]
    return found


def _thinned(rows: Sequence[Row]) -> list[Row]:
    if len(rows) <= BACKGROUND:
        return list(rows)
    return [rows[round(i * (len(rows) - 1) / (BACKGROUND - 1))] for i in range(BACKGROUND)]


def _with(row: Row, place: int, value: Value) -> Row:
    return (*row[:place], value, *row[place + 1 :])


def _expected(ensemble: Ensemble, rows: Sequence[Row]) -> torch.Tensor:
    """Expectation of each row in the user's unit; `m`."""
    mean, _ = ensemble.mixture(ensemble.latent(rows), noise=False).moments()
    return ensemble.user(mean)
