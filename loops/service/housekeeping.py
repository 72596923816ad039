"""Keeps logs and disk use bounded, and notices a disk that is full."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .settings import ServiceSettings

if TYPE_CHECKING:
    from .supervisor import ServiceEvent

EVERY_S = 60.0
LOGS = ("logs/*.log", "prefect/*.log", "jobs/workers/*/log.txt")


class Housekeeper:
    """`step` does what is due once a minute; the free disk is looked at each time."""

    def __init__(self, root: Path, settings: ServiceSettings, notify: Callable[[ServiceEvent], None]) -> None:
        self._root = root
        self._settings = settings
        self._notify = notify
        self._next = 0.0
        self.disk_is_full = False

    def step(self, directories: Sequence[Path]) -> None:
        """Look, and tidy up where it is due."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY_S
            for log in self._root.glob("logs/*.log"):
                rotate(log, self._settings.log_mb * 1e6, self._settings.log_files)
            for directory in directories:
                self._tidy(directory)
        free = shutil.disk_usage(self._root).free / 1e9
        # Some room more is needed to go on than to stop, or campaigns would flicker.
        limit = self._settings.min_free_gb * (1.2 if self.disk_is_full else 1.0)
        full = free < limit
        if full != self.disk_is_full:
            from .supervisor import ServiceEvent

            what = f"{free:.2f} GB are free in {self._root}; campaigns pause below {self._settings.min_free_gb:g} GB"
            self._notify(ServiceEvent(kind="disk" if full else "resumed", campaign=self._root.name, what=what))
            self.disk_is_full = full

    def _tidy(self, directory: Path) -> None:
        for pattern in LOGS:
            for log in directory.glob(pattern):
                rotate(log, self._settings.log_mb * 1e6, self._settings.log_files)
        limit = self._settings.max_disk_gb * 1e9
        used = size_of(directory)
        for scratch in finished_scratch(directory / "jobs"):
            if used <= limit:
                return
            used -= size_of(scratch)
            shutil.rmtree(scratch, ignore_errors=True)


def rotate(log: Path, limit: float, keep: int) -> bool:
    """Move the text of a log that is too large aside and empty it in place: its writer holds it open.

    What is written between the copy and the cut is lost from the log; ledgers and results are never logs.
    """
    try:
        if log.stat().st_size <= limit:
            return False
        for number in range(keep - 1, 0, -1):
            older = log.with_name(f"{log.name}.{number}")
            if older.exists():
                older.replace(log.with_name(f"{log.name}.{number + 1}"))
        shutil.copyfile(log, log.with_name(f"{log.name}.1"))
        os.truncate(log, 0)
    except OSError:
        return False  # a full disk is noticed, and told, elsewhere
    return True


def finished_scratch(jobs: Path) -> Iterator[Path]:
    """Scratch folders of evaluations that have a result, the oldest first."""
    found = []
    for result in jobs.glob("??/*/result.json"):
        for run in result.parent.glob("run-*"):
            found.append((result.stat().st_mtime, run))
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
