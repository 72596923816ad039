"""Counts over candidates, made by the database from an index, without reading a crystal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

import sqlalchemy as sa

from .bookings import CORE_S
from .ledger import Ledger
from .schema import candidates as _table
from .schema import charges, evaluations

LATEST = 100
"""Evaluations that say what one costs."""

MAX_REASONS = 500
"""Different failures that are listed one by one."""


def by_generator(ledger: Ledger) -> dict[str, Counter[str]]:
    """Generator to `proposed`, `screened_out`, `duplicates`, `relaxed` (also those that left after relaxing)."""
    c = _table.c
    kinds = (c.generator, c.stage, c.pooled, c.relaxed)
    query = sa.select(*kinds, sa.func.count()).group_by(*kinds)
    table: dict[str, Counter[str]] = {}
    with ledger.store.read() as connection:
        for generator, stage, pooled, relaxed, count in connection.execute(query):
            counts = table.setdefault(generator, Counter())
            counts["proposed"] += count
            counts["screened_out"] += count * (stage == "screen")
            counts["duplicates"] += count * (stage == "duplicate")
            counts["relaxed"] += count * relaxed
            counts["pooled"] += count * pooled
    return table


def by_stage(ledger: Ledger) -> Counter[str]:
    """Stage to the number of candidates that it lost."""
    c = _table.c
    query = sa.select(c.stage, sa.func.count().label("n")).where(c.stage != "").group_by(c.stage)
    with ledger.store.read() as connection:
        return Counter({row.stage: row.n for row in connection.execute(query)})


def in_round(ledger: Ledger, round_number: int) -> int:
    """Candidates of a round."""
    query = sa.select(sa.func.count()).select_from(_table).where(_table.c.round == round_number)
    with ledger.store.read() as connection:
        return int(connection.execute(query).scalar() or 0)


def failures(ledger: Ledger) -> list[tuple[int, str, str, str, int]]:
    """(round, stage, what, reason, count), the most frequent ones, in that order of fields."""
    c = _table.c
    what = sa.case((c.what != "", c.what), else_=c.generator)
    query = (
        sa.select(c.round, c.stage, what, c.reason, sa.func.count().label("n"))
        .where(c.stage != "")
        .group_by(c.round, c.stage, what, c.reason)
        .order_by(sa.desc("n"), c.round, c.stage, what, c.reason)
        .limit(MAX_REASONS)
    )
    with ledger.store.read() as connection:
        return sorted((r, s, w, reason, n) for r, s, w, reason, n in connection.execute(query))


def total(ledger: Ledger) -> int:
    """All candidates."""
    with ledger.store.read() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(_table)).scalar() or 0)


def typical_core_s(ledger: Ledger, purposes: Sequence[str]) -> float | None:
    """Median core seconds of the last settled evaluations of some purposes; None before there is one."""
    query = (
        sa.select(charges.c.spent)
        .join(evaluations, evaluations.c.key == charges.c.key)
        .where(
            charges.c.resource == CORE_S,
            charges.c.spent.is_not(None),
            evaluations.c.purpose.in_(list(purposes)),
            evaluations.c.failure == "",
        )
        .order_by(evaluations.c.position.desc())
        .limit(LATEST)
    )
    with ledger.store.read() as connection:
        found = [int(spent) for spent in connection.execute(query).scalars()]
    return float(median(found)) if found else None
