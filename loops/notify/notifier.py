"""The one object that the rest of Lodestone talks to: queue a notification, deliver it in the background."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType

from ...tools.core.errors import ConfigError
from .channel import Attempts, Channel
from .desktop import Desktop
from .message import Notification
from .outbox import FIRST_WAIT_S, Delivery, Outbox
from .settings import NotifySettings
from .smtp import Mail
from .webhook import Webhook

log = logging.getLogger(__name__)

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Notifier:
    """Queues at once, delivers in a background thread; what waits from an earlier process goes first.

    Args:
        directory: of the service or campaign; the outbox lies in it.
        settings: which events, which channels.
        env: environment with the secrets; None takes the process's own.

    Raises:
        ConfigError: for a channel that cannot work as set; never later, and never for a channel that is down.
    """

    def __init__(self, directory: Path, settings: NotifySettings, env: Mapping[str, str] | None = None) -> None:
        self._settings = settings
        self._channels = open_channels(settings, os.environ if env is None else env)
        self._outbox = Outbox(directory, timeout_s=settings.timeout_s, max_age_days=settings.max_age_days)
        self._changed = threading.Condition()
        self._asked = 1
        self._served = 0
        self._closing = False
        self._thread: threading.Thread | None = None
        if self._channels:
            self._thread = threading.Thread(target=self._work, name="notifier", daemon=True)
            self._thread.start()

    def __enter__(self) -> Notifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, notification: Notification) -> bool:
        """Queue a notification; it is on disk on return. True when it is new and its kind is switched on.

        Never raises for a channel or a disk that fails, and never waits for a channel.
        """
        if notification.kind != "test" and notification.kind not in self._settings.on:
            return False
        if not self._outbox.put(notification, [channel.name for channel in self._channels]):
            return False
        self._ask()
        return True

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that is due has been tried once; whether nothing waits any more."""
        if self._thread is None:
            return True
        wanted = self._ask()
        with self._changed:
            self._changed.wait_for(lambda: self._served >= wanted or self._closing, timeout_s)
        return not self._outbox.waiting()

    def close(self, timeout_s: float = 15.0) -> None:
        """Try what is due once more, for at most `timeout_s`, and end the thread. What waits stays on disk."""
        self.flush(timeout_s)
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(1.0)

    def _ask(self) -> int:
        with self._changed:
            self._asked += 1
            self._changed.notify_all()
            return self._asked

    def _work(self) -> None:
        while not self._closing:
            with self._changed:
                asked = self._asked
            wait = FIRST_WAIT_S
            try:
                tried = self._outbox.deliver(self._channels)
                due = self._outbox.next_due_s()
                # After a failure the rest of that channel's messages would be due at once.
                if all(delivery.outcome.delivered for delivery in tried) and due is not None:
                    wait = max(1.0, min(FIRST_WAIT_S, due))
            except Exception:  # the thread must outlive what nobody foresaw
                log.exception("Delivery stopped; it goes on in %.0f s", wait)
            with self._changed:
                self._served = asked
                self._changed.notify_all()
                if self._asked == asked and not self._closing:
                    self._changed.wait(wait)


def open_channels(settings: NotifySettings, env: Mapping[str, str]) -> list[Channel]:
    """The channels that are set.

    Raises:
        ConfigError: for a channel that cannot work; the message holds no secret.
    """
    channels: list[Channel] = []
    url = settings.webhook_url or _secret(env, settings.webhook_url_env, "webhook_url_env")
    if url:
        channels.append(
            Webhook(
                url,
                secret=_secret(env, settings.webhook_secret_env, "webhook_secret_env"),
                body_format=settings.webhook_format,
                timeout_s=settings.timeout_s,
            )
        )
    if settings.smtp_host:
        channels.append(
            Mail(
                settings.smtp_host,
                settings.smtp_port,
                security=settings.smtp_security,
                user=settings.smtp_user,
                password=_secret(env, settings.smtp_password_env, "smtp_password_env"),
                sender=settings.mail_from,
                receivers=settings.mail_to,
                timeout_s=settings.timeout_s,
            )
        )
    if settings.desktop:
        channels.append(Desktop(settings.timeout_s))
    return channels


def try_channels(settings: NotifySettings, env: Mapping[str, str]) -> list[Delivery]:
    """Send a test message once over each channel that is set, past the outbox, and say what happened on each.

    Raises:
        ConfigError: when no channel is set, or one cannot work.
    """
    channels = open_channels(settings, env)
    if not channels:
        raise ConfigError(
            "No channel for notifications is set.",
            f"Set notify.webhook_url (or export {settings.webhook_url_env}), notify.smtp_host or notify.desktop.",
        )
    now = datetime.now().astimezone()
    test = Notification.make(
        "test",
        "lodestone",
        str(time.time_ns()),
        title="notifications arrive",
        text="This is a test, asked for by `lodestone notify test`. Nothing happened, and nothing is to be done.",
        at=now,
        facts={"Kinds that are on": ", ".join(settings.on) or "none"},
    )
    attempts = Attempts(settings.timeout_s)
    return [
        Delivery(id=test.id, channel=channel.name, where=channel.where, outcome=attempts.send(channel, test))
        for channel in channels
    ]


def _secret(env: Mapping[str, str], variable: str, setting: str) -> str:
    """The value of a variable, empty when unset. A name that is none may be the secret itself: it is not shown."""
    if not variable:
        return ""
    if not _VARIABLE.fullmatch(variable):
        raise ConfigError(
            f"notify.{setting} is not the name of an environment variable.", "Give the name, and export the secret."
        )
    if variable.startswith("LODESTONE_"):
        raise ConfigError(
            f"notify.{setting} begins with LODESTONE_; such variables are read as settings.", "Choose another name."
        )
    return env.get(variable, "").strip()
