"""k-meshes, moments, symmetrised cells and cells that are none, on cases whose answer is known by hand."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

from lodestone.tools.core.structure import from_ase, volume
from lodestone.tools.core.types import Crystal
from lodestone.tools.evaluate.base import CalculationFailed
from lodestone.tools.evaluate.electrons import (
    ACCURACIES,
    HIGH_SPIN_MOMENTS,
    at_symmetry_origin,
    cell_values,
    check_geometry,
    idealise,
    kmesh,
    starting_moments,
)


def _crystal(a: float, b: float, c: float, *species: str) -> Crystal:
    n = len(species)
    places = tuple((i / n, i / n, i / n) for i in range(n))
    return Crystal(lattice=((a, 0.0, 0.0), (0.0, b, 0.0), (0.0, 0.0, c)), species=species, frac_coords=places)


def test_the_mesh_of_a_known_cell() -> None:
    # 2π/4 = 1.571, 2π/8 = 0.785 and 2π/40 = 0.157 1/Å over 0.4 give 3.93, 1.96 and 0.39
    assert kmesh(_crystal(4.0, 8.0, 40.0, "Si"), 0.4) == (4, 2, 1)


@settings(max_examples=50, deadline=None)
@given(a=st.floats(2, 30), b=st.floats(2, 30), c=st.floats(2, 30), spacing=st.floats(0.1, 1.0))
def test_points_are_never_further_apart_than_asked_nor_needlessly_close(
    a: float, b: float, c: float, spacing: float
) -> None:
    for length, n in zip((a, b, c), kmesh(_crystal(a, b, c, "Si"), spacing), strict=True):
        assert 2 * np.pi / length / n <= spacing * (1 + 1e-6)
        assert n == 1 or 2 * np.pi / length / (n - 1) > spacing * (1 - 1e-6)


def test_accuracies_get_finer() -> None:
    fast, moderate, precise = (ACCURACIES[name] for name in ("fast", "moderate", "precise"))
    assert fast.cutoff_ev < moderate.cutoff_ev < precise.cutoff_ev
    assert fast.kspacing > moderate.kspacing > precise.kspacing


def test_magnets_start_magnetic_and_oxygen_only_on_its_own() -> None:
    assert starting_moments(_crystal(4, 4, 4, "Fe", "O")) == [HIGH_SPIN_MOMENTS["Fe"], 0.0]
    assert starting_moments(_crystal(4, 4, 4, "O", "O")) == [1.0, 1.0]
    assert not any(starting_moments(_crystal(4, 4, 4, "Na", "Cl")))


def test_noise_below_the_tolerance_is_removed_and_the_cell_made_primitive() -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    atoms.rattle(1e-3, seed=1)
    found = idealise(from_ase(atoms), 0.02)
    assert sorted(found.species) == ["Cl", "Na"]
    assert volume(found) == pytest.approx(5.64**3 / 4, rel=1e-3)
    between = np.subtract(*np.array(found.frac_coords)) % 1.0
    assert between == pytest.approx([0.5, 0.5, 0.5], abs=1e-9)


def test_density_of_rock_salt_is_the_published_one() -> None:
    values = cell_values(from_ase(bulk("NaCl", "rocksalt", a=5.6402)), -6.8)
    assert values["density"].value == pytest.approx(2.163, abs=0.003)  # X-ray density, g/cm³
    assert values["energy_per_atom"].value == pytest.approx(-3.4)
    assert values["volume_per_atom"].value == pytest.approx(5.6402**3 / 8)


def test_a_magnetisation_that_is_asked_for_gets_spin_to_begin_with() -> None:
    assert starting_moments(_crystal(4, 4, 4, "Al", "Al"), ("magnetization",)) == [1.0, 1.0]
    assert starting_moments(_crystal(4, 4, 4, "Fe", "O"), ("magnetization",)) == [HIGH_SPIN_MOMENTS["Fe"], 0.0]


def test_atoms_that_overlap_are_told_before_a_code_is_started() -> None:
    cube = ((4.0, 0.0, 0.0), (0.0, 4.0, 0.0), (0.0, 0.0, 4.0))
    close = Crystal(lattice=cube, species=("Na", "Cl"), frac_coords=((0.0, 0.0, 0.0), (0.95, 0.0, 0.0)))
    with pytest.raises(CalculationFailed, match=r"Na and Cl are 0\.20 Å apart|Cl and Na are 0\.20 Å apart") as caught:
        check_geometry(close)
    assert caught.value.kind == "geometry"
    for name, structure, a in (("Si", "diamond", 5.43), ("Al", "fcc", 4.05), ("C", "diamond", 3.57)):
        check_geometry(from_ase(bulk(name, structure, a=a)))
    bond = Crystal(lattice=cube, species=("H", "H"), frac_coords=((0.0, 0.0, 0.0), (0.185, 0.0, 0.0)))
    check_geometry(bond)  # 0.74 Å, the shortest bond
    flat = Crystal(
        lattice=((4.0, 0.0, 0.0), (0.0, 0.01, 0.0), (0.0, 0.0, 4.0)), species=("Si",), frac_coords=((0, 0, 0),)
    )
    with pytest.raises(CalculationFailed, match="holds 1 atoms"):
        check_geometry(flat)


def test_the_origin_is_where_most_operations_need_no_translation() -> None:
    silicon = idealise(from_ase(bulk("Si", "diamond", a=5.47)), 0.01)
    moved = at_symmetry_origin(silicon)
    assert np.allclose(moved.frac_coords, [(0, 0, 0), (0.25, 0.25, 0.25)]) or np.allclose(
        moved.frac_coords, [(0, 0, 0), (0.75, 0.75, 0.75)]
    )
    distance = np.subtract(*moved.frac_coords) - np.subtract(*silicon.frac_coords)
    assert np.allclose(distance, np.rint(distance)), "a translation of all atoms, and nothing else"
    assert at_symmetry_origin(moved) == moved
    salt = idealise(from_ase(bulk("NaCl", "rocksalt", a=5.64)), 0.01)
    assert at_symmetry_origin(salt) == salt
    lone = _crystal(3.1, 4.2, 5.3, "Na", "Cl", "K")
    skew = lone.model_copy(update={"frac_coords": ((0.11, 0.2, 0.3), (0.52, 0.61, 0.9), (0.9, 0.4, 0.25))})
    assert at_symmetry_origin(skew) == skew, "without symmetry no origin is better"
