"""Formation energy of a crystal from the energies of its elements. The hull is not here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..core.errors import ToolError
from ..core.structure import from_ase
from ..core.types import Crystal, Quantity
from .base import FMAX, MAX_COST, Check, Meter, PropertyResult, attempt, energy, relaxed

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

LOOSE = 10.0
"""The std is the change from a relaxation that ends at this many times the force."""

PLAUSIBLE = 5.0
"""eV/atom; HfO2, ThO2, CaF2 and the like end at -4.2: a larger size comes of references that do not belong."""


class FormationEnergy(PropertyResult):
    """Quantities `formation_energy` and `energy_per_atom` in eV/atom."""

    name: str = "formation_energy"


def formation_energy(
    crystal: Crystal,
    calculator: Calculator,
    references: Mapping[str, float],
    *,
    fmax: float = FMAX,
    max_cost: int = MAX_COST,
) -> FormationEnergy:
    """E/N - Σ x_i µ_i of the relaxed crystal.

    Args:
        crystal: any cell.
        calculator: of ASE, with energies, forces and stress.
        references: element to the energy of its standard state in eV/atom, by the same calculator.
        fmax: eV/Å; where the relaxation ends.
        max_cost: atoms times force evaluations.

    Raises:
        ToolError: when an element has no reference.
    """
    missing = sorted(set(crystal.species) - set(references))
    if missing:
        raise ToolError(
            f"No reference energy of {', '.join(missing)}.", "Give eV/atom of each element's standard state."
        )

    def calculate(meter: Meter) -> FormationEnergy:
        rough = relaxed(crystal, calculator, meter, LOOSE * fmax)
        loose = energy(rough) / len(rough)
        atoms = relaxed(from_ase(rough), calculator, meter, fmax)
        per_atom = energy(atoms) / len(atoms)
        value = per_atom - sum(references[symbol] for symbol in crystal.species) / len(crystal)
        spread = abs(per_atom - loose)
        plausible = abs(value) <= PLAUSIBLE
        return FormationEnergy(
            method=f"relaxed to {fmax:g} eV/Å, references of {', '.join(sorted(set(crystal.species)))} as given",
            crystal=from_ase(atoms),
            quantities={
                "formation_energy": Quantity(value=value, unit="eV/atom", std=spread),
                "energy_per_atom": Quantity(value=per_atom, unit="eV/atom", std=spread),
            },
            checks=(
                Check(
                    name="plausible",
                    passed=plausible,
                    words=f"{value:.3f} eV/atom"
                    + ("" if plausible else ": no solid has that; the references are of another calculator"),
                ),
            ),
        )

    return attempt(FormationEnergy, crystal, max_cost, calculate)
