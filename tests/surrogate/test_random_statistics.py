"""Expectations of random choice are exact: hypergeometric formulas, brute force and Monte Carlo agree."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lodestone.surrogate.statistics import (
    acceleration_factor,
    enrichment_factor,
    expected_best,
    expected_draws_to_hits,
    expected_hits,
)
from lodestone.tools.core.errors import ToolError


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=7), st.booleans())
def test_expected_best_equals_the_average_over_all_subsets(values: list[int], maximise: bool) -> None:
    pick = max if maximise else min
    got = expected_best(values, len(values) + 2, maximise)
    for n in range(1, len(values) + 1):
        subsets = list(itertools.combinations(values, n))
        assert got[n - 1] == pytest.approx(sum(pick(s) for s in subsets) / len(subsets), abs=1e-9)
    assert got[-2:] == [pick(values)] * 2


def test_expected_best_agrees_with_monte_carlo() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=300)
    draws = np.array([rng.permutation(values)[:20] for _ in range(20_000)])
    simulated = np.minimum.accumulate(draws, axis=1)
    error = simulated.std(axis=0) / math.sqrt(len(draws))
    assert (np.abs(simulated.mean(axis=0) - expected_best(values, 20)) < 4.5 * error).all()


def test_expected_best_of_a_uniform_ladder_is_the_textbook_value() -> None:
    """For 1 … N the minimum of n draws has expectation (N + 1) / (n + 1), also for large N."""
    got = expected_best(list(range(1, 100_001)), 3)
    assert got == pytest.approx([100_001 / (n + 1) for n in (1, 2, 3)], rel=1e-7)


def test_draws_to_hits_agree_with_monte_carlo_and_hits_with_the_hypergeometric_mean() -> None:
    rng = np.random.default_rng(1)
    pool = np.array([True] * 6 + [False] * 44)
    orders = np.array([rng.permutation(pool) for _ in range(20_000)])
    second = np.array([np.flatnonzero(order)[1] + 1 for order in orders])
    assert second.mean() == pytest.approx(expected_draws_to_hits(2, 6, 50), rel=0.02)
    assert orders[:, :10].sum(axis=1).mean() == pytest.approx(expected_hits(6, 50, 10), rel=0.03)
    assert expected_hits(6, 50, 50) == 6
    assert expected_draws_to_hits(7, 6, 50) == math.inf


def test_acceleration_is_one_when_the_campaign_is_as_fast_as_chance() -> None:
    pool = list(range(99))
    assert acceleration_factor(pool, [7, 0]) == pytest.approx((100 / 2) / 2)
    assert acceleration_factor(pool, [float("nan"), 3, 5]) == pytest.approx((100 / 5) / 2)
    assert acceleration_factor(pool, [98], maximise=True) == pytest.approx(50)
    assert acceleration_factor(pool, []) is None
    assert acceleration_factor(pool, [float("nan")]) is None
    rng = np.random.default_rng(2)
    # Chance itself: evaluations until the best of all, on average, take as many draws as expected.
    needed = np.mean([list(rng.permutation(pool)).index(0) + 1 for _ in range(5000)])
    assert expected_draws_to_hits(1, 1, 99) / needed == pytest.approx(1.0, rel=0.03)


def test_enrichment_compares_hits_with_those_expected() -> None:
    assert enrichment_factor(found=4, evaluations=10, hits=10, pool=100) == pytest.approx(4.0)
    assert enrichment_factor(found=0, evaluations=0, hits=10, pool=100) is None
    assert enrichment_factor(found=0, evaluations=5, hits=0, pool=100) is None


@pytest.mark.parametrize(("hits", "pool"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_pools_are_refused(hits: int, pool: int) -> None:
    with pytest.raises(ToolError):
        expected_hits(hits, pool, 1)


@pytest.mark.parametrize("values", [[], [1.0, float("nan")]])
def test_pools_without_finite_values_are_refused(values: list[float]) -> None:
    with pytest.raises(ToolError):
        expected_best(values, 2)
