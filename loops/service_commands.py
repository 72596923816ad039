"""What `lodestone serve`, `pause`, `start`, `stop` and `priority` do."""

from __future__ import annotations

import argparse
import os
import threading
import time
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..tools.core.errors import LedgerError, LodestoneError
from ..tools.evaluate.job import JobStore
from .commands import print_json
from .ledger import Ledger, holds_ledger
from .lock import CampaignLock
from .notify.digest import DailyDigest
from .notify.digest import Summary as DigestSummary
from .notify.message import Kind, Notification
from .notify.notifier import Notifier
from .service.child import resume_with
from .service.control import read_control, write_control
from .service.state import STATE_NAME, ServiceEvent, ServiceState
from .service.supervisor import Supervisor, handle_signals
from .service.unit import install_unit
from .settings import Settings
from .summary import summarise

DIGEST_EVERY_S = 600.0
PREFECT = ".prefect"
"""Folder of the shared server, below the root; its token is in the file `auth`."""

ACTIONS = "lodestone.loops.service.actions:act"


def serve(options: argparse.Namespace, settings: Settings) -> int:
    """Look after every campaign below a folder until told to stop."""
    root: Path = options.root
    if options.status:
        return _status(root, options.json)
    if options.install_unit:
        path, commands = install_unit(root, config=options.config)
        print(f"Wrote {path}. Switch it on with:")
        for command in commands:
            print(f"  {command}")
        return 0
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(f"Cannot create {root}: {error.strerror}.", "Choose another folder.") from error
    lock = CampaignLock(root)
    lock.acquire()
    try:
        with Notifier(root, settings.notify) as notifier:
            _serve(root, settings, notifier, options.config)
    finally:
        lock.release()
    return 0


def _serve(root: Path, settings: Settings, notifier: Notifier, config: Path | None) -> None:
    def tell(event: ServiceEvent) -> None:
        print(f"{datetime.now():%Y-%m-%d %H:%M:%S} {event.campaign}: {event.kind}: {event.what}", flush=True)
        kind: Kind = "success" if event.kind == "resumed" else "person"
        notifier.send(
            Notification.make(
                kind,
                str((root / event.campaign).resolve()),
                f"{event.kind} {event.what} {time.time():.0f}",
                title=f"{event.campaign}: {event.kind}",
                text=f"{event.what}\n\nGo on with: lodestone start {root / event.campaign}",
                at=datetime.now().astimezone(),
            )
        )

    digest = DailyDigest(root, root, settings.notify, notifier, _for_digest, holds_ledger)
    supervisor = Supervisor(root, settings.service, tell, launch=resume_with(config), cancel=cancel_jobs)
    handle_signals(supervisor)
    print(f"Looking after campaigns in {root.resolve()} (process {os.getpid()}). Ctrl-C stops cleanly.", flush=True)
    next_digest = time.monotonic()
    ended = threading.Event()
    shown = threading.Thread(target=_show, args=(root, settings, ended), name="prefect", daemon=True)
    if settings.prefect.enabled:
        os.environ["LODESTONE_PREFECT__HOME"] = str((root / PREFECT).resolve())
        shown.start()

    def every_step() -> None:
        nonlocal next_digest
        if time.monotonic() >= next_digest:
            next_digest = time.monotonic() + DIGEST_EVERY_S
            digest.tick()

    supervisor.run(every_step)
    ended.set()
    if settings.prefect.enabled:
        shown.join(20.0)


