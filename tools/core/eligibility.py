"""Whether a crystal is one that the goal asks for: said in one place, for generators, screens, choice and report.

An empty answer is yes; else it is the reason, in words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from math import gcd

from .prototypes import STRUCTURE_TYPES
from .stoichiometry import fits_pattern
from .types import ChemicalSpace, Recognition, StructureWish

CENTROSYMMETRIC = frozenset(
    n
    for low, high in (
        (2, 2), (10, 15), (47, 74), (83, 88), (123, 142), (147, 148), (162, 167), (175, 176), (191, 194), (200, 206),
        (221, 230),
    )
    for n in range(low, high + 1)
)  # fmt: skip
"""Space groups with an inversion centre (International Tables for Crystallography A, table 2.1.2.1)."""


CRYSTAL_SYSTEMS = {
    "triclinic": (1, 2),
    "monoclinic": (3, 15),
    "orthorhombic": (16, 74),
    "tetragonal": (75, 142),
    "trigonal": (143, 167),
    "hexagonal": (168, 194),
    "cubic": (195, 230),
}
"""First and last space group of each."""


def amounts_of(species: Iterable[str]) -> dict[str, int]:
    """Atoms of each element in the reduced formula."""
    counts = Counter(species)
    divisor = gcd(*counts.values())
    return {symbol: n // divisor for symbol, n in sorted(counts.items())}


def composition_misfit(space: ChemicalSpace, amounts: Mapping[str, int], formula: str) -> str:
    """Why a composition is none of a space.

    Args:
        space: what was asked for.
        amounts: atoms of each element in the reduced formula.
        formula: reduced, as `Candidate.formula`.
    """
    elements = set(amounts)
    if outside := sorted(elements - set(space.allowed)):
        return f"holds {', '.join(outside)}, which the goal does not allow"
    if missing := sorted(set(space.required) - elements):
        return f"lacks {', '.join(missing)}"
    for group in space.any_of:
        if not elements & set(group):
            return f"holds none of {', '.join(group)}"
    low, high = space.n_elements
    if not low <= len(elements) <= high:
        return f"{len(elements)} elements, {low} to {high} are wanted"
    if space.formula is not None and formula != space.formula:
        return f"is {formula}, {space.formula} is wanted"
    if space.pattern is not None and not fits_pattern(space.pattern, amounts):
        return f"is {formula}, the stoichiometry {space.pattern} is wanted"
    return ""


def structure_misfit(wish: StructureWish, recognition: Recognition, amounts: Mapping[str, int]) -> str:
    """Why a recognised crystal does not look as it should; `amounts` as for `composition_misfit`."""
    counts = tuple(sorted(amounts.values()))
    if wish.prototypes and not any(STRUCTURE_TYPES[name].fits(recognition, counts) for name in wish.prototypes):
        found = recognition.prototype or f"space group {recognition.space_group}"
        return f"is {found}, {' or '.join(wish.prototypes)} is wanted"
    if wish.space_groups and recognition.space_group not in wish.space_groups:
        return f"has space group {recognition.space_group}, {_either(wish.space_groups)} is wanted"
    if wish.crystal_systems and recognition.crystal_system not in wish.crystal_systems:
        return f"is {recognition.crystal_system}, {_either(wish.crystal_systems)} is wanted"
    if wish.dimensionality and recognition.dimensionality not in wish.dimensionality:
        return f"is bonded in {recognition.dimensionality} dimensions, {_either(wish.dimensionality)} is wanted"
    if wish.centrosymmetric is not None and wish.centrosymmetric != (recognition.space_group in CENTROSYMMETRIC):
        return "has no inversion centre" if wish.centrosymmetric else "has an inversion centre"
    return ""


def wished_groups(wish: StructureWish) -> frozenset[int] | None:
    """Space groups that a wish leaves; None where it leaves all. Relaxation can still raise or lower the symmetry."""
    found = set(range(1, 231))
    if wish.space_groups:
        found &= set(wish.space_groups)
    if wish.crystal_systems:
        found &= {
            n for name in wish.crystal_systems for n in range(CRYSTAL_SYSTEMS[name][0], CRYSTAL_SYSTEMS[name][1] + 1)
        }
    if wish.centrosymmetric is not None:
        found = {n for n in found if (n in CENTROSYMMETRIC) == wish.centrosymmetric}
    if wish.prototypes:
        found &= {n for name in wish.prototypes for n in STRUCTURE_TYPES[name].groups}
    return None if len(found) == 230 else frozenset(found)


def _either(values: Iterable[object]) -> str:
    return " or ".join(str(v) for v in values)
