"""The webhook: what arrives, what is refused, how long it may take, and that its address stays secret."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import socket
import time
from email.header import decode_header, make_header
from typing import Any

import pytest

from lodestone.loops.notify.channel import Attempts, Outcome
from lodestone.loops.notify.message import Notification
from lodestone.loops.notify.webhook import Webhook
from lodestone.tools.core.errors import ConfigError

from .conftest import HttpServer, MakeNotification


def webhook(url: str, **changes: Any) -> Webhook:
    options: dict[str, Any] = {"secret": "", "body_format": "json", "timeout_s": 5.0}
    return Webhook(url, **(options | changes))


def test_json_arrives_whole_with_its_key(http_server: HttpServer, make: MakeNotification) -> None:
    notification = make()
    outcome = webhook(f"{http_server.url}/hook").send(notification)
    assert outcome == Outcome(delivered=True, detail=f"{http_server.url} answered 200")
    (request,) = http_server.requests
    body = json.loads(request.body)
    assert Notification.model_validate({k: body[k] for k in Notification.model_fields}) == notification
    assert (body["label"], body["priority"]) == ("Done", "normal")
    assert request.headers["Idempotency-Key"] == f"{notification.id}.webhook"
    assert request.headers["Content-Type"] == "application/json"
    assert "X-Lodestone-Signature" not in request.headers


def test_slack_body_arrives(http_server: HttpServer, make: MakeNotification) -> None:
    webhook(http_server.url, body_format="slack").send(make(title="Na <Cl>"))
    body = json.loads(http_server.requests[0].body)
    assert body["blocks"][0]["text"] == {"type": "plain_text", "text": "Done: Na <Cl>", "emoji": False}
    assert body["text"].startswith("Done: Na &lt;Cl&gt;\n")


def test_text_arrives_with_title_and_priority(http_server: HttpServer, make: MakeNotification) -> None:
    webhook(http_server.url, body_format="text").send(make(kind="person", title="Prüfe Zelle\r\nX: y", text="é" * 9000))
    (request,) = http_server.requests
    assert str(make_header(decode_header(request.headers["Title"]))) == "[Lodestone] Needs you: Prüfe Zelle X: y"
    assert "X" not in request.headers
    assert request.headers["Priority"] == "5"
    assert len(request.body) <= 4096
    assert request.body.decode().startswith("Prüfe Zelle X: y\n\nééé")


def test_the_signature_is_one_that_a_receiver_can_check(http_server: HttpServer, make: MakeNotification) -> None:
    webhook(http_server.url, secret="k3y").send(make())
    (request,) = http_server.requests
    stamp = request.headers["X-Lodestone-Timestamp"]
    signed = f"{request.headers['Idempotency-Key']}.{stamp}.".encode() + request.body
    assert request.headers["X-Lodestone-Signature"] == "sha256=" + hmac.digest(b"k3y", signed, hashlib.sha256).hex()
    assert abs(time.time() - int(stamp)) < 60


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_refused_not_followed(http_server: HttpServer, make: MakeNotification, status: int) -> None:
    http_server.answers = [(status, {"Location": f"{http_server.url}/elsewhere"}, b"")]
    outcome = webhook(f"{http_server.url}/hook").send(make())
    assert not outcome.delivered
    assert f"{status}, a redirect" in outcome.detail
    assert [request.path for request in http_server.requests] == ["/hook"]


def test_a_refusal_is_told_with_the_receivers_words_and_wait(http_server: HttpServer, make: MakeNotification) -> None:
    http_server.answers = [
        (429, {"Retry-After": "120"}, b"slow\r\ndown " + b"x" * 5000),
        (500, {"Retry-After": "soon"}, b""),
    ]
    first, second = (webhook(http_server.url).send(make()) for _ in range(2))
    assert (first.delivered, first.retry_after_s) == (False, 120)
    assert first.detail.startswith(f"{http_server.url} answered 429: slow down xxx")
    assert len(first.detail) < 400
    assert second == Outcome(delivered=False, detail=f"{http_server.url} answered 500")


@pytest.mark.parametrize("path", ["/hang", "/drip"])
def test_a_server_that_hangs_or_drips_takes_no_longer_than_the_limit(
    http_server: HttpServer, make: MakeNotification, path: str
) -> None:
    attempts = Attempts(0.6)
    channel = webhook(http_server.url + path, timeout_s=0.5)
    begun = time.monotonic()
    outcome = attempts.send(channel, make())
    assert time.monotonic() - begun < 10  # the server would take half a minute
    assert not outcome.delivered
    assert "within 0.6 s" in outcome.detail or "ReadTimeout" in outcome.detail
    assert attempts.busy(channel) == (path == "/drip")


def test_a_closed_port_is_an_outcome(make: MakeNotification) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    outcome = webhook(f"http://127.0.0.1:{port}/token-5t1ll-secret").send(make())
    assert not outcome.delivered
    assert outcome.detail.startswith(f"http://127.0.0.1:{port}: ConnectError")


URLS = [
    *("ftp://example.org/s3cretpath", "file:///etc/s3cretpath", "example.org/s3cretpath", "https:///s3cretpath"),
    *("http://[::1/s3cretpath", "http://example.org:99999/s3cretpath", "http://h/s3cretpath\r\nX: y"),
]


@pytest.mark.parametrize("url", URLS)
def test_other_addresses_are_refused_without_showing_them(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        webhook(url)
    assert "s3cretpath" not in str(caught.value)
    assert "https://HOST/PATH" in str(caught.value)


def test_address_and_key_stay_out_of_log_outcome_and_repr(
    http_server: HttpServer, make: MakeNotification, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    path = "/services/T0SECRET/B0SECRET?token=s3cr3tt0ken"
    channel = webhook(http_server.url + path, secret="signing-k3y")
    http_server.answers = [
        (404, {}, b"no T0SECRET here, nor s3cr3tt0ken, nor signing-k3y"),
        (302, {"Location": "/other"}, b""),
    ]
    outcomes = [channel.send(make()) for _ in range(3)]
    assert [outcome.delivered for outcome in outcomes] == [False, False, True]
    logging.getLogger("httpx").info("HTTP Request: others are still logged")
    shown = " ".join(
        [*(outcome.detail for outcome in outcomes), repr(channel), *(r.getMessage() for r in caplog.records)]
    )
    assert "others are still logged" in shown
    for secret in ("T0SECRET", "B0SECRET", "s3cr3tt0ken", "signing-k3y"):
        assert secret not in shown
