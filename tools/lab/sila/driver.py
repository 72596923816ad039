"""An instrument over SiLA 2, as the laboratory's protocol asks for it.

Every call has a deadline, a submission that got no answer, or the answer to another command, is looked up by its key,
and nothing is ever sent twice under two keys. What is not here: interlocks (`../interlocks.py`), which decide before.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NoReturn

from pydantic import ValidationError

from ...core.errors import LabError
from ..instrument import Command, CommandStatus, Description, Heartbeat, Limits, refusal
from .definitions import COMMON, CONTROL, ENVELOPE, FEATURES, definition, identifier, limits, parameters
from .secure import Address, connect

if TYPE_CHECKING:
    from sila2.client import SilaClient

MAX_REPLY_CHARS = 2 * 1024 * 1024


class SilaInstrument:
    """One instrument.

    Args:
        address: where it is and who it has to be.
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
        self._address, self._deadline_s, self._loopback_only = address, deadline_s, loopback_only
        self._handshake_s = handshake_s
        self._client: SilaClient | None = None
        self._description: Description | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return self._address.instrument

    def describe(self) -> Description:
        """Which instrument answers; refuses one that is not the one that was pinned."""
        if self._description is None:
            client = self._connected()
            found = self._call(client.InstrumentControl.Description.get)
            description = Description.model_validate_json(found)
            if description.name != self.name or description.server_id != self._address.server_id:
                raise LabError(
                    f"the server at {self._address.host}:{self._address.port} is {description.name}, not {self.name}",
                    "Find out who answers there before anything is moved.",
                )
            self._compare_definitions(client, description)
            self._description = description
        return self._description

    def limits(self) -> Limits:
        """Bounds of the feature definitions, which are the same on both sides."""
        return limits(self.describe().kind)

    def submit(self, command: Command) -> CommandStatus:
        """Send a command once; without an answer, ask what became of its key."""
        kind = self.describe().kind
        feature = CONTROL if command.name in COMMON else FEATURES[kind]
        names = parameters(feature, command.name)
        if not names or set(command.parameters) != set(names) - set(ENVELOPE):
            return refusal(command.key, f"{self.name} knows no {command.name} with {sorted(command.parameters)}")
        bounds = self.limits().commands[command.name]
        numeric = {b.name for b in bounds if b.minimum is not None or b.maximum is not None}
        values: dict[str, Any] = {"key": command.key, "issued_at": float(command.issued_at_s)}
        for name, value in command.parameters.items():
            values[name] = float(value) if name in numeric and not isinstance(value, str | bool) else value
        arguments = {identifier(name): values[name] for name in names}
        from sila2.framework import SilaConnectionError, SilaError

        call = getattr(getattr(self._connected(), feature), identifier(command.name))
        try:
            status = _status(call(**arguments).Status)
        except SilaConnectionError:
            return self.lookup(command.key)
        except (SilaError, TypeError, ValueError) as error:
            return self._not_accepted(command.key, error)
        if status is None or (status.key != command.key):
            return self.lookup(command.key)
        return status

    def lookup(self, key: str) -> CommandStatus:
        """Ask what became of a key; `cannot_know` without a question when nobody answers within the deadline."""
        try:
            text = self._call(lambda: self._connected().InstrumentControl.Lookup(key).Status)
        except LabError as error:
            return CommandStatus(key=key, state="cannot_know", reason=str(error))
        status = _status(text)
        if status is None or status.key != key:
            return CommandStatus(key=key, state="cannot_know", reason=f"{self.name} answered for another key")
        return status

    def abort(self, key: str) -> CommandStatus:
        """Ask to break a command off, then what became of it."""
        try:
            self._call(lambda: self._connected().InstrumentControl.Abort(key))
        except LabError as error:
            return CommandStatus(key=key, state="cannot_know", reason=str(error))
        return self.lookup(key)

    def safe_state(self, reason: str) -> None:
        """Ask for the safe state."""
        self._call(lambda: self._connected().InstrumentControl.SafeState(reason[:512]))

    def heartbeat(self) -> Heartbeat:
        """Exchange signs of life."""
        self.describe()
        text = self._call(lambda: self._connected().InstrumentControl.Heartbeat.get())
        return Heartbeat.model_validate_json(text[:MAX_REPLY_CHARS])

    def close(self) -> None:
        """End the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connected(self) -> Any:
        if self._client is None:
            self._client = connect(
                self._address,
                self._deadline_s,
                handshake_s=self._handshake_s,
                loopback_only=self._loopback_only,
            )
        return self._client

    def _call(self, function: Any) -> Any:
        from sila2.framework import SilaConnectionError, SilaError

        try:
            return function()
        except (SilaConnectionError, SilaError) as error:
            self._silent(error)

    def _silent(self, error: Exception) -> NoReturn:
        raise LabError(
            f"{self.name} did not answer within {self._deadline_s:g} s: {error}", "Look whether it runs."
        ) from error

    def _not_accepted(self, key: str, error: Exception) -> CommandStatus:
        """The wire itself said no: what the definitions do not allow never reaches an instrument's own rules."""
        seen = self.lookup(key)
        return refusal(key, f"not accepted: {error}") if seen.state == "never_seen" else seen

    def _compare_definitions(self, client: SilaClient, description: Description) -> None:
        """Refuse a server whose idea of its commands is another one."""
        for feature in (CONTROL, FEATURES[description.kind]):
            theirs = client._features[feature]._feature_definition if feature in client._features else ""
            if theirs != _normal(feature):
                raise LabError(
                    f"{self.name} defines {feature} in another way than this driver",
                    "Use the driver of the instrument's version.",
                )


def reachable(instrument: SilaInstrument, deadline_s: float, poll_s: float = 0.2) -> bool:
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


def _normal(feature: str) -> str:
    from lxml import etree
    from sila2.framework.utils import xml_node_to_normalized_string

    node = etree.fromstring(definition(feature).encode(), parser=etree.XMLParser(resolve_entities=False))
    return str(xml_node_to_normalized_string(node))
