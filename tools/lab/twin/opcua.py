"""One instrument of the twin as an OPC UA server (asyncua).

What is not here: what it says (`desk.py`).
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from ..definitions import COMMON, CONTROL, FEATURES, limits, parameters
from ..opcua.nodes import (
    DESCRIPTION,
    LIMITS,
    NAMESPACE,
    STATUS,
    USER,
    endpoint,
    name_of,
    node,
    quantities,
    server_uri,
)  # fmt: skip
from .desk import Desk, ReplyLost
from .identity import Identity

if TYPE_CHECKING:
    from asyncua import Node, Server

SILENCE_S = 60.0
"""How long a reply that is lost is not given: longer than any driver waits."""


class OpcuaService:
    """A server that listens from the start, on an event loop in a thread of its own.

    Args:
        desk: of the instrument.
        identity: of the server.
        host: IPv4 address to listen on.
        port: to listen on.
    """

    def __init__(self, desk: Desk, identity: Identity, host: str, port: int) -> None:
        from anyio.from_thread import start_blocking_portal

        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal())
            server = portal.call(_serve, desk, identity, host, port)
            stack.callback(portal.call, server.stop)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Stop listening."""
        self._stack.close()


class _Users:
    """Lets in who knows the token."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    def get_user(self, _server: Any, username: str | None = None, password: str | None = None, **_: Any) -> Any:
        from asyncua.crypto.permission_rules import User, UserRole

        if username == USER and hmac.compare_digest((password or "").encode(), self._token):
            return User(role=UserRole.User)
        return None


async def _serve(desk: Desk, identity: Identity, host: str, port: int) -> Server:
    from asyncua import Server, ua

    server = Server(user_manager=_Users(identity.token))  # type: ignore[arg-type]
    await server.init()
    server.set_endpoint(endpoint(host, port, desk.instrument))
    server.set_server_name(desk.instrument)
    await server.set_application_uri(server_uri(identity.server_id))
    server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    server.set_identity_tokens([ua.UserNameIdentityToken])
    await server.load_certificate(identity.certificate_pem.encode(), "pem")
    await server.load_private_key(identity.private_key_pem.encode(), None, "pem")
    namespace = await server.register_namespace(NAMESPACE)
    instrument = await server.nodes.objects.add_object(
        node(namespace, desk.instrument), ua.QualifiedName(desk.instrument, namespace)
    )
    kind = desk.description.kind
    for name, text in (
        (DESCRIPTION, desk.description.model_dump_json()),
        (LIMITS, limits(kind).model_dump_json()),
    ):
        await instrument.add_property(node(namespace, desk.instrument, name), ua.QualifiedName(name, namespace), text)
    for name in limits(kind).commands:
        names = parameters(CONTROL if name in COMMON else FEATURES[kind], name)
        await _method(instrument, desk, name_of(name), _work(desk, name, names), names, quantities(kind, name))
    await _method(instrument, desk, "Lookup", desk.lookup, ("key",))
    await _method(instrument, desk, "Abort", desk.abort, ("key",))
    await _method(instrument, desk, "SafeState", desk.safe_state, ("reason",))
    await _method(instrument, desk, "Heartbeat", desk.heartbeat, ())
    await server.start()
    return server


def _work(desk: Desk, name: str, names: tuple[str, ...]) -> Callable[..., str]:
    return lambda *values: desk.submit(name, dict(zip(names, values, strict=True)))


async def _method(
    instrument: Node,
    desk: Desk,
    name: str,
    answer: Callable[..., str],
    names: tuple[str, ...],
    numbers: frozenset[str] = frozenset(),
) -> None:
    """A method with typed arguments; asyncua itself compares neither their number nor their types."""
    from asyncua import ua

    kinds = [ua.VariantType.Double if n in numbers else ua.VariantType.String for n in names]

    async def called(_parent: ua.NodeId, *arguments: ua.Variant) -> Any:
        if [a.VariantType for a in arguments] != kinds or any(a.is_array for a in arguments):
            return ua.StatusCode(ua.UInt32(ua.StatusCodes.BadInvalidArgument))
        try:
            said = await asyncio.to_thread(_silenced, answer, *(a.Value for a in arguments))
        except _LostError:
            await asyncio.sleep(SILENCE_S)
            return ua.StatusCode(ua.UInt32(ua.StatusCodes.BadTimeout))
        return [ua.Variant(said, ua.VariantType.String)]

    def argument(label: str, kind: ua.VariantType) -> ua.Argument:
        return ua.Argument(Name=label, DataType=ua.NodeId(ua.Int32(kind.value)), ValueRank=ua.Int32(-1))

    namespace = instrument.nodeid.NamespaceIndex
    await instrument.add_method(
        node(namespace, desk.instrument, name),
        ua.QualifiedName(name, namespace),
        called,
        [argument(n, k) for n, k in zip(names, kinds, strict=True)],
        [argument(STATUS, ua.VariantType.String)],
    )


class _LostError(Exception):
    """`ReplyLost`, for an event loop, which a BaseException would end."""


def _silenced(answer: Callable[..., str], *values: Any) -> str:
    try:
        return answer(*values)
    except ReplyLost as lost:
        raise _LostError from lost
