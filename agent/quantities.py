"""Rules for properties: `gap above 2 eV`, `within 25 meV/atom of the hull`, `highest bulk modulus`, `stable`.

Each rule looks at one place of a `Reader` and returns the index after what it used, or None when it does not apply.
Numbers keep the unit they were written in; `goal.py` converts and checks them.
"""

from __future__ import annotations

from typing import Literal

from ..tools.core.errors import GoalError
from ..tools.core.properties import get_property
from ..tools.core.types import Objective
from .reader import Bound, Reader
from .vocabulary import ADJECTIVES, COUNT_FILLERS, COUNT_NOUNS, DIRECTIONS, split_words

_LINKS = frozenset(
    split_words("is are be being must should shall that which has having with value values a an in the of : to at")
)
_BETWEEN = frozenset({"between", "from"})
_STABLE: tuple[tuple[tuple[str, ...], Literal["stable", "metastable", "most stable", "on the hull"]], ...] = (
    (("most", "stable"), "most stable"),
    (("lowest", "energy"), "most stable"),
    (("global", "minimum"), "most stable"),
    (("ground", "state"), "most stable"),
    (("ground", "states"), "most stable"),
    (("on", "the", "convex", "hull"), "on the hull"),
    (("on", "the", "hull"), "on the hull"),
    (("thermodynamically", "stable"), "stable"),
    (("metastable",), "metastable"),
    (("stable",), "stable"),
)


def property_clause(reader: Reader, index: int) -> int | None:
    """`[highest] PROPERTY [bound [and bound]]`, with at least an extremum or a bound."""
    direction, vague, start = _direction(reader, index)
    if start != index:
        start = reader.skip(start, {"the", "a", "an", "possible"})
    if not (found := reader.property(start)):
        return None
    name, words, end = found
    bounds, bounds_end = _bounds(reader, end)
    if not bounds and direction is None:
        return _as_possible(reader, index, name, words, end)
    if direction is not None:
        _want(reader, name, words, direction, vague, reader.words(index, end))
    if bounds:
        _keep(reader, name, bounds, reader.words(index, bounds_end))
        return reader.use(index, bounds_end)
    reader.use(index, end)
    after = reader.skip(end, {"and", "the"})
    if direction and after > end and (more := reader.property(after)) and not _bounds(reader, more[2])[0]:
        _want(reader, more[0], more[1], direction, vague, reader.words(index, more[2]))
        return reader.use(after, more[2])
    return end


def value_first(reader: Reader, index: int) -> int | None:
    """`[above] 2 eV [band] gap`, `within 25 meV/atom of the hull`, `1 < gap < 3 eV`."""
    if bounds_end := _sandwich(reader, index):
        return bounds_end
    bounds, end = _bounds(reader, index, links=False)
    if not bounds or not any(bound.unit for bound in bounds):
        return None
    if not (found := reader.property(end)):
        return None
    name, _, after = found
    if _bounds(reader, after, links=False)[0]:
        return None
    _keep(reader, name, bounds, reader.words(index, after))
    return reader.use(index, after)


def stability(reader: Reader, index: int) -> int | None:
    """`stable`, `metastable`, `most stable`, `ground state`, `on the hull`."""
    if reader.low(index - 1) == "not":
        return None
    for words, meaning in _STABLE:
        if end := reader.phrase(index, words):
            reader.request.stability.append(meaning)
            return reader.use(index, end)
    return None


def adjective(reader: Reader, index: int) -> int | None:
    """`densest`, `incompressible`: one word that is an extremum of a property."""
    if reader.low(index) not in ADJECTIVES:
        return None
    name, direction = ADJECTIVES[reader.low(index)]
    _want(reader, name, "", direction, True, reader.tokens[index].text)
    return reader.use(index, index + 1)


def _direction(reader: Reader, index: int) -> tuple[Literal["minimise", "maximise", "improve"] | None, bool, int]:
    for length in (2, 1):
        words = tuple(reader.low(index + k) for k in range(length))
        if words in DIRECTIONS:
            direction, vague = DIRECTIONS[words]
            return direction, vague, index + length
    return None, False, index


def _as_possible(reader: Reader, index: int, name: str, words: str, end: int) -> int | None:
    """`gap as large as possible`."""
    if reader.low(end) in {"is", "be"}:
        end += 1
    direction, _, after = _direction(reader, end + 1)
    if reader.low(end) == "as" and direction and (close := reader.phrase(after, ("as", "possible"))):
        _want(reader, name, words, direction, False, reader.words(index, close))
        return reader.use(index, close)
    return None


