"""Notifications as HTTP POST: own JSON, Slack's, or plain text (ntfy)."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.header import Header
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ...tools.core.errors import ConfigError
from .channel import Outcome, without_secrets
from .message import Notification, as_json, plain, slack, subject
from .settings import WebhookFormat

if TYPE_CHECKING:
    import httpx

MAX_ANSWER = 500
"""Bytes of an answer that are read."""
MAX_PLAIN = 3900
"""Bytes of a plain body: ntfy turns more than 4096 into an attached file."""


class Webhook:
    """One POST a notification; redirects are refusals.

    With a secret each request has `X-Lodestone-Timestamp` (seconds) and `X-Lodestone-Signature`, which is `sha256=`
    and the hex HMAC-SHA256 of `ID.TIMESTAMP.BODY`, where ID is the `Idempotency-Key`. A receiver that knows the secret
    checks it, refuses old timestamps, and takes each key once.
    """

    name = "webhook"

    def __init__(self, url: str, *, secret: str, body_format: WebhookFormat, timeout_s: float) -> None:
        try:
            parts = urlsplit(url)
            port, host = parts.port, parts.hostname
        except ValueError:
            # The parser's own message quotes the address.
            raise ConfigError("The webhook's address cannot be read.", "Give it as https://HOST/PATH.") from None
        if parts.scheme not in ("http", "https") or not host or any(c.isspace() or not c.isprintable() for c in url):
            raise ConfigError("The webhook's address is not one of http or https.", "Give it as https://HOST/PATH.")
        self.where = f"{parts.scheme}://{host}" + (f":{port}" if port else "")
        self._url = url
        self._key = secret.encode()
        self._format = body_format
        self._timeout_s = timeout_s
        self._secrets = {url, secret, parts.password or ""} | _parts_of(parts.path, parts.query)

    def __repr__(self) -> str:
        return f"Webhook({self.where})"

    def send(self, notification: Notification) -> Outcome:
        """One POST; delivered when the answer is 2xx."""
        import httpx

        body, headers = self._body(notification)
        key = f"{notification.id}.{self.name}"
        headers |= {"Idempotency-Key": key, "User-Agent": "lodestone", "Accept-Encoding": "identity"}
        if self._key:
            stamp = str(int(time.time()))
            signed = hmac.new(self._key, f"{key}.{stamp}.".encode() + body, hashlib.sha256).hexdigest()
            headers |= {"X-Lodestone-Timestamp": stamp, "X-Lodestone-Signature": f"sha256={signed}"}
        try:
            with (
                _quiet(self._url),
                httpx.Client(timeout=self._timeout_s, follow_redirects=False) as client,
                client.stream("POST", self._url, content=body, headers=headers) as answer,
            ):
                said = b"" if answer.is_success else next(answer.iter_raw(MAX_ANSWER), b"")
                return self._outcome(answer, said)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            reason = without_secrets(str(error), self._secrets) or "no reason given"
            return Outcome(delivered=False, detail=f"{self.where}: {type(error).__name__}: {reason}")

    def _body(self, notification: Notification) -> tuple[bytes, dict[str, str]]:
        if self._format == "text":
            # A cut through the middle of a character drops that character.
            text = plain(notification).encode()[:MAX_PLAIN].decode(errors="ignore")
            title = Header(subject(notification), "utf-8", maxlinelen=10_000).encode()
            priority = {"low": "2", "normal": "3", "high": "5"}[notification.priority]
            headers = {"Content-Type": "text/plain; charset=utf-8", "Title": title, "Priority": priority}
            return text.encode(), headers
        data = slack(notification) if self._format == "slack" else as_json(notification)
        return json.dumps(data, ensure_ascii=False).encode(), {"Content-Type": "application/json"}

    def _outcome(self, answer: httpx.Response, said: bytes) -> Outcome:
        status = answer.status_code
        if answer.is_success:
            return Outcome(delivered=True, detail=f"{self.where} answered {status}")
        if answer.is_redirect:
            words = f"{self.where} answered {status}, a redirect, which is not followed; set the final address"
            return Outcome(delivered=False, detail=words)
        words = without_secrets(said.decode(errors="replace"), self._secrets)
        wait = answer.headers.get("Retry-After", "")
        return Outcome(
            delivered=False,
            detail=f"{self.where} answered {status}" + (f": {words}" if words else ""),
            retry_after_s=float(wait) if wait.isascii() and wait.isdigit() and len(wait) < 7 else None,
        )


@contextmanager
def _quiet(url: str) -> Iterator[None]:
    """Keep the address out of the log: httpx writes the whole of it at level INFO."""

    def without_address(record: logging.LogRecord) -> bool:
        return url not in record.getMessage()

    logger = logging.getLogger("httpx")
    logger.addFilter(without_address)
    try:
        yield
    finally:
        logger.removeFilter(without_address)


def _parts_of(path: str, query: str) -> set[str]:
    """Whatever of an address may be a token: the whole target, and each longer piece of it."""
    pieces = {piece for part in path.split("/") for piece in (part, *part.split(":"))}
    pieces |= {piece for pair in query.split("&") for piece in (pair, pair.partition("=")[2])}
    target = path + (f"?{query}" if query else "")
    return {piece for piece in (target, *pieces) if len(piece) >= 6}
