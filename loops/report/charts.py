"""The discovery curve, predicted against measured, and bars: SVG made from the record's numbers.

The phase diagrams are in `hull.py`; the maths of the curve in `discovery.py`.
"""

from __future__ import annotations

from statistics import NormalDist

from markupsafe import Markup

from ...tools.core.types import Frozen
from ..record import CampaignRecord
from .discovery import Discovery
from .ranking import main_objective, ranked
from .svg import Frame, element, figure, marker, padded, path, text
from .words import label, number, shown, stored, subscripts, unit

Z_90 = NormalDist().inv_cdf(0.95)
"""Half-width of a central 90 % interval in standard deviations of a normal distribution (1.645)."""


class Pair(Frozen):
    """Predicted and measured value of one crystal, catalogue unit."""

    formula: str
    measured: float
    predicted: float
    std: float | None
    inside: bool | None
    """Whether the measured value lies in the 90 % interval; None without an uncertainty."""


def axis_label(name: str) -> str:
    """Property and unit as an axis label."""
    return f"{label(name)} ({unit(name)})"


def discovery_chart(curve: Discovery) -> Markup:
    """Best so far as a step line; the random expectation as a dashed line with its central 80 % as a band."""
    name = curve.property
    count = len(curve.best)

    def value(raw: float) -> float:
        return shown(name, raw)

    known = [value(v) for v in curve.best if v is not None]
    every = [*known, *(value(v) for v in (*curve.expected, *curve.low, *curve.high))]
    what = f"distance from target, {axis_label(name)}" if curve.distance else axis_label(name)
    last = next(v for v in reversed(curve.best) if v is not None)
    frame = Frame(
        f"Best {label(name)} so far against number of evaluations",
        f"After {count} evaluations the campaign's best is {number(name, last)} {unit(name)}; random choice from the "
        f"same pool is expected to give {number(name, curve.expected[-1])} {unit(name)}",
        (0.5, count + 0.5),
        padded(every),
    )
    frame.axes("evaluations of candidates", f"best {what}", whole_x=True)
    numbers = range(1, count + 1)
    band = [(frame.px(n), frame.py(value(v))) for n, v in zip(numbers, curve.low, strict=True)]
    band += [(frame.px(n), frame.py(value(v))) for n, v in reversed(list(zip(numbers, curve.high, strict=True)))]
    frame.add(path(band, "band", closed=True, tip="central 80 % of random outcomes"))
    frame.add(
        path([(frame.px(n), frame.py(value(v))) for n, v in zip(numbers, curve.expected, strict=True)], "line random")
    )
    steps: list[tuple[float, float]] = []
    for n, best in zip(numbers, curve.best, strict=True):
        if best is None:
            continue
        row = frame.py(value(best))
        if steps:
            steps.append((frame.px(n), steps[-1][1]))
        steps.append((frame.px(n), row))
    frame.add(path(steps, "line campaign"))
    for n, best, mean in zip(numbers, curve.best, curve.expected, strict=True):
        where = f"after {n}: random choice {number(name, mean)}"
        if best is not None:
            tip = f"{where}, campaign {number(name, best)} {unit(name)}"
            frame.add(marker("circle", frame.px(n), frame.py(value(best)), 3.2, "dot campaign", tip=tip))
    return frame.render()


def pairs(record: CampaignRecord) -> list[Pair]:
    """Measured crystals that had a prediction before the money was spent, for the main objective."""
    name = main_objective(record).property
    rows = []
    for crystal in ranked(record):
        if name not in crystal.values or name not in crystal.predicted:
            continue
        measured, predicted = stored(name, crystal.values[name]), stored(name, crystal.predicted[name])
        inside = None if predicted.std is None else abs(measured.value - predicted.value) <= Z_90 * predicted.std
        rows.append(
            Pair(
                formula=crystal.formula,
                measured=measured.value,
                predicted=predicted.value,
                std=predicted.std,
                inside=inside,
            )
        )
    return rows


