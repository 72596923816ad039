"""An instrument at the other end of a wire, as the laboratory's protocol asks for it.

Every call has a deadline, a submission that got no answer, or the answer to another command, is looked up by its key,
and nothing is ever sent twice under two keys. What is not here: interlocks (`interlocks.py`), which decide before.
"""

from __future__ import annotations

import time

from pydantic import ValidationError

from ..core.errors import LabError
from .address import Address, check_host
from .definitions import COMMON, CONTROL, ENVELOPE, FEATURES, limits, parameters
from .instrument import Command, CommandStatus, Description, Heartbeat, Limits, refusal
from .opcua.wire import OpcuaWire
from .sila.wire import SilaWire
from .web.wire import WebWire
from .wire import NoAnswerError, NotAcceptedError, Wire

MAX_REPLY_CHARS = 2 * 1024 * 1024


class RemoteInstrument:
    """One instrument.

    Args:
        address: where it is, which protocol it speaks, and who it has to be.
        deadline_s: of every call, s.
        handshake_s: of every step of connecting, s; as `deadline_s` if None.
        loopback_only: refuse other machines.
    """

    def __init__(
        self,
        address: Address,
        deadline_s: float = 5.0,
        *,
        handshake_s: float | None = None,
        loopback_only: bool = True,
    ) -> None:
        self._address, self._loopback_only = address, loopback_only
        kinds: dict[str, type[SilaWire | OpcuaWire | WebWire]] = {
            "sila2": SilaWire,
            "opcua": OpcuaWire,
            "http": WebWire,
        }
        self._wire: Wire = kinds[address.protocol](address, deadline_s, handshake_s or deadline_s)
        self._description: Description | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self._address.instrument

    def describe(self) -> Description:
        """Which instrument answers; refuses one that is not the one that was pinned."""
        if self._description is None:
            if self._loopback_only:
                check_host(self._address)
            try:
                description = Description.model_validate_json(self._wire.description()[:MAX_REPLY_CHARS])
            except ValidationError as error:
                raise self._garbled("description", error) from error
            if description.name != self.name or description.server_id != self._address.server_id:
                raise LabError(
                    f"the server at {self._address.place} is {description.name} {description.server_id}, "
                    f"not {self.name} {self._address.server_id}",
                    "Find out who answers there before anything is moved.",
                )
            self._wire.check_definitions(description.kind)
            self._description = description
        return self._description

    def limits(self) -> Limits:
        """Bounds of the feature definitions, which are the same on both sides."""
        return limits(self.describe().kind)

    def submit(self, command: Command) -> CommandStatus:
        """Send a command once; without an answer, ask what became of its key."""
        kind = self.describe().kind
        names = parameters(CONTROL if command.name in COMMON else FEATURES[kind], command.name)
        if not names or set(command.parameters) != set(names) - set(ENVELOPE):
            return refusal(command.key, f"{self.name} knows no {command.name} with {sorted(command.parameters)}")
        try:
            status = _status(self._wire.submit(kind, command))
        except NoAnswerError:
            return self.lookup(command.key)
        except NotAcceptedError as error:
            seen = self.lookup(command.key)
            return refusal(command.key, f"not accepted: {error}") if seen.state == "never_seen" else seen
        if status is None or status.key != command.key:
            return self.lookup(command.key)
        return status

    def lookup(self, key: str) -> CommandStatus:
        """Ask what became of a key; `cannot_know` without a question when nobody answers within the deadline."""
        try:
            self.describe()
            status = _status(self._wire.lookup(key))
        except LabError as error:
            return CommandStatus(key=key, state="cannot_know", reason=str(error))
        if status is None or status.key != key:
            return CommandStatus(key=key, state="cannot_know", reason=f"{self.name} answered for another key")
        return status

    def abort(self, key: str) -> CommandStatus:
        """Ask to break a command off, then what became of it."""
        try:
            self.describe()
            self._wire.abort(key)
        except LabError as error:
            return CommandStatus(key=key, state="cannot_know", reason=str(error))
        return self.lookup(key)

    def safe_state(self, reason: str) -> None:
        """Ask for the safe state."""
        self.describe()
        self._wire.safe_state(reason[:512])

    def heartbeat(self) -> Heartbeat:
        """Exchange signs of life."""
        self.describe()
        try:
            return Heartbeat.model_validate_json(self._wire.heartbeat()[:MAX_REPLY_CHARS])
        except ValidationError as error:
            raise self._garbled("sign of life", error) from error

    def close(self) -> None:
        """End the connection."""
        self._wire.close()

    def _garbled(self, what: str, error: ValidationError) -> LabError:
        return LabError(
            f"the {what} of {self.name} cannot be read: {error.errors()[0]['msg']}", "Look which version runs there."
        )


def reachable(instrument: RemoteInstrument, deadline_s: float, poll_s: float = 0.2) -> bool:
    """Wait until an instrument answers, no longer than a deadline."""
    end = time.monotonic() + deadline_s
    while True:
        try:
            instrument.heartbeat()
        except LabError:
            if time.monotonic() > end:
                return False
            time.sleep(poll_s)
        else:
            return True


def _status(text: str) -> CommandStatus | None:
    try:
        return CommandStatus.model_validate_json(text[:MAX_REPLY_CHARS])
    except ValidationError:
        return None
