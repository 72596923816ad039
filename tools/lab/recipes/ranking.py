"""How much driving force is left for the target once its precursors have done what they are known to do.

ARROWS3 (Szymanski et al., Nat. Commun. 14, 6956 (2023)): a set of precursors is as good as the free energy that is left
at the step that forms the target, after the intermediates that its pairs were seen to form. What is not here: where the
observations come from (`pairs.py`), and conditions (`chooser.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ...core.synthesis import Atmosphere
from .balance import Reaction
from .energies import Compound, free_energy, known_by_formula
from .formulas import atom_count, numbers_of, same_ratios
from .gases import by_products, gas_energies
from .interfaces import Corners, corners
from .pairs import Pair, PairBook

MOST_STEPS = 12
"""Pairwise reactions before the target; a longer path is cut off."""


@dataclass(frozen=True)
class Interface:
    """The reaction between solids that is driven most."""

    products: tuple[tuple[str, float], ...]
    """Formula and moles over the atoms of the reactants, solids only, sorted."""
    drive_ev: float
    """Free energy released per atom of the reactants; 0 where nothing is driven."""


@dataclass(frozen=True)
class Path:
    """What a set of precursors goes through."""

    total_ev: float
    """Free energy of forming the target from the precursors, eV/atom of precursors; negative: driven."""
    left_ev: float
    """The same from what the known pairwise reactions leave, eV/atom of that."""
    mixture: tuple[tuple[str, float], ...]
    """Formulas and moles just before the target forms, sorted."""
    stalled: bool
    """Whether two of these were seen to lie side by side, as hot, and did nothing."""


class Thermodynamics:
    """Free energies of the known compounds of some chemistry; caches only.

    Args:
        compounds: the lowest of each formula counts.
    """

    def __init__(self, compounds: Iterable[Compound]) -> None:
        self.compounds = known_by_formula(compounds)
        self._energies: dict[tuple[str, float], float] = {}
        self._interfaces: dict[tuple[tuple[str, ...], float, Atmosphere], Interface] = {}

    def free_energy(self, formula: str, temperature_k: float) -> float:
        """eV per formula unit."""
        key = (formula, temperature_k)
        if key not in self._energies:
            self._energies[key] = free_energy(self.compounds[formula], temperature_k)
        return self._energies[key]

    def interface(self, reactants: Sequence[str], temperature_k: float, atmosphere: Atmosphere) -> Interface:
        """What solids that touch want most: two of them at their interface, or one alone in its atmosphere."""
        key = (tuple(sorted(set(reactants))), temperature_k, atmosphere)
        if key not in self._interfaces:
            self._interfaces[key] = self._weigh(corners(key[0], tuple(self.compounds)), temperature_k, atmosphere)
        return self._interfaces[key]

    def instability(self, formula: str, temperature_k: float, atmosphere: Atmosphere) -> float:
        """eV/atom that a solid gives off by falling apart in an atmosphere, its energy above the open hull; 0: it is
        the best that its elements can be."""
        return self.interface((formula,), temperature_k, atmosphere).drive_ev

    def _weigh(self, found: Corners, temperature_k: float, atmosphere: Atmosphere) -> Interface:
        if not len(found.coefficients):
            return Interface((), 0.0)
        changes = found.energies(self.of_species(found, temperature_k, atmosphere))
        best = int(np.argmin(changes))
        if changes[best] >= 0.0:
            return Interface((), 0.0)
        made = [
            (found.species[i], float(found.coefficients[best, i]))
            for i in range(found.reactants, found.solids)
            if found.coefficients[best, i] > 0.0
        ]
        return Interface(tuple(sorted(made)), -float(changes[best]))

    def of_species(self, found: Corners, temperature_k: float, atmosphere: Atmosphere) -> np.ndarray:
        """Free energies of a table's species, eV."""
        gases = gas_energies(found.species[found.solids :], temperature_k, atmosphere)
        solid = [self.free_energy(name, temperature_k) for name in found.species[: found.solids]]
        return np.array([*solid, *(gases[name] for name in found.species[found.solids :])])

    def to_target(
        self, mixture: Mapping[str, float], target: str, moles: float, temperature_k: float, atmosphere: Atmosphere
    ) -> float:
        """Free energy of a mixture's turning into so many moles of target and gases, eV/atom of the mixture."""
        balance: dict[str, float] = {}
        for name, amount in [*mixture.items(), (target, -moles)]:
            for symbol, n in numbers_of(name).items():
                balance[symbol] = balance.get(symbol, 0.0) + amount * n
        released = by_products(frozenset(balance), any("NH4" in name for name in mixture))
        energies = gas_energies(released, temperature_k, atmosphere)
        change = moles * self.free_energy(target, temperature_k)
        change -= sum(amount * self.free_energy(name, temperature_k) for name, amount in mixture.items())
        # Carbon, nitrogen and what is left of hydrogen leave in this order, and oxygen makes up for the rest.
        for gas in sorted(released, key=lambda name: ("CO2", "NO2", "NH3", "H2O", "O2").index(name)):
            inside = numbers_of(gas)
            carried = next(s for s in ("C", "N", "H", "O") if s in inside)
            number = balance.get(carried, 0.0) / inside[carried]
            for symbol, n in inside.items():
                balance[symbol] = balance.get(symbol, 0.0) - number * n
            change += number * energies[gas]
        return change / sum(amount * atom_count(name) for name, amount in mixture.items())


