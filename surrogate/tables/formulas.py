"""Chemical formulas in the cells of a table: which texts are formulas, and how they become numbers.

A formula is read as a composition, so that one that was never measured is near those of like elements. What is not
here: statistics over elements (`surrogate/composition.py`), and columns of other kinds (`columns.py`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ...tools.core.elements import BROAD, SYMBOLS
from ...tools.core.errors import ToolError
from ..composition import composition_features, composition_key
from ..features import COMPOSITION_COMPONENTS, principal

Composition = tuple[tuple[str, float], ...]
"""Symbols with their atomic fractions, sorted: equal for equal compositions."""

MAX_LENGTH = 200
"""Characters of a formula, at most."""

CACHED = 16_384
"""Formulas whose reading is remembered."""

FEWEST = 4
"""Different compositions from which on a column is one of formulas. Up to three are the levels of a factor: one-hot
tells them apart as well and supposes nothing about which are alike."""

SPREAD = 12**-0.5
"""Deviation of the leading component: that of numbers spread evenly over [0, 1]."""

_ELEMENTS = SYMBOLS[:98]
"""To californium: nobody has weighed a compound of the later ones, but `No` and `Es` are words."""

_SYMBOL = f"(?:{'|'.join(sorted(_ELEMENTS, key=lambda s: (-len(s), s)))})"
_NUMBER = r"(?:\d{1,6}(?:\.\d{0,20})?|\.\d{1,20})"
_PIECE = f"{_SYMBOL}{_NUMBER}?"


def _with_brackets(inner: str) -> str:
    """An element, or pieces in brackets. No text matches in two ways: one that fails is given up at once."""
    return rf"(?:{_PIECE}|(?:\((?:{inner})+\)|\[(?:{inner})+\]){_NUMBER}?)"


_PART = re.compile(
    rf"(?P<times>{_NUMBER})?"
    rf"(?P<formula>{_with_brackets(_with_brackets(_PIECE))}+|{_SYMBOL}{_NUMBER}(?: {_SYMBOL}{_NUMBER})+)",
    re.ASCII,
)
"""One formula; brackets to two levels, or pymatgen's own way of writing (`Ti1 O2`)."""

_BETWEEN_PARTS = re.compile(r" ?[·•∙⋅*] ?")
_POINTED_WATER = re.compile(r"(?<!\D0)\.(?=(?:\d+(?:\.\d+)?)?H2O$)", re.ASCII)
"""The point of `CuSO4.5H2O` stands between parts, as hardly anybody writes 4.5 before another water."""

_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


@lru_cache(maxsize=CACHED)
def read_formula(text: str) -> Composition | None:
    """The composition that a text writes down, None where it is no formula.

    `Fe2O3`, `Li0.5CoO2`, `Ca(OH)2`, `K4[Fe(CN)6]`, `TiO₂`, `CuSO4·5H2O` and `0.3Li2MnO3*0.7LiCoO2` are formulas; what
    holds anything but elements to californium, amounts and brackets is none. Elements of amount 0 are left out.
    """
    from pymatgen.core.composition import Composition as Parsed

    if not 0 < len(text) <= MAX_LENGTH:
        return None
    parts = _BETWEEN_PARTS.split(_POINTED_WATER.sub("·", text.translate(_SUBSCRIPTS)))
    amounts: dict[str, float] = {}
    for part in parts:
        found = _PART.fullmatch(part)
        if found is None or (found["times"] and len(parts) == 1):
            return None
        try:
            parsed = Parsed(found["formula"].replace(" ", "")).get_el_amt_dict()
        except ValueError:
            # Amounts within brackets whose product is so large or small that pymatgen cannot read its own writing.
            return None
        for symbol, amount in parsed.items():
            amounts[symbol] = amounts.get(symbol, 0.0) + amount * float(found["times"] or 1)
    present = {symbol: amount for symbol, amount in amounts.items() if amount > 0}
    # A fraction that rounds to nothing is none.
    return tuple(p for p in composition_key(present) if p[1] > 0) if present else None


