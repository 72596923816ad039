"""How long a campaign has worked, from its ledger: sessions that were killed count up to their last event.

Counted on the kernel's clock since boot, which neither jumps nor stops when somebody sets the wall clock.
"""

from __future__ import annotations

import sqlalchemy as sa

from .ledger import Ledger
from .ledger.schema import events

_BETWEEN = ("writer", "migrated", "reconciled")
"""Events that a process writes before its session starts: the idle time before them is nobody's."""


def active_seconds(ledger: Ledger) -> float:
    """Wall seconds that the sessions of a campaign have used so far."""
    starts = [(e["seq"], e["up"], e["at"]) for e in ledger.events("session started")]
    total = 0.0
    with ledger.store.read() as connection:
        for number, (seq, up, at) in enumerate(starts, start=1):
            query = (
                sa.select(events.c.up, events.c.at)
                .where(events.c.seq >= seq, events.c.kind.not_in(_BETWEEN))
                .order_by(events.c.seq.desc())
                .limit(1)
            )
            if number < len(starts):
                query = query.where(events.c.seq < starts[number][0])
            last = connection.execute(query).one()
            # Ledgers of version 1 have the wall clock alone.
            total += max(0.0, last.at - at if up is None or last.up is None else last.up - up)
    return total
