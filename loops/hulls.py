"""Convex hulls of one method, one for each chemical system that is asked for.

A goal may allow forty elements, and a hull in forty dimensions cannot be built; a crystal of three elements only
needs the hull of its own system.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..tools.evaluate.hull import Hull, HullEntry


class Hulls:
    """Entries of one method, and the hulls of their chemical systems, built on demand."""

    def __init__(self, entries: Sequence[HullEntry]) -> None:
        self.entries = tuple(entries)
        self.elements = frozenset(next(iter(e.amounts)) for e in entries if len(e.amounts) == 1)
        self._built: dict[frozenset[str], Hull] = {}

    def covers(self, amounts: dict[str, float]) -> bool:
        """Whether every element of a composition has a reference here."""
        return set(amounts) <= self.elements

    def system(self, amounts: dict[str, float]) -> Hull:
        """The hull of a composition's chemical system."""
        key = frozenset(amounts)
        if key not in self._built:
            self._built[key] = Hull([e for e in self.entries if set(e.amounts) <= key])
        return self._built[key]

    def formation_energy(self, amounts: dict[str, float], energy_per_atom: float) -> float:
        """eV/atom relative to the elements."""
        return self.system(amounts).formation_energy(amounts, energy_per_atom)

    def distance(self, amounts: dict[str, float], energy_per_atom: float) -> float:
        """eV/atom above the hull; negative for a crystal that is not an entry and would lower it."""
        return self.system(amounts).distance(amounts, energy_per_atom)

    def energy(self, amounts: dict[str, float]) -> float:
        """Energy of the hull itself at a composition, eV/atom."""
        return self.system(amounts).hull_energy(amounts)

    def levels(self, amounts: dict[str, float]) -> tuple[float, float]:
        """Energy (eV/atom) at a composition of the unmixed elements, and of the hull."""
        hull = self.system(amounts)
        return -hull.formation_energy(amounts, 0.0), hull.hull_energy(amounts)

    def hull_formation_energy(self, amounts: dict[str, float]) -> float:
        """Formation energy (eV/atom) of the hull itself at a composition."""
        hull = self.system(amounts)
        return hull.formation_energy(amounts, hull.hull_energy(amounts))
