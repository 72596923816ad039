"""What each command of the command line does. Errors are raised; `cli.py` prints them."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.prompt import Confirm
from rich.table import Table
from rich.text import Text

from ..agent.describe import describe
from ..agent.goal import GoalDefaults, parse_goal
from ..agent.overrides import apply_overrides
from ..agent.providers import BUILTIN
from ..agent.synthesis_words import EXAMPLE, read_synthesis
from ..tools.core.errors import ConfigError, EvaluationError, GoalError, LedgerError, LodestoneError
from ..tools.core.properties import CATALOGUE
from ..tools.core.protocols import Evaluator, Potential
from ..tools.core.synthesis import SynthesisGoal
from ..tools.core.types import Understanding
from .cli import parse_duration
from .limits import within_limits
from .record import CampaignRecord
from .settings import Settings, load_settings, resumed_settings

CAMPAIGNS = Path("campaigns")


def doctor(options: argparse.Namespace) -> int:
    """One line a capability."""
    from .doctor import checks

    found = checks(_settings(options))
    if options.json:
        print_json([c.model_dump(mode="json") for c in found])
        return 0
    console = Console()
    marks = {True: "[green]ok[/green]", False: "[red]missing[/red]", None: "[yellow]optional[/yellow]"}
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for check in found:
        text = check.detail + (f" → {check.remedy}" if check.remedy else "")
        table.add_row(marks[check.ok], Text(check.name), Text(text))
    console.print(table)
    return 0


def goal(options: argparse.Namespace) -> int:
    """What is understood of a request; or what can be asked for."""
    if options.properties:
        return _properties(options.json)
    settings = _settings(options)
    synthesis = _read_synthesis(options.words, settings)
    if synthesis is not None:
        from .synthesis.commands import show_goal

        if options.json:
            print_json(synthesis.model_dump(mode="json"))
        else:
            show_goal(Console(), synthesis)
        return 0
    understanding = understand(options.words, settings)
    if options.json:
        print_json({**understanding.model_dump(mode="json"), "digest": understanding.goal.digest()})
    else:
        _show_goal(Console(), understanding)
    return 0


def _properties(as_json: bool) -> int:
    if as_json:
        print_json([row.model_dump(mode="json") for row in CATALOGUE.values()])
        return 0
    table = Table(box=None, pad_edge=False)
    for head in ("property", "unit", "also", "yielded by", "meaning"):
        table.add_column(head, overflow="fold")
    for row in CATALOGUE.values():
        also = ", ".join(words[0].replace("*", "") for words in row.synonyms.values())
        sources = ", ".join(f"{s.by} ({s.fidelity}, {s.core_s_per_atom:g} core-s/atom)" for s in row.sources)
        table.add_row(*(Text(cell) for cell in (row.label, row.unit, also, sources, row.meaning)))
    Console().print(table)
    return 0


def run(options: argparse.Namespace) -> int:
    """Understand, ask once, run, report."""
    settings = _settings(options, {} if options.former is None else {"surrogate.former": options.former})
    synthesis = _read_synthesis(options.words, settings)
    if synthesis is not None:
        from .synthesis.commands import run as make

        return make(options, synthesis, settings, options.dir or free_directory(synthesis.text))
    if options.evaluator == "lab":
        raise GoalError("The laboratory makes one named compound.", f"Write e.g. {EXAMPLE}.")
    understanding = apply_overrides(
        _read_request(options.words, settings),
        evaluations=options.evaluations,
        wall_hours=parse_duration(options.wall) if options.wall else None,
        rounds=options.rounds,
        core_hours=options.core_hours,
        money=options.money,
        seed=options.seed,
        evaluator=options.evaluator,
    )
    understanding = within_limits(understanding, settings.limits)
    if understanding.goal.budget.money is not None and not (
        settings.costs.per_core_hour or settings.costs.per_evaluation
    ):
        raise ConfigError(
            "The goal has a budget of money, and nothing has a price.",
            "Set per_core_hour or per_evaluation in [costs].",
        )
    console = _console(options)
    _show_goal(console, understanding)
    directory = options.dir or free_directory(understanding.goal.text)
    options.directory = directory
    from .wiring import build_parts, choose_evaluator, choose_scout

    evaluator = choose_evaluator(understanding.goal, settings, directory)
    scout = choose_scout(evaluator, settings, directory)
    who = f"Evaluator: {evaluator.name}, {evaluator.method}."
    if scout is not None:
        who += f"\nSecond opinions: {scout.name}, {scout.method}."
    console.print(Text(f"{who}\nCampaign directory: {directory}\n"))
    if not options.yes:
        if not sys.stdin.isatty():
            raise GoalError("Nobody is here to confirm the goal.", "Add --yes to run without asking.")
        if not Confirm.ask("Run this campaign?", default=True, console=console):
            return 0
    from .campaign import Campaign

    parts = build_parts(understanding.goal, settings, evaluator, scout)
    campaign = Campaign.create(directory, understanding, settings, parts)
    return _drive(campaign, parts, options)


def resume(options: argparse.Namespace) -> int:
    """Go on where the ledger says."""
    from .synthesis.commands import is_synthesis
    from .synthesis.commands import resume as go_on

    if is_synthesis(options.directory):
        return go_on(options)
    from .campaign import Campaign
    from .wiring import build_parts

    campaign = Campaign.open(options.directory)
    try:
        settings = resumed_settings(campaign.ledger.meta("settings"), _settings(options))
        name = str(campaign.ledger.meta("evaluator"))
        evaluator = _same(name, str(campaign.ledger.meta("evaluator_version")), settings, campaign.directory)
        told = campaign.ledger.meta("scout")
        scout = _same(told["name"], told["version"], settings, campaign.directory) if told else None
        parts = build_parts(campaign.goal, settings, evaluator, scout)
        _same_weights(campaign.ledger.meta("potential_record"), parts.potential)
    except BaseException:
        campaign.close()
        raise
    return _drive(campaign, parts, options)


def _same(name: str, version: str, settings: Settings, directory: Path) -> Evaluator:
    """The evaluator with which a campaign began, of the same version."""
    from .wiring import evaluator_by_name

    found = evaluator_by_name(name, settings, directory)
    if found.version != version:
        raise LedgerError(
            f"This campaign was evaluated with {name} {version}; {found.version} is installed now.",
            "Numbers of two versions do not mix: install the old one, or start a new campaign.",
        )
    return found


def _same_weights(told: dict[str, Any] | None, potential: Potential) -> None:
    """Whether the potential is the one with which a campaign began; older campaigns say nothing about it."""
    if told and (told["name"], told["sha256"]) != (potential.name, potential.record.sha256):
        raise LedgerError(
            f"This campaign relaxed with {told['name']} (weights {told['sha256'][:12] or 'unknown'}); "
            f"here are {potential.name} ({potential.record.sha256[:12] or 'unknown'}).",
            "Energies of two potentials do not mix: bring its weights back, or start a new campaign.",
        )


def status(options: argparse.Namespace) -> int:
    """Where a campaign stands; works while another process runs it."""
    from .summary import summarise, summary_text

    found = summarise(options.directory)
    if options.json:
        print_json(found.model_dump(mode="json"))
    else:
        print(summary_text(found))
    return 0


def explain(options: argparse.Namespace) -> int:
    """Why one crystal was chosen."""
    from .explain import explain as explained
    from .synthesis.commands import explain as explain_synthesis
    from .synthesis.commands import is_synthesis

    if is_synthesis(options.directory):
        return explain_synthesis(options)

    found = explained(options.directory, options.which)
    if options.json:
        print_json(found.model_dump(mode="json"))
    else:
        for line in found.lines:
            print(line)
    return 0


def report(options: argparse.Namespace) -> int:
    """Write the report again."""
    from .synthesis.commands import is_synthesis
    from .synthesis.commands import report as report_synthesis

    if is_synthesis(options.directory):
        return report_synthesis(options)
    path = write_campaign_report(options.directory)
    if options.json:
        print_json({"report": str(path)})
    else:
        print(path)
    return 0


def make(options: argparse.Namespace) -> int:
    """Make a computed crystal in a laboratory."""
    from .synthesis.commands import make as make_computed

    return make_computed(options)


def serve(options: argparse.Namespace) -> int:
    """Look after campaigns."""
    from .service_commands import serve as run_service

    return run_service(options, _settings(options))


def control(options: argparse.Namespace) -> int:
    """Say what is wanted of a campaign that a service looks after."""
    from .service_commands import control as say

    return say(options)


pause = start = stop = priority = control


def notify(options: argparse.Namespace) -> int:
    """Send a test message over every channel."""
    from .notify.notifier import try_channels

    sent = try_channels(_settings(options).notify, os.environ)
    if options.json:
        print_json([{"channel": d.channel, "where": d.where, **d.outcome.model_dump(mode="json")} for d in sent])
    else:
        for delivery in sent:
            word = "delivered" if delivery.outcome.delivered else "not delivered"
            print(f"{delivery.channel} ({delivery.where}): {word}, {delivery.outcome.detail}")
    return 0 if all(d.outcome.delivered for d in sent) else ConfigError.exit_code


def ledger(options: argparse.Namespace) -> int:
    """Look after a ledger."""
    from .ledger_commands import run as run_ledger_command

    return run_ledger_command(options)


def export(options: argparse.Namespace) -> int:
    """Write the evaluated crystals as files."""
    from .history import build_record
    from .report.export import export as export_record
    from .synthesis.commands import is_synthesis

    if is_synthesis(options.directory):
        raise GoalError(
            "A synthesis campaign has samples, no computed crystals, to export.",
            f"Its data are {options.directory / 'results.json'} and {options.directory / 'jobs' / 'lab'}.",
        )

    record = build_record(options.directory)
    paths = export_record(record, options.format, options.out or options.directory / "export")
    if options.json:
        print_json({"files": [str(p) for p in paths]})
    else:
        for path in paths:
            print(path)
        if not paths:
            print("No crystal has been evaluated yet.", file=sys.stderr)
    return 0


def write_campaign_report(directory: Path) -> Path:
    """Report, results and CIFs of a campaign, written into its directory."""
    from .history import build_record
    from .report.page import write_report

    return write_report(build_record(directory), directory)


# --- shared ---------------------------------------------------------------------------------------


def _drive(campaign: Any, parts: Any, options: argparse.Namespace) -> int:
    from .chronometer import active_seconds
    from .history import build_record
    from .live import LiveView
    from .report.results import make_results
    from .telling import Teller

    console = _console(options)
    teller = Teller(campaign.directory, parts.settings)
    try:
        view = LiveView(
            console, campaign.goal, parts.evaluator.name, active_seconds(campaign.ledger), tell=teller.person
        )
        try:
            with view:
                reason = campaign.run(parts, view)
        except KeyboardInterrupt:
            running = campaign.ledger.evaluations(states=("RUNNING",))
            if running:
                console.print(f"{len(running)} evaluations go on in the background; `lodestone resume` collects them.")
            raise
        path = write_campaign_report(campaign.directory)
        teller.finished(reason)
    except LodestoneError as error:
        teller.failed(error)
        raise
    finally:
        campaign.close()
        parts.close()
        teller.close()
    record = build_record(campaign.directory)
    # A campaign that paid and got nothing has run to its end, but a script must notice.
    code = EvaluationError.exit_code if record.evaluations_failed == record.evaluations_spent > 0 else 0
    if options.json:
        print_json(make_results(record).model_dump(mode="json"))
        return code
    console.print(Text(f"Ended: {reason}\n"))
    _show_summary(console, record)
    console.print(Text(f"\nReport: {path}"))
    return code


def _settings(options: argparse.Namespace, overrides: Mapping[str, Any] | None = None) -> Settings:
    return load_settings(options.config, os.environ, overrides or {})


def understand(words: str, settings: Settings) -> Understanding:
    """The goal in a request, with the settings' defaults and within the operator's limits."""
    return within_limits(_read_request(words, settings), settings.limits)


def _read_synthesis(words: str, settings: Settings) -> SynthesisGoal | None:
    return read_synthesis(words, settings.laboratory.experiments, settings.campaign.wall_hours, settings.campaign.seed)


def _read_request(words: str, settings: Settings) -> Understanding:
    c, limits = settings.campaign, settings.limits
    defaults = GoalDefaults(
        evaluations=min(c.evaluations, limits.evaluations or c.evaluations),
        wall_hours=min(c.wall_hours, limits.wall_hours or c.wall_hours),
        rounds=c.rounds,
        max_atoms=c.max_atoms,
        evaluator=settings.evaluators.default,
        seed=c.seed,
        patience=c.patience,
    )
    if {settings.planner.model, settings.planner.fallback} <= {"", BUILTIN}:
        return parse_goal(words, defaults)
    from .planner_tools import Toolbox
    from .wiring import planner_for

    return planner_for(settings, Toolbox()).specify(words, defaults.model_dump())


def _show_goal(console: Console, understanding: Understanding) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in describe(understanding):
        table.add_row(Text(name), Text(text))
    console.print(table)
    console.print()


def _show_summary(console: Console, record: CampaignRecord) -> None:
    from .report.text import summary_lines, summary_table

    if console.is_terminal:
        console.print(summary_table(record))
    else:
        for line in summary_lines(record):
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _console(options: argparse.Namespace) -> Console:
    # With --json, standard output carries JSON alone.
    return Console(stderr=bool(options.json), highlight=False)


def free_directory(text: str) -> Path:
    """A new folder among the campaigns, named after a request. Raises ConfigError."""
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-") or "campaign"
    for number in range(1, 10_000):
        directory = CAMPAIGNS / (slug if number == 1 else f"{slug}-{number}")
        if not directory.exists():
            return directory
    raise ConfigError(f"{CAMPAIGNS} is full of campaigns named {slug}.", "Give --dir.")


def print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False))
