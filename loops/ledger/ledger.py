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
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ...tools.core.errors import BudgetError, LedgerError
from ...tools.core.types import Candidate, Observation, RoundPlan, canonical_json, sha256
from .bookings import Account, Booking
from .chain import append, check_chain
from .migrate import migrate
from .rows import CandidateRow, EvaluationRow, RelaxedRow, outcome_json
from .schema import (
    FINAL_STATES,
    OPEN_STATES,
    SCHEMA_VERSION,
    budget,
    candidates,
    charges,
    create_triggers,
    evaluations,
    events,
    meta,
    metadata,
    plans,
)
from .store import Store

CHUNK = 500
"""Values in one IN list."""


class Ledger:
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

    # --- money ---------------------------------------------------------------------------------

    def accounts(self) -> dict[str, Account]:
        """Every resource with its cap, what is reserved and what is spent."""
        with self.store.read() as connection:
            return {r.resource: Account(**r._mapping) for r in connection.execute(sa.select(budget))}

    def reserve(self, round_number: int, bookings: Sequence[Booking]) -> None:
        """Reserve under every cap: all of them, or BudgetError and none.

        Check and insert are one transaction, and the database's own triggers refuse a charge beyond a cap.
        """
        totals: dict[str, int] = {}
        for booking in bookings:
            for resource, amount in booking.charges.items():
                totals[resource] = totals.get(resource, 0) + amount
        with self._write("reserved") as connection:
            accounts = {r.resource: Account(**r._mapping) for r in connection.execute(sa.select(budget))}
            for resource, amount in totals.items():
                account = accounts.get(resource)
                if account is not None and account.left is not None and amount > account.left:
                    total = amount + account.spent + account.reserved
                    raise BudgetError(
                        f"{len(bookings)} evaluations would make {total} of {account.cap} allowed ({resource}).",
                        "Give a new campaign a larger budget, or ask for fewer.",
                    )
            seq = append(connection, "reserved", round_number, {"keys": [b.key for b in bookings]})
            first = connection.execute(sa.select(sa.func.coalesce(sa.func.max(evaluations.c.position), 0))).scalar()
            for offset, booking in enumerate(bookings, start=1):
                connection.execute(
                    evaluations.insert().values(
                        key=booking.key,
                        position=int(first or 0) + offset,
                        round=round_number,
                        candidate_id=booking.request.candidate_id,
                        formula=booking.formula,
                        purpose=booking.request.purpose,
                        fidelity=booking.fidelity,
                        state="RESERVED",
                        request=booking.request.canonical_json(),
                        predicted=canonical_json({k: v.model_dump(mode="json") for k, v in booking.predicted.items()}),
                        why=booking.why,
                        version=seq,
                    )
                )
                wanted = [
                    {"key": booking.key, "resource": k, "reserved": v}
                    for k, v in booking.charges.items()
                    if k in accounts
                ]
                connection.execute(charges.insert(), wanted)
            if round_number > 0:
                connection.execute(plans.update().where(plans.c.round == round_number).values(state="selected"))

    def mark(
        self, keys: Sequence[str], state: str, round_number: int, handles: Mapping[str, str] | None = None
    ) -> None:
        """Move open evaluations to another open state: the intent is on disk before the act."""
        if state not in OPEN_STATES and state != "UNKNOWN":
            raise LedgerError(f"'{state}' is not a state that `mark` may set.", f"Use one of {OPEN_STATES}.")
        with self._write(state.lower()) as connection:
            seq = append(connection, state.lower(), round_number, {"keys": list(keys)})
            for key in keys:
                connection.execute(
                    evaluations.update()
                    .where(evaluations.c.key == key, evaluations.c.state.in_(OPEN_STATES))
                    .values(state=state, version=seq, **({"handle": handles[key]} if handles else {}))
                )

    def record(self, observation: Observation, round_number: int, spent: Mapping[str, int] | None = None) -> bool:
        """Record a result once, and settle what it has cost; False when the key has one (nothing is changed).

        Args:
            observation: of a reserved key.
            round_number: for the event.
            spent: resource to what was used; what is not named is charged as reserved.
        """
        state = "FAILED_CHARGED" if observation.failure else "DONE"
        with self._write("recorded") as connection:
            known = connection.execute(
                sa.select(evaluations.c.state, evaluations.c.request).where(evaluations.c.key == observation.key)
            ).one_or_none()
            if known is None:
                raise LedgerError(
                    f"Result for key {observation.key[:12]}, which was never reserved.",
                    "It is not from this campaign; nothing was recorded.",
                )
            if known.state in FINAL_STATES:
                return False
            payload = {"key": observation.key, "digest": observation.digest()}
            seq = append(connection, state.lower(), round_number, payload)
            connection.execute(
                evaluations.update()
                .where(evaluations.c.key == observation.key)
                .values(
                    state=state,
                    outcome=outcome_json(observation, known.request),
                    failure=observation.failure.reason if observation.failure else "",
                    observation=observation.canonical_json(),
                    version=seq,
                )
            )
            for row in connection.execute(sa.select(charges).where(charges.c.key == observation.key)).all():
                connection.execute(
                    charges.update()
                    .where(charges.c.key == row.key, charges.c.resource == row.resource)
                    .values(spent=(spent or {}).get(row.resource, row.reserved))
                )
        return True

    def evaluations(self, round_number: int | None = None, states: Sequence[str] | None = None) -> list[EvaluationRow]:
        """Evaluations in the order of their reservation, all or those of a round or in some states."""
        query = sa.select(evaluations).order_by(evaluations.c.position)
        if round_number is not None:
            query = query.where(evaluations.c.round == round_number)
        if states is not None:
            query = query.where(evaluations.c.state.in_(list(states)))
        with self.store.read() as connection:
            return [EvaluationRow(row) for row in connection.execute(query)]

    def fidelity(self, key: str) -> Literal["potential", "dft", "experiment"]:
        """What a reservation was made for."""
        with self.store.read() as connection:
            query = sa.select(evaluations.c.fidelity).where(evaluations.c.key == key)
            found: Literal["potential", "dft", "experiment"] = connection.execute(query).scalar_one()
        return found

    def reopen(self, key: str) -> None:
        """An evaluation of unknown state does not run any more, says a person: it may be started again."""
        with self._write("reopened") as connection:
            row = connection.execute(sa.select(evaluations.c.round).where(evaluations.c.key == key)).one()
            seq = append(connection, "reopened", row.round, {"key": key})
            connection.execute(
                evaluations.update()
                .where(evaluations.c.key == key, evaluations.c.state == "UNKNOWN")
                .values(state="RESERVED", version=seq)
            )
            # A round that was finished without it is taken up again.
            connection.execute(plans.update().where(plans.c.round == row.round).values(state="selected"))

    def evaluations_by_key(self, keys: Sequence[str]) -> list[EvaluationRow]:
        """Some evaluations, in no particular order; unknown keys are left out."""
        found: list[EvaluationRow] = []
        with self.store.read() as connection:
            for start in range(0, len(keys), CHUNK):
                query = sa.select(evaluations).where(evaluations.c.key.in_(keys[start : start + CHUNK]))
                found += [EvaluationRow(row) for row in connection.execute(query)]
        return found

    def known_keys(self, keys: Sequence[str]) -> set[str]:
        """Which of these evaluations were reserved before."""
        with self.store.read() as connection:
            query = sa.select(evaluations.c.key).where(evaluations.c.key.in_(list(keys)))
            return set(connection.execute(query).scalars())

    def spent(self) -> int:
        """Evaluations that count against the cap: reserved, running, finished or failed."""
        account = self.accounts()["evaluations"]
        return account.reserved + account.spent


def _put(connection: sa.Connection, name: str, value: Any) -> None:
    connection.execute(meta.delete().where(meta.c.name == name))
    connection.execute(meta.insert().values(name=name, value=canonical_json(value)))