def _show(root: Path, settings: Settings, ended: threading.Event) -> None:
    """Keep the shared Prefect server and what can be pressed in it going; the campaigns do not depend on it."""
    from .prefect_deploy import Deployments
    from .prefect_server import Patience, PrefectServer

    def note(text: str) -> None:
        print(f"{datetime.now():%Y-%m-%d %H:%M:%S} prefect: {text}", flush=True)

    prefect = settings.prefect
    server = PrefectServer((root / PREFECT).resolve(), note, Patience(restart_after_s=prefect.restart_after_s))
    deployments = Deployments(root.resolve(), server, ACTIONS, note, prefect.digest_cron)
    try:
        while not ended.wait(1.0):
            try:
                server.watch()
                deployments.watch()
            except Exception as error:  # noqa: BLE001  whatever Prefect does, the campaigns go on
                note(f"{type(error).__name__}: {str(error)[:200]}")
                ended.wait(30.0)
    finally:
        deployments.stop()
        server.stop()


def control(options: argparse.Namespace) -> int:
    """Write down what a person wants of a campaign."""
    if options.command == "priority":
        said = write_control(options.directory, priority=options.priority)
    else:
        wanted = {"start": "run"}.get(options.command, options.command)
        said = write_control(options.directory, wanted=wanted, reason=options.reason)
    words = {"run": "goes on", "pause": "pauses", "stop": "stops"}[said.wanted]
    served = _is_served(options.directory.resolve().parent)
    if options.json:
        print_json({**said.model_dump(mode="json"), "service": served})
    else:
        print(f"{options.directory}: {words}, priority {said.priority}.")
        if not served:
            print("No service looks after it now: `lodestone serve` does, and `lodestone resume` once.")
    return 0


def cancel_jobs(directory: Path) -> None:
    """End the running evaluations of a campaign; they may be started again on the same reservations."""
    store = JobStore(directory / "jobs")
    for row in Ledger.open(directory, read_only=True).evaluations(states=("SUBMITTING", "RUNNING")):
        try:
            store.cancel(row.key)
        except LodestoneError as error:
            print(f"{directory.name}: {error}", flush=True)


def _is_served(root: Path) -> bool:
    lock = CampaignLock(root)
    try:
        lock.acquire()
    except LedgerError:
        return True
    lock.release()
    return False


def _status(root: Path, as_json: bool) -> int:
    try:
        state = ServiceState.model_validate_json((root / STATE_NAME).read_text())
    except (OSError, ValueError) as error:
        raise LedgerError(f"No service has looked after {root} yet.", f"Start one: lodestone serve {root}") from error
    served = _is_served(root.resolve())
    if as_json:
        print_json({**state.model_dump(mode="json"), "running": served})
        return 0
    console = Console()
    table = Table(box=None, pad_edge=False)
    for head in ("campaign", "state", "process", "cores", "priority", "restarts", "core-hours", "why"):
        table.add_column(head, overflow="fold")
    for c in state.campaigns:
        cells = (c.name, c.state, str(c.pid or "–"), str(c.cores), str(c.priority), str(c.restarts),
                 f"{c.used_core_s / 3600:.2f}", c.why)  # fmt: skip
        table.add_row(*(Text(cell) for cell in cells))
    console.print(table)
    console.print(f"service: process {state.pid}" if served else "service: not running; this is what it last knew")
    return 0


def _for_digest(directory: Path) -> DigestSummary:
    """One campaign, as the daily digest tells it."""
    found = summarise(directory, top=1)
    accounts = {a.resource: a for a in found.accounts}
    evaluations = accounts.get("evaluations")
    best = ""
    if found.best:
        values = ", ".join(f"{name} {value:.4g}" for name, value in found.best[0].values.items())
        best = f"{found.best[0].formula} ({found.best[0].space_group}): {values}"
    paused = read_control(directory).wanted != "run"
    return DigestSummary(
        campaign=directory.name,
        goal=found.request,
        state="finished" if found.status == "finished" else "paused" if paused else "running",
        rounds=found.round,
        evaluations=evaluations.spent if evaluations else 0,
        cap=evaluations.cap if evaluations else None,
        best=best,
        failures=found.failed,
        waits=tuple(f"settle evaluation {key[:12]}" for key in found.unknown),
        changed_at=datetime.fromtimestamp((directory).stat().st_mtime).astimezone(),
    )
