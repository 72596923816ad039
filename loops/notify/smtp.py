"""Notifications as mail: one message with a plain and an HTML body, to all receivers."""

from __future__ import annotations

import ipaddress
import smtplib
import ssl
from contextlib import suppress
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr

from ...tools.core.errors import ConfigError
from .channel import Outcome, without_secrets
from .message import Notification, html_page, plain, subject
from .settings import SmtpSecurity


class Mail:
    """Sends over STARTTLS or TLS with the server's certificate checked; never falls back to plain text.

    An authority of one's own is taken from `SSL_CERT_FILE`. The Message-ID is the same in every attempt, so that a
    mailbox that gets a message twice can tell.
    """

    name = "mail"

    def __init__(
        self,
        host: str,
        port: int,
        *,
        security: SmtpSecurity,
        user: str,
        password: str,
        sender: str,
        receivers: tuple[str, ...],
        timeout_s: float,
    ) -> None:
        if not receivers:
            raise ConfigError("notify.smtp_host is set, but notify.mail_to is empty.", "List who gets the mail.")
        if user and not password:
            raise ConfigError(
                f"The login {user!r} on {host} has no password.",
                "Export it in the variable that notify.smtp_password_env names.",
            )
        if user and security == "none" and not _is_loopback(host):
            raise ConfigError(
                f"A password would travel to {host} in plain text.", 'Set notify.smtp_security to "starttls" or "tls".'
            )
        self.where = f"{host}:{port}"
        self._host, self._port, self._security = host, port, security
        self._user, self._password = user, password
        self._sender = _address(sender, "notify.mail_from")
        self._receivers = tuple(_address(receiver, "notify.mail_to") for receiver in receivers)
        self._timeout_s = timeout_s

    def __repr__(self) -> str:
        return f"Mail({self.where})"

    def message(self, notification: Notification) -> EmailMessage:
        """The mail as it is sent."""
        mail = EmailMessage(policy=SMTP)
        mail["Subject"] = subject(notification)
        mail["From"] = self._sender
        mail["To"] = self._receivers
        mail["Date"] = format_datetime(notification.at)
        mail["Message-ID"] = f"<{notification.id}@{self._sender.domain}>"
        # RFC 3834: no out-of-office answers to a machine.
        mail["Auto-Submitted"] = "auto-generated"
        if notification.priority != "normal":
            mail["Importance"] = notification.priority
        mail.set_content(plain(notification))
        mail.add_alternative(html_page(notification), subtype="html")
        return mail

    def send(self, notification: Notification) -> Outcome:
        """One session; delivered when at least one receiver is taken."""
        try:
            server = self._connect()
            try:
                refused = self._hand_over(server, self.message(notification))
                # The message is theirs: a connection lost while parting changes nothing.
                with suppress(OSError):
                    server.quit()
            finally:
                server.close()
        except smtplib.SMTPRecipientsRefused as error:
            return Outcome(delivered=False, detail=f"{self.where} refused {self._refusals(error.recipients)}")
        except OSError as error:  # smtplib's own and ssl's errors are OSErrors too
            return Outcome(delivered=False, detail=f"{self.where}: {self._reason(error)}")
        taken = len(self._receivers) - len(refused)
        words = f"{self.where} took it for {taken} of {len(self._receivers)}"
        return Outcome(delivered=True, detail=words + (f"; refused {self._refusals(refused)}" if refused else ""))

    def _connect(self) -> smtplib.SMTP:
        if self._security == "tls":
            return smtplib.SMTP_SSL(
                self._host, self._port, timeout=self._timeout_s, context=ssl.create_default_context()
            )
        return smtplib.SMTP(self._host, self._port, timeout=self._timeout_s)

    def _hand_over(self, server: smtplib.SMTP, mail: EmailMessage) -> dict[str, tuple[int, bytes]]:
        if self._security == "starttls":
            server.starttls(context=ssl.create_default_context())
        if self._user:
            server.login(self._user, self._password)
        return server.send_message(mail)

    def _refusals(self, refused: dict[str, tuple[int, bytes]]) -> str:
        said = ", ".join(f"{who} ({code} {_text(reason)})" for who, (code, reason) in refused.items())
        return without_secrets(said, {self._password})

    def _reason(self, error: OSError) -> str:
        if isinstance(error, smtplib.SMTPResponseException):
            words = f"{error.smtp_code} {_text(error.smtp_error)}"
        else:
            words = str(error)
        return f"{type(error).__name__}: {without_secrets(words, {self._password})}"


def _text(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said


def _address(text: str, setting: str) -> Address:
    name, bare = parseaddr(text)
    try:
        if "@" not in bare or not text.isprintable():
            raise ValueError("no address")
        return Address(display_name=name, addr_spec=bare)
    except ValueError as error:
        raise ConfigError(f"{setting} has {text!r}, which is not a mail address.", "Give it as NAME@HOST.") from error


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
