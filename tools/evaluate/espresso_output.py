"""What pw.x has written: whether it is a result, and if not, what kind of failure.

The messages are those of pw.x 6 and 7 (`errore` calls of its sources).
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.types import FailureKind
from .base import CalculationFailed

if TYPE_CHECKING:
    from ase import Atoms

_MAX_OUTPUT_BYTES = 200_000_000

_ERRORS: tuple[tuple[FailureKind, str], ...] = (
    ("memory", r"allocat|memory|virtual"),
    ("geometry", r"check_atoms|overlap|differ by lattice vector|latgen|too close"),
    ("symmetry", r"\bsym|symm|not orthogonal operation|d_matrix|group"),
    ("pseudopotential", r"readpp|read_?upf|pseudo|upf|set_dft|conflicting values for igcx"),
    ("scf", r"cdiaghg|rdiaghg|cholesky|c_bands|positive definite|bands are not converged|eigenvalues not converged"),
    ("scf", r"electrons|charge is wrong|fermi|smearing"),
)
"""Patterns in the routine and the message of an error; the first that fits says the kind."""


def check_output(output: Path, code: int, max_iterations: int) -> None:
    """Raise CalculationFailed for a run that did not converge or did not end well."""
    if output.stat().st_size > _MAX_OUTPUT_BYTES:
        raise CalculationFailed(f"pw.x wrote more than {_MAX_OUTPUT_BYTES} bytes", "output")
    text = output.read_text(errors="replace")
    if "convergence NOT achieved" in text:
        raise CalculationFailed(f"SCF not converged in {max_iterations} iterations", "scf")
    problem = re.search(r"Error in routine\s+(.+?)\s*:?\s*\n\s*(.+?)\s*\n", text)
    if problem:
        words = f"{problem[1]}: {problem[2]}"
        kind: FailureKind = next((k for k, pattern in _ERRORS if re.search(pattern, words, re.IGNORECASE)), "crash")
        raise CalculationFailed(f"pw.x: error in routine {words}", kind)
    if re.search(r"Cannot allocate memory|Allocation would exceed memory|Out of memory", text, re.IGNORECASE):
        raise CalculationFailed("pw.x ran out of memory", "memory")
    if code < 0:
        # SIGKILL of the program alone is what the system does when memory runs out; a limit of ours ends the group.
        raise CalculationFailed(f"pw.x was killed by signal {-code}", "memory" if code == -9 else "crash")
    if code != 0 or "JOB DONE" not in text:
        raise CalculationFailed(f"pw.x ended with status {code} before the job was done", "crash" if code else "output")


def read_output(output: Path, n_atoms: int) -> Atoms:
    """The atoms with energy, forces, stress and levels. Raises CalculationFailed for an output that is no result."""
    from ase.io import read

    try:
        atoms = read(output, index=-1, format="espresso-out")
    except Exception as error:
        raise CalculationFailed(f"the output of pw.x cannot be read: {error}", "output") from error
    results = {} if isinstance(atoms, list) or atoms.calc is None else atoms.calc.results
    lacking = [name for name in ("energy", "forces", "stress") if name not in results]
    if lacking or isinstance(atoms, list):
        raise CalculationFailed(f"pw.x printed no {' and no '.join(lacking) or 'single cell'}", "output")
    if len(atoms) != n_atoms:
        raise CalculationFailed(f"the output of pw.x is of {len(atoms)} atoms, not of {n_atoms}", "output")
    numbers = [float(results["energy"]), *map(float, results["forces"].ravel()), *map(float, results["stress"].ravel())]
    if not all(math.isfinite(number) for number in numbers):
        raise CalculationFailed("pw.x printed an energy, force or stress that is not a finite number", "output")
    if "magmoms" in results:  # ASE knows no total, and of the atoms it reads the last column, which may be another
        text = output.read_text(errors="replace")
        totals = re.findall(r"total magnetization\s+=\s+(-?[\d.]+)", text)
        moments = re.findall(r"magn\s*[:=]\s*(-?[\d.]+)", text)[-n_atoms:]
        if not totals or len(moments) != n_atoms:
            raise CalculationFailed("pw.x printed no magnetisation", "output")
        results["magmom"] = float(totals[-1])
        results["magmoms"] = np.array([float(moment) for moment in moments])
    return atoms
