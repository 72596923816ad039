"""SIGKILL at every place that a campaign passes, then recovery: nothing is lost, nothing is paid twice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_a_kill_at_every_fail_point_costs_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.faults", "--exhaustive", "--first-only"],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=590, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()]
    rows = {line[0]: line[1] for line in lines if len(line) == 2}
    assert int(rows["kills"].split()[0]) >= 40
    for promise in ("evaluations lost", "evaluations paid twice", "spend over a cap", "needed a person"):
        assert rows[promise] == "0"


@pytest.mark.skipif(shutil.which("runuser") is None, reason="needs util-linux")
def test_random_kills_with_a_database_that_is_killed_too() -> None:
    if not list(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.faults", "--kills", "12", "--postgres"],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=590, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
