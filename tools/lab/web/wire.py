"""HTTP as a wire: one resource a command, named by its idempotency key, so that `PUT` again starts nothing new.

What is not here: what a driver makes of it (`../remote.py`).
"""

from __future__ import annotations

import json
import ssl
import time
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ...core.errors import LabError
from ..address import Address, check_tls
from ..definitions import limits
from ..instrument import Command, Limits
from ..wire import NoAnswerError, NotAcceptedError

if TYPE_CHECKING:
    import httpx

VERSION = "/v1"
MAX_REPLY_BYTES = 8 * 1024 * 1024
TOKEN_REFUSED = 401


class WebWire:
    """A connection to one HTTP server.

    Args:
        address: where it is and who it has to be.
        deadline_s: of every call, s.
        handshake_s: of connecting, s.
    """

    def __init__(self, address: Address, deadline_s: float, handshake_s: float) -> None:
        self._address, self._deadline_s, self._handshake_s = address, deadline_s, handshake_s
        self._client: httpx.Client | None = None

    def description(self) -> str:
        """Who answers."""
        return self._ask("GET", "/description")

    def check_definitions(self, kind: str) -> None:
        """Refuse a server whose bounds are not those of the driver's definitions."""
        try:
            theirs = Limits.model_validate_json(self._ask("GET", "/limits"))
        except ValidationError:
            theirs = None
        if theirs != limits(kind):
            raise LabError(
                f"{self._address.instrument} defines its commands in another way than this driver",
                "Use the driver of the instrument's version.",
            )

    def submit(self, kind: str, command: Command) -> str:  # noqa: ARG002 (a key is all that a resource needs)
        """Send a command."""
        body = command.model_dump(mode="json", exclude={"key"})
        return self._ask("PUT", f"/commands/{command.key}", body)

    def lookup(self, key: str) -> str:
        """What became of a key."""
        return self._ask("GET", f"/commands/{key}")

    def abort(self, key: str) -> None:
        """Break a command off."""
        self._ask("POST", f"/commands/{key}/abort")

    def safe_state(self, reason: str) -> None:
        """Ask for the safe state."""
        self._ask("POST", "/safe-state", {"reason": reason})

    def heartbeat(self) -> str:
        """A sign of life."""
        return self._ask("POST", "/heartbeat")

    def close(self) -> None:
        """End the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connected(self) -> httpx.Client:
        if self._client is None:
            import httpx

            check_tls(self._address, self._handshake_s, "http/1.1")
            # The pin is the identity: the name in a certificate adds nothing to it, and no other root is trusted.
            context = ssl.create_default_context(cadata=self._address.certificate_pem)
            context.check_hostname = False
            context.verify_flags = ssl.VERIFY_X509_PARTIAL_CHAIN
            self._client = httpx.Client(
                base_url=f"https://{self._address.place}{VERSION}",
                verify=context,
                headers={b"Authorization": f"Bearer {self._address.token}".encode()} if self._address.token else {},
                timeout=httpx.Timeout(self._deadline_s, connect=self._handshake_s),
                trust_env=False,
                follow_redirects=False,
            )
        return self._client

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> str:
        import httpx

        content = None if body is None else json.dumps(body, allow_nan=False).encode()
        headers = {} if body is None else {"Content-Type": "application/json"}
        client, end = self._connected(), time.monotonic() + self._deadline_s
        try:
            with client.stream(method, path, content=content, headers=headers) as reply:
                said = bytearray()
                for piece in reply.iter_bytes():
                    said += piece
                    if len(said) > MAX_REPLY_BYTES or time.monotonic() > end:
                        raise self._silent("the reply has no end")
        except (httpx.HTTPError, OSError) as error:
            self.close()
            raise self._silent(str(error) or type(error).__name__) from error
        text = said.decode("utf-8", errors="replace")
        if reply.status_code == TOKEN_REFUSED:
            raise LabError(
                f"{self._address.instrument} at {self._address.place} does not take the token",
                "Give the one of the server in `addresses`.",
            )
        if reply.is_client_error:
            raise NotAcceptedError(f"{reply.status_code} {text[:200]}")
        if not reply.is_success:
            raise self._silent(f"{reply.status_code} {text[:200]}")
        return text

    def _silent(self, problem: str) -> NoAnswerError:
        return NoAnswerError(
            f"{self._address.instrument} did not answer within {self._deadline_s:g} s: {problem}",
            "Look whether it runs.",
        )
