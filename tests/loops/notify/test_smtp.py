"""Mail: real servers with STARTTLS and TLS, certificates that are checked, logins that stay secret."""

from __future__ import annotations

import logging
import smtplib
import socket
from pathlib import Path
from typing import Any

import pytest

from lodestone.loops.notify.smtp import Mail
from lodestone.tools.core.errors import ConfigError

from .conftest import MailServers, MakeNotification

# The server does not know that its TLS began with the first byte.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


def mail(port: int, **changes: Any) -> Mail:
    options: dict[str, Any] = {
        "security": "starttls",
        "user": "lode",
        "password": "correct horse",
        "sender": "Lodestone <lodestone@example.org>",
        "receivers": ("Ann Böhm <ann@example.org>", "bob@example.org"),
        "timeout_s": 5.0,
    }
    return Mail("127.0.0.1", port, **(options | changes))


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_mail_arrives_encrypted_and_logged_in(
    mail_servers: MailServers, trusted: Path, make: MakeNotification, security: str
) -> None:
    server = mail_servers(security)
    notification = make(kind="person", title="evaluation <unknown>")
    outcome = mail(server.port, security=security).send(notification)
    assert outcome.detail == f"127.0.0.1:{server.port} took it for 2 of 2"
    assert outcome.delivered
    (message,) = server.inbox
    assert server.receivers == [["ann@example.org", "bob@example.org"]]
    assert message["Subject"] == "[Lodestone] Needs you: evaluation <unknown>"
    assert message["To"] == "Ann Böhm <ann@example.org>, bob@example.org"
    assert message["Message-ID"] == f"<{notification.id}@example.org>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Importance"] == "high"
    plain, page = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert page is not None
    assert "evaluation <unknown>" in plain.get_content()
    assert "evaluation &lt;unknown&gt;" in page.get_content()


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_of_an_unknown_authority_is_refused(
    mail_servers: MailServers, make: MakeNotification, security: str
) -> None:
    server = mail_servers(security)
    outcome = mail(server.port, security=security).send(make())
    assert not outcome.delivered
    assert "CERTIFICATE_VERIFY_FAILED" in outcome.detail
    assert server.inbox == []


def test_a_server_without_starttls_gets_nothing(
    mail_servers: MailServers, trusted: Path, make: MakeNotification
) -> None:
    server = mail_servers("none", login=False)
    outcome = mail(server.port, user="", password="").send(make())
    assert not outcome.delivered
    assert "STARTTLS" in outcome.detail
    assert server.inbox == []


def test_a_wrong_password_is_told_but_not_shown(
    mail_servers: MailServers, trusted: Path, make: MakeNotification, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    channel = mail(mail_servers("starttls").port, password="hunter2-wrong")
    outcome = channel.send(make())
    assert not outcome.delivered
    assert "SMTPAuthenticationError: 535" in outcome.detail
    shown = " ".join([outcome.detail, repr(channel), *(record.getMessage() for record in caplog.records)])
    assert "hunter2" not in shown


def test_who_is_refused_is_told_and_the_others_get_it(
    mail_servers: MailServers, trusted: Path, make: MakeNotification
) -> None:
    server = mail_servers("starttls")
    some = mail(server.port, receivers=("ann@example.org", "gone@example.org")).send(make())
    assert some.delivered
    assert "1 of 2; refused gone@example.org (550 no such mailbox)" in some.detail
    none = mail(server.port, receivers=("gone@example.org",)).send(make())
    assert not none.delivered
    assert "gone@example.org (550 no such mailbox)" in none.detail
    assert server.receivers == [["ann@example.org"]]


def test_a_closed_port_is_an_outcome(make: MakeNotification) -> None:
    outcome = mail(9, timeout_s=2).send(make())
    assert not outcome.delivered
    assert "ConnectionRefusedError" in outcome.detail


def test_a_mail_that_was_taken_counts_although_the_parting_fails(
    mail_servers: MailServers, trusted: Path, make: MakeNotification, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = mail_servers("starttls")
    handed = smtplib.SMTP.send_message

    def then_cut(self: smtplib.SMTP, *args: Any, **kwargs: Any) -> Any:
        refused = handed(self, *args, **kwargs)
        assert self.sock is not None
        self.sock.shutdown(socket.SHUT_RDWR)
        return refused

    monkeypatch.setattr(smtplib.SMTP, "send_message", then_cut)
    assert mail(server.port).send(make()).delivered
    assert len(server.inbox) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"receivers": ()}, "mail_to is empty"),
        ({"receivers": ("ann@example.org\r\nBcc: x@y.z",)}, "not a mail address"),
        ({"receivers": ("ann",)}, "not a mail address"),
        ({"sender": ""}, "not a mail address"),
        ({"password": ""}, "has no password"),
    ],
)
def test_what_cannot_work_is_named_at_once(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        mail(25, **changes)


def test_a_password_is_never_sent_in_plain_text_over_a_network() -> None:
    with pytest.raises(ConfigError, match="plain text"):
        Mail(
            "mail.example.org",
            25,
            security="none",
            user="lode",
            password="hunter2",
            sender="a@example.org",
            receivers=("b@example.org",),
            timeout_s=1,
        )
