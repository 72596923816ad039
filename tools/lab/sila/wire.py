"""SiLA 2 as a wire: typed commands of the feature definitions, replies as JSON in a string.

What is not here: what a driver makes of them (`../remote.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...core.errors import LabError
from ..address import Address
from ..definitions import COMMON, CONTROL, FEATURES, definition, identifier, typed
from ..instrument import Command
from ..wire import NoAnswerError, NotAcceptedError
from .secure import connect

if TYPE_CHECKING:
    from sila2.client import SilaClient


class SilaWire:
    """A connection to one SiLA 2 server.

    Args:
        address: where it is and who it has to be.
        deadline_s: of every call, s.
        handshake_s: of every step of connecting, in which feature definitions are compiled, s.
    """

    def __init__(self, address: Address, deadline_s: float, handshake_s: float) -> None:
        self._address, self._deadline_s, self._handshake_s = address, deadline_s, handshake_s
        self._client: SilaClient | None = None

    def description(self) -> str:
        """Who answers."""
        return self._call(lambda control: control.Description.get())

    def check_definitions(self, kind: str) -> None:
        """Refuse a server whose idea of its commands is another one."""
        features = self._connected()._features
        for feature in (CONTROL, FEATURES[kind]):
            theirs = features[feature]._feature_definition if feature in features else ""
            if theirs != _normal(feature):
                raise LabError(
                    f"{self._address.instrument} defines {feature} in another way than this driver",
                    "Use the driver of the instrument's version.",
                )

    def submit(self, kind: str, command: Command) -> str:
        """Send a command."""
        from sila2.framework import SilaConnectionError, SilaError

        feature = CONTROL if command.name in COMMON else FEATURES[kind]
        arguments = {identifier(name): value for name, value in typed(kind, command).items()}
        call = getattr(getattr(self._connected(), feature), identifier(command.name))
        try:
            return str(call(**arguments).Status)
        except SilaConnectionError as error:
            raise self._silent(error) from error
        except (SilaError, TypeError, ValueError) as error:
            raise NotAcceptedError(str(error)) from error

    def lookup(self, key: str) -> str:
        """What became of a key."""
        return self._call(lambda control: control.Lookup(key).Status)

    def abort(self, key: str) -> None:
        """Break a command off."""
        self._call(lambda control: control.Abort(key))

    def safe_state(self, reason: str) -> None:
        """Ask for the safe state."""
        self._call(lambda control: control.SafeState(reason))

    def heartbeat(self) -> str:
        """A sign of life."""
        return self._call(lambda control: control.Heartbeat.get())

    def close(self) -> None:
        """End the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connected(self) -> Any:
        if self._client is None:
            self._client = connect(self._address, self._deadline_s, self._handshake_s)
        return self._client

    def _call(self, function: Callable[[Any], Any]) -> str:
        from sila2.framework import SilaConnectionError, SilaError

        try:
            return str(function(self._connected().InstrumentControl))
        except (SilaConnectionError, SilaError) as error:
            raise self._silent(error) from error

    def _silent(self, error: Exception) -> NoAnswerError:
        return NoAnswerError(
            f"{self._address.instrument} did not answer within {self._deadline_s:g} s: {error}", "Look whether it runs."
        )


def _normal(feature: str) -> str:
    from lxml import etree
    from sila2.framework.utils import xml_node_to_normalized_string

    node = etree.fromstring(definition(feature).encode(), parser=etree.XMLParser(resolve_entities=False))
    return str(xml_node_to_normalized_string(node))
