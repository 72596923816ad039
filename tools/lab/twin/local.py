"""Instruments of a twin in the same process, without a wire: for rehearsals and state machines.

What is not here: everything that only a wire can do to a command (`remote.py`).
"""

from __future__ import annotations

from ..definitions import limits
from ..instrument import Command, CommandStatus, Description, Heartbeat, Limits
from .bounds import kind_of
from .desk import VERSION, place_of
from .laboratory import Laboratory
from .world import INSTRUMENTS


class LocalInstrument:
    """One instrument of a laboratory.

    Args:
        laboratory: its controller.
        name: which one.
    """

    def __init__(self, laboratory: Laboratory, name: str) -> None:
        self._laboratory, self._name = laboratory, name

    def describe(self) -> Description:
        """Which instrument this is."""
        return Description(
            name=self._name,
            kind=kind_of(self._name),  # type: ignore[arg-type]
            server_id="local",
            version=VERSION,
            place=place_of(self._name),
        )

    def limits(self) -> Limits:
        """What may be asked of it."""
        return limits(kind_of(self._name))

    def submit(self, command: Command) -> CommandStatus:
        """Start a command."""
        return self._laboratory.submit(self._name, command)

    def lookup(self, key: str) -> CommandStatus:
        """What became of a key."""
        return self._laboratory.lookup(self._name, key)

    def abort(self, key: str) -> CommandStatus:
        """Break a command off."""
        return self._laboratory.abort(self._name, key)

    def safe_state(self, reason: str) -> None:
        """Go to the safe state."""
        self._laboratory.safe_state(reason)

    def heartbeat(self) -> Heartbeat:
        """A sign of life."""
        return self._laboratory.heartbeat(self._name)


def instruments(laboratory: Laboratory) -> dict[str, LocalInstrument]:
    """All instruments of a laboratory, by name."""
    return {name: LocalInstrument(laboratory, name) for name in INSTRUMENTS}
