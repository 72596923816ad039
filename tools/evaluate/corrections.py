"""Corrections of computed energies by composition: those of the Materials Project of 2020, which make energies with U
and without U compare.

A. Wang et al., Sci. Rep. 11, 15496 (2021), as pymatgen has them (`MaterialsProject2020Compatibility`). They were fitted
to PBE and PBE+U energies of VASP with the Materials Project's data sets and U values: energies of another code, other
data sets or another U are not what they correct, so that an evaluator has to offer them by name.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Literal, NamedTuple

from ..core.structure import to_pymatgen
from ..core.types import Crystal
from .base import CalculationFailed
from .hubbard import HubbardU

CorrectionChoice = Literal["none", "mp2020"]


class Correction(NamedTuple):
    """What is to be added to the energy of a cell, eV."""

    value: float
    std: float
    """Of the fit to measured formation enthalpies, one standard deviation."""
    parts: tuple[str, ...]
    """What it is made of."""


def mp2020_correction(crystal: Crystal, energy: float, hubbard: Mapping[str, HubbardU]) -> Correction:
    """The Materials Project's correction of an energy.

    Args:
        crystal: whose structure tells oxides from peroxides and superoxides.
        energy: of the cell, eV.
        hubbard: the U that the energy was computed with; empty: none.

    Returns:
        Zero for an element.

    Raises:
        CalculationFailed: where the scheme does not know the energy: an oxide or fluoride whose metal should have had
            a U and had none, or had another one.
    """
    from pymatgen.entries.compatibility import MaterialsProject2020Compatibility
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    applied = {el: u.value for el, u in hubbard.items()}
    parameters = {"run_type": "GGA+U" if applied else "GGA", "hubbards": applied, "is_hubbard": bool(applied)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # oxidation states that cannot be guessed: the most electronegative one counts
        entry = ComputedStructureEntry(to_pymatgen(crystal), energy, parameters=parameters)
        corrected = MaterialsProject2020Compatibility(check_potcar=False).process_entry(entry, inplace=False)
    if corrected is None:
        words = f"no correction of 2020 belongs to {entry.reduced_formula} with U on {', '.join(applied) or 'nothing'}"
        raise CalculationFailed(words, "output")
    found = corrected.energy_adjustments
    return Correction(
        value=float(corrected.correction),
        std=float(sum(one.uncertainty**2 for one in found) ** 0.5),
        parts=tuple(f"{one.name}: {one.value:.3f} eV" for one in found),
    )


def correction_words(choice: CorrectionChoice) -> str:
    """What a method says of it; empty without."""
    return "" if choice == "none" else "corrected after MaterialsProject2020Compatibility"
