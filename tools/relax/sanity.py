"""What is no crystal any more, in words: cells, distances and energies outside of `RelaxationSettings`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .settings import RelaxationSettings

if TYPE_CHECKING:
    from ase import Atoms

NEIGHBOUR_CUTOFF = 3.0
"""Å; atoms that have collided are far closer."""


def cell_problem(atoms: Atoms, first_volume: float, limits: RelaxationSettings) -> str:
    """Why a cell is not worth (or not safe for) a model call; empty if it is. `first_volume`: of the start, Å³."""
    cell = np.asarray(atoms.cell)
    if not (np.isfinite(cell).all() and np.isfinite(atoms.positions).all()):
        return "positions or cell are no longer finite"
    volume = abs(float(atoms.get_volume()))
    if not limits.min_volume_per_atom <= volume / len(atoms) <= limits.max_volume_per_atom:
        return (
            f"volume of {volume / len(atoms):.2f} Å³/atom is outside "
            f"{limits.min_volume_per_atom:g} to {limits.max_volume_per_atom:g}"
        )
    change = volume / first_volume
    if not 1.0 / limits.max_volume_change <= change <= limits.max_volume_change:
        return f"volume changed by a factor of {change:.2f}"
    height = 1.0 / float(np.linalg.norm(np.linalg.inv(cell), axis=0).max())
    if height < limits.min_distance:
        return f"cell collapsed to a height of {height:.2f} Å"
    return ""


def distance_problem(min_distance: float, limits: RelaxationSettings) -> str:
    """Why two atoms are too close; empty if they are not. `min_distance`: the shortest, Å."""
    return f"atoms collided: {min_distance:.2f} Å apart" if min_distance < limits.min_distance else ""


def energy_problem(per_atom: float, limits: RelaxationSettings) -> str:
    """Why an energy (eV/atom) is none of a crystal; empty if it may be."""
    if not limits.min_energy_per_atom <= per_atom <= limits.max_energy_per_atom:
        return (
            f"energy of {per_atom:.1f} eV/atom is outside "
            f"{limits.min_energy_per_atom:g} to {limits.max_energy_per_atom:g}"
        )
    return ""


def shortest_distance(atoms: Atoms) -> float:
    """Å; between two atoms, images included; infinite where none is within `NEIGHBOUR_CUTOFF`."""
    from ase.neighborlist import primitive_neighbor_list

    distances = primitive_neighbor_list("d", atoms.pbc, atoms.cell, atoms.positions, NEIGHBOUR_CUTOFF)
    return float(distances.min()) if len(distances) else float("inf")
