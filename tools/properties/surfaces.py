"""Energy of a low-index surface from relaxed slabs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import ToolError
from ..core.structure import from_ase
from ..core.types import Crystal, Quantity
from ..core.units import convert
from .base import (
    FMAX,
    MAX_COST,
    MAX_STEPS,
    Check,
    Meter,
    PropertyFailed,
    PropertyResult,
    attempt,
    conventional,
    energy,
    library_warnings_silenced,
    relax_positions,
    relaxed,
)
from .defects import DEFECT_FMAX, MAX_MOVE

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from pymatgen.core import Structure
    from pymatgen.core.surface import Slab

THICKNESS = 10.0
"""Å of the thinner slab; the value is that of one `THICKER` times as thick."""
THICKER = 1.6
VACUUM = 12.0
"""Å; potentials see no further than half of it."""
MAX_INDEX = 3
_USUAL_STEPS = 20


class SurfaceEnergy(PropertyResult):
    """Quantity `surface_energy` in J/m², of the cheapest termination."""

    name: str = "surface_energy"
    miller: tuple[int, int, int] = (0, 0, 0)
    """Of the conventional cell."""
    by_termination: tuple[float, ...] = ()
    """J/m² of each termination tried, in the thinner slab, rising."""


def surface_energy(
    crystal: Crystal,
    calculator: Calculator,
    miller: tuple[int, int, int],
    *,
    thickness: float = THICKNESS,
    vacuum: float = VACUUM,
    fmax: float = DEFECT_FMAX,
    max_cost: int = MAX_COST,
) -> SurfaceEnergy:
    """(E(slab) - N E(bulk)) / 2A of stoichiometric slabs with two equal faces (pymatgen's SlabGenerator).

    R. Tran et al., Sci. Data 3, 160080 (2016). All terminations are tried in the thinner slab; the value is the best
    one's in a thicker slab, and the std is the change from the thinner to the thicker.

    Args:
        crystal: any cell.
        calculator: of ASE, with energies, forces and stress.
        miller: indices of the plane in the conventional cell, each within ±3.
        thickness: Å of the thinner slab.
        vacuum: Å between the faces of neighbouring slabs.
        fmax: eV/Å; where the relaxation of a slab ends.
        max_cost: atoms times force evaluations.
    """
    if not any(miller) or max(map(abs, miller)) > MAX_INDEX:
        raise ToolError(f"{miller} is no low-index plane.", f"Give three integers within ±{MAX_INDEX}, not all zero.")

    def calculate(meter: Meter) -> SurfaceEnergy:
        atoms = relaxed(crystal, calculator, meter, FMAX)
        bulk = energy(atoms) / len(atoms)
        cell = conventional(atoms)
        thin = _slabs(cell, miller, thickness, vacuum)
        meter.expect(len(thin[0]), _USUAL_STEPS * len(thin), "The surface")
        tried = [(*_cleave(slab, bulk, calculator, meter, fmax), slab) for slab in thin]
        tried.sort(key=lambda entry: entry[0])
        thinner, _, best = tried[0]
        thicker = [s for s in _slabs(cell, miller, THICKER * thickness, vacuum) if abs(s.shift - best.shift) < 0.05]
        if not thicker:
            raise PropertyFailed("unsuitable", f"The termination at {best.shift:.3f} is not found in a thicker slab.")
        meter.expect(len(thicker[0]), _USUAL_STEPS, "The thicker slab")
        value, move = _cleave(thicker[0], bulk, calculator, meter, fmax)
        return SurfaceEnergy(
            method=f"{len(tried)} terminations, value of a slab of {len(thicker[0])} atoms, positions relaxed",
            crystal=from_ase(atoms),
            quantities={"surface_energy": Quantity(value=value, unit="J/m^2", std=abs(value - thinner))},
            checks=_checks(value, thinner, move),
            miller=miller,
            by_termination=tuple(entry[0] for entry in tried),
        )

    return attempt(SurfaceEnergy, crystal, max_cost, calculate)


def _slabs(cell: Structure, miller: tuple[int, int, int], thickness: float, vacuum: float) -> list[Slab]:
    """Stoichiometric slabs with equivalent faces; PropertyFailed when there is none, as at a polar surface."""
    from pymatgen.core.surface import SlabGenerator

    with library_warnings_silenced():
        generator = SlabGenerator(
            cell, miller, thickness, vacuum, center_slab=True, primitive=True, max_normal_search=MAX_INDEX
        )
        slabs = generator.get_slabs()
        formula = cell.composition.reduced_formula
        whole = [s for s in slabs if s.composition.reduced_formula == formula]
        found = [s for s in whole if s.is_symmetric()]
    if not found:
        plane = "".join(map(str, miller))
        raise PropertyFailed(
            "unsuitable",
            f"No stoichiometric ({plane}) slab of {formula} has two equal faces, as at a polar surface: "
            "there is no energy of one face.",
            "Take another plane.",
        )
    return found


def _cleave(slab: Slab, bulk: float, calculator: Calculator, meter: Meter, fmax: float) -> tuple[float, float]:
    """Surface energy in J/m², and the longest way in Å that an atom went."""
    from pymatgen.io.ase import AseAtomsAdaptor

    with library_warnings_silenced():
        atoms = AseAtomsAdaptor.get_atoms(slab)
    atoms.calc = calculator
    start = atoms.positions.copy()
    total = relax_positions(atoms, meter, fmax, MAX_STEPS, "the slab")
    area = float(np.linalg.norm(np.cross(atoms.cell[0], atoms.cell[1])))
    excess = (total - bulk * len(atoms)) / (2 * area)
    move = float(np.linalg.norm(atoms.positions - start, axis=1).max())
    return convert(excess, "eV/angstrom^2", "J/m^2"), move


def _checks(value: float, thinner: float, move: float) -> tuple[Check, ...]:
    change = abs(value - thinner)
    costs = "costs energy" if value > 0 else "gains energy: the crystal falls apart along this plane"
    return (
        Check(name="costs_energy", passed=value > 0.0, words=f"the surface {costs} ({value:.3f} J/m²)"),
        Check(
            name="thick_enough",
            passed=change <= max(0.05, 0.05 * abs(value)),
            words=f"the thicker slab changes the value by {change:.3f} J/m² (5 % or 0.05 expected)",
        ),
        Check(
            name="not_reconstructed",
            passed=move < MAX_MOVE,
            words=f"the largest move of an atom is {move:.2f} Å (below {MAX_MOVE:g} expected of a relaxed surface)",
        ),
    )
