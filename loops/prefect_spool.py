"""What is to be shown of each round, in files: the campaign writes them, the mirror shows and removes them.

One file a round, one JSON object a line. A round that could not be shown yet stays here, also when the campaign is
killed. Nothing of value is lost with these files: all of it is derived from the ledger.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

MAX_WAITING = 500
"""Rounds that are kept for a server that is away; then the oldest go."""

_KEY = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Artifact:
    """Something that Prefect's page shows with a round."""

    kind: Literal["table", "markdown", "link", "progress"]
    key: str
    """Lower-case letters, digits and dashes; artifacts of one key are shown as versions of one thing."""
    title: str
    content: str | Sequence[Mapping[str, Any]] | float
    """Rows for a table, the text for markdown, the address for a link, percent (0 to 100) for progress."""

    def __post_init__(self) -> None:
        kinds: dict[str, tuple[type, ...]] = {"table": (list, tuple), "progress": (int, float)}
        expected = kinds.get(self.kind, (str,))
        if not isinstance(self.content, expected):
            raise TypeError(f"A {self.kind} artifact does not hold {type(self.content).__name__}.")
        if not _KEY.fullmatch(self.key):
            raise ValueError(f"The artifact key {self.key!r} is not of lower-case letters, digits and dashes.")


class Record:
    """One round while it is worked on. Writing never raises: a full disk costs the picture, not the round."""

    def __init__(self, path: Path | None, note: Callable[[str], None]) -> None:
        self._path = path
        self._note = note
        self._stages = 0

    def began(self, name: str) -> None:
        self._write({"what": "round", "name": name, "key": secrets.token_hex(4), "at": time.time()})

    def stage(self, name: str) -> int:
        """A stage starts; its number, for `stage_ended`."""
        self._stages += 1
        self._write({"what": "stage", "number": self._stages, "name": name})
        return self._stages

    def stage_ended(self, number: int, error: str = "") -> None:
        self._write({"what": "stage-end", "number": number, "error": error})

    def ended(self, artifacts: Sequence[Artifact], error: str = "") -> None:
        for a in artifacts:
            content = a.content if isinstance(a.content, str | int | float) else [dict(row) for row in a.content]
            self._write({"what": "artifact", "kind": a.kind, "key": a.key, "title": a.title, "content": content})
        self._write({"what": "end", "at": time.time(), "error": error})

    def _write(self, event: dict[str, Any]) -> None:
        if self._path is None:
            return
        try:
            append(self._path, event)
        except OSError as error:
            self._note(f"This round will not be shown in Prefect: cannot write {self._path}: {error.strerror}.")
            self._path = None


class Spool:
    """The folder of rounds that are to be shown."""

    def __init__(self, folder: Path, note: Callable[[str], None]) -> None:
        self.folder = folder
        self._note = note
        self._last = 0

    def open(self) -> None:
        """Make the folder, and close what a killed session left open. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in waiting(self.folder):
            self._last = max(self._last, int(path.stem))
            if not is_ended(path):
                append(path, {"what": "end", "at": time.time(), "error": CUT_SHORT})

    def begin(self, name: str) -> Record:
        """Start the record of a round; the oldest records go when too many wait."""
        found = waiting(self.folder)
        for path in found[: max(0, len(found) - MAX_WAITING + 1)]:
            remove(path)
            self._note(f"More than {MAX_WAITING} rounds wait for Prefect: the oldest will not be shown.")
        self._last = max([self._last, *(int(p.stem) for p in found[-1:])]) + 1
        record = Record(self.folder / f"{self._last:08d}.jsonl", self._note)
        record.began(name)
        return record

    def waiting(self) -> int:
        """How many rounds have ended and are not shown yet."""
        return sum(is_ended(p) for p in waiting(self.folder))

    def is_empty(self) -> bool:
        return not waiting(self.folder)


CUT_SHORT = "The session ended in the middle of this round; a resumed campaign goes on with it."


def waiting(folder: Path) -> list[Path]:
    """Records in the order of their rounds."""
    with suppress(FileNotFoundError):
        return sorted(p for p in folder.glob("*.jsonl") if p.stem.isdigit())
    return []


def is_ended(path: Path) -> bool:
    """Whether the record of a round is complete. A file that was just removed is."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4096))
            tail = file.read()
    except FileNotFoundError:
        return True
    event = parse(tail.rstrip(b"\n").rpartition(b"\n")[2])
    return event.get("what") == "end"


def parse(line: bytes) -> dict[str, Any]:
    """One line of a record; empty for one that a full disk cut."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def append(path: Path, event: Mapping[str, Any]) -> None:
    """Add one line in one write. Raises OSError."""
    data = json.dumps(event, ensure_ascii=False, default=str).encode() + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        if os.write(descriptor, data) != len(data):
            raise OSError(28, "No space left on device")
    finally:
        os.close(descriptor)


def tries_file(path: Path) -> Path:
    """Beside a record: how often it was tried to show it."""
    return path.with_suffix(".tries")


def remove(path: Path) -> None:
    """Remove a record with what belongs to it."""
    path.unlink(missing_ok=True)
    tries_file(path).unlink(missing_ok=True)
