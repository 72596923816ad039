"""What the columns of a table are, and how a row becomes numbers between 0 and 1.

Nothing is asked of the user: numbers, text, chemical formulas, columns that never vary, shares that add up to a
constant and columns that span decades are found from the rows. One pass over a stream is enough (`Survey`), so a table
need not fit in memory. What is not here: how formulas are read and become numbers (`formulas.py`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ...tools.core.errors import ToolError
from .formulas import FormulaScale, are_formulas, read_formula

if TYPE_CHECKING:
    import torch

Value = float | str | None
"""A cell: a number, a text, or nothing."""

MAX_LEVELS = 200
"""Most different texts in one column: more is a name or a remark, not a category."""

LARGEST, SMALLEST = 1e100, 1e-100
"""Numbers between these in size can be squared and divided without overflow; beyond them a unit is wrong."""

MAX_COLUMNS = 500
"""Most columns; a Gaussian process learns nothing from a handful of rows with more."""

SUM_TOLERANCE = 0.01
"""Shares count as adding up to a constant when their totals differ by less than this part of it."""

LOG_RANGE = 50.0
"""A positive column whose largest value is this many times its smallest may be one that works in decades."""

SAMPLE = 4096
"""Rows kept, evenly spread over the stream, to judge the shape of columns."""


@dataclass(frozen=True)
class Column:
    """One column that varies."""

    name: str
    lower: float = 0.0
    """Smallest value (of the logarithm where `decades`)."""
    upper: float = 1.0
    levels: tuple[str, ...] = ()
    """Texts of a categorical column, sorted; empty for a column of numbers."""
    decades: bool = False
    """Whether its logarithm is used."""
    gaps: bool = False
    """Whether cells are missing: they take the middle of the range, and a further feature says so."""
    middle: float = 0.5
    """Scaled value that stands in for a missing cell."""
    formulas: FormulaScale | None = None
    """How the formulas of a column of formulas become numbers."""

    @property
    def alike(self) -> tuple[bool, ...]:
        """For each feature that it becomes, whether it is an atomic fraction."""
        if self.levels:
            return (False,) * len(self.levels)
        own = (False,) if self.formulas is None else self.formulas.alike
        return (*own, False) if self.gaps else own

    @property
    def width(self) -> int:
        """Features that it becomes."""
        return len(self.alike)


@dataclass(frozen=True)
class Space:
    """Columns of a table with the scaling fixed; plain values, so that it can be stored beside a model."""

    names: tuple[str, ...]
    """Every column in the order of the rows, constant ones included."""
    columns: tuple[Column, ...]
    """Those that vary."""
    mixtures: tuple[tuple[str, ...], ...] = ()
    """Groups of columns that are shares of a constant total."""
    notes: tuple[str, ...] = ()
    """What was found, in words."""

    @property
    def encodings(self) -> tuple[str, ...]:
        """`plain`, and for mixtures also `root`."""
        return ("plain", "root") if self.mixtures else ("plain",)

    @property
    def width(self) -> int:
        """Features of one encoding, at least 1."""
        return max(1, sum(c.width for c in self.columns))

    @property
    def alike(self) -> tuple[bool, ...]:
        """For each feature of an encoding, whether it is a share of a mixture or an atomic fraction: components are
        much alike in how far the outcome reaches along them, process settings are not."""
        shares = {name for group in self.mixtures for name in group}
        return tuple(c.name in shares or a for c in self.columns for a in c.alike) or (False,)

    def encode(self, rows: Sequence[Sequence[Value]], encoding: str = "plain") -> torch.Tensor:
        """Rows to `n x width` (float64).

        Numbers are scaled to [0, 1] over the table; texts are one-hot over sqrt(2), so that two different ones are one
        apart; of the features of a formula (`FormulaScale`) the leading one varies as much as numbers do. In the
        encoding `root` the shares of a mixture enter by their square roots (the Hellinger distance between
        compositions): a trace of a component is far from none, as chemistry often has it.

        Raises:
            ToolError: a row has another number of cells than the table, a number stands where text was or the other
                way round, a text was not in the table, or a formula holds an element that was not.
        """
        import torch

        position = {name: i for i, name in enumerate(self.names)}
        rooted = {name for group in self.mixtures for name in group} if encoding == "root" else set()
        if any(len(row) != len(self.names) for row in rows):
            raise ToolError(
                f"A row does not have {len(self.names)} cells.", f"The columns are {', '.join(self.names)}."
            )
        parts = []
        for column in self.columns:
            cells = [row[position[column.name]] for row in rows]
            if column.levels:
                parts.append(_texts(column, cells))
            elif column.formulas is not None:
                parts.append(_formulas(column, column.formulas, cells))
            else:
                parts.append(_numbers(column, cells, column.name in rooted))
        if not parts:
            return torch.zeros(len(rows), 1, dtype=torch.float64)
        return torch.from_numpy(np.concatenate(parts, axis=1))

    def to_json(self) -> dict[str, Any]:
        """Plain data, from which `Space.from_json` makes the same space."""
        return asdict(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Space:
        """The space that `to_json` described."""
        columns = []
        for c in data["columns"]:
            # A space that was stored before formulas were read has none.
            scale = c.get("formulas")
            formulas = None if scale is None else FormulaScale.from_json(scale)
            columns.append(Column(**{**c, "levels": tuple(c["levels"]), "formulas": formulas}))
        groups = tuple(tuple(g) for g in data["mixtures"])
        return Space(tuple(data["names"]), tuple(columns), groups, tuple(data["notes"]))


@dataclass
class _Seen:
    """What a pass over the rows keeps of one column."""

    lower: float = math.inf
    upper: float = -math.inf
    levels: set[str] = field(default_factory=set)
    elements: set[str] = field(default_factory=set)
    """Of the formulas among its texts, up to the first text that is none."""
    odd: str | None = None
    """That text."""
    numbers: int = 0
    gaps: int = 0


class Survey:
    """One pass over the rows of a table."""

    def __init__(self, names: Sequence[str], text: Collection[str] = ()) -> None:
        """A survey of nothing yet.

        Args:
            names: of the columns, in the order of the rows' cells.
            text: columns whose texts are no formulas, even if all of them look like some.

        Raises:
            ToolError: no column, too many, two of one name, or a name in `text` that is none of them.
        """
        if not names or len(names) > MAX_COLUMNS:
            raise ToolError(f"A table of {len(names)} columns.", f"Give 1 to {MAX_COLUMNS} columns besides the target.")
        twice = sorted({n for n in names if list(names).count(n) > 1})
        if twice:
            raise ToolError(f"Two columns are called {twice[0]!r}.", "Give each column a name of its own.")
        strange = sorted(set(text) - set(names))
        if strange:
            raise ToolError(f"There is no column {strange[0]!r}.", f"The columns are {', '.join(names)}.")
        self._names = tuple(names)
        self._text = frozenset(text)
        self._seen = [_Seen() for _ in names]
        self._sample: list[Sequence[Value]] = []
        self._stride = 1
        self._count = 0

    def add(self, rows: Iterable[Sequence[Value]]) -> Survey:
        """Take note of these rows.

        Returns:
            Itself.

        Raises:
            ToolError: a row has another number of cells, or a number is not finite.
        """
        for row in rows:
            if len(row) != len(self._names):
                raise ToolError(
                    f"Row {self._count + 1} has {len(row)} cells.", f"The columns are {', '.join(self._names)}."
                )
            for seen, name, cell in zip(self._seen, self._names, row, strict=True):
                self._note(seen, name, cell)
            if self._count % self._stride == 0:
                self._sample.append(row)
                if len(self._sample) > 2 * SAMPLE:
                    self._sample, self._stride = self._sample[::2], 2 * self._stride
            self._count += 1
        return self

    def space(self) -> Space:
        """What the columns are.

        Raises:
            ToolError: no row, a column mixes numbers and text, or has too many different texts.
        """
        if not self._count:
            raise ToolError("The table has no rows.", "Give at least one row.")
        notes: list[str] = []
        columns: list[Column] = []
        for index, (name, seen) in enumerate(zip(self._names, self._seen, strict=True)):
            column = self._column(index, name, seen, notes)
            if column is not None:
                columns.append(column)
        mixtures = self._mixtures([c.name for c in columns if not (c.levels or c.gaps or c.formulas)])
        for group in mixtures:
            notes.append(f"{', '.join(group)} are shares of one total")
        shares = {name for group in mixtures for name in group}
        # By name, so that the order of columns in a file changes nothing.
        kept = tuple(sorted((_linear(c) if c.name in shares else c for c in columns), key=lambda c: c.name))
        return Space(self._names, kept, mixtures, tuple(notes))

    def _note(self, seen: _Seen, name: str, cell: Value) -> None:
        if cell is None:
            seen.gaps += 1
        elif isinstance(cell, str):
            if len(seen.levels) <= MAX_LEVELS:
                seen.levels.add(cell)
            if seen.odd is None and name not in self._text:
                composition = read_formula(cell)
                if composition is None:
                    seen.odd = cell
                else:
                    seen.elements.update(symbol for symbol, _ in composition)
        elif not is_usable(cell):
            raise ToolError(
                f"Row {self._count + 1} has {cell} in {name!r}.",
                "Give a finite number of usual size, or leave it blank.",
            )
        else:
            seen.numbers += 1
            seen.lower, seen.upper = min(seen.lower, cell), max(seen.upper, cell)

    def _column(self, index: int, name: str, seen: _Seen, notes: list[str]) -> Column | None:
        if seen.levels and seen.numbers:
            example = sorted(seen.levels)[0]
            raise ToolError(
                f"Column {name!r} holds numbers and text (for example {example!r}).", "Make it one or the other."
            )
        if seen.levels:
            formulas = self._formulas(index, name, seen, notes)
            if formulas is not None:
                return formulas
            if len(seen.levels) > MAX_LEVELS:
                hint = f" (If it is to hold formulas: {seen.odd[:40]!r} is none.)" if seen.elements and seen.odd else ""
                raise ToolError(
                    f"Column {name!r} holds more than {MAX_LEVELS} different texts.",
                    f"A name or a remark says nothing about other rows: leave it out with --ignore.{hint}",
                )
            levels = tuple(sorted(seen.levels | ({""} if seen.gaps else set())))
            if len(levels) > 1:
                return Column(name, levels=levels)
            notes.append(f"{name} is the same in every row and is left out")
            return None
        if not seen.numbers:
            notes.append(f"{name} is empty and is left out")
            return None
        if not seen.upper > seen.lower:
            if not seen.gaps:
                notes.append(f"{name} is the same in every row and is left out")
                return None
            return Column(name, seen.lower, seen.lower + 1.0, gaps=True, middle=0.0)
        cells = [row[index] for row in self._sample]
        values = np.array([c for c in cells if isinstance(c, float | int)], dtype=float)
        decades = bool(seen.lower > 0 and seen.upper > LOG_RANGE * seen.lower and _skew(np.log(values)) < _skew(values))
        lower, upper = (math.log(seen.lower), math.log(seen.upper)) if decades else (seen.lower, seen.upper)
        if decades:
            notes.append(f"{name} spans decades: its logarithm is used")
        if seen.gaps:
            notes.append(f"{name} is missing in {seen.gaps} rows: they take its median")
        scaled = (np.log(values) if decades else values) - lower
        middle = float(np.median(scaled)) / (upper - lower)
        return Column(name, lower, upper, decades=decades, gaps=bool(seen.gaps), middle=middle)

    def _formulas(self, index: int, name: str, seen: _Seen, notes: list[str]) -> Column | None:
        """A column of formulas, None where its texts are none or hardly differ."""
        if seen.odd is not None or name in self._text:
            return None
        texts = {cell for row in self._sample if isinstance(cell := row[index], str)}
        if not are_formulas(texts):
            return None
        notes.append(f"{name}: formulas of {len(seen.elements)} elements are read as compositions")
        if seen.gaps:
            notes.append(f"{name} is missing in {seen.gaps} rows: they take the mean composition")
        compositions = [c for text in texts if (c := read_formula(text)) is not None]
        return Column(name, gaps=bool(seen.gaps), formulas=FormulaScale.fit(compositions, seen.elements))

    def _mixtures(self, names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """Runs of neighbouring columns, none negative, with a constant total; the longest first, each column once."""
        index = {name: i for i, name in enumerate(self._names)}
        usable = [n for n in names if self._seen[index[n]].lower >= 0]
        table = np.array([[row[index[n]] for n in usable] for row in self._sample], dtype=float)
        sums = np.concatenate([np.zeros((len(table), 1)), np.cumsum(table, axis=1)], axis=1) if usable else table
        found: list[tuple[int, int]] = []
        if len(table) < 3:
            return ()
        for length in range(len(usable), 1, -1):
            for start in range(len(usable) - length + 1):
                end = start + length
                if any(start < e and b < end for b, e in found):
                    continue
                total = sums[:, end] - sums[:, start]
                if np.ptp(total) <= SUM_TOLERANCE * total.mean():
                    found.append((start, end))
        return tuple(tuple(usable[a:b]) for a, b in sorted(found))


def is_usable(number: float) -> bool:
    """Whether a number is finite and of a size that arithmetic can bear."""
    return number == 0 or SMALLEST <= abs(number) <= LARGEST


def _linear(column: Column) -> Column:
    if not column.decades:
        return column
    return Column(column.name, math.exp(column.lower), math.exp(column.upper))


def _skew(values: np.ndarray) -> float:
    spread = values.std()
    return abs(float(((values - values.mean()) ** 3).mean() / spread**3)) if spread > 0 else 0.0


def _texts(column: Column, cells: Sequence[Value]) -> np.ndarray:
    place = {level: i for i, level in enumerate(column.levels)}
    wanted = ["" if cell is None else cell for cell in cells]
    strange = next((w for w in wanted if not isinstance(w, str) or w not in place), None)
    if strange is not None:
        raise ToolError(f"{strange!r} in column {column.name!r} was not in the table.", "Survey all rows first.")
    out = np.zeros((len(cells), len(column.levels)))
    out[np.arange(len(cells)), [place[str(w)] for w in wanted]] = math.sqrt(0.5)
    return out


def _formulas(column: Column, scale: FormulaScale, cells: Sequence[Value]) -> np.ndarray:
    features = scale.encode(column.name, cells)
    if not column.gaps:
        return features
    return np.concatenate([features, [[float(cell is None)] for cell in cells]], axis=1)


def _numbers(column: Column, cells: Sequence[Value], root: bool) -> np.ndarray:
    if any(isinstance(cell, str) for cell in cells):
        raise ToolError(f"Text in column {column.name!r}, which holds numbers.", "Give a number or leave it blank.")
    values = np.array([math.nan if c is None else c for c in cells], dtype=float)
    lower, upper = column.lower, column.upper
    if column.decades:
        values = np.log(values)
    elif root:
        values, lower, upper = np.sqrt(values.clip(0.0)), math.sqrt(lower), math.sqrt(upper)
    scaled = (values - lower) / (upper - lower)
    missing = np.isnan(scaled)
    scaled = np.where(missing, column.middle, scaled)
    return np.stack([scaled, missing.astype(float)], axis=1) if column.gaps else scaled[:, None]
