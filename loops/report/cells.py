"""Pictures of unit cells: atoms, bonds and cell edges as one small scene, and its drawing as SVG.

`viewer.js` draws the same scene on a canvas and lets it be turned; the SVG is what prints and what remains
without scripts.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from markupsafe import Markup

from ...tools.core.structure import to_pymatgen
from ...tools.core.types import Crystal, Frozen
from .svg import element, figure, num

SIDE = 320.0
"""View box of a picture."""

SYMPREC = 0.05
"""Å; tolerance for the conventional cell that is shown. A loose one only makes a nicer picture."""

BOND_STRETCH = 1.15
"""A bond is drawn up to this multiple of the sum of covalent radii (Cordero 2008, as in ASE) …"""

NEAREST_STRETCH = 1.25
"""… and of each partner's shortest such contact, so that only the first shell is joined."""

POLAR = 0.5
"""Pauling electronegativity difference from which a crystal counts as polar: then only unlike atoms are joined."""

MOST_ATOMS = 400
"""A cell with more atoms than this (images included) is shown without bonds."""

AZIMUTH, ELEVATION = math.radians(24), math.radians(14)


class Scene(Frozen):
    """A cell ready to draw: Å, centred, with atoms repeated on opposite faces."""

    elements: tuple[str, ...]
    colours: tuple[str, ...]
    atoms: tuple[tuple[float, float, float, int, float], ...]
    """x, y, z, index of the element, radius."""
    bonds: tuple[tuple[int, int], ...]
    edges: tuple[tuple[float, float, float, float, float, float], ...]
    view: tuple[tuple[float, float, float], ...]
    """Rows: right, up and towards the reader, at the start."""
    radius: float
    """Of the sphere around everything, Å."""
    conventional: bool
    """Whether the conventional cell is shown (else the cell as evaluated)."""


def make_scene(crystal: Crystal) -> Scene:
    """The scene of a crystal's conventional cell (its own cell where no symmetry is found)."""
    from ase.data import atomic_numbers, covalent_radii
    from ase.data.colors import jmol_colors

    shown, conventional = _conventional(crystal)
    lattice = np.array(shown.lattice)
    symbols, frac = _with_images(shown)
    names = sorted(set(symbols), key=lambda symbol: (_electronegativity(symbol), symbol))
    numbers = [atomic_numbers[name] for name in names]
    reach = np.array([covalent_radii[z] for z in numbers])
    kinds = np.array([names.index(symbol) for symbol in symbols])
    places = (frac - 0.5) @ lattice
    bonds = _bonds(places, kinds, reach, names) if len(places) <= MOST_ATOMS else []
    corners = {key: (np.array(key) - 0.5) @ lattice for key in np.ndindex(2, 2, 2)}
    edges = [
        (*corners[a], *corners[b])
        for a in corners
        for b in corners
        if a < b and sum(abs(p - q) for p, q in zip(a, b, strict=True)) == 1
    ]
    radii = 0.24 + 0.2 * reach
    right = (-math.sin(AZIMUTH), math.cos(AZIMUTH), 0.0)
    towards = (math.cos(AZIMUTH) * math.cos(ELEVATION), math.sin(AZIMUTH) * math.cos(ELEVATION), math.sin(ELEVATION))
    up = tuple(float(x) for x in np.cross(towards, right))
    ends = [float(np.linalg.norm(place)) + radii[kind] for place, kind in zip(places, kinds, strict=True)]
    return Scene(
        elements=tuple(names),
        colours=tuple("#" + "".join(f"{round(255 * float(c)):02x}" for c in jmol_colors[z]) for z in numbers),
        atoms=tuple(
            (*(round(float(c), 3) for c in place), int(kind), round(float(radii[kind]), 3))  # type: ignore[misc]
            for place, kind in zip(places, kinds, strict=True)
        ),
        bonds=tuple(bonds),
        edges=tuple(tuple(round(float(c), 3) for c in edge) for edge in edges),  # type: ignore[misc]
        view=(right, up, towards),  # type: ignore[arg-type]
        radius=round(max([*ends, *(float(np.linalg.norm(corner)) for corner in corners.values())]), 3),
        conventional=conventional,
    )


