"""Copies of a ledger while it is in use, and bringing one back."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from ...tools.core.errors import LedgerError
from ...tools.evaluate.process import sync_path
from .ledger import Ledger
from .store import FILE_NAME
from .verify import verify


def backup(ledger: Ledger, target: Path) -> int:
    """Copy a ledger in one consistent state to a new file, while others go on writing; returns the copy's events.

    The copy is verified before it gets its name. Raises LedgerError; a PostgreSQL ledger is copied by `pg_dump`.
    """
    if not ledger.store.is_sqlite:
        raise LedgerError(
            f"{ledger.store.where} is in PostgreSQL.", f"Copy it with pg_dump --schema={ledger.store.schema}."
        )
    if target.exists():
        raise LedgerError(f"{target} exists.", "Give the copy a new name; nothing was overwritten.")
    folder = target.parent / f".{target.name}.{os.getpid()}"
    copy = folder / FILE_NAME
    try:
        folder.mkdir(parents=True)
        with closing(sqlite3.connect(ledger.store.where, timeout=120)) as source, closing(sqlite3.connect(copy)) as to:
            source.backup(to, pages=2000, sleep=0.01)
        found = verify(Ledger.open(folder, read_only=True))
        if found.problems:
            raise LedgerError(
                f"The copy of {ledger.store.where} is not sound: {found.problems[0]}", "Verify the ledger."
            )
        sync_path(copy)
        os.link(copy, target)
        sync_path(target.parent)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(f"Cannot copy to {target}: {error}.", "Free space or choose another place.") from error
    finally:
        for file in folder.glob("*"):
            file.unlink()
        if folder.exists():
            folder.rmdir()
    return found.events


def restore(copy: Path, directory: Path) -> None:
    """Put a copy in the place of a campaign's ledger; the old one is kept beside it. Raises LedgerError."""
    if not copy.is_file():
        raise LedgerError(f"No copy at {copy}.", "Name a file that `lodestone ledger backup` wrote.")
    place = directory / FILE_NAME
    fresh = directory / f".{FILE_NAME}.restored"
    try:
        fresh.unlink(missing_ok=True)
        fresh.write_bytes(copy.read_bytes())
        sync_path(fresh)
        journal = directory / f"{FILE_NAME}-journal"
        if place.exists():
            number = 1
            while (kept := directory / f"{FILE_NAME}.replaced-{number}").exists():
                number += 1
            place.rename(kept)
        # A journal belongs to the file that is replaced; beside the restored one it would be rolled into it.
        if journal.exists():
            journal.rename(directory / f"{FILE_NAME}.replaced-journal")
        fresh.rename(place)
        sync_path(directory)
    except OSError as error:
        raise LedgerError(
            f"Cannot restore into {directory}: {error.strerror}.", "Free space, check permissions."
        ) from error
