"""One writer a campaign directory: an flock that dies with its holder, and the holder's name for the refused."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from ..tools.core.errors import LedgerError
from ..tools.evaluate.process import ProcessMark, is_alive, mark_process


class CampaignLock:
    """Held for as long as a process writes to a campaign; released by the kernel however that process ends.

    On a file system shared by machines the kernel cannot see a holder elsewhere: a lock that was left without being
    given back is taken only when its holder is dead for certain (same machine, or the same one before a reboot).
    """

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
        handle.seek(0)
        holder = handle.read(1000)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.close()
            raise LedgerError(
                f"{self._path.parent} is in use by {_describe(holder)}.",
                "Wait for it or stop it (Ctrl-C); `lodestone status` works meanwhile.",
            ) from None
        if _may_live(holder):
            handle.close()
            raise LedgerError(
                f"{self._path.parent} was last used by {_describe(holder)}, which may still run.",
                f"Make sure that it has ended, then remove {self._path}.",
            )
        mark = mark_process(os.getpid())
        try:
            handle.seek(0)
            handle.truncate()
            handle.write("" if mark is None else mark.model_dump_json())
            handle.flush()
            os.fsync(handle.fileno())
        except OSError as error:
            handle.close()
            raise LedgerError(
                f"Cannot write in {self._path.parent}: {error.strerror}.", "Free space or choose another --dir."
            ) from error
        self._file = handle

    def release(self) -> None:
        """Give the lock back; no effect when it is not held."""
        if self._file is not None:
            # A disk that refuses leaves our name in the file, which only a process on another machine would heed; the
            # error that ended the session must not be hidden by this one.
            with suppress(OSError):
                self._file.truncate(0)
            self._file.close()
            self._file = None


def _may_live(holder: str) -> bool:
    """Whether the holder of a free lock, who never gave it back, may still run: only on a machine that is not ours."""
    try:
        mark = ProcessMark.model_validate_json(holder)
    except ValidationError:
        return False
    # The lock is free, so on this kernel the holder is gone, whatever its process number is used for now.
    return is_alive(mark) is None


def _describe(holder: str) -> str:
    try:
        data = json.loads(holder)
        return f"process {int(data['pid'])} on {str(data['host'])[:100]}"
    except (ValueError, KeyError, TypeError):
        return "another Lodestone process"
