"""Symmetry that a relaxation keeps on request, and the check that it did.

What is not here: symmetry that a free relaxation almost reached (`symmetrise.py`), and its name (`tools/recognise`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms


SPGLIB_SWITCH = "SPGLIB_OLD_ERROR_HANDLING"
"""Environment variable that ASE 3.29 sets around spglib and leaves behind; other users of spglib would see errors
raised that they expect to be returned."""


class KeptSymmetry:
    """Every operation of a crystal's space group, imposed on its steps by ASE's `FixSymmetry`."""

    def __init__(self, constraint: Any, symprec: float) -> None:
        self._rotations = np.asarray(constraint.rotations, dtype=float)
        self._translations = np.asarray(constraint.translations, dtype=float)
        self._images = np.asarray(constraint.symm_map)
        self._symprec = symprec

    @classmethod
    def impose(cls, atoms: Atoms, symprec: float) -> KeptSymmetry | str:
        """Make the symmetry found at `symprec` (Å) exact, and have it kept; or the reason why none can be found.

        Args:
            atoms: changed in place; gets the constraint.
            symprec: tolerance of the symmetry finder, Å.
        """
        from ase.constraints import FixSymmetry
        from ase.spacegroup.symmetrize import IntermediateDatasetError
        from ase.utils import OldSpglibError
        from spglib import SpglibError

        before = os.environ.get(SPGLIB_SWITCH)
        try:
            constraint = FixSymmetry(atoms, symprec=symprec)
        except (SpglibError, OldSpglibError, IntermediateDatasetError) as error:
            return f"no symmetry that could be kept at {symprec:g} Å: {error or 'spglib found none'}"
        finally:
            if before is None:
                os.environ.pop(SPGLIB_SWITCH, None)
        # ASE copies constraints with the atoms at each step; one array is copied far faster than lists of lists.
        constraint.symm_map = np.asarray(constraint.symm_map)
        atoms.set_constraint(constraint)
        return cls(constraint, symprec)

    def lost(self, atoms: Atoms) -> str:
        """Empty when every operation of the start still maps lattice and atoms, as it did then, onto themselves.

        Then the space group of the start is still there (a relaxation may add to it), and each atom is mapped onto
        itself by the same operations as before: that is its Wyckoff position.
        """
        cell, positions = np.asarray(atoms.cell), atoms.get_scaled_positions(wrap=False)
        metric = cell @ cell.T
        turned = np.einsum("oji,jk,okl->oil", self._rotations, metric, self._rotations)
        if (strain := float(np.abs(turned - metric).max())) > 2 * self._symprec * float(np.sqrt(metric.max())):
            return f"the lattice lost its symmetry: {strain:.2g} Å² off under an operation of the start"
        moved = np.einsum("oij,nj->oni", self._rotations, positions) + self._translations[:, None, :]
        off = moved - positions[self._images]
        distance = float(np.linalg.norm((off - np.round(off)) @ cell, axis=-1).max())
        if distance > self._symprec:
            return f"an atom left its Wyckoff position: {distance:.2g} Å off under an operation of the start"
        return ""
