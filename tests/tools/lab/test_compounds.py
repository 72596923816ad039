"""The driver's and the twin's knowledge of compounds were written apart and have to agree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lodestone.tools.lab.compounds import amounts, clash, dangers, is_oxidiser
from lodestone.tools.lab.twin.hazards import oxidises, why_not_heated, why_not_together

OXIDISERS = (
    "KNO3",
    "Ba(NO3)2",
    "La(NO3)3",
    "KClO3",
    "NaClO4",
    "KMnO4",
    "K2Cr2O7",
    "CrO3",
    "BaO2",
    "Li2O2",
    "KO2",
    "KIO3",
)
CALM = ("BaCO3", "TiO2", "Li2O", "MgO", "Na2CO3", "Ba(OH)2", "MnO2", "Cr2O3", "LiCoO2", "NaCl", "SiO2", "Fe2O3", "ZnO",
        "CeO2", "NH4H2PO4", "(NH4)2HPO4", "(NH4)2SO4", "LiMn2O4", "K2CO3")  # fmt: skip


@pytest.mark.parametrize("formula", OXIDISERS)
def test_both_know_an_oxidiser(formula: str) -> None:
    assert is_oxidiser(amounts(formula) or {})
    assert oxidises(formula)


@pytest.mark.parametrize("formula", CALM)
def test_neither_takes_an_ordinary_powder_for_an_oxidiser(formula: str) -> None:
    assert not is_oxidiser(amounts(formula) or {})
    assert not oxidises(formula)


@pytest.mark.parametrize("crucible", ["alumina", "zirconia", "magnesia", "platinum", "graphite"])
@pytest.mark.parametrize("gas", ["air", "oxygen", "argon", "nitrogen", "hydrogen_argon", "vacuum"])
def test_both_say_the_same_of_every_powder_gas_and_crucible(gas: str, crucible: str) -> None:
    for formula in (*OXIDISERS, *CALM, "Li2S", "FeS2", "PbO", "Bi2O3", "SnO2", "C", "Al", "LiF", "Li3P", "KBr"):
        for kelvin in (700.0, 1000.0, 1250.0, 1450.0, 1700.0):
            driver = any(dangers((formula,), crucible, gas, kelvin))
            twin = bool(why_not_heated((formula,), crucible, gas, kelvin))
            assert driver == twin, (formula, kelvin)


@pytest.mark.parametrize("fuel", ["C", "S", "Al", "Mg", "P", "LiH", "CaH2"])
def test_neither_puts_an_oxidiser_to_a_fuel_in_either_order(fuel: str) -> None:
    for pair in (("KNO3", fuel), (fuel, "KNO3")):
        assert clash(pair[1], pair[:1])
        assert why_not_together(pair[1], pair[:1])
    assert not clash("TiO2", ("BaCO3",))
    assert not why_not_together("TiO2", ("BaCO3",))


@given(st.text(alphabet="BaTiOHClKN()0123456789.x ", max_size=12))
def test_reading_a_formula_never_fails(text: str) -> None:
    found = amounts(text)
    assert found is None or all(count >= 0 for count in found.values())


def test_brackets_multiply() -> None:
    assert amounts("Ba3(PO4)2") == {"Ba": 3, "P": 2, "O": 8}
    assert amounts("Ca10((PO4)3)2") == {"Ca": 10, "P": 6, "O": 24}
    assert amounts("Ba(TiO3") is None
    assert amounts("Xy2O3") is None
