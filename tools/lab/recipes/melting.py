"""How hot a target is likely to want it, from the melting points of its cations' oxides.

Ions in a solid start to move between a half and two thirds of its melting point (Tammann's rule; Merkle & Maier, Z.
Anorg. Allg. Chem. 631, 1163 (2005)), and the temperatures of published solid-state syntheses follow the melting points
of what goes in (Huo et al., Chem. Mater. 34, 7323 (2022)). Oxides, because carbonates, nitrates and hydroxides are gone
by then. What is not here: what a laboratory learns about its own furnaces (`surrogate.synthesis`).
"""

from __future__ import annotations

from math import exp, log
from typing import Final

from .formulas import amounts_of

TAMMANN: Final = 0.6
"""Share of the (geometric mean) melting point."""
USUAL_K: Final = 1150.0
"""Where nothing is known of any cation."""
OXIDE_MELTS_K: Final = {
    "Li": 1711, "Na": 1405, "K": 1013, "Rb": 773, "Cs": 763,
    "Be": 2851, "Mg": 3098, "Ca": 2886, "Sr": 2804, "Ba": 2246,
    "Sc": 2762, "Y": 2712, "La": 2577, "Ce": 2753, "Pr": 2456, "Nd": 2506, "Sm": 2608, "Eu": 2623, "Gd": 2698,
    "Tb": 2683, "Dy": 2681, "Ho": 2688, "Er": 2691, "Tm": 2698, "Yb": 2708, "Lu": 2763,
    "Ti": 2116, "Zr": 2983, "Hf": 3073, "V": 954, "Nb": 1785, "Ta": 2148, "Cr": 2602, "Mo": 1075, "W": 1746,
    "Mn": 2115, "Fe": 1838, "Co": 2103, "Ni": 2230, "Cu": 1517, "Zn": 2247, "Cd": 1832,
    "B": 723, "Al": 2327, "Ga": 2080, "In": 2185, "Si": 1986, "Ge": 1388, "Sn": 1903, "Pb": 1160,
    "P": 835, "Sb": 928, "Bi": 1098, "Te": 1006, "Th": 3663, "U": 3123,
}  # fmt: skip
"""CRC Handbook of Chemistry and Physics, 97th ed., section 4; the usual oxide of each, rounded to 10 K where sources
differ."""


def expected_k(target: str) -> float:
    """Temperature (K) at which a target is expected to form, before anything is known of it."""
    known = [(OXIDE_MELTS_K[e], float(n)) for e, n in amounts_of(target).items() if e in OXIDE_MELTS_K]
    if not known:
        return USUAL_K
    return TAMMANN * exp(sum(n * log(melts) for melts, n in known) / sum(n for _, n in known))
