"""Phonons: sum rules, limits of heat, the choice of cell, instabilities by name; expansion of EMT copper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from lodestone.tools.core.errors import ToolError
from lodestone.tools.core.structure import from_ase
from lodestone.tools.core.types import Crystal
from lodestone.tools.properties.phonons import Phonons, phonons
from lodestone.tools.properties.quasiharmonic import thermal_expansion


@pytest.fixture(scope="module")
def of_copper(copper: Crystal, tmp_path_factory: pytest.TempPathFactory) -> tuple[Phonons, Path]:
    folder = tmp_path_factory.mktemp("phonons")
    return phonons(copper, EMT(), folder=folder), folder


def test_copper_is_stable_and_a_one_atom_cell_has_no_optical_mode(of_copper: tuple[Phonons, Path]) -> None:
    result, _ = of_copper
    assert result.valid, result.problems
    assert len(result.gamma) == 3
    assert max(map(abs, result.gamma)) < 0.01
    assert "lowest_optical_gamma" not in result.quantities
    assert 7.0 < result.quantities["highest_frequency"].value < 9.0
    assert (result.path[0].start, result.path[0].end) == ("G", "X")
    assert Phonons.model_validate_json(result.model_dump_json()) == result


def test_density_of_states_counts_three_modes_an_atom(of_copper: tuple[Phonons, Path]) -> None:
    result, folder = of_copper
    assert np.trapezoid(result.dos, result.dos_frequencies) == pytest.approx(3.0, rel=0.02)
    assert set(result.artefacts.values()) == {p.name for p in folder.iterdir()}


def test_heat_capacity_lies_below_dulong_and_petit(of_copper: tuple[Phonons, Path]) -> None:
    heat = of_copper[0].quantities["heat_capacity"]
    assert 0.85 * 24.94 < heat.value < 24.94
    assert heat.unit == "J/mol/K"
    zero_point = of_copper[0].quantities["zero_point_energy"]
    assert 0.02 < zero_point.value < 0.05
    assert zero_point.unit == "eV/atom"


def test_phonons_do_not_know_how_the_cell_is_chosen(of_copper: tuple[Phonons, Path]) -> None:
    other = phonons(from_ase(bulk("Cu", cubic=True)), EMT())
    for name, quantity in other.quantities.items():
        assert quantity.value == pytest.approx(of_copper[0].quantities[name].value, abs=0.01), name


def test_an_imaginary_mode_is_named_with_its_size_and_place() -> None:
    result = phonons(from_ase(bulk("Cu", "bcc", a=2.87)), EMT(), min_length=7.0)
    assert not result.valid
    words = " ".join(result.problems)
    assert "imaginary mode of" in words
    assert "THz at" in words
    assert "dynamically unstable" in words
    assert result.quantities["lowest_frequency"].value < -0.15


def test_too_many_displacements_are_refused_in_words(copper: Crystal, emt: EMT) -> None:
    result = phonons(copper, emt, max_cost=100)
    assert result.failure is not None
    assert result.failure.kind == "too_expensive"
    assert "force evaluations of 108 atoms" in result.failure.reason


@pytest.mark.parametrize("distance", [0.0, 1.0])
def test_a_displacement_beyond_the_harmonic_is_refused(copper: Crystal, emt: EMT, distance: float) -> None:
    with pytest.raises(ToolError, match="harmonic"):
        phonons(copper, emt, distance=distance)


def test_copper_expands_and_its_heat_capacity_rises_with_temperature(copper: Crystal, emt: EMT) -> None:
    result = thermal_expansion(copper, emt, min_length=5.0)
    assert result.valid, result.problems
    # Experiment: 5.0e-5 /K; EMT copper is a little softer.
    assert result.quantities["thermal_expansion"].value == pytest.approx(5.0e-5, rel=0.4)
    assert result.temperatures[0] == 0.0
    assert result.temperatures[-1] == pytest.approx(300.0)
    assert all(np.diff(result.volumes) > -1e-6)
    assert result.heat_capacities[-1] == pytest.approx(24.5, abs=0.5)
    assert result.quantities["gruneisen_parameter"].value == pytest.approx(2.0, abs=0.5)


def test_optical_mode_of_a_salt_is_transverse_and_threefold(chgnet: Any) -> None:
    result = phonons(from_ase(bulk("MgO", "rocksalt", a=4.21)), chgnet, min_length=8.0)
    low, high = (result.quantities[f"{end}_optical_gamma"].value for end in ("lowest", "highest"))
    assert low == pytest.approx(high, abs=0.05)
    # Published PBE: 11.2 THz; CHGNet is known to be too soft.
    assert 8.5 < low < 11.5
