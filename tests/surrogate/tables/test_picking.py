"""What `tell` and `ask` promise: the same table, however it is written down, gives the same picks."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch

from lodestone.surrogate.tables import Aim, Pick, Survey, TablePicker, Value
from lodestone.surrogate.tables import choice as choice_module
from lodestone.surrogate.tables.aims import optimism, worth
from lodestone.surrogate.tables.choice import choose
from lodestone.surrogate.tables.words import reason
from lodestone.tools.core.errors import ToolError

GRID = [(300.0 + 50 * i, 0.1 * j, salt) for i in range(8) for j in range(6) for salt in ("NaCl", "KCl")]


def yield_of(row: Sequence[Value]) -> float:
    temperature, share, salt = row
    assert isinstance(temperature, float)
    assert isinstance(share, float)
    return math.exp(-(((temperature - 520) / 120) ** 2)) + (0.3 if salt == "KCl" else 0.0) - (share - 0.3) ** 2


SEEN = GRID[::9]


def picker_of(aim: Aim, rows: Sequence[Sequence[Value]] = SEEN) -> TablePicker:
    picker = TablePicker(Survey(["T", "x", "salt"]).add(GRID).space(), aim)
    picker.tell(rows, [yield_of(r) for r in rows])
    return picker


def rows_of(picks: Sequence[Pick]) -> list[tuple[Value, ...]]:
    return [p.row for p in picks]


def test_the_order_in_which_rows_are_told_changes_nothing() -> None:
    one = picker_of(Aim("maximise")).ask(GRID, 4)
    two = picker_of(Aim("maximise"), SEEN[::-1]).ask(GRID, 4)
    assert rows_of(one) == rows_of(two)
    assert [p.mean for p in one] == pytest.approx([p.mean for p in two])


def test_the_order_of_columns_changes_nothing() -> None:
    one = picker_of(Aim("maximise")).ask(GRID, 4)
    turned = TablePicker(Survey(["salt", "x", "T"]).add([r[::-1] for r in GRID]).space(), Aim("maximise"))
    turned.tell([r[::-1] for r in SEEN], [yield_of(r) for r in SEEN])
    assert rows_of(one) == [r[::-1] for r in rows_of(turned.ask([r[::-1] for r in GRID], 4))]


@pytest.mark.parametrize(("factor", "shift"), [(1000.0, 0.0), (1e-3, 5.0), (1.0, -273.15), (1e-20, 0.0), (1e30, 0.0)])
def test_units_of_settings_and_outcome_change_nothing(factor: float, shift: float) -> None:
    def told(row: Sequence[Value]) -> tuple[Value, ...]:
        assert isinstance(row[0], float)
        return (row[0] * 1.8 + 32.0, *row[1:])

    one = picker_of(Aim("maximise")).ask(GRID, 3)
    other = TablePicker(Survey(["T", "x", "salt"]).add([told(r) for r in GRID]).space(), Aim("maximise"))
    other.tell([told(r) for r in SEEN], [factor * yield_of(r) + shift for r in SEEN])
    two = other.ask([told(r) for r in GRID], 3)
    assert [told(r) for r in rows_of(one)] == rows_of(two)
    for a, b in zip(one, two, strict=True):
        assert b.mean == pytest.approx(factor * a.mean + shift, rel=1e-6, abs=1e-6 * factor)
        assert b.high - b.low == pytest.approx(factor * (a.high - a.low), rel=1e-5)


def test_minimising_is_maximising_the_negative() -> None:
    up = picker_of(Aim("maximise")).ask(GRID, 3)
    down = TablePicker(Survey(["T", "x", "salt"]).add(GRID).space(), Aim("minimise"))
    down.tell(SEEN, [-yield_of(r) for r in SEEN])
    low = down.ask(GRID, 3)
    assert rows_of(up) == rows_of(low)
    assert [-p.mean for p in low] == pytest.approx([p.mean for p in up])
    assert all(p.low <= p.mean <= p.high for p in low)


def test_a_stream_gives_what_the_list_gives_and_is_never_held(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = picker_of(Aim("maximise")).ask(GRID, 4)
    monkeypatch.setattr(choice_module, "CHUNK", 7)

    def stream() -> Iterator[tuple[Value, ...]]:
        yield from GRID

    assert rows_of(picker_of(Aim("maximise")).ask(stream(), 4)) == rows_of(whole)


def test_a_batch_holds_different_rows_and_none_that_was_measured() -> None:
    picks = rows_of(picker_of(Aim("maximise")).ask(GRID + GRID, 10))
    assert len(set(picks)) == 10
    assert not set(picks) & set(SEEN)


def test_the_optimum_is_found_within_a_quarter_of_the_rows() -> None:
    picker = picker_of(Aim("maximise"), GRID[:3])
    while picker.measured < len(GRID) // 4 and picker.best != max(map(yield_of, GRID)):
        (pick,) = picker.ask(GRID)
        picker.tell([pick.row], [yield_of(pick.row)])
    assert picker.best == max(map(yield_of, GRID))


@pytest.mark.parametrize(
    ("aim", "wanted"),
    [
        (Aim("target", value=0.6), lambda y: abs(y - 0.6) < 0.06),
        (Aim("within", lower=0.9), lambda y: y > 0.85),
        (Aim("within", lower=0.2, upper=0.4), lambda y: 0.15 < y < 0.45),
    ],
)
def test_other_aims_pick_rows_that_serve_them(aim: Aim, wanted: object) -> None:
    picker = picker_of(aim, GRID[::4])
    picks = picker.ask(GRID, 4)
    served = sum(wanted(yield_of(p.row)) for p in picks)  # type: ignore[operator]
    assert served >= 3, [(p.row, yield_of(p.row)) for p in picks]


def test_a_map_goes_where_least_is_known() -> None:
    picker = picker_of(Aim("map"), [r for r in GRID if r[0] < 450.0][::3])
    assert all(p.row[0] > 500.0 for p in picker.ask(GRID, 2))  # type: ignore[operator]


@pytest.mark.parametrize("told", [0, 1, 2])
def test_hardly_any_measurement_is_enough_to_pick(told: int) -> None:
    picks = picker_of(Aim("maximise"), GRID[:told]).ask(GRID, 4)
    assert len(set(rows_of(picks))) == 4
    assert all(math.isfinite(p.mean) and p.low < p.high for p in picks) or not told
    assert all(reason(p, Aim("maximise"), 1.0) for p in picks)


def test_without_measurements_picks_are_spread_over_the_table() -> None:
    picks = rows_of(picker_of(Aim("maximise"), []).ask(GRID, 6))
    assert {r[2] for r in picks} == {"NaCl", "KCl"}
    temperatures = [r[0] for r in picks]
    assert max(temperatures) - min(temperatures) >= 200.0  # type: ignore[operator,type-var]


def test_equal_outcomes_do_no_harm() -> None:
    picker = TablePicker(Survey(["T", "x", "salt"]).add(GRID).space(), Aim("maximise"))
    picker.tell(SEEN, [3.0] * len(SEEN))
    prediction = picker.predict(GRID[:5])
    assert torch.allclose(prediction.mean, torch.full((5,), 3.0, dtype=torch.float64), atol=1e-6)
    assert len(picker.ask(GRID, 2)) == 2


def test_intervals_hold_what_they_say_before_and_after_correction() -> None:
    generator = torch.Generator().manual_seed(2)
    noisy = {r: yield_of(r) + 0.1 * float(torch.randn(1, generator=generator)) for r in GRID}
    order = [GRID[int(i)] for i in torch.randperm(len(GRID), generator=generator)]
    picker = TablePicker(Survey(["T", "x", "salt"]).add(GRID).space(), Aim("maximise"))
    inside = []
    for start in range(0, 60, 4):
        rows = order[start : start + 4]
        if start >= 12:
            prediction = picker.predict(rows)
            inside += [
                float(low) <= noisy[r] <= float(high)
                for r, low, high in zip(rows, prediction.low, prediction.high, strict=True)
            ]
        picker.tell(rows, [noisy[r] for r in rows])
    assert 0.75 <= sum(inside) / len(inside) <= 1.0
    assert picker.calibration().n == 48


def test_far_from_everything_is_called_outside() -> None:
    near = [(float(t), 0.1) for t in range(300, 340, 5)]
    pool = [*near, (900.0, 0.1), (322.0, 0.1)]
    picker = TablePicker(Survey(["T", "x"]).add([*pool, (900.0, 0.9)]).space(), Aim("maximise"))
    picker.tell(near, [math.sin(t / 10) for t, _ in near])
    by_row = {p.row: p for p in picker.ask(pool, 2)}
    assert by_row[900.0, 0.1].outside
    assert not by_row[322.0, 0.1].outside


@pytest.mark.parametrize(
    "misuse",
    [
        lambda p: p.tell([GRID[0]], [1.0, 2.0]),
        lambda p: p.tell([GRID[0]], [math.inf]),
        lambda p: p.tell([GRID[0]], [1e308]),
        lambda p: p.tell([GRID[0][:2]], [1.0]),
        lambda p: p.ask(GRID, 0),
        lambda p: p.ask([(300.0, 0.1, "LiCl")], 1),
        lambda _: Aim("target"),
        lambda _: Aim("within"),
        lambda _: Aim("within", lower=2.0, upper=1.0),
        lambda _: Aim("boundary", value=math.nan),
    ],
)
def test_misuse_is_an_error_with_a_remedy(misuse: object) -> None:
    with pytest.raises(ToolError) as caught:
        misuse(picker_of(Aim("maximise")))  # type: ignore[operator]
    assert caught.value.problem
    assert caught.value.remedy


def test_the_example_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_more_is_hoped_for_among_many_candidates() -> None:
    hopes = [optimism(n) for n in (1, 100, 150, 180, 220, 250, 10**6)]
    assert hopes == sorted(hopes)
    assert (hopes[0], hopes[2], hopes[-1]) == (1.0, 1.0, 2.0)
    rng = random.Random(4)
    rows = [(rng.random(), rng.random()) for _ in range(400)]
    picker = TablePicker(Survey(["a", "b"]).add(rows).space(), Aim("maximise"))
    picker.tell(rows[:12], [math.sin(6 * a) + b for a, b in rows[:12]])
    ensemble = picker.ensemble()
    few, many = (choose(ensemble, pool, 1, picker.aim, picker.best, set())[0] for pool in (rows[12:100], rows[12:]))
    for chosen, pool, hope in ((few, rows[12:100], 1.0), (many, rows[12:], 2.0)):
        scores = worth(ensemble, ensemble.latent(pool), picker.aim, picker.best, hope)
        assert chosen.row == pool[int(scores.argmax())]
