"""Small SVG building blocks: escaped elements, nice ticks, and a frame with labelled axes.

Colours are CSS classes (`page.css`), so that one drawing serves light, dark and print. Charts are in `charts.py`
and `hull.py`, crystals in `cells.py`.
"""

from __future__ import annotations

import math
from html import escape
from typing import Any

from markupsafe import Markup

WIDTH, HEIGHT = 480.0, 330.0
"""View box of a chart: small enough that its text stays readable on a telephone."""


def num(value: float) -> str:
    """A coordinate with at most two decimals."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in {"-0", ""} else text


def element(tag: str, content: str = "", *, tip: str = "", **attributes: str | float) -> str:
    """One SVG element. Attribute values are escaped, `content` is markup; `class_` becomes `class`, `_` becomes `-`.

    Args:
        tag: element name.
        content: inner SVG, already escaped.
        tip: text of a `<title>` child, shown on hover.
        attributes: numbers are rounded to hundredths.
    """
    pairs = []
    for key, value in attributes.items():
        shown = num(value) if isinstance(value, int | float) else escape(value)
        pairs.append(f' {key.rstrip("_").replace("_", "-")}="{shown}"')
    inner = (f"<title>{escape(tip)}</title>" if tip else "") + content
    return f"<{tag}{''.join(pairs)}>{inner}</{tag}>" if inner else f"<{tag}{''.join(pairs)}/>"


def text(words: str, x: float, y: float, *, class_: str = "t", anchor: str = "start", **attributes: Any) -> str:
    """A text element; the words are escaped."""
    return element("text", escape(words), x=x, y=y, class_=class_, text_anchor=anchor, **attributes)


def path(
    points: list[tuple[float, float]], class_: str, *, closed: bool = False, tip: str = "", style: str = ""
) -> str:
    """A polyline through pixel points."""
    if not points:
        return ""
    steps = "L".join(f"{num(x)} {num(y)}" for x, y in points)
    extra: dict[str, str] = {"style": style} if style else {}
    return element("path", d=f"M{steps}{'Z' if closed else ''}", class_=class_, tip=tip, **extra)


def marker(kind: str, x: float, y: float, size: float, class_: str, *, tip: str = "", style: str = "") -> str:
    """A point: `circle`, `square`, `diamond` or `cross`, so that shape as well as colour tells kinds apart."""
    extra: dict[str, str] = {"style": style} if style else {}
    if kind == "circle":
        return element("circle", cx=x, cy=y, r=size, class_=class_, tip=tip, **extra)
    if kind == "square":
        side = size * 0.9
        return element("rect", x=x - side, y=y - side, width=2 * side, height=2 * side, class_=class_, tip=tip, **extra)
    corner = size * 1.25
    if kind == "diamond":
        corners = [(x, y - corner), (x + corner, y), (x, y + corner), (x - corner, y)]
        return path(corners, class_, closed=True, tip=tip, style=style)
    low, high = f"{num(x - size)} {num(y - size)}", f"{num(x + size)} {num(y + size)}"
    d = f"M{low}L{high}M{num(x - size)} {num(y + size)}L{num(x + size)} {num(y - size)}"
    return element("path", d=d, class_=class_, tip=tip, **extra)


def ticks(low: float, high: float, count: int = 5, *, whole: bool = False) -> list[float]:
    """About `count` round numbers (1, 2 or 5 times a power of ten) inside the interval."""
    span = max(high - low, 1e-12)
    raw = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    if whole:
        step = max(1.0, round(step))
    first = math.ceil(low / step - 1e-9)
    return [step * k for k in range(first, math.floor(high / step + 1e-9) + 1)]


def tick_text(value: float, step: float) -> str:
    """A tick's label with as many decimals as its step needs."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step < 1 else 0
    out = f"{value:.{decimals}f}"
    return "0" if float(out) == 0 else out.replace("-", "−")


def padded(values: list[float], share: float = 0.06) -> tuple[float, float]:
    """An interval around the values with a margin; never empty."""
    low, high = min(values), max(values)
    margin = (high - low) * share or max(abs(low) * 0.1, 0.5)
    return low - margin, high + margin


class Frame:
    """A plotting area with linear axes. Collects elements in data coordinates' pixels; `render` closes it.

    Args:
        title: what the drawing shows, for screen readers.
        description: its content in a sentence, for screen readers.
        x: interval of the horizontal axis.
        y: interval of the vertical axis.
    """

    def __init__(self, title: str, description: str, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.title, self.description = title, description
        self.left, self.right, self.top, self.bottom = 62.0, WIDTH - 14.0, 14.0, HEIGHT - 48.0
        self.x_range, self.y_range = x, y
        self.parts: list[str] = []

    def px(self, value: float) -> float:
        """Pixel column of an x value."""
        low, high = self.x_range
        return self.left + (value - low) / (high - low) * (self.right - self.left)

    def py(self, value: float) -> float:
        """Pixel row of a y value."""
        low, high = self.y_range
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)

    def axes(self, x_label: str, y_label: str, *, whole_x: bool = False, x_marks: list[float] | None = None) -> None:
        """Grid, ticks and labels (with units in the labels)."""
        marks = ticks(*self.y_range)
        step = marks[1] - marks[0] if len(marks) > 1 else 1.0
        for value in marks:
            row = self.py(value)
            self.add(element("line", x1=self.left, x2=self.right, y1=row, y2=row, class_="grid"))
            self.add(text(tick_text(value, step), self.left - 8, row + 4, class_="tick", anchor="end"))
        across = x_marks if x_marks is not None else ticks(*self.x_range, 6, whole=whole_x)
        step = across[1] - across[0] if len(across) > 1 else 1.0
        for value in across:
            column = self.px(value)
            self.add(element("line", x1=column, x2=column, y1=self.bottom, y2=self.bottom + 5, class_="axis"))
            self.add(text(tick_text(value, step), column, self.bottom + 19, class_="tick", anchor="middle"))
        self.add(element("line", x1=self.left, x2=self.right, y1=self.bottom, y2=self.bottom, class_="axis"))
        self.add(text(x_label, (self.left + self.right) / 2, HEIGHT - 8, class_="label", anchor="middle"))
        middle = (self.top + self.bottom) / 2
        self.add(
            text(y_label, 0, 0, class_="label", anchor="middle", transform=f"translate(15 {num(middle)}) rotate(-90)")
        )

    def add(self, part: str) -> None:
        """Append one element, on top of what is there."""
        self.parts.append(part)

    def render(self) -> Markup:
        """The drawing as markup that is safe to place in the page."""
        return figure(self.title, self.description, "".join(self.parts))


def figure(title: str, description: str, content: str, width: float = WIDTH, height: float = HEIGHT) -> Markup:
    """An `svg` element with a name and a description for screen readers."""
    label = escape(f"{title}. {description}")
    return Markup(  # noqa: S704 - every part was escaped by `element` and `text`
        f'<svg viewBox="0 0 {num(width)} {num(height)}" role="img" aria-label="{label}" class="chart">{content}</svg>'
    )
