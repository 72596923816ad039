"""The notifier as the service uses it, its settings, the test message, and what it never shows."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from lodestone.loops.notify.desktop import Desktop
from lodestone.loops.notify.notifier import Notifier, open_channels, try_channels
from lodestone.loops.notify.settings import NotifySettings
from lodestone.tools.core.errors import ConfigError

from .conftest import HttpServer, MailServers, MakeNotification

PASSWORD = {"SMTP_PASSWORD_OF_LODESTONE": "correct horse"}


def settings(**changes: Any) -> NotifySettings:
    return NotifySettings(timeout_s=2, **changes)


def test_nothing_is_set_by_default_and_nothing_is_written(tmp_path: Path, make: MakeNotification) -> None:
    with Notifier(tmp_path, NotifySettings(), {}) as notifier:
        assert not notifier.send(make())
        assert notifier.flush(1)
    assert not list(tmp_path.rglob("*.json"))


def test_what_is_sent_arrives_at_once_and_once(tmp_path: Path, http_server: HttpServer, make: MakeNotification) -> None:
    with Notifier(tmp_path, settings(webhook_url=http_server.url), {}) as notifier:
        begun = time.monotonic()
        assert notifier.send(make())
        assert not notifier.send(make())
        assert notifier.flush(5)
        assert time.monotonic() - begun < 3
    assert len(http_server.requests) == 1


def test_only_the_kinds_that_are_on(tmp_path: Path, http_server: HttpServer, make: MakeNotification) -> None:
    chosen = settings(webhook_url=http_server.url, on=("person",))
    with Notifier(tmp_path, chosen, {}) as notifier:
        assert not notifier.send(make(kind="success"))
        assert notifier.send(make(kind="person"))
        assert notifier.send(make(kind="test"))
        assert notifier.flush(5)
    assert sorted(json.loads(request.body)["kind"] for request in http_server.requests) == ["person", "test"]


def test_sending_does_not_wait_for_a_server_that_hangs(
    tmp_path: Path, http_server: HttpServer, make: MakeNotification
) -> None:
    notifier = Notifier(tmp_path, settings(webhook_url=f"{http_server.url}/hang"), {})
    begun = time.monotonic()
    for number in range(5):
        assert notifier.send(make(str(number)))
    assert time.monotonic() - begun < 1
    assert not notifier.flush(0.2)
    notifier.close(timeout_s=0.1)
    assert time.monotonic() - begun < 3


def test_what_waits_from_an_earlier_process_goes_out_at_start(
    tmp_path: Path, http_server: HttpServer, make: MakeNotification
) -> None:
    first = Notifier(tmp_path, settings(webhook_url=f"{http_server.url}/down"), {})
    http_server.answers = [(503, {}, b"")]
    first.send(make())
    assert not first.flush(5)
    first.close(0)
    (file,) = (tmp_path / "outbox").glob("*.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"next_at": 0}))
    with Notifier(tmp_path, settings(webhook_url=f"{http_server.url}/up"), {}) as second:
        assert second.flush(5)
    assert [request.path for request in http_server.requests] == ["/down", "/up"]


def test_each_channel_says_what_happened_to_the_test_message(
    http_server: HttpServer, mail_servers: MailServers, trusted: Path
) -> None:
    http_server.answers = [(403, {}, b"invalid_token")]
    mail = mail_servers("starttls")
    chosen = settings(
        webhook_url=http_server.url,
        smtp_host="127.0.0.1",
        smtp_port=mail.port,
        smtp_user="lode",
        mail_from="lodestone@example.org",
        mail_to=("ann@example.org",),
    )
    done = {delivery.channel: delivery.outcome for delivery in try_channels(chosen, PASSWORD)}
    assert (done["webhook"].delivered, done["mail"].delivered) == (False, True)
    assert done["webhook"].detail == f"{http_server.url} answered 403: invalid_token"
    assert mail.inbox[0]["Subject"] == "[Lodestone] Test: notifications arrive"


def test_a_test_message_without_a_channel_says_what_to_set() -> None:
    with pytest.raises(ConfigError, match=r"webhook_url .*WEBHOOK_URL_OF_LODESTONE"):
        try_channels(NotifySettings(), {})


def test_no_secret_in_log_files_or_reprs(
    tmp_path: Path,
    http_server: HttpServer,
    mail_servers: MailServers,
    trusted: Path,
    make: MakeNotification,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    url = f"{http_server.url}/services/T0SECRET"
    env = {"WEBHOOK_SECRET_OF_LODESTONE": "signing-k3y", "SMTP_PASSWORD_OF_LODESTONE": "hunter2-wrong"}
    chosen = settings(
        webhook_url=url,
        smtp_host="127.0.0.1",
        smtp_port=mail_servers("starttls").port,
        smtp_user="lode",
        mail_from="lodestone@example.org",
        mail_to=("ann@example.org",),
    )
    http_server.answers = [(500, {}, b"T0SECRET is down, signing-k3y")]
    notifier = Notifier(tmp_path, chosen, env)
    notifier.send(make())
    assert not notifier.flush(10)
    notifier.close(0)
    channels = open_channels(chosen, env)
    files = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "answered 500" in files
    assert "SMTPAuthenticationError" in files
    shown = [repr(chosen), str(chosen), repr(channels), repr(notifier), caplog.text, files]
    for secret in ("T0SECRET", "signing-k3y", "hunter2"):
        assert secret not in "\n".join(shown)


def test_the_address_may_come_from_the_environment(http_server: HttpServer) -> None:
    (channel,) = open_channels(NotifySettings(), {"WEBHOOK_URL_OF_LODESTONE": f"{http_server.url}/x\n"})
    assert channel.where == http_server.url


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"webhook_url": "ftp://h/s3cret"}, "not one of http or https"),
        ({"webhook_url": "https://h/", "webhook_secret_env": "s3cret key"}, "webhook_secret_env is not the name"),
        ({"webhook_url": "https://h/", "webhook_secret_env": "LODESTONE_KEY"}, "read as settings"),
        ({"smtp_host": "h"}, "mail_to is empty"),
        ({"smtp_host": "h", "smtp_user": "u", "mail_to": ("a@b.c",), "mail_from": "a@b.c"}, "no password"),
    ],
)
def test_what_cannot_work_is_refused_at_start(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        Notifier(tmp_path, NotifySettings(**changes), {})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "changes", [{"on": ("spam",)}, {"digest_hour": 24}, {"smtp_port": 0}, {"webhook_format": "xml"}, {"timeout_s": 0}]
)
def test_values_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NotifySettings(**changes)


NOTIFY_SEND_FOR_TESTS = """#!/bin/sh
for word in "$@"; do printf '%s\\n' "$word" >> "$0.seen"; done
exit 0
"""


def test_the_desktop_gets_words_not_options(
    tmp_path: Path, make: MakeNotification, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "notify-send"
    program.write_text(NOTIFY_SEND_FOR_TESTS)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    outcome = Desktop(5).send(make(kind="person", title="--icon=x", text="--urgency=low <b>"))
    assert outcome.delivered
    assert (tmp_path / "notify-send.seen").read_text().splitlines() == [
        "--app-name=Lodestone",
        "--urgency=critical",
        "--",
        "[Lodestone] Needs you: --icon=x",
        "--urgency=low &lt;b&gt;",
    ]


def test_a_desktop_without_the_program_says_what_to_install(
    tmp_path: Path, make: MakeNotification, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome = Desktop(5).send(make())
    assert not outcome.delivered
    assert "apt install libnotify-bin" in outcome.detail
