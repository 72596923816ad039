"""Keeps logs and disk use bounded, and notices a disk that is full."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from .settings import ServiceSettings
from .state import ServiceEvent

EVERY_S = 60.0
BUSY = 0.02
"""Largest part of the service's time that walking through folders may take."""
LOGS = ("logs/*.log", "prefect/*.log", "jobs/workers/*/log.txt")
ROOT_LOGS = ("*.log", "logs/*.log", ".prefect/*.log")


class Housekeeper:
    """`step` does what is due once a minute; the free disk is looked at each time."""

    def __init__(self, root: Path, settings: ServiceSettings, notify: Callable[[ServiceEvent], None]) -> None:
        self._root = root
        self._settings = settings
        self._notify = notify
        self._next = 0.0
        self.disk_is_full = False
        self._over: dict[Path, str] = {}

    def why_paused(self, directory: Path) -> str:
        """Why a campaign may not work now; empty when it may."""
        return "the disk is full" if self.disk_is_full else self._over.get(directory, "")

    def step(self, directories: Sequence[Path]) -> None:
        """Look, and tidy up where it is due."""
        began = time.monotonic()
        if began >= self._next:
            self._rotate(self._root, ROOT_LOGS)
            for directory in directories:
                self._rotate(directory, LOGS)
                self._bound(directory)
            for gone in set(self._over) - set(directories):
                del self._over[gone]
            now = time.monotonic()
            self._next = now + max(EVERY_S, (now - began) / BUSY)
        free = shutil.disk_usage(self._root).free / 1e9
        # Some room more is needed to go on than to stop, or campaigns would flicker.
        limit = self._settings.min_free_gb * (1.2 if self.disk_is_full else 1.0)
        full = free < limit
        if full != self.disk_is_full:
            self.disk_is_full = full
            what = f"{free:.2f} GB are free in {self._root}; campaigns pause below {self._settings.min_free_gb:g} GB"
            self._notify(ServiceEvent(kind="disk" if full else "resumed", campaign=self._root.name, what=what))

    def _rotate(self, folder: Path, patterns: Sequence[str]) -> None:
        for pattern in patterns:
            for log in folder.glob(pattern):
                rotate(log, self._settings.log_mb * 1e6, self._settings.log_files)

    def _bound(self, directory: Path) -> None:
        limit = self._settings.max_disk_gb * 1e9
        used = size_of(directory)
        if used > limit:
            for scratch in finished_scratch(directory / "jobs"):
                if used <= limit:
                    break
                size = size_of(scratch)
                shutil.rmtree(scratch, ignore_errors=True)  # what could not be removed still counts
                used -= size - size_of(scratch)
        over = used > limit * (0.95 if directory in self._over else 1.0)
        if over == (directory in self._over):
            return
        what = f"{used / 1e9:.2f} GB in {directory}, with a bound of {self._settings.max_disk_gb:g} GB"
        if over:
            self._over[directory] = what
            what += "; nothing in it can go without loss: raise [service] max_disk_gb, or move the campaign"
        else:
            del self._over[directory]
        self._notify(ServiceEvent(kind="disk" if over else "resumed", campaign=directory.name, what=what))


def rotate(log: Path, limit: float, keep: int) -> bool:
    """Move the text of a log that is too large aside and empty it in place: its writer holds it open.

    What is written between the copy and the cut is lost from the log; ledgers and results are never logs.
    """
    copy = log.with_name(f".{log.name}.tmp")
    try:
        if log.is_symlink() or log.stat().st_size <= limit:
            return False
        shutil.copyfile(log, copy)
        for number in range(keep - 1, 0, -1):
            older = log.with_name(f"{log.name}.{number}")
            if older.exists():
                older.replace(log.with_name(f"{log.name}.{number + 1}"))
        copy.replace(log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)
    except OSError:
        # A full disk is noticed, and told, elsewhere; older logs have not moved.
        with suppress(OSError):
            copy.unlink()
        return False
    return True


def finished_scratch(jobs: Path) -> Iterator[Path]:
    """Scratch folders of evaluations that have a result, the oldest first."""
    found = []
    for result in jobs.glob("??/*/result.json"):
        try:
            at = result.stat().st_mtime
        except OSError:  # somebody has just removed the evaluation
            continue
        found += [(at, run) for run in result.parent.glob("run-*")]
    for _, run in sorted(found):
        yield run


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    total = 0
    for base, _, files in os.walk(folder):
        for name in files:
            try:
                total += os.lstat(os.path.join(base, name)).st_size
            except OSError:  # it has just been removed
                continue
    return total