def _want(
    reader: Reader,
    name: str,
    words: str,
    direction: Literal["minimise", "maximise", "improve"],
    vague: bool,
    said: str,
) -> None:
    row = get_property(name)
    if words == "stability":
        direction = "minimise"  # the catalogue measures instability: more stability is less energy above the hull
    if direction == "improve":
        if row.better == "neither":
            raise GoalError(
                f"'{said}' does not say which way.", f"Say 'highest {row.label}', 'lowest {row.label}' or a range."
            )
        direction = "minimise" if row.better == "lower" else "maximise"
        reader.request.assumptions.append(f"'{said}' read as: {direction} {row.label}")
    elif vague:
        reader.request.assumptions.append(f"'{said}' gives no number; read as: {direction} {row.label}")
    reader.request.objectives.append(Objective(property=name, direction=direction))


def _keep(reader: Reader, name: str, bounds: list[Bound], said: str) -> None:
    for bound in bounds:
        kept = bound
        if name == "energy_above_hull" and bound.kind == "target":
            reader.request.assumptions.append(f"'{said}' read as an upper bound")
            kept = Bound("upper", bound.value, bound.unit)
        reader.request.bounds.append((name, kept))


def _bounds(reader: Reader, index: int, links: bool = True) -> tuple[list[Bound], int]:
    """Bounds written at `index`: one, or two that are joined; empty when there is none."""
    bounds, end = _one_bound(reader, index, links)
    if len(bounds) != 1 or bounds[0].kind == "target":
        return bounds, end
    after = reader.skip(end, {"and", "but", ","})
    compared = reader.comparator(after)
    if compared is None or compared[0] == "target":
        return bounds, end
    more, more_end = _one_bound(reader, after, links=False)
    if len(more) != 1 or more[0].kind == bounds[0].kind:
        return bounds, end
    if more[0].unit is None and (_counts(reader, more_end) or bounds[0].unit is not None):
        return bounds, end
    unit = bounds[0].unit or more[0].unit
    return [Bound(bounds[0].kind, bounds[0].value, unit), more[0]], more_end


def _one_bound(reader: Reader, index: int, links: bool) -> tuple[list[Bound], int]:
    at = reader.skip(index, _LINKS) if links else index
    if at > index and reader.low(at - 1) == "at" and reader.low(at) in {"least", "most"}:
        at -= 1
    if reader.low(at) == "range":
        at = reader.skip(at + 1, {"of", "from", "between"})
        return _pair(reader, at, between=True)
    if reader.low(at) in _BETWEEN:
        return _pair(reader, at + 1, between=True)
    kind: Literal["lower", "upper", "target"] = "target"
    for _ in range(3):
        if compared := reader.comparator(at):
            kind = compared[0] if kind == "target" else kind
            at = compared[2]
    pair, end = _pair(reader, at, between=False)
    if pair:
        return (pair, end) if kind == "target" else ([], index)
    value = reader.number(at)
    if value is None:
        return [], index
    unit, end = reader.unit(at + 1) or (None, at + 1)
    after = reader.token(at + 1)
    if unit is None and (_counts(reader, at + 1) or (after and (after.attached or after.glued))):
        return [], index
    return [Bound(kind, value, unit)], end


def _pair(reader: Reader, index: int, between: bool) -> tuple[list[Bound], int]:
    """`1 to 2 eV`, `1-2 eV`, `1 eV and 2 eV` (after `between`), `2 ± 0.1 eV`."""
    first = reader.number(index)
    if first is None:
        return [], index
    first_unit, at = reader.unit(index + 1) or (None, index + 1)
    joint = reader.low(at)
    token = reader.token(at)
    if joint in {"to", "-", "±"} or (between and joint == "and"):
        at += 1
    elif not (token and token.glued):
        return [], index
    second = reader.number(at)
    if second is None:
        return [], index
    unit, end = reader.unit(at + 1) or (None, at + 1)
    if unit is None and _counts(reader, end):
        return [], index
    if joint == "±":
        return [Bound("lower", first - second, unit), Bound("upper", first + second, unit)], end
    return [Bound("lower", first, first_unit or unit), Bound("upper", second, unit or first_unit)], end


def _sandwich(reader: Reader, index: int) -> int | None:
    low = reader.number(index)
    if low is None:
        return None
    unit, at = reader.unit(index + 1) or (None, index + 1)
    left = reader.low(at)
    found = reader.property(at + 1)
    if left not in {"<", "<=", "≤", ">", ">=", "≥"} or not found:
        return None
    more, end = _bounds(reader, found[2], links=False)
    if len(more) != 1 or more[0].kind == "target":
        return None
    kind: Literal["lower", "upper"] = "lower" if left in {"<", "<=", "≤"} else "upper"
    _keep(reader, found[0], [Bound(kind, low, unit or more[0].unit), *more], reader.words(index, end))
    return reader.use(index, end)


def _counts(reader: Reader, index: int) -> bool:
    """Whether a noun that is counted (atoms, runs, days) follows here."""
    return reader.low(reader.skip(index, COUNT_FILLERS)) in COUNT_NOUNS
