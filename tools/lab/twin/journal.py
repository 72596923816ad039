"""An append-only journal: JSON lines, each chained to the hash of the one before, each on the disk before it counts.

What is not here: what an event means (`world.py`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...core.errors import LabError
from ...core.failpoints import passing
from ...core.types import canonical_json, sha256

MAX_LINE_BYTES = 4 * 1024 * 1024
GENESIS = "0" * 64


class Journal:
    """One file of events. A torn last line (power loss while writing) is cut off; any other damage is an error.

    Args:
        path: the file; created when missing.

    Raises:
        LabError: a line in the middle is damaged, or its hash does not follow from the one before.
    """

    def __init__(self, path: Path) -> None:
        self._replay: list[dict[str, Any]] = []
        self._last = GENESIS
        good = 0
        if path.exists():
            for event, end in _read(path):
                self._replay.append(event)
                self._last = event["hash"]
                good = end
        self._count = len(self._replay)
        self._file = open(path, "ab")  # noqa: SIM115 (it lives as long as the journal)
        if self._file.tell() > good:
            self._file.truncate(good)
            os.fsync(self._file.fileno())
        _sync_folder(path.parent)

    def replay(self) -> list[dict[str, Any]]:
        """The events that were there at the beginning, once: a journal is long, and its state is short."""
        events, self._replay = self._replay, []
        return events

    def append(self, kind: str, at_s: float, data: dict[str, Any]) -> dict[str, Any]:
        """Write one event; it is on the disk when this returns.

        Args:
            kind: what happened.
            at_s: laboratory time in seconds.
            data: plain JSON.
        """
        body: dict[str, Any] = {"n": self._count, "kind": kind, "at_s": at_s, "data": data, "before": self._last}
        event: dict[str, Any] = {**body, "hash": sha256(canonical_json(body))}
        line = canonical_json(event).encode() + b"\n"
        passing("lab.journal.before")
        self._file.write(line)
        self._file.flush()
        os.fsync(self._file.fileno())
        passing("lab.journal.after")
        self._count += 1
        self._last = event["hash"]
        return event

    def tear(self) -> None:
        """Leave half a line behind, as a power loss does in the middle of a write."""
        self._file.write(b'{"n":')
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> list[dict[str, Any]]:
    """Every whole event of a journal, checked against the chain.

    Raises:
        LabError: it is damaged elsewhere than in its last line.
    """
    return [event for event, _ in _read(path)]


def _read(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    before, end = GENESIS, 0
    with open(path, "rb") as file:
        lines = iter(lambda: file.readline(MAX_LINE_BYTES), b"")
        for number, line in enumerate(lines):
            whole = line.endswith(b"\n")
            event = _parse(line) if whole else None
            if event is None:
                if not file.readline(1):
                    return
                raise LabError(f"line {number + 1} of {path} is damaged", "Restore the journal from a copy.")
            body = {key: value for key, value in event.items() if key != "hash"}
            if event.get("before") != before or event.get("hash") != sha256(canonical_json(body)):
                raise LabError(
                    f"line {number + 1} of {path} does not follow from the line before: it was changed",
                    "Restore the journal from a copy.",
                )
            before, end = event["hash"], end + len(line)
            yield event, end


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
