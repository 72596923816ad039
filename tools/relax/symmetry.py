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
        self.rotations = np.asarray(constraint.rotations, dtype=int)
        """`operations x 3 x 3`, of fractional coordinates (columns)."""
        self.translations = np.asarray(constraint.translations, dtype=float)
        """`operations x 3`, fractional."""
        self.images = np.asarray(constraint.symm_map)
        """`operations x n`: the atom onto which an operation maps an atom."""
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
        turned = np.einsum("oji,jk,okl->oil", self.rotations, metric, self.rotations)
        if (strain := float(np.abs(turned - metric).max())) > 2 * self._symprec * float(np.sqrt(metric.max())):
            return f"the lattice lost its symmetry: {strain:.2g} Å² off under an operation of the start"
        moved = np.einsum("oij,nj->oni", self.rotations, positions) + self.translations[:, None, :]
        off = moved - positions[self.images]
        distance = float(np.linalg.norm((off - np.round(off)) @ cell, axis=-1).max())
        if distance > self._symprec:
            return f"an atom left its Wyckoff position: {distance:.2g} Å off under an operation of the start"
        return ""


def primitive_cell(atoms: Atoms, symprec: float) -> tuple[Atoms, np.ndarray]:
    """A primitive cell of a crystal, not turned, and for each atom (`n`) the atom of that cell that it repeats.

    The crystal itself where it is primitive.

    Args:
        atoms: with symmetry made exact.
        symprec: tolerance of the symmetry finder, Å.
    """
    from ase import Atoms as Fresh
    from spglib import standardize_cell

    cell = (np.asarray(atoms.cell).tolist(), atoms.get_scaled_positions().tolist(), atoms.numbers.tolist())
    found = standardize_cell(cell, to_primitive=True, no_idealize=True, symprec=symprec)
    if found is None or len(found[2]) == len(atoms):
        return atoms, np.arange(len(atoms))
    lattice, sites, numbers = found
    small = Fresh(numbers, scaled_positions=sites, cell=lattice, pbc=True)
    off = (atoms.positions @ np.linalg.inv(lattice))[:, None, :] - sites
    distance = np.linalg.norm((off - np.round(off)) @ lattice, axis=-1)
    return small, distance.argmin(axis=1)
