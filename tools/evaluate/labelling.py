"""Keeps what a code computes on its way, configuration by configuration, for potentials to learn from.

It costs nothing beside the calculation; each evaluation leaves one file of labels among its artefacts.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.labels import LABELS_FILE, Label, write_labels
from ..core.structure import from_ase, lattice_rows, site_rows

if TYPE_CHECKING:
    from ase import Atoms


class Labels:
    """The labels of one evaluation.

    Args:
        source: what they are labels of.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._found: list[Label] = []

    def see(self, atoms: Atoms) -> None:
        """Take down energy, forces and stress of atoms whose calculator has just given them.

        What is not finite is no label and is left out: the evaluation itself says why.
        """
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress(voigt=False)
        if not (np.isfinite(energy) and np.isfinite(forces).all() and np.isfinite(stress).all()):
            return
        self._found.append(
            Label(
                crystal=from_ase(atoms),
                energy=float(energy),
                forces=site_rows(forces),
                stress=lattice_rows(stress),
                source=self._source,
            )
        )

    def keep(self, scratch: Path) -> dict[str, str]:
        """Write the file; the artefact that it is. Nothing where there are no labels.

        Nor where the disk refuses it: the evaluation itself was paid for, waits in memory for the disk, and must not
        fail for what it leaves beside.
        """
        if not self._found:
            return {}
        path = scratch / LABELS_FILE
        try:
            write_labels(path, self._found)
        except OSError:
            path.unlink(missing_ok=True)
            return {}
        return {"labels": LABELS_FILE}
