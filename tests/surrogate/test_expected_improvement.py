"""Merit of single crystals: closed forms agree with numerical integration and stay finite everywhere."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from lodestone.surrogate.beliefs import Belief
from lodestone.surrogate.merit import (
    log_expected_approach,
    log_expected_improvement,
    log_feasibility,
    log_probability_within,
    objective_scales,
    utility,
    utility_belief,
)
from lodestone.tools.core.types import Constraint, GoalSpec, Objective


def row(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def integral(payoff: Callable[[float], float], mean: float, std: float, edges: list[float]) -> float:
    """E[payoff(y)] for a normal y; `edges` are where the payoff bends or ends."""
    inside = sorted({*edges, *(e for e in (mean - 9 * std, mean, mean + 9 * std) if min(edges) < e < max(edges))})
    pieces = [
        integrate.quad(lambda y: payoff(y) * stats.norm.pdf(y, mean, std), a, b, epsabs=0, epsrel=1e-11, limit=400)[0]
        for a, b in itertools.pairwise(inside)
    ]
    return sum(pieces)


@pytest.mark.parametrize("mean", [-1.2, -0.3, 0.0, 0.05, 0.6])
@pytest.mark.parametrize("std", [0.02, 0.1, 0.7])
def test_log_expected_improvement_agrees_with_integration(mean: float, std: float) -> None:
    best = -0.1
    low = min(mean, best) - 12 * std
    expected = integral(lambda y: max(best - y, 0.0), mean, std, [low, best])
    got = float(log_expected_improvement(row(mean), row(std), best, maximise=False).exp())
    assert got == pytest.approx(expected, rel=1e-6, abs=1e-250)


def test_golden_value_at_the_incumbent() -> None:
    """E[max(y - best, 0)] = std / sqrt(2 pi) where the mean equals the best."""
    value = log_expected_improvement(row(3.0), row(0.25), 3.0, maximise=True)
    assert float(value) == pytest.approx(math.log(0.25 / math.sqrt(2 * math.pi)), abs=1e-12)


@pytest.mark.parametrize("mean", [-2.0, 0.9, 1.0, 1.15, 1.4, 3.0])
@pytest.mark.parametrize("std", [0.01, 0.1, 0.19, 0.21, 1.0, 30.0])
def test_log_expected_approach_agrees_with_integration(mean: float, std: float) -> None:
    target, distance = 1.0, 0.2
    expected = integral(
        lambda y: max(distance - abs(y - target), 0.0), mean, std, [target - distance, target, target + distance]
    )
    got = float(log_expected_approach(row(mean), row(std), target, distance))
    if expected > 1e-200:
        assert got == pytest.approx(math.log(expected), rel=1e-6, abs=1e-6)
    else:
        assert got < -400


def test_both_forms_of_expected_approach_meet() -> None:
    below, above = row(0.2 * (1 - 1e-9)), row(0.2 * (1 + 1e-9))
    for mean in (1.0, 1.3, 2.0, 4.0):
        a = float(log_expected_approach(row(mean), below, 1.0, 0.2))
        b = float(log_expected_approach(row(mean), above, 1.0, 0.2))
        assert a == pytest.approx(b, rel=1e-6)


def test_merits_are_monotone_and_finite_over_a_hundred_orders_of_magnitude() -> None:
    z = torch.cat(
        [-torch.logspace(50, -50, 401, dtype=torch.float64), torch.logspace(-50, 50, 401, dtype=torch.float64)]
    )
    one = torch.ones_like(z)
    rising = log_expected_improvement(z, one, 0.0, maximise=True)
    assert bool(rising.isfinite().all())
    assert bool((rising.diff() >= 0).all())
    assert torch.allclose(rising, log_expected_improvement(-z, one, 0.0, maximise=False))
    falling = log_expected_approach(z[401:], one[401:], 0.0, 0.5)
    assert bool(falling.isfinite().all())
    assert bool((falling.diff() <= 1e-9).all())
    chance = log_probability_within(Belief(z, one), 0.0, None)
    assert bool(chance.isfinite().all())
    assert bool((chance.diff() >= 0).all())


@given(st.floats(-1e3, 1e3), st.floats(1e-8, 1e3), st.floats(-1e3, 1e3), st.floats(1e-9, 1e3))
def test_approach_is_symmetric_finite_and_never_more_than_the_distance(
    mean: float, std: float, target: float, distance: float
) -> None:
    one = log_expected_approach(row(mean), row(std), target, distance)
    mirrored = log_expected_approach(row(2 * target - mean), row(std), target, distance)
    assert math.isfinite(float(one))
    assert float(one) == pytest.approx(float(mirrored), rel=1e-6, abs=1e-6)
    assert float(one) <= math.log(distance) + 1e-6


def test_chances_to_keep_limits_are_normal_probabilities() -> None:
    belief = Belief(row(0.0, 1.0, 2.5), row(1.0, 0.5, 2.0))
    for lower, upper in ((None, 1.2), (0.4, None), (0.4, 1.2)):
        low = -np.inf if lower is None else lower
        high = np.inf if upper is None else upper
        expected = stats.norm.cdf(high, belief.mean, belief.std) - stats.norm.cdf(low, belief.mean, belief.std)
        assert log_probability_within(belief, lower, upper).exp().numpy() == pytest.approx(expected)
    assert float(log_probability_within(belief, None, None).abs().max()) == 0.0


def test_an_interval_of_no_width_still_prefers_the_nearest() -> None:
    chance = log_probability_within(Belief(row(0.0, 1.0, 2.0), row(0.1, 0.1, 0.1)), 1.0, 1.0)
    assert bool(chance.isfinite().all())
    assert int(chance.argmax()) == 1


def test_limits_multiply_and_nonnegative_hull_distances_need_no_lower_bound() -> None:
    table = {"energy_above_hull": Belief(row(-0.5), row(0.1)), "density": Belief(row(3.0), row(1.0))}
    hull = Constraint(property="energy_above_hull", lower=0.0, upper=0.05)
    dense = Constraint(property="density", lower=3.0)
    assert float(log_feasibility([hull, dense], table).exp()) == pytest.approx(0.5)


def test_several_objectives_are_standardised_and_weighted(make_goal: Callable[..., GoalSpec]) -> None:
    goal = make_goal(
        Objective(property="formation_energy", direction="minimise", weight=2.0),
        Objective(property="bulk_modulus", direction="maximise"),
    )
    table = {
        "formation_energy": Belief(row(-1.0, -2.0), row(0.1, 0.2)),
        "bulk_modulus": Belief(row(100.0, 50.0), row(10.0, 10.0)),
    }
    scales = objective_scales(goal.objectives, table)
    assert scales["formation_energy"] == pytest.approx(math.sqrt(0.25 + 0.025))
    assert scales["bulk_modulus"] == pytest.approx(math.sqrt(625 + 100))
    total = utility_belief(goal, table, scales)
    expected = 2 * 2.0 / scales["formation_energy"] + 50 / scales["bulk_modulus"]
    assert float(total.mean[1]) == pytest.approx(expected)
    assert utility(goal, {"formation_energy": -2.0, "bulk_modulus": 50.0}, scales) == pytest.approx(expected)
    assert utility(goal, {"formation_energy": -2.0}, scales) is None
    # A change of unit of one property changes nothing.
    kilo = {**table, "bulk_modulus": Belief(table["bulk_modulus"].mean * 1e3, table["bulk_modulus"].std * 1e3)}
    again = utility_belief(goal, kilo, objective_scales(goal.objectives, kilo))
    assert torch.allclose(total.mean, again.mean)
    assert torch.allclose(total.std, again.std)


def test_distance_from_a_target_has_the_moments_of_a_folded_normal(make_goal: Callable[..., GoalSpec]) -> None:
    goal = make_goal(Objective(property="density", direction="target", target=3.0))
    mean, std = 3.2, 0.4
    belief = utility_belief(goal, {"density": Belief(row(mean), row(std))}, {"density": 1.0})
    folded = stats.foldnorm(c=(mean - 3.0) / std, scale=std)
    assert float(belief.mean) == pytest.approx(-folded.mean())
    assert float(belief.std) == pytest.approx(folded.std())


def test_distance_from_a_range_has_the_moments_of_a_sample(make_goal: Callable[..., GoalSpec]) -> None:
    goal = make_goal(Objective(property="density", direction="range", lower=2.0, upper=3.0))
    means, stds = [0.0, 1.8, 2.5, 3.1, 9.0], [0.5, 0.4, 1.5, 0.01, 2.0]
    table = {"density": Belief(torch.tensor(means, dtype=torch.float64), torch.tensor(stds, dtype=torch.float64))}
    found = utility_belief(goal, table, {"density": 1.0})
    for row, (mean, std) in enumerate(zip(means, stds, strict=True)):

        def away(x: float) -> float:
            return max(2.0 - x, x - 3.0, 0.0)

        edges = [min(mean, 2.0) - 12 * std, 2.0, 3.0, max(mean, 3.0) + 12 * std]
        first = integral(away, mean, std, edges)
        second = integral(lambda x: away(x) ** 2, mean, std, edges)
        assert float(found.mean[row]) == pytest.approx(-first, rel=1e-6)
        assert float(found.std[row]) == pytest.approx(math.sqrt(second - first**2), rel=1e-4)
