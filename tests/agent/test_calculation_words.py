"""A sentence that asks for one calculation: what is asked of which crystal, and what cannot be had."""

from __future__ import annotations

import pytest

from lodestone.agent.words.calculation import read_calculation
from lodestone.tools.core.errors import GoalError


@pytest.mark.parametrize(
    ("words", "wanted", "formula", "rest"),
    [
        ("PBE band gap of rocksalt MgO", ("band_gap",), {"Mg": 1, "O": 1}, {"prototype": "rocksalt"}),
        ("bulk modulus of diamond Si, precise", ("bulk_modulus",), {"Si": 1}, {"protocol": "precise"}),
        ("density of states of NaCl", ("density_of_states",), {"Na": 1, "Cl": 1}, {"prototype": ""}),
        ("density of NaCl", ("density",), {"Na": 1, "Cl": 1}, {}),
        ("direct gap of wurtzite ZnO with GPAW", ("band_gap_direct",), {"Zn": 1, "O": 1}, {"evaluator": "gpaw"}),
        ("magnetic moment of bcc Fe", ("magnetization",), {"Fe": 1}, {"label": "A_cI2_229_a"}),
        ("total energy of Fm-3m NaCl", ("energy_per_atom",), {"Na": 1, "Cl": 1}, {"space_group": 225}),
        ("equation of state of fcc Al", ("bulk_modulus",), {"Al": 1}, {"label": "A_cF4_225_a"}),
        ("gap of rocksalt NiO by PBE+U", ("band_gap",), {"Ni": 1, "O": 1}, {"hubbard": True}),
        ("金刚石Si的带隙", ("band_gap",), {"Si": 1}, {"prototype": "diamond"}),
        ("ширина запрещенной зоны MgO", ("band_gap",), {"Mg": 1, "O": 1}, {}),
        ("band gap and DOS of zincblende GaAs", ("band_gap", "density_of_states"), {"Ga": 1, "As": 1}, {}),
    ],
)
def test_what_is_asked_of_which_crystal(
    words: str, wanted: tuple[str, ...], formula: dict[str, int], rest: dict[str, object]
) -> None:
    found = read_calculation(words)
    assert found.wanted == wanted
    assert found.formula == formula
    assert {name: getattr(found, name) for name in rest} == rest
    assert found.unused == ()


def test_values_that_come_with_others_ask_for_those() -> None:
    assert read_calculation("direct gap of MgO").properties == ("band_gap",)
    assert read_calculation("lattice constant and bulk modulus of MgO").properties == ("bulk_modulus",)
    assert read_calculation("total energy of MgO").properties == ()


def test_words_that_are_not_understood_are_told() -> None:
    assert read_calculation("band gap of wibbly MgO").unused == ("wibbly",)


def test_a_file_says_which_crystal() -> None:
    assert read_calculation("bulk modulus of", needs_formula=False).formula == {}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("MgO", "Which property"),
        ("band gap of", "Which crystal"),
        ("band gap of MgO and NaCl", "One crystal is calculated at a time"),
        ("hardness of MgO", "nothing here calculates the hardness"),
        ("formation energy of MgO", "lodestone run"),
        ("HSE06 gap of Si", "calculations here are PBE"),
        ("gap of skutterudite CoSb3", "not known"),
        ("fast precise gap of Si", "Which protocol"),
        ("gap of rocksalt zincblende ZnS", "Several structures"),
    ],
)
def test_what_cannot_be_calculated_is_refused_with_a_remedy(words: str, told: str) -> None:
    with pytest.raises(GoalError, match=told) as caught:
        read_calculation(words)
    assert caught.value.remedy
