"""Explanations agree with functions whose answer is known."""

from __future__ import annotations

import random

import pytest

from lodestone.surrogate.tables import Aim, Survey, TablePicker
from lodestone.surrogate.tables.explain import contributions, dependence, relevance

RNG = random.Random(4)
ROWS = [(RNG.random(), RNG.random(), RNG.random(), RNG.choice(("x", "y"))) for _ in range(60)]


def truth(row: tuple[float, float, float, str]) -> float:
    return 4.0 * row[0] - 1.0 * row[1] + (0.5 if row[3] == "y" else 0.0)


@pytest.fixture(scope="module")
def picker() -> TablePicker:
    made = TablePicker(Survey(["a", "b", "idle", "salt"]).add(ROWS).space(), Aim("maximise"))
    made.tell(ROWS, [truth(r) for r in ROWS])
    return made


def test_relevance_is_the_share_of_the_variance(picker: TablePicker) -> None:
    found = relevance(picker.ensemble(), ROWS)
    assert list(found)[:2] == ["a", "b"]
    # Half the mean square change of 4 a between two rows, over the variance of the truth on these rows.
    pairs = [(r[0] - other[0]) ** 2 for r in ROWS for other in ROWS if r != other]
    values = [truth(r) for r in ROWS]
    variance = sum((v - sum(values) / 60) ** 2 for v in values) / 60
    assert found["a"] == pytest.approx(16 * sum(pairs) / len(pairs) / 2 / variance, abs=0.05)
    assert found["idle"] < 0.02


def test_partial_dependence_follows_the_column(picker: TablePicker) -> None:
    curve = dependence(picker.ensemble(), "a", ROWS)
    slope = (curve.mean[-1] - curve.mean[0]) / (float(curve.at[-1]) - float(curve.at[0]))  # type: ignore[arg-type]
    assert slope == pytest.approx(4.0, abs=0.2)
    assert all(low <= mean <= high for low, mean, high in zip(curve.low, curve.mean, curve.high, strict=True))
    levels = dependence(picker.ensemble(), "salt", ROWS)
    assert levels.at == ("x", "y")
    assert levels.mean[1] - levels.mean[0] == pytest.approx(0.5, abs=0.1)


def test_contributions_sum_to_the_difference_from_the_average(picker: TablePicker) -> None:
    ensemble = picker.ensemble()
    row = (0.95, 0.5, 0.1, "y")
    found = contributions(ensemble, row, ROWS)
    mean, _ = ensemble.mixture(ensemble.latent([row]), noise=False).moments()
    everywhere, _ = ensemble.mixture(ensemble.latent(ROWS), noise=False).moments()
    difference = float(ensemble.user(mean)[0] - ensemble.user(everywhere).mean())
    assert sum(found.values()) == pytest.approx(difference, abs=1e-6)
    average = sum(r[0] for r in ROWS) / len(ROWS)
    assert found["a"] == pytest.approx(4.0 * (0.95 - average), abs=0.15)
    assert abs(found["idle"]) < 0.05
