"""Bringing a ledger that an earlier version wrote up to date, after a copy was made beside it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from ...tools.core.errors import LedgerError
from ...tools.core.types import Budget, Observation
from .bookings import caps_of
from .chain import append
from .rows import outcome_json
from .schema import SCHEMA_VERSION, budget, candidates, charges, create_triggers, evaluations, meta, metadata
from .store import FILE_NAME, Store


def migrate(store: Store, directory: Path, version: int) -> None:
    """Take every step from `version` to the present one, in one transaction. Raises LedgerError when it cannot."""
    missing = [v for v in range(version, SCHEMA_VERSION) if v not in STEPS]
    if missing:
        raise LedgerError(
            f"Ledger version {version} of {directory} is too old for this Lodestone.",
            "Open it with an earlier release first.",
        )
    if store.is_sqlite:
        shutil.copy2(directory / FILE_NAME, directory / f"{FILE_NAME}.version-{version}")
    with store.write("migrate") as connection:
        for step in range(version, SCHEMA_VERSION):
            STEPS[step](connection)
        connection.execute(
            meta.update().where(meta.c.name == "schema_version").values(value=json.dumps(SCHEMA_VERSION))
        )
        append(connection, "migrated", 0, {"from": version, "to": SCHEMA_VERSION})


def _to_version_2(connection: sa.Connection) -> None:
    """Columns for what was inside JSON, accounts instead of a count of rows, and the triggers."""
    connection.exec_driver_sql("ALTER TABLE events ADD COLUMN up DOUBLE")
    for name in ("ix_candidates_round",):
        connection.exec_driver_sql(f"DROP INDEX IF EXISTS {name}")
    for table, columns in (
        (candidates, ("stage", "what", "reason", "relaxed", "pooled", "energy", "version")),
        (evaluations, ("formula", "fidelity", "handle", "outcome", "failure", "version")),
    ):
        for name in columns:
            column = sa.schema.CreateColumn(table.c[name]).compile(dialect=connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {column}")
    metadata.create_all(connection)
    for table in (candidates, evaluations):
        for index in table.indexes:
            index.create(connection, checkfirst=True)
    old = sa.table("candidates", *(sa.column(c) for c in ("id", "failure", "relaxation", "recognition")))
    for row in connection.execute(sa.select(old)).all():
        failure = json.loads(row.failure) if row.failure else {}
        connection.execute(
            candidates.update()
            .where(candidates.c.id == row.id)
            .values(
                stage=failure.get("stage", ""),
                what=failure.get("screen", ""),
                reason=failure.get("reason", ""),
                relaxed=int(row.relaxation is not None),
                pooled=int(not failure and row.recognition is not None),
                energy=json.loads(row.relaxation)["energy_per_atom"] if row.relaxation else None,
                version=1,
            )
        )
    connection.exec_driver_sql("ALTER TABLE candidates DROP COLUMN failure")
    goal = json.loads(connection.execute(sa.select(meta.c.value).where(meta.c.name == "goal")).scalar() or "{}")
    caps = caps_of(Budget.model_validate(goal["budget"]))
    connection.execute(budget.insert(), [{"resource": k, "cap": v} for k, v in caps.items()])
    booked: list[dict[str, object]] = []
    for row in connection.execute(sa.select(evaluations)).all():
        observation = json.loads(row.observation) if row.observation else None
        formula = connection.execute(
            sa.select(candidates.c.formula).where(candidates.c.id == row.candidate_id)
        ).scalar() or row.candidate_id.removeprefix("reference-")
        connection.execute(
            evaluations.update()
            .where(evaluations.c.key == row.key)
            .values(
                formula=formula,
                fidelity=observation["fidelity"] if observation else "",
                outcome=outcome_json(Observation.model_validate(observation), row.request) if observation else None,
                failure=(observation["failure"] or {}).get("reason", "") if observation else "",
                version=1,
            )
        )
        booked.append({"key": row.key, "done": observation is not None})
    create_triggers(connection)
    for entry in booked:
        connection.execute(charges.insert().values(key=entry["key"], resource="evaluations", reserved=1))
        if entry["done"]:
            connection.execute(charges.update().where(charges.c.key == entry["key"]).values(spent=1))


STEPS: dict[int, Callable[[sa.Connection], None]] = {1: _to_version_2}
