"""Equation of state: equilibrium volume, bulk modulus and its pressure derivative."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import ToolError
from ..core.structure import from_ase
from ..core.types import Crystal, Quantity
from ..core.units import GPA_PER_EV_A3
from .base import (
    FMAX,
    MAX_COST,
    Check,
    Meter,
    PropertyFailed,
    PropertyResult,
    attempt,
    energy,
    library_warnings_silenced,
    relax_at_volume,
    relaxed,
)

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator

VOLUME_STRAIN = 0.06
"""Largest relative change of volume: the ±6 % of the Delta test (Lejaeghere et al., Science 351, aad3000 (2016))."""

MIN_R2 = 0.999
"""Below this share of the energies' variance explained, the curve is no equation of state."""

DERIVATIVES = (1.0, 10.0)
"""A bulk modulus whose derivative by pressure lies beyond these is of noise, or of a curve with a kink in it."""


class EquationOfState(PropertyResult):
    """Quantities `volume_per_atom`, `bulk_modulus`, `bulk_modulus_derivative`, and the curve they come from."""

    name: str = "equation_of_state"
    volumes: tuple[float, ...] = ()
    """Å³/atom, rising."""
    energies: tuple[float, ...] = ()
    """eV/atom."""


def equation_of_state(
    crystal: Crystal,
    calculator: Calculator,
    *,
    strain: float = VOLUME_STRAIN,
    points: int = 7,
    fmax: float = FMAX,
    max_cost: int = MAX_COST,
) -> EquationOfState:
    """Third-order Birch-Murnaghan fit (F. Birch, Phys. Rev. 71, 809 (1947); pymatgen) to energies over volume.

    The crystal is relaxed, then its volume is changed; shape and positions are relaxed at each volume with the
    symmetry kept. The std of each quantity is its difference between the Birch-Murnaghan and the Vinet equation.

    Args:
        crystal: any cell.
        calculator: of ASE, with energies, forces and stress.
        strain: largest relative change of volume to either side.
        points: volumes, five at least.
        fmax: eV/Å; where relaxations end.
        max_cost: atoms times force evaluations.

    Returns:
        Å³/atom, GPa and a pure number.

    Raises:
        ToolError: for a strain or a number of points that makes no curve.
    """
    if not 0.005 <= strain <= 0.2 or points < 5:
        raise ToolError(
            f"An equation of state from {points} volumes within ±{strain:.1%} is not fitted.",
            "Give at least 5 volumes and a strain from 0.005 to 0.2.",
        )

    def calculate(meter: Meter) -> EquationOfState:
        atoms = relaxed(crystal, calculator, meter, fmax)
        count, start = len(atoms), atoms.get_volume()
        volumes = [start * (1 + x) for x in np.linspace(-strain, strain, points)]
        energies = [energy(relax_at_volume(atoms, v, meter, fmax)) for v in volumes]
        per_atom = np.array(volumes) / count, np.array(energies) / count
        main, other = (_fit(name, *per_atom) for name in ("birch_murnaghan", "vinet"))
        _refuse(main, per_atom[0])
        units = ("angstrom^3/atom", "GPa", "dimensionless")
        names = ("volume_per_atom", "bulk_modulus", "bulk_modulus_derivative")
        quantities = {
            name: Quantity(value=a, unit=unit, std=abs(a - b))
            for name, unit, a, b in zip(names, units, main[:3], other[:3], strict=True)
        }
        return EquationOfState(
            method=f"Birch-Murnaghan fit to {points} volumes within ±{strain:.0%}, shape and positions relaxed at each",
            crystal=from_ase(atoms),
            quantities=quantities,
            checks=_checks(main),
            volumes=tuple(map(float, per_atom[0])),
            energies=tuple(map(float, per_atom[1])),
        )

    return attempt(EquationOfState, crystal, max_cost, calculate)


def _fit(name: str, volumes: np.ndarray, energies: np.ndarray) -> tuple[float, float, float, float]:
    """V0 in Å³/atom, B0 in GPa, B0', and R² of the energies."""
    from pymatgen.analysis.eos import EOS, EOSError

    try:
        with library_warnings_silenced():
            fit = EOS(name).fit(volumes, energies)
        values = float(fit.v0), float(fit.b0) * GPA_PER_EV_A3, float(fit.b1)
    except (EOSError, RuntimeError, TypeError, ValueError) as error:
        raise PropertyFailed(
            "unphysical",
            f"The equation of state has no minimum, or one outside of the sampled {volumes[0]:.2f} to "
            f"{volumes[-1]:.2f} Å³/atom ({error}).",
        ) from error
    if not np.isfinite(values).all():
        raise PropertyFailed("unphysical", f"The {name} fit gives V0, B0, B0' = {values}, which is no solid.")
    residual = np.sum((fit.func(volumes) - energies) ** 2)
    total = np.sum((energies - energies.mean()) ** 2)
    return *values, float(1.0 - residual / total) if total > 0.0 else 0.0


def _refuse(fit: tuple[float, float, float, float], volumes: np.ndarray) -> None:
    """Raise PropertyFailed for a fit that no number may come of."""
    v0, b0, b1, r2 = fit
    problem = ""
    if not volumes[0] < v0 < volumes[-1]:
        problem = f"has its minimum at {v0:.2f}, outside of the sampled {volumes[0]:.2f} to {volumes[-1]:.2f} Å³/atom"
    elif r2 < MIN_R2:
        problem = f"does not fit: R² is {r2:.5f}, and at least {MIN_R2} is expected"
    elif b0 <= 0.0:
        problem = f"has a bulk modulus of {b0:.4g} GPa: the crystal collapses under pressure"
    elif not DERIVATIVES[0] <= b1 <= DERIVATIVES[1]:
        problem = f"has B0' = {b1:.2f}; solids lie between {DERIVATIVES[0]:g} and {DERIVATIVES[1]:g}"
    if problem:
        raise PropertyFailed("unphysical", f"The equation of state {problem}.", "Look for another phase nearby.")


def _checks(fit: tuple[float, float, float, float]) -> tuple[Check, ...]:
    b1 = fit[2]
    return (
        Check(
            name="ordinary_derivative",
            passed=2.0 <= b1 <= 8.0,
            words=f"B0' is {b1:.2f} (most solids lie between 2 and 8)",
        ),
    )
