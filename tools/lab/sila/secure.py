"""A connection to exactly one SiLA 2 server: certificate and UUID pinned, a deadline on each call.

What is not here: what is said over it (`wire.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...core.errors import LabError
from ..address import Address, check_tls

if TYPE_CHECKING:
    from sila2.client import SilaClient

_RECONNECT = (
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
"""gRPC's own back-off grows to two minutes: a furnace that is back has to be seen before."""


def connect(address: Address, deadline_s: float, handshake_s: float) -> SilaClient:
    """Connect, or say why this is not the server that was asked for.

    Args:
        address: with the pins.
        deadline_s: of every call.
        handshake_s: of every step of the handshake, in which feature definitions are compiled.

    Raises:
        LabError: not reachable, another certificate or another UUID.
    """
    check_tls(address, handshake_s, "h2")
    from sila2.framework import SilaConnectionError, SilaError

    try:
        client = _client_class()(
            address.host,
            address.port,
            root_certs=address.certificate_pem.encode(),
            deadline_s=handshake_s,
            token=address.token,
        )
        found = str(client.SiLAService.ServerUUID.get())
        client.deadline.seconds = deadline_s
    except (SilaConnectionError, SilaError, RuntimeError, OSError) as error:
        raise LabError(
            f"{address.instrument} at {address.place} is no SiLA server of ours: {error}",
            "Look whether it runs, and which version.",
        ) from error
    if found != address.server_id:
        client.close()
        raise LabError(
            f"the server at {address.place} is {found}, not {address.server_id}",
            "Find out who answers there before anything is moved.",
        )
    return client


def _client_class() -> Any:
    """A SiLA client whose every call ends at a deadline; sila2 0.14 itself sets none."""
    import grpc
    from sila2.client import SilaClient

    class Deadline(grpc.UnaryUnaryClientInterceptor):  # type: ignore[misc]
        def __init__(self, seconds: float, token: str) -> None:
            self.seconds, self._token = seconds, token

        def intercept_unary_unary(self, proceed: Callable[..., Any], details: Any, request: Any) -> Any:
            return proceed(_Details(details, self.seconds, self._token), request)

    class DeadlineClient(SilaClient):
        def __init__(self, host: str, port: int, *, root_certs: bytes, deadline_s: float, token: str) -> None:
            self.deadline, self._root_certs, self._target = Deadline(deadline_s, token), root_certs, f"{host}:{port}"
            super().__init__(host, port, root_certs=root_certs)

        @property
        def _channel(self) -> Any:
            return self._intercepted

        @_channel.setter
        def _channel(self, channel: Any) -> None:
            channel.close()
            credentials = grpc.ssl_channel_credentials(root_certificates=self._root_certs)
            self._plain = grpc.secure_channel(self._target, credentials, options=_RECONNECT)
            self._intercepted = grpc.intercept_channel(self._plain, self.deadline)

        def close(self) -> None:
            self._plain.close()

    return DeadlineClient


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """A token as gRPC metadata; nothing without one."""
    return (("authorization", f"Bearer {token}"),) if token else ()


class _Details:
    """A call's details with a timeout and the token, in the shape that gRPC reads them."""

    def __init__(self, details: Any, seconds: float, token: str) -> None:
        self.method = details.method
        self.timeout = seconds
        self.metadata = [*(details.metadata or ()), *bearer(token)]
        self.credentials = details.credentials
        self.wait_for_ready = details.wait_for_ready
        self.compression = details.compression
