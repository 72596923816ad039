"""Is it a solid at all? Distances, volume, and shape of the cell, before and after relaxation.

Shape means that of the Niggli-reduced cell, whose angles lie between 60° and 120° whatever the crystal: needles and
plates show in its edges, and a sheared choice of cell is no fault of a crystal.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..core.structure import to_pymatgen
from ..core.types import MAX_SITES, Candidate, Verdict


class GeometryScreen:
    """Rejects colliding atoms, cells far too dense or too empty, needles and plates; see `Screen`.

    Args:
        min_distance_factor: shortest allowed distance as a part of the sum of covalent radii.
        min_volume_factor: smallest allowed volume as a part of the volume of close-packed covalent spheres' cubes.
        max_volume_factor: largest, likewise.
        max_aspect_ratio: longest over shortest edge of the Niggli-reduced cell.
        max_atoms: atoms in the cell.
    """

    name = "geometry"

    def __init__(
        self,
        min_distance_factor: float = 0.6,
        min_volume_factor: float = 0.3,
        max_volume_factor: float = 4.0,
        max_aspect_ratio: float = 8.0,
        max_atoms: int = MAX_SITES,
    ) -> None:
        self._distance = min_distance_factor
        self._volume = (min_volume_factor, max_volume_factor)
        self._aspect = max_aspect_ratio
        self._atoms = max_atoms

    def check(self, candidate: Candidate) -> Verdict:
        """See `Screen.check`."""
        return Verdict(screen=self.name, passed=not (reason := self._reason(candidate)), reason=reason)

    def _reason(self, candidate: Candidate) -> str:
        structure = to_pymatgen(candidate.crystal)
        count = len(structure)
        if count > self._atoms:
            return f"{count} atoms in the cell, at most {self._atoms} are allowed"
        volume = float(structure.volume) / count
        expected = float(np.mean([_sphere_volume(s) for s in candidate.crystal.species]))
        low, high = self._volume[0] * expected, self._volume[1] * expected
        if not low <= volume <= high:
            return f"volume of {volume:.1f} Å³/atom is outside {low:.1f} to {high:.1f} Å³/atom"
        # In a strongly sheared cell the search for neighbours takes hours, and so does pymatgen's Niggli reduction,
        # which looks for lattice points in a sphere: the cheap LLL reduction comes first.
        structure = structure.get_reduced_structure("LLL").get_reduced_structure("niggli")
        edges = structure.lattice.abc
        if max(edges) / min(edges) > self._aspect:
            return f"cell edges of {max(edges):.1f} and {min(edges):.1f} Å: ratio above {self._aspect:g}"
        longest = 2.0 * self._distance * max(_radius(s) for s in candidate.crystal.species)
        first, second, _, distances = structure.get_neighbor_list(longest)
        for i, j, d in sorted(zip(first, second, distances, strict=True), key=lambda x: float(x[2])):
            a, b = candidate.crystal.species[i], candidate.crystal.species[j]
            limit = self._distance * (_radius(a) + _radius(b))
            if d < limit:
                return f"{a}-{b} distance of {d:.2f} Å is below {limit:.2f} Å"
        return ""


@lru_cache(maxsize=128)
def _radius(symbol: str) -> float:
    """Covalent radius in Å (Cordero et al., Dalton Trans. 2832 (2008), as tabulated in ASE)."""
    from ase.data import atomic_numbers, covalent_radii

    return float(covalent_radii[atomic_numbers[symbol]])


@lru_cache(maxsize=128)
def _sphere_volume(symbol: str) -> float:
    """Volume that an atom takes in a bonded solid, Å³: a cube of 1.7 covalent radii (Si 6.7, Na 22, O 1.4), floored.

    Only an order of magnitude: the window of the screen is wide. The floor is oxygen's and fluorine's volume in
    ionic crystals, where they are far larger than their covalent radius says.
    """
    return max(8.0, (1.7 * _radius(symbol)) ** 3)
