"""What `lodestone ledger …` does: looking after the file that holds the truth."""

from __future__ import annotations

import argparse
import os
import socket

from ..tools.core.errors import LedgerError
from ..tools.core.types import Failure, JobStatus, Observation
from ..tools.evaluate.job import Ended, JobStore
from .commands import print_json
from .ledger import Ledger
from .ledger.backup import backup, restore
from .ledger.bookings import settlement
from .ledger.rows import EvaluationRow
from .ledger.verify import verify
from .lock import CampaignLock
from .settings import load_settings, resumed_settings


def run(options: argparse.Namespace) -> int:
    """Dispatch to one of them."""
    return {
        "verify": _verify, "backup": _backup, "restore": _restore, "migrate": _migrate, "settle": _settle,
    }[options.action](options)  # fmt: skip


def _verify(options: argparse.Namespace) -> int:
    """Everything in the ledger against everything else, and against the job files."""
    ledger = Ledger.open(options.directory, read_only=True)
    found = verify(ledger)
    jobs = JobStore(options.directory / "jobs")
    waiting = [
        row.key
        for row in ledger.evaluations(states=("RESERVED", "SUBMITTING", "RUNNING", "UNKNOWN"))
        if jobs.status(row.key) is JobStatus.DONE
    ]
    accounts = ledger.accounts().values()
    if options.json:
        print_json(
            {
                "events": found.events,
                "evaluations": found.evaluations,
                "finished": found.finished,
                "problems": found.problems,
                "results_to_collect": waiting,
                "accounts": [vars(a) | {"left": a.left} for a in accounts],
            }
        )
    else:
        print(
            f"{found.events} events in an unbroken chain; {found.evaluations} evaluations, {found.finished} finished."
        )
        for a in accounts:
            if a.cap is not None or a.spent or a.reserved:
                cap = "no cap" if a.cap is None else f"cap {a.cap}, {a.left} left"
                print(f"{a.resource}: {a.spent} spent, {a.reserved} reserved, {cap}")
        if waiting:
            print(f"{len(waiting)} results are finished and not yet recorded; `lodestone resume` collects them.")
        for problem in found.problems:
            print(f"problem: {problem}")
    if found.problems:
        raise LedgerError(
            f"{len(found.problems)} contradictions in {options.directory}.",
            "Stop the campaign and restore a copy with `lodestone ledger restore`.",
        )
    return 0


def _backup(options: argparse.Namespace) -> int:
    """A verified copy, while the campaign runs."""
    events = backup(Ledger.open(options.directory, read_only=True), options.file)
    print_json({"file": str(options.file), "events": events}) if options.json else print(
        f"{options.file}: {events} events, verified."
    )
    return 0


def _restore(options: argparse.Namespace) -> int:
    """Put a copy in place; job results that are newer than the copy are collected by `resume`."""
    lock = CampaignLock(options.directory)
    lock.acquire()
    try:
        restore(options.file, options.directory)
        events = Ledger.open(options.directory).verify()
    finally:
        lock.release()
    print(f"Restored {events} events. The replaced ledger is kept beside it as ledger.sqlite.replaced-N.")
    return 0


def _migrate(options: argparse.Namespace) -> int:
    """Bring it up to date; `resume` does the same."""
    lock = CampaignLock(options.directory)
    lock.acquire()
    try:
        version = Ledger.open(options.directory).meta("schema_version")
    finally:
        lock.release()
    print(f"{options.directory} has ledger version {version}.")
    return 0


def _settle(options: argparse.Namespace) -> int:
    """A person says what became of an evaluation of which no program can know it."""
    lock = CampaignLock(options.directory)
    lock.acquire()
    try:
        ledger = Ledger.open(options.directory)
        ledger.take_over(os.getpid(), socket.gethostname())
        row = _unknown(ledger, options.key)
        store = JobStore(options.directory / "jobs")
        if options.what == "failed":
            told = ledger.meta("scout") if row.request.purpose == "opinion" else None
            who = told or {
                "name": ledger.meta("evaluator"),
                "version": ledger.meta("evaluator_version"),
                "method": ledger.meta("method"),
            }
            failure = Failure(stage="evaluate", reason="settled by a person: it did not give a result")
            observation = Observation(
                key=row.key,
                candidate_id=row.request.candidate_id,
                evaluator=f"{who['name']}-{who['version']}",
                method=str(who["method"]),
                fidelity=ledger.fidelity(row.key),
                purpose=row.request.purpose,
                failure=failure,
            )
            settings = resumed_settings(ledger.meta("settings"), load_settings(None, os.environ, {}))
            # What it really used is not known: it is charged as if it had used all that was reserved.
            reserved = {k: v for k, v in settlement(observation, settings.costs.prices()).items() if k != "core_s"}
            ledger.record(observation, row.round, {k: v for k, v in reserved.items() if k != "money"})
        else:
            number = store.attempts(row.key)
            if number:
                store.end(row.key, number, Ended(reason="a person said that it does not run any more"))
            ledger.reopen(row.key)
    finally:
        lock.release()
    print(f"{row.key[:12]}: {'failed, and charged' if options.what == 'failed' else 'will be started again'}.")
    return 0


def _unknown(ledger: Ledger, start: str) -> EvaluationRow:
    rows = [r for r in ledger.evaluations(states=("UNKNOWN",)) if r.key.startswith(start.lower())]
    if len(rows) != 1:
        keys = ", ".join(r.key[:12] for r in ledger.evaluations(states=("UNKNOWN",))) or "none"
        raise LedgerError(
            f"{len(rows)} evaluations of unknown state have a key that starts with '{start[:64]}'.",
            f"There are: {keys}.",
        )
    return rows[0]
