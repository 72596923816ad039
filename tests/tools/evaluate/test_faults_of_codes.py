"""Faults that GPAW and the programs share, code by code: each ends with a typed, recorded reason, and no number.

Beside these: SCF, overlap, missing data sets and a kill of GPAW in `test_gpaw_physics.py`; garbage, NaN and half an
output of pw.x in `test_espresso_output.py`; limits of time, memory and core seconds in `test_bad_calculations.py`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import stat
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from pydantic import ValidationError

from lodestone.tools.core.structure import from_ase
from lodestone.tools.core.types import Crystal, EvaluationRequest, JobStatus, Observation
from lodestone.tools.evaluate.base import CalculationFailed, ProcessEvaluator
from lodestone.tools.evaluate.job import JobStore
from lodestone.tools.evaluate.process import ProcessMark, mark_process
from lodestone.tools.evaluate.registry import create_evaluator
from lodestone.tools.evaluate.watchdog import Limits, Watchdog

needs_gpaw = pytest.mark.skipif(importlib.util.find_spec("gpaw") is None, reason="GPAW is not installed")
IRON_UPF = Path("/usr/share/espresso/pseudo/Fe.pbe-nd-rrkjus.UPF")
SILICON = from_ase(bulk("Si", "diamond", a=5.47))
FAKES = {
    "espresso": ("Si.upf", '<PP_HEADER z_valence="4.0"/>', "     Program PWSCF v.7.2 starts"),
    "abinit": ("Si.fhi", "Si\n 14.0 4.0 990101\n 6 11 2 2 400 0\n", "9.9.9"),
}
"""Name to a pseudopotential of silicon, and to what tells the version. These programs calculate nothing."""


def _evaluator(name: str, folder: Path, deed: str, **settings: object) -> ProcessEvaluator[Any]:
    """An evaluator whose program notes its process number where it is started in earnest, and then does a deed."""
    pseudo, text, version = FAKES[name]
    (folder / pseudo).write_text(text)
    fake = folder / f"{name}-for-tests"
    fake.write_text(
        f"#!/bin/sh\nif ls *.in >/dev/null 2>&1; then echo $$ >> '{folder / 'started'}'; {deed}; fi\necho '{version}'\n"
    )
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    table = {"command": [str(fake)], "pseudo_dir": str(folder), "threads": 1, **settings}
    return create_evaluator(name, folder / "jobs", table)


def _outcome(evaluator: ProcessEvaluator[Any], crystal: Crystal, *properties: str) -> Observation:
    request = EvaluationRequest(candidate_id="x", crystal=crystal, properties=properties)
    key = evaluator.key(request)
    evaluator.submit([(key, request)])
    deadline = time.monotonic() + 280
    while evaluator.lookup(key) is JobStatus.RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return evaluator.harvest(key)


@pytest.mark.parametrize("name", list(FAKES))
def test_sixty_atoms_are_refused_with_their_predicted_cost_and_never_started(name: str, tmp_path: Path) -> None:
    atoms = (bulk("Si", "diamond", a=5.47, cubic=True) * (2, 2, 2))[:60]
    atoms.rattle(0.05, seed=1)
    evaluator = _evaluator(name, tmp_path, "exit 1", protocol="precise", wall_limit_s=60.0)
    found = _outcome(evaluator, from_ase(atoms))
    assert found.failure is not None
    assert found.failure.kind == "too_large"
    assert "60 atoms: predicted cost" in found.failure.reason
    assert found.cost_core_s == 0.0
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("name", list(FAKES))
def test_atoms_that_overlap_never_start_the_program(name: str, tmp_path: Path) -> None:
    close = SILICON.model_copy(update={"frac_coords": ((0.0, 0.0, 0.0), (0.03, 0.03, 0.03))})
    evaluator = _evaluator(name, tmp_path, "exit 1")
    request = EvaluationRequest(candidate_id="x", crystal=close, properties=())
    with pytest.raises(CalculationFailed, match="atoms overlap: Si and Si") as caught:
        evaluator.calculate(request, tmp_path)
    assert caught.value.kind == "geometry"
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize("name", list(FAKES))
def test_a_program_whose_calculation_is_killed_dies_with_it_and_is_started_again(name: str, tmp_path: Path) -> None:
    first = f"if [ $(wc -l < '{tmp_path / 'started'}') = 1 ]; then exec sleep 600; fi; exit 1"
    evaluator = _evaluator(name, tmp_path, first)
    request = EvaluationRequest(candidate_id="x", crystal=SILICON, properties=())
    key = evaluator.key(request)
    evaluator.submit([(key, request)])
    deadline = time.monotonic() + 120
    while not (tmp_path / "started").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    program = int((tmp_path / "started").read_text().split()[0])
    mark = ProcessMark.model_validate_json((evaluator.jobs.folder(key) / "started-1.json").read_text())
    os.kill(mark.pid, signal.SIGKILL)
    while evaluator.lookup(key) is not JobStatus.DONE:  # for a moment, between two attempts, it is dead
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert mark_process(program) is None, "no orphan goes on calculating"
    found = evaluator.harvest(key)
    assert JobStore(tmp_path / "jobs").attempts(key) == 2
    assert found.failure is not None
    assert "status 1" in found.failure.reason
    assert found.failure.kind == "crash"


@pytest.mark.parametrize("name", list(FAKES))
def test_a_program_that_the_system_kills_is_tried_with_less_memory(name: str, tmp_path: Path) -> None:
    found = _outcome(_evaluator(name, tmp_path, "kill -9 $$"), SILICON)
    assert found.failure is not None
    assert found.failure.kind == "memory"
    assert "killed by signal 9" in found.failure.reason
    assert [step.change for step in found.ladder] == [
        "algorithm that needs less memory",
        "k-points 1.5 times as far apart",
    ]
    assert len((tmp_path / "started").read_text().split()) == 3


@pytest.mark.skipif(shutil.which("pw.x") is None or not IRON_UPF.is_file(), reason="pw.x or its iron is missing")
def test_a_magnetic_metal_of_one_atom_keeps_its_moment_in_pw(tmp_path: Path) -> None:
    shutil.copy(IRON_UPF, tmp_path)
    settings = {"threads": 1, "pseudo_dir": str(tmp_path), "cutoff_ry": 30.0, "kspacing": 0.8}
    iron = from_ase(bulk("Fe", "bcc", a=2.83))
    found = _outcome(create_evaluator("espresso", tmp_path / "jobs", settings), iron, "magnetization", "band_gap")
    assert found.failure is None
    assert found.values["magnetization"].value == pytest.approx(2.2, abs=0.3)  # PBE and measured: 2.2 Bohr magnetons
    assert found.values["band_gap"].value == 0.0


@needs_gpaw
def test_what_gpaw_raises_is_told_apart() -> None:
    import gpaw
    from gpaw.utilities import AtomsTooClose

    from lodestone.tools.evaluate.gpaw import _typed

    expected = [
        (gpaw.KohnShamConvergenceError("no"), "scf"),
        (gpaw.PoissonConvergenceError("no"), "scf"),
        (np.linalg.LinAlgError("singular"), "scf"),
        (MemoryError("10 GB"), "memory"),
        (AtomsTooClose("0.1"), "geometry"),
        (RuntimeError("Broken symmetry!"), "symmetry"),
    ]
    for raised, kind in expected:
        with pytest.raises(CalculationFailed) as caught, _typed(100):
            raise raised
        assert caught.value.kind == kind
    with pytest.raises(RuntimeError, match="a bug"), _typed(100):
        raise RuntimeError("a bug is no expected failure")


@needs_gpaw
@pytest.mark.parametrize(("energy", "force"), [(float("nan"), 0.0), (float("inf"), 0.0), (-10.8, float("nan"))])
def test_a_number_of_gpaw_that_is_none_becomes_no_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, energy: float, force: float
) -> None:
    """The worker makes an observation of the kind `output` of it (`test_each_way_to_fail_has_its_reason[nan-...]`)."""
    evaluator = create_evaluator("gpaw", tmp_path)

    def answer(atoms: Atoms, *_: Any) -> Atoms:
        atoms.calc = SinglePointCalculator(
            atoms, energy=energy, forces=np.full((len(atoms), 3), force), stress=np.zeros(6)
        )
        return atoms

    monkeypatch.setattr(evaluator, "_with_calculator", answer)
    with pytest.raises(ValidationError, match="finite"):
        evaluator.calculate(EvaluationRequest(candidate_id="x", crystal=SILICON, properties=()), tmp_path)


@needs_gpaw
def test_a_checkpoint_of_gpaw_that_was_cut_off_is_not_gone_on_from(tmp_path: Path) -> None:
    from lodestone.tools.evaluate.gpaw import _restarted

    checkpoint = tmp_path / "scf.gpw"
    checkpoint.write_bytes(b"- of UlmGPAW     " + b"\x00" * 40)
    assert _restarted(checkpoint, tmp_path / "gpaw.txt") is None
    assert not checkpoint.exists()


def test_a_run_in_a_folder_below_is_a_sign_of_life(tmp_path: Path) -> None:
    """Energy curves, magnetic orders and relaxations run in folders of their own."""
    below = tmp_path / "volume-1.02"
    below.mkdir()
    dog = Watchdog(1, os.getpgid(0), tmp_path, Limits(wall_s=60.0, silence_s=0.3), 0.0)
    assert dog.look()[1] is None
    time.sleep(0.4)
    (below / "pw.out").write_text("iteration 1")
    assert dog.look()[1] is None, "something was written"
    time.sleep(0.4)
    passed = dog.look()[1]
    assert passed is not None
    assert passed.kind == "silence"
