"""`lodestone pick`: which rows of a table deserve the next measurements. No campaign: a file in, a list out."""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import os
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..surrogate.tables import Aim, Pick, Space, Survey, TablePicker, Value
from ..surrogate.tables.explain import contributions, relevance
from ..surrogate.tables.words import reason
from ..tools.core.errors import ToolError
from .formers import notes_of, read_formers
from .tablefile import MAX_MEASURED, Reading, TableFile, is_blank, number

SHOWN_COLUMNS = 8
"""Columns of the table that are printed; `--out` has them all."""


@dataclass(frozen=True)
class Candidate:
    """A row that can be measured, by its place in its file."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Opened:
    """A table that was read once, and the rows that can be measured."""

    file: TableFile
    source: TableFile
    """Of the rows that can be measured: the same, or a pool."""
    measured: tuple[tuple[int, tuple[str, ...], tuple[float | None, ...]], ...]
    """Line, cells and outcomes (in the order of the targets) of each row that has at least one."""
    space: Space
    reading: Reading
    elsewhere: Reading
    """Of the source."""
    main: str
    repeat: bool

    def candidates(self) -> Iterator[Candidate]:
        """Rows of the source whose main target is blank; all of them with `repeat`."""
        return _candidates(self.source, self.main, self.repeat)

    def rows(self) -> list[tuple[Value, ...]]:
        """Settings of the measured rows."""
        return [self.reading.values(cells) for _, cells, _ in self.measured]

    def stream(self) -> Iterator[tuple[Value, ...]]:
        """Settings of the candidates."""
        return (self.elsewhere.values(c.cells) for c in self.candidates())

    def found(self, places: Collection[int]) -> dict[int, Candidate]:
        """Candidates as they stand in the file, by place, in one more pass up to the last of them.

        Raises:
            ToolError: there is none.
        """
        if not places:
            raise ToolError(
                f"No row is left to pick: every row of {self.source.path} has a value in {self.main!r} or equals one "
                "that has.",
                "Leave the target blank in rows that can be measured, name them with --pool, or allow --repeat.",
            )
        return {i: c for i, c in enumerate(itertools.islice(self.candidates(), max(places) + 1)) if i in places}

    def notes(self, picks: int, count: int) -> list[str]:
        """What a user should know, in words."""
        notes = list(self.space.notes)
        if picks < count:
            notes.append(f"only {picks} different rows can be picked")
        return notes


@dataclass(frozen=True)
class Result:
    """What was picked, and what a user should know of it."""

    aim: Aim
    names: tuple[str, ...]
    picks: tuple[tuple[Pick, Candidate], ...]
    best: float | None
    measured: int
    notes: tuple[str, ...]
    matters: dict[str, float]
    """Column to its part in the variance of what is expected; empty unless asked for."""
    credits: tuple[dict[str, float], ...]
    """For each pick, column to what it adds to the expectation; likewise."""


def aim_of(options: argparse.Namespace) -> Aim:
    """The aim that the flags name; one of them, or `--above` with `--below`."""
    kinds = {
        "maximise": Aim("maximise") if options.maximise else None,
        "minimise": Aim("minimise") if options.minimise else None,
        "aim": Aim("target", value=options.aim) if options.aim is not None else None,
        "boundary": Aim("boundary", value=options.boundary) if options.boundary is not None else None,
        "map": Aim("map") if options.map else None,
        "above/below": (
            Aim("within", lower=options.above, upper=options.below)
            if options.above is not None or options.below is not None
            else None
        ),
    }
    named = [a for a in kinds.values() if a is not None]
    if len(named) != 1:
        raise ToolError(
            "No aim is given." if not named else "More than one aim is given.",
            "Say one of --maximise, --minimise, --aim V, --above V, --below V, --boundary V, --map.",
        )
    return named[0]


def open_table(
    table: Path, targets: Sequence[str], count: int, *, pool: Path | None, ignore: tuple[str, ...],
    text: tuple[str, ...], repeat: bool,
) -> Opened:  # fmt: skip
    """Read a table for one target or several, the main one first; arguments and errors as of `pick_rows`."""
    if count < 1:
        raise ToolError(f"{count} rows are wanted.", "Ask for at least 1.")
    file = TableFile.open(table)
    places = [file.index(target) for target in targets]
    for name in (*ignore, *text):
        file.index(name)
    used = [n for n in file.names if n not in targets and n not in ignore]
    if not used:
        raise ToolError(f"{table} has no column besides the target.", "Add the settings of each measurement.")
    source = file if pool is None else TableFile.open(pool)
    reading = Reading(file, used, text)
    elsewhere = reading if pool is None else Reading(source, used, text)
    measured: list[tuple[int, tuple[str, ...], tuple[float | None, ...]]] = []
    for line, cells in file.rows():
        reading.see(line, cells)
        values = tuple(_outcome(file, t, line, cells[p]) for t, p in zip(targets, places, strict=True))
        if any(value is not None for value in values):
            measured.append((line, tuple(cells), values))
            if len(measured) > MAX_MEASURED:
                raise ToolError(f"More than {MAX_MEASURED} rows are measured.", "Give a part of them.")
    if pool is not None:
        for line, cells in source.rows():
            elsewhere.see(line, cells)
            reading.see(line, [cells[source.index(n)] if n in source.names else "" for n in file.names])
    reading.settle()
    elsewhere.adopt(reading)
    # A row that waits for its main target is a candidate too, and is counted once.
    known = (reading.values(cells) for _, cells, values in measured if values[0] is not None or pool is not None)
    waiting = (elsewhere.values(c.cells) for c in _candidates(source, targets[0], repeat))
    space = Survey(used, set(text) & set(used)).add(known).add(waiting).space()
    return Opened(file, source, tuple(measured), space, reading, elsewhere, targets[0], repeat)


def pick_rows(
    table: Path, target: str, aim: Aim, count: int, *, pool: Path | None = None, ignore: tuple[str, ...] = (),
    text: tuple[str, ...] = (), seed: int = 0, repeat: bool = False, why: bool = False, former: tuple[Path, ...] = (),
) -> Result:  # fmt: skip
    """Rank the rows that deserve a measurement next.

    Args:
        table: a text file with a header; rows with a number in column `target` are measured, the others can be.
        target: column of the outcome.
        aim: what is wanted of it.
        count: rows wanted.
        pool: another file of rows that can be measured; read as a stream.
        ignore: columns that say nothing, such as names and remarks.
        text: columns that are neither numbers nor formulas, even if they look like it: codes, labels.
        seed: of the sample of hyperparameters.
        repeat: whether measured rows may be picked again.
        why: whether to say also which columns matter, and what each adds to each pick.
        former: tables of earlier campaigns or other laboratories, with the target and some of the settings.

    Raises:
        ToolError: with what is wrong in which line and what to do.
    """
    opened = open_table(table, (target,), count, pool=pool, ignore=ignore, text=text, repeat=repeat)
    formers = read_formers(former, opened, {target: aim}, text, seed)[target]
    picker = TablePicker(opened.space, aim, seed, formers)
    values = [value for _, _, outcomes in opened.measured for value in outcomes if value is not None]
    picker.tell(opened.rows(), values)
    picks = picker.ask(opened.stream(), count, repeat)
    found = opened.found({p.place for p in picks})
    notes = opened.notes(len(picks), count)
    notes += notes_of(formers, opened.reading.used, picker.ensemble() if values else None)
    if not values:
        trusted = formers and aim.kind not in ("boundary", "map")
        how = f"are what {formers[0].name} promises" if trusted else "are spread over the table"
        notes.append(f"nothing is measured yet: the picks {how}")
    pairs = tuple((p, found[p.place]) for p in picks)
    matters: dict[str, float] = {}
    credits: tuple[dict[str, float], ...] = ()
    if why and values:
        ensemble = picker.ensemble()
        matters = relevance(ensemble, picker.rows)
        credits = tuple(contributions(ensemble, p.row, picker.rows) for p in picks)
    return Result(aim, opened.source.names, pairs, picker.best, len(values), tuple(notes), matters, credits)


def _candidates(source: TableFile, target: str, repeat: bool) -> Iterator[Candidate]:
    blank = source.names.index(target) if target in source.names else None
    for line, cells in source.rows():
        if blank is None or is_blank(cells[blank]) or repeat:
            yield Candidate(line, tuple(cells))


def _outcome(file: TableFile, target: str, line: int, cell: str) -> float | None:
    if is_blank(cell):
        return None
    value = number(cell)
    if value is None:
        raise ToolError(
            f"Line {line} of {file.path} has {cell.strip()[:40]!r} in {target!r}.",
            "Give a finite number, or leave it blank.",
        )
    return value


def pick(options: argparse.Namespace) -> int:
    """The command."""
    aim = aim_of(options)
    result = pick_rows(
        options.table, options.target, aim, options.count, pool=options.pool, ignore=tuple(options.ignore),
        text=tuple(options.text), seed=options.seed, repeat=options.repeat, why=options.why,
        former=tuple(options.former),
    )  # fmt: skip
    if options.out is not None:
        _write(options.out, result, options.target)
    if options.json:
        from .commands import print_json

        print_json(_plain(result))
    else:
        _show(Console(), result, options.target)
    return 0


def _plain(result: Result) -> dict[str, Any]:
    picks: list[dict[str, Any]] = [
        {
            "line": candidate.line,
            "row": dict(zip(result.names, candidate.cells, strict=True)),
            "mean": None if math.isnan(pick.mean) else pick.mean,
            "low": None if math.isnan(pick.low) else pick.low,
            "high": None if math.isnan(pick.high) else pick.high,
            "chance": pick.chance,
            "outside": pick.outside,
            "reason": reason(pick, result.aim, result.best),
        }
        for pick, candidate in result.picks
    ]
    found: dict[str, Any] = {
        "measured": result.measured,
        "best": result.best,
        "picks": picks,
        "notes": list(result.notes),
    }
    if result.matters:
        for entry, credit in zip(picks, result.credits, strict=True):
            entry["adds"] = credit
        found["matters"] = result.matters
    return found


def _show(console: Console, result: Result, target: str) -> None:
    names = [n for n in result.names if n != target][:SHOWN_COLUMNS]
    table = Table(box=None, pad_edge=False)
    for head in ("", "line", *names, f"{target} expected", "90 % interval"):
        table.add_column(head, overflow="fold", justify="right")
    for rank, (found, candidate) in enumerate(result.picks, 1):
        cells = dict(zip(result.names, candidate.cells, strict=True))
        shown = [cells[n].strip() for n in names]
        unknown = math.isnan(found.mean)
        interval = "–" if unknown else f"{found.low:.4g} to {found.high:.4g}"
        table.add_row(
            *(
                Text(c)
                for c in (str(rank), str(candidate.line), *shown, "–" if unknown else f"{found.mean:.4g}", interval)
            )
        )
    console.print(table)
    for rank, (found, _) in enumerate(result.picks, 1):
        console.print(Text(f"{rank}: {reason(found, result.aim, result.best)}."))
        if result.credits:
            adds = ", ".join(f"{name} {value:+.3g}" for name, value in result.credits[rank - 1].items())
            console.print(Text(f"   against the average of what was measured: {adds}."))
    if result.matters:
        total = sum(result.matters.values()) or 1.0
        parts = ", ".join(f"{name} {100 * part / total:.0f} %" for name, part in result.matters.items())
        console.print(Text(f"What matters, as parts of all that does: {parts}."))
    best = "" if result.best is None else f", the best {result.best:.6g}"
    console.print(Text(f"{result.measured} measurements{best}."))
    for note in result.notes:
        console.print(Text(f"Note: {note}."))


def _write(path: Path, result: Result, target: str) -> None:
    """A CSV file with the picks."""
    names = [n for n in result.names if n != target]
    head = ["rank", "line", *names, f"{target} expected", f"{target} low", f"{target} high", "chance", "why"]
    rows = []
    for rank, (found, candidate) in enumerate(result.picks, 1):
        cells = dict(zip(result.names, candidate.cells, strict=True))
        chance = "" if found.chance is None else f"{found.chance:.4f}"
        numbers = ["" if math.isnan(v) else repr(v) for v in (found.mean, found.low, found.high)] + [chance]
        why = reason(found, result.aim, result.best)
        rows.append([rank, candidate.line, *(cells[n] for n in names), *numbers, why])
    write_csv(path, head, rows)


def write_csv(path: Path, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A file in one piece: a cut-off run leaves none or the old one."""
    handle, temporary = tempfile.mkstemp(dir=path.parent or Path(), prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(head)
            writer.writerows(rows)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
