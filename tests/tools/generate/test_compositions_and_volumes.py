"""What is known of a composition before any crystal: whether it can be, and how large it will be."""

from __future__ import annotations

import time

import numpy as np
import pytest
from pymatgen.core import Composition

from lodestone.tools.core.errors import GoalError
from lodestone.tools.core.structure import from_pymatgen
from lodestone.tools.core.types import ChemicalSpace
from lodestone.tools.generate.aflow import prototypes
from lodestone.tools.generate.compositions import compositions, is_charge_balanced
from lodestone.tools.generate.prototypes import PrototypeGenerator
from lodestone.tools.generate.substitution import Distortion, Parent, Substitution, SubstitutionGenerator, substitute
from lodestone.tools.generate.volumes import volume_per_atom


def fixed(formula: str) -> ChemicalSpace:
    elements = tuple(sorted(str(e) for e in Composition(formula).elements))
    return ChemicalSpace(required=elements, allowed=elements, formula=Composition(formula).reduced_formula)


def expected_volume(formula: str) -> float:
    return volume_per_atom(compositions(fixed(formula))[0])


@pytest.mark.parametrize(
    ("required", "allowed"), [(("He",), ("He",)), ((), ("He", "Ne")), (("He",), ("He", "Na"))], ids=str
)
def test_noble_gases_make_no_compounds(required: tuple[str, ...], allowed: tuple[str, ...]) -> None:
    with pytest.raises(GoalError, match="Allow other elements"):
        compositions(ChemicalSpace(required=required, allowed=allowed))


def test_xenon_fluorides_are_the_exception() -> None:
    space = ChemicalSpace(required=("F", "Xe"), allowed=("F", "Xe"), n_elements=(2, 2))
    assert [c.formula for c in compositions(space)] == ["XeF2", "XeF4", "XeF6"]


@pytest.mark.parametrize("formula", ["Fe3O4", "Co3O4", "NiAl", "Si", "CuFeS2"])
def test_mixed_valence_metals_and_elements_are_balanced(formula: str) -> None:
    assert is_charge_balanced(formula)


def test_an_unbalanced_formula_is_allowed_and_told() -> None:
    assert not is_charge_balanced("NaCl3")
    assert [c.formula for c in compositions(fixed("NaCl3"))] == ["NaCl3"]


def test_the_formula_unit_can_be_bounded_below_the_cell() -> None:
    space = ChemicalSpace(required=("Al", "Ni"), allowed=("Al", "Ni"), n_elements=(2, 2))
    assert max(c.atoms for c in compositions(space)) == 5
    assert {c.formula for c in compositions(space, 3)} == {"AlNi", "Al2Ni", "AlNi2"}


@pytest.mark.parametrize(
    ("formula", "volume"),
    [  # experimental Å³ per atom, from room-temperature lattice constants
        ("NaCl", 22.4),
        ("CsCl", 34.9),
        ("MgO", 9.36),
        ("CaF2", 13.6),
        ("Li2O", 8.2),
        ("ZnS", 19.8),
        ("AlN", 10.4),
        ("SrTiO3", 11.9),
    ],
)
def test_ionic_volumes_keep_the_stated_error(formula: str, volume: float) -> None:
    assert expected_volume(formula) == pytest.approx(volume, rel=0.145)


@pytest.mark.parametrize(
    ("formula", "volume"),
    [
        ("GaAs", 22.6),
        ("GaP", 20.2),
        ("InP", 25.3),
        ("InSb", 34.0),
        ("AlAs", 22.7),
        ("GaSb", 28.3),
        ("Mg2Si", 21.3),
        ("Li3P", 14.8),
    ],
)
def test_semiconductors_with_heavy_anions_keep_the_stated_error(formula: str, volume: float) -> None:
    assert expected_volume(formula) == pytest.approx(volume, rel=0.34)


def test_a_distorted_substitution_can_be_made_again_from_its_provenance() -> None:
    space = ChemicalSpace(required=("Cl", "Na"), allowed=("Cl", "Na"), formula="NaCl", max_atoms=4)
    proposed = SubstitutionGenerator().propose(space, 40, np.random.default_rng(2))
    strained = [c for c in proposed if c.provenance.parameters["strained"]]
    assert strained
    structures = {p.label: p.structure for p in prototypes()}
    for made in strained[:5]:
        told = made.provenance
        exchange = str(told.parameters["exchange"])
        pairs = [] if exchange == "none" else [item.split(" by ") for item in exchange.split(", ")]
        a, b, c = (float(told.parameters[f"strain_{axis}"]) for axis in "abc")
        label = told.parents[0]
        again = substitute(
            Substitution(
                Parent(label, structures[label], ()), compositions(space)[0], tuple((x, y) for x, y in pairs), 1.0
            ),
            Distortion((a, b, c), told.seed),
        )
        assert again is not None
        assert from_pymatgen(again) == made.crystal


def test_prototypes_say_which_element_stands_where() -> None:
    for made in PrototypeGenerator().propose(fixed("SrTiO3"), 5, np.random.default_rng(0)):
        told = made.provenance.parameters
        sites = str(told["sites"]).split(", ")
        assert {site.split(" on ")[0] for site in sites} == {"Sr", "Ti", "O"}
        assert told["formula_units"] == len(made.crystal) / 5


@pytest.mark.parametrize("generator", [PrototypeGenerator, SubstitutionGenerator])
def test_twenty_crystals_take_less_than_three_seconds_once_loaded(generator: type) -> None:
    made = generator()
    made.propose(fixed("SrTiO3"), 1, np.random.default_rng(0))
    start = time.process_time()
    made.propose(fixed("SrTiO3"), 20, np.random.default_rng(1))
    assert time.process_time() - start < 3.0
