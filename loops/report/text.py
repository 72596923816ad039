"""The campaign in a terminal: plain lines for pipes, a rich panel for people. What is in a file is in `page.py`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..record import CampaignRecord, EvaluatedCrystal
from . import words
from .ranking import crystal_name, headline, ranked
from .results import spent

if TYPE_CHECKING:
    from rich.console import RenderableType

TOP = 5
"""Crystals shown."""


def summary_lines(record: CampaignRecord, top: int = TOP) -> list[str]:
    """What was found, the best crystals, the budget, and where the report is."""
    lines = [headline(record)]
    for rank, crystal in enumerate(ranked(record)[:top], 1):
        mark = "✓" if crystal.meets_goal else " "
        lines.append(f"  {rank}. {mark} {crystal_name(crystal)}: {'; '.join(_values(record, crystal))}")
    lines.extend(_facts(record))
    return lines


def summary_table(record: CampaignRecord, top: int = TOP) -> RenderableType:
    """The same as a rich renderable: headline, table of the best, facts. Nothing in the record is read as markup."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = [Text(headline(record), style="bold")]
    order = ranked(record)
    if order:
        names = _names(record)
        table = Table(caption=Text(f"Measured by {record.method}"), caption_justify="left", title_justify="left")
        for head in ("", "formula", "space group"):
            table.add_column(head)
        for name in names:
            table.add_column(f"{words.label(name)}\n{words.unit(name)}", justify="right")
        table.add_column("round", justify="right")
        table.add_column("goal")
        for rank, crystal in enumerate(order[:top], 1):
            cells = [
                words.number(name, words.stored(name, crystal.values[name]).value) if name in crystal.values else "–"
                for name in names
            ]
            group = f"{crystal.space_group_symbol} ({crystal.space_group})"
            met = Text("✓ meets", style="green") if crystal.meets_goal else Text("–")
            row = [str(rank), words.subscripts(crystal.formula), group, *cells, str(crystal.round)]
            table.add_row(*(Text(cell) for cell in row), met)
        parts.append(table)
    parts.extend(Text(line) for line in _facts(record))
    return Group(*parts)


def _names(record: CampaignRecord) -> list[str]:
    names = list(record.goal.properties)
    if any("energy_above_hull" in crystal.values for crystal in record.evaluated):
        names.append("energy_above_hull")
    return list(dict.fromkeys(names))


def _values(record: CampaignRecord, crystal: EvaluatedCrystal) -> list[str]:
    return [
        f"{words.label(name)} {words.quantity_text(name, crystal.values[name])}"
        for name in _names(record)
        if name in crystal.values
    ]


def _facts(record: CampaignRecord) -> list[str]:
    cost = spent(record)
    lines = []
    if record.hull_statement:
        lines.append(f"Hull: {record.hull_statement}")
    lines.append(
        f"Budget: {cost.evaluations} of {cost.evaluations_budget} evaluations "
        f"({cost.evaluations_reference} references, {cost.evaluations_failed} failed), "
        f"{words.duration(cost.wall_s)} of {record.goal.budget.wall_hours:g} h, "
        f"{words.core_hours(cost.core_s)} core-hours"
    )
    state = f"Status: {record.status}"
    lines.append(f"{state} ({record.stop_reason})" if record.stop_reason else state)
    report = Path(record.directory) / "report.html"
    if report.is_file():
        lines.append(f"Report: {report}")
    return lines
