"""`lodestone pick --former`: tables of earlier campaigns or other laboratories that the present one learns from.

What is not here: what is made of them (`surrogate/tables/former.py`), and the present table (`pick.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..surrogate.tables import Aim, Former, Survey, Value, learn_former
from ..tools.core.errors import ToolError
from .tablefile import Reading, TableFile, is_blank, number

if TYPE_CHECKING:
    from ..surrogate.tables.ensemble import Ensemble
    from .pick import Opened

MOST_ROWS = 2000
"""Measured rows of a former table that are learned from: the latest ones, which stand at its end."""


def read_formers(
    paths: Sequence[Path], opened: Opened, aims: Mapping[str, Aim], text: Sequence[str], seed: int
) -> dict[str, list[Former]]:
    """Target to what former tables teach of it.

    Args:
        paths: files with a header, in which at least one target and one setting of the present table are columns.
        opened: the present table.
        aims: by target.
        text: columns that are neither numbers nor formulas.
        seed: of the sample of hyperparameters.

    Raises:
        ToolError: with what is wrong in which file and what to do.
    """
    found: dict[str, list[Former]] = {target: [] for target in aims}
    for path in paths:
        file = TableFile.open(path)
        shared = [n for n in opened.reading.used if n in file.names]
        targets = [t for t in aims if t in file.names]
        if not shared or not targets:
            wanted = "a setting" if not shared else "a target"
            raise ToolError(
                f"The former table {path} has no column that is {wanted} of {opened.file.path}.",
                f"Name its columns alike: settings {', '.join(opened.reading.used)}; target {', '.join(aims)}.",
            )
        said = [n for n in text if n in shared]
        reading = Reading(file, shared, said)
        for line, cells in file.rows():
            reading.see(line, cells)
        reading.settle()
        survey = Survey(shared, said)
        places = [opened.reading.used.index(n) for n in shared]
        for rows in (opened.rows(), opened.stream()):
            survey.add(tuple(row[p] for p in places) for row in rows)
        survey.add(reading.values(cells) for _, cells in file.rows())
        space = survey.space()
        for target in targets:
            rows, values = _measured(file, reading, target)
            maximise = aims[target].high_is_good
            former = learn_former(str(path), opened.reading.used, space, rows, values, maximise=maximise, seed=seed)
            found[target].append(former)
    return found


def notes_of(formers: Sequence[Former], used: Sequence[str], ensemble: Ensemble | None) -> list[str]:
    """What a user should know of them, in words; `ensemble` is what is believed by now, if anything is measured."""
    notes = []
    for former in formers:
        lacking = [n for i, n in enumerate(used) if i not in former.places]
        without = f", which lacks {', '.join(lacking)}" if lacking else ""
        note = f"learned from {former.measured} measured rows of {former.name}{without}"
        if ensemble is not None:
            pairs = zip(ensemble.encodings, ensemble.weights.tolist(), strict=True)
            share = sum(weight for encoding, weight in pairs if encoding.former is former)
            note += f"; judged by the present measurements, its part in the predictions is {100 * share:.0f} %"
        notes.append(note)
    return notes


def _measured(file: TableFile, reading: Reading, target: str) -> tuple[list[tuple[Value, ...]], list[float]]:
    rows: list[tuple[Value, ...]] = []
    values: list[float] = []
    place = file.index(target)
    for line, cells in file.rows():
        if is_blank(cells[place]):
            continue
        value = number(cells[place])
        if value is None:
            raise ToolError(
                f"Line {line} of {file.path} has {cells[place].strip()[:40]!r} in {target!r}.",
                "Give a finite number, or leave it blank.",
            )
        rows.append(reading.values(cells))
        values.append(value)
    return rows[-MOST_ROWS:], values[-MOST_ROWS:]
