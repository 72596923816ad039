"""Balanced reactions: textbook ones, conservation, invariances, masses, refusals."""

from __future__ import annotations

import time
from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lodestone.tools.core.elements import split_words
from lodestone.tools.core.errors import ToolError
from lodestone.tools.lab.recipes.balance import Reaction, balance, powders_for, reactions_for
from lodestone.tools.lab.recipes.formulas import amounts_of, molar_mass

SHELF = split_words(
    "BaO BaO2 BaCO3 Ba(OH)2 Ba(NO3)2 BaCuO2 Y2O3 Y2Cu2O5 CuO Cu2O Cu(OH)2 TiO2 Li2CO3 LiOH LiNO3 MnO2 Mn2O3 "
    "MnCO3 Fe2O3 FeCO3 FePO4 NH4H2PO4 Li3PO4 Al2O3 MgO"
)
TARGETS = ("BaTiO3", "Ba2TiO4", "YBa2Cu3O7", "LiMn2O4", "LiFePO4", "MgAl2O4", "YAlO3")


def excess(reaction: Reaction) -> dict[str, Fraction]:
    """Left minus right, by element."""
    total: dict[str, Fraction] = {}
    terms = [*reaction.precursors, *((gas, -n) for gas, n in reaction.gases), (reaction.target, Fraction(-1))]
    for formula, number in terms:
        for symbol, n in amounts_of(formula).items():
            total[symbol] = total.get(symbol, Fraction(0)) + number * n
    return {symbol: n for symbol, n in total.items() if n}


@pytest.mark.parametrize(
    ("target", "precursors", "words"),
    [
        ("BaTiO3", ("BaCO3", "TiO2"), "BaCO3 + TiO2 -> BaTiO3 + CO2"),
        ("YBa2Cu3O6.5", ("Y2O3", "BaCO3", "CuO"), "2 BaCO3 + 3 CuO + 1/2 Y2O3 -> YBa2Cu3O6.5 + 2 CO2"),
        ("YBa2Cu3O7", ("Y2O3", "BaO2", "CuO"), "2 BaO2 + 3 CuO + 1/2 Y2O3 -> YBa2Cu3O7 + 3/4 O2"),
        ("LiMn2O4", ("LiOH", "MnO2"), "LiOH + 2 MnO2 -> LiMn2O4 + 1/4 O2 + 1/2 H2O"),
        ("LiFePO4", ("Li2CO3", "FeCO3", "NH4H2PO4"),
         "FeCO3 + 1/2 Li2CO3 + NH4H2PO4 -> LiFePO4 + 3/2 CO2 + 3/2 H2O + NH3"),
        ("BaTiO3", ("Ba(NO3)2", "TiO2"), "Ba(NO3)2 + TiO2 -> BaTiO3 + 1/2 O2 + 2 NO2"),
    ],
)  # fmt: skip
def test_textbook_reactions_balance(target: str, precursors: tuple[str, ...], words: str):
    assert str(balance(target, precursors)) == words


@pytest.mark.parametrize("target", TARGETS)
def test_every_reaction_conserves_every_element(target: str):
    found = reactions_for(target, SHELF)
    assert found
    assert all(not excess(reaction) for reaction in found)
    assert all(n > 0 for reaction in found for _, n in reaction.precursors)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(TARGETS), st.randoms(use_true_random=False))
def test_the_order_of_the_shelf_changes_nothing(target: str, random):
    shelf = list(SHELF)
    random.shuffle(shelf)
    assert reactions_for(target, shelf) == reactions_for(target, SHELF)


def test_the_order_of_precursors_changes_nothing():
    names = ("BaCO3", "Y2O3", "CuO")
    assert len({balance("YBa2Cu3O7", order) for order in permutations(names)}) == 1


def test_a_full_shelf_is_searched_well_within_a_second():
    begun = time.process_time()
    assert len(reactions_for("YBa2Cu3O7", SHELF)) > 30
    assert time.process_time() - begun < 1.0


def test_a_batch_weighs_what_the_target_and_its_gases_weigh():
    reaction = balance("BaTiO3", ("BaCO3", "TiO2"))
    powders = powders_for(reaction, 10.0)
    lost = 10.0 / molar_mass("BaTiO3") * molar_mass("CO2")
    assert sum(powder.mass_g for powder in powders) == pytest.approx(10.0 + lost)
    assert {powder.formula for powder in powders} == {"BaCO3", "TiO2"}


@given(st.floats(0.01, 1000.0), st.floats(0.01, 100.0))
def test_twice_the_batch_is_twice_of_each_powder(batch_g: float, factor: float):
    reaction = balance("LiMn2O4", ("Li2CO3", "MnO2"))
    small, large = powders_for(reaction, batch_g), powders_for(reaction, batch_g * factor)
    for one, other in zip(small, large, strict=True):
        assert other.mass_g == pytest.approx(one.mass_g * factor)


def test_what_cannot_be_balanced_is_refused():
    with pytest.raises(ToolError, match="cannot be balanced"):
        balance("BaTiO3", ("BaCO3", "Al2O3"))
    with pytest.raises(ToolError, match="cannot be balanced"):
        balance("BaTiO3", ("BaCO3", "BaO", "TiO2"))
    with pytest.raises(ToolError, match="other side"):
        balance("BaTiO3", ("Ba2TiO4", "BaO"))
    with pytest.raises(ToolError, match="precursors"):
        balance("BaTiO3", ())


@pytest.mark.parametrize("batch_g", [0.0, -1.0, float("nan"), float("inf")])
def test_a_batch_of_nothing_is_refused(batch_g: float):
    with pytest.raises(ToolError):
        powders_for(balance("BaTiO3", ("BaCO3", "TiO2")), batch_g)


def test_an_element_that_does_not_exist_is_refused():
    with pytest.raises(ToolError, match="no element"):
        balance("BaXxO3", ("BaCO3", "TiO2"))


def test_the_target_itself_is_no_precursor():
    assert all("BaTiO3" not in r.formulas for r in reactions_for("BaTiO3", ("BaTiO3", "BaCO3", "TiO2")))
