"""What a crystal should look like: symmetry and structure type, checked against each other."""

from __future__ import annotations

from ..tools.core.errors import GoalError
from ..tools.core.types import StructureWish
from .words.request import Request

_SYSTEMS = (
    ("triclinic", 2), ("monoclinic", 15), ("orthorhombic", 74), ("tetragonal", 142), ("trigonal", 167),
    ("hexagonal", 194), ("cubic", 230),
)  # fmt: skip
"""Crystal systems, each with the number of its last space group (International Tables A)."""
_CENTRED = frozenset(
    n
    for first, last in (
        (2, 2), (10, 15), (47, 74), (83, 88), (123, 142), (147, 148), (162, 167), (175, 176), (191, 194), (200, 206),
        (221, 230),
    )
    for n in range(first, last + 1)
)  # fmt: skip
"""Space groups of the eleven Laue classes, which have a centre of inversion."""


def structure_of(request: Request) -> StructureWish:
    if len(set(request.centrosymmetric)) > 1:
        raise GoalError("Centrosymmetric and not centrosymmetric contradict each other.", "Drop one of the two.")
    _check_symmetry(request)
    return StructureWish.model_validate(
        {
            "prototypes": tuple(dict.fromkeys(request.prototypes)),
            "space_groups": tuple(sorted(set(request.space_groups))),
            "crystal_systems": tuple(dict.fromkeys(request.crystal_systems)),
            "dimensionality": tuple(sorted(set(request.dimensionality))),
            "centrosymmetric": request.centrosymmetric[0] if request.centrosymmetric else None,
        }
    )


def _check_symmetry(request: Request) -> None:
    """Raises GoalError for a space group outside every crystal system asked for, or with the wrong centre."""
    for number in request.space_groups:
        system = next(name for name, last in _SYSTEMS if number <= last)
        if request.crystal_systems and system not in request.crystal_systems:
            raise GoalError(
                f"The space group {number} is {system}, and {' or '.join(request.crystal_systems)} is asked for.",
                "Change one of the two.",
            )
        if request.centrosymmetric and request.centrosymmetric[0] != (number in _CENTRED):
            has = "has a" if number in _CENTRED else "has no"
            raise GoalError(f"The space group {number} {has} centre of inversion.", "Change one of the two.")
