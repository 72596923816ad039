"""Several targets of one table: compromises that extend the front, limits that are kept, gaps that do no harm."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from botorch.utils.multi_objective.hypervolume import Hypervolume
from botorch.utils.multi_objective.pareto import is_non_dominated

from lodestone.surrogate.tables import Aim, SeveralPick, SeveralPicker, Survey, Value
from lodestone.surrogate.tables import compromise as compromise_module
from lodestone.surrogate.tables.compromise import OBJECTIVES
from lodestone.surrogate.tables.words import reason_several
from lodestone.tools.core.errors import ToolError

BOTH = {"yield": Aim("maximise"), "cost": Aim("minimise")}


def pool(seed: int, n: int = 150) -> list[tuple[float, ...]]:
    return [tuple(row) for row in np.random.default_rng(seed).random((n, 2)).tolist()]


def truth(row: Sequence[Value]) -> dict[str, float]:
    """One setting moves along a hollow front (which weighted sums cannot reach), one away from it."""
    along, away = (float(cell) for cell in row if isinstance(cell, float))
    return {
        "yield": 100 * along**3 - 80 * away,
        "cost": 3 + 2 * (1 - (1 - along) ** 3) + 2 * away,
        "purity": 99 - 6 * along,
    }


def picker_of(aims: dict[str, Aim], rows: Sequence[Sequence[Value]], told: Sequence[Sequence[Value]]) -> SeveralPicker:
    picker = SeveralPicker(Survey(["along", "away"]).add(rows).space(), aims)
    tell(picker, told)
    return picker


def tell(picker: SeveralPicker, rows: Sequence[Sequence[Value]]) -> None:
    picker.tell(rows, {name: [truth(row)[name] for row in rows] for name in picker.aims})


def volume(rows: Sequence[Sequence[Value]], everything: Sequence[Sequence[Value]]) -> float:
    def table(some: Sequence[Sequence[Value]]) -> torch.Tensor:
        found = torch.tensor([[truth(r)["yield"], -truth(r)["cost"]] for r in some]).double()
        return found / torch.tensor([[40.0, 1.0]])

    measure = Hypervolume(table(everything).min(0).values)
    return measure.compute(table(rows)[is_non_dominated(table(rows))])


def test_the_front_is_found_well_above_chance() -> None:
    ours, chance = [], []
    for seed in range(3):
        rows = pool(seed)
        picker = picker_of(BOTH, rows, rows[:6])
        seen = list(rows[:6])
        for _ in range(5):
            new = [p.row for p in picker.ask(rows, 3)]
            assert len(set(new)) == 3
            assert not set(new) & set(seen)
            tell(picker, new)
            seen += new
        whole = volume(rows, rows)
        ours.append(volume(seen, rows) / whole)
        orders = [np.random.default_rng(k).permutation(len(rows))[:21] for k in range(20)]
        chance.append(np.mean([volume([rows[i] for i in order], rows) / whole for order in orders]))
    assert np.mean(ours) > 0.97
    assert 1 - np.mean(ours) < 0.3 * (1 - np.mean(chance))


def test_limits_are_respected_beside_two_objectives() -> None:
    rows = pool(1)
    picker = picker_of({**BOTH, "purity": Aim("within", lower=96.0)}, rows, rows[:8])
    for _ in range(3):
        picks = picker.ask(rows, 3)
        assert np.mean([truth(p.row)["purity"] >= 96.0 for p in picks]) > 0.6
        tell(picker, [p.row for p in picks])
    assert all(truth(c.row)["purity"] >= 96.0 for c in picker.front())


def test_one_objective_within_a_limit_ends_at_the_best_allowed_row() -> None:
    rows = pool(2)
    picker = picker_of({"yield": Aim("maximise"), "purity": Aim("within", lower=96.0)}, rows, rows[:5])
    allowed = [r for r in rows if truth(r)["purity"] >= 96.0]
    for _ in range(6):
        picks = picker.ask(rows, 2)
        assert all(p.chance is not None and 0 <= p.chance <= 1 for p in picks)
        tell(picker, [p.row for p in picks])
    (best,) = picker.front()
    assert best.values["yield"] == pytest.approx(max(truth(r)["yield"] for r in allowed))


def test_a_value_that_is_wanted_is_an_objective_too() -> None:
    rows = pool(4)
    picker = picker_of({"cost": Aim("minimise"), "yield": Aim("target", value=20.0)}, rows, rows[:6])
    for _ in range(4):
        tell(picker, [p.row for p in picker.ask(rows, 2)])
    assert min(abs(c.values["yield"] - 20.0) for c in picker.front()) < 4.0


def test_limits_alone_lead_into_their_common_room() -> None:
    rows = pool(3)
    aims = {"yield": Aim("within", lower=5.0), "purity": Aim("within", lower=95.0, upper=97.0)}

    def inside(row: Sequence[Value]) -> bool:
        return truth(row)["yield"] >= 5.0 and 95.0 <= truth(row)["purity"] <= 97.0

    picker = picker_of(aims, rows, [r for r in rows if not inside(r)][:8])
    assert picker.front() == []
    for _ in range(4):
        tell(picker, [p.row for p in picker.ask(rows, 1)])
    # There are three among 150 rows.
    assert {c.row for c in picker.front()} == {r for r in rows if inside(r)}


def test_while_no_measured_row_keeps_the_limits_they_come_first() -> None:
    rows = pool(1)
    aims = {**BOTH, "purity": Aim("within", lower=98.0)}
    picker = picker_of(aims, rows, [r for r in rows if truth(r)["purity"] < 96.0][:8])
    assert picker.front() == []
    picks = picker.ask(rows, 2)
    assert all(truth(p.row)["purity"] > 98.0 for p in picks)


def test_what_was_not_measured_of_a_row_is_left_open() -> None:
    rows = pool(1)
    picker = picker_of(BOTH, rows, [])
    values = [truth(r) for r in rows[:12]]
    costs = [v["cost"] if i % 3 else (None if i % 2 else math.nan) for i, v in enumerate(values)]
    picker.tell(rows[:12], {"yield": [v["yield"] for v in values], "cost": costs})
    assert picker.measured == {"yield": 12, "cost": 8}
    picks = picker.ask(rows, 3)
    assert not {p.row for p in picks} & set(rows[:12])
    for p in picks:
        for e in p.expected.values():
            assert e.low < e.mean < e.high
    assert all(c.places[0] % 3 for c in picker.front())


def test_a_cost_that_is_known_beforehand_leaves_its_rows_to_be_picked() -> None:
    rows = pool(1, 60)
    picker = picker_of(BOTH, rows, rows[:8])
    picker.tell(rows[8:], {"cost": [truth(r)["cost"] for r in rows[8:]]})
    picks = picker.ask(rows, 3)
    assert all(p.place >= 8 for p in picks)
    for p in picks:
        cost = p.expected["cost"]
        assert cost.mean == pytest.approx(truth(p.row)["cost"], abs=0.1)
    assert all(c.places[0] < 8 for c in picker.front())


def test_a_target_never_measured_is_left_out_and_nothing_measured_is_spread() -> None:
    rows = pool(1)
    blank = picker_of(BOTH, rows, [])
    picks = blank.ask(rows, 4)
    assert len({p.row for p in picks}) == 4
    assert all(p.chance is None and math.isnan(p.expected["cost"].mean) for p in picks)
    with pytest.raises(ToolError):
        blank.ensemble("yield")
    picker = picker_of({**BOTH, "purity": Aim("within", lower=96.0)}, rows, [])
    picker.tell(rows[:6], {name: [truth(r)[name] for r in rows[:6]] for name in BOTH})
    (pick,) = picker.ask(rows)
    assert math.isnan(pick.expected["purity"].mean)
    assert pick.chance is not None
    assert set(picker.predict(rows[:2])) == {"yield", "cost"}
    assert picker.front() == []


def test_the_order_in_which_rows_are_told_and_units_change_nothing() -> None:
    rows = pool(5)
    one = picker_of(BOTH, rows, rows[:10]).ask(rows, 3)
    assert places(picker_of(BOTH, rows, rows[:10][::-1]).ask(rows, 3)) == places(one)
    other = picker_of(BOTH, rows, [])
    other.tell(rows[:10], {n: [1e-9 * truth(r)[n] + 3e-9 for r in rows[:10]] for n in BOTH})
    assert places(other.ask(rows, 3)) == places(one)


def places(picks: Sequence[SeveralPick]) -> list[int]:
    return [p.place for p in picks]


def test_a_long_stream_is_searched_and_never_held() -> None:
    rows = pool(6, 20_000)
    picker = picker_of(BOTH, rows, rows[:12])

    def stream() -> Iterator[tuple[float, ...]]:
        yield from rows

    picks = picker.ask(stream(), 2)
    assert all(rows[p.place] == p.row for p in picks)
    ours = volume([*rows[:12], *(p.row for p in picks)], rows)
    pairs = np.random.default_rng(0).integers(len(rows), size=(50, 2)).tolist()
    assert ours > np.quantile([volume([*rows[:12], rows[a], rows[b]], rows) for a, b in pairs], 0.9)


def test_of_many_measured_rows_those_near_the_front_count(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pool(7)
    whole = picker_of(BOTH, rows, rows[:60]).ask(rows, 2)
    monkeypatch.setattr(compromise_module, "MEASURED", 25)
    assert places(picker_of(BOTH, rows, rows[:60]).ask(rows, 2)) == places(whole)


def test_predictions_are_compared_with_what_is_measured_then() -> None:
    rows = pool(8)
    picker = picker_of(BOTH, rows, rows[:10])
    tell(picker, [p.row for p in picker.ask(rows, 3)])
    assert {name: c.n for name, c in picker.calibration().items()} == {"yield": 3, "cost": 3}


def test_repeats_are_averaged_and_may_be_asked_for() -> None:
    rows = pool(9)
    picker = picker_of(BOTH, rows, rows[:6])
    picker.tell([rows[0]], {"yield": [truth(rows[0])["yield"] + 1e4], "cost": [truth(rows[0])["cost"]]})
    best = picker.front()[0]
    assert (best.row, best.places) == (rows[0], (0, 6))
    assert best.values["yield"] == pytest.approx(truth(rows[0])["yield"] + 5e3)
    assert picker.ask(rows[:6], 2) == []
    assert len(picker.ask(rows[:6], 2, repeat=True)) == 2


def test_joint_beliefs_agree_with_those_about_single_rows() -> None:
    rows = pool(9)
    picker = picker_of(BOTH, rows, rows[:9])
    for name in BOTH:
        ensemble = picker.ensemble(name)
        mean, covariance = ensemble.joint(rows[:30])
        single, std = ensemble.mixture(ensemble.latent(rows[:30]), noise=False).moments()
        assert torch.allclose(mean, ensemble.user(single))
        assert torch.allclose(covariance.diagonal().sqrt(), std * ensemble.scale, rtol=1e-3, atol=1e-3 * ensemble.scale)
        assert float(torch.linalg.eigvalsh(covariance).min()) > -1e-6 * ensemble.scale**2
        near, far = rows[20], max(rows, key=lambda r: math.dist(r, rows[20]))
        twins = ensemble.joint([near, (near[0] + 1e-4, near[1]), far])[1]
        assert float(twins[0, 1]) > 0.9 * float(twins[0, 0])


@pytest.mark.parametrize(
    "aims",
    [
        {"yield": Aim("maximise")},
        {"yield": Aim("maximise"), "phase": Aim("boundary", value=1.0)},
        {"yield": Aim("map"), "cost": Aim("minimise")},
        {name: Aim("maximise") for name in "abcde"},
    ],
)
def test_aims_that_do_not_go_together_are_refused(aims: dict[str, Aim]) -> None:
    with pytest.raises(ToolError) as caught:
        picker_of(aims, pool(0), [])
    assert caught.value.remedy


@pytest.mark.parametrize(
    "values",
    [
        {"yield": [1.0]},
        {"yield": [1.0, 2.0], "cost": [1.0]},
        {"yield": [1.0, math.inf]},
        {"colour": [1.0, 2.0]},
    ],
)
def test_what_cannot_be_learned_is_refused_whole(values: dict[str, list[float | None]]) -> None:
    rows = pool(0)
    picker = picker_of(BOTH, rows, [])
    with pytest.raises(ToolError):
        picker.tell(rows[:2], values)
    assert picker.measured == {"yield": 0, "cost": 0}
    with pytest.raises(ToolError):
        picker.ask(rows, 0)


@pytest.mark.parametrize(
    ("aims", "words"),
    [
        (BOTH, "chance to be beaten by no measured row"),
        ({**BOTH, "purity": Aim("within", lower=96.0)}, "chance to keep the limits and be beaten by no measured row"),
        ({"yield": Aim("within", lower=1.0), "purity": Aim("within", lower=96.0)}, "chance to keep the limits;"),
    ],
)
def test_a_pick_says_why(aims: dict[str, Aim], words: str) -> None:
    rows = pool(1)
    (pick,) = picker_of(aims, rows, rows[:9]).ask(rows)
    assert words in reason_several(pick, aims.values())
    assert sum(a.kind in OBJECTIVES for a in aims.values()) == (0 if words.endswith(";") else 2)
