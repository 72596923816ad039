"""Phase diagrams drawn from the record's phases: binary plot, ternary triangle, or a ladder at one composition.

Energies above hull are the record's own; only the lines between stable phases are worked out here, for drawing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from ..record import CampaignRecord, HullPhase
from .svg import WIDTH, Frame, element, figure, marker, padded, path, text
from .words import number, subscripts

STABLE = 5e-4
"""eV/atom; phases this close to the hull are drawn as on it."""

MOST_ABOVE_ZERO = 0.25
"""eV/atom; phases with a higher formation energy would flatten the picture and are counted instead of drawn."""

FADE_OUT = 0.2
"""eV/atom above hull at which the colour scale ends."""

_SHAPE = {"reference": "square", "campaign": "circle", "materials project": "diamond"}


def elements_of(phases: Sequence[HullPhase]) -> list[str]:
    """The elements of a phase diagram, in alphabetical order."""
    return sorted({symbol for phase in phases for symbol, amount in phase.amounts.items() if amount > 0})


def hull_chart(record: CampaignRecord) -> tuple[str, Markup | None, str]:
    """Kind (`binary`, `ternary`, `ladder`, `table`), its drawing if any, and a remark on what it leaves out."""
    phases = list(record.hull)
    names = elements_of(phases)
    compositions = {_fractions(phase, names) for phase in phases}
    if not phases:
        return "none", None, ""
    if len(names) == 1 or len(compositions) == 1:
        return "ladder", ladder_chart(phases), ""
    if len(names) == 2:
        return ("binary", *binary_chart(phases, names))
    if len(names) == 3:
        return "ternary", ternary_chart(phases, names), ""
    return "table", None, f"A diagram of {len(names)} elements cannot be drawn on a page; the table has every phase."


def binary_chart(phases: Sequence[HullPhase], names: Sequence[str]) -> tuple[Markup, str]:
    """Formation energy against composition, with the lower convex hull."""
    points = [(_fractions(phase, names)[1], phase) for phase in phases]
    drawn = [(x, phase) for x, phase in points if phase.formation_energy <= MOST_ABOVE_ZERO]
    left_out = len(points) - len(drawn)
    hull = lower_hull([(x, phase.formation_energy) for x, phase in points])
    low, high = padded([0.0, *(phase.formation_energy for _, phase in drawn)], 0.12)
    stable = sorted({phase.formula for _, phase in points if phase.energy_above_hull <= STABLE})
    frame = Frame(
        f"Convex hull of {names[0]} and {names[1]}",
        f"{len(points)} phases; on the hull: {', '.join(stable)}",
        (-0.02, 1.02),
        (low, high),
    )
    frame.axes(
        f"x in {names[0]}₁₋ₓ{names[1]}ₓ (atomic fraction)",
        "formation energy (eV/atom)",
        x_marks=[k / 5 for k in range(6)],
    )
    frame.add(path([(frame.px(x), frame.py(y)) for x, y in hull], "line hull"))
    for x, phase in sorted(drawn, key=lambda row: -row[1].energy_above_hull):
        frame.add(_phase_marker(phase, frame.px(x), frame.py(phase.formation_energy)))
    labelled: set[str] = set()
    for x, phase in sorted(drawn, key=lambda row: (row[0], row[1].energy_above_hull)):
        if phase.energy_above_hull > STABLE or phase.formula in labelled:
            continue
        labelled.add(phase.formula)
        anchor = "start" if x < 0.04 else "end" if x > 0.96 else "middle"
        shift = 8 if anchor == "start" else -8 if anchor == "end" else 0
        row = frame.py(phase.formation_energy)
        below = row + 17 if row + 19 < frame.bottom else row - 9
        frame.add(text(subscripts(phase.formula), frame.px(x) + shift, below, class_="name", anchor=anchor))
    remark = (
        f"{left_out} phases more than {MOST_ABOVE_ZERO:g} eV/atom above the elements are not drawn." if left_out else ""
    )
    return frame.render(), remark


def ternary_chart(phases: Sequence[HullPhase], names: Sequence[str]) -> Markup:
    """Composition triangle: stable phases, the tie lines between them, and colour for energy above hull."""
    side, left, top = 330.0, 75.0, 22.0
    height = side * math.sqrt(3) / 2

    def place(parts: Sequence[float]) -> tuple[float, float]:
        # Corners: first element left, second right, third on top.
        return left + side * (parts[1] + parts[2] / 2), top + height * (1 - parts[2])

    spots = [_fractions(phase, names) for phase in phases]
    lowest: dict[tuple[float, ...], HullPhase] = {}
    for spot, phase in zip(spots, phases, strict=True):
        if spot not in lowest or phase.formation_energy < lowest[spot].formation_energy:
            lowest[spot] = phase
    corners = list(lowest)
    out = []
    lines: set[tuple[int, int]] = set()
    for facet in facets([(c[1], c[2], lowest[c].formation_energy) for c in corners]):
        out.append(path([place(corners[k]) for k in facet], "facet", closed=True))
        lines |= {(min(a, b), max(a, b)) for a, b in ((facet[0], facet[1]), (facet[1], facet[2]), (facet[0], facet[2]))}
    frame = [place(corner) for corner in ((1, 0, 0), (0, 1, 0), (0, 0, 1))]
    out.append(path(frame, "outline", closed=True))
    out += [path([place(corners[a]), place(corners[b])], "line tie") for a, b in sorted(lines)]
    order = sorted(range(len(phases)), key=lambda k: -phases[k].energy_above_hull)
    out += [_phase_marker(phases[k], *place(spots[k])) for k in order]
    for corner, words, anchor, shift in (
        (frame[0], names[0], "end", (-9.0, 8.0)),
        (frame[1], names[1], "start", (9.0, 8.0)),
        (frame[2], names[2], "middle", (0.0, -9.0)),
    ):
        out.append(text(words, corner[0] + shift[0], corner[1] + shift[1], class_="name corner", anchor=anchor))
    for spot, phase in lowest.items():
        if phase.energy_above_hull <= STABLE and max(spot) < 1:
            x, y = place(spot)
            right = spot[2] == 0 or x > left + side * 0.5
            where = (
                (x, y + 19, "middle") if spot[2] == 0 else (x + 9, y - 3, "start") if right else (x - 9, y - 3, "end")
            )
            out.append(text(subscripts(phase.formula), where[0], where[1], class_="name halo", anchor=where[2]))
    stable = sorted({phase.formula for phase in phases if phase.energy_above_hull <= STABLE})
    out.append(_scale(WIDTH - 128, 26))
    return figure(
        f"Phase diagram of {', '.join(names)}", f"{len(phases)} phases; on the hull: {', '.join(stable)}", "".join(out)
    )


def ladder_chart(phases: Sequence[HullPhase]) -> Markup:
    """Energies of the polymorphs of one composition, relative to the lowest."""
    rows = sorted(phases, key=lambda phase: phase.energy_per_atom)
    floor = rows[0].energy_per_atom
    heights = [1000 * (phase.energy_per_atom - floor) for phase in rows]
    frame = Frame(
        f"Energy ladder of {rows[0].formula}",
        f"{len(rows)} phases from {heights[0]:.1f} to {heights[-1]:.1f} meV/atom above the lowest",
        (0.0, 1.0),
        padded(heights, 0.08),
    )
    frame.axes(subscripts(rows[0].formula), "energy above the lowest (meV/atom)", x_marks=[])
    for phase, height in zip(rows, heights, strict=True):
        y = frame.py(height)
        tip = f"{phase.source}: {height:.1f} meV/atom above the lowest ({phase.method})"
        kind = "line hull" if phase.energy_above_hull <= STABLE else f"rung {phase.source.split()[0]}"
        frame.add(path([(frame.px(0.25), y), (frame.px(0.75), y)], kind, tip=tip))
    last = math.inf
    for phase, height in zip(rows, heights, strict=True):
        y = frame.py(height)
        if last - y >= 13:
            frame.add(text(f"{height:.1f} · {phase.source}", frame.px(0.77), y + 4, class_="tick"))
            last = y
    return frame.render()


def lower_hull(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The lower convex hull of (composition, energy) points, left to right (Andrew's monotone chain)."""
    chain: list[tuple[float, float]] = []
    for point in sorted(points):
        if chain and point[0] == chain[-1][0]:
            continue
        while len(chain) >= 2 and _turn(chain[-2], chain[-1], point) <= 0:
            chain.pop()
        chain.append(point)
    return chain


