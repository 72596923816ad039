"""What is still to be said, kept on disk until it has been said: one JSON file a notification and channel.

    outbox/ID.CHANNEL.json         waits
    outbox/sent/ID.CHANNEL.json    delivered, the newest `KEPT`
    outbox/failed/ID.CHANNEL.json  given up, with the last reason, the newest `KEPT`
    outbox/known.txt               names of what is no longer kept

Delivery is at least once: a process that dies between the receiver's yes and the rename sends the message again, and so
does an attempt whose answer comes too late. Each carries a key by which a receiver can tell (`Idempotency-Key`, a
mail's Message-ID). Queueing is exactly once by id and channel, also after SIGKILL and from several processes.

Times are the wall clock's, since they must outlive the process; a clock that jumps costs one early or late attempt.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import Field, ValidationError

from ...tools.core.failpoints import passing
from ...tools.core.types import Frozen
from ...tools.evaluate.process import create_durably, sync_path, write_durably
from .channel import Attempts, Channel, Outcome
from .message import Notification

log = logging.getLogger(__name__)

NOTIFY_POINTS = ("notify.queued", "notify.delivered")
"""Failpoints passed here."""

KEPT = 1000
"""Delivered and given-up messages kept, each."""
FIRST_WAIT_S, LONGEST_WAIT_S = 15.0, 3600.0
"""Wait after the first failed attempt; it doubles up to the longest."""
LEAST_ATTEMPTS = 3
"""Attempts before anything is given up: a machine that was off for a week still tries."""
MAX_BYTES = 200_000
MAX_UNSAVED = 1000
"""Messages held in memory while the disk takes nothing."""
_STALE_S = 3600.0


class Entry(Frozen):
    """One message on its way over one channel."""

    version: int = 1
    channel: str = Field(pattern=r"^[a-z0-9-]{1,32}$")
    notification: Notification
    queued_at: float
    """Seconds since 1970, as are the other times."""
    attempts: int = Field(default=0, ge=0)
    next_at: float = 0.0
    reason: str = ""
    """Why the last attempt failed."""
    ended: str = Field(default="", pattern=r"^(sent|failed)?$")
    """Where it belongs when the disk did not take the move."""

    @property
    def file_name(self) -> str:
        """The same for the same notification and channel."""
        return f"{self.notification.id}.{self.channel}.json"


class Delivery(Frozen):
    """What came of one attempt."""

    id: str
    channel: str
    where: str
    outcome: Outcome


class Outbox:
    """The queue below one directory; any number of processes may share it.

    Neither `put` nor `deliver` raises when the disk refuses: what cannot be written stays in memory, is delivered all
    the same, and is written as soon as the disk takes it. For "the disk is full" is one of the messages.
    """

    def __init__(
        self,
        directory: Path,
        *,
        timeout_s: float = 10.0,
        max_age_days: float = 3.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory / "outbox"
        self._max_age_s = max_age_days * 86400
        self._clock = clock
        self._attempts = Attempts(timeout_s)
        self._unsaved: dict[str, Entry] = {}
        self._mutex = threading.RLock()
        self._forgotten: tuple[int, set[str]] = (0, set())

    def put(self, notification: Notification, channels: Sequence[str]) -> bool:
        """Queue a notification for each named channel; True when that was new for at least one."""
        now = self._clock()
        new = False
        for channel in channels:
            entry = Entry(channel=channel, notification=notification, queued_at=now)
            with self._exclusive():
                new = self._create(entry) or new
        if new:
            passing("notify.queued")
        return new

    def waiting(self) -> list[Entry]:
        """What is neither delivered nor given up, oldest first."""
        return [entry for entry in self._entries() if not entry.ended]

    def deliver(self, channels: Sequence[Channel]) -> list[Delivery]:
        """Try what is due once; a channel that fails is left alone until the next call.

        Takes at most the time-out for each channel that fails. Returns nothing while another process delivers.
        """
        done: list[Delivery] = []
        with self._alone() as alone:
            if not alone:
                return []
            self._tidy()
            by_name = {channel.name: channel for channel in channels}
            failed: set[str] = set()
            for entry in self._entries():
                if entry.ended:
                    self._end(entry, entry.ended)
                elif entry.channel not in by_name:
                    self._give_up_orphan(entry)
                elif entry.channel not in failed and self._due(entry):
                    channel = by_name[entry.channel]
                    if self._attempts.busy(channel):
                        failed.add(channel.name)
                        continue
                    outcome = self._attempts.send(channel, entry.notification)
                    done.append(
                        Delivery(id=entry.notification.id, channel=channel.name, where=channel.where, outcome=outcome)
                    )
                    if outcome.delivered:
                        passing("notify.delivered")
                        self._end(entry, "sent")
                    else:
                        failed.add(channel.name)
                        self._put_off(entry, outcome)
            self._prune()
        return done

    def next_due_s(self) -> float | None:
        """Seconds until the next attempt, at most `LONGEST_WAIT_S`; None when nothing waits."""
        entries = self._entries()
        if not entries:
            return None
        now = self._clock()
        return max(0.0, min(LONGEST_WAIT_S, *(FIRST_WAIT_S if e.ended else e.next_at - now for e in entries)))

    def _due(self, entry: Entry) -> bool:
        # A wait longer than the longest means that the clock was set back.
        return not 0 < entry.next_at - self._clock() <= LONGEST_WAIT_S

    def _put_off(self, entry: Entry, outcome: Outcome) -> None:
        now = self._clock()
        attempts = entry.attempts + 1
        wait = min(LONGEST_WAIT_S, max(FIRST_WAIT_S * 2 ** min(attempts - 1, 20), outcome.retry_after_s or 0.0))
        entry = entry.model_copy(update={"attempts": attempts, "next_at": now + wait, "reason": outcome.detail})
        log.warning("Not delivered (attempt %d, next in %.0f s): %s", attempts, wait, outcome.detail)
        if attempts >= LEAST_ATTEMPTS and now - entry.queued_at > self._max_age_s:
            self._give_up(entry, outcome.detail)
        else:
            self._save(entry)

    def _give_up(self, entry: Entry, reason: str) -> None:
        log.error("Given up after %d attempts: %s", entry.attempts, reason)
        entry = entry.model_copy(update={"reason": reason})
        self._save(entry)
        self._end(entry, "failed")

    def _give_up_orphan(self, entry: Entry) -> None:
        if self._clock() - entry.queued_at > self._max_age_s:
            self._give_up(entry, f"channel {entry.channel} is no longer set")

    # --- the disk -------------------------------------------------------------------------------

    def _create(self, entry: Entry) -> bool:
        name = entry.file_name
        if name in self._unsaved or self._known(name):
            return False
        try:
            (self._directory / "sent").mkdir(parents=True, exist_ok=True)
            (self._directory / "failed").mkdir(exist_ok=True)
            return create_durably(self._directory / name, entry.canonical_json())
        except OSError as error:
            if len(self._unsaved) >= MAX_UNSAVED:
                log.error("Lost, since the disk takes nothing: %s", entry.notification.title)
                return False
            log.warning("Kept in memory only: cannot write %s (%s)", self._directory, error.strerror)
            self._unsaved[name] = entry
            return True

    def _save(self, entry: Entry) -> None:
        with self._mutex:
            try:
                write_durably(self._directory / entry.file_name, entry.canonical_json())
                self._unsaved.pop(entry.file_name, None)
            except OSError as error:
                log.warning("Kept in memory only: cannot write %s (%s)", self._directory, error.strerror)
                self._unsaved[entry.file_name] = entry

    def _end(self, entry: Entry, folder: str) -> None:
        """Move to `sent/` or `failed/`, or remember to."""
        name = entry.file_name
        with self._exclusive():
            try:
                (self._directory / folder).mkdir(parents=True, exist_ok=True)
                if not os.path.exists(self._directory / name):
                    create_durably(self._directory / name, entry.canonical_json())
                os.replace(self._directory / name, self._directory / folder / name)
                sync_path(self._directory / folder)
                sync_path(self._directory)
                self._unsaved.pop(name, None)
            except OSError as error:
                log.warning("Cannot move a message to %s/%s (%s)", self._directory, folder, error.strerror)
                self._unsaved[name] = entry.model_copy(update={"ended": folder})

    def _known(self, name: str) -> bool:
        return os.path.exists(self._directory / name) or self._over(name)

    def _over(self, name: str) -> bool:
        """Whether it was delivered or given up, now or long ago, by this process or another."""
        if any(os.path.exists(self._directory / folder / name) for folder in ("sent", "failed")):
            return True
        path = self._directory / "known.txt"
        try:
            size = path.stat().st_size
            if size != self._forgotten[0]:
                self._forgotten = (size, set(path.read_text(encoding="utf-8").split()))
        except FileNotFoundError:
            return False
        except OSError as error:
            log.warning("Cannot read %s (%s); a message may be sent twice", path, error.strerror)
        return name in self._forgotten[1]

    def _entries(self) -> list[Entry]:
        found = {}
        with self._mutex:
            for path in _files(self._directory):
                if path.name not in self._unsaved:
                    entry = self._read(path)
                    if entry is not None:
                        found[path.name] = entry
            found.update(self._unsaved)
        return sorted(found.values(), key=lambda entry: (entry.queued_at, entry.file_name))

    def _read(self, path: Path) -> Entry | None:
        try:
            with path.open("rb") as file:
                entry = Entry.model_validate_json(file.read(MAX_BYTES))
            if entry.file_name == path.name:
                return entry
            reason = "its name and its content disagree"
        except FileNotFoundError:
            return None
        except ValidationError as error:
            reason = f"{error.error_count()} fields cannot be read"
        except OSError as error:
            log.warning("Cannot read %s (%s)", path, error.strerror)
            return None
        log.error("%s is no message (%s); moved to failed/", path, reason)
        try:
            os.replace(path, self._directory / "failed" / path.name)
        except OSError as error:
            log.warning("Cannot move %s (%s)", path, error.strerror)
        return None

    def _tidy(self) -> None:
        """Remove what a killed writer left half-written, and write what the disk would not take before."""
        for path in self._directory.glob(".*.json.*"):
            try:
                if time.time() - path.stat().st_mtime > _STALE_S:
                    path.unlink()
            except OSError as error:
                log.warning("Cannot remove %s (%s)", path, error.strerror)
        with self._exclusive():
            for entry in [e for e in self._unsaved.values() if not e.ended]:
                if self._over(entry.file_name):
                    del self._unsaved[entry.file_name]
                else:
                    self._save(entry)

    def _prune(self) -> None:
        for folder in ("sent", "failed"):
            paths = _files(self._directory / folder)
            if len(paths) <= KEPT:
                continue
            with self._exclusive():
                try:
                    oldest = sorted(paths, key=lambda path: (path.stat().st_mtime, path.name))[: len(paths) - KEPT]
                    # Names first: killed in between, nothing is forgotten. The leading break ends a torn line.
                    with (self._directory / "known.txt").open("a", encoding="utf-8") as known:
                        known.write("\n" + "\n".join(path.name for path in oldest) + "\n")
                        known.flush()
                        os.fsync(known.fileno())
                    sync_path(self._directory)
                    for path in oldest:
                        path.unlink(missing_ok=True)
                except OSError as error:
                    log.warning("Cannot prune %s (%s)", self._directory / folder, error.strerror)

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Nobody else queues or moves meanwhile."""
        with self._mutex, self._flock("queue.lock", fcntl.LOCK_EX):
            yield

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Whether this is the only one who delivers."""
        with self._flock("deliver.lock", fcntl.LOCK_EX | fcntl.LOCK_NB) as held:
            yield held

    @contextmanager
    def _flock(self, name: str, how: int) -> Iterator[bool]:
        file = None
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            file = (self._directory / name).open("ab")
            fcntl.flock(file, how)
            held = True
        except BlockingIOError:
            held = False
        except OSError as error:
            # No lock can be had on this disk, by anyone. Said twice is better than not said.
            log.warning("Cannot lock %s (%s)", self._directory / name, error.strerror)
            held = True
        try:
            yield held
        finally:
            if file is not None:
                file.close()


def _files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.suffix == ".json" and not path.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        log.warning("Cannot read %s (%s)", folder, error.strerror)
        return []
