"""Tables of experiments in text files: read once for what the columns are, and again as a stream of rows.

A file is data: it is read by lines of bounded length, and never held whole. What is not here: what columns mean
(`surrogate/tables/columns.py`) and picking (`pick.py`).
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from ..surrogate.tables import Value
from ..surrogate.tables.columns import is_usable
from ..tools.core.errors import ToolError

MAX_LINE = 1_000_000
"""Characters of one row, at most."""

MAX_MEASURED = 100_000
"""Measured rows, at most; candidates are not limited."""

BLANK = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "?"})
"""Cells that say nothing, in lower case."""

SODIUM = "Na"
"""Blank among numbers; in a column of text it says something."""

DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class TableFile:
    """A text file with a header line."""

    path: Path
    names: tuple[str, ...]
    delimiter: str

    @staticmethod
    def open(path: Path) -> TableFile:
        """Read the header.

        Raises:
            ToolError: no such file, not a text file, no header, or two columns of one name.
        """
        if not path.is_file():
            raise ToolError(f"There is no file {path}.", "Give a CSV file with a header line.")
        with path.open("rb") as file:
            first = file.readline(MAX_LINE)
        try:
            header = first.decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError:
            raise ToolError(f"{path} is not UTF-8 text.", "Save it as CSV (UTF-8).") from None
        if "\0" in header or not header.strip():
            raise ToolError(f"{path} has no header line.", "The first line names the columns.")
        delimiter = max(DELIMITERS, key=header.count)
        names = tuple(cell.strip() for cell in next(csv.reader([header], delimiter=delimiter)))
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ToolError(f"{path} has two columns called {twice[0]!r}.", "Give each column a name of its own.")
        return TableFile(path, names, delimiter)

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """(line number, cells) of each row that is not empty; the header is line 1.

        Raises:
            ToolError: a row with another number of cells, text that is not UTF-8, or a row without an end.
        """
        with self.path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(self._lines(file), delimiter=self.delimiter)
            try:
                next(reader)
                for cells in reader:
                    if not any(cell.strip() for cell in cells):
                        continue
                    if len(cells) != len(self.names):
                        raise ToolError(
                            f"Line {reader.line_num} of {self.path} has {len(cells)} cells, not {len(self.names)}.",
                            "Give every row one cell a column.",
                        )
                    yield reader.line_num, cells
            except UnicodeDecodeError:
                raise ToolError(f"{self.path} is not UTF-8 text.", "Save it as CSV (UTF-8).") from None
            except csv.Error as error:
                raise ToolError(f"Line {reader.line_num} of {self.path}: {error}.", "Check the quotes there.") from None

    def _lines(self, file: TextIO) -> Iterator[str]:
        while line := file.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                raise ToolError(
                    f"{self.path} has a line of more than {MAX_LINE} characters.", "Check that it is a table of text."
                )
            yield line

    def index(self, name: str) -> int:
        """Place of a column. Raises ToolError that lists the columns."""
        if name not in self.names:
            raise ToolError(f"{self.path} has no column {name!r}.", f"Its columns: {', '.join(self.names)}.")
        return self.names.index(name)


def number(cell: str) -> float | None:
    """The number in a cell, None where it holds none (or one of no usual size); a decimal comma is a point."""
    text = cell.strip()
    try:
        value = float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        return None
    return value if is_usable(value) and "_" not in text else None


def is_blank(cell: str) -> bool:
    """Whether a cell says nothing."""
    return cell.strip().lower() in BLANK


class Reading:
    """How cells become values: a column is numbers where every cell that says something is one."""

    def __init__(self, file: TableFile, used: Sequence[str], text: Collection[str] = ()) -> None:
        """Of the columns `used`, by name; those in `text` are not numbers even if they look like some."""
        self.used = tuple(used)
        self._places = [file.index(name) for name in self.used]
        self._said = [name in text for name in self.used]
        self._text = list(self._said)
        self._numbers = [0] * len(self.used)
        self._odd: list[tuple[int, str] | None] = [None] * len(self.used)

    def see(self, line: int, cells: Sequence[str]) -> None:
        """Take note of a row, in a first pass."""
        for i, place in enumerate(self._places):
            cell = cells[place]
            if is_blank(cell):
                continue
            if number(cell) is None:
                self._text[i] = True
                self._odd[i] = self._odd[i] or (line, cell.strip())
            else:
                self._numbers[i] += 1

    def settle(self) -> None:
        """Decide what each column is.

        Raises:
            ToolError: a column that is mostly numbers with some text among them.
        """
        for name, said, numbers, odd in zip(self.used, self._said, self._numbers, self._odd, strict=True):
            if odd is not None and numbers and not said:
                raise ToolError(
                    f"Column {name!r} holds numbers, and {odd[1][:40]!r} in line {odd[0]}.",
                    "Make it one or the other, name it with --text, or leave the column out with --ignore.",
                )

    def adopt(self, other: Reading) -> None:
        """Read as another reading of the same columns does."""
        self._text = other._text

    def values(self, cells: Sequence[str]) -> tuple[Value, ...]:
        """The cells of the used columns."""
        found: list[Value] = []
        for place, text in zip(self._places, self._text, strict=True):
            cell = cells[place]
            blank = is_blank(cell) and not (text and cell.strip() == SODIUM)
            found.append(None if blank else cell.strip() if text else number(cell))
        return tuple(found)