def facets(points: Sequence[tuple[float, float, float]]) -> list[tuple[int, int, int]]:
    """Triangles of the lower convex hull of (x, y, energy) points, as indices.

    One point high above the middle is added, so that three elements alone, or a flat hull, still span a volume.
    """
    from scipy.spatial import ConvexHull, QhullError

    if len(points) < 3:
        return []
    array = np.array(points, dtype=float)
    centre = [*array[:, :2].mean(axis=0), array[:, 2].max() + 10.0]
    try:
        hull = ConvexHull(np.vstack([array, centre]))
    except QhullError:  # all compositions on one line: no triangle to draw
        return []
    lower = hull.simplices[hull.equations[:, 2] < -1e-9]
    return [(int(a), int(b), int(c)) for a, b, c in lower if max(a, b, c) < len(points)]


def fade(energy_above_hull: float) -> str:
    """A colour from teal (stable) to amber (`FADE_OUT` or more above hull), told apart by all common colour visions."""
    share = min(max(energy_above_hull / FADE_OUT, 0.0), 1.0)
    return f"color-mix(in srgb, var(--unstable) {round(100 * share)}%, var(--stable))"


def _phase_marker(phase: HullPhase, x: float, y: float) -> str:
    above = phase.energy_above_hull
    stable = above <= STABLE
    tip = (
        f"{subscripts(phase.formula)} ({phase.source}): {number('energy_above_hull', above)} meV/atom above hull, "
        f"formation energy {number('formation_energy', phase.formation_energy)} eV/atom, {phase.method}"
    )
    return marker(
        _SHAPE.get(phase.source, "circle"),
        x,
        y,
        5.4 if stable else 4.0,
        "phase stable" if stable else "phase",
        tip=tip,
        style=f"fill:{fade(above)}",
    )


def _scale(x: float, y: float) -> str:
    """The legend of the colour scale."""
    steps = 12
    parts = [
        element("rect", x=x + k * 8.0, y=y, width=8.4, height=9.0, style=f"fill:{fade(FADE_OUT * k / (steps - 1))}")
        for k in range(steps)
    ]
    parts.append(text("0", x, y + 23, class_="tick"))
    parts.append(text(f"≥{FADE_OUT * 1000:g}", x + steps * 8, y + 23, class_="tick", anchor="end"))
    parts.append(text("meV/atom above hull", x + steps * 8, y - 6, class_="tick", anchor="end"))
    return "".join(parts)


def _fractions(phase: HullPhase, names: Sequence[str]) -> tuple[float, ...]:
    total = sum(phase.amounts.values()) or 1.0
    return tuple(round(phase.amounts.get(name, 0.0) / total, 6) for name in names)


def _turn(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
