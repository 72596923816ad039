"""Random crystals: each of the 230 space groups gives one, with at least the symmetry that was asked for."""

from __future__ import annotations

import moyopy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Structure
from pymatgen.symmetry.groups import SpaceGroup

from lodestone.tools.core.types import ChemicalSpace
from lodestone.tools.generate.common import separation
from lodestone.tools.generate.compositions import CompositionChoice, compositions
from lodestone.tools.generate.random_symmetric import RandomSymmetricGenerator, compatible_groups, random_crystal
from lodestone.tools.generate.volumes import volume_per_atom

SPACE = ChemicalSpace(required=("Cl", "Na"), allowed=("Cl", "Na"), formula="NaCl")
FORMULA_UNITS = (1, 2, 3, 4, 6, 8, 12)
SEEDS = 6


def salt() -> CompositionChoice:
    return compositions(SPACE)[0]


def found_group(structure: Structure) -> int:
    cell = moyopy.Cell(
        basis=structure.lattice.matrix.tolist(),
        positions=structure.frac_coords.tolist(),
        numbers=[site.specie.Z for site in structure],
    )
    return int(moyopy.MoyoDataset(cell, symprec=1e-3).number)


def class_order(group: int) -> int:
    """Order of the crystal class."""
    return len({op.rotation_matrix.round().tobytes() for op in SpaceGroup.from_int_number(group).symmetry_ops})


def first_crystal(group: int) -> Structure | None:
    for units in FORMULA_UNITS:
        if group in compatible_groups((units, units)):
            for seed in range(SEEDS):
                structure = random_crystal(salt(), (units, units), group, 1.25, seed)
                if structure is not None:
                    return structure
    return None


def test_every_space_group_gives_a_crystal_that_keeps_its_symmetry() -> None:
    exact = 0
    for group in range(1, 231):
        structure = first_crystal(group)
        assert structure is not None, f"no crystal in group {group}"
        found = found_group(structure)
        # Atoms on special positions may add symmetry; by Lagrange's theorem the asked order divides what is there.
        assert class_order(found) % class_order(group) == 0, f"asked for {group}, moyopy finds {found}"
        exact += found == group
    assert exact >= 80


def test_incompatible_groups_are_told_without_a_try() -> None:
    # Fd-3m has no position for one atom in the primitive cell; P1 has one for any number.
    assert 227 not in compatible_groups((1, 1))
    assert 1 in compatible_groups((1, 1))


@settings(max_examples=15, deadline=None)
@given(group=st.sampled_from((1, 2, 14, 62, 139, 166, 194, 221, 225)), seed=st.integers(0, 2**31 - 1))
def test_atoms_keep_their_distance_at_the_asked_volume(group: int, seed: int) -> None:
    units = next(u for u in FORMULA_UNITS if group in compatible_groups((u, u)))
    structure = random_crystal(salt(), (units, units), group, 1.1, seed)
    if structure is not None:
        assert separation(structure, salt()) >= 1.0
        assert structure.volume / len(structure) == pytest.approx(1.1 * volume_per_atom(salt()))


def test_provenance_makes_the_crystal_again() -> None:
    from lodestone.tools.core.structure import from_pymatgen

    for made in RandomSymmetricGenerator().propose(SPACE, 3, np.random.default_rng(4)):
        units = int(made.provenance.parameters["formula_units"])
        group, seed = int(made.provenance.parameters["space_group"]), made.provenance.seed
        factor = float(made.provenance.parameters["volume_factor"])
        again = random_crystal(salt(), (units, units), group, factor, seed)
        assert again is not None
        crystal = from_pymatgen(again)
        assert crystal.species == made.crystal.species
        assert np.allclose(crystal.frac_coords, made.crystal.frac_coords, atol=1e-9)
        # The factor is written with four digits.
        assert np.allclose(crystal.lattice, made.crystal.lattice, rtol=1e-4, atol=1e-6)


def test_a_space_without_room_ends_instead_of_hanging() -> None:
    tight = ChemicalSpace(required=("Cl", "Na"), allowed=("Cl", "Na"), formula="NaCl", max_atoms=2)
    assert len(RandomSymmetricGenerator().propose(tight, 3, np.random.default_rng(0))) <= 3