def parity_chart(record: CampaignRecord, rows: list[Pair]) -> Markup:
    """Predicted (with 90 % interval) against measured; misses are drawn as crosses."""
    name = main_objective(record).property
    reach = [shown(name, row.predicted + sign * Z_90 * (row.std or 0.0)) for row in rows for sign in (-1, 1)]
    limits = padded([*reach, *(shown(name, row.measured) for row in rows)])
    inside = sum(1 for row in rows if row.inside)
    frame = Frame(
        f"Predicted against measured {label(name)}",
        f"{inside} of {len(rows)} measured values lie inside their 90 % prediction intervals",
        limits,
        limits,
    )
    frame.axes(f"measured {axis_label(name)}", f"predicted {axis_label(name)}")
    low, high = limits
    frame.add(path([(frame.px(low), frame.py(low)), (frame.px(high), frame.py(high))], "diagonal"))
    for row in rows:
        x, y = frame.px(shown(name, row.measured)), frame.py(shown(name, row.predicted))
        kind = "miss" if row.inside is False else "hit"
        spread = "" if row.std is None else f" ± {number(name, Z_90 * row.std)} (90 %)"
        tip = (
            f"{subscripts(row.formula)}: measured {number(name, row.measured)}, "
            f"predicted {number(name, row.predicted)}{spread} {unit(name)}"
        )
        if row.std is not None:
            half = Z_90 * row.std
            top, bottom = (frame.py(shown(name, row.predicted + sign * half)) for sign in (1, -1))
            frame.add(element("line", x1=x, x2=x, y1=top, y2=bottom, class_=f"bar {kind}"))
        shape = "cross" if row.inside is False else "circle"
        frame.add(marker(shape, x, y, 3.6, f"dot {kind}" if shape == "circle" else f"stroke {kind}", tip=tip))
    return frame.render()


def bars(title: str, rows: list[tuple[str, float, str, str]]) -> Markup:
    """Horizontal bars of one unit, longest scale common to all.

    Args:
        title: what the bars show, for screen readers.
        rows: label, length, text at the end of the bar, CSS class of the bar.
    """
    width, step, left = 480.0, 27.0, 150.0
    longest = max((row[1] for row in rows), default=0.0) or 1.0
    parts = []
    for index, (words, size, end, class_) in enumerate(rows):
        top = 4 + index * step
        span = size / longest * (width - left - 120)
        name = words if len(words) <= 24 else words[:23] + "…"
        parts.append(text(name, left - 10, top + 15, class_="t", anchor="end"))
        parts.append(
            element(
                "rect",
                x=left,
                y=top + 3,
                width=max(span, 1.5),
                height=17.0,
                rx=2.0,
                class_=class_,
                tip=f"{words}: {end}",
            )
        )
        parts.append(text(end, left + max(span, 1.5) + 7, top + 16, class_="tick"))
    told = "; ".join(f"{words} {end}" for words, _, end, _ in rows)
    return figure(title, told, "".join(parts), width, 8 + step * max(len(rows), 1))


def stacked(title: str, rows: list[tuple[str, float, str]], total: float) -> Markup:
    """One bar of adjoining parts.

    Args:
        title: what the bar shows, for screen readers.
        rows: label, length, CSS class of each part.
        total: length of the whole bar; what the parts leave is drawn empty.
    """
    width, height = 480.0, 30.0
    whole = max(total, sum(row[1] for row in rows)) or 1.0
    parts = [element("rect", x=1.0, y=4.0, width=width - 2, height=20.0, rx=3.0, class_="track")]
    at = 1.0
    for words, size, class_ in rows:
        span = size / whole * (width - 2)
        if span > 0:
            parts.append(element("rect", x=at, y=4.0, width=span, height=20.0, class_=class_, tip=f"{words}: {size:g}"))
        at += span
    told = "; ".join(f"{words} {size:g}" for words, size, _ in rows)
    return figure(title, f"{told}, of {total:g}", "".join(parts), width, height)
