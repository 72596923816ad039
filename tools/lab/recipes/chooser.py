"""Which recipe next: what a chooser is, the ranking by driving force alone, and the one that learns.

The learning one weighs three judgements: whether the heat is right (a model that is injected), whether the target is
stable in the atmosphere (thermodynamics and what was seen), and whether the precursors keep driving force for it
(`ranking.py`). What is not here: the model of heat (`surrogate.synthesis`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import erf, exp, sqrt
from typing import Final, Protocol

import numpy as np

from ...core.errors import ToolError
from ...core.synthesis import Atmosphere, Recipe
from .balance import Reaction
from .energies import Compound
from .formulas import amounts_of
from .gases import GAS_CONSTANT, oxygen_free_energy
from .melting import expected_k
from .outcomes import VOLATILE_ABOVE_K, Outcome, diagnose
from .pairs import PairBook
from .ranking import Path, Thermodynamics, follow
from .space import Conditions, RecipeSpace

ENERGY_ERROR_EV: Final = 0.025
"""Per atom; deviation of computed formation energies of oxides against each other (Hautier et al., Phys. Rev. B 85,
155208 (2012): 0.024)."""
ENOUGH_EV: Final = 0.03
"""Driving force per atom at the last step that is worth half of the highest: below some 0.05 reactions of solids are
slow (Szymanski et al., Nature 624, 86 (2023))."""
GRID_K: Final = 50.0
"""Thermodynamics is looked at in steps of this."""
POOL: Final = 600
"""Recipes that are weighed before one is chosen."""
STANDARD: Final = Conditions(1100.0, 12.0, "air", 30.0, 1)
VOLATILE_SPREAD_K: Final = 75.0
"""How sharp the limit of a volatile cation is."""
APART_K: Final = 100.0
"""Between recipes of one batch with the same precursors and gas."""
MELT_RANGE_K: Final = 400.0
"""How far below a melt the limit may lie before anything stayed solid."""
LEVELS_K: Final = (1100.0, 1300.0, 900.0, 1500.0, 700.0)
"""Temperatures of a screening, from the usual one outwards."""


class Chooser(Protocol):
    """Decides what to make next from what came out before."""

    def tell(self, outcome: Outcome) -> None:
        """One recipe that was carried out, and what it gave."""

    def ask(self, n: int) -> list[Recipe]:
        """The next recipes, at most `n`, the best first; none twice; empty where nothing is left to try."""


class HeatModel(Protocol):
    """Learns how severe a recipe is: -1 far too mild, 0 right, +1 far too harsh (`outcomes.Diagnosis`)."""

    def tell(self, target: str, precursors: Sequence[str], conditions: np.ndarray, severity: float) -> None:
        """One outcome; conditions as `heat_features`."""

    def chances(self, target: str, precursors: Sequence[Sequence[str]], conditions: np.ndarray) -> np.ndarray:
        """Probability that each of `m` recipes is neither too mild nor too harsh; conditions are `m x 4`."""


def heat_features(conditions: Conditions, target: str) -> np.ndarray:
    """Temperature beyond what a target is expected to want (100 K), binary logarithms of the hours at it and of the
    minutes of milling (one added), regrinds."""
    beyond = (conditions.temperature_k - expected_k(target)) / 100.0
    hours = conditions.hold_h * (1 + conditions.regrinds)
    return np.array([beyond, np.log2(hours), np.log2(1.0 + conditions.mill_min), conditions.regrinds])


class ThermodynamicChooser:
    """Ranks precursors by the driving force to the target and screens each set over temperature; learns nothing."""

    def __init__(self, space: RecipeSpace, compounds: Sequence[Compound]) -> None:
        self._space = space
        self._thermodynamics = Thermodynamics(compounds)
        self._waiting = self._plan()

    def tell(self, outcome: Outcome) -> None:
        """See `Chooser.tell`; refuses another target, and otherwise changes nothing."""
        _check_target(self._space, outcome)

    def ask(self, n: int) -> list[Recipe]:
        """See `Chooser.ask`."""
        taken, self._waiting = self._waiting[:n], self._waiting[n:]
        return taken

    def _plan(self) -> list[Recipe]:
        space, book = self._space, PairBook()
        middle = STANDARD.temperature_k
        stable = {a: self._thermodynamics.instability(space.target, middle, a) for a in space.atmospheres}
        order = sorted(space.atmospheres, key=lambda a: (stable[a], space.atmospheres.index(a)))
        paths = [(follow(r, book, self._thermodynamics, middle, order[0]).total_ev, r) for r in space.reactions]
        ranked = [r for _, r in sorted(paths, key=lambda row: (row[0], row[1].formulas))]
        return [
            space.recipe(
                reaction,
                space.clipped(Conditions(kelvin, STANDARD.hold_h, atmosphere, STANDARD.mill_min, STANDARD.regrinds)),
            )
            for atmosphere, reaction, kelvin in product(order, ranked, LEVELS_K)
        ]


class LearningChooser:
    """Learns pairwise reactions, heat and atmosphere from each outcome.

    Args:
        space: what may be tried.
        compounds: the target, the precursors and everything that may form instead.
        book: pairwise reactions seen so far, for other targets too; it is added to.
        heat: model of heat; one for all targets carries over what it learned.
        seed: of the pool of recipes that is weighed.
    """

    def __init__(
        self, space: RecipeSpace, compounds: Sequence[Compound], book: PairBook, heat: HeatModel, seed: int = 0
    ) -> None:
        self._space = space
        self._thermodynamics = Thermodynamics(compounds)
        missing = [
            name
            for reaction in space.reactions
            for name in (reaction.target, *reaction.formulas)
            if name not in self._thermodynamics.compounds
        ]
        if missing:
            raise ToolError(f"No energy of {', '.join(sorted(set(missing)))}.", "Give a compound for each.")
        self._book = book
        self._heat = heat
        self._rng = np.random.default_rng(seed)
        self._oxygen: list[tuple[float, float]] = []
        self._melts: list[tuple[float, bool, tuple[str, ...]]] = []
        self._tried: set[str] = set()
        self._failed: dict[tuple[str, ...], int] = {}
        self._stability: dict[tuple[float, Atmosphere], float] = {}

    def tell(self, outcome: Outcome) -> None:
        """See `Chooser.tell`."""
        _check_target(self._space, outcome)
        recipe = outcome.recipe
        diagnosis = diagnose(outcome)
        self._book.learn(outcome)
        self._tried.add(recipe.digest())
        precursors = tuple(sorted(powder.formula for powder in recipe.powders))
        conditions = Conditions(
            recipe.temperature_k, recipe.hold_h, recipe.atmosphere, recipe.mill_min, recipe.regrinds
        )
        potential = oxygen_free_energy(recipe.temperature_k, recipe.atmosphere)
        if diagnosis.oxygen:
            self._oxygen.append((potential, diagnosis.oxygen))
        self._melts.append((recipe.temperature_k, outcome.stuck, precursors))
        # A melt is a matter of temperature alone, and what lost or took up oxygen tells of the atmosphere.
        if not (outcome.stuck or diagnosis.oxygen):
            self._heat.tell(
                self._space.target, precursors, heat_features(conditions, self._space.target), diagnosis.severity
            )
        self._failed[precursors] = self._failed.get(precursors, 0) + 1

    def ask(self, n: int) -> list[Recipe]:
        """See `Chooser.ask`."""
        pool = [
            (self._space.reactions[int(self._rng.integers(len(self._space.reactions)))], self._space.draw(self._rng))
            for _ in range(POOL)
        ]
        features = np.array([heat_features(conditions, self._space.target) for _, conditions in pool])
        heat = self._heat.chances(self._space.target, [reaction.formulas for reaction, _ in pool], features)
        paths: dict[tuple[tuple[str, ...], float, Atmosphere], Path] = {}
        scores = np.array(
            [
                chance
                * self._stays(conditions)
                * self._solid(reaction, conditions)
                * self._keeps(conditions)
                * self._drives(reaction, conditions, paths)
                for chance, (reaction, conditions) in zip(heat, pool, strict=True)
            ]
        )
        chosen: list[Recipe] = []
        taken: list[tuple[tuple[str, ...], Conditions]] = []
        for index in np.argsort(-scores, kind="stable"):
            reaction, conditions = pool[index]
            recipe = self._space.recipe(reaction, conditions)
            if len(chosen) == n:
                break
            if recipe.digest() not in self._tried and not _repeats(reaction, conditions, taken):
                chosen.append(recipe)
                taken.append((reaction.formulas, conditions))
        return chosen

    def reasons(self, recipe: Recipe) -> str:
        """What speaks for a recipe, in words."""
        precursors = tuple(sorted(powder.formula for powder in recipe.powders))
        reaction = next(r for r in self._space.reactions if r.formulas == precursors)
        conditions = Conditions(
            recipe.temperature_k, recipe.hold_h, recipe.atmosphere, recipe.mill_min, recipe.regrinds
        )
        features = heat_features(conditions, recipe.target)
        heat = float(self._heat.chances(recipe.target, [precursors], features[None, :])[0])
        path = follow(reaction, self._book, self._thermodynamics, _on_grid(recipe.temperature_k), recipe.atmosphere)
        words = [
            f"heat is right with chance {heat:.2f}",
            f"{recipe.target} stays in {recipe.atmosphere} with chance {self._stays(conditions):.2f}",
            f"{-path.left_ev:.3f} eV/atom are left for it at the last step",
        ]
        if path.stalled:
            words.append("an intermediate of these powders was seen to stick")
        if (melts := self._solid(reaction, conditions)) < 0.9:
            words.append(f"stays solid with chance {melts:.2f}")
        if (keeps := self._keeps(conditions)) < 0.9:
            words.append(f"volatile elements stay with chance {keeps:.2f}")
        return "; ".join(words)

    def _stays(self, conditions: Conditions) -> float:
        """Chance that the target is stable in this atmosphere at this temperature, after what oxygen did so far."""
        kelvin = _on_grid(conditions.temperature_k)
        key = (kelvin, conditions.atmosphere)
        if key not in self._stability:
            self._stability[key] = self._thermodynamics.instability(self._space.target, *key)
        chance = 1.0 - 0.9 * _normal((self._stability[key] - ENERGY_ERROR_EV) / ENERGY_ERROR_EV)
        potential = oxygen_free_energy(conditions.temperature_k, conditions.atmosphere)
        scale = 10.0 * GAS_CONSTANT * conditions.temperature_k
        for seen, drift in self._oxygen:
            # Oxidised there: only a lower potential is better; reduced there: only a higher one.
            away = (seen - potential) / scale if drift > 0.0 else (potential - seen) / scale
            chance *= 0.1 + 0.9 * (1.0 - exp(-max(away, 0.0)))
        return chance

    def _solid(self, reaction: Reaction, conditions: Conditions) -> float:
        """Chance that it does not melt: its limit lies evenly between what stayed solid and what did not. What melted
        colder than others stayed solid was a precursor's doing, and counts for these precursors alone."""
        solid = max((kelvin for kelvin, stuck, _ in self._melts if not stuck), default=0.0)
        limits = [
            kelvin for kelvin, stuck, names in self._melts if stuck and (kelvin > solid or names == reaction.formulas)
        ]
        if not limits:
            return 1.0
        limit, kelvin = min(limits), conditions.temperature_k
        # Before anything stayed solid the limit may be anywhere in some hundred kelvin.
        known = max(min(solid, limit), limit - MELT_RANGE_K)
        share = (limit - kelvin) / max(limit - known, 1.0)
        return 0.05 + 0.95 * min(max(share, 0.0), 1.0)

    def _keeps(self, conditions: Conditions) -> float:
        """Chance that volatile cations stay, by rule of thumb."""
        limits = [VOLATILE_ABOVE_K[e] for e in amounts_of(self._space.target) if e in VOLATILE_ABOVE_K]
        if not limits:
            return 1.0
        beyond = (conditions.temperature_k - min(limits)) / VOLATILE_SPREAD_K
        return 1.0 - 0.9 * _normal(beyond)

    def _drives(
        self,
        reaction: Reaction,
        conditions: Conditions,
        paths: dict[tuple[tuple[str, ...], float, Atmosphere], Path],
    ) -> float:
        """Worth of the driving force that these precursors keep for the target."""
        key = (reaction.formulas, _on_grid(conditions.temperature_k), conditions.atmosphere)
        if key not in paths:
            paths[key] = follow(reaction, self._book, self._thermodynamics, *key[1:])
        path = paths[key]
        spread = ENERGY_ERROR_EV
        worth = _normal((-path.left_ev - ENOUGH_EV) / sqrt(spread**2 + ENOUGH_EV**2))
        if path.stalled:
            worth *= 0.5
        return (0.1 + 0.9 * worth) * 0.9 ** self._failed.get(reaction.formulas, 0)


def _repeats(reaction: Reaction, conditions: Conditions, taken: Sequence[tuple[tuple[str, ...], Conditions]]) -> bool:
    """Whether a recipe would teach what another of the same batch teaches."""
    return any(
        names == reaction.formulas
        and other.atmosphere == conditions.atmosphere
        and abs(other.temperature_k - conditions.temperature_k) < APART_K
        for names, other in taken
    )


def _on_grid(temperature_k: float) -> float:
    return round(temperature_k / GRID_K) * GRID_K


def _normal(deviations: float) -> float:
    return 0.5 * (1.0 + erf(deviations / sqrt(2.0)))


def _check_target(space: RecipeSpace, outcome: Outcome) -> None:
    if outcome.recipe.target != space.target:
        raise ToolError(
            f"An outcome for {outcome.recipe.target} was told to the chooser of {space.target}.",
            "Keep one chooser for each target; what carries over is in the shared book and model.",
        )
