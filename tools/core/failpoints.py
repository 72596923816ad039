"""Named places where a test can have the process killed, as a power cut would: SIGKILL, nothing flushed, no handler.

`LODESTONE_FAILPOINT=name:n` kills at the n-th passing of `name` in one process. With `LODESTONE_FAILPOINT_ONCE=FILE`
it is the n-th passing in all processes together, and only the process that manages to create FILE dies, so that one
kill in a tree of processes can be followed by recovery. With `LODESTONE_FAILPOINT_TRACE=FILE` every passing appends a
line with its name instead: so a test finds out where it can kill. With `LODESTONE_FAILPOINT_RANDOM=RATE:FILE` that
share of all operations (the places named `….before`) meets a fault: SIGKILL, a full disk or an I/O error; FILE counts
them. Without these variables a passing costs three dictionary look-ups.
"""

from __future__ import annotations

import errno
import os
import random
import signal

VARIABLES = (
    "LODESTONE_FAILPOINT",
    "LODESTONE_FAILPOINT_ONCE",
    "LODESTONE_FAILPOINT_TRACE",
    "LODESTONE_FAILPOINT_RANDOM",
)

_FAULTS = ("kill", "ENOSPC", "EIO")

_passed: dict[str, int] = {}


def passing(name: str) -> None:
    """Die here when the environment says so."""
    trace = os.environ.get("LODESTONE_FAILPOINT_TRACE")
    if trace:
        with open(trace, "a", encoding="utf-8") as file:
            file.write(f"{name}\n")
    chance = os.environ.get("LODESTONE_FAILPOINT_RANDOM")
    if chance and name.endswith(".before"):
        _perhaps(name, chance)
    wanted = os.environ.get("LODESTONE_FAILPOINT")
    if not wanted:
        return
    place, _, count = wanted.partition(":")
    if place != name:
        return
    once = os.environ.get("LODESTONE_FAILPOINT_ONCE")
    if _count(name, once) == int(count or "1") and _first(once):
        os.kill(os.getpid(), signal.SIGKILL)


def _count(name: str, once: str | None) -> int:
    """Which passing this is."""
    if not once:
        _passed[name] = _passed.get(name, 0) + 1
        return _passed[name]
    descriptor = os.open(f"{once}.passed", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    try:
        os.write(descriptor, b".")
        return os.lseek(descriptor, 0, os.SEEK_CUR)
    finally:
        os.close(descriptor)


def _perhaps(name: str, chance: str) -> None:
    """Meet a fault with the chance that the environment asks for."""
    rate, _, log = chance.partition(":")
    fault = random.choice(_FAULTS) if random.random() < float(rate) else None
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"{fault} {name}\n")
    if fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault is not None:
        code = getattr(errno, fault)
        raise OSError(code, os.strerror(code), name)


def _first(once: str | None) -> bool:
    if not once:
        return True
    try:
        os.close(os.open(once, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True
