"""`lodestone pick --also`: which rows deserve the next measurements where several targets count.

What is not here: reading the table, and one target alone (`pick.py`).
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..surrogate.tables import Aim, SeveralPick, SeveralPicker
from ..surrogate.tables.explain import contributions, relevance
from ..surrogate.tables.several import check_aims
from ..surrogate.tables.words import reason_several
from ..tools.core.errors import ToolError
from .formers import notes_of, read_formers
from .pick import SHOWN_COLUMNS, Candidate, aim_of, open_table, write_csv
from .tablefile import number

WISH = re.compile(r"\s*(?P<name>\S(?:.*?\S)??)\s*(?P<sign>>=|<=|=)\s*(?P<wanted>[^<>=]*[^<>=\s])\s*")
"""The last sign divides, so that a name may hold spaces and signs."""

DIRECTIONS = {"maximise": "maximise", "maximize": "maximise", "minimise": "minimise", "minimize": "minimise"}

EXAMPLE = 'Write for example --also cost=minimise, --also pH=7 or --also "purity>=95".'


@dataclass(frozen=True)
class Best:
    """A measured row that keeps the limits and that no other beats."""

    lines: tuple[int, ...]
    """Where it stands in the table, repeats included."""
    values: dict[str, float]


@dataclass(frozen=True)
class SeveralResult:
    """What was picked, and what a user should know of it."""

    aims: dict[str, Aim]
    names: tuple[str, ...]
    picks: tuple[tuple[SeveralPick, Candidate], ...]
    measured: dict[str, int]
    """Measurements of each target."""
    front: tuple[Best, ...]
    notes: tuple[str, ...]
    matters: dict[str, dict[str, float]]
    """Target to column to its part in the variance of what is expected; empty unless asked for."""
    credits: tuple[dict[str, dict[str, float]], ...]
    """For each pick, target to column to what it adds to the expectation; likewise."""


def aims_of(main: str, aim: Aim, wishes: Sequence[str]) -> dict[str, Aim]:
    """Target to aim, the main one first. `NAME>=V` and `NAME<=V` of one name go together.

    Raises:
        ToolError: a wish that cannot be read, a target that is named twice, or aims that do not go together.
    """
    aims = {main: aim}
    for wish in wishes:
        name, found = _read(wish)
        known = aims.get(name)
        if known is not None and name != main and _complete(known, found):
            lower = known.lower if found.lower is None else found.lower
            aims[name] = Aim("within", lower=lower, upper=known.upper if found.upper is None else found.upper)
            continue
        if known is not None:
            raise ToolError(f"{name!r} is named twice.", "Give each target one aim, or one lower and one upper limit.")
        aims[name] = found
    check_aims(aims)
    return aims


def _complete(one: Aim, other: Aim) -> bool:
    """Whether one is a lower limit and the other an upper one."""
    return one.kind == other.kind == "within" and (one.lower is None) != (other.lower is None)


def _read(wish: str) -> tuple[str, Aim]:
    match = WISH.fullmatch(wish)
    if match is None:
        raise ToolError(f"--also {wish!r} cannot be read.", EXAMPLE)
    name, sign, wanted = match["name"], match["sign"], match["wanted"]
    if sign == "=" and wanted.lower() in DIRECTIONS:
        return name, Aim("maximise" if DIRECTIONS[wanted.lower()] == "maximise" else "minimise")
    value = number(wanted)
    if value is None:
        raise ToolError(f"--also {wish!r} asks for {wanted!r}, which is no number and no direction.", EXAMPLE)
    if sign == "=":
        return name, Aim("target", value=value)
    return name, Aim("within", lower=value) if sign == ">=" else Aim("within", upper=value)


def pick_for_several(
    table: Path, aims: dict[str, Aim], count: int, *, pool: Path | None = None, ignore: tuple[str, ...] = (),
    text: tuple[str, ...] = (), seed: int = 0, repeat: bool = False, why: bool = False, former: tuple[Path, ...] = (),
) -> SeveralResult:  # fmt: skip
    """Rank the rows that deserve a measurement next.

    Every number in a column of a target is learned from, whatever else the row lacks; rows whose main target (the
    first) is blank can be picked. So a price that is known beforehand may stand in every row. A pool gives settings
    only.

    Args:
        table: a text file with a header.
        aims: by column, the main target first.
        count, pool, ignore, text, seed, repeat, why, former: as of `pick.pick_rows`.

    Raises:
        ToolError: with what is wrong in which line and what to do.
    """
    opened = open_table(table, tuple(aims), count, pool=pool, ignore=ignore, text=text, repeat=repeat)
    formers = read_formers(former, opened, aims, text, seed)
    picker = SeveralPicker(opened.space, aims, seed, formers)
    outcomes = [values for _, _, values in opened.measured]
    picker.tell(opened.rows(), {name: [values[i] for values in outcomes] for i, name in enumerate(aims)})
    picks = picker.ask(opened.stream(), count, repeat)
    found = opened.found({p.place for p in picks})
    notes = opened.notes(len(picks), count)
    measured = picker.measured
    for name, former_tables in formers.items():
        known = picker.ensemble(name) if measured[name] else None
        notes += [f"{name}: {note}" for note in notes_of(former_tables, opened.reading.used, known)]
    if not measured[picker.main]:
        notes.append(f"{picker.main} is not measured yet: the picks are spread over the table")
    else:
        notes += [f"{name} is not measured yet and is left out of account" for name in aims if not measured[name]]
    front = tuple(Best(tuple(opened.measured[p][0] for p in c.places), c.values) for c in picker.front())
    matters: dict[str, dict[str, float]] = {}
    credits: list[dict[str, dict[str, float]]] = []
    if why:
        known_targets = [name for name in aims if measured[name]]
        matters = {name: relevance(picker.ensemble(name), picker.rows(name)) for name in known_targets}
        credits = [
            {name: contributions(picker.ensemble(name), p.row, picker.rows(name)) for name in known_targets}
            for p in picks
        ]
    pairs = tuple((p, found[p.place]) for p in picks)
    return SeveralResult(
        aims, opened.source.names, pairs, measured, front, tuple(notes), matters, tuple(credits)
    )  # fmt: skip


def pick_several(options: argparse.Namespace) -> int:
    """The command."""
    aims = aims_of(options.target, aim_of(options), options.also)
    result = pick_for_several(
        options.table, aims, options.count, pool=options.pool, ignore=tuple(options.ignore),
        text=tuple(options.text), seed=options.seed, repeat=options.repeat, why=options.why,
        former=tuple(options.former),
    )  # fmt: skip
    if options.out is not None:
        _write(options.out, result)
    if options.json:
        from .commands import print_json

        print_json(_plain(result))
    else:
        _show(Console(), result)
    return 0


def _plain(result: SeveralResult) -> dict[str, Any]:
    picks: list[dict[str, Any]] = [
        {
            "line": candidate.line,
            "row": dict(zip(result.names, candidate.cells, strict=True)),
            "expected": {
                name: None if math.isnan(e.mean) else {"mean": e.mean, "low": e.low, "high": e.high}
                for name, e in pick.expected.items()
            },
            "chance": pick.chance,
            "outside": pick.outside,
            "reason": reason_several(pick, result.aims.values()),
        }
        for pick, candidate in result.picks
    ]
    found: dict[str, Any] = {
        "measured": result.measured,
        "front": [{"lines": list(best.lines), "values": best.values} for best in result.front],
        "picks": picks,
        "notes": list(result.notes),
    }
    if result.matters:
        for entry, credit in zip(picks, result.credits, strict=True):
            entry["adds"] = credit
        found["matters"] = result.matters
    return found


def _show(console: Console, result: SeveralResult) -> None:
    names = [n for n in result.names if n not in result.aims][:SHOWN_COLUMNS]
    table = Table(box=None, pad_edge=False)
    for head in ("", "line", *names):
        table.add_column(head, overflow="fold", justify="right")
    for rank, (_, candidate) in enumerate(result.picks, 1):
        cells = dict(zip(result.names, candidate.cells, strict=True))
        table.add_row(*(Text(c) for c in (str(rank), str(candidate.line), *(cells[n].strip() for n in names))))
    console.print(table)
    for rank, (pick, _) in enumerate(result.picks, 1):
        # Two columns a target would not fit beside the settings.
        found = (
            f"{name} not known yet" if math.isnan(e.mean) else f"{name} {e.mean:.4g} ({e.low:.4g} to {e.high:.4g})"
            for name, e in pick.expected.items()
        )
        console.print(Text(f"{rank}: expected {', '.join(found)}; {reason_several(pick, result.aims.values())}."))
        for name, credit in (result.credits[rank - 1] if result.credits else {}).items():
            adds = ", ".join(f"{column} {value:+.3g}" for column, value in credit.items())
            console.print(Text(f"   {name} against the average of what was measured: {adds}."))
    for name, parts in result.matters.items():
        total = sum(parts.values()) or 1.0
        words = ", ".join(f"{column} {100 * part / total:.0f} %" for column, part in parts.items())
        console.print(Text(f"What matters for {name}, as parts of all that does: {words}."))
    console.print(Text(f"Measured: {', '.join(f'{name} {count}' for name, count in result.measured.items())}."))
    console.print(Text(_best_so_far(result)))
    console.print(Text("In brackets: 90 % intervals of one measurement."))
    for note in result.notes:
        console.print(Text(f"Note: {note}."))


def _best_so_far(result: SeveralResult) -> str:
    if not result.front:
        limits = " and keeps the limits" if any(aim.kind == "within" for aim in result.aims.values()) else ""
        return f"No row has every target measured{limits} yet."
    rows = [
        f"line {', '.join(map(str, best.lines))} ({', '.join(f'{n} {v:.4g}' for n, v in best.values.items())})"
        for best in result.front
    ]
    return f"The best compromises measured so far: {'; '.join(rows)}."


def _write(path: Path, result: SeveralResult) -> None:
    """A CSV file with the picks."""
    names = [n for n in result.names if n not in result.aims]
    ends = [f"{name} {end}" for name in result.aims for end in ("expected", "low", "high")]
    rows = []
    for rank, (pick, candidate) in enumerate(result.picks, 1):
        cells = dict(zip(result.names, candidate.cells, strict=True))
        numbers = [
            "" if math.isnan(v) else repr(v) for e in pick.expected.values() for v in (e.mean, e.low, e.high)
        ]  # fmt: skip
        chance = "" if pick.chance is None else f"{pick.chance:.4f}"
        why = reason_several(pick, result.aims.values())
        rows.append([rank, candidate.line, *(cells[n] for n in names), *numbers, chance, why])
    write_csv(path, ["rank", "line", *names, *ends, "chance", "why"], rows)
