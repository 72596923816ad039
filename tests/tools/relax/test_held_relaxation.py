"""What a relaxation holds on request: symmetry, volume, cell, pressure; on effective-medium theory."""

from __future__ import annotations

import os

import moyopy
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.spacegroup import crystal as spacegroup_crystal

from lodestone.tools.core.errors import ToolError
from lodestone.tools.core.structure import from_ase, to_ase, volume
from lodestone.tools.core.types import Crystal, PotentialRecord, Relaxation
from lodestone.tools.core.units import GPA_PER_EV_A3
from lodestone.tools.relax.ase_calculator import AseModel
from lodestone.tools.relax.batched import relax_batched
from lodestone.tools.relax.models import ModelOutput
from lodestone.tools.relax.settings import RelaxationSettings
from lodestone.tools.relax.symmetry import KeptSymmetry

EMT_RECORD = PotentialRecord(name="emt", package="ase", sha256="", licence="LGPL", elements=("Cu", "Au", "Pd", "Al"))


class Skewed:
    """A fake: effective-medium theory that is not symmetric itself, as networks without equivariance are not."""

    record = EMT_RECORD

    def evaluate(self, atoms):
        outputs = AseModel(EMT(), EMT_RECORD).evaluate(atoms)
        rng = np.random.default_rng(1)
        return [
            ModelOutput(
                energy=o.energy,
                forces=o.forces + rng.normal(0.0, 0.02, o.forces.shape),
                stress=o.stress + 1e-3 * np.array([[1, 2, 0], [2, -1, 1], [0, 1, 0]]),
                min_distance=o.min_distance,
            )
            for o in outputs
        ]


def relax(crystal: Crystal, model=None, **settings) -> Relaxation:
    (result,) = relax_batched(model or AseModel(EMT(), EMT_RECORD), [("x", crystal)], RelaxationSettings(**settings))
    return result


def tetragonal() -> Crystal:
    """CuAu of group 129 with free z of both kinds, away from its minimum."""
    atoms = spacegroup_crystal(
        ["Cu", "Au"], [(0.0, 0.5, 0.2), (0.0, 0.5, 0.7)], spacegroup=129, cellpar=[4.1, 4.1, 3.9, 90, 90, 90]
    )
    return from_ase(atoms)


def dataset(crystal: Crystal, symprec: float = 1e-3) -> moyopy.MoyoDataset:
    atoms = to_ase(crystal)
    cell = moyopy.Cell(
        basis=np.asarray(atoms.cell).tolist(),
        positions=atoms.get_scaled_positions().tolist(),
        numbers=atoms.numbers.tolist(),
    )
    return moyopy.MoyoDataset(cell, symprec=symprec)


def test_space_group_and_wyckoff_positions_are_kept_also_by_a_model_that_is_not_symmetric_itself() -> None:
    start = dataset(tetragonal())
    kept = relax(tetragonal(), Skewed(), keep_symmetry=True, fmax=0.02)
    free = relax(tetragonal(), Skewed(), keep_symmetry=False, fmax=0.08)
    assert start.number == 129
    assert kept.converged
    assert kept.steps > 0
    end = dataset(kept.crystal)
    assert (end.number, end.wyckoffs) == (start.number, start.wyckoffs)
    assert dataset(free.crystal).number != start.number


def test_keeping_symmetry_ends_where_a_free_relaxation_of_a_symmetric_model_does() -> None:
    kept, free = (relax(tetragonal(), keep_symmetry=keep, fmax=0.005) for keep in (True, False))
    assert kept.energy_per_atom == pytest.approx(free.energy_per_atom, abs=1e-4)


def test_almost_symmetric_starts_are_made_exact() -> None:
    shaken = to_ase(tetragonal())
    shaken.rattle(0.002, seed=4)
    result = relax(from_ase(shaken), keep_symmetry=True, symprec=0.02)
    assert dataset(result.crystal, 1e-5).number == dataset(tetragonal()).number


def test_symmetry_is_kept_under_pressure_and_at_fixed_volume() -> None:
    start = dataset(tetragonal())
    for more in ({"pressure_gpa": 10.0}, {"cell": "fixed_volume"}, {"cell": "fixed"}):
        result = relax(tetragonal(), Skewed(), keep_symmetry=True, **more)
        assert result.converged
        assert (dataset(result.crystal).number, dataset(result.crystal).wyckoffs) == (start.number, start.wyckoffs)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda atoms: atoms.positions.__setitem__((1, 0), atoms.positions[1, 0] + 0.05), "left its Wyckoff position"),
        (lambda atoms: atoms.set_cell(np.asarray(atoms.cell) @ np.diag([1.0, 1.02, 1.0]), scale_atoms=True), "lattice"),
    ],
)
def test_lost_symmetry_is_seen(spoil, words) -> None:
    atoms = bulk("Cu", "fcc", 3.6, cubic=True)
    symmetry = KeptSymmetry.impose(atoms, 0.01)
    assert isinstance(symmetry, KeptSymmetry)
    atoms.set_constraint()
    assert symmetry.lost(atoms) == ""
    spoil(atoms)
    assert words in symmetry.lost(atoms)


