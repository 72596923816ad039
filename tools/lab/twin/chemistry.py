"""The twin's hidden truth: what powders become in a furnace. Pure functions of contents, programme and seed.

A stated model, not reality. Solids that touch react pairwise, the most driven pair first, towards the corner of the
hull that is driven most; layers grow by diffusion with a barrier that belongs to the pair; solids that are no longer
stable in their atmosphere give off or take up gas; volatile oxides leave; what melts speeds neighbours up, and sticks
to the crucible where there is too much of it for too long. Elements are conserved, gases and vapours accounted.
What is not here: constants and rate laws (`chemistry_kinetics.py`), the numbers of the solids (`chemistry_data.py`),
the handling of a recipe (`chemistry_recipe.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from math import exp, isfinite
from typing import Final

import numpy as np

from ...core.errors import ToolError
from ...core.synthesis import Atmosphere, Powder
from ..recipes.energies import third_law_change
from ..recipes.formulas import amounts_of, atom_count, molar_mass
from ..recipes.gases import GAS_CONSTANT, KJ_PER_EV, OXYGEN_BAR, by_products, gas_energies
from ..recipes.interfaces import corners
from .chemistry_data import SolidData, solids
from .chemistry_kinetics import (
    LIQUID_FACTOR,
    Alone,
    Barrier,
    contact_barrier,
    grown,
    held_back_ev,
    shrunk,
    single_barrier,
)

BIN_K: Final = 20.0
"""Free energies are weighed at multiples of it."""
LEAST_DRIVE_EV: Final = 1e-3
"""Per atom; what is driven less does not go."""
TRACE: Final = 1e-3
"""Weight fraction below which a solid finds no partner."""
UPTAKE_BAR: Final = 0.21
SUPPLY_PER_H: Final = 20.0
"""Highest rate constant of what needs oxygen, at `UPTAKE_BAR`: the flowing gas brings no more, and less in proportion
to its pressure."""
STICKS_ABOVE: Final = 0.4
"""Weight fraction of liquid that runs together and wets the crucible."""
STICKS_AFTER_H: Final = 2.0
VAPOUR_EV: Final = 2.6
"""Barrier of the loss of volatile oxides, about their enthalpy of sublimation."""
VAPOUR_ONSET_PER_H: Final = 0.02
VOLATILES: Final = {
    "Li": ("Li2O", 1250.0), "Na": ("Na2O", 1150.0), "K": ("K2O", 1120.0),
    "Pb": ("PbO", 1120.0), "Bi": ("Bi2O3", 1170.0), "Zn": ("ZnO", 1550.0),
}  # fmt: skip
"""Element, the oxide as which it leaves, and the temperature (K) at which 2 % of it leave in an hour."""


@dataclass(frozen=True)
class Segment:
    """A time at one temperature in one atmosphere."""

    temperature_k: float
    hours: float
    atmosphere: Atmosphere


@dataclass(frozen=True)
class Contents:
    """What is in a crucible."""

    amounts_mol: Mapping[str, float]
    """Formula units of each solid (or melt)."""
    mixing: float = 0.3
    """Share of contacts that are between different powders, 0 to 1."""
    particle_um: float = 5.0
    """Radius of the grains."""
    gases_mol: Mapping[str, float] = field(default_factory=dict)
    """Given off so far, vapours of oxides included; negative: taken up."""
    progress: Mapping[str, float] = field(default_factory=dict)
    """Reduced time of each reaction since the last grinding."""
    liquid_h: float = 0.0
    """Time with so much liquid that it runs together."""

    @property
    def stuck(self) -> bool:
        """Whether the product cannot be taken out of the crucible."""
        return self.liquid_h > STICKS_AFTER_H

    def weight_fractions(self) -> dict[str, float]:
        """Of the solids, the most abundant first."""
        masses = {name: n * molar_mass(name) for name, n in self.amounts_mol.items() if n > 0.0}
        total = sum(masses.values())
        return {name: masses[name] / total for name in sorted(masses, key=lambda name: (-masses[name], name))}


@dataclass(frozen=True)
class Change:
    """A reaction that a contact can make at some temperature."""

    key: tuple[str, ...]
    coefficients: Mapping[str, float]
    """Moles over atoms of reactants; what is used up is negative, gases included."""
    drive_ev: float
    """Per atom of reactants, positive."""
    barrier: Barrier
    front: bool
    """Whether a front moves (gas exchange) rather than a layer that grows."""
    gases: frozenset[str]

    @cached_property
    def name(self) -> str:
        """Of the reaction: what it is counted under."""
        made = sorted(name for name, n in self.coefficients.items() if n > 0.0 and name not in self.gases)
        return f"{' + '.join(self.key)} -> {' + '.join(made)}"


class Chemistry:
    """One laboratory's truth: the table of solids and the constants that its seed hides.

    Holds caches only: the same calls give the same answers in any order.
    """

    def __init__(self, seed: int, table: Mapping[str, SolidData] | None = None) -> None:
        self.seed = seed
        self.table = solids() if table is None else table
        self._names = tuple(self.table)
        self._changes: dict[tuple[tuple[str, ...], int, Atmosphere], Change | None] = {}
        self._energies: dict[tuple[str, int], float] = {}
        self._held_back: dict[tuple[str, ...], np.ndarray] = {}
        self._vapours: dict[tuple[str, str, int, Atmosphere], Mapping[str, float] | None] = {}

    def known(self, names: Iterable[str]) -> None:
        """Raises ToolError for a solid that the table does not hold."""
        missing = sorted(set(names) - self.table.keys())
        if missing:
            raise ToolError(f"The twin does not know {', '.join(missing)}.", "Use solids of chemistry_data.solids().")

    def free_energy(self, formula: str, temperature_k: float) -> float:
        """eV per formula unit, as `recipes.energies.free_energy` from the true enthalpy and entropy."""
        solid = self.table[formula]
        change = third_law_change(formula, solid.entropy_j_per_mol_k, temperature_k)
        return solid.enthalpy_kj_per_mol / KJ_PER_EV + change

    def change(self, reactants: tuple[str, ...], temperature_k: float, atmosphere: Atmosphere) -> Change | None:
        """What these solids (sorted by formula) do when they touch; None where nothing is driven."""
        step = round(temperature_k / BIN_K)
        key = (reactants, step, atmosphere)
        if key not in self._changes:
            self._changes[key] = self._find(reactants, step, atmosphere)
        return self._changes[key]

    def _find(self, reactants: tuple[str, ...], step: int, atmosphere: Atmosphere) -> Change | None:
        found = corners(reactants, self._names)
        if not len(found.coefficients):
            return None
        gases = found.species[found.solids :]
        energies = np.array(
            [
                *(self._at(name, step) for name in found.species[: found.solids]),
                *gas_energies(gases, step * BIN_K, atmosphere).values(),
            ]
        )
        true = found.energies(energies)
        allowed = true < -LEAST_DRIVE_EV
        if not allowed.any():
            return None
        if reactants not in self._held_back:
            offsets = np.zeros(len(energies))
            # What a solid becomes alone grows in its own lattice: nothing there to fit badly.
            for index in range(found.reactants, found.solids if len(reactants) > 1 else 0):
                name = found.species[index]
                offsets[index] = atom_count(name) * held_back_ev(self.seed, reactants, name)
            self._held_back[reactants] = offsets
        held_back = self._held_back[reactants]
        best = int(np.argmin(np.where(allowed, found.energies(energies + held_back), np.inf)))
        row = found.coefficients[best]
        moved = {name: float(n) for name, n in zip(found.species, row, strict=True) if abs(n) > 1e-12}
        front = len(reactants) == 1 and bool(moved.keys() & set(gases))
        parts = tuple(self.table[name] for name in reactants)
        if len(parts) > 1:
            barrier = contact_barrier(self.seed, parts)
        else:
            barrier = single_barrier(self.seed, parts[0], _kind(moved, reactants[0], frozenset(gases)))
        return Change(reactants, moved, -float(true[best]), barrier, front, frozenset(gases))

    def _at(self, formula: str, step: int) -> float:
        key = (formula, step)
        if key not in self._energies:
            self._energies[key] = self.free_energy(formula, step * BIN_K)
        return self._energies[key]

    def vapour(self, formula: str, element: str, temperature_k: float, atmosphere: Atmosphere) -> Mapping[str, float]:
        """Moles over atoms of a solid when its volatile oxide leaves and the rest settles; empty where it cannot."""
        step = round(temperature_k / BIN_K)
        key = (formula, element, step, atmosphere)
        if key not in self._vapours:
            self._vapours[key] = self._leave(formula, element, step, atmosphere)
        return self._vapours[key] or {}

    def _leave(self, formula: str, element: str, step: int, atmosphere: Atmosphere) -> Mapping[str, float] | None:
        oxide = VOLATILES[element][0]
        if formula == oxide:
            share = 1.0 / atom_count(oxide)
            return {f"{oxide} vapour": share, oxide: -share}
        plain = by_products(frozenset(amounts_of(formula)) | {"O"})
        found = corners((formula,), tuple(name for name in self.table if name != oxide), (oxide, *plain))
        column = found.species.index(oxide, found.solids)
        leaving = found.coefficients[:, column] > 1e-9 if len(found.coefficients) else np.zeros(0, dtype=bool)
        if not leaving.any():
            return None
        gases = gas_energies(plain, step * BIN_K, atmosphere)
        energies = np.array(
            [
                self._at(name, step) if index < found.solids or name == oxide else gases[name]
                for index, name in enumerate(found.species)
            ]
        )
        best = int(np.argmin(np.where(leaving, found.energies(energies), np.inf)))
        row = found.coefficients[best]
        return {
            f"{name} vapour" if index == column else name: float(n)
            for index, (name, n) in enumerate(zip(found.species, row, strict=True))
            if abs(n) > 1e-12
        }


def _kind(moved: Mapping[str, float], formula: str, gases: frozenset[str]) -> Alone:
    """How a single solid changes: by which barrier."""
    if not moved.keys() & gases:
        return "disproportion"
    if moved.get("O2", 0.0) > 0.0 or moved.keys() & (gases - {"O2"}):
        return "release"
    solid = [n for name, n in moved.items() if n > 0.0 and name not in gases]
    return "release" if len(solid) == 1 and abs(solid[0] + moved[formula]) < 1e-9 else "uptake"


def fresh(powders: Iterable[Powder]) -> Contents:
    """Weighed powders, tipped together and stirred with a spatula."""
    amounts: dict[str, float] = {}
    for powder in powders:
        amounts[powder.formula] = amounts.get(powder.formula, 0.0) + powder.mass_g / molar_mass(powder.formula)
    return Contents(amounts_mol=amounts)


def milled(contents: Contents, minutes: float) -> Contents:
    """After a ball mill: contacts are new, grains finer (not below 0.5 µm), powders mixed."""
    if not (isfinite(minutes) and minutes >= 0.0):
        raise ToolError(f"{minutes} minutes of milling.", "Give minutes, from 0 on.")
    if minutes == 0.0:
        return contents
    return replace(
        contents,
        mixing=1.0 - (1.0 - contents.mixing) * exp(-minutes / 8.0),
        particle_um=max(min(contents.particle_um, 0.5), contents.particle_um * exp(-minutes / 40.0)),
        progress={},
    )


def reground(contents: Contents) -> Contents:
    """After a mortar: contacts are new and powders better mixed, grains as they were."""
    return replace(contents, mixing=1.0 - (1.0 - contents.mixing) * 0.3, progress={})


def heated(chemistry: Chemistry, contents: Contents, programme: Iterable[Segment]) -> Contents:
    """Contents after a temperature programme.

    Raises ToolError for a solid that the twin does not know, and for times or temperatures that are impossible.
    """
    chemistry.known(contents.amounts_mol)
    crucible = _Crucible(chemistry, contents)
    for segment in programme:
        sound = isfinite(segment.hours) and segment.hours >= 0.0 and isfinite(segment.temperature_k)
        if not (sound and segment.temperature_k > 0.0):
            raise ToolError(f"{segment.hours} h at {segment.temperature_k} K.", "Give times and temperatures above 0.")
        for hours in _split(segment.hours):
            crucible.step(segment.temperature_k, hours, segment.atmosphere)
    return crucible.contents()


def _split(hours: float) -> tuple[float, ...]:
    """Short steps first: what is quick is over soon."""
    if hours <= 0.25:
        return (hours,)
    edges = hours * (np.geomspace(1.0, 33.0, 9) - 1.0) / 32.0
    return tuple(float(step) for step in np.diff(edges))


class _Crucible:
    """Contents on their way through a programme."""

    def __init__(self, chemistry: Chemistry, contents: Contents) -> None:
        self._chemistry = chemistry
        self._start = contents
        self._moles = {name: n for name, n in contents.amounts_mol.items() if n > 0.0}
        self._gases = dict(contents.gases_mol)
        self._progress = dict(contents.progress)
        self._liquid_h = contents.liquid_h

    def contents(self) -> Contents:
        """As it is now."""
        return replace(
            self._start,
            amounts_mol=self._moles,
            gases_mol=self._gases,
            progress=self._progress,
            liquid_h=self._liquid_h,
        )

    def step(self, temperature_k: float, hours: float, atmosphere: Atmosphere) -> None:
        """Some time at one temperature."""
        present = self._present()
        for change in self._driven(present, temperature_k, atmosphere):
            self._react(change, temperature_k, hours, atmosphere)
        for name in present:
            self._evaporate(name, temperature_k, hours, atmosphere)
        self._watch_liquid(temperature_k, hours)

    def _present(self) -> list[str]:
        masses = {name: n * molar_mass(name) for name, n in self._moles.items() if n > 0.0}
        least = TRACE * sum(masses.values())
        return sorted(name for name, mass in masses.items() if mass > least)

    def _driven(self, present: list[str], temperature_k: float, atmosphere: Atmosphere) -> list[Change]:
        find = self._chemistry.change
        found = [c for name in present if (c := find((name,), temperature_k, atmosphere))]
        pairs = {}
        for pair in combinations(present, 2):
            change = find(pair, temperature_k, atmosphere)
            if change:
                pairs[pair] = change
        found.extend(pairs.values())
        # Three meet only where no two of them have anything to do with each other.
        for three in combinations(present, 3):
            if not any(pair in pairs for pair in combinations(three, 2)):
                change = find(three, temperature_k, atmosphere)
                if change:
                    found.append(change)
        return sorted(found, key=lambda change: (-change.drive_ev, change.key))

    def _react(self, change: Change, temperature_k: float, hours: float, atmosphere: Atmosphere) -> None:
        start = self._start
        constant = change.barrier.constant(temperature_k, change.drive_ev)
        if not change.front:
            constant *= start.mixing**2 / start.particle_um**2 if len(change.key) > 1 else start.particle_um**-2
            table = self._chemistry.table
            melts = [table[name].melts_k for name in change.key]
            if len(melts) > 1 and any(kelvin is not None and temperature_k > kelvin for kelvin in melts):
                constant *= LIQUID_FACTOR
        if change.coefficients.get("O2", 0.0) < 0.0:
            constant = min(constant, SUPPLY_PER_H * OXYGEN_BAR.get(atmosphere, 0.0) / UPTAKE_BAR)
        before = self._progress.get(change.name, 0.0)
        after = before + constant * hours
        self._progress[change.name] = after
        law = shrunk if change.front else grown
        done = law(after)
        if done >= 1.0:
            # What forms later starts with a clean surface.
            del self._progress[change.name]
        share = (done - law(before)) / (1.0 - law(before))
        if share <= 0.0:
            return
        extent = share * min(self._moles.get(name, 0.0) / -change.coefficients[name] for name in change.key)
        self._apply(change.coefficients, extent, change.gases)

    def _evaporate(self, name: str, temperature_k: float, hours: float, atmosphere: Atmosphere) -> None:
        for element, number in amounts_of(name).items():
            if element not in VOLATILES or temperature_k < VOLATILES[element][1] - 200.0:
                continue
            moved = self._chemistry.vapour(name, element, temperature_k, atmosphere)
            if not moved or self._moles.get(name, 0.0) <= 0.0:
                continue
            oxide, onset = VOLATILES[element]
            constant = VAPOUR_ONSET_PER_H * exp(-VAPOUR_EV / GAS_CONSTANT * (1.0 / temperature_k - 1.0 / onset))
            held = self._moles[name] * float(number)
            lost = held * (1.0 - exp(-constant * hours)) / float(amounts_of(oxide)[element])
            extent = min(lost / moved[f"{oxide} vapour"], self._moles[name] / -moved[name])
            self._apply(moved, extent, frozenset({f"{oxide} vapour", "O2", "CO2", "H2O", "NO2", "NH3"}))

    def _apply(self, coefficients: Mapping[str, float], extent: float, gases: frozenset[str]) -> None:
        for name, number in coefficients.items():
            held = self._gases if name in gases else self._moles
            amount = held.get(name, 0.0) + number * extent
            # Round-off of the limiting reactant.
            held[name] = amount if held is self._gases else max(amount, 0.0)

    def _watch_liquid(self, temperature_k: float, hours: float) -> None:
        table = self._chemistry.table
        masses = {name: n * molar_mass(name) for name, n in self._moles.items()}
        molten = sum(
            mass
            for name, mass in masses.items()
            if (kelvin := table[name].melts_k) is not None and temperature_k > kelvin
        )
        if molten > STICKS_ABOVE * sum(masses.values()):
            self._liquid_h += hours
