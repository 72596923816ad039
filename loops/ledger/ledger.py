"""What may be written into a ledger, and what a round reads back.

Every write is one transaction that also appends an event, chained to the hash of the event before it. Intent is
written before acting: an evaluation is RESERVED, then SUBMITTING, RUNNING, and at last DONE or FAILED_CHARGED; where
nobody can tell what became of it, UNKNOWN until a person settles it. What is not here: reading it for people
(`loops/history.py`), and acting on it (`loops/round.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ...tools.core.errors import LedgerError
from ...tools.core.plans import RoundPlan
from ...tools.core.types import Candidate, canonical_json, sha256
from .chain import append, check_chain
from .migrate import migrate
from .purse import CHUNK, Purse
from .rows import CandidateRow, RelaxedRow
from .schema import (
    SCHEMA_VERSION,
    budget,
    candidates,
    create_triggers,
    events,
    meta,
    metadata,
    plans,
)
from .store import Store


class Ledger(Purse):
    """One campaign's ledger. Create with `Ledger.create`, open with `Ledger.open`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.tables: Any = None
        """What readers in this process have loaded (`tables.py`)."""

    # --- opening -------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        directory: Path,
        meta_values: Mapping[str, Any],
        caps: Mapping[str, int | None] | None = None,
        url: str = "",
    ) -> Ledger:
        """A new ledger in an existing directory.

        Args:
            directory: of the campaign.
            meta_values: values stored by name.
            caps: resource to cap (None: counted without a cap); only what is named here can be charged.
            url: of a PostgreSQL database; empty for a file in the directory.

        Raises:
            LedgerError: where there is one already.
        """
        ledger = cls(Store.new(directory, url))
        rows = {"schema_version": SCHEMA_VERSION, **meta_values}
        with ledger.store.write("create") as connection:
            metadata.create_all(connection)
            create_triggers(connection)
            connection.execute(meta.insert(), [{"name": k, "value": canonical_json(v)} for k, v in rows.items()])
            accounts = [{"resource": k, "cap": v} for k, v in (caps or {"evaluations": None}).items()]
            connection.execute(budget.insert(), accounts)
            append(connection, "created", 0, {"meta": sha256(canonical_json(rows)), "caps": dict(caps or {})})
        return ledger

    @classmethod
    def open(cls, directory: Path, read_only: bool = False) -> Ledger:
        """An existing ledger. Raises LedgerError when it is missing, damaged or of another version.

        One that an earlier version wrote is brought up to date, after a copy was made beside it, unless it is only
        to be read.
        """
        ledger = cls(Store.existing(directory, read_only))
        version = ledger.meta("schema_version")
        if version is None:
            raise LedgerError(
                f"{ledger.store.where} was never finished: the process that made it was killed.",
                f"Nothing was paid for. Remove {directory} and run again.",
            )
        if version < SCHEMA_VERSION:
            if read_only:
                raise LedgerError(
                    f"{directory} was written by an earlier version of Lodestone (ledger version {version}).",
                    f"`lodestone ledger migrate {directory}` brings it up to date and keeps a copy.",
                )
            migrate(ledger.store, directory, version)
        elif version > SCHEMA_VERSION:
            raise LedgerError(
                f"{directory} was written by another version of Lodestone (ledger version {version}, "
                f"this one reads {SCHEMA_VERSION}).",
                "Open it with the version that made it, or start a new campaign in another --dir.",
            )
        return ledger

    def take_over(self, pid: int, host: str) -> None:
        """Become the writer: every other process that still believes to be it is refused from now on."""
        self.store.epoch = None
        with self._write("writer") as connection:
            old = self._value(connection, "writer") or {}
            holder: dict[str, Any] = {"epoch": int(old.get("epoch", 0)) + 1, "pid": pid, "host": host}
            _put(connection, "writer", holder)
            append(connection, "writer", 0, holder)
        self.store.epoch = holder["epoch"]

    @contextmanager
    def _write(self, name: str) -> Iterator[sa.Connection]:
        with self.store.write(name) as connection:
            yield connection

    # --- meta and events -----------------------------------------------------------------------

    def meta(self, name: str, default: Any = None) -> Any:
        """A value stored by name."""
        try:
            with self.store.read() as connection:
                value = self._value(connection, name)
        except LedgerError as error:
            if "no such table" in str(error) or "does not exist" in str(error):
                return default
            raise
        return default if value is None else value

    def all_meta(self) -> dict[str, Any]:
        """Every value stored by name."""
        with self.store.read() as connection:
            return {r.name: json.loads(r.value) for r in connection.execute(sa.select(meta))}

    @staticmethod
    def _value(connection: sa.Connection, name: str) -> Any:
        text = connection.execute(sa.select(meta.c.value).where(meta.c.name == name)).scalar()
        return None if text is None else json.loads(text)

    def set_meta(self, name: str, value: Any, event: str, round_number: int = 0) -> None:
        """Store a value by name, with an event of that kind."""
        with self._write(event.replace(" ", "_")) as connection:
            _put(connection, name, value)
            append(connection, event, round_number, {name: value})

    def note(self, kind: str, round_number: int, payload: Mapping[str, Any]) -> None:
        """Append an event that changes nothing else."""
        with self._write(kind.replace(" ", "_")) as connection:
            append(connection, kind, round_number, dict(payload))

    def events(self, kind: str | Sequence[str] | None = None, after: int = 0) -> list[dict[str, Any]]:
        """Events in order, all or of some kinds, from the one after sequence number `after`."""
        query = sa.select(events).where(events.c.seq > after).order_by(events.c.seq)
        if kind is not None:
            query = query.where(events.c.kind.in_([kind] if isinstance(kind, str) else list(kind)))
        with self.store.read() as connection:
            rows = connection.execute(query).all()
        return [
            {"seq": r.seq, "at": r.at, "up": r.up, "kind": r.kind, "round": r.round, **json.loads(r.payload)}
            for r in rows
        ]

    def last_seq(self) -> int:
        """Number of the newest event."""
        with self.store.read() as connection:
            return int(connection.execute(sa.select(sa.func.max(events.c.seq))).scalar() or 0)

    def first_and_last_event(self) -> tuple[float, float]:
        """When the first and the last event were written, by the wall clock."""
        with self.store.read() as connection:
            order = events.c.seq
            first = connection.execute(sa.select(events.c.at).order_by(order).limit(1)).scalar_one()
            last = connection.execute(sa.select(events.c.at).order_by(order.desc()).limit(1)).scalar_one()
        return float(first), float(last)

    def verify(self) -> int:
        """Recompute the hash chain; the number of events, or LedgerError naming the first bad one."""
        with self.store.read() as connection:
            return check_chain(connection, self.store.where)

    # --- rounds --------------------------------------------------------------------------------

    def add_plan(self, plan: RoundPlan) -> None:
        """Record a round's plan, once."""
        with self._write("planned") as connection:
            connection.execute(plans.insert().values(round=plan.round, plan=plan.canonical_json(), state="planned"))
            append(connection, "planned", plan.round, plan.model_dump(mode="json"))

    def plans(self) -> list[tuple[RoundPlan, str]]:
        """Every plan with the state of its round: `planned`, `proposed`, `selected` or `finished`."""
        with self.store.read() as connection:
            rows = connection.execute(sa.select(plans).order_by(plans.c.round)).all()
        return [(RoundPlan.model_validate_json(r.plan), r.state) for r in rows]

    def last_plan(self) -> tuple[RoundPlan, str] | None:
        """The newest plan with the state of its round."""
        with self.store.read() as connection:
            row = connection.execute(sa.select(plans).order_by(plans.c.round.desc()).limit(1)).one_or_none()
        return None if row is None else (RoundPlan.model_validate_json(row.plan), row.state)

    def finish_round(self, round_number: int, summary: Mapping[str, Any]) -> None:
        """Mark a round as finished, with its summary."""
        with self._write("round_finished") as connection:
            connection.execute(plans.update().where(plans.c.round == round_number).values(state="finished"))
            append(connection, "round finished", round_number, dict(summary))

    # --- candidates ----------------------------------------------------------------------------

    def known_ids(self, ids: Sequence[str]) -> set[str]:
        """Which of these candidates were proposed before."""
        found: set[str] = set()
        with self.store.read() as connection:
            for start in range(0, len(ids), CHUNK):
                query = sa.select(candidates.c.id).where(candidates.c.id.in_(ids[start : start + CHUNK]))
                found.update(connection.execute(query).scalars())
        return found

    def add_candidates(
        self, round_number: int, kept: Sequence[Candidate], rejected: Sequence[tuple[Candidate, str, str]]
    ) -> None:
        """Record a round's proposals in one transaction: the kept, and the rejected with (screen, reason)."""
        rows: list[tuple[Candidate, str, str]] = [(c, "", "") for c in kept]
        rows += rejected
        with self._write("proposed") as connection:
            seq = append(
                connection, "proposed", round_number, {"kept": [c.id for c in kept], "rejected": len(rejected)}
            )
            insert = sqlite.insert if self.store.is_sqlite else postgresql.insert
            values = [
                {
                    "id": candidate.id,
                    "round": round_number,
                    "position": position,
                    "generator": candidate.provenance.generator,
                    "formula": candidate.formula,
                    "candidate": candidate.canonical_json(),
                    "stage": "screen" if screen else "",
                    "what": screen,
                    "reason": reason,
                    "version": seq,
                }
                for position, (candidate, screen, reason) in enumerate(rows)
            ]
            if values:
                connection.execute(insert(candidates).on_conflict_do_nothing(index_elements=["id"]), values)
            connection.execute(plans.update().where(plans.c.round == round_number).values(state="proposed"))

    def add_relaxations(self, round_number: int, results: Sequence[RelaxedRow]) -> None:
        """Record one chunk of relaxations with what was recognised, or with the reason for leaving the pool."""
        with self._write("relaxed") as connection:
            digest = sha256(canonical_json([r[0].digest() for r in results]))
            seq = append(
                connection, "relaxed", round_number, {"ids": [r[0].candidate_id for r in results], "digest": digest}
            )
            for relaxation, recognition, cheap, failure in results:
                failure = failure or {}
                connection.execute(
                    candidates.update()
                    .where(candidates.c.id == relaxation.candidate_id)
                    .values(
                        relaxation=relaxation.canonical_json(),
                        recognition=recognition.canonical_json() if recognition else None,
                        cheap=canonical_json(cheap),
                        stage=failure.get("stage", ""),
                        what=failure.get("screen", ""),
                        reason=failure.get("reason", ""),
                        relaxed=1,
                        pooled=int(not failure and recognition is not None),
                        energy=relaxation.energy_per_atom,
                        version=seq,
                    )
                )

    def activate(self, round_number: int, version: Mapping[str, Any], energies: Mapping[str, float]) -> None:
        """Change over to another version of the potential, in one transaction with what it says of every crystal.

        Args:
            round_number: after which it is in force.
            version: what it is, as it is noted in the event `potential`.
            energies: eV/atom of pool crystals by id, and of elements as `reference-Na`.
        """
        with self._write("potential") as connection:
            # The event's own round says when it came into force; that of the version, when it was made.
            noted = {**version, "made": version["round"], "energies": sha256(canonical_json(dict(energies)))}
            seq = append(connection, "potential", round_number, {k: v for k, v in noted.items() if k != "round"})
            _put(connection, "active_potential", dict(version))
            references = self._value(connection, "references") or []
            for reference in references:
                name = f"reference-{reference['symbol']}"
                reference["energy_per_atom"] = energies.get(name, reference["energy_per_atom"])
            _put(connection, "references", references)
            query = sa.select(candidates.c.id, candidates.c.relaxation).where(candidates.c.pooled == 1)
            for identity, text in connection.execute(query).all():
                if identity in energies:
                    changed = {"energy_per_atom": energies[identity], "potential": version["name"]}
                    connection.execute(
                        candidates.update()
                        .where(candidates.c.id == identity)
                        .values(
                            relaxation=canonical_json({**json.loads(text), **changed}),
                            energy=energies[identity],
                            version=seq,
                        )
                    )

    def candidates(self, round_number: int | None = None) -> list[CandidateRow]:
        """Candidates in the order in which they were proposed."""
        query = sa.select(candidates).order_by(candidates.c.round, candidates.c.position)
        if round_number is not None:
            query = query.where(candidates.c.round == round_number)
        with self.store.read() as connection:
            return [CandidateRow(row) for row in connection.execute(query)]

    def candidates_by_id(self, ids: Sequence[str]) -> dict[str, CandidateRow]:
        """Some candidates by id; unknown ids are left out."""
        found = {}
        with self.store.read() as connection:
            for start in range(0, len(ids), CHUNK):
                query = sa.select(candidates).where(candidates.c.id.in_(ids[start : start + CHUNK]))
                found.update({row.id: CandidateRow(row) for row in connection.execute(query)})
        return found


def _put(connection: sa.Connection, name: str, value: Any) -> None:
    connection.execute(meta.delete().where(meta.c.name == name))
    connection.execute(meta.insert().values(name=name, value=canonical_json(value)))
