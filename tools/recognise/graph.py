"""A crystal as a periodic graph that knows neither elements nor size: edges, and which sites are alike.

What is not here: the network that reads it (`network.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..core.types import Crystal

if TYPE_CHECKING:
    from torch_geometric.data import Data

CUTOFF = 2.25
"""In units of (volume / atoms)^(1/3). A sphere of this radius holds 4/3 pi 2.25^3 = 48 atoms on average, in
every crystal; unlike the nearest-neighbour distance, this unit of length is not changed by displacements."""

MAX_EDGES = 60_000
"""A dense clump in an almost empty cell can ask for many times this; it is refused as no crystal."""


@dataclass(frozen=True)
class CrystalGraph:
    """Edges from centre to neighbour: `centres`, `neighbours` (e), `vectors` (e x 3, in units of the length above),
    `alike` (e, 1.0 where both ends carry the same element); `share` (n): each site's element's atomic fraction."""

    centres: NDArray[np.int64]
    neighbours: NDArray[np.int64]
    vectors: NDArray[np.float32]
    alike: NDArray[np.float32]
    share: NDArray[np.float32]

    def to_data(self) -> Data:
        """As PyTorch Geometric data; `slot` counts the edges of each centre."""
        import torch
        from torch_geometric.data import Data

        first = np.searchsorted(self.centres, self.centres)
        return Data(
            num_nodes=len(self.share),
            edge_index=torch.from_numpy(np.stack([self.neighbours, self.centres])),
            vectors=torch.from_numpy(self.vectors),
            alike=torch.from_numpy(self.alike),
            share=torch.from_numpy(self.share),
            slot=torch.from_numpy(np.arange(len(first)) - first),
        )


def crystal_graph(crystal: Crystal) -> CrystalGraph:
    """The graph of a crystal. Raises ValueError for a flat cell or atoms on top of each other."""
    _, kinds = np.unique(np.array(crystal.species), return_inverse=True)
    return graph_of(np.array(crystal.lattice), np.array(crystal.frac_coords), kinds)


def cell_volume(basis: NDArray[np.float64]) -> float:
    """Volume of a cell. Raises ValueError for one so flat that neighbours and reduced cells cannot be found."""
    volume = abs(float(np.linalg.det(basis)))
    longest = float(np.linalg.norm(basis, axis=1).max())
    if not volume > 1e-4 * longest**3:
        raise ValueError(f"the cell is flat: {volume:.3g} Å3 with an axis of {longest:.3g} Å")
    return volume


def graph_of(basis: NDArray[np.float64], frac: NDArray[np.float64], kinds: NDArray[np.int64]) -> CrystalGraph:
    """The graph of `frac` (n x 3) in the cell `basis` (rows are vectors), `kinds` (n) naming like sites.

    Raises ValueError for a flat cell, atoms on top of each other, or more than `MAX_EDGES` edges.
    """
    volume = cell_volume(basis)
    unit = (volume / len(kinds)) ** (1 / 3)
    basis = basis / unit
    frac = np.mod(frac, 1.0)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(basis), axis=0)
    reach = np.floor(CUTOFF / heights).astype(int) + 1
    images = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    between = (frac[None, :] - frac[:, None]) @ basis
    shifts = images @ basis
    if between.shape[0] ** 2 * len(shifts) > 60_000_000:
        raise ValueError("the cell is too flat or too long for its atoms")
    square = np.sum((between[:, :, None] + shifts[None, None]) ** 2, axis=-1)
    centres, neighbours, image = np.nonzero(square < CUTOFF**2)
    proper = (centres != neighbours) | np.any(images[image] != 0, axis=1)
    centres, neighbours, image = centres[proper], neighbours[proper], image[proper]
    if len(centres) > MAX_EDGES:
        raise ValueError(f"{len(centres)} neighbour pairs: a clump of atoms in an almost empty cell")
    vectors = between[centres, neighbours] + shifts[image]
    if len(vectors) and float(np.min(np.sum(vectors**2, axis=1))) < 1e-4:
        raise ValueError("two atoms lie on top of each other")
    counts = np.bincount(kinds)
    return CrystalGraph(
        centres=centres,
        neighbours=neighbours,
        vectors=vectors.astype(np.float32),
        alike=(kinds[centres] == kinds[neighbours]).astype(np.float32),
        share=(counts[kinds] / len(kinds)).astype(np.float32),
    )
