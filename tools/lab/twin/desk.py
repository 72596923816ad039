"""One instrument's side of a wire, whatever the protocol: Python values in, JSON out.

What is not here: rules and state (`laboratory.py`), and the protocols (`sila.py`, `opcua.py`, `web.py`).
"""

from __future__ import annotations

from typing import Any

from ..instrument import CommandStatus, Description, read_command
from .bounds import kind_of
from .identity import Identity
from .laboratory import Laboratory
from .world import BALANCE, FURNACES, GONIOMETER, MILL

VERSION = "1.0"
_PLACE = {"dosing": BALANCE, "mixing": MILL, "diffractometer": GONIOMETER, **{name: name for name in FURNACES}}


def place_of(instrument: str) -> str:
    """Where a sample stands while an instrument works on it; empty for the transport."""
    return _PLACE.get(instrument, "")


class ReplyLost(BaseException):
    """No reply: not an `Exception`, so that no layer turns it into one."""


class Desk:
    """One instrument's side of the wire: Python values in, JSON out.

    Args:
        laboratory: the controller.
        instrument: its name.
        identity: of its server.
    """

    def __init__(self, laboratory: Laboratory, instrument: str, identity: Identity) -> None:
        self._laboratory, self.instrument = laboratory, instrument
        self._last: CommandStatus | None = None
        self.description = Description(
            name=instrument,
            kind=kind_of(instrument),  # type: ignore[arg-type]
            server_id=identity.server_id,
            version=VERSION,
            place=place_of(instrument),
        )

    def submit(self, name: str, values: dict[str, Any]) -> str:
        """Start a command; its parameters and the envelope are among the values."""
        key, issued = str(values.pop("key")), values.pop("issued_at")
        command = read_command(key, name, values, issued)
        if isinstance(command, CommandStatus):
            return command.model_dump_json()
        before, status = self._last, self._laboratory.submit(self.instrument, command)
        self._last = status
        fault = self._laboratory.reply_fault(key)
        if fault == "lost_acknowledgement":
            raise ReplyLost
        if fault == "duplicated_reply" and before is not None:
            return before.model_dump_json()
        return status.model_dump_json()

    def lookup(self, key: str) -> str:
        """What became of a key."""
        return self._laboratory.lookup(self.instrument, key).model_dump_json()

    def abort(self, key: str) -> str:
        """Break a command off."""
        return self._laboratory.abort(self.instrument, key).model_dump_json()

    def safe_state(self, reason: str) -> str:
        """Go to the safe state."""
        self._laboratory.safe_state(reason)
        return "{}"

    def heartbeat(self) -> str:
        """A sign of life."""
        return self._laboratory.heartbeat(self.instrument).model_dump_json()
