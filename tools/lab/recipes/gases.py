"""Gases that powders give off or take up: free energies over temperature, and pressures in an atmosphere.

Enthalpies of formation and Gibbs functions at 1 bar: NIST-JANAF Thermochemical Tables, 4th ed. (Chase, J. Phys. Chem.
Ref. Data Monograph 9, 1998). What is not here: solids (`energies.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import log
from typing import Final

from ...core.errors import ToolError
from ...core.synthesis import Atmosphere

KJ_PER_EV = 96.48533212
"""kJ/mol in one eV per particle: Faraday constant, CODATA 2018."""
GAS_CONSTANT = 8.31446262e-3 / KJ_PER_EV
"""eV/K per particle."""
TEMPERATURES_K = (298.15, 500.0, 1000.0, 1500.0, 2000.0)
"""At which the Gibbs functions are listed; between them they are interpolated."""


@dataclass(frozen=True)
class Gas:
    """One gas at 1 bar."""

    formula: str
    enthalpy_kj_per_mol: float
    """Of formation at 298.15 K."""
    gibbs_function: tuple[float, ...]
    """-[G(T) - H(298.15 K)]/T in J/(mol K), at `TEMPERATURES_K`."""


GASES: Final = {
    gas.formula: gas
    for gas in (
        Gas("O2", 0.0, (205.147, 208.524, 220.875, 231.002, 239.160)),
        Gas("CO2", -393.522, (213.795, 218.290, 235.901, 251.062, 263.574)),
        Gas("CO", -110.527, (197.653, 200.968, 212.848, 222.526, 230.342)),
        Gas("H2O", -241.826, (188.834, 192.685, 206.738, 218.520, 228.374)),
        Gas("H2", 0.0, (130.680, 133.973, 145.536, 154.652, 161.943)),
        Gas("N2", 0.0, (191.609, 194.917, 206.708, 216.277, 224.006)),
        Gas("NO2", 33.095, (240.034, 244.440, 261.545, 276.175, 288.158)),
        Gas("NH3", -45.898, (192.774, 197.021, 213.849, 229.055, 242.245)),
    )
}

BY_PRODUCTS: Final = {"C": ("CO2",), "H": ("H2O",), "N": ("NO2",)}
"""What carries an element away that the target does not hold; ammonium leaves as NH3."""

OXYGEN_BAR: Final[dict[Atmosphere, float]] = {
    "air": 0.21,
    "oxygen": 1.0,
    "argon": 1e-5,
    "nitrogen": 1e-5,
    "vacuum": 1e-6,
}
"""Partial pressure of oxygen; bottled inert gas of the usual purity (5.0) holds some ten parts in a million. That of
`hydrogen_argon` follows from hydrogen and moisture."""
HYDROGEN_TO_WATER = 50.0
"""Ratio of pressures in 5 % hydrogen with 0.1 % of moisture."""
RELEASED_BAR: Final[dict[Atmosphere, float]] = {
    "air": 1.0,
    "oxygen": 1.0,
    "argon": 1.0,
    "nitrogen": 1.0,
    "hydrogen_argon": 1.0,
    "vacuum": 1e-3,
}
"""Pressure of a by-product inside a bed of powder: it has to push the flowing gas of the furnace, at 1 bar, aside."""


@lru_cache(maxsize=65536)
def gas_free_energy(formula: str, temperature_k: float, pressure_bar: float = 1.0) -> float:
    """eV per molecule, from the elements at 298.15 K with their entropies left in: differences over a balanced
    reaction are free energies of reaction.

    Args:
        formula: a key of `GASES`.
        temperature_k: from 298.15 to 2000 K; the tables end there, and what is outside counts as their end.
        pressure_bar: partial pressure, > 0; ideal gas.
    """
    gas = GASES.get(formula)
    if gas is None:
        raise ToolError(f"No data for the gas {formula!r}.", f"Known: {', '.join(GASES)}.")
    if not (pressure_bar > 0.0 and temperature_k > 0.0):
        raise ToolError(f"{temperature_k} K and {pressure_bar} bar are impossible.", "Both have to be above zero.")
    standard = gas.enthalpy_kj_per_mol - temperature_k * _interpolated(gas.gibbs_function, temperature_k) / 1000.0
    return standard / KJ_PER_EV + GAS_CONSTANT * temperature_k * log(pressure_bar)


def oxygen_free_energy(temperature_k: float, atmosphere: Atmosphere) -> float:
    """eV per molecule of O2 in an atmosphere."""
    if atmosphere == "hydrogen_argon":
        water = gas_free_energy("H2O", temperature_k) - gas_free_energy("H2", temperature_k)
        return 2.0 * (water - GAS_CONSTANT * temperature_k * log(HYDROGEN_TO_WATER))
    return gas_free_energy("O2", temperature_k, OXYGEN_BAR[atmosphere])


def gas_energies(gases: tuple[str, ...], temperature_k: float, atmosphere: Atmosphere) -> dict[str, float]:
    """eV per molecule of each gas as it is inside the powder; O2 as in the furnace."""
    released = RELEASED_BAR[atmosphere]
    return {
        gas: oxygen_free_energy(temperature_k, atmosphere)
        if gas == "O2"
        else gas_free_energy(gas, temperature_k, released)
        for gas in gases
    }


def by_products(elements: frozenset[str], ammonium: bool = False) -> tuple[str, ...]:
    """Gases that may leave powders of these elements; O2 goes either way and comes first."""
    names = ["O2"] if "O" in elements else []
    for element, carriers in BY_PRODUCTS.items():
        if element in elements:
            names.extend(("NH3",) if element == "N" and ammonium else carriers)
    return tuple(names)


def _interpolated(values: tuple[float, ...], temperature_k: float) -> float:
    if temperature_k <= TEMPERATURES_K[0]:
        return values[0]
    for index in range(1, len(values)):
        low, high = TEMPERATURES_K[index - 1], TEMPERATURES_K[index]
        if temperature_k <= high:
            share = (temperature_k - low) / (high - low)
            return values[index - 1] + share * (values[index] - values[index - 1])
    return values[-1]
