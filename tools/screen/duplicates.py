"""Have we had it? A cheap name first, pymatgen's `StructureMatcher` where the name cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..core.structure import fingerprint, reduced_formula, to_pymatgen
from ..core.types import Crystal

if TYPE_CHECKING:
    from pymatgen.core import Structure

LTOL = 0.2
"""Relative tolerance on cell edges (pymatgen's default)."""
STOL = 0.3
"""Tolerance on sites in units of (volume per atom)^(1/3) (pymatgen's default)."""
ANGLE_TOL = 5.0
"""Tolerance on cell angles in degrees (pymatgen's default)."""
VOLUME_TOL = 0.10
"""Relaxed crystals whose volumes per atom differ by more than this are different, whatever their topology."""
ENERGY_TOL = 0.002
"""eV/atom; relaxed crystals that match in shape but differ by more are different minima: within the matcher's
tolerances wurtzite is also the flat h-MgO structure, and the higher one must not hide the lower."""


class DuplicateIndex:
    """Crystals by name and by bucket (composition); blind to rotation, site order and choice of cell.

    Args:
        ltol, stol, angle_tol: of `StructureMatcher`, which compares primitive cells without scaling their volumes.
    """

    def __init__(self, ltol: float = LTOL, stol: float = STOL, angle_tol: float = ANGLE_TOL) -> None:
        self._tolerances = (ltol, stol, angle_tol)
        self._names: dict[str, list[tuple[str, float | None]]] = {}
        self._buckets: dict[str, list[tuple[str, float, float | None, Structure]]] = {}
        self._matcher: Any = None

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets.values())

    def add(self, identity: str, crystal: Crystal, energy_per_atom: float | None = None) -> None:
        """Remember a crystal, with its energy (eV/atom) where it is relaxed."""
        self._names.setdefault(fingerprint(crystal), []).append((identity, energy_per_atom))
        structure = to_pymatgen(crystal)
        bucket = self._buckets.setdefault(reduced_formula(crystal), [])
        bucket.append((identity, float(structure.volume) / len(structure), energy_per_atom, structure))

    def find(self, crystal: Crystal, energy_per_atom: float | None = None) -> str | None:
        """Id of a crystal that is the same within the tolerances, in energy too where both are given; None if new."""
        for identity, energy in self._names.get(fingerprint(crystal), []):
            if _agree(energy, energy_per_atom):
                return identity
        structure = to_pymatgen(crystal)
        volume = float(structure.volume) / len(structure)
        for identity, other_volume, energy, other in self._buckets.get(reduced_formula(crystal), []):
            close = abs(volume - other_volume) <= VOLUME_TOL * other_volume and _agree(energy, energy_per_atom)
            if close and self._same(structure, other):
                return identity
        return None

    def _same(self, first: Structure, second: Structure) -> bool:
        if self._matcher is None:
            from pymatgen.analysis.structure_matcher import StructureMatcher

            ltol, stol, angle = self._tolerances
            self._matcher = StructureMatcher(
                ltol=ltol, stol=stol, angle_tol=angle, primitive_cell=True, scale=False, attempt_supercell=False
            )
        return bool(self._matcher.fit(first, second))


def _agree(first: float | None, second: float | None) -> bool:
    return first is None or second is None or abs(first - second) <= ENERGY_TOL


def match_known(crystal: Crystal, known: Sequence[tuple[str, Crystal]]) -> str | None:
    """The name of the first of several known crystals that is the same; None for a novel one."""
    index = DuplicateIndex()
    for name, other in known:
        index.add(name, other)
    return index.find(crystal)
