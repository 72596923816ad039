"""The furnace's temperature follows its differential equation, without jumps."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lodestone.tools.lab.twin.thermal import (
    COLD,
    COOLING_S,
    LAG_S,
    ROOM_K,
    Run,
    Segment,
    cold_at,
    heated_until,
    power_off,
    programme,
    temperature_k,
)


def integrated(run: Run, at_s: float, steps: int = 4000) -> float:
    """dT/dt = (S - T) / tau, or Newton's law, by the midpoint rule, segment by segment."""
    value = run.initial_k
    edges = [s.start_s for s in run.segments[1:]] + [at_s]
    for segment, edge in zip(run.segments, edges, strict=True):
        width = max(0.0, min(edge, at_s) - segment.start_s) / steps

        def slope(after_s: float, k: float, segment: Segment = segment) -> float:
            if segment.set_point_k is None:
                return (ROOM_K - k) / COOLING_S
            return (segment.set_point_k + segment.rate_k_per_s * after_s - k) / LAG_S

        for i in range(steps):
            middle = value + 0.5 * width * slope(i * width, value)
            value += width * slope((i + 0.5) * width, middle)
    return value


@pytest.mark.parametrize("at_s", [500.0, 9000.0, 12_000.0, 16_000.0, 40_000.0])
def test_closed_form_equals_the_integrated_equation(at_s: float) -> None:
    run, _ = programme(COLD, 100.0, 1273.15, 5.0 / 60.0, 3600.0)
    assert temperature_k(run, at_s) == pytest.approx(integrated(run, at_s), abs=0.01)


@settings(max_examples=50, deadline=None)
@given(st.floats(600.0, 1700.0), st.floats(1.0, 20.0), st.floats(0.0, 10.0), st.floats(0.0, 1.0))
def test_never_hotter_than_asked_never_jumping_and_cold_when_said(
    target_k: float, ramp: float, hold_h: float, share: float
) -> None:
    run, end = programme(COLD, 0.0, target_k, ramp / 60.0, hold_h * 3600.0)
    times = [end * 1.5 * i / 200 for i in range(201)]
    values = [temperature_k(run, t) for t in times]
    assert max(values) <= target_k + 1e-6
    assert min(values) >= ROOM_K - 1e-6
    for t, edge in ((s.start_s, s) for s in run.segments[1:]):
        assert temperature_k(run, t - 1e-6) == pytest.approx(temperature_k(run, t + 1e-6), abs=1e-3), edge
    cut = power_off(run, share * end)
    assert heated_until(cut, share * end + 1.0) is None
    cold = cold_at(cut, share * end, 323.15)
    assert temperature_k(cut, cold + 1.0) <= 323.15


def test_crucible_lags_behind_a_ramp_by_rate_times_time_constant() -> None:
    rate = 5.0 / 60.0
    run, _ = programme(COLD, 0.0, 1273.15, rate, 3600.0)
    late = 10 * LAG_S
    assert temperature_k(run, late) == pytest.approx(ROOM_K + rate * (late - LAG_S), abs=1e-3)
    assert math.isclose(heated_until(run, late) or 0.0, run.segments[-1].start_s)
