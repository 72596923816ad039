"""`lodestone property`: a table or JSON, exit codes, and refusals that say what to do."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from lodestone.loops.cli import main
from lodestone.loops.property_commands import ModelCalculator
from lodestone.tools.relax.chgnet import ChgnetModel


@pytest.fixture
def copper(tmp_path: Path) -> str:
    write(tmp_path / "Cu.cif", bulk("Cu"))
    return str(tmp_path / "Cu.cif")


def test_the_same_value_as_a_table_and_as_json(copper: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["property", "Equation of state", "--cif", copper, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["potential"] == "chgnet-0.3.0"
    assert told["valid"] is True
    modulus = told["quantities"]["bulk_modulus"]
    assert modulus["value"] == pytest.approx(137.0, rel=0.15)  # all-electron PBE: 141 GPa (ase.collections.dcdft)
    assert main(["property", "equation_of_state", "--cif", copper]) == 0
    table = capsys.readouterr().out
    assert f"{modulus['value']:.5g}" in table
    assert "ok" in table


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["hardness"], 3, "Known: equation of state"),
        (["surface energy"], 3, "--plane 1 0 0"),
        (["migration barrier"], 3, "--element Li"),
        (["formation energy", "--reference", "Cu:1"], 3, "Na=-1.31"),
        (["phonons", "--potential", "chgnett"], 4, "chgnet"),
        (["phonons", "--max-cost", "0"], 5, "atoms times force evaluations"),
    ],
)
def test_what_cannot_be_computed_is_refused_with_a_remedy(
    copper: str, words: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["property", *words, "--cif", copper]) == code
    assert told in capsys.readouterr().err


def test_a_crystal_that_is_too_large_ends_with_its_reason(copper: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["property", "phonons", "--cif", copper, "--max-cost", "50"]) == 5
    assert "force evaluations of 108 atoms" in " ".join(capsys.readouterr().out.split())


def test_the_model_as_a_calculator_gives_the_derivatives_of_its_energy() -> None:
    atoms = bulk("NaCl", "rocksalt", a=5.5)
    atoms.rattle(0.05, seed=3)
    atoms.calc = ModelCalculator(ChgnetModel("cpu"))
    strain, step = np.array([[0.0, 0.5, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 1.0]]), 2e-3
    energies = []
    for sign in (-1, 1):
        moved = atoms.copy()
        moved.set_cell(atoms.cell @ (np.eye(3) + sign * step * strain), scale_atoms=True)
        moved.calc = atoms.calc
        energies.append(moved.get_potential_energy())
    slope = (energies[1] - energies[0]) / (2 * step * atoms.get_volume())
    assert float(np.sum(atoms.get_stress(voigt=False) * strain)) == pytest.approx(slope, rel=0.05, abs=2e-4)
