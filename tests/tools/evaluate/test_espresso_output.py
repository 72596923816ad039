"""A pw.x that answers with garbage, half a file, numbers that are none or an error ends with a typed reason.

The programs here are fakes that print what a test gives them; real runs are in `test_espresso_runs.py`.
"""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest
from ase.build import bulk

from lodestone.tools.core.structure import from_ase
from lodestone.tools.core.types import EvaluationRequest, JobStatus, Observation
from lodestone.tools.evaluate.base import CalculationFailed
from lodestone.tools.evaluate.espresso_output import check_output
from lodestone.tools.evaluate.registry import create_evaluator

SILICON = EvaluationRequest(candidate_id="Si", crystal=from_ase(bulk("Si", "diamond", a=5.47)), properties=())
BANNER = "     Program PWSCF v.7.2 starts on  1Jan2024\n"
DONE = "=------------------------------------------------------------------------------=\n   JOB DONE.\n"


def _pw_that_prints(folder: Path, text: str, code: int = 0) -> str:
    """A program that answers every input with the same text."""
    (folder / "answer.txt").write_text(BANNER + text)
    fake = folder / "pw-for-tests"
    fake.write_text(f"#!/bin/sh\ncat '{folder / 'answer.txt'}'\nexit {code}\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    (folder / "Si.upf").write_text('<PP_HEADER z_valence="4.0"/>')
    return str(fake)


def _evaluate(tmp_path: Path, command: str) -> Observation:
    evaluator = create_evaluator("espresso", tmp_path / "jobs", {"command": [command], "pseudo_dir": str(tmp_path)})
    key = evaluator.key(SILICON)
    evaluator.submit([(key, SILICON)])
    deadline = time.monotonic() + 60
    while evaluator.lookup(key) is JobStatus.RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return evaluator.harvest(key)


@pytest.mark.parametrize(
    ("text", "code", "kind", "words"),
    [
        ("\x00\x01 all is well \xff\n" + DONE, 0, "output", "pw.x"),
        ("!    total energy              =     -15.8 Ry\n", 0, "output", "before the job was done"),
        ("!    total energy              =             NaN Ry\n" + DONE, 0, "output", "pw.x"),
        ("     convergence NOT achieved after 100 iterations: stopping\n", 2, "scf", "tried: density mixed"),
    ],
)
def test_exit_0_with_garbage_is_no_result(tmp_path: Path, text: str, code: int, kind: str, words: str) -> None:
    found = _evaluate(tmp_path, _pw_that_prints(tmp_path, text, code))
    assert found.failure is not None
    assert found.failure.kind == kind
    assert words in found.failure.reason
    assert found.values == {}


@pytest.mark.parametrize(
    ("routine", "message", "kind"),
    [
        ("cdiaghg (159)", "S matrix not positive definite", "scf"),
        ("c_bands (1)", "too many bands are not converged", "scf"),
        ("check_atoms (1)", "atoms #   1 and #   2 differ by lattice vector", "geometry"),
        ("readpp (2)", "file ./Si.upf not found", "pseudopotential"),
        ("checkallsym (3)", "some of the original symmetry operations not satisfied", "symmetry"),
        ("allocate_fft (1)", "cannot allocate array", "memory"),
        ("davcio (10)", "error while reading from file", "crash"),
    ],
)
def test_errors_of_pw_are_told_apart(tmp_path: Path, routine: str, message: str, kind: str) -> None:
    output = tmp_path / "pw.out"
    output.write_text(f"{BANNER} %%%%%%\n     Error in routine  {routine}:\n      {message}\n %%%%%%\n")
    with pytest.raises(CalculationFailed, match="error in routine") as caught:
        check_output(output, 1, 100)
    assert caught.value.kind == kind


def test_a_program_that_the_system_killed_was_out_of_memory(tmp_path: Path) -> None:
    output = tmp_path / "pw.out"
    output.write_text(BANNER)
    with pytest.raises(CalculationFailed, match="killed by signal 9") as caught:
        check_output(output, -9, 100)
    assert caught.value.kind == "memory"
