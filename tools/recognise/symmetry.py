"""Space group of a crystal at a stated tolerance, by moyopy.

What is not here: symmetry of shaken crystals (`network.py`), and symbols of prototypes (`prototypes.py`).
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.types import Crystal

if TYPE_CHECKING:
    from moyopy import MoyoDataset

Floats = NDArray[np.float64]

SYMPREC = 0.01
"""Å; the tolerance that pymatgen and Materials Project use for relaxed crystals."""

CRYSTAL_SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")
"""The seven crystal systems (International Tables for Crystallography A, 2016, section 2.1.1)."""

_LAST_GROUP = (2, 15, 74, 142, 167, 194, 230)


@dataclass(frozen=True)
class Symmetry:
    """Space group found at `symprec` (Å). Where none was found: P1, with the reason in `failure`."""

    number: int
    symbol: str
    crystal_system: str
    symprec: float
    failure: str = ""


def crystal_system(number: int) -> str:
    """Crystal system of a space group (1 to 230)."""
    return CRYSTAL_SYSTEMS[bisect_left(_LAST_GROUP, number)]


def symmetry(crystal: Crystal, symprec: float = SYMPREC) -> Symmetry:
    """Space group at a tolerance in Å; a cell that cannot be analysed gives P1 and a reason, never an error."""
    import moyopy
    from ase.data import atomic_numbers

    try:
        numbers = [atomic_numbers[s] for s in crystal.species]
        number = int(analyse(np.array(crystal.lattice), np.array(crystal.frac_coords), numbers, symprec).number)
    except KeyError as error:
        return _none(symprec, f"unknown element {error.args[0]!r}")
    except ValueError as error:
        return _none(symprec, f"no space group at {symprec:g} Å: {error}")
    symbol = str(moyopy.SpaceGroupType(number).hm_short).replace(" ", "")
    return Symmetry(number, symbol, crystal_system(number), symprec)


def analyse(basis: Floats, positions: Floats, numbers: list[int], symprec: float) -> MoyoDataset:
    """moyopy's findings for a cell (rows are vectors) with fractional positions (n x 3); `symprec` in its unit.

    Raises ValueError, as moyopy does, where no symmetry can be found.
    """
    import moyopy

    # moyopy sends remarks on supercells to the logger "moyo". Without any handler Python prints them to
    # stderr; a null handler is how a library leaves that choice to the application, and mutes nothing.
    logger = logging.getLogger("moyo")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    cell = moyopy.Cell(basis=basis.tolist(), positions=positions.tolist(), numbers=numbers)
    return moyopy.MoyoDataset(cell, symprec=symprec)


def _none(symprec: float, reason: str) -> Symmetry:
    return Symmetry(1, "P1", CRYSTAL_SYSTEMS[0], symprec, reason)
