"""Density and volume of a cell, and its amounts, from plain numbers: a round asks for thousands of them."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np

from ..tools.core.types import Crystal

DALTON_PER_A3 = 1.66053906892
"""g/cm³ of one dalton per Å³ (CODATA 2022)."""


def amounts(crystal: Crystal) -> dict[str, float]:
    """Atoms of each element in the cell."""
    return {str(k): float(v) for k, v in sorted(Counter(crystal.species).items())}


def geometry_values(crystal: Crystal) -> dict[str, float]:
    """Density (g/cm³) and volume per atom (Å³/atom) of a cell."""
    volume = abs(float(np.linalg.det(np.array(crystal.lattice))))
    mass = sum(_mass(symbol) for symbol in crystal.species)
    return {"density": DALTON_PER_A3 * mass / volume, "volume_per_atom": volume / len(crystal.species)}


@cache
def _mass(symbol: str) -> float:
    """Daltons, as pymatgen has them."""
    from pymatgen.core import Element

    return float(Element(symbol).atomic_mass)


@cache
def formula_amounts(formula: str) -> tuple[tuple[str, float], ...]:
    """Element and amount of a formula, sorted."""
    from pymatgen.core import Composition

    return tuple(sorted((str(e), float(n)) for e, n in Composition(formula).items()))