def follow(
    reaction: Reaction, book: PairBook, thermodynamics: Thermodynamics, temperature_k: float, atmosphere: Atmosphere
) -> Path:
    """Lets the pairs react that were seen to, the one that starts coldest first, each until one of it is used up."""
    start = {name: float(n) for name, n in reaction.precursors}
    total = thermodynamics.to_target(start, reaction.target, 1.0, temperature_k, atmosphere)
    mixture, formed = dict(start), 0.0
    for _ in range(MOST_STEPS):
        ready = _ready(mixture, book, temperature_k, atmosphere)
        if ready is None:
            break
        pair, products = ready
        if not _react(mixture, pair, products, thermodynamics, temperature_k, atmosphere):
            break
        for name in [n for n in mixture if same_ratios(n) == same_ratios(reaction.target)]:
            formed += mixture.pop(name) * atom_count(name) / atom_count(reaction.target)
    rest = max(1.0 - formed, 0.0)
    names = sorted(mixture)
    stalled = any(book.inert_up_to(pair, atmosphere) >= temperature_k for pair in combinations(names, 2))
    if rest < 1e-6 or not mixture:
        return Path(total, total, (), False)
    left = thermodynamics.to_target(mixture, reaction.target, rest, temperature_k, atmosphere)
    return Path(total, left, tuple((name, mixture[name]) for name in names), stalled)


def rank(
    reactions: Iterable[Reaction],
    book: PairBook,
    thermodynamics: Thermodynamics,
    temperature_k: float,
    atmosphere: Atmosphere,
) -> tuple[tuple[Reaction, Path], ...]:
    """Reactions with their paths: those that are not known to stall first, then by the driving force that is left."""
    rows = [(r, follow(r, book, thermodynamics, temperature_k, atmosphere)) for r in reactions]
    return tuple(sorted(rows, key=lambda row: (row[1].stalled, row[1].left_ev, row[0].formulas)))


def _ready(
    mixture: Mapping[str, float], book: PairBook, temperature_k: float, atmosphere: Atmosphere
) -> tuple[Pair, tuple[str, ...]] | None:
    onsets = []
    for pair in combinations(sorted(mixture), 2):
        onset = book.onset(pair, atmosphere)
        if onset is not None and onset[0] <= temperature_k:
            onsets.append((onset[0], pair, onset[1]))
    return min(onsets)[1:] if onsets else None


def _react(
    mixture: dict[str, float],
    pair: Pair,
    products: tuple[str, ...],
    thermodynamics: Thermodynamics,
    temperature_k: float,
    atmosphere: Atmosphere,
) -> bool:
    """One pair to its products, in place; False where no reaction of the pair makes them."""
    if any(name not in thermodynamics.compounds for name in (*pair, *products)):
        return False
    found = corners(pair, products)
    if not len(found.coefficients):
        found = corners(pair, tuple(thermodynamics.compounds))
    making = [found.species.index(p) for p in products if p in found.species]
    rows = [row for row in found.coefficients if any(row[i] > 0.0 for i in making)]
    if not rows:
        return False
    energies = thermodynamics.of_species(found, temperature_k, atmosphere)
    best = min(rows, key=lambda row: float(row @ energies))
    extent = min(mixture[name] / -best[found.species.index(name)] for name in pair)
    for name, number in zip(found.species[: found.solids], best[: found.solids], strict=True):
        amount = mixture.get(name, 0.0) + float(number) * extent
        if amount > 1e-9:
            mixture[name] = amount
        else:
            mixture.pop(name, None)
    return True