def are_formulas(texts: Collection[str]) -> bool:
    """Whether these different texts are formulas, and not words, labels or codes that look like some.

    All can be read, to at least `FEWEST` compositions. Half of them or more hold a symbol of two letters: acronyms,
    numerals, lattice letters and codes do not (`FCC` and `BCC`, `PVC`, `IV`, `B2`, `P` and `F`). And half of them or
    more are compounds, or all are bare symbols of common elements, as of dopants; `Ti64` and `Si1` are names.
    """
    found = {text: read_formula(text) for text in texts}
    compositions = [c for c in found.values() if c is not None]
    if len(compositions) < len(found) or len(set(compositions)) < FEWEST:
        return False
    if 2 * sum(any(c.islower() for c in text) for text in found) < len(found):
        return False
    return 2 * sum(len(c) > 1 for c in compositions) >= len(found) or all(text in BROAD for text in found)


@dataclass(frozen=True)
class FormulaScale:
    """A linear map from a composition to features; plain values, so that it can be stored beside a model.

    Principal components of the statistics over elements, scaled by the leading one's deviation (no whitening), then the
    atomic fractions, scaled together to the same deviation. Statistics say which elements are alike; fractions say what
    is an element's own, and are the better coordinates where a few elements are mixed in many ways.
    """

    elements: tuple[str, ...]
    """Of all rows of the table, sorted."""
    centre: tuple[float, ...]
    """Means of the columns of `composition_features`."""
    directions: tuple[tuple[float, ...], ...]
    """`components x columns`."""
    fractions: tuple[float, ...]
    """Mean atomic fractions of `elements`."""
    factor: float
    """What deviations from them are multiplied by."""

    @staticmethod
    def fit(compositions: Collection[Composition], elements: Collection[str]) -> FormulaScale:
        """The scale for at least two different compositions.

        Args:
            compositions: of the table or an even sample of it, in any order; each counts once.
            elements: of all rows of the table.
        """
        known, symbols = sorted(set(compositions)), tuple(sorted(elements))
        block = principal(composition_features([dict(c) for c in known]), COMPOSITION_COMPONENTS, per_column=True)
        directions = SPREAD * (block.directions / block.spread.unsqueeze(-1)).T
        shares = _fractions(known, symbols)
        return FormulaScale(
            elements=symbols,
            centre=tuple(block.centre.tolist()),
            directions=tuple(tuple(row) for row in directions.tolist()),
            fractions=tuple(shares.mean(axis=0).tolist()),
            factor=SPREAD / math.sqrt(shares.var(axis=0).sum()),
        )

    @property
    def alike(self) -> tuple[bool, ...]:
        """For each feature, whether it is an atomic fraction."""
        return (False,) * len(self.directions) + (True,) * len(self.elements)

    def encode(self, name: str, cells: Sequence[str | float | None]) -> np.ndarray:
        """Cells of the column `name` to `n x features`; a missing one takes the mean composition.

        Raises:
            ToolError: a number, a text that is no formula, or an element that the table did not hold.
        """
        read = [None if cell is None else self._read(name, cell) for cell in cells]
        known = [composition for composition in read if composition is not None]
        out = np.zeros((len(cells), len(self.alike)))
        if known:
            statistics = composition_features([dict(c) for c in known]).numpy() - np.array(self.centre)
            shares = _fractions(known, self.elements) - np.array(self.fractions)
            features = np.concatenate([statistics @ np.array(self.directions).T, self.factor * shares], axis=1)
            out[[composition is not None for composition in read]] = features
        return out

    def _read(self, name: str, cell: str | float) -> Composition:
        found = read_formula(cell) if isinstance(cell, str) else None
        if found is None:
            raise ToolError(f"{cell!r} in column {name!r} is no formula.", "All others there are: write it as one.")
        strange = [symbol for symbol, _ in found if symbol not in self.elements]
        if strange:
            raise ToolError(
                f"{cell!r} in column {name!r} holds {', '.join(strange)}, which was not in the table.",
                "Survey all rows first.",
            )
        return found

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> FormulaScale:
        """The scale that `dataclasses.asdict` described."""
        rows = tuple(tuple(row) for row in data["directions"])
        parts = {name: tuple(data[name]) for name in ("elements", "centre", "fractions")}
        return FormulaScale(**parts, directions=rows, factor=data["factor"])


def _fractions(compositions: Sequence[Composition], elements: Sequence[str]) -> np.ndarray:
    """Atomic fractions; `n x elements`."""
    place = {symbol: i for i, symbol in enumerate(elements)}
    out = np.zeros((len(compositions), len(elements)))
    for row, composition in zip(out, compositions, strict=True):
        for symbol, fraction in composition:
            row[place[symbol]] = fraction
    return out
