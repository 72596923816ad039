"""What a channel is, and one attempt on it that neither raises nor outlasts its time."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Iterable
from typing import Protocol

from ...tools.core.types import Frozen
from .message import Notification, one_line

log = logging.getLogger(__name__)


class Outcome(Frozen):
    """What came of one attempt; a refusal is data, not an exception."""

    delivered: bool
    detail: str
    """For people; holds no secret."""
    retry_after_s: float | None = None
    """The wait that the receiver asked for."""


class Channel(Protocol):
    """One way to reach people."""

    name: str
    """Lower-case letters; part of file names."""
    where: str
    """The receiver in words that may be shown: no path, no token."""

    def send(self, notification: Notification) -> Outcome:
        """Try once. What can go wrong on the way is an Outcome with its reason."""
        ...


class Attempts:
    """Bounded attempts: at most one at a time on each channel."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._threads: dict[str, threading.Thread] = {}

    def busy(self, channel: Channel) -> bool:
        """Whether an attempt that ran out of time still hangs on this channel."""
        thread = self._threads.get(channel.name)
        return thread is not None and thread.is_alive()

    def send(self, channel: Channel, notification: Notification) -> Outcome:
        """Try once, for at most `timeout_s`.

        The time-outs of sockets bound each single wait, not their sum, and none bounds a name look-up. So the
        attempt has a thread of its own, which is left behind when the time is over. It may still deliver; the
        message is tried again all the same, with the same key.
        """
        found: list[Outcome] = []

        def attempt() -> None:
            try:
                found.append(channel.send(notification))
            except Exception as error:  # noqa: BLE001 - a broken channel must not end the campaign's service
                # The message and the variables of a foreign error may hold an address or a password.
                last = traceback.extract_tb(error.__traceback__)[-1]
                log.error("Channel %s broke: %s at %s:%s", channel.name, type(error).__name__, last.name, last.lineno)
                found.append(Outcome(delivered=False, detail=f"unexpected {type(error).__name__} in the channel"))

        thread = threading.Thread(target=attempt, name=f"notify-{channel.name}", daemon=True)
        self._threads[channel.name] = thread
        thread.start()
        thread.join(self._timeout_s)
        if found:
            return found[0]
        return Outcome(delivered=False, detail=f"no answer from {channel.where} within {self._timeout_s:g} s")


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """A foreign message as one short line, each secret in it replaced by three dots."""
    for secret in sorted(secrets, key=len, reverse=True):
        if secret:
            text = text.replace(secret, "…")
    return one_line(text, 300)
