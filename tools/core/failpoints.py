"""Named places where a test can have the process killed, as a power cut would: SIGKILL, nothing flushed, no handler.

`LODESTONE_FAILPOINT=name:n` kills at the n-th passing of `name` in one process. With `LODESTONE_FAILPOINT_ONCE=FILE`
only the process that manages to create FILE dies, so that one kill in a tree of processes can be followed by
recovery. With `LODESTONE_FAILPOINT_TRACE=FILE` every passing appends a line with its name instead: so a test finds
out where it can kill. With `LODESTONE_FAILPOINT_RANDOM=RATE:FILE` that share of all operations (the places named
`….before`) meets a fault: SIGKILL, a full disk or an I/O error; FILE counts them. Without these variables a passing
costs three dictionary look-ups.
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
    _passed[name] = _passed.get(name, 0) + 1
    if _passed[name] == int(count or "1") and _first():
        os.kill(os.getpid(), signal.SIGKILL)


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


def _first() -> bool:
    once = os.environ.get("LODESTONE_FAILPOINT_ONCE")
    if not once:
        return True
    try:
        os.close(os.open(once, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True
