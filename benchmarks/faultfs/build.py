"""Compiles the shim, and runs the driver under it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def compile_shim(folder: Path) -> Path:
    """The shared library, compiled now. Raises SystemExit when there is no compiler."""
    target = folder / "shim.so"
    source = Path(__file__).with_name("shim.c")
    done = subprocess.run(
        ["cc", "-O1", "-shared", "-fPIC", "-o", str(target), str(source), "-ldl"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"The shim does not compile (apt-get install gcc libc6-dev): {done.stderr[:500]}")
    return target


def drive(
    shim: Path, folder: Path, facts: Path, log: Path, fail_at: int = -1, error: int = 0, stays: bool = False,
    cut: bool = False,
) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run the driver once; with `fail_at` that operation is refused (`stays`: and all later ones)."""
    arguments = [folder, facts, log, fail_at, error, int(stays), int(cut)]
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.faultfs.driver", *map(str, arguments)],
        cwd=ROOT, env={**os.environ, "LD_PRELOAD": str(shim)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
