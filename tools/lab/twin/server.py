"""The twin's SiLA 2 servers: one an instrument, each with its own port, certificate and UUID, over one laboratory.

What is not here: rules and state (`laboratory.py`).
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..instrument import CommandStatus, Description, read_command
from ..sila.definitions import COMMON, CONTROL, FEATURES, definition, identifier, limits, parameters
from ..sila.secure import Address, bearer
from .bounds import kind_of
from .identity import Identity, keep
from .laboratory import Laboratory
from .world import BALANCE, FURNACES, GONIOMETER, INSTRUMENTS, MILL

if TYPE_CHECKING:
    from sila2.server import SilaServer

VERSION = "1.0"
GRPC_WORKERS = 8
_PLACE = {"dosing": BALANCE, "mixing": MILL, "diffractometer": GONIOMETER, **{name: name for name in FURNACES}}


def place_of(instrument: str) -> str:
    """Where a sample stands while an instrument works on it; empty for the transport."""
    return _PLACE.get(instrument, "")


class _ReplyLost(BaseException):
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
            raise _ReplyLost
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


class Servers:
    """All servers of a twin.

    Args:
        laboratory: the controller.
        folder: where the identities are kept.
        ports: instrument to port.
        host: IPv4 address to listen on.
        swapped: two instruments whose identities stand at each other's address, as after a wrong cable.
    """

    def __init__(
        self,
        laboratory: Laboratory,
        folder: Path,
        ports: dict[str, int],
        host: str = "127.0.0.1",
        swapped: tuple[str, str] | None = None,
    ) -> None:
        self._laboratory = laboratory
        self._end = threading.Event()
        folder.mkdir(parents=True, exist_ok=True)
        identities = {name: keep(folder / f"{name}.json", host) for name in INSTRUMENTS}
        self.addresses = tuple(
            Address(
                instrument=name,
                host=host,
                port=ports[name],
                server_id=identities[name].server_id,
                certificate_pem=identities[name].certificate_pem,
                fingerprint=identities[name].fingerprint(),
                token=identities[name].token,
            )
            for name in INSTRUMENTS
        )
        behind = {name: name for name in INSTRUMENTS}
        if swapped is not None:
            behind[swapped[0]], behind[swapped[1]] = swapped[1], swapped[0]
        self._servers = [self._serve(behind[name], identities[behind[name]], host, ports[name]) for name in INSTRUMENTS]

    def _serve(self, instrument: str, identity: Identity, host: str, port: int) -> SilaServer:
        from sila2.framework import Feature

        kind = kind_of(instrument)
        server = _guarded_server()(
            identity.token,
            server_name=instrument,
            server_type="LodestoneTwin",
            server_description=f"Digital twin of the instrument {instrument}",
            server_version=VERSION,
            server_vendor_url="https://lodestone.invalid",
            server_uuid=identity.server_id,
            max_child_task_workers=2,
        )
        desk = Desk(self._laboratory, instrument, identity)
        for feature in (CONTROL, FEATURES[kind]):
            server.set_feature_implementation(
                Feature(definition(feature)), _implementation(desk, feature, kind, server)
            )
        server.start(
            host,
            port,
            private_key=identity.private_key_pem.encode(),
            cert_chain=identity.certificate_pem.encode(),
            enable_discovery=False,
        )
        return server

    def run(self, lifetime_s: float | None = None, tick_s: float = 0.05) -> None:
        """Let time pass until `stop` is called, or the lifetime is over."""
        waited = 0.0
        while not self._end.wait(tick_s):
            self._laboratory.tick()
            waited += tick_s
            if lifetime_s is not None and waited > lifetime_s:
                return

    def stop(self) -> None:
        """End `run`."""
        self._end.set()

    def close(self) -> None:
        """Stop listening."""
        for server in self._servers:
            server.stop(grace_period=0.2)
