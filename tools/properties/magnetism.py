"""Magnetic moments, where the calculator gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.structure import from_ase
from ..core.types import Crystal, Quantity
from .base import (
    FMAX,
    MAX_COST,
    Check,
    Meter,
    PropertyFailed,
    PropertyResult,
    attempt,
    relax_at_volume,
    relaxed,
)

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

VOLUME_CHANGE = 0.02
"""Relative; the std is how far the moment moves with it."""

STEADY = 0.3
"""µB; a moment that moves further within the volume change sits beside a collapse."""


class MagneticMoment(PropertyResult):
    """Quantities `magnetic_moment_per_atom` (mean of the sizes) and `largest_moment` in Bohr magnetons."""

    name: str = "magnetic_moment"
    moments: tuple[float, ...] = ()
    """Bohr magnetons of each site of the crystal."""


def magnetic_moment(
    crystal: Crystal, calculator: Calculator, *, fmax: float = FMAX, max_cost: int = MAX_COST
) -> MagneticMoment:
    """Site moments of the relaxed crystal, as the calculator predicts them.

    CHGNet predicts their sizes and no signs (B. Deng et al., Nat. Mach. Intell. 5, 1031 (2023)), so nothing is said
    about ferro- or antiferromagnetic order. The std is the larger change at ±2 % of the volume.

    Args:
        crystal: any cell.
        calculator: of ASE, with `magmoms` among its implemented properties.
        fmax: eV/Å; where relaxations end.
        max_cost: atoms times force evaluations.
    """

    def calculate(meter: Meter) -> MagneticMoment:
        if "magmoms" not in calculator.implemented_properties:
            raise _no_moments(calculator)
        atoms = relaxed(crystal, calculator, meter, fmax)
        moments = _moments(atoms)
        changed = [
            _moments(relax_at_volume(atoms, atoms.get_volume() * (1 + change), meter, fmax))
            for change in (-VOLUME_CHANGE, VOLUME_CHANGE)
        ]
        quantities = {
            name: Quantity(
                value=float(of(moments)),
                unit="bohr_magneton",
                std=max(abs(float(of(c) - of(moments))) for c in changed),
            )
            for name, of in (("magnetic_moment_per_atom", np.mean), ("largest_moment", np.max))
        }
        spread = quantities["largest_moment"].std or 0.0
        return MagneticMoment(
            method="site moments of the relaxed crystal, without signs",
            crystal=from_ase(atoms),
            quantities=quantities,
            checks=(
                Check(
                    name="steady",
                    passed=spread < STEADY,
                    words=f"the largest moment moves by {spread:.2f} µB within ±{VOLUME_CHANGE:.0%} of the volume "
                    f"(below {STEADY:g} expected)",
                ),
            ),
            moments=tuple(map(float, moments)),
        )

    return attempt(MagneticMoment, crystal, max_cost, calculate)


def _no_moments(calculator: Calculator) -> PropertyFailed:
    name = type(calculator).__name__
    return PropertyFailed("unsuitable", f"{name} gives no magnetic moments.", "Use CHGNet, or DFT.")


def _moments(atoms: Atoms) -> np.ndarray:
    from ase.calculators.calculator import PropertyNotImplementedError

    try:
        moments = np.abs(np.asarray(atoms.get_magnetic_moments(), dtype=float)).reshape(len(atoms))
    except PropertyNotImplementedError as error:  # some calculators list what they then do not give
        raise _no_moments(atoms.calc) from error
    if not np.isfinite(moments).all():
        raise PropertyFailed("unphysical", "The magnetic moments are not finite numbers.")
    return moments
