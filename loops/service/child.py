"""One campaign's agent process: started, found again after the service was killed, ended cleanly."""

from __future__ import annotations

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


def resume_command(directory: Path) -> Sequence[str]:
    """What works on a campaign."""
    return [sys.executable, "-m", "lodestone.loops.cli", "resume", str(directory)]


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
        """Start it on some cores; what it starts inherits them. Raises OSError."""
        log = self.directory / LOG
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, len(cores)))}

        def on_these_cores() -> None:
            if cores:
                os.sched_setaffinity(0, cores)

        with log.open("ab") as file:
            self._process = subprocess.Popen(
                list(launch(self.directory)),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                preexec_fn=on_these_cores,
            )
        self.mark = mark_process(self._process.pid, or_zombie=True)
        if self.mark is not None:
            write_durably(self.directory / MARK, self.mark.model_dump_json())

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
