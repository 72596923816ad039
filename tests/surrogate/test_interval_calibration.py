"""Calibrated intervals hold the share of measured values that they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lodestone.surrogate.calibration import SCALE_BOUNDS, calibrate
from lodestone.tools.core.errors import ToolError

Z90 = 1.6448536269514722


@pytest.mark.parametrize("true_ratio", [0.5, 1.0, 2.5])
@pytest.mark.parametrize("n", [20, 200])
def test_scaled_intervals_cover_ninety_percent_of_new_values(true_ratio: float, n: int) -> None:
    rng = np.random.default_rng(n)
    inside = []
    for _ in range(300):
        errors = true_ratio * rng.normal(size=n)
        scale = calibrate([0.0] * n, [1.0] * n, list(errors)).scale
        inside.append(np.mean(np.abs(true_ratio * rng.normal(size=100)) <= scale * Z90))
    # Shrinking towards 1 costs a little at n = 20; at n = 200 the promise is met.
    assert abs(float(np.mean(inside)) - 0.9) < (0.06 if n == 20 else 0.02)


@pytest.mark.parametrize("true_ratio", [0.5, 2.5])
def test_the_scale_is_nearer_the_truth_than_no_scale_already_at_five(true_ratio: float) -> None:
    rng = np.random.default_rng(5)
    scales = [calibrate([0.0] * 5, [1.0] * 5, list(true_ratio * rng.normal(size=5))).scale for _ in range(500)]
    log = np.log(scales)
    assert abs(np.mean(log) - np.log(true_ratio)) < 0.75 * abs(np.log(true_ratio))


def test_honest_deviations_are_left_alone_on_average_at_any_number() -> None:
    rng = np.random.default_rng(7)
    for n in (1, 3, 8, 9, 12, 30):
        scales = [calibrate([0.0] * n, [1.0] * n, list(rng.normal(size=n))).scale for _ in range(600)]
        # The conformal rank is rounded up (at 12 it is the largest score), so a little too wide is expected.
        assert -0.08 < np.median(np.log(scales)) < 0.15, n


def test_nothing_compared_changes_nothing() -> None:
    empty = calibrate([], [], [])
    assert (empty.scale, empty.coverage_90, empty.coverage_50, empty.n) == (1.0, None, None, 0)


def test_coverage_counts_values_inside_the_unscaled_intervals() -> None:
    result = calibrate([0, 0, 0, 0], [1, 1, 1, 1], [0.1, -0.6, 1.6, 5.0])
    assert (result.coverage_50, result.coverage_90, result.n) == (0.5, 0.75, 4)


def test_comparisons_without_a_deviation_or_a_value_are_not_counted() -> None:
    result = calibrate([0, 0, 0], [0, 1, 1], [1, float("nan"), 0.3])
    assert result.n == 1


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(1e-9, 1e6), st.floats(-1e6, 1e6)), max_size=30))
def test_the_scale_stays_in_bounds_and_ignores_order_and_unit(rows: list[tuple[float, float, float]]) -> None:
    columns = [[row[i] for row in rows] for i in range(3)]
    scale = calibrate(*columns).scale
    assert SCALE_BOUNDS[0] <= scale <= SCALE_BOUNDS[1]
    assert calibrate(*[column[::-1] for column in columns]).scale == scale
    assert calibrate(*[[1024 * v for v in column] for column in columns]).scale == pytest.approx(scale)


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ToolError):
        calibrate([1.0], [1.0], [])
