"""`lodestone ledger verify`: does everything in a ledger agree with everything else?"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

import sqlalchemy as sa

from ...tools.core.types import Observation
from .chain import check_chain
from .ledger import Ledger
from .schema import FINAL_STATES, budget, charges, evaluations, events


@dataclass
class Findings:
    """What was looked at, and every contradiction found, in words."""

    events: int = 0
    evaluations: int = 0
    finished: int = 0
    problems: list[str] = field(default_factory=list)


def verify(ledger: Ledger) -> Findings:
    """Check the chain, every result's digest, states against events, and accounts against charges.

    Raises:
        LedgerError: when the event chain is broken or the file cannot be read.
    """
    found = Findings()
    with ledger.store.read() as connection:
        if ledger.store.is_sqlite:
            for (line,) in connection.exec_driver_sql("PRAGMA integrity_check").all():
                if line != "ok":
                    found.problems.append(f"SQLite: {line}")
        found.events = check_chain(connection, ledger.store.where)
        reserved, recorded = _from_events(connection)
        _check_evaluations(connection, found, reserved, recorded)
        _check_accounts(connection, found)
    return found


def _from_events(connection: sa.Connection) -> tuple[Counter[str], dict[str, list[str]]]:
    reserved: Counter[str] = Counter()
    recorded: dict[str, list[str]] = {}
    kinds = ("reserved", "done", "failed_charged")
    query = sa.select(events.c.kind, events.c.payload).where(events.c.kind.in_(kinds)).order_by(events.c.seq)
    for kind, text in connection.execute(query):
        payload = json.loads(text)
        if kind == "reserved":
            reserved.update(payload["keys"])
        else:
            recorded.setdefault(payload["key"], []).append(payload["digest"])
    return reserved, recorded


def _check_evaluations(
    connection: sa.Connection, found: Findings, reserved: Counter[str], recorded: dict[str, list[str]]
) -> None:
    seen = set()
    columns = sa.select(evaluations.c.key, evaluations.c.state, evaluations.c.observation)
    for key, state, text in connection.execute(columns):
        seen.add(key)
        found.evaluations += 1
        name = f"evaluation {key[:12]}"
        if reserved[key] != 1:
            found.problems.append(f"{name} was reserved {reserved[key]} times.")
        digests = recorded.get(key, [])
        if state in FINAL_STATES:
            found.finished += 1
            if len(digests) != 1:
                found.problems.append(f"{name} is {state} and was recorded {len(digests)} times.")
            elif text is None or Observation.model_validate_json(text).digest() != digests[0]:
                found.problems.append(f"The result of {name} is not the one that was recorded.")
        elif digests:
            found.problems.append(f"{name} was recorded and is {state}.")
    for key in [*reserved, *recorded]:
        if key not in seen:
            found.problems.append(f"evaluation {key[:12]} is gone.")


def _check_accounts(connection: sa.Connection, found: Findings) -> None:
    open_amount = sa.case((charges.c.spent.is_(None), charges.c.reserved), else_=0)
    query = sa.select(
        charges.c.resource, sa.func.sum(open_amount), sa.func.sum(sa.func.coalesce(charges.c.spent, 0))
    ).group_by(charges.c.resource)
    sums = {resource: (int(r or 0), int(s or 0)) for resource, r, s in connection.execute(query)}
    for row in connection.execute(sa.select(budget)):
        if (row.reserved, row.spent) != sums.get(row.resource, (0, 0)):
            found.problems.append(
                f"Account {row.resource} says {row.reserved} reserved and {row.spent} spent; its charges say "
                f"{sums.get(row.resource, (0, 0))}."
            )
        if row.cap is not None and row.reserved + row.spent > row.cap and row.resource != "core_s":
            found.problems.append(f"Account {row.resource} is over its cap of {row.cap}.")
    unsettled = sa.select(sa.func.count()).select_from(
        charges.join(evaluations, charges.c.key == evaluations.c.key)
    ).where(charges.c.spent.is_(None) == evaluations.c.state.in_(FINAL_STATES))  # fmt: skip
    if count := int(connection.execute(unsettled).scalar() or 0):
        found.problems.append(f"{count} charges are settled without a result, or not settled with one.")
