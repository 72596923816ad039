"""The daily digest: one message about all campaigns below a folder, and when it is due.

What is not here: how a campaign is read. A function that yields a `Summary` is given.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError

from ...tools.core.errors import LodestoneError
from ...tools.core.types import Frozen
from ...tools.evaluate.process import write_durably
from .message import Notification, one_line
from .notifier import Notifier
from .settings import NotifySettings

log = logging.getLogger(__name__)

State = Literal["running", "paused", "waiting", "finished", "failed", "stopped"]
_ORDER: tuple[State, ...] = ("waiting", "failed", "running", "paused", "stopped", "finished")
_COUNTED: dict[State, str] = {"waiting": "waiting for you"}

MAX_DEPTH = 4
MAX_SHOWN = 40
"""Campaigns described in full; the rest are counted."""

SHORTEST_S = 20 * 3600.0
"""Two digests are never closer."""
LONGEST_S = 47 * 3600.0
"""The first one comes after so long even if its hour never does, as on a clock that stands still."""


class Summary(Frozen):
    """What the digest says of one campaign."""

    campaign: str
    goal: str = ""
    state: State
    rounds: int = Field(ge=0)
    evaluations: int = Field(ge=0)
    """Spent, reserved ones not included."""
    cap: int | None = Field(default=None, ge=0)
    """Most evaluations allowed; None when there is no such cap."""
    best: str = ""
    """The best crystal so far in one line, with its figures."""
    failures: int = Field(default=0, ge=0)
    """Evaluations that failed, and were charged."""
    waits: tuple[str, ...] = ()
    """What a person has to do, one line each."""
    changed_at: AwareDatetime | None = None
    """When something happened last."""


class Moment(Frozen):
    """A point in time on the wall clock and on one that never jumps."""

    at: AwareDatetime
    uptime_s: float
    """Since boot, sleep included (CLOCK_BOOTTIME)."""
    boot_id: str

    @classmethod
    def now(cls) -> Moment:
        """This moment, in local time."""
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        uptime_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        return cls(at=datetime.now().astimezone(), uptime_s=uptime_s, boot_id=boot_id)

    def seconds_since(self, earlier: Moment) -> float:
        """Seconds passed, by the clock that never jumps where both moments share a boot.

        Across a boot there is only the wall clock, and at least the time since that boot.
        """
        if self.boot_id == earlier.boot_id:
            return self.uptime_s - earlier.uptime_s
        return max((self.at - earlier.at).total_seconds(), self.uptime_s)


def due(last_sent: Moment | None, now: Moment, hour: int) -> bool:
    """Whether the digest is to be sent now.

    It is due at the first local `hour` that comes 20 h or more after the last one, so once a day, and after a missed
    hour as soon as possible; at the latest after 44 h (45 h where summer time ends). The last one's time is placed on
    today's clock by the seconds that really passed, so a clock that is set forth or back by a day neither doubles nor
    drops one.

    Args:
        last_sent: None when none was sent yet: then it is due during that hour.
        now: its time zone is the local one.
        hour: 0 to 23; -1 for never.
    """
    if hour < 0:
        return False
    if last_sent is None:
        return now.at.hour == hour
    earliest = now.at + timedelta(seconds=SHORTEST_S - now.seconds_since(last_sent))
    target = earliest.replace(hour=hour, minute=0, second=0, microsecond=0)
    if target < earliest:
        target += timedelta(days=1)
    return now.at >= target


def digest(
    root: Path,
    since: datetime,
    summarise: Callable[[Path], Summary],
    *,
    is_campaign: Callable[[Path], bool],
    now: datetime,
    what: str | None = None,
) -> Notification | None:
    """One message about all campaigns below `root`; None where there are none.

    Args:
        root: searched to a depth of four folders; links are not followed.
        since: start of the time reported on; campaigns that ended before it are only counted.
        summarise: reads one campaign; an error of its own for one campaign becomes a line of the digest.
        is_campaign: whether a folder is one.
        now: end of that time, in local time.
        what: names this digest among those of the same root; None takes `since`.
    """
    summaries: list[Summary] = []
    unread: list[str] = []
    for directory in campaigns_below(root, is_campaign):
        try:
            summaries.append(summarise(directory))
        except (LodestoneError, OSError) as error:
            words = error.problem if isinstance(error, LodestoneError) else str(error)
            unread.append(f"{directory.name} cannot be read: {one_line(words, 200)}")
    if not summaries and not unread:
        return None
    summaries.sort(key=lambda summary: (_ORDER.index(summary.state), summary.campaign))
    old = [s for s in summaries if s.state == "finished" and s.changed_at is not None and s.changed_at < since]
    shown = [s for s in summaries if s not in old]
    needs = [f"{s.campaign}: {one_line(wait, 200)}" for s in summaries for wait in s.waits] + unread

    paragraphs = []
    if needs:
        paragraphs.append("\n".join(["Needs you:", *(f"• {line}" for line in needs[:MAX_SHOWN])]))
        if len(needs) > MAX_SHOWN:
            paragraphs.append(f"And {len(needs) - MAX_SHOWN} more that need you.")
    paragraphs += [_paragraph(summary) for summary in shown[:MAX_SHOWN]]
    if len(shown) > MAX_SHOWN:
        paragraphs.append(f"And {_count(len(shown) - MAX_SHOWN, 'more campaign')}.")
    if old:
        paragraphs.append(f"{_count(len(old), 'campaign')} ended before {since:%Y-%m-%d %H:%M}.")

    counts = [(state, sum(s.state == state for s in summaries)) for state in _ORDER]
    states = ", ".join(f"{n} {_COUNTED.get(state, state)}" for state, n in counts if n)
    number = len(summaries) + len(unread)
    facts: dict[str, str | int | float] = {
        "Campaigns": number,
        "Evaluations spent": sum(s.evaluations for s in summaries),
        "Failed evaluations": sum(s.failures for s in summaries),
        "To do for you": len(needs),
        "Machine": socket.gethostname(),
    }
    if unread:
        states += f"{', ' if states else ''}{len(unread)} unreadable"
    return Notification.make(
        "digest",
        root.resolve().name,
        f"{root.resolve()} {since.isoformat() if what is None else what}",
        title=f"{_count(number, 'campaign')}: {states}",
        text="\n\n".join(paragraphs),
        at=now,
        facts=facts,
    )


def campaigns_below(root: Path, is_campaign: Callable[[Path], bool]) -> Iterator[Path]:
    """Campaign directories at or below `root`, in order; nothing is looked for inside one."""
    for folder, names, _ in os.walk(root):
        path = Path(folder)
        names.sort()
        if is_campaign(path):
            names.clear()
            yield path
        elif len(path.relative_to(root).parts) >= MAX_DEPTH:
            names.clear()


class _State(Frozen):
    started: Moment
    sent: Moment | None = None
    number: int = 0


class DailyDigest:
    """Sends the digest when it is due; remembers across restarts in `digest.json`.

    Killed between queueing and remembering, it makes the same digest with the same id again, which the outbox drops.
    """

    def __init__(
        self,
        directory: Path,
        root: Path,
        settings: NotifySettings,
        notifier: Notifier,
        summarise: Callable[[Path], Summary],
        is_campaign: Callable[[Path], bool],
    ) -> None:
        self._file = directory / "digest.json"
        self._root = root
        self._hour = settings.digest_hour if "digest" in settings.on else -1
        self._notifier = notifier
        self._summarise = summarise
        self._is_campaign = is_campaign
        self._state: _State | None = None

    def tick(self, now: Moment | None = None) -> bool:
        """Send it if it is due; ask at least every half hour."""
        if self._hour < 0:
            return False
        now = now or Moment.now()
        state = self._state or self._load(now)
        self._state = state
        if not self._due(state, now):
            return False
        message = digest(
            self._root,
            state.sent.at if state.sent else now.at - timedelta(days=1),
            self._summarise,
            is_campaign=self._is_campaign,
            now=now.at,
            what=f"{state.started.at.isoformat()} {state.number}",
        )
        sent = message is not None and self._notifier.send(message)
        self._keep(_State(started=state.started, sent=now, number=state.number + 1))
        return sent

    def _due(self, state: _State, now: Moment) -> bool:
        silent = state.sent is None and now.seconds_since(state.started) >= LONGEST_S
        return silent or due(state.sent, now, self._hour)

    def _load(self, now: Moment) -> _State:
        try:
            return _State.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            pass
        except (OSError, ValidationError) as error:
            log.warning("Cannot read %s (%s); the digest starts anew", self._file, type(error).__name__)
        state = _State(started=now)
        self._keep(state)
        return state

    def _keep(self, state: _State) -> None:
        self._state = state
        try:
            write_durably(self._file, state.canonical_json())
        except OSError as error:
            log.warning("Cannot write %s (%s); a restart may send the digest again", self._file, error.strerror)


def _paragraph(summary: Summary) -> str:
    spent = f"{summary.evaluations}" + (f" of {summary.cap}" if summary.cap is not None else "")
    lines = [f"{summary.campaign}: {summary.state}, {_count(summary.rounds, 'round')}, {spent} evaluations"]
    if summary.goal:
        lines.append(f"  Goal: {one_line(summary.goal, 160)}")
    if summary.best:
        lines.append(f"  Best: {one_line(summary.best, 200)}")
    if summary.failures:
        lines.append(f"  Failed: {_count(summary.failures, 'evaluation')}")
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
