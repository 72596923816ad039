"""Thermal expansion and heat capacity in the quasi-harmonic approximation."""

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
    conventional,
    energy,
    library_warnings_silenced,
    relax_at_volume,
    relaxed,
    supercell_size,
)
from .phonons import DISTANCE, MESH_LENGTH, ROOM_TEMPERATURE, force_constants, stability

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from phonopy import Phonopy
    from phonopy.qha.qha import QHAResult

VOLUME_STRAINS = (-0.03, -0.015, 0.0, 0.015, 0.03, 0.045, 0.06)
"""Relative changes of the relaxed volume; more to the side that heat moves it."""

MIN_LENGTH = 8.0
"""Å; force constants at seven volumes need not reach as far as those of a band structure."""

STEP_K = 10.0
"""K between temperatures."""


class ThermalExpansion(PropertyResult):
    """Quantities at `temperature`: `thermal_expansion` (volumetric, 1/K), `heat_capacity` at constant pressure
    (J/mol/K, per mole of atoms), `volume_per_atom`, `bulk_modulus`, `gruneisen_parameter`."""

    name: str = "thermal_expansion"
    temperature: float = ROOM_TEMPERATURE
    """K."""
    temperatures: tuple[float, ...] = ()
    """K, rising."""
    volumes: tuple[float, ...] = ()
    """Å³/atom at each temperature."""
    expansions: tuple[float, ...] = ()
    """1/K at each temperature."""
    heat_capacities: tuple[float, ...] = ()
    """J/mol/K at each temperature, constant pressure, per mole of atoms."""


def thermal_expansion(
    crystal: Crystal,
    calculator: Calculator,
    *,
    temperature: float = ROOM_TEMPERATURE,
    min_length: float = MIN_LENGTH,
    strains: tuple[float, ...] = VOLUME_STRAINS,
    fmax: float = FMAX,
    max_cost: int = MAX_COST,
) -> ThermalExpansion:
    """Helmholtz energy of lattice and phonons over volume, its minimum at each temperature (phonopy's `run_qha`).

    Electronic excitations are not in it, nor is anharmonicity beyond the volume. The std of each quantity is its
    difference between the Vinet and the Birch-Murnaghan equation of state.

    Args:
        crystal: any cell.
        calculator: of ASE, with energies, forces and stress.
        temperature: K, for the quantities; curves reach from 0 K to it.
        min_length: Å between a displaced atom and its images.
        strains: relative changes of the volume, five at least, rising.
        fmax: eV/Å; where relaxations end.
        max_cost: atoms times force evaluations.
    """
    if not 2 * STEP_K <= temperature <= 5000.0:
        raise ToolError(f"No quasi-harmonic value at {temperature:g} K.", "Give a temperature from 20 to 5000 K.")
    if len(strains) < 5 or list(strains) != sorted(set(strains)) or not -0.2 < strains[0] < strains[-1] < 0.3:
        raise ToolError(f"Volume strains {strains} make no curve.", "Give five or more, rising, from -0.2 to 0.3.")

    def calculate(meter: Meter) -> ThermalExpansion:
        atoms = relaxed(crystal, calculator, meter, fmax)
        size = supercell_size(conventional(atoms), min_length)
        curves, energies, unstable = [], [], []
        for strain in strains:
            scaled = relax_at_volume(atoms, atoms.get_volume() * (1 + strain), meter, fmax)
            curves.append(force_constants(conventional(scaled), calculator, meter, size, DISTANCE))
            energies.append(energy(scaled) / len(scaled) * len(curves[-1].primitive))
            check = stability(curves[-1])
            if not check.passed:
                unstable.append(f"{check.words} at {strain:+.1%} of the volume")
        count = len(curves[0].primitive)
        temperatures = np.arange(0.0, temperature + 2.5 * STEP_K, STEP_K)
        with library_warnings_silenced():
            try:
                main, other = (_run(curves, temperatures, energies, eos=name) for name in ("vinet", "birch_murnaghan"))
            except (RuntimeError, ValueError, np.linalg.LinAlgError) as error:
                raise PropertyFailed("unphysical", f"The free energies over volume have no minimum: {error}") from error
        values, changed = (_values(result, temperature, count) for result in (main, other))
        quantities = {
            name: Quantity(value=value, unit=unit, std=abs(value - changed[name][0]))
            for name, (value, unit) in values.items()
        }
        kept = main.temperatures <= temperature + 0.5 * STEP_K
        return ThermalExpansion(
            method=f"quasi-harmonic, {len(strains)} volumes, supercells of {len(curves[0].supercell)} atoms, Vinet",
            crystal=from_ase(atoms),
            quantities=quantities,
            checks=_checks(main, temperature, count, tuple(unstable)),
            temperature=temperature,
            temperatures=tuple(map(float, main.temperatures[kept])),
            volumes=tuple(float(v) / count for v in main.equilibrium_volumes[kept]),
            expansions=tuple(map(float, main.thermal_expansion[kept])),
            heat_capacities=tuple(_molar(float(c) / count) for c in main.heat_capacity_P.heat_capacities[kept]),
        )

    return attempt(ThermalExpansion, crystal, max_cost, calculate)


def _run(curves: list[Phonopy], temperatures: np.ndarray, energies: list[float], eos: str) -> QHAResult:
    from phonopy import run_qha

    return run_qha(curves, temperatures, energies, mesh=MESH_LENGTH, eos=eos, exclude_gamma_acoustic=True)


def _molar(value: float) -> float:
    """eV/K as J/mol/K."""
    from ase import units

    return float(value * units.mol / units.J)


def _values(result: QHAResult, temperature: float, count: int) -> dict[str, tuple[float, str]]:
    """Values at a temperature with their units; interpolated, since it need not be one of the grid."""

    def at(curve: np.ndarray) -> float:
        return float(np.interp(temperature, result.temperatures, curve))

    return {
        "thermal_expansion": (at(result.thermal_expansion), "1/K"),
        "heat_capacity": (_molar(at(result.heat_capacity_P.heat_capacities) / count), "J/mol/K"),
        "volume_per_atom": (at(result.equilibrium_volumes) / count, "angstrom^3/atom"),
        "bulk_modulus": (at(result.bulk_moduli) * GPA_PER_EV_A3, "GPa"),
        "gruneisen_parameter": (at(result.gruneisen_parameters), "dimensionless"),
    }


def _checks(result: QHAResult, temperature: float, count: int, unstable: tuple[str, ...]) -> tuple[Check, ...]:
    reached = float(result.temperatures[-1])
    hottest = float(np.interp(temperature, result.temperatures, result.equilibrium_volumes)) / count
    low, high = result.volumes[0] / count, result.volumes[-1] / count
    inside = bool(low < hottest < high)
    return (
        Check(
            name="dynamic_stability",
            passed=not unstable,
            words="; ".join(unstable) or "no imaginary mode at any volume",
        ),
        Check(
            name="volume_inside",
            passed=inside,
            words=f"the volume at {temperature:g} K is {hottest:.2f} Å³/atom, {'inside' if inside else 'outside of'} "
            f"the sampled {low:.2f} to {high:.2f}",
        ),
        Check(
            name="temperature_reached",
            passed=reached >= temperature - 1e-6,
            words=f"free energies have a minimum up to {reached:g} K, {temperature:g} K was asked for",
        ),
    )
