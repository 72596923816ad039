"""What `lodestone potential …` does: which versions of the potential a campaign has, and going back to one."""

from __future__ import annotations

import argparse
import os
import socket
from typing import Any

from ..tools.core.errors import LedgerError
from .commands import print_json
from .ledger import Ledger
from .lock import CampaignLock
from .settings import load_settings, resumed_settings
from .versions import ORIGINAL, Version, active, change_over, held, hold, versions, weights_of
from .wiring import potential_for

AUTO = "auto"


def potential(options: argparse.Namespace) -> int:
    """List the versions, or put one into force."""
    if options.use is not None:
        lock = CampaignLock(options.directory)
        lock.acquire()
        try:
            _use(options)
        finally:
            lock.release()
    ledger = Ledger.open(options.directory, read_only=True)
    rows = _rows(ledger)
    if options.json:
        print_json({"versions": rows, "fixed": held(ledger), "rounds": _rounds(ledger)})
        return 0
    for row in rows:
        mark = "*" if row["in_force"] else " "
        print(f"{mark} {row['name']}: {row['words']}")
    for line in _rounds(ledger):
        print(f"  round {line['round']}: {line['words']}")
    print("A person has fixed the version; `--use auto` lets it learn again." if held(ledger) else "* in force")
    return 0


def _use(options: argparse.Namespace) -> None:
    ledger = Ledger.open(options.directory)
    if options.use == AUTO:
        ledger.take_over(os.getpid(), socket.gethostname())
        return hold(ledger, False)
    known = {version.name: version for version in versions(ledger)}
    if options.use not in known:
        raise LedgerError(f"There is no version '{options.use}' here.", f"Known: {', '.join(known)}, {AUTO}.")
    version = known[options.use]
    settings = resumed_settings(ledger.meta("settings", {}), load_settings(options.config, os.environ, {}))
    weights = weights_of(options.directory, version, settings.relax.model)
    if weights is not None:
        settings = settings.model_copy(update={"relax": settings.relax.model_copy(update={"model": str(weights)})})
    ledger.take_over(os.getpid(), socket.gethostname())
    last = ledger.last_plan()
    change_over(ledger, potential_for(settings), version, 0 if last is None else last[0].round)
    return hold(ledger, True)


def _rows(ledger: Ledger) -> list[dict[str, Any]]:
    current = active(ledger).name
    learned = {e["version"]: e for e in ledger.events("learned") if "version" in e and "after" in e}
    return [
        {
            **version.model_dump(mode="json"),
            "in_force": version.name == current,
            "words": _words(version, learned.get(version.name)),
        }
        for version in versions(ledger)
    ]


def _words(version: Version, event: dict[str, Any] | None) -> str:
    if version.name == ORIGINAL:
        return "as the campaign began"
    if event is None:
        return f"made after round {version.round}"
    before, after = event["before"], event["after"]
    return (
        f"made after round {version.round} from {event['trained']} labels; on {event['held_out']} held out "
        f"{1000 * before['energy']:.0f} -> {1000 * after['energy']:.0f} meV/atom, "
        f"{before['force']:.2f} -> {after['force']:.2f} eV/Å"
    )


def _rounds(ledger: Ledger) -> list[dict[str, Any]]:
    """What came of learning in rounds that made no version."""
    return [
        {"round": e["round"], "words": e.get("why") or e.get("reason", "")}
        for e in ledger.events("learned")
        if "looked_at_again" not in e
    ]
