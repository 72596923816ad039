"""Faults on request: what goes wrong, at which command, drawn from the seed and the key so that a run can be repeated.

What is not here: what a fault does to the laboratory (`laboratory.py`, `operations.py`) or to a reply (`server.py`).
"""

from __future__ import annotations

import random
from typing import Literal

from pydantic import Field

from ...core.types import Fraction, Frozen

FaultKind = Literal[
    "lost_acknowledgement",
    "duplicated_reply",
    "stuck_sensor",
    "drift",
    "door_jam",
    "crash_before",
    "crash_after",
    "crash_at_end",
    "power_loss",
]
"""A reply that never comes; the reply of an earlier command; a thermocouple that stays where it is; a thermocouple or a
balance that drifts; a door that does not move; SIGKILL before a command is on record, after it is, or when it ends;
SIGKILL with half a line in the journal."""

_WHERE: dict[str, tuple[FaultKind, ...]] = {
    "heat": ("stuck_sensor", "drift"),
    "dose": ("drift",),
    "open_door": ("door_jam",),
    "close_door": ("door_jam",),
}
_ANYWHERE: tuple[FaultKind, ...] = (
    "lost_acknowledgement",
    "duplicated_reply",
    "crash_before",
    "crash_after",
    "crash_at_end",
    "power_loss",
)


class Faults(Frozen):
    """How often something goes wrong."""

    rate: Fraction = 0.0
    """Of commands that were accepted."""
    kinds: tuple[FaultKind, ...] = Field(default=(*_ANYWHERE, "stuck_sensor", "drift", "door_jam"))
    crashes: Fraction = 1.0
    """Share of drawn crashes that happen; the others become lost acknowledgements, since starting again takes time."""
    seed: int = 0

    def draw(self, key: str, command: str, boots: int) -> FaultKind | None:
        """What befalls a command. A laboratory that has started again since draws again."""
        if self.rate == 0.0:
            return None
        chance = random.Random(f"{self.seed}:{key}:{boots}")
        if chance.random() >= self.rate:
            return None
        own = [kind for kind in _WHERE.get(command, ()) if kind in self.kinds]
        general = [kind for kind in _ANYWHERE if kind in self.kinds]
        possible = own if own and (not general or chance.random() < 0.5) else general
        if not possible:
            return None
        kind = chance.choice(possible)
        if kind in ("crash_before", "crash_after", "crash_at_end", "power_loss") and chance.random() >= self.crashes:
            return "lost_acknowledgement" if "lost_acknowledgement" in self.kinds else None
        return kind
