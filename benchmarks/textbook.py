"""Textbook prototypes, built from space group and Wyckoff positions: the truth of `ground_states`.

Independent of the product's own generators on purpose. Positions are those of the usual textbooks (e.g. Müller,
Inorganic Structural Chemistry, 2nd ed., 2006); cells are scaled to a common volume per atom and relaxed.
"""

from __future__ import annotations

from collections.abc import Callable

from pymatgen.core import Lattice, Structure

Builder = Callable[..., Structure]


def _cubic(group: str, *sites: tuple[int, tuple[float, float, float]]) -> Builder:
    def build(*elements: str) -> Structure:
        return Structure.from_spacegroup(
            group, Lattice.cubic(5.0), [elements[i] for i, _ in sites], [list(x) for _, x in sites]
        )

    return build


def _hexagonal(group: str, ratio: float, *sites: tuple[int, tuple[float, float, float]]) -> Builder:
    def build(*elements: str) -> Structure:
        return Structure.from_spacegroup(
            group, Lattice.hexagonal(4.0, 4.0 * ratio), [elements[i] for i, _ in sites], [list(x) for _, x in sites]
        )

    return build


def _tetragonal(group: str, ratio: float, *sites: tuple[int, tuple[float, float, float]]) -> Builder:
    def build(*elements: str) -> Structure:
        return Structure.from_spacegroup(
            group, Lattice.tetragonal(4.0, 4.0 * ratio), [elements[i] for i, _ in sites], [list(x) for _, x in sites]
        )

    return build


AB: dict[str, Builder] = {
    "rocksalt": _cubic("Fm-3m", (0, (0, 0, 0)), (1, (0.5, 0.5, 0.5))),
    "CsCl": _cubic("Pm-3m", (0, (0, 0, 0)), (1, (0.5, 0.5, 0.5))),
    "zincblende": _cubic("F-43m", (0, (0, 0, 0)), (1, (0.25, 0.25, 0.25))),
    "wurtzite": _hexagonal("P6_3mc", 1.633, (0, (1 / 3, 2 / 3, 0)), (1, (1 / 3, 2 / 3, 0.375))),
    "NiAs": _hexagonal("P6_3/mmc", 1.4, (0, (0, 0, 0)), (1, (1 / 3, 2 / 3, 0.25))),
    "anti-NiAs": _hexagonal("P6_3/mmc", 1.4, (1, (0, 0, 0)), (0, (1 / 3, 2 / 3, 0.25))),
    "h-BN": _hexagonal("P6_3/mmc", 2.6, (0, (1 / 3, 2 / 3, 0.25)), (1, (1 / 3, 2 / 3, 0.75))),
    "L1_0": _tetragonal("P4/mmm", 1.35, (0, (0, 0, 0)), (1, (0.5, 0.5, 0.5))),
}

AB2: dict[str, Builder] = {
    "fluorite": _cubic("Fm-3m", (0, (0, 0, 0)), (1, (0.25, 0.25, 0.25))),
    "rutile": _tetragonal("P4_2/mnm", 0.65, (0, (0, 0, 0)), (1, (0.305, 0.305, 0))),
    "CdI2": _hexagonal("P-3m1", 1.6, (0, (0, 0, 0)), (1, (1 / 3, 2 / 3, 0.25))),
    "cristobalite": _cubic("Fd-3m", (0, (0, 0, 0)), (1, (0.125, 0.125, 0.125))),
    "MoS2": _hexagonal("P6_3/mmc", 3.9, (0, (1 / 3, 2 / 3, 0.25)), (1, (1 / 3, 2 / 3, 0.621))),
}

ABX3: dict[str, Builder] = {
    "cubic perovskite": _cubic("Pm-3m", (0, (0.5, 0.5, 0.5)), (1, (0, 0, 0)), (2, (0.5, 0, 0))),
    "tetragonal perovskite (P4mm)": _tetragonal(
        "P4mm", 1.03, (0, (0, 0, 0)), (1, (0.5, 0.5, 0.52)), (2, (0.5, 0.5, 0.02)), (2, (0.5, 0, 0.48))
    ),
    "tetragonal perovskite (I4/mcm)": _tetragonal(
        "I4/mcm", 1.42, (0, (0, 0.5, 0.25)), (1, (0, 0, 0)), (2, (0, 0, 0.25)), (2, (0.22, 0.72, 0))
    ),
    "hexagonal perovskite (BaNiO3)": _hexagonal(
        "P6_3/mmc", 0.85, (0, (1 / 3, 2 / 3, 0.75)), (1, (0, 0, 0)), (2, (0.15, 0.30, 0.25))
    ),
}

SYSTEMS: tuple[tuple[str, str, tuple[str, ...], dict[str, Builder]], ...] = (
    ("Na-Cl", "NaCl", ("Na", "Cl"), AB),
    ("Cs-Cl", "CsCl", ("Cs", "Cl"), AB),
    ("Mg-O", "MgO", ("Mg", "O"), AB),
    ("Ca-F", "CaF2", ("Ca", "F"), AB2),
    ("Li-O", "Li2O", ("O", "Li"), AB2),
    ("Zn-S", "ZnS", ("Zn", "S"), AB),
    ("Al-N", "AlN", ("Al", "N"), AB),
    ("Si-C", "SiC", ("Si", "C"), AB),
    ("Ni-Al", "NiAl", ("Ni", "Al"), AB),
    ("Sr-Ti-O", "SrTiO3", ("Sr", "Ti", "O"), ABX3),
)
"""Chemical system, composition, elements in the order of the builder's sites, prototypes tried as truth."""


def textbook_crystals(elements: tuple[str, ...], prototypes: dict[str, Builder], volume: float) -> dict[str, Structure]:
    """Each prototype with these elements, in its primitive cell, at `volume` Å³ per atom."""
    found = {}
    for name, build in prototypes.items():
        structure = build(*elements).get_primitive_structure(tolerance=0.05)
        structure.scale_lattice(volume * len(structure))
        found[name] = structure
    return found
