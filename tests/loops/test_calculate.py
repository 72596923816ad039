"""`lodestone calc`: from a sentence to a value with its method, and refusals that say what to do."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from ase.build import bulk
from ase.io import write

from lodestone.loops.calculation_words import cell_words, lattice_constant, warnings_of
from lodestone.loops.cli import main
from lodestone.tools.core.structure import from_ase
from lodestone.tools.core.types import EvaluationRequest, LadderStep, Observation, Quantity
from lodestone.tools.evaluate.registry import create_evaluator

needs_gpaw = pytest.mark.skipif(importlib.util.find_spec("gpaw") is None, reason="GPAW is not installed")


@pytest.fixture
def config(tmp_path: Path) -> str:
    """The fast protocol, with a limit that small cells are far from."""
    (tmp_path / "config.toml").write_text('[evaluators.gpaw]\nprotocol = "fast"\nwall_limit_s = 300.0\n')
    return str(tmp_path / "config.toml")


@needs_gpaw
def test_a_sentence_gives_a_value_and_keeps_its_files(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    words = ["calc", "PBE band gap of rocksalt MgO", "--evaluator", "gpaw", "--yes", "--out", str(out)]
    assert main(["--config", config, *words]) == 0
    screen = " ".join(capsys.readouterr().out.split())
    for told in ("rocksalt 2 atoms, Fm-3m (225)", "chgnet", "k-mesh", "core-seconds", "GPAW(", "'ecut': 350.0"):
        assert told in screen, told
    assert "method PBE, plane waves 350 eV" in screen
    assert "The gap is direct" in screen
    assert (out / "start.cif").is_file()
    assert "GPAW(" in (out / "input.txt").read_text()
    saved = Observation.model_validate_json((out / "result.json").read_text())
    assert 3.0 < saved.values["band_gap"].value < 6.0
    assert (out / "jobs" / saved.artefacts["output"]).is_file()

    write(tmp_path / "Al.cif", bulk("Al", "fcc", a=4.04))
    asked = ["calc", "total energy of", "--cif", str(tmp_path / "Al.cif"), "--evaluator", "gpaw", "--yes", "--json"]
    assert main(["--config", config, *asked, "--out", str(tmp_path / "Al")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["values"]["energy_per_atom"]["unit"] == "eV/atom"
    assert told["wanted"] == ["energy_per_atom"]
    assert any("fast protocol" in warning for warning in told["warnings"])


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["hardness of MgO"], 3, "nothing here calculates the hardness"),
        (["band gap of rocksalt MgO", "--evaluator", "gpow"], 4, "Did you mean 'gpaw'"),
        (["bulk modulus of diamond Si", "--evaluator", "sevennet", "--protocol", "fast"], 4, "has no protocol"),
        (["band gap of spinel MgO"], 3, "No prototype of MgO with spinel"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_remedy(
    words: list[str], code: int, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calc", *words, "--out", str(tmp_path / "out")]) == code
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@needs_gpaw
def test_a_cell_that_is_too_large_is_refused_with_its_predicted_cost(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    atoms = (bulk("MgO", "rocksalt", a=4.25, cubic=True) * (2, 2, 2))[:60]
    atoms.rattle(0.02, seed=1)
    write(tmp_path / "large.cif", atoms)
    Path(config).write_text('[evaluators.gpaw]\nprotocol = "precise"\nwall_limit_s = 120.0\n')
    asked = ["calc", "band gap of", "--cif", str(tmp_path / "large.cif"), "--evaluator", "gpaw", "--yes"]
    assert main(["--config", config, *asked, "--out", str(tmp_path / "out")]) == 7
    assert "The predicted cost is" in capsys.readouterr().err


@needs_gpaw
def test_nothing_is_paid_without_a_yes(
    tmp_path: Path, config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    write(tmp_path / "Al.cif", bulk("Al", "fcc", a=4.04))
    asked = ["calc", "wibbly energy per atom of", "--cif", str(tmp_path / "Al.cif"), "--evaluator", "gpaw"]
    assert main(["--config", config, *asked, "--out", str(tmp_path / "out")]) == 3
    told = capsys.readouterr()
    assert "Add --yes" in told.err
    assert "'wibbly' was not understood" in " ".join(told.out.split())
    assert not (tmp_path / "out").exists()


def test_the_lattice_constant_of_a_cubic_crystal_follows_its_volume() -> None:
    silicon = from_ase(bulk("Si", "diamond", a=5.40))
    found = lattice_constant(silicon, Quantity(value=5.47**3 / 8, unit="angstrom^3/atom", std=0.003 * 5.47**3 / 8))
    assert found is not None
    assert found.value == pytest.approx(5.47, abs=1e-6)
    assert found.std == pytest.approx(0.001 * 5.47)
    wurtzite = from_ase(bulk("ZnO", "wurtzite", a=3.25, c=5.2))
    assert lattice_constant(wurtzite, Quantity(value=12.0, unit="angstrom^3/atom")) is None
    assert cell_words(silicon) == "2 atoms, Fd-3m (227), a = 5.400 Å"


def test_values_of_changed_physics_are_warned_of(tmp_path: Path) -> None:
    step = LadderStep(change="smearing twice as wide", because="scf: no convergence", physics="smearing twice as wide")
    observation: Any = Observation(
        key="k", candidate_id="c", evaluator="gpaw-1", method="PBE", fidelity="dft", ladder=(step,),
        values={"stress_max": Quantity(value=9.0, unit="GPa")},
    )  # fmt: skip
    silicon = from_ase(bulk("Si", "diamond", a=5.40))
    request = EvaluationRequest(candidate_id="c", crystal=silicon, properties=())
    told = " ".join(warnings_of(observation, request, create_evaluator("gpaw", tmp_path)))
    assert "changed physics: smearing twice as wide" in told
    assert "stress of 9.0 GPa" in told
