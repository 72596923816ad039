"""What forms where solids touch: every minimal reaction between them, and the one that is driven most.

On the line between two compositions the lowest free energy is a convex, piecewise linear curve; the reaction that
releases most per atom ends at one of its corners (Richards et al., Chem. Mater. 28, 266 (2016)). Corners are the basic
solutions of the balance: they do not depend on temperature, so they are listed once, and only weighed at each
temperature. What is not here: energies (`energies.py`) and which pair goes first (`ranking.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, islice

import numpy as np

from ...core.errors import ToolError
from .formulas import amounts_of, atom_count
from .gases import by_products

MAX_BASES = 200_000
"""Sets of products that are tried between two solids."""
MAX_REACTANTS = 4
_CHUNK = 20_000
_TINY = 1e-9
"""Below it a coefficient (moles over atoms of reactants) is round-off."""
_SINGULAR = 1e-8


@dataclass(frozen=True)
class Corners:
    """Minimal reactions of some solids with each other."""

    species: tuple[str, ...]
    """Reactants, possible solid products, gases."""
    reactants: int
    coefficients: np.ndarray
    """Moles of species per atom of reactants, shape `reactions x species`; reactants negative."""
    solids: int
    """How many of the species are solids."""

    def energies(self, free_energies: np.ndarray) -> np.ndarray:
        """Free energy of each reaction, eV/atom, from those of the species (eV per formula unit)."""
        changes: np.ndarray = self.coefficients @ free_energies
        return changes


def corners(reactants: Sequence[str], solids: Sequence[str], gases: Sequence[str] | None = None) -> Corners:
    """Every minimal reaction that uses all reactants, turns them into other solids and gases, and balances.

    Args:
        reactants: one solid (decomposition), two (an interface) or more, up to `MAX_REACTANTS`.
        solids: what may form; those with foreign elements are passed over.
        gases: what may be given off, O2 in either direction; None: what `by_products` names.
    """
    left = tuple(sorted(set(reactants)))
    if not 0 < len(left) <= MAX_REACTANTS:
        raise ToolError(f"{len(left)} solids in one contact.", f"Give 1 to {MAX_REACTANTS}.")
    right, plain = _candidates(left, tuple(solids))
    return _corners(left, right, plain if gases is None else tuple(gases))


@lru_cache(maxsize=20_000)
def _candidates(left: tuple[str, ...], solids: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Solids and gases that may form from some solids."""
    elements = frozenset().union(*(amounts_of(name) for name in left)) | {"O"}
    right = tuple(sorted(name for name in set(solids) - set(left) if frozenset(amounts_of(name)) <= elements))
    return right, by_products(elements, any("NH4" in name for name in left))


@lru_cache(maxsize=20_000)
def _corners(left: tuple[str, ...], right: tuple[str, ...], gases: tuple[str, ...]) -> Corners:
    """Oxygen is left out of the balance and made up for by O2, where O2 is among the gases."""
    released = tuple(gas for gas in gases if gas != "O2")
    species = (*left, *right, *released, *(("O2",) if "O2" in gases else ()))
    rows = sorted(
        frozenset().union(*(amounts_of(name) for name in (*left, *right))) - ({"O"} if "O2" in gases else frozenset())
    )
    products = (*right, *released)
    table = np.array(
        [[*(-_number(name, e) for name in left), *(_number(name, e) for name in products)] for e in rows]
        + [[*(atom_count(name) for name in left), *(0.0 for _ in products)]]
    )
    size, start = len(table), len(left)
    free = size - start
    found: dict[tuple[float, ...], np.ndarray] = {}
    if 0 < free <= len(products):
        goal = np.zeros(size)
        goal[-1] = 1.0
        bases = combinations(range(start, start + len(products)), free)
        for chunk in iter(lambda: list(islice(bases, _CHUNK)), []):
            if len(found) > MAX_BASES:
                raise ToolError(f"Too many reactions between {' and '.join(left)}.", "Offer fewer products.")
            columns = np.concatenate([np.tile(np.arange(start), (len(chunk), 1)), np.array(chunk)], axis=1)
            for support, values in _positive(table, columns, goal):
                row = np.zeros(len(species))
                row[support] = values
                if (row[:start] > _TINY).all():
                    found.setdefault(tuple(np.round(row, 8)), row)
    matrix = np.array(list(found.values())).reshape(-1, len(species))
    matrix[:, :start] *= -1.0
    if "O2" in gases and len(matrix):
        oxygen = np.array([_number(name, "O") for name in species[:-1]])
        matrix[:, -1] = -(matrix[:, :-1] @ oxygen) / 2.0
    return Corners(species, start, matrix, start + len(right))


def _positive(table: np.ndarray, columns: np.ndarray, goal: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Basic solutions without a negative amount."""
    matrices = table[:, columns].transpose(1, 0, 2)
    sound = np.abs(np.linalg.det(matrices)) > _SINGULAR
    if not sound.any():
        return []
    values = np.linalg.solve(matrices[sound], np.broadcast_to(goal[:, None], (int(sound.sum()), len(goal), 1)))[..., 0]
    values[np.abs(values) < _TINY] = 0.0
    kept = (values >= 0.0).all(axis=1)
    return list(zip(columns[sound][kept], values[kept], strict=True))


def _number(name: str, element: str) -> float:
    return float(amounts_of(name).get(element, 0))
