"""Named places where a test can have the process killed, as a power cut would: SIGKILL, nothing flushed, no handler.

`LODESTONE_FAILPOINT=name:n` kills at the n-th passing of `name`. Without it a passing costs one dictionary look-up.
"""

from __future__ import annotations

import os
import signal

NAMES = ("planned", "proposed", "relaxed", "reserved", "submitted", "evaluated", "retrained", "finished")
"""After the plan, the proposals, a relaxed chunk, the reservation, the submission, one result, the head, the round."""

_passed: dict[str, int] = {}


def passing(name: str) -> None:
    """Die here when the environment says so."""
    wanted = os.environ.get("LODESTONE_FAILPOINT")
    if not wanted:
        return
    place, _, count = wanted.partition(":")
    if place == name:
        _passed[name] = _passed.get(name, 0) + 1
        if _passed[name] == int(count or "1"):
            os.kill(os.getpid(), signal.SIGKILL)
