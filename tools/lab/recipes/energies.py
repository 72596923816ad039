"""Free energies of solids over temperature, and the driving force of a reaction.

Every free energy here is G(T) of the compound minus the enthalpy of its elements at 298.15 K: what a compound of the
third law has, so that differences over a balanced reaction are free energies of reaction, gases of `gases.py` included.
What is not here: which reaction is driven most (`interfaces.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import combinations
from math import log

from pydantic import Field

from ...core.errors import ToolError
from ...core.synthesis import Atmosphere, Phase
from ...core.types import Frozen
from .balance import Reaction
from .formulas import amounts_of, atom_count, molar_mass
from .gases import KJ_PER_EV, gas_energies

BARTEL_RANGE_K = (300.0, 2000.0)
"""Where the descriptor was trained; temperatures outside count as its ends."""
ROOM_K = 298.15
_KOPP = {"H": 9.6, "C": 7.5, "B": 11.3, "O": 16.7, "F": 20.9, "Si": 15.9, "P": 22.6, "S": 22.6}
"""J/(mol K) of an atom in a solid."""
_KOPP_OTHERS = 25.9
A3_PER_CM3_MOL = 1.66053907
"""Å3 per formula unit in one cm3/mol: 1e24 over the Avogadro constant."""


class Compound(Frozen):
    """What a planner knows of a solid."""

    formula: str
    formation_energy_ev_per_atom: float
    """From the elements; computed at 0 K or measured at 298 K."""
    volume_a3_per_atom: float | None = Field(default=None, gt=0.0)
    entropy_j_per_mol_k: float | None = Field(default=None, gt=0.0)
    """Of a formula unit at 298.15 K, where it is tabulated."""
    melting_k: float | None = Field(default=None, gt=0.0)


def compound_of(phase: Phase) -> Compound:
    """A phase of a campaign, as the planner of recipes reads it."""
    if phase.formation_energy_ev_per_atom is None:
        raise ToolError(f"Nobody computed the formation energy of {phase.id}.", "Relax and place it on a hull first.")
    a, b, c = phase.crystal.lattice
    cross = (b[1] * c[2] - b[2] * c[1], b[2] * c[0] - b[0] * c[2], b[0] * c[1] - b[1] * c[0])
    volume = abs(sum(x * y for x, y in zip(a, cross, strict=True)))
    return Compound(
        formula=phase.formula,
        formation_energy_ev_per_atom=phase.formation_energy_ev_per_atom,
        volume_a3_per_atom=volume / len(phase.crystal),
    )


def volume_per_atom(formula: str, density_g_cm3: float) -> float:
    """Å3, from a density."""
    return molar_mass(formula) / density_g_cm3 * A3_PER_CM3_MOL / atom_count(formula)


def free_energy(compound: Compound, temperature_k: float) -> float:
    """eV per formula unit.

    From a tabulated entropy, with heat capacities by Kopp's rule; without, by the descriptor of Bartel et al. from the
    volume (mean error there: about 0.05 eV/atom, most of which is common to the two sides of a reaction of solids).
    """
    atoms = atom_count(compound.formula)
    enthalpy = compound.formation_energy_ev_per_atom * atoms
    if compound.entropy_j_per_mol_k is not None:
        return enthalpy + third_law_change(compound.formula, compound.entropy_j_per_mol_k, temperature_k)
    if compound.volume_a3_per_atom is None:
        raise ToolError(f"Neither entropy nor volume of {compound.formula} is known.", "Give one of the two.")
    return enthalpy + atoms * bartel_descriptor(compound.formula, compound.volume_a3_per_atom, temperature_k)


def third_law_change(formula: str, entropy_j_per_mol_k: float, temperature_k: float) -> float:
    """G(T) - H(298 K) of a solid from its entropy at 298.15 K, eV per formula unit; the heat capacity is the sum of
    those of its atoms (Kopp, Phil. Trans. R. Soc. 155, 71 (1865)) and does not change with temperature."""
    capacity = sum(float(n) * _KOPP.get(symbol, _KOPP_OTHERS) for symbol, n in amounts_of(formula).items())
    gibbs = entropy_j_per_mol_k + capacity * (log(temperature_k / ROOM_K) - 1.0 + ROOM_K / temperature_k)
    return -temperature_k * gibbs / 1000.0 / KJ_PER_EV


def bartel_descriptor(formula: str, volume_a3_per_atom: float, temperature_k: float) -> float:
    """G(T) - H(298 K) of a solid, eV/atom: Bartel et al., Nat. Commun. 9, 4168 (2018), equation 4."""
    kelvin = min(max(temperature_k, BARTEL_RANGE_K[0]), BARTEL_RANGE_K[1])
    slope = -2.48e-4 * log(volume_a3_per_atom) - 8.94e-5 * _reduced_mass(formula) / volume_a3_per_atom
    return slope * kelvin + 0.181 * log(kelvin) - 0.882


def driving_force(
    reaction: Reaction, compounds: Mapping[str, Compound], temperature_k: float, atmosphere: Atmosphere
) -> float:
    """Free energy of reaction over the atoms of the precursors, eV/atom; negative: the target is wanted."""
    unknown = [name for name in (reaction.target, *reaction.formulas) if name not in compounds]
    if unknown:
        raise ToolError(f"No energy of {', '.join(unknown)}.", "Give a compound for each.")
    gases = gas_energies(tuple(name for name, _ in reaction.gases), temperature_k, atmosphere)
    change = free_energy(compounds[reaction.target], temperature_k)
    change += sum(float(n) * gases[gas] for gas, n in reaction.gases)
    change -= sum(float(n) * free_energy(compounds[name], temperature_k) for name, n in reaction.precursors)
    return change / sum(float(n) * atom_count(name) for name, n in reaction.precursors)


def known_by_formula(compounds: Iterable[Compound]) -> dict[str, Compound]:
    """The lowest compound of each formula."""
    lowest: dict[str, Compound] = {}
    for compound in compounds:
        held = lowest.get(compound.formula)
        if held is None or compound.formation_energy_ev_per_atom < held.formation_energy_ev_per_atom:
            lowest[compound.formula] = compound
    return lowest


@lru_cache(maxsize=4096)
def _reduced_mass(formula: str) -> float:
    """Mean reduced mass of pairs of elements, weighted by their amounts; u. Of an element: its own mass."""
    amounts = {symbol: float(n) for symbol, n in amounts_of(formula).items()}
    if len(amounts) == 1:
        return molar_mass(next(iter(amounts)))
    total = 0.0
    for one, other in combinations(amounts, 2):
        first, second = molar_mass(one), molar_mass(other)
        total += (amounts[one] + amounts[other]) * first * second / (first + second)
    return total / ((len(amounts) - 1) * sum(amounts.values()))
