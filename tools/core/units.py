"""Unit conversion into the catalogue's units (pint), with `atom` as a counting unit."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from .errors import GoalError

if TYPE_CHECKING:
    import pint

GPA_PER_EV_A3 = 160.21766208
"""1 eV/Å³ in GPa (CODATA 2018)."""


@cache
def registry() -> pint.UnitRegistry:
    """The one pint registry; loaded on first use, because it takes a third of a second."""
    import pint

    units: pint.UnitRegistry = pint.UnitRegistry(cache_folder=None)
    units.define("atom = [atom_count] = at")
    return units


def convert(value: float, unit: str, to: str) -> float:
    """Convert a finite number between units of one dimension.

    `Å`, `³`, `Å^3`, `g/cc`, `meV/atom` and `kJ/mol` (per mole of atoms) are understood. Raises GoalError
    for an unknown unit or another dimension.
    """
    import pint

    text = unit.replace("Å", "angstrom").replace("Å", "angstrom").replace("³", "^3").replace("g/cc", "g/cm^3")
    units = registry()
    try:
        quantity = units.Quantity(value, text)
        if to.endswith("/atom") and quantity.check("[energy]/[substance]"):
            quantity = quantity / units.avogadro_constant / units.Quantity(1, "atom")
        elif to.endswith("/atom") and not quantity.check({"[atom_count]": -1}) and "atom" not in text:
            quantity = quantity / units.Quantity(1, "atom")
        return float(quantity.to(to).magnitude)
    except (pint.errors.PintError, TypeError, ValueError, AttributeError, AssertionError) as error:
        raise GoalError(f"Cannot read {value:g} '{unit}' as a quantity in {to}.", f"Give it in {to}.") from error
