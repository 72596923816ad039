"""The ledger: the only truth about a campaign, in one SQLite file.

Every write is one `BEGIN IMMEDIATE` transaction that also appends an event, chained to the hash of the
event before it. What is not here: reading it for people (`record.py`, `history.py`), and acting on it (`round.py`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ..tools.core.errors import BudgetError, LedgerError
from ..tools.core.types import (
    Candidate,
    EvaluationRequest,
    Observation,
    Quantity,
    Recognition,
    Relaxation,
    RoundPlan,
    canonical_json,
    sha256,
)

SCHEMA_VERSION = 1
FILE_NAME = "ledger.sqlite"
GENESIS = "0" * 64
SPENT_STATES = ("RESERVED", "SUBMITTING", "RUNNING", "DONE", "FAILED_CHARGED", "UNKNOWN")
OPEN_STATES = ("RESERVED", "SUBMITTING", "RUNNING")

_metadata = sa.MetaData()
_meta = sa.Table(
    "meta", _metadata, sa.Column("name", sa.String, primary_key=True), sa.Column("value", sa.Text, nullable=False)
)
_events = sa.Table(
    "events",
    _metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("kind", sa.String, nullable=False, index=True),
    sa.Column("round", sa.Integer, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)
_plans = sa.Table(
    "plans",
    _metadata,
    sa.Column("round", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("state", sa.String, nullable=False),
)
_candidates = sa.Table(
    "candidates",
    _metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("round", sa.Integer, nullable=False, index=True),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("generator", sa.String, nullable=False),
    sa.Column("formula", sa.String, nullable=False),
    sa.Column("candidate", sa.Text, nullable=False),
    sa.Column("relaxation", sa.Text),
    sa.Column("recognition", sa.Text),
    sa.Column("cheap", sa.Text),
    sa.Column("failure", sa.Text),
)
_evaluations = sa.Table(
    "evaluations",
    _metadata,
    sa.Column("key", sa.String(64), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False, unique=True),
    sa.Column("round", sa.Integer, nullable=False, index=True),
    sa.Column("candidate_id", sa.String, nullable=False),
    sa.Column("purpose", sa.String, nullable=False),
    sa.Column("state", sa.String, nullable=False, index=True),
    sa.Column("request", sa.Text, nullable=False),
    sa.Column("predicted", sa.Text, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("observation", sa.Text),
)


RelaxedRow = tuple[Relaxation, Recognition | None, dict[str, float], dict[str, str] | None]
"""A relaxation, what was recognised, the potential's own properties, and the reason for leaving the pool."""


class EvaluationRow:
    """One evaluation as the ledger holds it."""

    __slots__ = ("key", "observation", "position", "predicted", "request", "round", "state", "why")

    def __init__(self, row: sa.Row[Any]) -> None:
        self.key: str = row.key
        self.position: int = row.position
        self.round: int = row.round
        self.state: str = row.state
        self.request = EvaluationRequest.model_validate_json(row.request)
        self.predicted = {k: Quantity.model_validate(v) for k, v in json.loads(row.predicted).items()}
        self.why: str = row.why
        self.observation = Observation.model_validate_json(row.observation) if row.observation else None


class CandidateRow:
    """One candidate with what is known about it so far."""

    __slots__ = ("candidate", "cheap", "failure", "position", "recognition", "relaxation", "round")

    def __init__(self, row: sa.Row[Any]) -> None:
        self.round: int = row.round
        self.position: int = row.position
        self.candidate = Candidate.model_validate_json(row.candidate)
        self.relaxation = Relaxation.model_validate_json(row.relaxation) if row.relaxation else None
        self.recognition = Recognition.model_validate_json(row.recognition) if row.recognition else None
        self.cheap: dict[str, float] = json.loads(row.cheap) if row.cheap else {}
        self.failure: dict[str, str] | None = json.loads(row.failure) if row.failure else None