def draw_scene(scene: Scene, name: str, identity: str) -> Markup:
    """The scene as SVG seen from its starting view, far parts first.

    Args:
        scene: what to draw.
        name: what it is, for screen readers.
        identity: prefix of the gradients' ids, unique in the page (letters and digits).
    """
    view = np.array(scene.view)
    scale = (SIDE / 2 - 6) / scene.radius
    half = SIDE / 2

    def place(point: np.ndarray) -> tuple[float, float, float]:
        right, up, towards = view @ point
        return half + scale * right, half - scale * up, float(towards)

    items: list[tuple[float, str]] = []
    for edge in scene.edges:
        start, end = np.array(edge[:3]), np.array(edge[3:])
        for k in range(6):  # short pieces, so that an edge can pass in front of one atom and behind another
            a, b = place(start + (end - start) * k / 6), place(start + (end - start) * (k + 1) / 6)
            items.append(((a[2] + b[2]) / 2, element("line", x1=a[0], y1=a[1], x2=b[0], y2=b[1], class_="edge")))
    for first, second in scene.bonds:
        one, two = np.array(scene.atoms[first][:3]), np.array(scene.atoms[second][:3])
        middle = place((one + two) / 2)
        for tip, kind in ((place(one), scene.atoms[first][3]), (place(two), scene.atoms[second][3])):
            line: dict[str, Any] = {"x1": tip[0], "y1": tip[1], "x2": middle[0], "y2": middle[1]}
            depth = (tip[2] + middle[2]) / 2
            width = 0.2 * scale
            items.append((depth - 1e-3, element("line", **line, class_="bond-rim", stroke_width=width + 1.4)))
            items.append((depth, element("line", **line, stroke=scene.colours[kind], stroke_width=width)))
    for *spot, kind, radius in scene.atoms:
        x, y, depth = place(np.array(spot))
        fill = f"url(#{identity}{int(kind)})"
        items.append((depth, element("circle", cx=x, cy=y, r=radius * scale, fill=fill, class_="atom")))
    defs = "".join(_gradient(f"{identity}{k}", colour) for k, colour in enumerate(scene.colours))
    body = "".join(item for _, item in sorted(items, key=lambda item: item[0]))
    words = f"Unit cell of {', '.join(scene.elements)}, {len(scene.atoms)} atoms drawn"
    return figure(name, words, f"<defs>{defs}</defs>{body}", SIDE, SIDE)


def _gradient(identity: str, colour: str) -> str:
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    light = "#" + "".join(f"{round(c + 0.65 * (255 - c)):02x}" for c in (red, green, blue))
    dark = "#" + "".join(f"{round(0.62 * c):02x}" for c in (red, green, blue))
    stops = "".join(
        f'<stop offset="{num(offset)}" stop-color="{shade}"/>'
        for offset, shade in ((0.0, light), (0.45, colour), (1.0, dark))
    )
    return f'<radialGradient id="{identity}" cx="0.36" cy="0.32" r="0.72">{stops}</radialGradient>'


def _conventional(crystal: Crystal) -> tuple[Crystal, bool]:
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    from ...tools.core.structure import from_pymatgen

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            finder = SpacegroupAnalyzer(to_pymatgen(crystal), symprec=SYMPREC)
            return from_pymatgen(finder.get_conventional_standard_structure()), True
        except Exception:  # noqa: BLE001 - symmetry finders raise their own types; the picture says which cell it shows
            return crystal, False


def _with_images(crystal: Crystal) -> tuple[list[str], np.ndarray]:
    """Sites in [0, 1] with those on a face, edge or corner repeated on the opposite ones."""
    lengths = np.linalg.norm(np.array(crystal.lattice), axis=1)
    symbols: list[str] = []
    places: list[np.ndarray] = []
    for symbol, raw in zip(crystal.species, np.array(crystal.frac_coords), strict=True):
        near = 0.05 / lengths
        frac = np.where(np.mod(raw, 1.0) > 1.0 - near, np.mod(raw, 1.0) - 1.0, np.mod(raw, 1.0))
        choices = [(0.0, 1.0) if f < n else (0.0,) for f, n in zip(frac, near, strict=True)]
        for a in choices[0]:
            for b in choices[1]:
                for c in choices[2]:
                    symbols.append(symbol)
                    places.append(frac + np.array([a, b, c]))
    return symbols, np.array(places)


def _bonds(places: np.ndarray, kinds: np.ndarray, reach: np.ndarray, names: list[str]) -> list[tuple[int, int]]:
    negativity = np.array([_electronegativity(name) for name in names])
    gap = np.abs(negativity[:, None] - negativity[None, :])
    joined = gap >= POLAR if float(gap.max()) >= POLAR else np.ones_like(gap, dtype=bool)
    limit = BOND_STRETCH * (reach[:, None] + reach[None, :])
    limit[~joined] = 0.0
    distance = np.linalg.norm(places[:, None] - places[None, :], axis=2)
    np.fill_diagonal(distance, np.inf)
    contact = np.where(distance <= limit[kinds[:, None], kinds[None, :]], distance, np.inf)
    # The shortest contact of an element, not of one atom: images at the rim of the cell have few neighbours.
    nearest = np.array([contact[kinds == k].min() for k in range(len(names))]) * NEAREST_STRETCH
    first = (contact <= nearest[kinds][:, None]) & (contact <= nearest[kinds][None, :]) & np.isfinite(contact)
    return [(int(i), int(j)) for i, j in zip(*np.nonzero(first), strict=True) if i < j]


def _electronegativity(symbol: str) -> float:
    from pymatgen.core import Element

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen warns where Pauling gave no value (noble gases)
        value = float(Element(symbol).X)
    return value if math.isfinite(value) else 2.0
