"""Pop-ups on the desktop of this machine, by `notify-send`."""

from __future__ import annotations

import html
import shutil
import subprocess

from .channel import Outcome
from .message import Notification, subject

_URGENCY = {"low": "low", "normal": "normal", "high": "critical"}


class Desktop:
    """Shows title and text; works only in a session with a notification service."""

    name = "desktop"
    where = "this desktop"

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    def send(self, notification: Notification) -> Outcome:
        """One call of `notify-send`."""
        program = shutil.which("notify-send")
        if program is None:
            return Outcome(delivered=False, detail="notify-send is not installed (Debian: apt install libnotify-bin)")
        # Notification services read the body as markup.
        body = html.escape(notification.text[:500], quote=False)
        command = [
            program,
            "--app-name=Lodestone",
            f"--urgency={_URGENCY[notification.priority]}",
            "--",
            subject(notification),
            body,
        ]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=self._timeout_s, check=False
            )
        except subprocess.TimeoutExpired:
            return Outcome(delivered=False, detail=f"notify-send took more than {self._timeout_s:g} s")
        except OSError as error:
            return Outcome(delivered=False, detail=f"notify-send cannot be started: {error.strerror}")
        if done.returncode != 0:
            return Outcome(delivered=False, detail=f"notify-send ended with {done.returncode}: {_said(done.stderr)}")
        return Outcome(delivered=True, detail="shown on this desktop")


def _said(stderr: bytes) -> str:
    return " ".join(stderr.decode(errors="replace").split())[:200] or "it gave no reason"
