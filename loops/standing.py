"""How measured crystals stand by the goal: what was asked for, keeps the limits, is the best, counts as found."""

from __future__ import annotations

import heapq
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..tools.core.eligibility import amounts_of, composition_misfit, structure_misfit
from ..tools.core.types import GoalSpec, Quantity
from .compromise import front
from .geometry import formula_amounts

if TYPE_CHECKING:
    from .knowledge import Measured, PoolMember

PROJECT = "materials project"
"""What the report names as the origin of phases that were fetched: crystals that are known already."""


class Standing(ABC):
    """The half of `Knowledge` that judges by the goal."""

    goal: GoalSpec

    @property
    @abstractmethod
    def measured(self) -> list[Measured]:
        """Finished candidate evaluations in the order of their reservation."""

    def in_space(self, formula: str) -> bool:
        """Whether a composition is one that the goal asks for; fetched phases may only be there to bound the hull."""
        reduced = {symbol: round(n) for symbol, n in formula_amounts(formula)}
        return not composition_misfit(self.goal.space, reduced, formula)

    def is_asked_for(self, member: PoolMember) -> bool:
        """Whether a crystal is one that the goal asks for: in composition, structure, and novelty."""
        if self.goal.novel and member.candidate.provenance.generator == PROJECT:
            return False
        if not self.in_space(member.candidate.formula):
            return False
        wish = self.goal.structure
        return wish.is_open or not structure_misfit(
            wish, member.recognition, amounts_of(member.relaxation.crystal.species)
        )

    def meets_goal(self, values: dict[str, Quantity]) -> bool:
        """Whether every constraint holds on measured values (a missing value does not hold)."""
        return bool(values) and all(
            c.property in values and c.holds(values[c.property].value) for c in self.goal.constraints
        )

    @cached_property
    def _spreads(self) -> tuple[float, ...]:
        """What one unit of each objective's loss is: its standard deviation over what was measured, so that weights
        compare eV with g/cm³; 1 for a single objective, and before there are values that differ."""
        objectives = self.goal.objectives
        if len(objectives) < 2:
            return (1.0,)
        found = []
        for o in objectives:
            known = [o.loss(m.values[o.property].value) for m in self.measured if o.property in m.values]
            spread = float(np.std(known)) if known else 0.0
            found.append(spread if spread > 1e-9 else 1.0)
        return tuple(found)

    def rank(self, values: dict[str, Quantity]) -> float:
        """Weighted objective, each in units of its spread; lower is better, infinite where a value is missing."""
        total = 0.0
        for objective, spread in zip(self.goal.objectives, self._spreads, strict=True):
            if objective.property not in values:
                return float("inf")
            total += objective.weight * objective.loss(values[objective.property].value) / spread
        return total

    def best(self) -> Measured | None:
        """The best measured crystal: those that meet the goal first, then by the objective."""
        done = [m for m in self.measured if m.values and self.is_asked_for(m.member)]
        return min(done, key=self._order, default=None)

    def ranked(self, count: int) -> list[Measured]:
        """The best measured crystals, in order."""
        done = [m for m in self.measured if m.values and self.is_asked_for(m.member)]
        return heapq.nsmallest(count, done, key=self._order)

    def _order(self, m: Measured) -> tuple[bool, float, float, int]:
        """Meets the goal, then the objective; several phases on one hull by formation energy, then by age."""
        energy = m.values.get("formation_energy")
        return (
            not self.meets_goal(m.values),
            round(self.rank(m.values), 9),
            energy.value if energy else 0.0,
            m.entry.position,
        )

    def fitting(self) -> list[Measured]:
        """Measured crystals of the kind that is asked for that keep every constraint."""
        return [m for m in self.measured if m.values and self.is_asked_for(m.member) and self.meets_goal(m.values)]

    def hits(self) -> list[Measured]:
        """Measured crystals that count as found: all that keep every constraint; without constraints those on the
        hull for a goal of stability, and the single best for any other goal. Of compromises, those that none beats."""
        done = [m for m in self.measured if m.values and self.is_asked_for(m.member)]
        fitting = self.fitting()
        if self.goal.tradeoff == "pareto":
            return front(self.goal, fitting)
        if self.goal.constraints:
            return fitting
        if self.goal.objectives[0].property in ("energy_above_hull", "formation_energy"):
            return [m for m in done if "energy_above_hull" in m.values and m.values["energy_above_hull"].value <= 1e-6]
        best = self.best()
        return [] if best is None else [best]
