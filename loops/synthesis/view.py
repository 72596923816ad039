"""The live view of a synthesis campaign: experiments as they come, and what the instruments do meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ...tools.core.synthesis import SynthesisGoal
from ...tools.lab.evaluator import PRESENT, LabEvaluator
from ...tools.lab.station import Told
from ..view import View
from .experiments import UNKNOWN, Experiment, conditions_of

STALE_S = 30.0
"""Age from which on what the station told is not shown as the present."""
ROWS = 12


class SynthesisView(View):
    """A table that grows, where the output is a terminal; else a line for each experiment.

    Args:
        console: to write on.
        goal: of the campaign.
        evaluator: whose instruments are watched.
        tell: told what only a person can settle.
    """

    def __init__(
        self,
        console: Console,
        goal: SynthesisGoal,
        evaluator: LabEvaluator,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._console, self._goal, self._evaluator, self._tell = console, goal, evaluator, tell
        self._experiments: Sequence[Experiment] = ()
        self._told: set[int] = set()
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=2, transient=True)

    def __enter__(self) -> SynthesisView:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def experiments(self, found: Sequence[Experiment]) -> None:
        """What is known has changed."""
        self._experiments = found
        for one in found:
            if one.result is not None and one.number not in self._told:
                self._told.add(one.number)
                self._console.print(Text(line_of(one, self._goal)), soft_wrap=True)

    def note(self, text: str) -> None:
        """A line."""
        self._console.print(Text(text), soft_wrap=True)

    def person(self, text: str) -> None:
        """A line, and a message."""
        self.note(text)
        self._tell(text)

    def _render(self) -> Group:
        under_way = [e for e in self._experiments if e.result is None]
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True, style="bold cyan")
        table.add_column(overflow="fold")
        for one in under_way[:ROWS]:
            table.add_row(Text(f"experiment {one.number}"), Text(conditions_of(one.recipe)))
        told = self._evaluator.told()
        if told is not None and time.time() - told.at_s < STALE_S:
            for name, words in instruments(told):
                table.add_row(Text(name), Text(words))
        return Group(table)


def line_of(one: Experiment, goal: SynthesisGoal) -> str:
    """One experiment in a line."""
    powders = " + ".join(p.formula for p in one.recipe.powders)
    head = f"{one.number:>3}  {powders}, {conditions_of(one.recipe)}"
    if one.identification is None:
        return f"{head}: nothing measured, {one.failure}"
    mark = "  ✓" if one.reaches(goal) else ""
    return f"{head}: {phases_of(one, goal)}{mark}"


def phases_of(one: Experiment, goal: SynthesisGoal) -> str:
    """What was found in a sample, in words; by the crystal's name where only one crystal of a composition counts."""
    found = one.identification
    if found is None:
        return ""
    rest = 1.0 - (found.amorphous_fraction or 0.0)
    parts = [
        f"{p.phase_id if goal.predicted else p.formula} {100 * rest * p.weight_fraction:.0f} %"
        for p in found.phases
        if p.probability >= PRESENT
    ]
    if found.amorphous_fraction and found.amorphous_fraction >= 0.01:
        parts.append(f"glass {100 * found.amorphous_fraction:.0f} %")
    if found.unknown_probability >= UNKNOWN:
        parts.append("something unknown")
    return ", ".join(parts) or "no crystal"


def instruments(told: Told) -> list[tuple[str, str]]:
    """Name of each instrument and what it does."""
    rows = []
    standing = {s.place: s.sample for beat in told.instruments for s in beat.samples}
    for beat in told.instruments:
        words = []
        if beat.furnace is not None:
            words.append(
                f"{max(beat.furnace.thermocouples_k):.0f} K, {beat.furnace.atmosphere}, door {beat.furnace.door}"
            )
            if beat.instrument in standing:
                words.append(f"holds {standing[beat.instrument]}")
        words.append("busy" if beat.busy_with else "free")
        if beat.questions:
            words.append(f"asks: {beat.questions[0].text}")
        rows.append((beat.instrument, ", ".join(words)))
    if told.stop is not None:
        rows.append(("stop", f"latched: {told.stop.reason}"))
    return rows
