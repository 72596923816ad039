"""One writer a campaign directory: an flock that dies with its holder, and the holder's name for the refused."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from pathlib import Path
from typing import IO

from ..tools.core.errors import LedgerError


class CampaignLock:
    """Held for as long as a process writes to a campaign; released by the kernel however that process ends."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "campaign.lock"
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take the lock, or raise LedgerError that names the holder."""
        try:
            handle = self._path.open("a+", encoding="utf-8")
        except OSError as error:
            raise LedgerError(
                f"Cannot write in {self._path.parent}: {error.strerror}.",
                "Choose another --dir, or free space and check its permissions.",
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            holder = handle.read(500)
            handle.close()
            raise LedgerError(
                f"{self._path.parent} is in use by {_describe(holder)}.",
                "Wait for it or stop it (Ctrl-C); `lodestone status` works meanwhile.",
            ) from None
        try:
            handle.seek(0)
            handle.truncate()
            handle.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
            handle.flush()
        except OSError as error:
            handle.close()
            raise LedgerError(
                f"Cannot write in {self._path.parent}: {error.strerror}.", "Free space or choose another --dir."
            ) from error
        self._file = handle

    def release(self) -> None:
        """Give the lock back; no effect when it is not held."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _describe(holder: str) -> str:
    try:
        data = json.loads(holder)
        return f"process {int(data['pid'])} on {str(data['host'])[:100]}"
    except (ValueError, KeyError, TypeError):
        return "another Lodestone process"
