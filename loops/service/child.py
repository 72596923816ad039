"""One campaign's agent process: started, found again after the service was killed, ended cleanly."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from ...tools.evaluate.process import ProcessMark, is_alive, mark_process, read_limited, write_durably

Launch = Callable[[Path], Sequence[str]]
MARK = "agent.json"
LOG = Path("logs") / "agent.log"
CAMPAIGN_LOCK = "campaign.lock"


def resume_command(directory: Path) -> Sequence[str]:
    """What works on a campaign."""
    return [sys.executable, "-m", "lodestone.loops.cli", "resume", str(directory)]


def resume_with(config: Path | None) -> Launch:
    """`resume_command` with the service's own settings file; None: the one of the working folder."""
    if config is None:
        return resume_command
    chosen = str(config.resolve())
    return lambda d: [sys.executable, "-m", "lodestone.loops.cli", "--config", chosen, "resume", str(d)]


def holder(directory: Path) -> str:
    """Who works on a campaign now, by the lock on it; empty when nobody does. Raises OSError."""
    try:
        descriptor = os.open(directory / CAMPAIGN_LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return ""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            mark = ProcessMark.model_validate_json(os.read(descriptor, 1000))
        except ValidationError:
            return "another process"
        return f"process {mark.pid} on {mark.host[:100]}"
    finally:
        os.close(descriptor)
    return ""


class Child:
    """An agent. `start` makes one; `adopt` finds one that an earlier service had started."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.mark: ProcessMark | None = None

    def adopt(self) -> bool:
        """Whether an agent of this campaign still works; it is looked after from now on."""
        try:
            mark = ProcessMark.model_validate_json(read_limited(self.directory / MARK, 10_000) or "")
        except ValidationError:
            return False
        if not is_alive(mark):
            return False
        self.mark = mark
        return True

    def start(self, launch: Launch, cores: set[int]) -> None:
        """Start it on some cores; what it starts inherits them. Raises OSError, and nothing runs then."""
        log = self.directory / LOG
        log.parent.mkdir(exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, len(cores)))}
        # Linux keeps this by thread, and a child inherits it from the thread that starts it: code between fork and
        # exec, which is unsafe beside other threads, is not needed.
        mine = os.sched_getaffinity(0)
        with log.open("ab") as file:
            os.sched_setaffinity(0, cores or mine)
            try:
                process = subprocess.Popen(
                    list(launch(self.directory)),
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
            finally:
                os.sched_setaffinity(0, mine)
        mark = mark_process(process.pid, or_zombie=True)
        try:
            if mark is not None:
                write_durably(self.directory / MARK, mark.model_dump_json())
        except OSError:
            # A service that is killed later could not find it again, and would start a second one.
            process.kill()
            process.wait()
            raise
        self._process, self.mark = process, mark

    def pin(self, cores: set[int]) -> None:
        """Move it to other cores; evaluations that run stay where they are, later ones inherit."""
        if self.mark is None or not is_alive(self.mark):
            return
        for task in Path(f"/proc/{self.mark.pid}/task").glob("*"):
            with suppress(ProcessLookupError, PermissionError):
                os.sched_setaffinity(int(task.name), cores)

    def poll(self) -> tuple[bool, int | None]:
        """(whether it still works, how it ended): exit code, minus a signal, None for an adopted one."""
        if self._process is not None:
            code = self._process.poll()
            return code is None, code
        return bool(self.mark is not None and is_alive(self.mark)), None

    def ask_to_stop(self) -> None:
        """SIGTERM: it ends between two steps; evaluations that run go on."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL; nothing that was recorded is lost."""
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        if self.mark is not None and is_alive(self.mark):
            with suppress(ProcessLookupError):
                os.kill(self.mark.pid, number)
