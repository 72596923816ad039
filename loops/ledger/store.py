"""Where a ledger is kept and how it is written: SQLite file or PostgreSQL schema, one transaction at a time.

What is not here: what is written (`ledger.py`).
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from ...tools.core.errors import BudgetError, ConfigError, LedgerError, LodestoneError
from ...tools.core.failpoints import passing
from ..files import write_bytes
from .schema import CAP_MARK, meta

FILE_NAME = "ledger.sqlite"
POINTER_NAME = "ledger.json"
"""Beside the jobs of a campaign whose ledger is in PostgreSQL: where it is. It never holds a password."""

BUSY_S = 120
"""Seconds that a writer waits for readers, and a reader for the writer."""

CONNECT_PATIENCE_S = 300.0
"""Seconds of trying to reach a PostgreSQL server that does not answer, before the session ends."""


def holds_ledger(directory: Path) -> bool:
    """Whether a directory is a campaign's."""
    return (directory / FILE_NAME).exists() or (directory / POINTER_NAME).exists()


class Store:
    """Transactions on one ledger."""

    def __init__(self, engine: sa.Engine, where: str, schema: str = "") -> None:
        self.engine = engine
        self.where = where
        """Name for messages."""
        self.schema = schema
        self.epoch: int | None = None
        """Which writer this is; a write is refused once another one has taken over. None: not a campaign's writer."""

    @property
    def is_sqlite(self) -> bool:
        """Whether the ledger is a file."""
        return self.engine.dialect.name == "sqlite"

    @classmethod
    def new(cls, directory: Path, url: str = "") -> Store:
        """A place for a new ledger. Raises ConfigError for an address that is none, LedgerError where one is."""
        if holds_ledger(directory):
            raise LedgerError(
                f"{directory} already holds a campaign.",
                f"Go on with `lodestone resume {directory}`, or give another --dir.",
            )
        if not url:
            return cls._sqlite(directory / FILE_NAME)
        address = _postgres_address(url)
        schema = f"lodestone_{secrets.token_hex(8)}"
        store = cls._postgres(address, schema)
        with store.write("schema") as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        bare = address.set(password=None).render_as_string()
        write_bytes(directory / POINTER_NAME, json.dumps({"url": bare, "schema": schema}).encode())
        return store

    @classmethod
    def existing(cls, directory: Path, read_only: bool = False) -> Store:
        """The place of an existing ledger. Raises LedgerError."""
        path, pointer = directory / FILE_NAME, directory / POINTER_NAME
        if path.is_file():
            return cls._sqlite(path, read_only)
        if not pointer.is_file():
            raise LedgerError(f"No campaign in {directory}.", 'Start one with `lodestone run "…" --dir DIR`.')
        try:
            data = json.loads(pointer.read_text()[:10_000])
            url, schema = str(data["url"]), str(data["schema"])
        except (ValueError, KeyError, TypeError) as error:
            raise LedgerError(f"{pointer} is damaged.", "Restore it from a copy: it names the database.") from error
        if not schema.removeprefix("lodestone_").isalnum():
            raise LedgerError(f"{pointer} names a schema '{schema[:80]}'.", "Restore it from a copy.")
        return cls._postgres(_postgres_address(url), schema, read_only)

    @classmethod
    def _sqlite(cls, path: Path, read_only: bool = False) -> Store:
        # A URL object, not a string: '?' and '#' in a path would otherwise be read as options.
        engine = sa.create_engine(
            sa.URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_S}, poolclass=sa.pool.NullPool
        )
        sa.event.listen(engine, "connect", _configure_sqlite)
        sa.event.listen(engine, "begin", _begin_immediate if not read_only else _begin_deferred)
        return cls(engine, str(path))

    @classmethod
    def _postgres(cls, address: sa.URL, schema: str, read_only: bool = False) -> Store:
        engine = sa.create_engine(
            address,
            poolclass=sa.pool.NullPool,
            connect_args={"connect_timeout": 10, "options": f"-c search_path={schema} -c client_encoding=utf8"},
            isolation_level="REPEATABLE READ" if read_only else "READ COMMITTED",
        )
        where = f"{address.host or 'localhost'}/{address.database} ({schema})"
        return cls(engine, where, schema)

    # --- transactions --------------------------------------------------------------------------

    @contextmanager
    def write(self, name: str) -> Iterator[sa.Connection]:
        """One transaction; with fail points before it, before its commit, and after it."""
        passing(f"ledger.{name}.before")
        try:
            with self._connect() as connection, connection.begin():
                if self.schema:
                    connection.execute(
                        sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": self.schema}
                    )
                self._check_epoch(connection)
                yield connection
                passing(f"ledger.{name}.inside")
        except LodestoneError:
            raise
        except sa.exc.DBAPIError as error:
            raise _explain(error, self.where) from error
        passing(f"ledger.{name}.after")

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One consistent view."""
        try:
            with self._connect() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise _explain(error, self.where) from error

    def _connect(self) -> sa.Connection:
        """A connection; a PostgreSQL server that is restarting is waited for. Nothing has been sent before."""
        deadline = time.monotonic() + CONNECT_PATIENCE_S
        wait = 0.2
        while True:
            try:
                return self.engine.connect()
            except sa.exc.OperationalError as error:
                if self.is_sqlite or time.monotonic() > deadline or _is_refusal(error):
                    raise
                time.sleep(wait)
                wait = min(2 * wait, 10.0)

    def _check_epoch(self, connection: sa.Connection) -> None:
        if self.epoch is None:
            return
        text = connection.execute(sa.select(meta.c.value).where(meta.c.name == "writer")).scalar()
        holder = json.loads(text) if text else {}
        if holder.get("epoch") != self.epoch:
            raise LedgerError(
                f"{self.where} was taken over by process {holder.get('pid')} on {holder.get('host')}.",
                "This process stops without writing; follow the campaign with `lodestone status`.",
            )


def _postgres_address(url: str) -> sa.URL:
    try:
        address = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise ConfigError(
            "[ledger] url is not an address.", "Give e.g. postgresql://user@localhost/lodestone."
        ) from error
    if address.get_backend_name() != "postgresql":
        raise ConfigError(
            f"[ledger] url names '{address.get_backend_name()}'.", "Leave it empty for SQLite, or name postgresql://…"
        )
    try:
        import psycopg  # noqa: F401  (only to tell early that it is missing)
    except ImportError as error:
        raise ConfigError("A ledger in PostgreSQL needs psycopg.", "pip install 'lodestone[postgres]'") from error
    return address.set(drivername="postgresql+psycopg")


def server_version(url: str) -> str:
    """The PostgreSQL that answers at an address. Raises ConfigError or LedgerError."""
    address = _postgres_address(url)
    engine = sa.create_engine(address, poolclass=sa.pool.NullPool, connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            return str(connection.exec_driver_sql("SHOW server_version").scalar())
    except sa.exc.DBAPIError as error:
        raise _explain(error, f"{address.host or 'localhost'}/{address.database}") from error


def _explain(error: sa.exc.DBAPIError, where: str) -> LodestoneError:
    text = " ".join(str(error.orig).split())[:300]
    if CAP_MARK in text:
        return BudgetError(f"A reservation in {where} would pass a cap.", "Raise the budget in a new campaign.")
    if "lodestone:" in text:
        return LedgerError(f"{where} refused a change: {text}.", "This is a defect, please report it.")
    if "not a database" in text or "malformed" in text:
        return LedgerError(
            f"{where} is not a readable ledger ({text}).",
            "Restore it with `lodestone ledger restore`; nothing was changed.",
        )
    return LedgerError(
        f"Cannot use {where}: {text}.",
        "Free space, check permissions or the database server, then `lodestone resume`; finished work is kept.",
    )


def _is_refusal(error: sa.exc.OperationalError) -> bool:
    """Whether the server answered and said no, which waiting does not change."""
    text = str(error.orig)
    return any(word in text for word in ("authentication", "does not exist", "password", "no pg_hba.conf"))


def _configure_sqlite(connection: Any, _: Any) -> None:
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
