"""What a campaign tells people who are not watching: that it is done, that it failed, that it needs somebody."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from ..tools.core.errors import LodestoneError
from .notify.message import Kind, Notification
from .notify.notifier import Notifier
from .settings import Settings
from .summary import Summary, summarise, summary_text

FLUSH_S = 20.0
"""How long the end of a session waits for its last messages; what is not delivered then stays queued on disk."""


class Teller:
    """Sends notifications about one campaign; does nothing where no channel is set."""

    def __init__(self, directory: Path, settings: Settings) -> None:
        self._directory = directory
        self._notifier = Notifier(directory, settings.notify)

    def finished(self, reason: str) -> None:
        """The campaign ended by itself."""
        found = summarise(self._directory)
        text = f"{reason}\n\n{summary_text(found)}"
        self._send("success", "finished", f"{found.hits} found: {found.request}", text, found)

    def failed(self, error: LodestoneError) -> None:
        """The session ended with an error; the same error is told once."""
        text = f"{error.problem}\n{error.remedy}\n\nGo on with: lodestone resume {self._directory}"
        self._send("failure", error.problem, f"stopped: {error.problem}", text, None)

    def person(self, what: str) -> None:
        """Something that only a person can settle."""
        self._send("person", what, "a decision is needed", what, None)

    def close(self) -> None:
        """Wait a little for what is under way."""
        self._notifier.close(FLUSH_S)

    def _send(self, kind: Kind, what: str, title: str, text: str, found: Summary | None) -> None:
        facts: dict[str, str | int | float] = {"Campaign": str(self._directory)}
        if found is not None:
            facts |= {"Rounds": found.round, "Crystals in the pool": found.pool, "Failed evaluations": found.failed}
            facts |= {a.resource: f"{a.spent} of {a.cap}" for a in found.accounts if a.cap is not None}
        name = str(self._directory.resolve())
        self._notifier.send(
            Notification.make(kind, name, what, title=title, text=text, at=datetime.now().astimezone(), facts=facts)
        )
