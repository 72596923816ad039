"""What the commands do for a campaign that makes one compound. Errors are raised; `cli.py` prints them."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from rich.console import Console
from rich.prompt import Confirm
from rich.table import Table
from rich.text import Text

from ...tools.core.errors import EvaluationError, GoalError, LodestoneError
from ...tools.core.synthesis import SynthesisGoal
from ..ledger import Ledger, holds_ledger
from ..settings import Settings, load_settings, resumed_settings
from ..summary import SYNTHESIS
from .campaign import SynthesisCampaign
from .experiments import best_of
from .predicted import goal_from, prediction_words
from .report import read_record, results_of, write_synthesis_report
from .view import SynthesisView, line_of


def is_synthesis(directory: Path) -> bool:
    """Whether a directory holds a campaign of this kind; False also where it holds none."""
    return holds_ledger(directory) and Ledger.open(directory, read_only=True).meta("kind") == SYNTHESIS


def show_goal(console: Console, goal: SynthesisGoal) -> None:
    """What is understood, as a table."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column(overflow="fold")
    purity = f"at least {100 * goal.purity:.0f} % by weight, glass counted, and nothing unknown in the pattern"
    for name, text in (
        ("make", goal.target),
        *([("predicted", prediction_words(goal.predicted))] if goal.predicted else []),
        ("reached", purity),
        ("budget", f"{goal.experiments} experiments, {goal.wall_hours:g} h"),
        ("evaluator", "lab"),
    ):
        table.add_row(Text(name), Text(text))
    console.print(table)
    console.print()


def make(options: argparse.Namespace) -> int:
    """Make a crystal that another campaign computed."""
    from ..commands import free_directory

    settings = load_settings(options.config, os.environ, {})
    if is_synthesis(options.former):
        raise GoalError(f"{options.former} made samples; it computed no crystal.", "Name a campaign that searched.")
    goal = goal_from(options.former, options.which, settings, options.purity)
    directory = options.dir or free_directory(f"make {goal.target}")
    return run(options, goal, settings, directory)


def run(options: argparse.Namespace, goal: SynthesisGoal, settings: Settings, directory: Path) -> int:
    """Ask once, make samples, report."""
    if options.evaluator not in (None, "auto", "lab"):
        raise GoalError(f"'{options.evaluator}' makes nothing.", "Leave --evaluator out, or say lab.")
    said = {"experiments": options.evaluations, "seed": options.seed}
    if options.wall:
        from ..cli import parse_duration

        said["wall_hours"] = parse_duration(options.wall)
    goal = SynthesisGoal.model_validate(goal.model_dump() | {k: v for k, v in said.items() if v is not None})
    console = Console(stderr=bool(options.json), highlight=False)
    show_goal(console, goal)
    options.directory = directory
    where = settings.laboratory.directory or "a twin inside the campaign: simulated, nothing is moved"
    console.print(Text(f"Laboratory: {where}\nCampaign directory: {directory}\n"), soft_wrap=True)
    if not options.yes:
        if not sys.stdin.isatty():
            raise GoalError("Nobody is here to confirm the goal.", "Add --yes to run without asking.")
        if not Confirm.ask("Make these samples?", default=True, console=console):
            return 0
    return _drive(SynthesisCampaign.create(directory, goal, settings), settings, options, console)


def resume(options: argparse.Namespace) -> int:
    """Go on where the ledger says."""
    stored = Ledger.open(options.directory, read_only=True).meta("settings")
    settings = resumed_settings(stored, load_settings(options.config, os.environ, {}))
    console = Console(stderr=bool(options.json), highlight=False)
    return _drive(SynthesisCampaign.open(options.directory, settings), settings, options, console)


def report(options: argparse.Namespace) -> int:
    """Write the report again."""
    from ..commands import print_json

    path = write_synthesis_report(options.directory)
    if options.json:
        print_json({"report": str(path)})
    else:
        print(path)
    return 0


def explain(options: argparse.Namespace) -> int:
    """Why one experiment was made: its number, or the best one."""
    from ..commands import print_json

    record = read_record(options.directory)
    best = best_of(record.experiments)
    wanted = options.which or ("" if best is None else str(best.number))
    found = next((e for e in record.experiments if str(e.number) == wanted), None)
    if found is None:
        raise GoalError(
            f"This campaign has no experiment '{wanted}'.", f"Give a number from 1 to {len(record.experiments)}."
        )
    lines = [line_of(found, record.goal).strip(), f"chosen because: {found.row.why}"]
    if options.json:
        print_json({"experiment": found.number, "lines": lines})
    else:
        print("\n".join(lines))
    return 0


def _drive(campaign: SynthesisCampaign, settings: Settings, options: argparse.Namespace, console: Console) -> int:
    from ..commands import print_json
    from ..telling import Teller

    teller = Teller(campaign.directory, settings)
    try:
        view = SynthesisView(console, campaign.goal, campaign.evaluator, teller.person)
        try:
            with view:
                reason = campaign.run(settings, view)
        except KeyboardInterrupt:
            if campaign.evaluator.working():
                console.print("Samples that are under way are finished; `lodestone resume` collects them.")
            raise
        path = write_synthesis_report(campaign.directory)
        teller.finished(reason)
    except LodestoneError as error:
        teller.failed(error)
        raise
    finally:
        campaign.close()
        teller.close()
    record = read_record(campaign.directory)
    made = [e for e in record.experiments if e.result is not None]
    code = EvaluationError.exit_code if made and all(e.reading is None for e in made) else 0
    if options.json:
        print_json(results_of(record).model_dump(mode="json"))
        return code
    console.print(Text(f"Ended: {reason}"), soft_wrap=True)
    console.print(Text(f"Report: {path}"), soft_wrap=True)
    return code


def remarks(directory: Path) -> tuple[tuple[str, ...], int]:
    """The experiments of a campaign, a line each, and how many of them are what was asked for."""
    record = read_record(directory)
    lines = []
    for one in record.experiments:
        if one.result is not None:
            lines.append(line_of(one, record.goal))
        elif one.row.state == "UNKNOWN" and (asked := record.evaluator.question(one.row.key)):
            lines.append(f"{one.number:>3}  {asked}")
        else:
            lines.append(f"{one.number:>3}  under way")
    return tuple(lines), sum(e.reaches(record.goal) for e in record.experiments)
