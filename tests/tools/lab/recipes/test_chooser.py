"""Choosers: no recipe twice, limits kept, deterministic, learning where to go."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from lodestone.tools.core.errors import ToolError
from lodestone.tools.core.synthesis import Recipe
from lodestone.tools.lab.recipes.balance import reactions_for
from lodestone.tools.lab.recipes.chooser import Chooser, LearningChooser, ThermodynamicChooser, heat_features
from lodestone.tools.lab.recipes.energies import Compound
from lodestone.tools.lab.recipes.melting import expected_k
from lodestone.tools.lab.recipes.outcomes import Outcome
from lodestone.tools.lab.recipes.pairs import PairBook
from lodestone.tools.lab.recipes.space import Conditions, RecipeSpace

COMPOUNDS = [
    Compound(formula=name, formation_energy_ev_per_atom=energy, volume_a3_per_atom=volume)
    for name, energy, volume in (
        ("BaO", -2.84, 21.0), ("BaCO3", -2.51, 15.3), ("TiO2", -3.26, 10.4),
        ("BaTiO3", -3.44, 12.9), ("Ba2TiO4", -3.32, 17.6), ("BaTi2O5", -3.38, 12.6),
    )
]  # fmt: skip


class FlatHeat:
    """Knows nothing; remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[float] = []

    def tell(self, target, precursors, conditions, severity) -> None:
        self.told.append(severity)

    def chances(self, target, precursors, conditions) -> np.ndarray:
        return np.ones(len(conditions))


def space() -> RecipeSpace:
    return RecipeSpace(reactions_for("BaTiO3", ("BaO", "BaCO3", "TiO2")), temperature_k=(800.0, 1500.0))


def learner(seed: int = 0, book: PairBook | None = None) -> LearningChooser:
    return LearningChooser(space(), COMPOUNDS, PairBook() if book is None else book, FlatHeat(), seed)


def failed(recipe: Recipe, **weights: float) -> Outcome:
    return Outcome(recipe=recipe, weight_fractions=weights)


@pytest.mark.parametrize("make", [learner, lambda: ThermodynamicChooser(space(), COMPOUNDS)])
def test_recipes_keep_the_limits_and_none_comes_twice(make):
    chooser: Chooser = make()
    seen = []
    for _ in range(4):
        for recipe in chooser.ask(3):
            assert 800.0 <= recipe.temperature_k <= 1500.0
            assert recipe.target == "BaTiO3"
            seen.append(recipe.digest())
            chooser.tell(failed(recipe, TiO2=0.4, BaCO3=0.6))
    assert len(seen) == len(set(seen)) == 12


def test_the_same_seed_asks_for_the_same():
    assert learner(3).ask(5) == learner(3).ask(5) != learner(4).ask(5)


def test_a_screening_ends_when_all_was_tried():
    chooser = ThermodynamicChooser(space(), COMPOUNDS)
    everything = chooser.ask(10_000)
    assert everything
    assert chooser.ask(1) == []
    assert everything[0].temperature_k == 1100.0


def test_a_batch_does_not_ask_the_same_thing_twice():
    batch = learner().ask(8)
    assert len(batch) == 8
    for one, other in combinations(batch, 2):
        alike = one.atmosphere == other.atmosphere and [p.formula for p in one.powders] == [
            p.formula for p in other.powders
        ]
        assert not alike or abs(one.temperature_k - other.temperature_k) >= 100.0


def test_what_melted_is_not_heated_as_hot_again():
    chooser = learner()
    hot = next(r for r in chooser.ask(40) if r.temperature_k < 1200.0)
    chooser.tell(Outcome(recipe=hot, stuck=True))
    assert all(recipe.temperature_k < hot.temperature_k for recipe in chooser.ask(3))


def test_what_was_reduced_gets_more_oxygen():
    chooser = learner()
    poor = next(r for r in chooser.ask(40) if r.atmosphere == "argon")
    # BaTiO3 cannot lose oxygen; these solids stand for one that did.
    chooser.tell(failed(poor, BaO=0.1, TiO=0.9))
    assert all(recipe.atmosphere in ("air", "oxygen") for recipe in chooser.ask(3))


def test_failures_are_told_to_the_model_of_heat_unless_they_melted():
    heat = FlatHeat()
    chooser = LearningChooser(space(), COMPOUNDS, PairBook(), heat)
    first, second = chooser.ask(2)
    chooser.tell(failed(first, TiO2=0.4, BaO=0.6))
    chooser.tell(Outcome(recipe=second, stuck=True))
    assert heat.told == [-1.0]


def test_a_wrong_target_is_refused():
    recipe = learner().ask(1)[0].model_copy(update={"target": "CaTiO3"})
    for chooser in (learner(), ThermodynamicChooser(space(), COMPOUNDS)):
        with pytest.raises(ToolError, match="CaTiO3"):
            chooser.tell(Outcome(recipe=recipe))


def test_a_precursor_without_energy_is_refused():
    with pytest.raises(ToolError, match="BaCO3"):
        LearningChooser(space(), [c for c in COMPOUNDS if c.formula != "BaCO3"], PairBook(), FlatHeat())


def test_an_impossible_space_is_refused():
    reactions = space().reactions
    with pytest.raises(ToolError, match="No reaction"):
        RecipeSpace(())
    with pytest.raises(ToolError, match="ranges"):
        RecipeSpace(reactions, temperature_k=(1500.0, 800.0))
    with pytest.raises(ToolError, match="atmosphere"):
        RecipeSpace(reactions, atmospheres=())
    with pytest.raises(ToolError, match="different targets"):
        RecipeSpace((*reactions, *reactions_for("Ba2TiO4", ("BaO", "TiO2"))))


def test_regrinding_counts_as_time():
    one = heat_features(Conditions(expected_k("BaTiO3") + 100.0, 8.0, "air", 15.0, 1), "BaTiO3")
    assert one == pytest.approx([1.0, 4.0, 4.0, 1.0])
