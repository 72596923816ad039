"""The event chain: each event holds the hash of the one before it, so that a change anywhere shows.

`at` is the wall clock (it may jump); `up` is the kernel's clock since boot, which does not, and from which the time
that a campaign has used is counted.
"""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa

from ...tools.core.errors import LedgerError
from ...tools.core.types import canonical_json, sha256
from .schema import events

GENESIS = "0" * 64
_FIELDS = ("seq", "at", "up", "kind", "round", "payload", "previous")


def append(connection: sa.Connection, kind: str, round_number: int, payload: dict[str, Any]) -> int:
    """Add an event inside a running transaction; its sequence number."""
    last = connection.execute(
        sa.select(events.c.seq, events.c.hash).order_by(events.c.seq.desc()).limit(1)
    ).one_or_none()
    row = {
        "seq": 1 if last is None else last.seq + 1,
        "at": time.time(),
        "up": time.clock_gettime(time.CLOCK_BOOTTIME),
        "kind": kind,
        "round": round_number,
        "payload": canonical_json(payload),
        "previous": GENESIS if last is None else last.hash,
    }
    connection.execute(events.insert().values(**row, hash=event_hash(row)))
    return int(row["seq"])  # type: ignore[call-overload]


def event_hash(row: Any) -> str:
    """sha256 over an event; one of schema version 1 has no `up`, and is hashed without it."""
    return sha256(canonical_json([row[name] for name in _FIELDS if not (name == "up" and row["up"] is None)]))


def check_chain(connection: sa.Connection, where: str) -> int:
    """The number of events. Raises LedgerError naming the first that does not fit."""
    previous = GENESIS
    count = 0
    for row in connection.execute(sa.select(events).order_by(events.c.seq)):
        if row.seq != count + 1 or row.previous != previous or row.hash != event_hash(row._mapping):
            raise LedgerError(
                f"The event chain of {where} breaks at event {count + 1}.",
                "The file was changed by something else; restore it from a copy.",
            )
        previous = row.hash
        count += 1
    return count
