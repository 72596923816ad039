"""One instrument of the twin as a SiLA 2 server.

What is not here: what it says (`desk.py`).
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ..definitions import COMMON, CONTROL, FEATURES, definition, identifier, limits, parameters
from ..sila.secure import bearer
from .desk import VERSION, Desk
from .identity import Identity

if TYPE_CHECKING:
    from sila2.server import SilaServer

GRPC_WORKERS = 8


class SilaService:
    """A server that listens from the start.

    Args:
        desk: of the instrument.
        identity: of the server.
        host: IPv4 address to listen on.
        port: to listen on.
    """

    def __init__(self, desk: Desk, identity: Identity, host: str, port: int) -> None:
        from sila2.framework import Feature

        kind = desk.description.kind
        self._server = _guarded_server()(
            identity.token,
            server_name=desk.instrument,
            server_type="LodestoneTwin",
            server_description=f"Digital twin of the instrument {desk.instrument}",
            server_version=VERSION,
            server_vendor_url="https://lodestone.invalid",
            server_uuid=identity.server_id,
            max_child_task_workers=2,
        )
        for feature in (CONTROL, FEATURES[kind]):
            self._server.set_feature_implementation(
                Feature(definition(feature)), _implementation(desk, feature, kind, self._server)
            )
        self._server.start(
            host,
            port,
            private_key=identity.private_key_pem.encode(),
            cert_chain=identity.certificate_pem.encode(),
            enable_discovery=False,
        )

    def close(self) -> None:
        """Stop listening."""
        self._server.stop(grace_period=0.2)


def _implementation(desk: Desk, feature: str, kind: str, server: SilaServer) -> Any:
    """An object with one method a command, as sila2 looks for them."""
    from sila2.server import FeatureImplementationBase

    methods: dict[str, Any] = {}
    names = COMMON if feature == CONTROL else tuple(n for n in limits(kind).commands if n not in COMMON)
    for name in names:
        methods[identifier(name)] = _work(desk, name, parameters(feature, name))
    if feature == CONTROL:
        methods |= {
            "Lookup": lambda _self, key, *, metadata: desk.lookup(key),  # noqa: ARG005 (sila2 passes it by name)
            "Abort": lambda _self, key, *, metadata: desk.abort(key),  # noqa: ARG005
            "SafeState": lambda _self, reason, *, metadata: desk.safe_state(reason),  # noqa: ARG005
            "get_Heartbeat": lambda _self, *, metadata: desk.heartbeat(),  # noqa: ARG005
            "get_Description": lambda _self, *, metadata: desk.description.model_dump_json(),  # noqa: ARG005
        }
    return type(feature, (FeatureImplementationBase,), methods)(server)


def _work(desk: Desk, name: str, names: tuple[str, ...]) -> Any:
    def method(_self: Any, *values: Any, metadata: Any) -> str:  # noqa: ARG001 (sila2 passes it by name)
        return desk.submit(name, dict(zip(names, values, strict=True)))

    return method


def _guarded_server() -> Any:
    """A SiLA server that answers nobody without its token; sila2 0.14 itself lets nothing in between."""
    import grpc
    from sila2.server import SilaServer

    def refuse(_request: Any, context: Any) -> None:
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "this instrument asks for a token")

    class Guard(grpc.ServerInterceptor):  # type: ignore[misc]
        def __init__(self, token: str) -> None:
            self._wanted = bearer(token)[0]

        def intercept_service(self, proceed: Callable[[Any], Any], details: Any) -> Any:
            name, wanted = self._wanted
            shown = next((str(m.value) for m in details.invocation_metadata if m.key == name), "")
            if hmac.compare_digest(shown.encode(), wanted.encode()):
                return proceed(details)
            handler = proceed(details)
            if handler is not None and handler.response_streaming:
                return grpc.unary_stream_rpc_method_handler(refuse)
            return grpc.unary_unary_rpc_method_handler(refuse)

    class GuardedServer(SilaServer):
        def __init__(self, token: str, **options: Any) -> None:
            self._guard = Guard(token)
            super().__init__(**options)

        @property
        def grpc_server(self) -> Any:
            return self._guarded

        @grpc_server.setter
        def grpc_server(self, plain: Any) -> None:
            plain.stop(None)
            workers = ThreadPoolExecutor(max_workers=GRPC_WORKERS, thread_name_prefix="grpc")
            self._guarded = grpc.server(workers, interceptors=(self._guard,))

    return GuardedServer
