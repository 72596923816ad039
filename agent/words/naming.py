"""Names of compounds that say how many atoms there are: `titanium dioxide`, `диоксид титана`, `三氧化二铝`."""

from __future__ import annotations

from .lexicon import fold, lexicon

ANION_CHARGES = {
    "N": 3, "P": 3, "As": 3, "Sb": 3, "O": 2, "S": 2, "Se": 2, "Te": 2, "F": 1, "Cl": 1, "Br": 1, "I": 1, "H": 1,
    "C": 4, "Si": 4,
}  # fmt: skip
"""Usual negative charges, for names that leave the number of metal atoms open."""


def multiple_of(text: str) -> tuple[int, int] | None:
    """Numbers of metal and non-metal atoms that the name of a class says; None where it says none."""
    return lexicon().multiples.get(fold(text))


def formula_of(metal: str, other: str, numbers: tuple[int, int]) -> dict[str, int]:
    """Atoms of each element: `titanium dioxide` is TiO2, and `vanadium pentoxide` V2O5, because the name leaves the
    metal's number to its charge."""
    count = numbers[0]
    alone, shared = (_can_have_charge(metal, other, numbers[1] / n) for n in (1, 2))
    if count == 1 and shared and not alone:
        count = 2
    return {metal: count, other: numbers[1]}


def _can_have_charge(metal: str, other: str, atoms: float) -> bool:
    """Whether a metal atom is known with the charge that so many atoms of the other element ask for."""
    from pymatgen.core import Element

    return atoms * ANION_CHARGES.get(other, 1) in Element(metal).oxidation_states
