"""What the generators promise: known compositions, textbook prototypes, the asked symmetry, and no surprises."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Lattice, Structure

from lodestone.tools.core.errors import GoalError
from lodestone.tools.core.protocols import Generator
from lodestone.tools.core.structure import to_pymatgen
from lodestone.tools.core.types import Candidate, ChemicalSpace
from lodestone.tools.generate.aflow import prototypes
from lodestone.tools.generate.common import separation
from lodestone.tools.generate.compositions import CompositionChoice, compositions, is_charge_balanced
from lodestone.tools.generate.prototypes import PrototypeGenerator, decorate, decorations
from lodestone.tools.generate.random_symmetric import RandomSymmetricGenerator
from lodestone.tools.generate.substitution import SubstitutionGenerator
from lodestone.tools.generate.volumes import volume_per_atom


def system(text: str, **fields: object) -> ChemicalSpace:
    elements = tuple(sorted(text.split("-")))
    return ChemicalSpace(required=elements, allowed=elements, n_elements=(len(elements),) * 2, **fields)  # type: ignore[arg-type]


def fixed(formula: str, **fields: object) -> ChemicalSpace:
    elements = tuple(sorted(str(e) for e in Composition(formula).elements))
    reduced = Composition(formula).reduced_formula
    return ChemicalSpace(required=elements, allowed=elements, formula=reduced, **fields)  # type: ignore[arg-type]


def choice_of(formula: str) -> CompositionChoice:
    return compositions(fixed(formula))[0]


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("Na-Cl", "NaCl"),
        ("Cs-Cl", "CsCl"),
        ("Mg-O", "MgO"),
        ("Ca-F", "CaF2"),
        ("Li-O", "Li2O"),
        ("Zn-S", "ZnS"),
        ("Al-N", "AlN"),
        ("Si-C", "SiC"),
        ("Ni-Al", "NiAl"),
        ("Ni-Al", "Ni3Al"),
        ("Sr-Ti-O", "SrTiO3"),
        ("Sr-Ti-O", "Sr2TiO4"),
        ("Li-P-S", "Li3PS4"),
        ("Fe-O", "Fe2O3"),
    ],
)
def test_known_compounds_are_among_the_compositions_of_their_system(name: str, formula: str) -> None:
    assert Composition(formula).reduced_formula in [c.formula for c in compositions(system(name))]


def test_ionic_compositions_are_neutral() -> None:
    for choice in compositions(system("Li-P-S")):
        assert choice.oxidation_states is not None
        assert sum(n * choice.oxidation_states[e] for e, n in choice.amounts.items()) == 0


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (fixed("Li3PS4", max_atoms=5), "8 atoms"),
        (ChemicalSpace(required=("Ne",), allowed=("Ne",), formula="Ne"), "noble gas"),
    ],
)
def test_impossible_compositions_are_refused_with_a_way_out(space: ChemicalSpace, words: str) -> None:
    with pytest.raises(GoalError, match=words):
        compositions(space)


def test_charge_balance_is_told() -> None:
    assert is_charge_balanced("SrTiO3")
    assert not is_charge_balanced("NaCl7")


@pytest.mark.parametrize(
    ("formula", "volume"),
    [  # experimental Å³ per atom
        ("NaCl", 22.4),
        ("CsCl", 34.9),
        ("MgO", 9.36),
        ("CaF2", 13.6),
        ("Li2O", 8.2),
        ("ZnS", 19.8),
        ("AlN", 10.4),
        ("SiC", 10.3),
        ("NiAl", 12.0),
        ("SrTiO3", 11.9),
    ],
)
def test_expected_volumes_are_within_a_fifth_of_experiment(formula: str, volume: float) -> None:
    assert volume_per_atom(choice_of(formula)) == pytest.approx(volume, rel=0.20)


TEXTBOOK = {
    "NaCl": Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "CsCl": Structure.from_spacegroup("Pm-3m", Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "CaF2": Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.46), ["Ca", "F"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "Li2O": Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.62), ["O", "Li"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "ZnS": Structure.from_spacegroup("F-43m", Lattice.cubic(5.41), ["Zn", "S"], [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "AlN": Structure.from_spacegroup(
        "P6_3mc", Lattice.hexagonal(3.11, 4.98), ["Al", "N"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.382]]
    ),
    "NiAl": Structure.from_spacegroup("Pm-3m", Lattice.cubic(2.88), ["Ni", "Al"], [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "Ni3Al": Structure.from_spacegroup("Pm-3m", Lattice.cubic(3.57), ["Al", "Ni"], [[0, 0, 0], [0.5, 0.5, 0]]),
    "SrTiO3": Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.905), ["Sr", "Ti", "O"], [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0]]
    ),
}


@pytest.mark.parametrize("formula", TEXTBOOK)
def test_decoration_yields_the_textbook_prototype(formula: str) -> None:
    matcher = StructureMatcher(scale=True, attempt_supercell=False)
    made = [decorate(d) for d in decorations(fixed(formula))]
    assert any(s is not None and matcher.fit(s, TEXTBOOK[formula]) for s in made)


def test_pymatgen_ships_the_prototypes_we_count_on() -> None:
    labels = {p.label for p in prototypes()}
    assert len(labels) > 250
    assert {"AB_cF8_225_a_b", "AB_cP2_221_b_a", "AB2_cF12_225_a_c", "AB3C_cP5_221_a_c_b"} <= labels


GENERATORS: list[type[Generator]] = [RandomSymmetricGenerator, PrototypeGenerator, SubstitutionGenerator]


@pytest.mark.parametrize("generator", GENERATORS)
@pytest.mark.parametrize(
    "space", [system("Na-Cl", max_atoms=8), system("Sr-Ti-O", max_atoms=10)], ids=["NaCl", "SrTiO3"]
)
class TestEveryGenerator:
    """The contract of the protocol."""

    def propose(self, generator: type[Generator], space: ChemicalSpace, n: int, seed: int) -> list[Candidate]:
        return generator().propose(space, n, np.random.default_rng(seed))

    def test_candidates_are_inside_the_space_and_all_different(
        self, generator: type[Generator], space: ChemicalSpace
    ) -> None:
        found = self.propose(generator, space, 5, 3)
        assert 1 <= len(found) <= 5
        assert len({c.id for c in found}) == len(found)
        for c in found:
            assert set(c.crystal.species) == set(space.required)
            assert len(c.crystal) <= space.max_atoms
            assert c.provenance.generator == generator().name
            assert c.provenance.parameters

    def test_the_same_seed_gives_the_same_crystals(self, generator: type[Generator], space: ChemicalSpace) -> None:
        first, second = (self.propose(generator, space, 4, 7) for _ in range(2))
        assert first == second

    def test_no_atoms_collide(self, generator: type[Generator], space: ChemicalSpace) -> None:
        for c in self.propose(generator, space, 5, 11):
            assert separation(to_pymatgen(c.crystal), choice_of(c.formula)) >= 0.999

    def test_known_crystals_are_not_proposed_again(self, generator: type[Generator], space: ChemicalSpace) -> None:
        first = self.propose(generator, space, 3, 5)
        made = generator()
        made.known = frozenset(c.id for c in first)  # type: ignore[attr-defined]
        again = made.propose(space, 3, np.random.default_rng(5))
        assert not {c.id for c in again} & {c.id for c in first}


def test_substitution_starts_from_the_campaigns_own_crystals() -> None:
    parent = PrototypeGenerator().propose(fixed("MgO", max_atoms=4), 1, np.random.default_rng(0))
    generator = SubstitutionGenerator()
    generator.parents = tuple(parent)
    found = generator.propose(fixed("CaO", max_atoms=4), 200, np.random.default_rng(0))
    assert parent[0].id in {p for c in found for p in c.provenance.parents}


def test_metals_have_no_ions_to_substitute() -> None:
    assert SubstitutionGenerator().propose(system("Ni-Al"), 5, np.random.default_rng(0)) == []


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(0.2, 3.0))
def test_separation_is_proportional_to_the_lattice(scale: float) -> None:
    structure = TEXTBOOK["NaCl"].copy()
    before = separation(structure, choice_of("NaCl"))
    structure.scale_lattice(structure.volume * scale**3)
    assert separation(structure, choice_of("NaCl")) == pytest.approx(before * scale, rel=1e-6)
