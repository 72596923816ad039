"""A campaign whose evaluator fails on purpose goes on, charges what failed, and says why; and one with real DFT."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lodestone.loops.history import build_record

SMALL = {
    "LODESTONE_PREFECT__ENABLED": "false",
    "LODESTONE_CAMPAIGN__PROPOSALS": "8",
    "LODESTONE_CAMPAIGN__BATCH": "3",
    "LODESTONE_CAMPAIGN__MAX_ATOMS": "4",
}
POINTS = """[lodestone.evaluators]
sometimes-failing-for-tests = failing_evaluator:SometimesFailingForTests
always-failing-for-tests = failing_evaluator:AlwaysFailingForTests
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the failing evaluators as an installed third-party package."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(Path(__file__).parent / "failing_evaluator.py", folder)
    info = folder / "failing_evaluator-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: failing-evaluator\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(POINTS)
    return folder


def run(words: str, evaluator: str, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **SMALL, **({"PYTHONPATH": str(path)} if path else {})}
    return subprocess.run(
        [sys.executable, "-m", "lodestone.loops.cli", "run", words, "--yes", "--evaluator", evaluator, "--dir", "c"],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
        stdin=subprocess.DEVNULL,
        check=False,
    )


def test_failed_evaluations_are_charged_reported_and_survived(site: Path, tmp_path: Path) -> None:
    done = run("find the ground state of NaCl; 10 evaluations; 4 rounds", "sometimes-failing-for-tests", tmp_path, site)
    assert done.returncode == 0, done.stderr
    record = build_record(tmp_path / "c")
    assert record.status == "finished"
    failed = [e for e in record.evaluated if e.failure]
    assert failed
    assert len(failed) < len(record.evaluated)
    assert record.evaluations_failed == len(failed)
    assert record.evaluations_spent == len(record.evaluated) + record.evaluations_reference
    assert {e.failure for e in failed} == {"SCF not converged in 3 iterations"}
    assert not any(e.meets_goal for e in failed)
    page = (tmp_path / "c" / "report.html").read_text()
    assert "SCF not converged in 3 iterations" in page


def test_a_broken_evaluator_ends_the_campaign_before_the_budget_is_burnt(site: Path, tmp_path: Path) -> None:
    done = run("find the ground state of NaCl; 40 evaluations", "always-failing-for-tests", tmp_path, site)
    assert done.returncode == 6, done.stderr
    assert "licence server" in done.stdout
    record = build_record(tmp_path / "c")
    assert record.evaluations_spent < 10
    assert "the licence server is down" in record.stop_reason
    assert (tmp_path / "c" / "report.html").is_file()


@pytest.mark.skipif(importlib.util.find_spec("gpaw") is None, reason="GPAW is not installed: make dft")
def test_a_campaign_with_real_dft_finds_rocksalt(tmp_path: Path) -> None:
    done = run("find the ground state of NaCl; 7 evaluations; 2 rounds", "gpaw", tmp_path)
    assert done.returncode == 0, done.stderr
    record = build_record(tmp_path / "c")
    assert len(record.plans) == 2
    assert "GPAW" in record.method
    assert record.evaluations_failed == 0
    best = next(e for e in record.evaluated if e.meets_goal)
    assert best.values["formation_energy"].value == pytest.approx(-1.84, abs=0.15)  # PBE, e.g. OQMD: -1.82 eV/atom
    assert best.space_group == 225
    assert all(e.values["energy_above_hull"].value >= 0 for e in record.evaluated)
