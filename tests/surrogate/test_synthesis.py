"""The process of heat: parity with textbook regression, signs, transfer, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lodestone.surrogate.synthesis import CENTRE, NOISE_STD, SATURATED_STD, SLOPE, SynthesisHeat
from lodestone.tools.core.errors import ToolError


def row(kelvin: float) -> np.ndarray:
    """A usual recipe of a target that is expected to want 1150 K."""
    return np.array([(kelvin - 1150.0) / 100.0, *CENTRE[1:]])


def test_before_any_outcome_the_usual_recipe_is_the_best():
    heat = SynthesisHeat()
    rows = np.array([row(k) for k in (700.0, 1150.0, 1600.0)])
    chances = heat.chances("BaTiO3", [("BaCO3", "TiO2")] * 3, rows)
    assert int(np.argmax(chances)) == 1


def test_a_recipe_that_was_too_mild_sends_it_hotter_and_too_harsh_colder():
    rows = np.array([row(k) for k in range(700, 1700, 25)])
    names = [("BaCO3", "TiO2")] * len(rows)
    best = []
    for severity in (-0.7, 0.0, 0.7):
        heat = SynthesisHeat()
        heat.tell("BaTiO3", names[0], row(1150.0), severity)
        best.append(rows[int(np.argmax(heat.chances("BaTiO3", names, rows)))][0])
    assert best[0] > best[1] > best[2]


def test_another_target_learns_a_part_and_the_same_precursors_more():
    heat = SynthesisHeat()
    heat.tell("BaTiO3", ("BaCO3", "TiO2"), row(1150.0), -0.6)
    at = row(1150.0)[None]
    own = heat.posterior("BaTiO3", [("BaCO3", "TiO2")], at)[0][0]
    cousin = heat.posterior("Ba2TiO4", [("BaCO3", "TiO2")], at)[0][0]
    stranger = heat.posterior("YAlO3", [("Y2O3", "Al2O3")], at)[0][0]
    assert own < cousin < stranger < 0.0


@given(st.integers(0, 10_000), st.integers(1, 12))
def test_the_posterior_is_that_of_the_joint_normal(seed: int, count: int):
    """Mean and deviation against the inverse of the covariance, written out."""
    rng = np.random.default_rng(seed)
    heat = SynthesisHeat()
    features = CENTRE + rng.normal(0.0, 2.0, (count + 1, 4))
    targets = [str(rng.integers(3)) for _ in range(count)] + ["0"]
    sets = [frozenset(str(n) for n in rng.integers(0, 5, 2)) for _ in range(count + 1)]
    severities = rng.uniform(-1.0, 1.0, count)
    for target, names, x, y in zip(targets, sets, features, severities, strict=False):
        heat.tell(target, sorted(names), x, float(y))
    prior = heat._covariance(targets, sets, features, targets, sets, features)
    assert np.linalg.eigvalsh(prior).min() > -1e-9
    noise = np.diag(np.where(np.abs(severities) >= 0.9, SATURATED_STD, NOISE_STD) ** 2)
    inverse = np.linalg.inv(prior[:count, :count] + noise)
    cross = prior[count, :count]
    means = (features - CENTRE) @ SLOPE
    expected = means[count] + cross @ inverse @ (severities - means[:count])
    variance = prior[count, count] - cross @ inverse @ cross
    mean, std = heat.posterior("0", [sorted(sets[count])], features[count:])
    assert mean[0] == pytest.approx(expected, abs=1e-6)
    assert std[0] ** 2 == pytest.approx(max(variance, 1e-6), abs=1e-6)


def test_the_order_of_outcomes_changes_nothing():
    rows = [(row(k), s) for k, s in ((900.0, -0.9), (1100.0, -0.4), (1400.0, 0.6))]
    answers = []
    for order in (rows, rows[::-1]):
        heat = SynthesisHeat()
        for x, severity in order:
            heat.tell("BaTiO3", ("BaCO3", "TiO2"), x, severity)
        answers.append(heat.chances("BaTiO3", [("BaO", "TiO2")], row(1200.0)[None])[0])
    assert answers[0] == pytest.approx(answers[1])


@pytest.mark.parametrize(
    ("conditions", "severity"),
    [(np.array([11.0, 4.0]), 0.0), (np.array([np.nan, 4.0, 4.0, 1.0]), 0.0), (row(1000.0), 1.5)],
)
def test_nonsense_is_refused(conditions: np.ndarray, severity: float):
    with pytest.raises(ToolError):
        SynthesisHeat().tell("BaTiO3", ("BaO", "TiO2"), conditions, severity)
