"""Which process is which, and files that survive a power cut.

Nothing here knows about evaluations; `job.py` builds durable jobs from these pieces. Linux only (`/proc`).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import socket
import tempfile
import time
from pathlib import Path

from ..core.types import Frozen

_PR_SET_PDEATHSIG = 1
"""From `<linux/prctl.h>`: the signal a process gets when its parent dies."""

_DEAD_STATES = frozenset("ZXx")
"""`proc_pid_stat(5)`: a zombie or a process that is being removed does no more work."""


class ProcessMark(Frozen):
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    start_ticks: int
    """Clock ticks from boot to the start of the process (field 22 of `proc_pid_stat(5)`)."""
    boot_id: str
    pid_namespace: str
    host: str


def mark_process(pid: int, *, or_zombie: bool = False) -> ProcessMark | None:
    """The mark of a live process (or also of an unreaped one) of this machine; None when there is none."""
    stat = _read_stat(pid)
    if stat is None or (stat[0] in _DEAD_STATES and not or_zombie):
        return None
    return ProcessMark(
        pid=pid,
        start_ticks=int(stat[19]),
        boot_id=_boot_id(),
        pid_namespace=_pid_namespace(),
        host=socket.gethostname(),
    )


def is_alive(mark: ProcessMark, lock: Path | None = None) -> bool | None:
    """Whether the marked process still runs; None when that cannot be known from here.

    Args:
        mark: as written by the process's own machine.
        lock: a file on which the process holds a lock for all its life; asked only where process numbers
            say nothing (another container on the same machine).
    """
    if mark.boot_id != _boot_id():
        # The same host name with another boot id is this machine before it was rebooted.
        return False if mark.host == socket.gethostname() else None
    if mark.pid_namespace != _pid_namespace():
        return None if lock is None else _is_locked(lock)
    return mark_process(mark.pid) == mark.model_copy(update={"host": socket.gethostname()})


def kill_group(mark: ProcessMark) -> bool:
    """SIGKILL the process group led by the marked process; False when it is not that process any more."""
    if mark.pid_namespace != _pid_namespace() or not is_alive(mark):
        return False
    try:
        os.killpg(mark.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def group_usage(group: int) -> tuple[float, int]:
    """What a process group uses: user and system seconds of its living members with their reaped children, and the
    resident bytes of all of them (shared pages are counted for each)."""
    ticks = pages = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        stat = _read_stat(int(entry.name))
        if stat is not None and int(stat[2]) == group:
            ticks += sum(int(field) for field in stat[11:15])
            pages += int(stat[21])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE")


def die_with_parent() -> None:
    """Ask the kernel for a SIGKILL when the parent process dies (`prctl(2)`)."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def hold_lock(path: Path) -> int:
    """Lock a file until this process ends. Returns the descriptor, which must stay open."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def read_until_closed(descriptor: int, deadline: float) -> bytes:
    """What comes out of a pipe until its other end is closed, or `deadline` (of `time.monotonic`) has passed."""
    data = b""
    while (left := deadline - time.monotonic()) > 0 and select.select([descriptor], [], [], left)[0]:
        chunk = os.read(descriptor, 64)
        if not chunk:
            break
        data += chunk
    return data


def write_durably(path: Path, text: str) -> None:
    """Replace a file in one step: readers see the old text or the new, also after a power cut."""
    temporary = _write_beside(path, text)
    os.replace(temporary, path)
    sync_path(path.parent)


def create_durably(path: Path, text: str) -> bool:
    """Create a file with its text in one step; False, and nothing written, when it exists.

    A hard link has the exclusiveness of `O_EXCL`, and never shows an empty file.
    """
    temporary = _write_beside(path, text)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    sync_path(path.parent)
    return True


def read_limited(path: Path, limit: int) -> str | None:
    """The text of a file of at most `limit` bytes; None when it is missing, larger, or not UTF-8."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
        return None if len(data) > limit else data.decode()
    except (FileNotFoundError, NotADirectoryError, UnicodeDecodeError):
        return None


def _write_beside(path: Path, text: str) -> Path:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise
    return Path(name)


def sync_path(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_locked(path: Path) -> bool | None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _read_stat(pid: int) -> list[str] | None:
    """Fields of `/proc/PID/stat` from the state on (the command's name may hold spaces and brackets)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text[text.rindex(")") + 2 :].split()


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _pid_namespace() -> str:
    return os.readlink("/proc/self/ns/pid")
