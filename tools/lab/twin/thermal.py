"""How hot a furnace truly is: first-order inertia behind a ramped set point, exact between events.

While heated, the chamber follows its set point S(t) = S0 + r t with dT/dt = (S - T) / tau, whose solution for a linear
ramp is T(t) = S(t) - r tau + (T0 - S0 + r tau) exp(-t / tau). Without power it follows Newton's law of cooling towards
the room. Temperatures in K, times in s, rates in K/s. What is not here: sensors, and what heat does to powders.
"""

from __future__ import annotations

import math
from itertools import pairwise

from ...core.types import Frozen

ROOM_K = 298.15
LAG_S = 120.0
"""Time constant between element and crucible of a small tube furnace."""
COOLING_S = 3600.0
"""Time constant of the unpowered furnace."""


class Segment(Frozen):
    """From a moment on: a set point that starts at a temperature and moves at a rate, or no power at all."""

    start_s: float
    set_point_k: float | None
    """None: no power."""
    rate_k_per_s: float = 0.0


class Run(Frozen):
    """A temperature at the first segment's start, and the segments since; the last one goes on for ever."""

    initial_k: float
    segments: tuple[Segment, ...]


COLD = Run(initial_k=ROOM_K, segments=(Segment(start_s=0.0, set_point_k=None),))


def _step(start_k: float, segment: Segment, seconds: float) -> float:
    if segment.set_point_k is None:
        return ROOM_K + (start_k - ROOM_K) * math.exp(-seconds / COOLING_S)
    rate = segment.rate_k_per_s
    behind = rate * LAG_S
    set_point = segment.set_point_k + rate * seconds
    return set_point - behind + (start_k - segment.set_point_k + behind) * math.exp(-seconds / LAG_S)


def temperature_k(run: Run, at_s: float) -> float:
    """The true temperature at a moment, not before the first segment."""
    value = run.initial_k
    for segment, after in pairwise(run.segments):
        if at_s <= after.start_s:
            return _step(value, segment, max(0.0, at_s - segment.start_s))
        value = _step(value, segment, after.start_s - segment.start_s)
    last = run.segments[-1]
    return _step(value, last, max(0.0, at_s - last.start_s))


def programme(run: Run, at_s: float, target_k: float, ramp_k_per_s: float, hold_s: float) -> tuple[Run, float]:
    """Ramp from the present temperature, hold, then power off.

    Returns:
        the run from now on, and when the hold ends. The hold begins when the set point arrives; the crucible is
        `LAG_S` behind by `ramp * LAG_S` kelvin at that moment.
    """
    now_k = temperature_k(run, at_s)
    ramp_s = abs(target_k - now_k) / ramp_k_per_s
    rate = math.copysign(ramp_k_per_s, target_k - now_k)
    end = at_s + ramp_s + hold_s
    segments = (
        Segment(start_s=at_s, set_point_k=now_k, rate_k_per_s=rate),
        Segment(start_s=at_s + ramp_s, set_point_k=target_k),
        Segment(start_s=end, set_point_k=None),
    )
    return Run(initial_k=now_k, segments=segments), end


def power_off(run: Run, at_s: float) -> Run:
    """The same furnace with its power cut at a moment."""
    return Run(initial_k=temperature_k(run, at_s), segments=(Segment(start_s=at_s, set_point_k=None),))


def heated_until(run: Run, at_s: float) -> float | None:
    """When the programme's power ends; None where it has none at this moment."""
    current = [segment for segment in run.segments if segment.start_s <= at_s]
    if not current or current[-1].set_point_k is None:
        return None
    return next((s.start_s for s in run.segments if s.start_s > at_s and s.set_point_k is None), math.inf)


def cold_at(run: Run, at_s: float, limit_k: float) -> float:
    """When an unpowered furnace falls below a limit, s."""
    now_k = temperature_k(run, at_s)
    if now_k <= limit_k:
        return at_s
    return at_s + COOLING_S * math.log((now_k - ROOM_K) / (limit_k - ROOM_K))
