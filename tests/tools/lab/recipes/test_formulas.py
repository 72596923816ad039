"""Formulas: exact amounts, brackets, refusals."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lodestone.tools.core.errors import ToolError
from lodestone.tools.lab.recipes.formulas import amounts_of, molar_mass, same_ratios

METALS = ("Li", "Ba", "Ti", "Cu", "Y", "O")


def test_brackets_and_decimals_are_exact():
    assert dict(amounts_of("Ba(NO3)2")) == {"Ba": 1, "N": 2, "O": 6}
    assert dict(amounts_of("Al2Si2O5(OH)4")) == {"Al": 2, "Si": 2, "O": 9, "H": 4}
    assert amounts_of("YBa2Cu3O6.5")["O"] == Fraction(13, 2)


def test_molar_masses_are_those_of_the_handbook():
    # CRC Handbook of Chemistry and Physics, 97th ed.: 233.192 and 197.336 g/mol.
    assert molar_mass("BaTiO3") == pytest.approx(233.19, abs=0.01)
    assert molar_mass("BaCO3") == pytest.approx(197.34, abs=0.01)


def test_spellings_of_one_composition_are_alike():
    assert same_ratios("BaN2O6") == same_ratios("Ba(NO3)2") != same_ratios("BaO")


@pytest.mark.parametrize(
    "text", ["", "batio3", "Xx2O3", "BaTi)O3", "Ba(TiO3", "Ba0O", "Ba TiO3", "((((O))))", "O" * 200]
)
def test_what_is_no_formula_is_refused(text: str):
    with pytest.raises(ToolError):
        amounts_of(text)


@given(st.text(max_size=60))
def test_any_text_is_a_formula_or_refused(text: str):
    try:
        amounts = amounts_of(text)
    except ToolError:
        return
    assert all(number > 0 for number in amounts.values())


@given(st.dictionaries(st.sampled_from(METALS), st.integers(1, 40), min_size=1))
def test_a_formula_written_is_read_back(amounts: dict[str, int]):
    assert dict(amounts_of("".join(f"{symbol}{n}" for symbol, n in amounts.items()))) == amounts
