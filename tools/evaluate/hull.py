"""The convex hull of formation energies, at one method (pymatgen `PhaseDiagram`).

What lives here: entries, distances to the hull, and the words that say relative to what. Where entries come from
(`references.py`, `materials_project.py`, the campaign itself) does not.

Definitions as in Bartel, "Review of computational approaches to predict the thermodynamic stability of inorganic
solids", J. Mater. Sci. 57, 10475 (2022).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
from pydantic import Field

from ..core.errors import ToolError
from ..core.types import Frozen

Amounts = Mapping[str, float]
"""Element symbol to its amount; any scale, e.g. `{"Sr": 1, "Ti": 1, "O": 3}`."""


class HullEntry(Frozen):
    """One computed phase."""

    id: str
    """Candidate id, Materials Project id, or a name."""
    amounts: dict[str, float] = Field(min_length=1)
    energy_per_atom: float
    """eV/atom by `method`."""
    source: str
    """`reference`, `campaign` or `materials project`."""
    method: str
    """What computed the energy; entries of different methods never share a hull."""


class PlacedEntry(Frozen):
    """An entry and where it stands; energies in eV/atom."""

    entry: HullEntry
    formula: str
    formation_energy: float
    energy_above_hull: float


class Hull:
    """The hull over a fixed set of entries. Immutable; `extended` makes a larger one.

    Args:
        entries: at least one phase of every element that occurs. Raises ToolError where an element has none, or
            where methods are mixed.
    """

    def __init__(self, entries: Iterable[HullEntry]) -> None:
        self.entries = tuple(entries)
        if not self.entries:
            raise ToolError("A hull needs entries; none were given.", "Give at least one phase of each element.")
        methods = sorted({entry.method for entry in self.entries})
        if len(methods) > 1:
            raise ToolError(
                f"Energies of {len(methods)} methods cannot share one hull: {', '.join(methods)}.",
                "Compute every phase, elements too, by one method.",
            )
        self.method = methods[0]
        for entry in self.entries:
            _check_amounts(entry.amounts, entry.id)
        used = [entry.energy_per_atom for entry in self.entries]
        if not np.isfinite(used).all():
            raise ToolError("An entry's energy is not finite.", "Leave failed calculations out of the hull.")
        self.elements = tuple(sorted({s for entry in self.entries for s, n in entry.amounts.items() if n > 0}))
        self._elemental = self._lowest_elements()

    def extended(self, entries: Iterable[HullEntry]) -> Hull:
        """A hull with more entries."""
        return Hull((*self.entries, *entries))

    def formation_energy(self, amounts: Amounts, energy_per_atom: float) -> float:
        """eV/atom relative to the lowest phase of each element here."""
        return energy_per_atom - float(self._fractions([amounts])[0] @ self._elemental)

    def hull_energy(self, amounts: Amounts) -> float:
        """Energy of the hull at a composition, eV/atom: that of the best mixture of the phases here."""
        return float(self.hull_energies([amounts])[0])

    def distance(self, amounts: Amounts, energy_per_atom: float) -> float:
        """Energy minus hull energy, eV/atom. Negative for a phase that is not here and would lower the hull."""
        return energy_per_atom - self.hull_energy(amounts)

    def energy_above_hull(self, amounts: Amounts, energy_per_atom: float) -> float:
        """Distance to the hull with this phase itself on board, eV/atom, never negative: a phase that lowers the
        hull becomes a part of it, at 0."""
        return max(0.0, self.distance(amounts, energy_per_atom))

    def hull_energies(self, amounts: Sequence[Amounts]) -> np.ndarray:
        """`hull_energy` of `n` compositions at once, shape `n`."""
        if not amounts:
            return np.zeros(0)
        # The hull is convex and piecewise linear: its value is the largest of its facets' planes, and the plane
        # of a facet is given by the chemical potentials there.
        values: np.ndarray = (self._fractions(amounts) @ self._chemical_potentials.T).max(axis=1)
        return values

    def distances(self, phases: Sequence[tuple[Amounts, float]]) -> np.ndarray:
        """`distance` of `n` (amounts, energy per atom) pairs at once, shape `n`."""
        return np.array([energy for _, energy in phases]) - self.hull_energies([amounts for amounts, _ in phases])

    def phases(self) -> list[PlacedEntry]:
        """Every entry with its place, by energy above hull, then formula."""
        from pymatgen.core import Composition

        above = self.distances([(entry.amounts, entry.energy_per_atom) for entry in self.entries])
        rows = [
            PlacedEntry(
                entry=entry,
                formula=str(Composition(entry.amounts).reduced_formula),
                formation_energy=self.formation_energy(entry.amounts, entry.energy_per_atom),
                # Round-off of the facet solve puts a phase on the hull a hair below it.
                energy_above_hull=max(0.0, float(distance)) if abs(distance) > 1e-9 else 0.0,
            )
            for entry, distance in zip(self.entries, above, strict=True)
        ]
        return sorted(rows, key=lambda row: (row.energy_above_hull, row.formula, row.entry.id))

    def statement(self) -> str:
        """Relative to what, in words for the report."""
        compounds = [entry for entry in self.entries if sum(n > 0 for n in entry.amounts.values()) > 1]
        elements = ", ".join(self.elements)
        words = f"relative to the element{'s' if len(self.elements) > 1 else ''} {elements}"
        if compounds:
            sources = Counter(entry.source for entry in compounds)
            parts = ", ".join(f"{count} {source}" for source, count in sorted(sources.items()))
            words += f" and {len(compounds)} compound phase{'s' if len(compounds) > 1 else ''} ({parts})"
        return f"{words}, all by {self.method}"

    @cached_property
    def _chemical_potentials(self) -> np.ndarray:
        """Chemical potentials of the elements on each facet, eV, shape `facets x elements`."""
        if len(self.elements) == 1:
            return self._elemental.reshape(1, 1)
        from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
        from pymatgen.core import Composition, Element

        diagram = PhaseDiagram(
            [PDEntry(Composition(e.amounts), e.energy_per_atom * sum(e.amounts.values())) for e in self.entries],
            elements=[Element(symbol) for symbol in self.elements],
        )
        rows = []
        for facet in diagram.facets:
            corners = [diagram.qhull_entries[index] for index in facet]
            fractions = self._fractions([corner.composition.as_dict() for corner in corners])
            rows.append(np.linalg.solve(fractions, [corner.energy_per_atom for corner in corners]))
        return np.array(rows)

    def _lowest_elements(self) -> np.ndarray:
        energies = []
        for symbol in self.elements:
            own = [
                entry.energy_per_atom
                for entry in self.entries
                if {s for s, amount in entry.amounts.items() if amount > 0} == {symbol}
            ]
            if not own:
                raise ToolError(
                    f"No elemental reference for {symbol} by {self.method}.",
                    f"Add at least one relaxed phase of {symbol}.",
                )
            energies.append(min(own))
        return np.array(energies)

    def _fractions(self, amounts: Sequence[Amounts]) -> np.ndarray:
        """Atomic fractions, shape `n x elements`."""
        table = np.zeros((len(amounts), len(self.elements)))
        column = {symbol: index for index, symbol in enumerate(self.elements)}
        for row, one in enumerate(amounts):
            _check_amounts(one, "the composition")
            for symbol, amount in one.items():
                if amount == 0:
                    continue
                if symbol not in column:
                    raise ToolError(
                        f"{symbol} is not in this hull of {', '.join(self.elements)}.",
                        "Build the hull over every element of the chemical space.",
                    )
                table[row, column[symbol]] = amount
        normalised: np.ndarray = table / table.sum(axis=1, keepdims=True)
        return normalised


def _check_amounts(amounts: Amounts, owner: str) -> None:
    if not all(np.isfinite(n) and n >= 0 for n in amounts.values()) or not sum(amounts.values()) > 0:
        raise ToolError(f"Amounts of {owner} are {dict(amounts)}.", "Give positive amounts, e.g. {'Na': 1, 'Cl': 1}.")
