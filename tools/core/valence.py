"""Oxidation states, and what simple counting of electrons says of a composition.

What is not here: statistics of elemental properties (`surrogate/composition.py`) and enumeration of neutral formulas
(`tools/generate/compositions.py`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache


@cache
def oxidation_states(symbol: str) -> tuple[int, ...]:
    """Common oxidation states without 0; all known ones for an element without a common one (pymatgen's table)."""
    from pymatgen.core import Element

    element = Element(symbol)
    states = element.common_oxidation_states or element.oxidation_states
    return tuple(int(s) for s in states if s)


def charge_imbalance(amounts: Mapping[str, float]) -> float:
    """Smallest charge left over, in electrons an atom, when every element takes one of its oxidation states.

    0 for a formula that is neutral in them. A metal among metals has no anion, and so a large one.

    Args:
        amounts: element symbol to amount (> 0; only ratios matter).
    """
    total = sum(amounts.values())
    sums = {0.0}
    for symbol in sorted(amounts):
        part = amounts[symbol] / total
        sums = {round(s + q * part, 6) for s in sums for q in oxidation_states(symbol) or (0,)}
    return min(abs(s) for s in sums)


def has_odd_electrons(amounts: Mapping[str, float]) -> float:
    """1 where a formula unit has an odd number of electrons, 0 where even; NaN where amounts are no whole numbers.

    An odd number leaves a band half full: no gap without magnetic order or a doubled cell (Ashcroft & Mermin, Solid
    State Physics, 1976, chapter 12).

    Args:
        amounts: element symbol to amount (> 0; reduced to the formula unit here).
    """
    from pymatgen.core import Element

    counts = {s: round(a) for s, a in amounts.items()}
    if any(abs(a - counts[s]) > 1e-6 or not counts[s] for s, a in amounts.items()):
        return math.nan
    unit = math.gcd(*counts.values())
    return float(sum(Element(s).Z * n // unit for s, n in counts.items()) % 2)
