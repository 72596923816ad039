"""A recipe from spatula to product, in the twin: weighed, milled, heated, and as often reground.

What is not here: the chemistry (`chemistry.py`), and the devices that take these steps one by one.
"""

from __future__ import annotations

from math import ceil
from typing import Final

from ...core.errors import ToolError
from ...core.synthesis import Atmosphere, Recipe
from .chemistry import Chemistry, Contents, Segment, fresh, heated, milled, reground

ROOM_K: Final = 300.0
STEP_K: Final = 40.0
"""Ramps are stairs of at most this height."""


def ramp(from_k: float, to_k: float, k_per_min: float, atmosphere: Atmosphere) -> tuple[Segment, ...]:
    """Stairs from one temperature to another, each at its middle, up or down."""
    if not k_per_min > 0.0:
        raise ToolError(f"A ramp of {k_per_min} K/min.", "Give a rate above zero.")
    count = ceil(abs(to_k - from_k) / STEP_K)
    hours = abs(to_k - from_k) / k_per_min / 60.0 / max(count, 1)
    return tuple(Segment(from_k + (to_k - from_k) * (i + 0.5) / count, hours, atmosphere) for i in range(count))


def programme(recipe: Recipe) -> tuple[Segment, ...]:
    """One heating of a recipe: up, hold, and down at the same rate."""
    up = ramp(ROOM_K, recipe.temperature_k, recipe.ramp_k_per_min, recipe.atmosphere)
    down = ramp(recipe.temperature_k, ROOM_K, recipe.ramp_k_per_min, recipe.atmosphere)
    return (*up, Segment(recipe.temperature_k, recipe.hold_h, recipe.atmosphere), *down)


def made(chemistry: Chemistry, recipe: Recipe) -> Contents:
    """What a recipe leaves in the crucible. A product that sticks is not ground again."""
    contents = milled(fresh(recipe.powders), recipe.mill_min)
    heating = programme(recipe)
    contents = heated(chemistry, contents, heating)
    for _ in range(recipe.regrinds):
        if contents.stuck:
            break
        contents = heated(chemistry, reground(contents), heating)
    return contents
