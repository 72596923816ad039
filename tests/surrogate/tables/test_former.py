"""What an earlier table taught helps, never binds, and is asked alone only while nothing else is known."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest

from lodestone.surrogate.tables import Aim, Former, Survey, TablePicker, learn_former
from lodestone.surrogate.tables.ensemble import fit_ensemble
from lodestone.tools.core.errors import ToolError

NAMES = ("a", "b", "c")
Row = tuple[float, ...]


def drawn(count: int, seed: int) -> list[Row]:
    rng = random.Random(seed)
    return [tuple(rng.random() for _ in NAMES) for _ in range(count)]


def outcome(row: Row, shift: float = 0.0) -> float:
    return math.sin(5 * row[0] + shift) * row[1] + 2 * row[2] * (1 - row[2])


POOL = drawn(200, 0)
ROWS = drawn(60, 1)


def former(values: Sequence[float], maximise: bool = True) -> Former:
    space = Survey(NAMES).add(POOL).add(ROWS).space()
    return learn_former("earlier.csv", NAMES, space, ROWS, values, maximise=maximise)


def error(formers: Sequence[Former], truth: Sequence[float]) -> float:
    """Mean absolute error over the pool after eight measurements, mean of three draws."""
    space = Survey(NAMES).add(POOL).space()
    total = 0.0
    for seed in range(3):
        places = random.Random(seed).sample(range(len(POOL)), 8)
        ensemble = fit_ensemble(
            space, [POOL[i] for i in places], [truth[i] for i in places], maximise=True, seed=0, formers=formers
        )
        mean = ensemble.predict(POOL).mean.tolist()
        total += sum(abs(m - t) for m, t in zip(mean, truth, strict=True)) / len(POOL)
    return total / 3


@pytest.mark.parametrize("scale", [1.0, -100.0])
def test_a_related_table_halves_the_error_whatever_its_unit_and_sign(scale: float) -> None:
    truth = [outcome(row, 0.3) for row in POOL]
    earlier = former([scale * outcome(row) + 7 for row in ROWS])
    assert error([earlier], truth) < 0.6 * error([], truth)


def test_a_table_of_something_else_hardly_hurts() -> None:
    truth = [outcome(row, 0.3) for row in POOL]
    rng = random.Random(5)
    unrelated = former([rng.gauss(0, 1) for _ in ROWS])
    assert error([unrelated], truth) < 1.15 * error([], truth)


def test_before_anything_is_measured_the_former_table_picks() -> None:
    space = Survey(NAMES).add(POOL).space()
    for kind, sign in (("maximise", 1), ("minimise", -1)):
        earlier = former([outcome(row) for row in ROWS], maximise=kind == "maximise")
        picks = TablePicker(space, Aim(kind), formers=[earlier]).ask(POOL, 4)
        ranked = sorted(POOL, key=lambda row: -sign * outcome(row))
        assert len({p.row for p in picks}) == 4
        assert all(p.row in ranked[:40] for p in picks)
        assert all(math.isnan(p.mean) for p in picks)


def test_a_former_table_may_lack_a_column_and_the_order_of_columns_is_free() -> None:
    truth = [outcome(row, 0.3) for row in POOL]
    fewer = ("c", "a")
    space = Survey(fewer).add((row[2], row[0]) for row in [*POOL, *ROWS]).space()
    rows = [(row[2], row[0]) for row in ROWS]
    earlier = learn_former("earlier.csv", NAMES, space, rows, [outcome(row) for row in ROWS], maximise=True)
    assert earlier.shared([POOL[0]]) == [(POOL[0][2], POOL[0][0])]
    assert error([earlier], truth) < error([], truth)


def test_too_few_rows_teach_nothing() -> None:
    space = Survey(NAMES).add(POOL).space()
    with pytest.raises(ToolError, match="has 4 measured rows"):
        learn_former("earlier.csv", NAMES, space, ROWS[:4], [1.0, 2.0, 3.0, 4.0], maximise=True)
