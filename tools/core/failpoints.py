"""Named places where a test can have the process killed, as a power cut would: SIGKILL, nothing flushed, no handler.

`LODESTONE_FAILPOINT=name:n` kills at the n-th passing of `name` in one process. With `LODESTONE_FAILPOINT_ONCE=FILE`
only the process that manages to create FILE dies, so that one kill in a tree of processes can be followed by
recovery. Without the first variable a passing costs one dictionary look-up.
"""

from __future__ import annotations

import os
import signal

JOB_POINTS: tuple[str, ...] = ()
"""Passed by evaluators, supervisors and calculators (`tools/evaluate`)."""

VARIABLES = ("LODESTONE_FAILPOINT", "LODESTONE_FAILPOINT_ONCE")

_passed: dict[str, int] = {}


def passing(name: str) -> None:
    """Die here when the environment says so."""
    wanted = os.environ.get("LODESTONE_FAILPOINT")
    if not wanted:
        return
    place, _, count = wanted.partition(":")
    if place != name:
        return
    _passed[name] = _passed.get(name, 0) + 1
    if _passed[name] == int(count or "1") and _first():
        os.kill(os.getpid(), signal.SIGKILL)


def _first() -> bool:
    once = os.environ.get("LODESTONE_FAILPOINT_ONCE")
    if not once:
        return True
    try:
        os.close(os.open(once, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True