class Ledger:
    """One campaign's ledger. Create with `Ledger.create`, open with `Ledger.open`."""

    def __init__(self, path: Path, read_only: bool = False) -> None:
        self.path = path
        self._read_only = read_only
        # A URL object, not a string: '?' and '#' in a path would otherwise be read as options.
        self._engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": 30}, poolclass=sa.pool.NullPool
        )
        sa.event.listen(self._engine, "connect", _configure)
        sa.event.listen(self._engine, "begin", _begin_immediate if not read_only else _begin_deferred)

    # --- opening -------------------------------------------------------------------------------

    @classmethod
    def create(cls, directory: Path, meta: dict[str, Any]) -> Ledger:
        """A new ledger in an existing directory. Raises LedgerError where there is one already."""
        path = directory / FILE_NAME
        if path.exists():
            raise LedgerError(
                f"{directory} already holds a campaign.",
                f"Go on with `lodestone resume {directory}`, or give another --dir.",
            )
        ledger = cls(path)
        with ledger._write() as connection:
            _metadata.create_all(connection)
            rows = {"schema_version": SCHEMA_VERSION, **meta}
            connection.execute(_meta.insert(), [{"name": k, "value": canonical_json(v)} for k, v in rows.items()])
            _append(connection, "created", 0, {"meta": sha256(canonical_json(rows))})
        return ledger

    @classmethod
    def open(cls, directory: Path, read_only: bool = False) -> Ledger:
        """An existing ledger. Raises LedgerError when it is missing, damaged or of another version."""
        path = directory / FILE_NAME
        if not path.is_file():
            raise LedgerError(f"No campaign in {directory}.", 'Start one with `lodestone run "…" --dir DIR`.')
        ledger = cls(path, read_only)
        try:
            version = ledger.meta("schema_version")
        except sa.exc.DatabaseError as error:
            raise LedgerError(
                f"{path} is not a readable ledger ({error.orig}).", "Restore it from a copy; nothing was changed."
            ) from error
        if version != SCHEMA_VERSION:
            raise LedgerError(
                f"{directory} was written by another version of Lodestone (ledger version {version}, "
                f"this one reads {SCHEMA_VERSION}).",
                "Open it with the version that made it, or start a new campaign in another --dir.",
            )
        return ledger

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.OperationalError as error:
            raise LedgerError(
                f"Cannot write {self.path}: {error.orig}.",
                "Free space or check permissions, then `lodestone resume`; finished work is kept.",
            ) from error

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with self._engine.connect() as connection:
            yield connection

    # --- meta and events -----------------------------------------------------------------------

    def meta(self, name: str, default: Any = None) -> Any:
        """A value stored by name."""
        with self._read() as connection:
            value = connection.execute(sa.select(_meta.c.value).where(_meta.c.name == name)).scalar()
        return default if value is None else json.loads(value)

    def set_meta(self, name: str, value: Any, event: str, round_number: int = 0) -> None:
        """Store a value by name, with an event of that kind."""
        with self._write() as connection:
            connection.execute(_meta.delete().where(_meta.c.name == name))
            connection.execute(_meta.insert().values(name=name, value=canonical_json(value)))
            _append(connection, event, round_number, {name: value})

    def note(self, kind: str, round_number: int, payload: dict[str, Any]) -> None:
        """Append an event that changes nothing else."""
        with self._write() as connection:
            _append(connection, kind, round_number, payload)

    def events(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Events in order, all or of one kind."""
        query = sa.select(_events).order_by(_events.c.seq)
        if kind is not None:
            query = query.where(_events.c.kind == kind)
        with self._read() as connection:
            rows = connection.execute(query).all()
        return [{"seq": r.seq, "at": r.at, "kind": r.kind, "round": r.round, **json.loads(r.payload)} for r in rows]

    def verify(self) -> int:
        """Recompute the hash chain; the number of events, or LedgerError naming the first bad one."""
        previous = GENESIS
        count = 0
        with self._read() as connection:
            for row in connection.execute(sa.select(_events).order_by(_events.c.seq)):
                if row.seq != count + 1 or row.previous != previous or row.hash != _hash(row._mapping):
                    raise LedgerError(
                        f"The event chain of {self.path} breaks at event {count + 1}.",
                        "The file was changed by something else; restore it from a copy.",
                    )
                previous = row.hash
                count += 1
        return count

    # --- rounds --------------------------------------------------------------------------------

    def add_plan(self, plan: RoundPlan) -> None:
        """Record a round's plan, once."""
        with self._write() as connection:
            connection.execute(_plans.insert().values(round=plan.round, plan=plan.canonical_json(), state="planned"))
            _append(connection, "planned", plan.round, plan.model_dump(mode="json"))

    def plans(self) -> list[tuple[RoundPlan, str]]:
        """Every plan with the state of its round: `planned`, `proposed`, `selected` or `finished`."""
        with self._read() as connection:
            rows = connection.execute(sa.select(_plans).order_by(_plans.c.round)).all()
        return [(RoundPlan.model_validate_json(r.plan), r.state) for r in rows]

    def finish_round(self, round_number: int, summary: dict[str, Any]) -> None:
        """Mark a round as finished, with its summary."""
        with self._write() as connection:
            connection.execute(_plans.update().where(_plans.c.round == round_number).values(state="finished"))
            _append(connection, "round finished", round_number, summary)

    # --- candidates ----------------------------------------------------------------------------

    def add_candidates(
        self, round_number: int, candidates: Sequence[Candidate], rejected: Sequence[tuple[Candidate, str, str]]
    ) -> None:
        """Record a round's proposals in one transaction: the kept, and the rejected with (screen, reason)."""
        rows: list[tuple[Candidate, dict[str, str] | None]] = [(c, None) for c in candidates]
        rows += [(c, {"stage": "screen", "screen": s, "reason": r}) for c, s, r in rejected]
        with self._write() as connection:
            for position, (candidate, failure) in enumerate(rows):
                connection.execute(
                    _candidates.insert()
                    .prefix_with("OR IGNORE")
                    .values(
                        id=candidate.id,
                        round=round_number,
                        position=position,
                        generator=candidate.provenance.generator,
                        formula=candidate.formula,
                        candidate=candidate.canonical_json(),
                        failure=canonical_json(failure) if failure else None,
                    )
                )
            connection.execute(_plans.update().where(_plans.c.round == round_number).values(state="proposed"))
            _append(
                connection,
                "proposed",
                round_number,
                {"kept": [c.id for c in candidates], "rejected": len(rejected)},
            )

    def add_relaxations(
        self,
        round_number: int,
        results: Sequence[RelaxedRow],
    ) -> None:
        """Record one chunk of relaxations with what was recognised, or with the reason for leaving the pool."""
        with self._write() as connection:
            for relaxation, recognition, cheap, failure in results:
                connection.execute(
                    _candidates.update()
                    .where(_candidates.c.id == relaxation.candidate_id)
                    .values(
                        relaxation=relaxation.canonical_json(),
                        recognition=recognition.canonical_json() if recognition else None,
                        cheap=canonical_json(cheap),
                        failure=canonical_json(failure) if failure else None,
                    )
                )
            digest = sha256(canonical_json([r[0].digest() for r in results]))
            _append(
                connection,
                "relaxed",
                round_number,
                {"ids": [r[0].candidate_id for r in results], "digest": digest},
            )

    def candidates(self, round_number: int | None = None) -> list[CandidateRow]:
        """Candidates in the order in which they were proposed."""
        query = sa.select(_candidates).order_by(_candidates.c.round, _candidates.c.position)
        if round_number is not None:
            query = query.where(_candidates.c.round == round_number)
        with self._read() as connection:
            return [CandidateRow(row) for row in connection.execute(query)]

    # --- money ---------------------------------------------------------------------------------

    def reserve(
        self,
        round_number: int,
        requests: Sequence[tuple[str, EvaluationRequest, dict[str, Quantity], str]],
        cap: int,
    ) -> None:
        """Reserve (key, request, predicted, why) under the budget's cap: all of them, or BudgetError and none.

        The count and the insert are one transaction, so no second writer can pass the cap in between.
        """
        with self._write() as connection:
            spent = _spent(connection)
            if spent + len(requests) > cap:
                raise BudgetError(
                    f"{len(requests)} evaluations would make {spent + len(requests)} of {cap} allowed.",
                    "Raise --evaluations in a new campaign, or ask for fewer.",
                )
            position = connection.execute(sa.select(sa.func.coalesce(sa.func.max(_evaluations.c.position), 0))).scalar()
            for offset, (key, request, predicted, why) in enumerate(requests, start=1):
                connection.execute(
                    _evaluations.insert().values(
                        key=key,
                        position=int(position or 0) + offset,
                        round=round_number,
                        candidate_id=request.candidate_id,
                        purpose=request.purpose,
                        state="RESERVED",
                        request=request.canonical_json(),
                        predicted=canonical_json({k: v.model_dump(mode="json") for k, v in predicted.items()}),
                        why=why,
                    )
                )
            if round_number > 0:
                connection.execute(_plans.update().where(_plans.c.round == round_number).values(state="selected"))
            _append(connection, "reserved", round_number, {"keys": [r[0] for r in requests]})

    def mark(self, keys: Sequence[str], state: str, round_number: int) -> None:
        """Move open evaluations to another open state: the intent is on disk before the act."""
        if state not in OPEN_STATES and state != "UNKNOWN":
            raise LedgerError(f"'{state}' is not a state that `mark` may set.", f"Use one of {OPEN_STATES}.")
        with self._write() as connection:
            connection.execute(
                _evaluations.update()
                .where(_evaluations.c.key.in_(keys), _evaluations.c.state.in_(OPEN_STATES))
                .values(state=state)
            )
            _append(connection, state.lower(), round_number, {"keys": list(keys)})

    def record(self, observation: Observation, round_number: int) -> bool:
        """Record a result once; False when the key already has one (nothing is changed)."""
        state = "FAILED_CHARGED" if observation.failure else "DONE"
        with self._write() as connection:
            changed = connection.execute(
                _evaluations.update()
                .where(
                    _evaluations.c.key == observation.key,
                    _evaluations.c.state.not_in(("DONE", "FAILED_CHARGED")),
                )
                .values(state=state, observation=observation.canonical_json())
            ).rowcount
            if not changed:
                known = connection.execute(
                    sa.select(_evaluations.c.key).where(_evaluations.c.key == observation.key)
                ).scalar()
                if known is None:
                    raise LedgerError(
                        f"Result for key {observation.key[:12]}, which was never reserved.",
                        "It is not from this campaign; nothing was recorded.",
                    )
                return False
            _append(connection, state.lower(), round_number, {"key": observation.key, "digest": observation.digest()})
        return True

    def evaluations(self, round_number: int | None = None) -> list[EvaluationRow]:
        """Evaluations in the order of their reservation."""
        query = sa.select(_evaluations).order_by(_evaluations.c.position)
        if round_number is not None:
            query = query.where(_evaluations.c.round == round_number)
        with self._read() as connection:
            return [EvaluationRow(row) for row in connection.execute(query)]

    def spent(self) -> int:
        """Evaluations that count against the cap: reserved, running, finished or failed."""
        with self._read() as connection:
            return _spent(connection)


def _spent(connection: sa.Connection) -> int:
    query = sa.select(sa.func.count()).select_from(_evaluations).where(_evaluations.c.state.in_(SPENT_STATES))
    return int(connection.execute(query).scalar() or 0)


def _append(connection: sa.Connection, kind: str, round_number: int, payload: dict[str, Any]) -> None:
    last = connection.execute(
        sa.select(_events.c.seq, _events.c.hash).order_by(_events.c.seq.desc()).limit(1)
    ).one_or_none()
    row = {
        "seq": 1 if last is None else last.seq + 1,
        "at": time.time(),
        "kind": kind,
        "round": round_number,
        "payload": canonical_json(payload),
        "previous": GENESIS if last is None else last.hash,
    }
    connection.execute(_events.insert().values(**row, hash=_hash(row)))


def _hash(row: Any) -> str:
    return sha256(canonical_json([row[name] for name in ("seq", "at", "kind", "round", "payload", "previous")]))


def _configure(connection: Any, _: Any) -> None:
    # pysqlite's own transaction handling starts them too late; SQLAlchemy's recipe is to take it over.
    connection.isolation_level = None
    cursor = connection.cursor()
    # Rollback journal: WAL has a known corruption bug in SQLite 3.40, which Python 3.11 ships with.
    cursor.execute("PRAGMA journal_mode=DELETE")
    cursor.execute("PRAGMA synchronous=EXTRA")
    cursor.close()


def _begin_immediate(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_deferred(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN")
