"""Looks at a calculation while it works: writes the heartbeat, and says when a limit is passed.

What is not here: ending the calculation (`worker.py`).
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from ..core.types import FailureKind, Frozen
from .process import group_usage

LOOK_S = 0.5
"""Seconds between looks: how far a limit can be passed."""

_DEPTH = 3
"""Folders below the scratch folder that are looked into: a try of the ladder, a volume, and what a program makes."""


class Limits(Frozen):
    """What one attempt may use. None: no limit."""

    wall_s: float
    core_s: float | None = None
    """What is left for this key after earlier attempts."""
    memory_mb: float | None = None
    silence_s: float | None = None


class Heartbeat(Frozen):
    """The last sign of life of an attempt."""

    attempt: int
    at: float
    """Wall clock of the machine that works, seconds since 1970."""
    core_s: float
    """Used so far by this attempt."""
    resident_mb: float
    quiet_s: float
    """Seconds since a file of the attempt has changed."""


class Passed(Frozen):
    """A limit that was passed."""

    reason: str
    kind: FailureKind
    retry: bool
    """Whether another attempt may go better: a hang, but not a calculation that is too large."""


class Watchdog:
    """Watches one attempt.

    Args:
        attempt: its number.
        group: process group of the calculator.
        scratch: where it writes.
        limits: what it may use.
        spent_core_s: what this calculator process used for earlier tasks.
    """

    def __init__(self, attempt: int, group: int, scratch: Path, limits: Limits, spent_core_s: float) -> None:
        self._attempt = attempt
        self._group = group
        self._scratch = scratch
        self._limits = limits
        self._base = spent_core_s
        self._began = time.monotonic()
        self._signature: object = None
        self._changed = self._began

    def look(self) -> tuple[Heartbeat, Passed | None]:
        """One look: the sign of life, and the first limit that is passed."""
        now = time.monotonic()
        core_s, resident = group_usage(self._group)
        core_s = max(0.0, core_s - self._base)
        signature = _signature(self._scratch)
        if signature != self._signature:
            self._signature, self._changed = signature, now
        quiet = now - self._changed
        beat = Heartbeat(
            attempt=self._attempt, at=time.time(), core_s=core_s, resident_mb=resident / 1e6, quiet_s=quiet
        )
        return beat, self._passed(now - self._began, beat)

    def _passed(self, wall_s: float, beat: Heartbeat) -> Passed | None:
        limits = self._limits
        if wall_s > limits.wall_s:
            return Passed(reason=f"passed the limit of {limits.wall_s:g} s", kind="wall", retry=False)
        if limits.core_s is not None and beat.core_s > limits.core_s:
            words = f"used up what was reserved for it: {limits.core_s:.0f} core seconds were left"
            return Passed(reason=words, kind="allowance", retry=False)
        if limits.memory_mb is not None and beat.resident_mb > limits.memory_mb:
            words = f"used {beat.resident_mb:.0f} MB, memory_limit_mb is {limits.memory_mb:g}"
            return Passed(reason=words, kind="memory", retry=False)
        if limits.silence_s is not None and beat.quiet_s > limits.silence_s:
            words = f"wrote nothing for {beat.quiet_s:.0f} s, silence_limit_s is {limits.silence_s:g}"
            return Passed(reason=words, kind="silence", retry=True)
        return None


def _signature(folder: Path, depth: int = _DEPTH) -> object:
    """Changes whenever a file below a folder is written to."""
    found: list[object] = []
    try:
        for entry in sorted(os.scandir(folder), key=lambda e: e.name):
            stat = entry.stat(follow_symlinks=False)
            found.append((entry.name, stat.st_size, stat.st_mtime_ns))
            if depth and entry.is_dir(follow_symlinks=False):
                found.append(_signature(Path(entry.path), depth - 1))
    except OSError:
        return None
    return found
