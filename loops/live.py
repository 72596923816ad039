"""The live view of a running campaign in a terminal (rich); plain lines where the output is not a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ..tools.core.plans import RoundPlan
from ..tools.core.properties import get_property
from ..tools.core.types import GoalSpec
from .knowledge import Knowledge
from .view import View

STAGE_WORDS = {
    "references": "relaxing the elements",
    "generate": "generating",
    "relax": "relaxing",
    "surrogate": "choosing",
    "evaluate": "evaluating",
    "retrain": "retraining",
}


class LiveView(View):
    """Round, stage with bar and time left, budget, best so far, and the plan with its reason."""

    def __init__(
        self,
        console: Console,
        goal: GoalSpec,
        evaluator: str,
        active_s: float,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._tell = tell
        self._console = console
        self._goal = goal
        self._evaluator = evaluator
        self._started = time.monotonic() - active_s
        self._plan: RoundPlan | None = None
        self._knowledge: Knowledge | None = None
        self._notes: list[str] = []
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<22}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=console,
        )
        self._task = self._bar.add_task("starting", total=None)
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=4, transient=True)
        self._stage_since = time.monotonic()

    def __enter__(self) -> LiveView:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    # --- told by the loop ----------------------------------------------------------------------

    def planned(self, plan: RoundPlan) -> None:
        """Show the plan; on a plain console print it."""
        self._plan = plan
        shares = ", ".join(f"{name} {share:.0%}" for name, share in plan.shares.items() if share > 0)
        self._line(f"round {plan.round}: {plan.reason} [{shares or 'stop'}; decided by {plan.decided_by}]")

    def stage(self, name: str, total: int) -> None:
        """Start a new bar."""
        self._stage_since = time.monotonic()
        self._bar.reset(self._task, total=total or None, description=STAGE_WORDS.get(name, name))
        if not self._console.is_terminal and total:
            self._line(f"  {STAGE_WORDS.get(name, name)} ({total})")

    def progress(self, done: int, total: int) -> None:
        """Move the bar."""
        self._bar.update(self._task, completed=done, total=total)

    def known(self, knowledge: Knowledge) -> None:
        """Remember the newest knowledge for the panel."""
        self._knowledge = knowledge

    def person(self, text: str) -> None:
        """Note it, and tell whoever is to be told."""
        self.note(text)
        self._tell(text)

    def note(self, text: str) -> None:
        """Keep a note on screen, and print it."""
        self._notes = [*self._notes[-2:], text]
        self._line(f"  note: {text}")

    # --- drawing -------------------------------------------------------------------------------

    def _line(self, text: str) -> None:
        if not self._console.is_terminal:
            self._console.print(Text(text), soft_wrap=True)

    def _render(self) -> Panel:
        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="bold cyan", no_wrap=True)
        rows.add_column(overflow="fold")
        budget = self._goal.budget
        elapsed = time.monotonic() - self._started
        spent = 0 if self._knowledge is None else sum(r.state != "PROPOSED" for r in self._knowledge.evaluations)
        rows.add_row("round", f"{self._plan.round if self._plan else 0} of at most {budget.rounds}")
        rows.add_row(
            "budget",
            f"{spent} of {budget.evaluations} evaluations ({self._evaluator}) · "
            f"{_duration(elapsed)} of {_duration(budget.wall_hours * 3600)}",
        )
        rows.add_row("best so far", Text(self._best()))
        if self._plan is not None:
            rows.add_row("planner", Text(f"{self._plan.reason} ({self._plan.decided_by})"))
        for note in self._notes:
            rows.add_row("note", Text(note, style="yellow"))
        body = Group(rows, Text(), self._bar)
        title = Text(self._goal.text if len(self._goal.text) < 90 else self._goal.text[:87] + "…")
        return Panel(body, title=title, subtitle="Ctrl-C stops cleanly", border_style="cyan", width=None)

    def _best(self) -> str:
        best = self._knowledge.best() if self._knowledge is not None else None
        if best is None:
            return "nothing evaluated yet"
        parts = [f"{best.member.candidate.formula} ({best.member.recognition.space_group_symbol})"]
        names = dict.fromkeys((*self._goal.properties, "energy_above_hull"))
        for name in names:
            if name in best.values:
                parts.append(f"{get_property(name).label} {best.values[name].value:.3f} {get_property(name).unit}")
        return " · ".join(parts)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
