"""The calculator as its supervisor sees it: a process that is asked one task at a time, and may die over it.

What it does with a task is in `worker.py`, which both processes run.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from ..core.errors import EvaluationError
from ..core.types import EvaluationRequest, FailureKind, Frozen
from .base import Outcome
from .job import MAX_JOB_FILE_BYTES
from .process import ProcessMark, group_usage, mark_process
from .watchdog import LOOK_S, Passed


class Task(Frozen):
    """What the calculator is asked."""

    request: EvaluationRequest
    scratch: str
    checkpoint: str
    ladder: str
    """File of the ladder's steps; empty where the evaluator climbs none."""


class Answer(Frozen):
    """What it answers."""

    outcome: Outcome | None = None
    failure: str = ""
    kind: FailureKind = ""
    core_s: float
    """Of this task; the first one also pays for the imports."""


class Lost(Frozen):
    """It did not answer."""

    reason: str
    kind: FailureKind = "crash"
    retry: bool = True
    """Whether another attempt may go better."""
    core_s: float


class Calculator:
    """A calculator process, started when needed and kept for the next task."""

    def __init__(self, root: Path, order_path: Path) -> None:
        self._command = [sys.executable, "-P", "-m", "lodestone.tools.evaluate.worker", str(root), str(order_path)]
        self._process: subprocess.Popen[bytes] | None = None
        self._answers = -1
        self._spent = 0.0

    def start(self) -> ProcessMark:
        """The mark of the living calculator process, a new one where the last is gone."""
        if self._process is not None:
            if (mark := mark_process(self._process.pid)) is not None:
                return mark
            self._bury()
        receive, send = os.pipe()
        self._process = subprocess.Popen(
            [*self._command, "--calculate", str(send)],
            stdin=subprocess.PIPE,
            pass_fds=(send,),
            process_group=0,
        )
        os.close(send)
        self._answers, self._spent = receive, 0.0
        mark = mark_process(self._process.pid, or_zombie=True)
        if mark is None:
            raise EvaluationError("This process cannot see its own children in /proc.", "Mount /proc as usual.")
        return mark

    @property
    def group(self) -> tuple[int, float]:
        """Process group, and core seconds that it has used for earlier tasks."""
        if self._process is None:
            raise EvaluationError("There is no calculator.", "Call start() first.")
        return self._process.pid, self._spent

    def ask(self, task: Task, look: Callable[[], Passed | None]) -> Answer | Lost:
        """Do one task; `look` is called every half second, and ends the process by naming a passed limit."""
        process = self._process
        if process is None or process.stdin is None:
            raise EvaluationError("The calculator was asked before it was started.", "Call start() first.")
        try:
            process.stdin.write(task.model_dump_json().encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return self._bury()
        data = b""
        while not data.endswith(b"\n"):
            if not select.select([self._answers], [], [], LOOK_S)[0]:
                passed = look()
                if passed is None:
                    continue
                core_s = group_usage(process.pid)[0] - self._spent
                self._bury()
                return Lost(reason=passed.reason, kind=passed.kind, retry=passed.retry, core_s=max(core_s, 0.0))
            chunk = os.read(self._answers, 65536)
            data += chunk
            if not chunk or len(data) > MAX_JOB_FILE_BYTES:
                return self._bury()
        try:
            answer = Answer.model_validate_json(data)
        except ValidationError:
            lost, words = self._bury(), f"the calculation answered nonsense: {data[:60]!r}"
            return lost.model_copy(update={"reason": words, "kind": "output"})
        self._spent += answer.core_s
        return answer

    def stop(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._bury()

    def _bury(self) -> Lost:
        """Kill what is left of the process with all that it started, and say how it ended."""
        process = self._process
        if process is None:
            raise EvaluationError("There is no calculator to end.", "Call start() first.")
        _wait_for_exit(process.pid)  # a crash closes the pipe a moment before the process is gone
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # not reaped yet, so the number is still this group's
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        os.close(self._answers)
        core_s = usage.ru_utime + usage.ru_stime - self._spent
        self._process, self._answers = None, -1
        code = process.returncode
        how = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
        return Lost(reason=f"the calculation's process ended: {how}", core_s=max(core_s, 0.0))


def _wait_for_exit(pid: int, seconds: float = 0.2) -> None:
    deadline = time.monotonic() + seconds
    while mark_process(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
