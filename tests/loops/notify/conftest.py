"""Real servers on loopback that take notifications: one for HTTP, and mail servers with and without TLS."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from lodestone.loops.notify.message import Notification

MakeNotification = Callable[..., Notification]


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the machine that runs the tests has no part in them."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def make() -> MakeNotification:
    def build(what: str = "finished", **changes: Any) -> Notification:
        words: dict[str, Any] = {
            "kind": "success",
            "campaign": "na-cl",
            "title": "goal met",
            "text": "NaCl, rock salt.\nStable.",
            "at": datetime(2026, 3, 1, 12, tzinfo=UTC),
            "facts": {"Evaluations": "8 of 8", "Rounds": 3},
        }
        return Notification.make(what=what, **(words | changes))

    return build


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class HttpServer:
    """Answers what `answers` says in turn, then 200; "/hang" never answers, "/drip" sends a header byte by byte."""

    url: str
    requests: list[Request] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def http_server() -> Iterator[HttpServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.requests.append(Request(self.path, dict(self.headers), body))
            if self.path == "/hang":
                state.stop.wait(30)
                return
            if self.path == "/drip":
                try:
                    while not state.stop.wait(0.1):
                        self.wfile.write(b"H" if not self.wfile.closed else b"")
                except OSError:
                    pass
                return
            status, headers, said = state.answers.pop(0) if state.answers else (200, {}, b"ok")
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = HttpServer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield state
    state.stop.set()
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class MailServer:
    port: int
    inbox: list[EmailMessage]
    receivers: list[list[str]]


class _Handler:
    def __init__(self) -> None:
        self.inbox: list[EmailMessage] = []
        self.receivers: list[list[str]] = []

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802
        if address.startswith("gone"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.inbox.append(message_from_bytes(envelope.content, policy=default))  # type: ignore[arg-type]
        self.receivers.append(list(envelope.rcpt_tos))
        return "250 OK"


def _authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    good = isinstance(data, LoginPassword) and (data.login, data.password) == (b"lode", b"correct horse")
    return AuthResult(success=good, handled=False)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process trusts the test authority."""
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    return path


MailServers = Callable[..., MailServer]


@pytest.fixture
def mail_servers(authority: trustme.CA) -> Iterator[MailServers]:
    """Starts mail servers: `mail_servers("starttls" | "tls" | "none", login=bool)`."""
    running: list[Controller] = []

    def start(security: str, login: bool = True) -> MailServer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        handler = _Handler()
        options: dict[str, Any] = {"auth_required": login, "authenticator": _authenticate}
        if security == "starttls":
            options |= {"tls_context": context, "require_starttls": True}
        else:
            options["auth_require_tls"] = False
        server = Controller(
            handler,
            hostname="127.0.0.1",
            port=_free_port(),
            server_hostname="mail.test",
            ssl_context=context if security == "tls" else None,
            **options,
        )
        server.start()
        running.append(server)
        return MailServer(server.port, handler.inbox, handler.receivers)

    yield start
    for server in running:
        server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
