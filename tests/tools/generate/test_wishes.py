"""Generators make what the goal asks for: stoichiometries, structure types, space groups."""

from __future__ import annotations

import numpy as np
import pytest

from lodestone.tools.core.eligibility import amounts_of
from lodestone.tools.core.stoichiometry import fits_pattern
from lodestone.tools.core.types import ChemicalSpace, StructureWish
from lodestone.tools.generate.compositions import compositions
from lodestone.tools.generate.prototypes import PrototypeGenerator
from lodestone.tools.generate.random_symmetric import RandomSymmetricGenerator

HALIDES = ChemicalSpace(
    allowed=("Br", "Cl", "Cs", "K", "Pb", "Sn"), any_of=(("Br", "Cl"),), pattern="ABX3", n_elements=(3, 3), max_atoms=10
)


def test_a_stoichiometry_gives_its_salts_and_no_others() -> None:
    found = {c.formula for c in compositions(HALIDES)}
    assert {"CsPbBr3", "KSnCl3"} <= found
    for choice in compositions(HALIDES):
        assert fits_pattern("ABX3", choice.amounts)
        assert {"Br", "Cl"} & set(choice.amounts)


def test_max_phases_are_enumerated() -> None:
    space = ChemicalSpace(required=("C",), allowed=("Al", "C", "Ti"), pattern="M2AC", n_elements=(3, 3), max_atoms=8)
    assert {c.formula for c in compositions(space)} == {"Ti2AlC", "TiAl2C"}


@pytest.mark.parametrize(
    ("wish", "labels"),
    [
        (StructureWish(prototypes=("perovskite",)), {"AB3C_cP5_221_a_c_b", "AB3C_oP20_62_c_cd_a"}),
        (StructureWish(prototypes=("perovskite",), crystal_systems=("cubic",)), {"AB3C_cP5_221_a_c_b"}),
    ],
)
def test_prototypes_are_those_wished_for(wish: StructureWish, labels: set[str]) -> None:
    generator = PrototypeGenerator()
    generator.wish = wish
    space = HALIDES.model_copy(update={"max_atoms": 20})
    found = generator.propose(space, 12, np.random.default_rng(1))
    assert found
    assert {str(c.provenance.parameters["prototype"]) for c in found} <= labels
    assert all(fits_pattern("ABX3", amounts_of(c.crystal.species)) for c in found)


def test_random_crystals_have_a_wished_space_group() -> None:
    generator = RandomSymmetricGenerator()
    generator.wish = StructureWish(crystal_systems=("cubic",), centrosymmetric=False)
    space = ChemicalSpace(required=("Cl", "Na"), allowed=("Cl", "Na"), n_elements=(2, 2), max_atoms=8)
    found = generator.propose(space, 4, np.random.default_rng(2))
    assert found
    for candidate in found:
        group = int(candidate.provenance.parameters["space_group"])
        assert 195 <= group <= 230
        assert group not in range(200, 207)
        assert group < 221
