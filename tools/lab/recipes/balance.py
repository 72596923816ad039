"""Balanced reactions for a target, in exact rational numbers, and what to weigh for a batch.

What is not here: whether a reaction goes (`energies.py`, `interfaces.py`) and in which order (`ranking.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import isfinite

from ...core.errors import ToolError
from ...core.synthesis import Powder
from .formulas import amounts_of, molar_mass, same_ratios
from .gases import by_products

MAX_PRECURSORS = 8
"""Powders of one recipe (`core.synthesis.Recipe`)."""
MAX_AVAILABLE = 60
"""Powders on a shelf that are combined."""
MAX_SETS = 20_000
"""Combinations that are tried for one target."""

_CARRIED = frozenset("OCHN")
"""Elements that a gas can bring or carry away."""


@dataclass(frozen=True)
class Reaction:
    """One mole of target from its precursors."""

    target: str
    precursors: tuple[tuple[str, Fraction], ...]
    """Formula and moles, all above zero, sorted by formula."""
    gases: tuple[tuple[str, Fraction], ...]
    """Formula and moles given off; negative: taken up from the furnace. Never zero."""

    @property
    def formulas(self) -> tuple[str, ...]:
        """Of the precursors."""
        return tuple(formula for formula, _ in self.precursors)

    def __str__(self) -> str:
        """In the chemist's form, e.g. `BaCO3 + TiO2 -> BaTiO3 + CO2`."""
        left = [*self.precursors, *((g, -n) for g, n in self.gases if n < 0)]
        right = [(self.target, Fraction(1)), *((g, n) for g, n in self.gases if n > 0)]
        return f"{_side(left)} -> {_side(right)}"


def balance(target: str, precursors: Iterable[str], gases: Sequence[str] | None = None) -> Reaction:
    """The one reaction that makes a target from all of some precursors.

    Args:
        target: formula.
        precursors: formulas, each to be used; their order does not matter.
        gases: that may be given off; oxygen goes either way. None: those that `by_products` names.

    Raises ToolError where no reaction has all precursors on the left, or more than one has.
    """
    names = tuple(sorted(set(precursors)))
    if not 0 < len(names) <= MAX_PRECURSORS:
        raise ToolError(f"{len(names)} different precursors.", f"Give 1 to {MAX_PRECURSORS}.")
    goal = amounts_of(target)
    columns = [dict(amounts_of(name)) for name in names]
    elements = frozenset().union(goal, *columns)
    if gases is None:
        gases = by_products(elements, any("NH4" in name for name in names))
    columns += [{symbol: -n for symbol, n in amounts_of(gas).items()} for gas in gases]
    rows = sorted(elements)
    solved = _solve(
        [[column.get(symbol, Fraction(0)) for column in columns] for symbol in rows],
        [goal.get(symbol, Fraction(0)) for symbol in rows],
    )
    words = f"{' + '.join(names)} -> {target}"
    if solved is None:
        raise ToolError(f"{words} cannot be balanced in one way.", "Choose precursors of just the target's elements.")
    amounts, released = solved[: len(names)], solved[len(names) :]
    wrong = [name for name, n in zip(names, amounts, strict=True) if n <= 0]
    wrong += [gas for gas, n in zip(gases, released, strict=True) if n < 0 and gas != "O2"]
    if wrong:
        raise ToolError(f"{words} balances only with {', '.join(wrong)} on the other side.", "Leave these out.")
    return Reaction(
        target=target,
        precursors=tuple(zip(names, amounts, strict=True)),
        gases=tuple((gas, n) for gas, n in zip(gases, released, strict=True) if n),
    )


def reactions_for(target: str, available: Iterable[str], most: int = 5) -> tuple[Reaction, ...]:
    """Every reaction that makes a target from at most so many of the powders at hand, fewest powders first.

    Args:
        target: formula; a powder of the target itself is left out.
        available: formulas of the powders.
        most: powders in one reaction, 1 to `MAX_PRECURSORS`.
    """
    if not 1 <= most <= MAX_PRECURSORS:
        raise ToolError(f"{most} powders in one recipe.", f"Give 1 to {MAX_PRECURSORS}.")
    goal = amounts_of(target)
    usable = sorted(
        {name for name in available if same_ratios(name) != same_ratios(target) and _fits(name, frozenset(goal))}
    )
    if len(usable) > MAX_AVAILABLE:
        raise ToolError(f"{len(usable)} powders at hand.", f"Give at most {MAX_AVAILABLE} that fit the target.")
    needed = frozenset(goal) - _CARRIED
    sources = {name: frozenset(amounts_of(name)) & needed for name in usable}
    found: list[Reaction] = []
    tried = 0
    # A set with more powders than the target has elements to bring leaves amounts open, and cannot be balanced.
    for size in range(1, min(most, max(len(needed), 1)) + 1):
        for names in combinations(usable, size):
            if frozenset().union(*(sources[name] for name in names)) != needed:
                continue
            tried += 1
            if tried > MAX_SETS:
                raise ToolError(f"More than {MAX_SETS} sets of powders.", "Offer fewer powders.")
            try:
                found.append(balance(target, names))
            except ToolError:
                continue
    return tuple(found)


def powders_for(reaction: Reaction, batch_g: float) -> tuple[Powder, ...]:
    """What to weigh so that a complete reaction leaves so many grams of target."""
    if not (isfinite(batch_g) and batch_g > 0.0):
        raise ToolError(f"A batch of {batch_g} g.", "Give the mass of the product, in grams, above zero.")
    moles = batch_g / molar_mass(reaction.target)
    return tuple(
        Powder(formula=formula, mass_g=float(amount) * moles * molar_mass(formula))
        for formula, amount in reaction.precursors
    )


def _fits(name: str, elements: frozenset[str]) -> bool:
    """Whether a powder brings at least one element of the target's cations and nothing that stays and is not wanted."""
    own = frozenset(amounts_of(name))
    return own - _CARRIED <= elements and bool(own & elements - _CARRIED)


def _solve(rows: list[list[Fraction]], right: list[Fraction]) -> list[Fraction] | None:
    """The one solution of a linear system, by Gauss-Jordan elimination; None where there is none or more than one."""
    table = [[*row, value] for row, value in zip(rows, right, strict=True)]
    count = len(rows[0])
    for column in range(count):
        pivot = next((i for i in range(column, len(table)) if table[i][column]), None)
        if pivot is None:
            return None
        table[column], table[pivot] = table[pivot], table[column]
        scale = table[column][column]
        head = table[column] = [value / scale for value in table[column]]
        for i, row in enumerate(table):
            if i != column and row[column]:
                factor = row[column]
                table[i] = [a - factor * b for a, b in zip(row, head, strict=True)]
    if any(row[-1] for row in table[count:]):
        return None
    return [table[i][-1] for i in range(count)]


def _side(terms: Sequence[tuple[str, Fraction]]) -> str:
    return " + ".join(name if n == 1 else f"{n} {name}" for name, n in terms)
