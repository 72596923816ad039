"""OPC UA as a wire: methods with typed arguments, replies as JSON in a string.

What is not here: what a driver makes of them (`../remote.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ...core.errors import LabError
from ..address import Address
from ..definitions import limits, typed
from ..instrument import Command, Limits, Value
from ..wire import NoAnswerError, NotAcceptedError
from .nodes import DESCRIPTION, LIMITS, NAMESPACE, name_of, node, quantities
from .secure import open_session

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal
    from asyncua import Client


class OpcuaWire:
    """A connection to one OPC UA server, on an event loop in a thread of its own.

    Args:
        address: where it is and who it has to be.
        deadline_s: of every call, s.
        handshake_s: of connecting, s.
    """

    def __init__(self, address: Address, deadline_s: float, handshake_s: float) -> None:
        self._address, self._deadline_s, self._handshake_s = address, deadline_s, handshake_s
        self._instrument = address.instrument
        self._stack: ExitStack | None = None
        self._portal: BlockingPortal
        self._client: Client
        self._namespace = 0

    def description(self) -> str:
        """Who answers."""
        return self._call(lambda: self._property(DESCRIPTION))

    def check_definitions(self, kind: str) -> None:
        """Refuse a server whose bounds are not those of the driver's definitions."""
        try:
            theirs = Limits.model_validate_json(self._call(lambda: self._property(LIMITS)))
        except ValidationError:
            theirs = None
        if theirs != limits(kind):
            raise LabError(
                f"{self._instrument} defines its commands in another way than this driver",
                "Use the driver of the instrument's version.",
            )

    def submit(self, kind: str, command: Command) -> str:
        """Send a command."""
        numbers = quantities(kind, command.name)
        for name, value in (values := typed(kind, command)).items():
            if (name in numbers) != isinstance(value, float):
                raise NotAcceptedError(f"{name} is {value!r}, a {'number' if name in numbers else 'text'} was expected")
        return self._call(lambda: self._method(name_of(command.name), *values.values()))

    def lookup(self, key: str) -> str:
        """What became of a key."""
        return self._call(lambda: self._method("Lookup", key))

    def abort(self, key: str) -> None:
        """Break a command off."""
        self._call(lambda: self._method("Abort", key))

    def safe_state(self, reason: str) -> None:
        """Ask for the safe state."""
        self._call(lambda: self._method("SafeState", reason))

    def heartbeat(self) -> str:
        """A sign of life."""
        return self._call(lambda: self._method("Heartbeat"))

    def close(self) -> None:
        """End the session, the loop and its thread."""
        if self._stack is None:
            return
        stack, self._stack = self._stack, None
        with stack:
            self._portal.call(self._leave)

    async def _leave(self) -> None:
        """Say goodbye where somebody listens; the socket is closed in any case."""
        from asyncua.ua import UaError

        try:
            async with asyncio.timeout(self._deadline_s):
                await self._client.disconnect()
        except (OSError, UaError):
            self._client.disconnect_socket()

    def _call(self, coroutine: Callable[[], Any]) -> str:
        from asyncua.ua import UaError
        from asyncua.ua.uaerrors import UaStatusCodeError

        async def within() -> str:
            async with asyncio.timeout(self._deadline_s):
                return str(await coroutine())

        self._connect()
        try:
            return self._portal.call(within)
        except UaStatusCodeError as error:
            if isinstance(error, _broken()):
                self._drop()
                raise self._silent(error) from error
            raise NotAcceptedError(f"{type(error).__name__}: {error}") from error
        except (OSError, UaError) as error:
            self._drop()
            raise self._silent(error) from error

    def _connect(self) -> None:
        if self._stack is not None:
            return
        from anyio.from_thread import start_blocking_portal
        from asyncua.ua import UaError

        async def connected() -> tuple[Client, int]:
            async with asyncio.timeout(self._handshake_s):
                client = await open_session(self._address, self._deadline_s)
                return client, await client.get_namespace_index(NAMESPACE)

        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal())
            try:
                self._client, self._namespace = self._portal.call(connected)
            except (OSError, UaError, ValueError) as error:
                raise LabError(
                    f"{self._instrument} at {self._address.place} does not answer as an OPC UA server of ours: "
                    f"{error or type(error).__name__}",
                    "Look whether it runs, and which version.",
                ) from error
            self._stack = stack.pop_all()

    def _drop(self) -> None:
        """Forget a connection on which somebody stopped answering; the next call makes another."""
        if self._stack is not None:
            stack, self._stack = self._stack, None
            with stack:
                self._portal.call(self._client.disconnect_socket)

    async def _property(self, name: str) -> str:
        return str(await self._client.get_node(node(self._namespace, self._instrument, name)).read_value())

    async def _method(self, name: str, *values: Value) -> str:
        from asyncua import ua

        arguments = [
            ua.Variant(v, ua.VariantType.Double if isinstance(v, float) else ua.VariantType.String) for v in values
        ]
        instrument = self._client.get_node(node(self._namespace, self._instrument))
        method = node(self._namespace, self._instrument, name)
        return str(await instrument.call_method(method, *arguments))

    def _silent(self, error: Exception) -> NoAnswerError:
        return NoAnswerError(
            f"{self._instrument} did not answer within {self._deadline_s:g} s: {str(error) or type(error).__name__}",
            "Look whether it runs.",
        )


def _broken() -> tuple[type[Exception], ...]:
    """What says that the session or the connection is gone, rather than that the call is wrong."""
    from asyncua.ua import uaerrors

    return (
        uaerrors.BadSessionClosed,
        uaerrors.BadSessionIdInvalid,
        uaerrors.BadSessionNotActivated,
        uaerrors.BadSecureChannelClosed,
        uaerrors.BadSecureChannelIdInvalid,
        uaerrors.BadConnectionClosed,
        uaerrors.BadServerHalted,
        uaerrors.BadShutdown,
        uaerrors.BadTimeout,
        uaerrors.BadCommunicationError,
    )
