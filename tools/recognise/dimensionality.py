"""How far the bonds of a crystal reach: molecules 0, chains 1, layers 2, frameworks 3.

What is not here: bonding in any deeper sense; a bond is a distance below a multiple of covalent radii.
"""

from __future__ import annotations

import numpy as np

from ..core.structure import to_pymatgen
from ..core.types import Crystal
from .graph import cell_volume

REACH = 1.2
"""Atoms closer than this times the sum of their covalent radii are bonded. At 1.15 aluminium falls apart; at 1.3
the molecules of solid iodine join into layers. Right from 1.2 to 1.25 for salts, metals, molecular and layered
crystals alike, and ten times faster than CrystalNN, which agrees on all of them."""


def dimensionality(crystal: Crystal) -> int:
    """The largest dimensionality of any bonded component, 0 to 3.

    Larsen, Pandey, Strange & Jacobsen, Phys. Rev. Mater. 3, 034003 (2019), as pymatgen implements it, over bonds
    from the covalent radii of Cordero et al., Dalton Trans. 2832 (2008). Raises ValueError for a flat cell.
    """
    from ase.data import atomic_numbers, covalent_radii
    from pymatgen.analysis.dimensionality import get_dimensionality_larsen
    from pymatgen.analysis.graphs import StructureGraph

    cell_volume(np.array(crystal.lattice))
    structure = to_pymatgen(crystal)
    radii = np.array([covalent_radii[atomic_numbers[s]] for s in crystal.species])
    centres, points, images, distances = structure.get_neighbor_list(float(2 * REACH * radii.max()))
    bonded = distances < REACH * (radii[centres] + radii[points])
    # Each bond is listed from both ends; one end is enough, and a bond to an own image is kept once.
    forward = bonded & ((centres < points) | ((centres == points) & (_leading_sign(images) > 0)))
    graph = StructureGraph.from_empty_graph(structure)
    for centre, point, image in zip(centres[forward], points[forward], images[forward], strict=True):
        x, y, z = (int(i) for i in image)
        graph.add_edge(int(centre), int(point), to_jimage=(x, y, z), warn_duplicates=False)
    return int(get_dimensionality_larsen(graph))


def _leading_sign(images: np.ndarray) -> np.ndarray:
    """Sign of the first component of each image that is not zero: one of every pair of opposite images is positive."""
    return np.sign(images @ np.array([1_000_000, 1_000, 1]))
