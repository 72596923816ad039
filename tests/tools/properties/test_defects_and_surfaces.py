"""Vacancies, surfaces, hops, moments, formation energies: measured copper by EMT, and reasons where there is none."""

from __future__ import annotations

from typing import Any

import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from lodestone.tools.core.errors import ToolError
from lodestone.tools.core.structure import from_ase
from lodestone.tools.core.types import Crystal
from lodestone.tools.properties.defects import vacancy_formation_energy
from lodestone.tools.properties.formation import formation_energy
from lodestone.tools.properties.magnetism import magnetic_moment
from lodestone.tools.properties.migration import migration_barrier
from lodestone.tools.properties.surfaces import surface_energy

SALT = from_ase(bulk("NaCl", "rocksalt", a=5.7))


def test_vacancy_of_copper_costs_what_experiments_say(copper: Crystal, emt: EMT) -> None:
    result = vacancy_formation_energy(copper, emt, "Cu", min_length=7.0)
    assert result.valid, result.problems
    vacancy = result.quantities["vacancy_formation_energy"]
    # Experiment: 1.28 eV (P. Ehrhart, Landolt-Börnstein III/25 (1991)).
    assert vacancy.value == pytest.approx(1.28, abs=0.15)
    assert (vacancy.std or 0.0) < 0.05
    assert list(result.by_site) == ["4a1"]


def test_a_vacancy_gains_energy_where_the_element_is_wanted_more(copper: Crystal, emt: EMT) -> None:
    result = vacancy_formation_energy(copper, emt, "Cu", chemical_potential=-3.0, min_length=5.0)
    assert not result.valid
    assert "gains energy" in " ".join(result.problems)


def test_a_compound_needs_a_chemical_potential_and_an_element_that_is_there(emt: EMT) -> None:
    with pytest.raises(ToolError, match="chemical_potential"):
        vacancy_formation_energy(SALT, emt, "Na")
    with pytest.raises(ToolError, match="no K to remove"):
        vacancy_formation_energy(SALT, emt, "K", chemical_potential=-1.0)


def test_the_closest_packed_face_of_copper_is_the_cheapest(copper: Crystal, emt: EMT) -> None:
    energies = {}
    for plane in ((1, 1, 1), (1, 0, 0), (1, 1, 0)):
        result = surface_energy(copper, emt, plane)
        assert result.valid, result.problems
        energies[plane] = result.quantities["surface_energy"].value
    assert energies[(1, 1, 1)] < energies[(1, 0, 0)] < energies[(1, 1, 0)]
    assert 0.8 < energies[(1, 1, 1)] < 2.0  # J/m²


def test_a_polar_plane_has_no_energy_of_one_surface(chgnet: Any) -> None:
    result = surface_energy(SALT, chgnet, (1, 1, 1))
    assert result.failure is not None
    assert result.failure.kind == "unsuitable"
    assert "polar" in result.failure.reason


@pytest.mark.parametrize("plane", [(0, 0, 0), (1, 0, 7)])
def test_planes_that_are_none_are_refused(copper: Crystal, emt: EMT, plane: tuple[int, int, int]) -> None:
    with pytest.raises(ToolError, match="low-index"):
        surface_energy(copper, emt, plane)


def test_copper_hops_over_a_symmetric_barrier(copper: Crystal, emt: EMT) -> None:
    result = migration_barrier(copper, emt, "Cu", min_length=6.5, images=3)
    assert result.valid, result.problems
    # Experiment: 0.70 eV (P. Ehrhart, Landolt-Börnstein III/25 (1991)).
    assert result.quantities["migration_barrier"].value == pytest.approx(0.70, abs=0.2)
    assert result.quantities["site_energy_difference"].value == pytest.approx(0.0, abs=1e-3)
    assert result.energies[1] == pytest.approx(result.energies[-2], abs=0.01)
    assert result.quantities["hop_length"].value == pytest.approx(3.59 / 2**0.5, abs=0.01)


def test_a_band_that_costs_too_much_is_refused_with_its_cost(copper: Crystal, emt: EMT) -> None:
    result = migration_barrier(copper, emt, "Cu", min_length=20.0)
    assert result.failure is not None
    assert result.failure.kind == "too_expensive"
    assert "atom evaluations" in result.failure.reason


def test_iron_is_magnetic_by_chgnet_and_copper_gives_no_moment_by_emt(chgnet: Any, copper: Crystal, emt: EMT) -> None:
    iron = magnetic_moment(from_ase(bulk("Fe", "bcc", a=2.83)), chgnet)
    # PBE: 2.2 Bohr magnetons.
    assert iron.quantities["magnetic_moment_per_atom"].value == pytest.approx(2.2, abs=0.3)
    assert iron.quantities["magnetic_moment_per_atom"].unit == "bohr_magneton"
    none = magnetic_moment(copper, emt)
    assert none.failure is not None
    assert none.failure.kind == "unsuitable"


def test_formation_energy_counts_from_the_references_given(emt: EMT) -> None:
    ordered = from_ase(bulk("CuAu", "cesiumchloride", a=3.0))
    energies = {
        s: formation_energy(from_ase(bulk(s)), emt, {s: 0.0}).quantities["energy_per_atom"].value for s in ("Cu", "Au")
    }
    value = formation_energy(ordered, emt, energies).quantities["formation_energy"]
    shifted = formation_energy(ordered, emt, {"Cu": energies["Cu"] - 1.0, "Au": energies["Au"]})
    assert shifted.quantities["formation_energy"].value == pytest.approx(value.value + 0.5)
    assert abs(value.value) < 0.3
    assert value.unit == "eV/atom"
    with pytest.raises(ToolError, match="No reference energy of Au"):
        formation_energy(ordered, emt, {"Cu": 0.0})


def test_references_of_another_calculator_are_noticed(copper: Crystal, emt: EMT) -> None:
    result = formation_energy(copper, emt, {"Cu": -3700.0})
    assert not result.valid
    assert "another calculator" in " ".join(result.problems)
