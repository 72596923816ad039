"""Formulas as exact amounts of elements, and their molar masses.

What is not here: names of crystals (`core.structure`), formulas with letters for sites (`core.stoichiometry`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias

from ...core.elements import SYMBOLS
from ...core.errors import ToolError

Amounts: TypeAlias = MappingProxyType[str, Fraction]

MAX_LENGTH = 80
"""Characters; a longer text is no formula of a powder."""
MAX_DEPTH = 3
"""Brackets inside brackets."""
_KNOWN = frozenset(SYMBOLS)
_TOKEN = re.compile(r"([A-Z][a-z]?)([0-9]{0,4}(?:\.[0-9]{1,4})?)|([(\[])|([)\]])([0-9]{0,4}(?:\.[0-9]{1,4})?)")


@lru_cache(maxsize=4096)
def amounts_of(formula: str) -> Amounts:
    """Elements of one formula unit and how many atoms of each, exactly: `YBa2Cu3O6.5` holds 13/2 oxygen.

    Raises ToolError for what is no formula, and for an element that does not exist.
    """
    if not 0 < len(formula) <= MAX_LENGTH:
        raise ToolError(f"A formula of {len(formula)} characters.", f"Give 1 to {MAX_LENGTH}, e.g. BaTiO3.")
    levels: list[dict[str, Fraction]] = [defaultdict(Fraction)]
    at = 0
    while at < len(formula):
        piece = _TOKEN.match(formula, at)
        if piece is None:
            raise ToolError(f"{formula!r} is no formula.", "Write elements and numbers, e.g. Ba(NO3)2.")
        symbol, number, opened, closed, times = piece.groups()
        if symbol is not None:
            if symbol not in _KNOWN:
                raise ToolError(f"{formula!r} holds {symbol}, which is no element.", "Check the formula.")
            levels[-1][symbol] += Fraction(number or 1)
        elif opened is not None and len(levels) <= MAX_DEPTH:
            levels.append(defaultdict(Fraction))
        elif closed is not None and len(levels) > 1:
            inner = levels.pop()
            for name, amount in inner.items():
                levels[-1][name] += amount * Fraction(times or 1)
        else:
            raise ToolError(f"The brackets of {formula!r} do not fit.", "Write e.g. Ba(NO3)2.")
        at = piece.end()
    if len(levels) > 1 or any(amount <= 0 for amount in levels[0].values()):
        raise ToolError(f"{formula!r} has an open bracket or a zero.", "Write e.g. Ba(NO3)2.")
    return MappingProxyType(dict(levels[0]))


@lru_cache(maxsize=4096)
def numbers_of(formula: str) -> MappingProxyType[str, float]:
    """`amounts_of` in floating point, for what is not a balance."""
    return MappingProxyType({symbol: float(amount) for symbol, amount in amounts_of(formula).items()})


@lru_cache(maxsize=4096)
def molar_mass(formula: str) -> float:
    """g/mol, with the standard atomic weights that pymatgen carries."""
    return sum(float(amount) * _atomic_weight(symbol) for symbol, amount in amounts_of(formula).items())


@lru_cache(maxsize=4096)
def atom_count(formula: str) -> float:
    """Atoms of one formula unit."""
    return float(sum(amounts_of(formula).values()))


@lru_cache(maxsize=4096)
def same_ratios(formula: str) -> tuple[tuple[str, Fraction], ...]:
    """What two spellings of one composition share: elements with their exact fractions, by symbol."""
    amounts = amounts_of(formula)
    total = sum(amounts.values())
    return tuple(sorted((symbol, amount / total) for symbol, amount in amounts.items()))


@lru_cache(maxsize=128)
def _atomic_weight(symbol: str) -> float:
    from pymatgen.core import Element

    return float(Element(symbol).atomic_mass)
