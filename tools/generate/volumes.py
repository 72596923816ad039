"""How large a crystal of a composition should be, and how close its atoms may come: from tabulated radii.

Used for the first guess only; the potential relaxes it. What is not here: the screen (`tools/screen`).
"""

from __future__ import annotations

from functools import lru_cache

from .compositions import CompositionChoice

ION_PACKING = 7.2
"""Cell volume over the sum of cubed Shannon crystal radii. Fitted by least squares to NaCl, CsCl, MgO, CaF2, Li2O,
ZnS, AlN and SrTiO3; against experiment the mean error on them is 5 % and the largest 14 % (CaF2)."""

CARBIDE_RADIUS = 1.85
"""Radius of a carbon anion over its covalent radius; gives SiC its volume."""

HEAVY_ANION_RADIUS = 1.55
"""The same for anions of the third period and below that have no tabulated radius (P, As, Sb, Si, Ge). Fitted to 14
phosphides, arsenides, antimonides, silicides and germanides; mean error 17 %, largest 33 % (GaSb). BP is
further off, at 42 %."""

ALLOY_CONTRACTION = 0.92
"""Volume of an intermetallic or covalent compound over that of its elements (NiAl 0.87, Ni3Al 0.92, SiC 0.81)."""

MOLAR_TO_ATOMIC = 1.0 / 0.602214076
"""cm³/mol to Å³/atom."""

LIKE_CHARGE = 0.70
"""Shortest distance between ions of one sign, as a part of the sum of their radii."""

UNLIKE = 0.70
"""Shortest distance between other atoms, as a part of the sum of their covalent radii."""


def volume_per_atom(choice: CompositionChoice) -> float:
    """Expected Å³ per atom: ionic radii cubed where there are charges, elemental volumes otherwise.

    Radii: Shannon, Acta Cryst. A 32, 751 (1976), as tabulated in pymatgen. Elemental molar volumes: pymatgen.
    """
    if choice.oxidation_states is not None:
        cubes = [n * ionic_radius(e, choice.oxidation_states[e]) ** 3 for e, n in choice.amounts.items()]
        return ION_PACKING * sum(cubes) / choice.atoms
    total = sum(n * _elemental_volume(e) for e, n in choice.amounts.items())
    return (1.0 if choice.kind == "element" else ALLOY_CONTRACTION) * total / choice.atoms


def min_distance(choice: CompositionChoice, first: str, second: str) -> float:
    """Shortest sensible distance (Å) between two atoms of a composition."""
    states = choice.oxidation_states
    if states is not None and states[first] * states[second] > 0:
        return LIKE_CHARGE * (ionic_radius(first, states[first]) + ionic_radius(second, states[second]))
    return UNLIKE * (covalent_radius(first) + covalent_radius(second))


@lru_cache(maxsize=512)
def ionic_radius(symbol: str, state: int) -> float:
    """Crystal radius (Å) at the tabulated state nearest to `state`; covalent radius where nothing is tabulated."""
    from pymatgen.core import Element

    table = {int(k): float(v) for k, v in Element(symbol).ionic_radii.items()}
    same_sign = [k for k in table if k * state > 0]
    if not same_sign:
        # Anions of carbon, phosphorus and the like are not tabulated; they are polarisable, and the heavier ones
        # overlap more with their neighbours.
        anion = CARBIDE_RADIUS if Element(symbol).row <= 2 else HEAVY_ANION_RADIUS
        return covalent_radius(symbol) * (anion if state < 0 else 0.75)
    return table[min(same_sign, key=lambda k: abs(k - state))]


@lru_cache(maxsize=128)
def covalent_radius(symbol: str) -> float:
    """Covalent radius in Å (Cordero et al., Dalton Trans. 2832 (2008), as tabulated in ASE)."""
    from ase.data import atomic_numbers, covalent_radii

    return float(covalent_radii[atomic_numbers[symbol]])


@lru_cache(maxsize=128)
def _elemental_volume(symbol: str) -> float:
    from pymatgen.core import Element

    molar = Element(symbol).molar_volume
    # Gases are tabulated as liquids; where nothing is, a sphere of the covalent radius in a typical packing.
    return float(molar) * MOLAR_TO_ATOMIC if molar else 4.0 * covalent_radius(symbol) ** 3
