"""Recipes that may be tried for a target: reactions times conditions, each inside an approved template's limits.

What is not here: which of them is tried (`chooser.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...core.errors import ToolError
from ...core.synthesis import Atmosphere, Recipe
from .balance import Reaction, powders_for


@dataclass(frozen=True)
class Conditions:
    """All of a recipe but its powders."""

    temperature_k: float
    hold_h: float
    atmosphere: Atmosphere
    mill_min: float
    regrinds: int


@dataclass(frozen=True)
class RecipeSpace:
    """Reactions of one target and the ranges of their conditions."""

    reactions: tuple[Reaction, ...]
    template: str = "solid_state"
    """Approved template, for every gas that has none in `templates`."""
    templates: tuple[tuple[Atmosphere, str], ...] = ()
    """Gas and the approved template that allows it."""
    temperature_k: tuple[float, float] = (600.0, 1700.0)
    hold_h: tuple[float, float] = (1.0, 48.0)
    atmospheres: tuple[Atmosphere, ...] = ("air", "oxygen", "argon", "hydrogen_argon")
    mill_min: tuple[float, float] = (0.0, 60.0)
    regrinds: tuple[int, int] = (0, 2)
    ramp_k_per_min: float = 5.0
    batch_g: float = 5.0

    def __post_init__(self) -> None:
        if not self.reactions:
            raise ToolError("No reaction makes the target from the powders at hand.", "Offer other powders.")
        if len({reaction.target for reaction in self.reactions}) > 1:
            raise ToolError("The reactions have different targets.", "Make one space for each target.")
        ranges: Sequence[tuple[float, float]] = (self.temperature_k, self.hold_h, self.mill_min, self.regrinds)
        if any(not low <= high for low, high in ranges) or min(self.temperature_k[0], self.hold_h[0]) <= 0.0:
            raise ToolError(f"Empty or impossible ranges of conditions: {ranges}.", "Give (lowest, highest).")
        if not self.atmospheres:
            raise ToolError("No atmosphere is allowed.", "Name at least one.")

    @property
    def target(self) -> str:
        """Its formula."""
        return self.reactions[0].target

    def draw(self, rng: np.random.Generator) -> Conditions:
        """By lot: temperature, milling and regrinds evenly, time evenly in its logarithm."""
        low, high = np.log(self.hold_h)
        return Conditions(
            temperature_k=round(float(rng.uniform(*self.temperature_k)) / 10.0) * 10.0,
            hold_h=round(float(np.exp(rng.uniform(low, high))), 1),
            atmosphere=self.atmospheres[int(rng.integers(len(self.atmospheres)))],
            mill_min=round(float(rng.uniform(*self.mill_min))),
            regrinds=int(rng.integers(self.regrinds[0], self.regrinds[1] + 1)),
        )

    def clipped(self, conditions: Conditions) -> Conditions:
        """The nearest that is allowed; an atmosphere that is not becomes the first."""
        return replace(
            conditions,
            temperature_k=min(max(conditions.temperature_k, self.temperature_k[0]), self.temperature_k[1]),
            hold_h=min(max(conditions.hold_h, self.hold_h[0]), self.hold_h[1]),
            mill_min=min(max(conditions.mill_min, self.mill_min[0]), self.mill_min[1]),
            regrinds=min(max(conditions.regrinds, self.regrinds[0]), self.regrinds[1]),
            atmosphere=conditions.atmosphere if conditions.atmosphere in self.atmospheres else self.atmospheres[0],
        )

    def recipe(self, reaction: Reaction, conditions: Conditions) -> Recipe:
        """With what to weigh."""
        return Recipe(
            template=dict(self.templates).get(conditions.atmosphere, self.template),
            target=self.target,
            powders=powders_for(reaction, self.batch_g),
            temperature_k=conditions.temperature_k,
            hold_h=conditions.hold_h,
            ramp_k_per_min=self.ramp_k_per_min,
            atmosphere=conditions.atmosphere,
            mill_min=conditions.mill_min,
            regrinds=conditions.regrinds,
        )
