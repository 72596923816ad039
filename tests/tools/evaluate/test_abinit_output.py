"""An ABINIT that answers with garbage, half a file or an error ends with a typed reason.

The programs here are fakes that print what a test gives them; real runs are in `test_abinit_runs.py`.
"""

from __future__ import annotations

import stat
import time
from pathlib import Path

import pytest
from ase.build import bulk

from lodestone.tools.core.errors import EvaluationError
from lodestone.tools.core.structure import from_ase
from lodestone.tools.core.types import EvaluationRequest, JobStatus, Observation
from lodestone.tools.evaluate.abinit_output import check_run
from lodestone.tools.evaluate.base import CalculationFailed
from lodestone.tools.evaluate.registry import create_evaluator

SILICON = EvaluationRequest(candidate_id="Si", crystal=from_ase(bulk("Si", "diamond", a=5.47)), properties=())
DONE = " Calculation completed.\n.Delivered   0 WARNINGs\n"


def _abinit_for_tests(folder: Path, output: str, log: str = "", code: int = 0) -> str:
    """A program that answers every input with the same files."""
    (folder / "answer.abo").write_text(output)
    (folder / "answer.log").write_text(log)
    fake = folder / "abinit-for-tests"
    fake.write_text(
        f'#!/bin/sh\nif [ "$1" = --version ]; then echo 9.9.9; exit 0; fi\n'
        f"cp '{folder / 'answer.abo'}' abinit.abo\ncat '{folder / 'answer.log'}'\nexit {code}\n"
    )
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    (folder / "Si.fhi").write_text("Si\n 14.0 4.0 990101\n 6 11 2 2 400 0\n")
    return str(fake)


def _evaluate(tmp_path: Path, command: str) -> Observation:
    settings = {"command": [command], "pseudo_dir": str(tmp_path)}
    evaluator = create_evaluator("abinit", tmp_path / "jobs", settings)
    key = evaluator.key(SILICON)
    evaluator.submit([(key, SILICON)])
    deadline = time.monotonic() + 60
    while evaluator.lookup(key) is JobStatus.RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return evaluator.harvest(key)


@pytest.mark.parametrize(
    ("output", "log", "code", "kind", "words"),
    [
        ("\x00\x01 all is well\n" + DONE, "", 0, "output", "cannot be read"),
        (".Version 9.9.9 of ABINIT\n", "", 0, "output", "before the calculation was completed"),
        (".Version 9.9.9 of ABINIT\n" + DONE, "", 0, "output", "cannot be read"),
        ("", "", 3, "crash", "status 3"),
        ("", "forrtl: insufficient virtual memory\n", 1, "memory", "ran out of memory"),
    ],
)
def test_exit_0_with_garbage_is_no_result(
    tmp_path: Path, output: str, log: str, code: int, kind: str, words: str
) -> None:
    found = _evaluate(tmp_path, _abinit_for_tests(tmp_path, output, log, code))
    assert found.failure is not None
    assert found.failure.kind == kind
    assert words in found.failure.reason
    assert found.values == {}
    assert found.evaluator == "abinit-9.9.9"


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Atoms number   1 and   2 are located at the same point of the unit cell", "geometry"),
        ("Fortran open returned iostat: 2 while opening file: /nowhere/Si.psp8", "pseudopotential"),
        ("The symmetry group is incompatible with the k-point grid", "symmetry"),
        ("Allocation of 10 GB failed: out of memory", "memory"),
        ("occ_opt: the Fermi energy cannot be found", "scf"),
        ("Something else altogether", "crash"),
    ],
)
def test_errors_of_abinit_are_told_apart(tmp_path: Path, message: str, kind: str) -> None:
    log = f"--- !ERROR\nsrc_file: m_some.F90\nmpi_rank: 0\nmessage: |\n    {message}\n    Action: none.\n...\n"
    (tmp_path / "abinit.log").write_text(log)
    (tmp_path / "abinit.abo").write_text("")
    with pytest.raises(CalculationFailed, match=message.split()[0]) as caught:
        check_run(tmp_path, 14, 100)
    assert caught.value.kind == kind


def test_a_killed_program_was_out_of_memory_and_one_that_did_not_converge_is_no_result(tmp_path: Path) -> None:
    (tmp_path / "abinit.abo").write_text("")
    with pytest.raises(CalculationFailed, match="killed by signal 9") as caught:
        check_run(tmp_path, -9, 100)
    assert caught.value.kind == "memory"
    (tmp_path / "abinit.abo").write_text("  nstep=  100 was not enough SCF cycles to converge;\n" + DONE)
    with pytest.raises(CalculationFailed, match="SCF not converged in 100 iterations") as caught:
        check_run(tmp_path, 0, 100)
    assert caught.value.kind == "scf"


def test_what_is_missing_is_said_with_what_to_do(tmp_path: Path) -> None:
    without = create_evaluator("abinit", tmp_path, {"command": ["no-such-abinit"], "pseudo_dir": str(tmp_path)})
    assert "apt-get install abinit" in (without.available() or "")
    with pytest.raises(EvaluationError, match="apt-get install abinit"):
        without.submit([(without.key(SILICON), SILICON)])
    command = _abinit_for_tests(tmp_path, "")
    assert "pseudo_dir" in (create_evaluator("abinit", tmp_path, {"command": [command]}).available() or "")
    ready = create_evaluator("abinit", tmp_path, {"command": [command], "pseudo_dir": str(tmp_path)})
    assert ready.available() is None
