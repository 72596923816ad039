"""A look into a campaign's ledger that never holds the service up, whatever the ledger's disk or server does."""

from __future__ import annotations

import threading
from pathlib import Path

import sqlalchemy as sa

from ...tools.core.errors import LodestoneError
from ...tools.core.types import Frozen
from ..ledger import Ledger
from ..ledger.schema import events

WORK = ("planned", "proposed", "relaxed", "reserved", "done", "failed", "round finished")
"""Events that are recorded once for a piece of work. Others come with each session, or each try of a round: an agent
that only begins sessions gets nowhere."""

AT_WORK = ("SUBMITTING", "RUNNING")
LIMIT_S = 5.0


class Glance(Frozen):
    """What a ledger says now."""

    progress: int
    """Number of the last event that was work; 0 before the first."""
    finished: bool
    evaluating: bool
    """Whether evaluations run."""


class Ledgers:
    """Glances at ledgers, each in a thread of its own."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s
        self._pending: dict[Path, threading.Thread] = {}

    def glance(self, directory: Path) -> Glance | None:
        """What the ledger says; None where it cannot be read, or does not answer in time."""
        waiting = self._pending.get(directory)
        if waiting is not None and waiting.is_alive():
            return None
        found: list[Glance] = []

        def look() -> None:
            try:
                found.append(_glance(directory))
            except (LodestoneError, OSError):
                return  # the agent meets the same error, and says it in its log and by its exit status

        thread = threading.Thread(target=look, name=f"glance {directory.name}", daemon=True)
        self._pending[directory] = thread
        thread.start()
        thread.join(self._limit_s)
        return found[0] if found else None


def _glance(directory: Path) -> Glance:
    ledger = Ledger.open(directory, read_only=True)
    query = sa.select(events.c.seq).where(events.c.kind.in_(WORK)).order_by(events.c.seq.desc()).limit(1)
    with ledger.store.read() as connection:
        progress = int(connection.execute(query).scalar() or 0)
    return Glance(
        progress=progress,
        finished=ledger.meta("status") == "finished",
        evaluating=bool(ledger.evaluations(states=AT_WORK)),
    )
