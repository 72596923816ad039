"""What VASP has written: whether it is a result, and if not, what kind of failure.

`vasprun.xml` is read by ASE. It says nothing of the cycle's success, which shows in its number of steps, and nothing of
magnetic moments, which are in OSZICAR and OUTCAR (https://www.vasp.at/wiki/index.php/Category:Files).
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.types import FailureKind
from .base import CalculationFailed
from .spectrum import with_levels

if TYPE_CHECKING:
    from ase import Atoms

MAX_XML_BYTES = 100_000_000
"""Of vasprun.xml, all of which ASE holds in memory as a tree."""
_MAX_TEXT_BYTES = 200_000_000
_MAX_WORDS = 200
_TAIL_BYTES = 20_000_000

_ERRORS: tuple[tuple[FailureKind, str], ...] = (
    ("memory", r"insufficient virtual memory|cannot allocate|out of memory|oom-kill|allocation failed"),
    ("pseudopotential", r"POTCAR|number of potentials|pseudopotential"),
    (
        "symmetry",
        r"reciprocal lattice and k-lattice|PRICELV?\b|rotation matrix was not found|POSMAP|SGRCON|IBZKPT|rhosyg|"
        r"symmetr|GROUP_GENERATOR",
    ),
    ("scf", r"BRMIX|ZHEGV|ZPOTRF|EDDDAV|EDDRMM|EDWAV|sub-space-matrix|CNORMN|TOO FEW BANDS|self-consistency was not"),
    ("geometry", r"ions is very small|POSCAR"),
)
"""Patterns in what VASP prints; the first that fits says the kind of a run that gave no result."""


def check_run(folder: Path, code: int, max_iterations: int) -> None:
    """Raise CalculationFailed for a run that did not converge or did not end well."""
    printed = _text(folder / "vasp.out")
    document = folder / "vasprun.xml"
    complete = document.is_file() and _is_complete(document)
    if code == 0 and complete:
        if (steps := _last_cycle(document)) >= max_iterations:
            raise CalculationFailed(f"SCF not converged in {steps} iterations", "scf")
        return
    for kind, pattern in _ERRORS:
        found = re.search(rf"^.*(?:{pattern}).*$", printed, re.IGNORECASE | re.MULTILINE)
        if found:
            raise CalculationFailed(f"VASP: {' '.join(found[0].split())[:_MAX_WORDS]}", kind)
    if code < 0:
        # SIGKILL of the program alone is what the system does when memory runs out; a limit of ours ends the group.
        raise CalculationFailed(f"VASP was killed by signal {-code}", "memory" if code == -9 else "crash")
    what = "vasprun.xml is cut off" if document.is_file() else "there is no vasprun.xml"
    raise CalculationFailed(f"VASP ended with status {code}: {what}", "crash" if code else "output")


def read_run(folder: Path, atoms: Atoms) -> Atoms:
    """The atoms with energy (without the entropy of the smearing), forces, stress, levels and moments.

    Args:
        folder: of a run that `check_run` is content with.
        atoms: in the order of POSCAR.

    Raises:
        CalculationFailed: for an output that is no result.
    """
    from ase.io.vasp import read_vasp_xml

    try:
        found = next(iter(read_vasp_xml(folder / "vasprun.xml", -1)))
        if not isinstance(found, type(atoms)):  # some versions of ASE wrap it
            found = found[-1]
        calc = found.calc
        kept = {name: calc.results[name] for name in ("energy", "free_energy", "forces", "stress")}
        weights, level = calc.get_k_point_weights(), calc.get_fermi_level()
        spins, points = range(calc.get_number_of_spins()), range(len(weights))
        levels = np.array([[calc.get_eigenvalues(kpt=k, spin=s) for k in points] for s in spins], dtype=float)
        numbers = np.concatenate([*(np.ravel(value) for value in kept.values()), levels.ravel(), [float(level)]])
    except Exception as error:
        words = f"{type(error).__name__}: {error}"[:_MAX_WORDS]
        raise CalculationFailed(f"vasprun.xml cannot be read: {words}", "output") from error
    if found.get_chemical_symbols() != atoms.get_chemical_symbols():
        words = f"vasprun.xml is of {found.get_chemical_formula()}, not of {atoms.get_chemical_formula()}"
        raise CalculationFailed(words, "output")
    if not all(math.isfinite(number) for number in numbers):
        raise CalculationFailed("VASP wrote a number that is not finite", "output")
    if len(levels) == 2:
        kept |= _moments(folder, len(atoms))
    return with_levels(atoms, kept, levels, weights, level)


def _moments(folder: Path, n_atoms: int) -> dict[str, object]:
    """Total moment of the cell (OSZICAR) and those inside the spheres of the atoms (OUTCAR), Bohr magnetons."""
    totals = re.findall(r"mag=\s*(-?[\d.]+(?:E[+-]?\d+)?)", _text(folder / "OSZICAR"))
    text = _text(folder / "OUTCAR")
    start = text.rfind("magnetization (x)")
    rows = re.findall(r"^\s*(\d+)((?:\s+-?\d+\.\d+)+)\s*$", text[start:], re.MULTILINE)[:n_atoms]
    if not totals or start < 0 or [int(number) for number, _ in rows] != list(range(1, n_atoms + 1)):
        raise CalculationFailed("VASP wrote no magnetisation", "output")
    moments = [float(columns.split()[-1]) for _, columns in rows]
    return {"magmom": float(totals[-1]), "magmoms": np.array(moments)}


def _is_complete(document: Path) -> bool:
    """Whether an XML document ends; a document that is too large, or defines entities, is refused."""
    size = document.stat().st_size
    if size > MAX_XML_BYTES:
        raise CalculationFailed(f"vasprun.xml has {size} bytes, more than {MAX_XML_BYTES}", "output")
    data = document.read_bytes()
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise CalculationFailed("vasprun.xml defines entities, which VASP never does", "output")
    return data.rstrip().endswith(b"</modeling>")


def _last_cycle(document: Path) -> int:
    """Steps of the last self-consistency cycle."""
    data = document.read_bytes()
    return data[max(0, data.rfind(b"<calculation")) :].count(b"<scstep")


def _text(path: Path) -> str:
    """The last part of a file, which is where VASP says how it ended; empty without the file."""
    if not path.is_file():
        return ""
    size = path.stat().st_size
    if size > _MAX_TEXT_BYTES:
        raise CalculationFailed(f"VASP wrote more than {_MAX_TEXT_BYTES} bytes into {path.name}", "output")
    with path.open("rb") as stream:
        stream.seek(max(0, size - _TAIL_BYTES))
        return stream.read().decode(errors="replace")
