"""What a space group leaves free: how many numbers, that they keep the group, and that they come back."""

from __future__ import annotations

import warnings

import moyopy
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal as spacegroup_crystal
from hypothesis import given, settings
from hypothesis import strategies as st

from lodestone.tools.core.errors import ToolError
from lodestone.tools.core.structure import from_ase, to_ase, to_pymatgen, volume
from lodestone.tools.core.types import Crystal
from lodestone.tools.relax.free_parameters import FreeParameters

ROUND_OFF = 1e-9
HALF = (0.5, 0.5, 0.5)


def sites(group: int, cell: list[float], places: dict[str, tuple[float, float, float]], **more) -> Atoms:
    return spacegroup_crystal(list(places), list(places.values()), spacegroup=group, cellpar=cell, **more)


PEROVSKITE = sites(221, [3.905] * 3 + [90] * 3, {"Sr": (0, 0, 0), "Ti": HALF, "O": (0.5, 0.5, 0)})
RUTILE = sites(136, [4.594, 4.594, 2.959, 90, 90, 90], {"Ti": (0, 0, 0), "O": (0.305, 0.305, 0)})
WURTZITE = bulk("ZnO", "wurtzite", 3.25, c=5.207)
CORUNDUM = sites(
    167, [4.76, 4.76, 12.99, 90, 90, 120], {"Al": (0, 0, 0.352), "O": (0.306, 0, 0.25)}, primitive_cell=True
)
QUARTZ = sites(
    154, [4.916, 4.916, 5.405, 90, 90, 120], {"Si": (0.4697, 0, 2 / 3), "O": (0.4135, 0.2669, 0.7858)}
)  # fmt: skip
SPINEL = sites(
    227, [8.08] * 3 + [90] * 3, {"Mg": (0.125,) * 3, "Al": HALF, "O": (0.264,) * 3}, setting=2, primitive_cell=True
)
BADDELEYITE = sites(
    14, [5.15, 5.2, 5.3, 90, 99.2, 90], {"Zr": (0.2754, 0.0395, 0.2083), "O": (0.07, 0.3317, 0.3447)}
)  # fmt: skip
LAYERED = sites(194, [3.16, 3.16, 12.29, 90, 90, 120], {"Mo": (1 / 3, 2 / 3, 0.25), "S": (1 / 3, 2 / 3, 0.621)})
POLAR = sites(29, [5.1, 4.9, 5.0, 90, 90, 90], {"Hf": (0.03, 0.27, 0.25), "O": (0.36, 0.07, 0.11)})
TRICLINIC = sites(2, [4.1, 4.9, 5.6, 81, 97, 103], {"Cu": (0.1, 0.2, 0.3), "O": (0.7, 0.4, 0.1)})
WITHOUT = sites(1, [4.1, 4.9, 5.6, 81, 97, 103], {"Cu": (0.1, 0.2, 0.3), "O": (0.7, 0.4, 0.1)})

KINDS = {
    "perovskite": (PEROVSKITE, ("volume",)),
    "rutile": (RUTILE, ("volume", "shape 1", "O3 x")),
    # Polar groups leave an origin open; it is no parameter.
    "wurtzite": (WURTZITE, ("volume", "shape 1", "O2 z")),
    "corundum": (CORUNDUM, ("volume", "shape 1", "O1 y", "Al5 x")),
    "quartz": (QUARTZ, ("volume", "shape 1", "Si1 x", "O4 x", "O4 y", "O4 z")),
    "spinel": (SPINEL, ("volume", "O7 x")),
    "2H-MoS2": (LAYERED, ("volume", "shape 1", "S3 z")),
}
LARGE = {
    "baddeleyite": (BADDELEYITE, 4 + 6),
    "Pca2_1": (POLAR, 3 + 6 - 1),
    "P-1": (TRICLINIC, 6 + 6),
    "P1": (WITHOUT, 9),
}
ALL = [kind for kind, _ in (*KINDS.values(), *LARGE.values())]


def free(atoms: Atoms, **more) -> FreeParameters:
    found = FreeParameters.of(from_ase(atoms), **more)
    assert isinstance(found, FreeParameters)
    return found


def symmetry(crystal: Crystal, symprec: float = 1e-4) -> tuple[int, list[str], list[int], int]:
    """Space group, site symmetries, orbits and number of operations, by another library than the one that found them.

    Not the Wyckoff letters: which of two positions that differ by a shift of the origin is `a` (3a and 3b of P3_221) is
    a choice, and the library's falls either way for the same quartz.
    """
    atoms = to_ase(crystal)
    cell = moyopy.Cell(
        basis=np.asarray(atoms.cell).tolist(),
        positions=atoms.get_scaled_positions().tolist(),
        numbers=atoms.numbers.tolist(),
    )
    data = moyopy.MoyoDataset(cell, symprec=symprec)
    return data.number, list(data.site_symmetry_symbols), list(data.orbits), len(data.operations)


def turned(atoms: Atoms) -> Atoms:
    copy = atoms.copy()
    copy.rotate(40.0, (1, 2, 3), rotate_cell=True)
    return copy


