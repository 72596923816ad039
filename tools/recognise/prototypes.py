"""Which AFLOW prototype a crystal is, by matching structures with any elements.

What is not here: naming shaken crystals, which no longer match (`network.py`).
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from functools import lru_cache
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from ..core.structure import from_pymatgen, to_pymatgen
from ..core.types import Crystal
from .graph import cell_volume
from .symmetry import symmetry

if TYPE_CHECKING:
    from pymatgen.core import Structure

LTOL, STOL, ANGLE_TOL = 0.2, 0.3, 5.0
"""Tolerances of the first pass, those of pymatgen's own prototype matcher (angle in degrees)."""

LIBRARY_SYMPREC = 0.05
"""Å; some AFLOW entries give coordinates with three digits only."""

_TIGHTER = 0.8
_TIGHTEST = 0.01


def match_prototype(crystal: Crystal) -> str:
    """AFLOW label of the prototype, e.g. `AB_cF8_225_a_b`; an empty string where none matches.

    Prototypes of the same anonymous formula and number of atoms in the primitive cell are compared with
    pymatgen's `StructureMatcher`. Among several, those with the crystal's own space group come first; then the
    tolerances are tightened until one is left. The library is that of Mehl et al., Comput. Mater. Sci. 136, S1
    (2017). Raises ValueError for a flat cell.
    """
    cell_volume(np.array(crystal.lattice))  # Niggli reduction of a flat cell does not end
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pymatgen remarks on elements without electronegativity
        structure = _reduced(to_pymatgen(crystal))
        matches = [
            (label, known)
            for label, known in _library().get(_formula([str(s.specie) for s in structure]), ())
            if len(known) == len(structure) and _fits(known, structure, 1.0)
        ]
        if len({label for label, _ in matches}) > 1:
            number = symmetry(crystal).number
            matches = [m for m in matches if _space_group(m[0]) == number] or matches
        factor = _TIGHTER
        while len({label for label, _ in matches}) > 1 and LTOL * factor > _TIGHTEST:
            closer = [m for m in matches if _fits(m[1], structure, factor)]
            if not closer:
                break
            matches, factor = closer, factor * _TIGHTER
    return min((label for label, _ in matches), default="")


@lru_cache(maxsize=1)
def _library() -> dict[tuple[int, ...], tuple[tuple[str, Structure], ...]]:
    """Anonymous formula to (label, reduced structure); read once a process, about two seconds.

    Entries whose coordinates have another space group than their label says are left out: shaken pyrite would
    else be found to be the P1 "pyrite" that the library also holds.
    """
    from pymatgen.analysis.prototypes._data import AFLOW_PROTOTYPE_LIBRARY

    table: dict[tuple[int, ...], list[tuple[str, Structure]]] = {}
    for entry in AFLOW_PROTOTYPE_LIBRARY:
        label, given = str(entry["tags"]["aflow"]), entry["snl"].structure
        if symmetry(from_pymatgen(given), LIBRARY_SYMPREC).number != _space_group(label):
            continue
        structure = _reduced(given)
        table.setdefault(_formula([str(s.specie) for s in structure]), []).append((label, structure))
    return {k: tuple(v) for k, v in table.items()}


def _reduced(structure: Structure) -> Structure:
    return structure.get_reduced_structure(reduction_algo="niggli").get_primitive_structure()


def has_formula_of(crystal: Crystal, label: str) -> bool:
    """Whether a crystal's elements stand in the ratios that an AFLOW label names, e.g. `AB3C` for SrTiO3."""
    counts = re.findall(r"[A-Z](\d*)", label.split("_")[0])
    return sorted(int(c or 1) for c in counts) == list(_formula(list(crystal.species)))


def _formula(symbols: list[str]) -> tuple[int, ...]:
    """Counts of the elements in lowest terms, smallest first: (1, 1, 3) for a perovskite."""
    counts = sorted(Counter(symbols).values())
    return tuple(c // gcd(*counts) for c in counts)


def _fits(known: Structure, structure: Structure, factor: float) -> bool:
    from pymatgen.core.structure_matcher import StructureMatcher

    matcher = StructureMatcher(LTOL * factor, STOL * factor, ANGLE_TOL * factor)
    return bool(matcher.fit_anonymous(known, structure, skip_structure_reduction=True))


def _space_group(label: str) -> int:
    return int(label.split("_")[2])
