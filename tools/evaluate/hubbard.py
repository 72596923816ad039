"""Hubbard U: which elements get one, and how large, in oxides and fluorides.

Values of the Materials Project, fitted to measured oxidation enthalpies: L. Wang, T. Maxisch, G. Ceder, Phys. Rev. B
73, 195107 (2006); A. Jain et al., Phys. Rev. B 84, 045115 (2011); the table is that of pymatgen's MPRelaxSet.
They were fitted with VASP's projectors: with other codes they are a convention, not a fit.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from ..core.types import Crystal

HubbardChoice = Literal["none", "mp"]


class HubbardU(NamedTuple):
    """U of one element: on which shell, and its effective value (U - J, after Dudarev) in eV."""

    shell: str
    value: float


MP_VALUES = {
    "Co": HubbardU("3d", 3.32),
    "Cr": HubbardU("3d", 3.7),
    "Fe": HubbardU("3d", 5.3),
    "Mn": HubbardU("3d", 3.9),
    "Mo": HubbardU("4d", 4.38),
    "Ni": HubbardU("3d", 6.2),
    "V": HubbardU("3d", 3.25),
    "W": HubbardU("5d", 6.2),
}
"""For crystals whose most electronegative element is oxygen or fluorine; every other crystal has no U."""


def hubbard_values(crystal: Crystal, choice: HubbardChoice) -> dict[str, HubbardU]:
    """Element to its U; empty when the choice is `none`, or none of the elements has one in this crystal."""
    if choice == "none" or not {"O", "F"} & set(crystal.species):
        return {}
    return {el: MP_VALUES[el] for el in sorted(set(crystal.species)) if el in MP_VALUES}


def hubbard_words(choice: HubbardChoice) -> str:
    """What a method says of it; empty without."""
    return "" if choice == "none" else "+U of the Materials Project in oxides and fluorides"
