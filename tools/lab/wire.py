"""What a driver needs of a wire, whatever the protocol: texts there and back, and two ways of failing.

What is not here: the wires (`sila/`, `opcua/`, `web/`), and what a driver makes of them (`remote.py`).
"""

from __future__ import annotations

from typing import Protocol

from ..core.errors import LabError
from .instrument import Command


class NoAnswerError(LabError):
    """Nobody answered in time: what became of the call has to be asked."""


class NotAcceptedError(LabError):
    """The wire itself said no; the instrument's own rules were not asked."""


class Wire(Protocol):
    """A connection to exactly one server, made where it is needed and made again after it broke.

    Every method ends within the deadline. All raise NoAnswerError where nobody answers, and LabError where it is not
    the server that was asked for.
    """

    def description(self) -> str:
        """Who answers, as JSON (`Description`)."""
        ...

    def check_definitions(self, kind: str) -> None:
        """Raise LabError where the server's idea of its commands is another one than the driver's."""
        ...

    def submit(self, kind: str, command: Command) -> str:
        """Send a command whose parameters are those of its definition; what the instrument says, as JSON
        (`CommandStatus`).

        Raises:
            NotAcceptedError: the protocol did not let it through.
        """
        ...

    def lookup(self, key: str) -> str:
        """What became of a key, as JSON (`CommandStatus`)."""
        ...

    def abort(self, key: str) -> None:
        """Break a command off."""
        ...

    def safe_state(self, reason: str) -> None:
        """Ask for the safe state."""
        ...

    def heartbeat(self) -> str:
        """A sign of life, as JSON (`Heartbeat`)."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...
