"""One instrument of the twin as an HTTP server (Starlette on uvicorn, TLS, bearer token).

What is not here: what it says (`desk.py`).
"""

from __future__ import annotations

import hmac
import json
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

from ...core.errors import LabError
from ..definitions import limits
from ..web.wire import VERSION
from .desk import Desk, ReplyLost
from .identity import Identity

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

MAX_BODY_BYTES = 64 * 1024
STARTING_S = 30.0
MAX_CONNECTIONS = 32
Answer = Callable[[Mapping[str, str], Mapping[str, Any]], str]
"""From the parameters of the path and the body of a request to JSON."""


class WebService:
    """A server that listens from the start.

    Args:
        desk: of the instrument.
        identity: of the server.
        host: IPv4 address to listen on.
        port: to listen on.

    Raises:
        LabError: it does not come up.
    """

    def __init__(self, desk: Desk, identity: Identity, host: str, port: int) -> None:
        import uvicorn

        with tempfile.NamedTemporaryFile(
            "w", suffix=".pem"
        ) as file:  # readable by its owner, and gone when it is loaded
            file.write(identity.private_key_pem + identity.certificate_pem)
            file.flush()
            config = uvicorn.Config(
                _application(desk, identity.token),
                host=host,
                port=port,
                ssl_certfile=file.name,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                limit_concurrency=MAX_CONNECTIONS,
                timeout_graceful_shutdown=1,
            )
            config.load()
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, name=f"http {desk.instrument}", daemon=True)
        self._thread.start()
        deadline = time.monotonic() + STARTING_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise LabError(f"{desk.instrument} cannot listen on {host}:{port}", "Is another program there?")
            time.sleep(0.01)

    def close(self) -> None:
        """Stop listening."""
        self._server.should_exit = True
        self._thread.join()


def _application(desk: Desk, token: str) -> Starlette:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse, Response, StreamingResponse
    from starlette.routing import Route

    wanted = f"Bearer {token}".encode()

    async def lost() -> AsyncIterator[bytes]:
        yield b"{"
        raise ConnectionAbortedError("a reply that is lost on its way, as the twin was told")

    def route(method: str, path: str, answer: Answer) -> Route:
        async def endpoint(request: Request) -> Response:
            from starlette.concurrency import run_in_threadpool

            if not hmac.compare_digest(request.headers.get("authorization", "").encode(), wanted):
                return PlainTextResponse("this instrument asks for a token", 401)
            body = await _body(request)
            if not isinstance(body, dict):
                return PlainTextResponse(*body)
            try:
                said = await run_in_threadpool(answer, request.path_params, body)
            except ReplyLost:
                return StreamingResponse(lost(), media_type="application/json")
            return Response(said, media_type="application/json")

        return Route(VERSION + path, endpoint, methods=[method])

    def submit(path: Mapping[str, str], body: Mapping[str, Any]) -> str:
        parameters = body.get("parameters", {})
        said = dict(parameters) if isinstance(parameters, dict) else {"parameters": parameters}
        return desk.submit(
            str(body.get("name", "")), {**said, "key": path["key"], "issued_at": body.get("issued_at_s")}
        )

    return Starlette(
        routes=[
            route("GET", "/description", lambda _path, _body: desk.description.model_dump_json()),
            route("GET", "/limits", lambda _path, _body: limits(desk.description.kind).model_dump_json()),
            route("POST", "/heartbeat", lambda _path, _body: desk.heartbeat()),
            route("POST", "/safe-state", lambda _path, body: desk.safe_state(str(body.get("reason", "")))),
            route("PUT", "/commands/{key}", submit),
            route("GET", "/commands/{key}", lambda path, _body: desk.lookup(path["key"])),
            route("POST", "/commands/{key}/abort", lambda path, _body: desk.abort(path["key"])),
        ]
    )


async def _body(request: Request) -> dict[str, Any] | tuple[str, int]:
    """The JSON object of a request, empty where there is none; or why it is not read, with its status."""
    raw = bytearray()
    async for piece in request.stream():
        raw += piece
        if len(raw) > MAX_BODY_BYTES:
            return f"more than {MAX_BODY_BYTES} bytes", 413
    if not raw:
        return {}
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        return f"not JSON: {error}", 400
    return body if isinstance(body, dict) else ("not an object", 400)
