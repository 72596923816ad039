"""What a disk may hold after a power cut, from the log of everything that a process did to it.

The model: file data that was not synced may be lost, kept, or torn by sectors; names (creations, links, renames,
removals) that were not synced with their directory may be lost or kept, in their order. A rename is atomic.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512


@dataclass(frozen=True)
class Operation:
    """One logged call; `end` is where its record ends in the log."""

    kind: str
    path: str
    other: str
    offset: int
    data: bytes
    end: int


def read_log(path: Path) -> list[Operation]:
    """The operations in order."""
    raw = path.read_bytes()
    found, at = [], 0
    while at < len(raw):
        line_end = raw.index(b"\n", at)
        kind, first, other, offset, size = raw[at:line_end].decode().split("\t")
        length = int(size) if kind == "write" else 0
        at = line_end + 1 + length
        found.append(Operation(kind, first, other, int(offset), raw[line_end + 1 : at], at))
    return found


@dataclass
class _File:
    durable: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """(offset, data), or (size, None) for a change of size."""

    def now(self) -> bytes:
        return _applied(self.durable, self.pending)

    def torn(self, rng: random.Random) -> bytes:
        """Each sector of each unsynced write made it, or did not; so did changes of size."""
        kept: list[tuple[int, bytes | None]] = []
        for offset, data in self.pending:
            if data is None:
                if rng.random() < 0.5:
                    kept.append((offset, None))
                continue
            for start in range(0, len(data), SECTOR):
                if rng.random() < 0.5:
                    kept.append((offset + start, data[start : start + SECTOR]))
        return _applied(self.durable, kept)


def _applied(base: bytes, changes: list[tuple[int, bytes | None]]) -> bytes:
    content = bytearray(base)
    for offset, data in changes:
        if data is None:
            del content[offset:]
            content.extend(b"\0" * (offset - len(content)))
        else:
            content.extend(b"\0" * (offset - len(content)))
            content[offset : offset + len(data)] = data
    return bytes(content)


Image = dict[str, bytes]


class Disk:
    """The state of a disk while operations are applied to it."""

    def __init__(self) -> None:
        self._live: dict[str, _File] = {}
        self._durable: dict[str, _File] = {}
        self._names: list[tuple[Operation, _File | None]] = []
        """Changes of names that are not synced with their directory, with the file that a creation made."""
        self._folders: set[str] = set()

    def apply(self, op: Operation) -> None:
        """Take one operation in."""
        if op.kind == "mkdir":
            self._folders.add(op.path)  # an empty directory holds nothing that could be lost
        elif op.kind == "sync":
            self._sync(op.path)
        elif op.kind in ("write", "resize", "truncate"):
            file = self._live.get(op.path)
            if file is not None:
                file.pending.append((op.offset, op.data if op.kind == "write" else None))
        else:
            made = _File() if op.kind == "create" else None
            _rename(self._live, op, made)
            self._names.append((op, made))

    def _sync(self, path: str) -> None:
        if path in self._live:
            file = self._live[path]
            file.durable, file.pending = file.now(), []
            return
        folder = path.rstrip("/")
        still = []
        for op, made in self._names:
            if folder in (op.path.rpartition("/")[0], op.other.rpartition("/")[0]):
                _rename(self._durable, op, made)
            else:
                still.append((op, made))
        self._names = still

    def images(self, rng: random.Random, torn: int) -> Iterator[tuple[str, Image]]:
        """(name of the case, path to content) of everything that a power cut now may leave."""
        yield "strict", {p: f.durable for p, f in self._durable.items()}
        yield "all", {p: f.now() for p, f in self._live.items()}
        yield "names without data", {p: f.durable for p, f in self._live.items()}
        yield "data without names", {p: f.now() for p, f in self._durable.items()}
        for _ in range(torn):
            names = dict(self._durable)
            for op, made in self._names[: rng.randint(0, len(self._names))]:
                _rename(names, op, made)
            yield "torn", {p: f.torn(rng) for p, f in names.items()}


def _rename(names: dict[str, _File], op: Operation, made: _File | None) -> None:
    """Apply a change of names to a table of names."""
    if op.kind == "create" and made is not None:
        names[op.path] = made
    elif op.kind == "rename" and op.path in names:
        names[op.other] = names.pop(op.path)
    elif op.kind == "link" and op.path in names:
        names[op.other] = names[op.path]
    elif op.kind == "unlink":
        names.pop(op.path, None)
