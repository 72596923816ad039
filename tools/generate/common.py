"""What all generators share: choosing compositions, the size of a cell, and turning a structure into a candidate."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..core.structure import from_pymatgen, make_candidate
from ..core.types import Candidate, ChemicalSpace, Provenance
from .compositions import CompositionChoice
from .volumes import min_distance

if TYPE_CHECKING:
    from pymatgen.core import Structure

SIMPLICITY = 0.15
"""How fast the chance of a composition falls with its rank: simple formulas first, none never."""


def composition_weights(choices: Sequence[CompositionChoice]) -> np.ndarray:
    """Chance of each composition; the simple ones more often, each at least a tenth of the mean."""
    weights = np.exp(-SIMPLICITY * np.arange(len(choices)))
    weights = np.maximum(weights, 0.1 * weights.mean())
    result: np.ndarray = weights / weights.sum()
    return result


def fits(structure: Structure, space: ChemicalSpace) -> bool:
    """Whether a structure lies inside a chemical space."""
    symbols = {site.specie.symbol for site in structure}
    low, high = space.n_elements
    return (
        len(structure) <= space.max_atoms
        and symbols <= set(space.allowed)
        and set(space.required) <= symbols
        and low <= len(symbols) <= high
        and (space.formula is None or structure.composition.reduced_formula == space.formula)
    )


def separation(structure: Structure, choice: CompositionChoice) -> float:
    """Smallest ratio of a distance to the shortest sensible one for its pair; below 1 atoms are too close.

    Includes an atom's own images.
    """
    matrix = structure.distance_matrix.copy()
    own = structure.lattice.get_niggli_reduced_lattice().abc
    np.fill_diagonal(matrix, min(own))
    symbols = [site.specie.symbol for site in structure]
    kinds = sorted(set(symbols))
    limits = {(a, b): min_distance(choice, a, b) for a in kinds for b in kinds}
    needed = np.array([[limits[(a, b)] for b in symbols] for a in symbols])
    return float((matrix / needed).min())


def make(structure: Structure, provenance: Provenance) -> Candidate:
    """A candidate of a structure, in the cell that it is written in."""
    return make_candidate(from_pymatgen(structure), provenance)


class Collector:
    """Gathers candidates, without repeats and without those that are known already."""

    def __init__(self, space: ChemicalSpace, wanted: int, known: Container[str]) -> None:
        self.candidates: list[Candidate] = []
        self._space = space
        self._wanted = wanted
        self._known = known
        self._seen: set[str] = set()

    @property
    def full(self) -> bool:
        """Whether enough were gathered."""
        return len(self.candidates) >= self._wanted

    def offer(self, structure: Structure, provenance: Provenance) -> bool:
        """Take a structure if it is inside the space and new; whether it was taken."""
        if self.full or not fits(structure, self._space):
            return False
        candidate = make(structure, provenance)
        if candidate.id in self._seen or candidate.id in self._known:
            return False
        self._seen.add(candidate.id)
        self.candidates.append(candidate)
        return True