@pytest.mark.parametrize("kind", KINDS)
def test_known_structure_types_have_their_known_free_parameters(kind: str) -> None:
    atoms, names = KINDS[kind]
    assert free(atoms).names == names


@pytest.mark.parametrize("kind", LARGE)
def test_lower_groups_have_as_many_as_lattice_and_wyckoff_positions_leave(kind: str) -> None:
    atoms, count = LARGE[kind]
    assert len(free(atoms)) == count


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(range(len(ALL))), st.integers(0, 2**32 - 1))
def test_any_values_keep_space_group_and_wyckoff_positions_and_come_back(kind: int, seed: int) -> None:
    parameters = free(turned(ALL[kind]))
    values = parameters.bounds(0.1, 0.03) * np.random.default_rng(seed).uniform(-1.0, 1.0, len(parameters))
    made = parameters.crystal_at(values)
    assert symmetry(made) == symmetry(parameters.crystal)
    assert made.species == parameters.crystal.species
    assert parameters.values_of(made) == pytest.approx(values, abs=ROUND_OFF)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(range(len(ALL))), st.integers(0, 2**32 - 1))
def test_parameters_are_the_same_for_a_crystal_that_is_turned(kind: int, seed: int) -> None:
    here, there = free(ALL[kind]), free(turned(ALL[kind]))
    values = here.bounds(0.1, 0.03) * np.random.default_rng(seed).uniform(-1.0, 1.0, len(here))
    assert here.names == there.names
    one, other = here.crystal_at(values), there.crystal_at(values)
    assert np.array(one.lattice) @ np.array(one.lattice).T == pytest.approx(
        np.array(other.lattice) @ np.array(other.lattice).T, abs=1e-7
    )
    assert np.array(to_pymatgen(one).distance_matrix) == pytest.approx(to_pymatgen(other).distance_matrix, abs=1e-7)


@pytest.mark.parametrize("kind", ALL)
def test_all_zeros_are_the_crystal_itself(kind: Atoms) -> None:
    parameters = free(kind)
    crystal = parameters.crystal_at(np.zeros(len(parameters)))
    assert np.array(crystal.lattice) == pytest.approx(np.array(kind.cell), abs=1e-6)
    off = np.array(crystal.frac_coords) - kind.get_scaled_positions()
    assert np.abs(off - np.round(off)).max() < 1e-6
    assert parameters.values_of(from_ase(kind)) == pytest.approx(np.zeros(len(parameters)), abs=1e-6)


def test_volume_is_the_logarithm_of_a_length_and_a_coordinate_is_a_coordinate() -> None:
    parameters = free(RUTILE)
    wider = parameters.crystal_at([np.log(1.01), 0.0, 0.0])
    assert volume(wider) == pytest.approx(1.01**3 * volume(from_ase(RUTILE)))
    longer = parameters.crystal_at([0.0, 0.02, 0.0])
    assert volume(longer) == pytest.approx(volume(from_ase(RUTILE)))
    oxygen = np.array(parameters.crystal_at([0.0, 0.0, 0.004]).frac_coords)[2]
    assert oxygen == pytest.approx([0.309, 0.309, 0.0], abs=1e-9)


def test_a_supercell_shows_all_of_its_symmetry_in_its_primitive_cell() -> None:
    # Two cells along one axis of a hexagonal lattice are orthorhombic to what maps the supercell onto itself.
    parameters = free(WURTZITE.repeat((2, 1, 1)))
    assert parameters.names == free(WURTZITE).names
    made = parameters.crystal_at([0.01, 0.02, -0.01])
    assert (len(made), len(parameters.primitive)) == (8, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert symmetry(made)[0] == symmetry(parameters.primitive_at([0.01, 0.02, -0.01]))[0] == 186
    assert parameters.values_of(made) == pytest.approx([0.01, 0.02, -0.01], abs=ROUND_OFF)


def test_what_the_cell_may_not_do_is_no_parameter() -> None:
    assert free(RUTILE, cell="fixed").names == ("O3 x",)
    assert free(RUTILE, cell="fixed_volume").names == ("shape 1", "O3 x")
    assert free(PEROVSKITE, cell="fixed_volume").names == ()
    assert free(PEROVSKITE, cell="fixed").crystal_at([]) == free(PEROVSKITE).crystal


def test_a_crystal_of_lower_symmetry_is_described_by_no_values() -> None:
    parameters = free(RUTILE)
    shaken = RUTILE.copy()
    shaken.rattle(0.05, seed=1)
    with pytest.raises(ToolError, match="off its symmetry"):
        parameters.values_of(from_ase(shaken))
    with pytest.raises(ToolError, match="other sites"):
        parameters.values_of(from_ase(PEROVSKITE))
    with pytest.raises(ToolError, match="Give one for each"):
        parameters.crystal_at([0.0])


def test_overlapping_atoms_have_no_free_parameters_but_a_reason() -> None:
    atoms = bulk("Cu", "fcc", 3.6, cubic=True)
    atoms.positions[1] = atoms.positions[0]
    assert "no symmetry that could be kept" in str(FreeParameters.of(from_ase(atoms)))