def test_overlapping_atoms_have_no_symmetry_to_keep() -> None:
    atoms = bulk("Cu", "fcc", 3.6, cubic=True)
    atoms.positions[1] = atoms.positions[0]
    result = relax(from_ase(atoms), keep_symmetry=True)
    assert result.failure is not None
    assert "no symmetry that could be kept" in result.failure.reason


def test_spglib_behaves_afterwards_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPGLIB_OLD_ERROR_HANDLING", raising=False)
    assert isinstance(KeptSymmetry.impose(bulk("Cu", "fcc", 3.6), 0.01), KeptSymmetry)
    assert "SPGLIB_OLD_ERROR_HANDLING" not in os.environ


@pytest.mark.parametrize("pressure", [-3.0, 5.0, 20.0])
def test_at_the_end_the_crystal_bears_the_pressure(pressure: float) -> None:
    start = from_ase(bulk("Cu", "fcc", 3.6))
    result = relax(start, pressure_gpa=pressure, fmax=0.002)
    atoms = to_ase(result.crystal)
    atoms.calc = EMT()
    stress = atoms.get_stress(voigt=False) * GPA_PER_EV_A3
    assert -np.trace(stress) / 3 == pytest.approx(pressure, abs=0.1)
    assert stress - np.trace(stress) / 3 * np.eye(3) == pytest.approx(np.zeros((3, 3)), abs=0.1)
    # The pressure is minus the slope of energy over volume (an independent check of its sign and unit).
    energies = []
    for factor in (0.995, 1.005):
        scaled = to_ase(result.crystal)
        scaled.set_cell(np.asarray(scaled.cell) * factor ** (1 / 3), scale_atoms=True)
        scaled.calc = EMT()
        energies.append(scaled.get_potential_energy())
    slope = (energies[1] - energies[0]) / (0.01 * volume(result.crystal))
    assert -slope * GPA_PER_EV_A3 == pytest.approx(pressure, abs=0.2)


def test_fixed_volume_relaxes_the_shape_alone_and_keeps_the_volume_to_round_off() -> None:
    atoms = bulk("Cu", "fcc", 3.75, cubic=True)
    atoms.set_cell(np.asarray(atoms.cell) @ np.diag([1.06, 0.97, 0.98]), scale_atoms=True)
    atoms.rattle(0.05, seed=3)
    start = from_ase(atoms)
    result = relax(start, cell="fixed_volume", fmax=0.005)
    assert result.converged
    assert volume(result.crystal) == pytest.approx(volume(start), rel=1e-7)
    assert np.ptp([np.linalg.norm(row) for row in result.crystal.lattice]) < 0.02  # cubic again
    assert result.stress_max_gpa > 5.0  # it is stretched, and may not shrink


def test_a_fixed_cell_does_not_move_at_all() -> None:
    atoms = bulk("Cu", "fcc", 3.75, cubic=True)
    atoms.rattle(0.1, seed=3)
    start = from_ase(atoms)
    result = relax(start, cell="fixed", fmax=0.005)
    assert result.converged
    assert np.array(result.crystal.lattice) == pytest.approx(np.array(start.lattice), abs=1e-12)
    assert result.fmax < 0.005


def test_one_atom_in_a_fixed_cell_is_done_at_once() -> None:
    result = relax(from_ase(bulk("Cu", "fcc", 3.4)), cell="fixed")
    assert (result.converged, result.steps) == (True, 0)


@pytest.mark.parametrize("keep", [True, False])
def test_one_atom_relaxes_its_cell(keep: bool) -> None:
    result = relax(from_ase(bulk("Cu", "fcc", 3.3)), keep_symmetry=keep, fmax=0.01)
    assert result.converged
    assert (4 * volume(result.crystal)) ** (1 / 3) == pytest.approx(3.5917, abs=0.01)  # EMT's own minimum


@pytest.mark.parametrize(
    "bad",
    [
        {"cell": "loose"},
        {"cell": "fixed", "pressure_gpa": 1.0},
        {"pressure_gpa": float("nan")},
        {"pressure_gpa": 1e6},
        {"keep_symmetry": True, "rattle": 0.03},
        {"symprec": 0.0},
        {"max_batch_atoms": 0},
    ],
)
def test_senseless_holds_are_refused(bad) -> None:
    with pytest.raises(ToolError):
        RelaxationSettings(**bad)
