"""What ABINIT has written: whether it is a result, and if not, what kind of failure.

ABINIT reports in YAML documents of its log (`--- !ERROR`); it ends with status 0 after a cycle that did not converge.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.types import FailureKind
from .base import CalculationFailed
from .spectrum import with_levels

if TYPE_CHECKING:
    from ase import Atoms

_MAX_BYTES = 200_000_000
_MAX_WORDS = 200

_ERRORS: tuple[tuple[FailureKind, str], ...] = (
    ("memory", r"allocat|memory|mem_test"),
    ("geometry", r"same point of the unit cell|too close|overlap|rprimd|PAW spheres"),
    ("pseudopotential", r"pseudo|psp|ixc|xc functional|while opening file|paw dataset|usepawu"),
    ("symmetry", r"symmetr|nsym|spgroup|point group|symrel"),
    ("scf", r"occ_opt|newocc|fermi|diagonali|zhegv|zheev|cholesky|lobpcg|nband|orthogonal"),
)
"""Patterns in the message of an error; the first that fits says the kind."""


def check_run(folder: Path, code: int, max_iterations: int) -> None:
    """Raise CalculationFailed for a run that did not converge or did not end well."""
    texts = []
    for name in ("abinit.log", "abinit.abo"):
        path = folder / name
        if path.is_file() and path.stat().st_size > _MAX_BYTES:
            raise CalculationFailed(f"ABINIT wrote more than {_MAX_BYTES} bytes", "output")
        texts.append(path.read_text(errors="replace") if path.is_file() else "")
    log, output = texts
    problem = re.search(r"^--- !(?:ERROR|BUG)\n(?:.*\n)*?message: \|\n((?:[ \t].*\n)+)", log, re.MULTILINE)
    if problem:
        words = " ".join(problem[1].split())[:_MAX_WORDS]
        kind: FailureKind = next((k for k, pattern in _ERRORS if re.search(pattern, words, re.IGNORECASE)), "crash")
        raise CalculationFailed(f"ABINIT: {words}", kind)
    if re.search(r"Cannot allocate memory|insufficient virtual memory|out of memory", log, re.IGNORECASE):
        raise CalculationFailed("ABINIT ran out of memory", "memory")
    if code < 0:
        # SIGKILL of the program alone is what the system does when memory runs out; a limit of ours ends the group.
        raise CalculationFailed(f"ABINIT was killed by signal {-code}", "memory" if code == -9 else "crash")
    if "not enough SCF cycles to converge" in output or "!ScfConvergenceWarning" in log:
        raise CalculationFailed(f"SCF not converged in {max_iterations} iterations", "scf")
    if code != 0 or "Calculation completed." not in output:
        words = f"ABINIT ended with status {code} before the calculation was completed"
        raise CalculationFailed(words, "crash" if code else "output")


def read_run(folder: Path, atoms: Atoms) -> Atoms:
    """The atoms with energy, forces, stress, levels and moments. Raises CalculationFailed for what is no result."""
    from ase.io.abinit import read_abinit_outputs

    levels = folder / "abinito_EIG"
    if levels.is_file() and levels.stat().st_size > _MAX_BYTES:
        raise CalculationFailed(f"ABINIT wrote more than {_MAX_BYTES} bytes", "output")
    try:
        results: dict[str, Any] = read_abinit_outputs(folder, "abinit")
    except Exception as error:
        words = f"{type(error).__name__}: {error}"[:_MAX_WORDS]
        raise CalculationFailed(f"the output of ABINIT cannot be read: {words}", "output") from error
    wanted = ("energy", "forces", "stress", "fermilevel", "eigenvalues", "kpoint_weights")
    lacking = [name for name in wanted if name not in results]
    if lacking:
        raise CalculationFailed(f"ABINIT printed no {' and no '.join(lacking)}", "output")
    if results["forces"].shape != (len(atoms), 3):
        words = f"the output of ABINIT is of {len(results['forces'])} atoms, not of {len(atoms)}"
        raise CalculationFailed(words, "output")
    numbers = np.concatenate([np.ravel(results[name]) for name in wanted])
    if not all(math.isfinite(number) for number in numbers):
        raise CalculationFailed("ABINIT printed a number that is not finite", "output")
    kept = {name: results[name] for name in ("energy", "free_energy", "forces", "stress")}
    if len(results["eigenvalues"]) == 2:
        moments = _moments((folder / "abinit.abo").read_text(errors="replace"), len(atoms))
        if "magmom" not in results or moments is None:
            raise CalculationFailed("ABINIT printed no magnetisation", "output")
        kept |= {"magmom": float(results["magmom"]), "magmoms": moments}
    return with_levels(atoms, kept, results["eigenvalues"], results["kpoint_weights"], results["fermilevel"])


def _moments(text: str, n_atoms: int) -> np.ndarray | None:
    """Moments inside the spheres of the atoms, Bohr magnetons: the last column of ABINIT's last table of them."""
    start = text.rfind("Integrated electronic and magnetization densities in atomic spheres")
    rows = re.findall(r"^\s*(\d+)\s+[\d.]+\s+-?[\d.]+\s+-?[\d.]+\s+-?[\d.]+\s+(-?[\d.]+)", text[start:], re.MULTILINE)
    if start < 0 or [int(number) for number, _ in rows[:n_atoms]] != list(range(1, n_atoms + 1)):
        return None
    return np.array([float(moment) for _, moment in rows[:n_atoms]])
