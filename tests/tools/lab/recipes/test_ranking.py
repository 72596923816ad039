"""Learning from failures: pairs, paths, rankings."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lodestone.tools.core.errors import ToolError
from lodestone.tools.core.synthesis import Powder, Recipe
from lodestone.tools.lab.recipes.balance import balance, reactions_for
from lodestone.tools.lab.recipes.energies import Compound
from lodestone.tools.lab.recipes.gases import KJ_PER_EV
from lodestone.tools.lab.recipes.outcomes import Outcome, diagnose
from lodestone.tools.lab.recipes.pairs import PairBook, PairSeen, observed_pairs
from lodestone.tools.lab.recipes.ranking import Thermodynamics, follow, rank

# kJ/mol and J/(mol K) as in the CRC Handbook and in Kubaschewski, Alcock & Spencer; the last two made up.
SOLIDS = {
    "BaO": (-548.0, 72.1), "BaO2": (-634.3, 80.0), "BaCO3": (-1213.0, 112.1), "TiO2": (-944.0, 50.6),
    "BaTiO3": (-1659.8, 107.9), "Ba2TiO4": (-2243.0, 196.6), "BaTi2O5": (-2612.0, 159.0),
}  # fmt: skip


def known() -> Thermodynamics:
    from lodestone.tools.lab.recipes.formulas import atom_count

    return Thermodynamics(
        Compound(
            formula=name,
            formation_energy_ev_per_atom=enthalpy / KJ_PER_EV / atom_count(name),
            entropy_j_per_mol_k=entropy,
        )
        for name, (enthalpy, entropy) in SOLIDS.items()
    )


def outcome(
    target: str, powders: tuple[str, ...], weights: dict[str, float], kelvin: float = 1100.0, **more
) -> Outcome:
    recipe = Recipe(
        template="solid_state", target=target, powders=tuple(Powder(formula=p, mass_g=1.0) for p in powders),
        temperature_k=kelvin, hold_h=8.0, ramp_k_per_min=5.0, atmosphere="air",
    )  # fmt: skip
    return Outcome(recipe=recipe, weight_fractions=weights, **more)


def test_what_only_one_pair_can_make_tells_of_that_pair():
    seen = observed_pairs(
        outcome("YBa2Cu3O7", ("BaCO3", "CuO", "Y2O3"), {"BaCuO2": 0.6, "Y2O3": 0.2, "CuO": 0.15, "BaCO3": 0.05})
    )
    assert PairSeen(("BaCO3", "CuO"), 1100.0, "air", ("BaCuO2",)) in seen
    assert PairSeen(("CuO", "Y2O3"), 1100.0, "air", ()) in seen
    assert not any(s.pair == ("BaCO3", "CuO") and not s.products for s in seen)


def test_an_ambiguous_product_tells_of_no_pair():
    seen = observed_pairs(outcome("YBa2Cu3O7", ("BaCO3", "BaO2", "CuO"), {"BaCuO2": 1.0}))
    assert seen == ()


@given(st.permutations([(900.0, ("BaTiO3",)), (800.0, ("Ba2TiO4",)), (700.0, ()), (650.0, ())]))
def test_a_book_does_not_care_for_the_order_of_entries(rows):
    book = PairBook(PairSeen(("BaCO3", "TiO2"), kelvin, "air", products) for kelvin, products in rows)
    assert book.onset(("BaCO3", "TiO2"), "air") == (800.0, ("Ba2TiO4",))
    assert book.inert_up_to(("BaCO3", "TiO2"), "air") == 700.0
    assert book.onset(("BaCO3", "TiO2"), "argon") is None


def test_an_intermediate_takes_driving_force_away():
    reaction, energies = balance("BaTiO3", ("BaO", "TiO2")), known()
    before = follow(reaction, PairBook(), energies, 1100.0, "air")
    book = PairBook([PairSeen(("BaO", "TiO2"), 1000.0, "air", ("Ba2TiO4",))])
    after = follow(reaction, book, energies, 1100.0, "air")
    assert before.left_ev == pytest.approx(before.total_ev)
    assert before.total_ev < after.left_ev < 0.0
    assert dict(after.mixture) == pytest.approx({"Ba2TiO4": 0.5, "TiO2": 0.5})
    # Seen hotter than it is to be heated: not yet.
    assert follow(reaction, book, energies, 900.0, "air") == follow(reaction, PairBook(), energies, 900.0, "air")


def test_total_driving_force_is_that_of_the_balanced_reaction():
    from lodestone.tools.lab.recipes.energies import driving_force

    energies = known()
    for reaction in reactions_for("Ba2TiO4", SOLIDS):
        path = follow(reaction, PairBook(), energies, 1200.0, "air")
        assert path.total_ev == pytest.approx(driving_force(reaction, energies.compounds, 1200.0, "air"))


def test_precursors_whose_intermediates_are_known_to_stick_come_last():
    energies, reactions = known(), reactions_for("BaTiO3", ("BaO", "BaCO3", "TiO2"))
    fresh = [r.formulas for r, _ in rank(reactions, PairBook(), energies, 1100.0, "air")]
    assert fresh[0] == ("BaO", "TiO2")
    book = PairBook(
        [
            PairSeen(("BaO", "TiO2"), 900.0, "air", ("Ba2TiO4",)),
            PairSeen(("Ba2TiO4", "TiO2"), 1200.0, "air", ()),
        ]
    )
    taught = rank(reactions, book, energies, 1100.0, "air")
    assert taught[0][0].formulas == ("BaCO3", "TiO2")
    assert taught[-1][1].stalled
    # Hotter than it was seen to stick, it may go.
    assert not any(path.stalled for _, path in rank(reactions, book, energies, 1300.0, "air"))


def test_what_one_target_taught_serves_the_next():
    book = PairBook()
    book.learn(outcome("Ba2TiO4", ("BaO", "TiO2"), {"BaTi2O5": 0.6, "BaO": 0.4}, kelvin=900.0))
    path = follow(balance("BaTiO3", ("BaO", "TiO2")), book, known(), 1000.0, "air")
    assert path.total_ev < path.left_ev < 0.0


def test_the_order_of_reactions_changes_no_ranking():
    reactions = reactions_for("BaTiO3", ("BaO", "BaO2", "BaCO3", "TiO2"))
    rankings = {
        tuple(r.formulas for r, _ in rank(order, PairBook(), known(), 1000.0, "air"))
        for order in permutations(reactions)
    }
    assert len(rankings) == 1


def test_the_wanted_interface_is_the_most_exergonic():
    wanted = known().interface(("BaO", "TiO2"), 1000.0, "air")
    assert dict(wanted.products).keys() == {"BaTiO3"}
    assert wanted.drive_ev > 0.1


@pytest.mark.parametrize(
    ("weights", "stuck", "sign", "oxygen"),
    [
        ({"LiMn2O4": 1.0}, False, 0, 0),
        ({"LiMn2O4": 0.3, "Li2CO3": 0.2, "Mn2O3": 0.5}, False, -1, 0),
        ({"Mn3O4": 0.9, "LiMn2O4": 0.1}, False, 1, 0),
        ({"LiMnO2": 0.55, "Mn3O4": 0.45}, False, 1, -1),
        ({}, True, 1, 0),
    ],
)
def test_remains_tell_of_heat_and_gas(weights: dict[str, float], stuck: bool, sign: int, oxygen: int):
    said = diagnose(outcome("LiMn2O4", ("Li2CO3", "MnO2"), weights, stuck=stuck))
    assert (said.severity > 0) - (said.severity < 0) == sign
    assert (said.oxygen > 0) - (said.oxygen < 0) == oxygen


def test_fractions_beyond_the_whole_are_refused():
    with pytest.raises(ValueError, match="sum to"):
        outcome("BaTiO3", ("BaO", "TiO2"), {"BaO": 0.7, "TiO2": 0.7})


def test_unknown_solids_in_the_book_do_no_harm():
    book = PairBook([PairSeen(("BaO", "TiO2"), 900.0, "air", ("BaTi5O11",))])
    assert follow(balance("BaTiO3", ("BaO", "TiO2")), book, known(), 1000.0, "air").left_ev < 0.0


def test_an_unbalanced_recipe_has_no_ranking():
    with pytest.raises(ToolError):
        rank([balance("BaTiO3", ("BaO", "CuO"))], PairBook(), known(), 1000.0, "air")
