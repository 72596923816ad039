"""The process that works: `python -m lodestone.tools.evaluate.worker JOBS_ROOT ORDER.json`.

Two processes share this module. The supervisor is small, claims keys, keeps time and writes results. The calculator
imports and calculates; a hang, a crash or an out-of-memory kill ends the calculator alone, and becomes data.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from ..core.errors import EvaluationError, LodestoneError
from ..core.types import EvaluationRequest, Failure, Frozen, JobLimits, Observation
from .base import Outcome, ProcessEvaluator, WorkOrder
from .job import BEAT_S, MAX_JOB_FILE_BYTES, Ended, JobStore
from .process import ProcessMark, die_with_parent, group_usage, hold_lock, mark_process, read_limited
from .registry import create_evaluator
from .watchdog import LOOK_S, Limits, Passed, Watchdog

_MAX_REASON = 300


class _Task(Frozen):
    request: EvaluationRequest
    scratch: str
    checkpoint: str


class _Answer(Frozen):
    outcome: Outcome | None = None
    failure: str = ""
    core_s: float
    """Of this task; the first one also pays for the imports."""


class _Lost(Frozen):
    """The calculator did not answer."""

    reason: str
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

    def ask(self, task: _Task, look: Callable[[], Passed | None]) -> _Answer | _Lost:
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
                return _Lost(reason=passed.reason, retry=passed.retry, core_s=max(core_s, 0.0))
            chunk = os.read(self._answers, 65536)
            data += chunk
            if not chunk or len(data) > MAX_JOB_FILE_BYTES:
                return self._bury()
        try:
            answer = _Answer.model_validate_json(data)
        except ValidationError:
            lost = self._bury()
            return lost.model_copy(update={"reason": f"the calculation answered nonsense: {data[:60]!r}"})
        self._spent += answer.core_s
        return answer

    def stop(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._bury()

    def _bury(self) -> _Lost:
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
        return _Lost(reason=f"the calculation's process ended: {how}", core_s=max(core_s, 0.0))


def _wait_for_exit(pid: int, seconds: float = 0.2) -> None:
    deadline = time.monotonic() + seconds
    while mark_process(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)


def supervise(root: Path, order_path: Path, ready: int | None) -> None:
    """Claim the keys of an order, say so on the descriptor `ready`, and work through them in turn."""
    order = _read_order(order_path)
    store = JobStore(root)
    evaluator = create_evaluator(order.evaluator, root, order.settings)
    lock = hold_lock(order_path.parent / "lock")
    batch = str(order_path.parent.resolve().relative_to(store.root))
    claims = [(key, claimed) for key in order.keys if (claimed := store.claim(key, batch)) is not None]
    if ready is not None:
        os.write(ready, b"ready")
        os.close(ready)
    calculator = Calculator(root, order_path)
    try:
        for key, first in claims:
            number: int | None = first
            while number is not None:
                number = _attempt(store, evaluator, calculator, key, number, batch, order.limits.get(key))
    finally:
        calculator.stop()
        os.close(lock)


def _attempt(
    store: JobStore,
    evaluator: ProcessEvaluator,
    calculator: Calculator,
    key: str,
    number: int,
    batch: str,
    allowed: JobLimits | None,
) -> int | None:
    """Work on one claimed attempt; returns the number of a new claim when the calculator died and may retry."""
    request = store.request(key)
    if not store.start(key, number, calculator.start()):
        store.end(key, number, Ended(reason="cancelled before it began", cancelled=True))
        return None
    begin = time.monotonic()
    scratch = store.scratch(key, number)
    look = _Look(store, key, Watchdog(number, calculator.group[0], scratch, _limits(store, evaluator, key, allowed),
                                      calculator.group[1]))  # fmt: skip
    look()
    answer = calculator.ask(_Task(request=request, scratch=str(scratch), checkpoint=str(store.checkpoint(key))), look)
    wall_s = time.monotonic() - begin
    cancelled = store.is_cancelled(key, number)
    if isinstance(answer, _Lost) and (cancelled or answer.retry):
        reason = "cancelled" if cancelled else answer.reason
        store.end(key, number, Ended(reason=reason, cancelled=cancelled, core_s=answer.core_s, wall_s=wall_s))
        if cancelled:
            return None
        if store.deaths(key) < evaluator.settings.max_attempts:
            return store.claim(key, batch)
        _keep_trying(evaluator, lambda: store.give_up(key, evaluator.blank(key, request)))
        return None
    outcome = answer.outcome if isinstance(answer, _Answer) else None
    reason = answer.reason if isinstance(answer, _Lost) else answer.failure
    core_s, waited_s = store.spent_before(key, number)
    result = _fill(
        evaluator.blank(key, request), outcome, reason, core_s + answer.core_s, waited_s + wall_s, scratch, store
    )
    _keep_trying(evaluator, lambda: store.put_result(result))
    return None


class _Look:
    """One look at a running attempt; every few seconds it leaves a sign of life."""

    def __init__(self, store: JobStore, key: str, dog: Watchdog) -> None:
        self._store, self._key, self._dog = store, key, dog
        self._next = 0.0

    def __call__(self) -> Passed | None:
        beat, passed = self._dog.look()
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + BEAT_S
            with contextlib.suppress(OSError):  # a full disk must not end a calculation that does not need it
                self._store.beat(self._key, beat)
        return passed


def _limits(store: JobStore, evaluator: ProcessEvaluator, key: str, allowed: JobLimits | None) -> Limits:
    """What the next attempt may use: earlier attempts have used up some of it."""
    settings = evaluator.settings
    core_s = None
    wall_s = settings.wall_limit_s
    if allowed is not None:
        wall_s = min(wall_s, allowed.wall_s or wall_s)
        core_s = None if allowed.core_s is None else max(0.0, allowed.core_s - store.spent(key)[0])
    return Limits(wall_s=wall_s, core_s=core_s, memory_mb=settings.memory_limit_mb, silence_s=settings.silence_limit_s)


def _keep_trying(evaluator: ProcessEvaluator, write: Callable[[], None]) -> None:
    """Write what was paid for; a disk that refuses is asked again for a while, since the result is in memory alone."""
    deadline = time.monotonic() + evaluator.settings.disk_patience_s
    wait = 0.5
    while True:
        try:
            return write()
        except OSError as error:
            if time.monotonic() > deadline:
                raise
            print(f"The result cannot be written ({error}); trying again in {wait:g} s.", file=sys.stderr, flush=True)
            time.sleep(wait)
            wait = min(2 * wait, 30.0)


def _fill(
    blank: Observation,
    outcome: Outcome | None,
    reason: str,
    core_s: float,
    wall_s: float,
    scratch: Path,
    store: JobStore,
) -> Observation:
    where = scratch.relative_to(store.root)
    if outcome is not None:
        reason = reason or outcome.failure
        if not reason and "energy_per_atom" not in outcome.values:
            reason = "the calculation ended without an energy"
    return blank.model_copy(
        update={
            "values": outcome.values if outcome else {},
            "crystal": outcome.crystal if outcome else None,
            "artefacts": {what: str(where / file) for what, file in outcome.artefacts.items()} if outcome else {},
            "failure": Failure(stage="evaluate", reason=reason) if reason else None,
            "cost_core_s": core_s,
            "wall_s": wall_s,
        }
    )


def calculate(root: Path, order_path: Path, answers: int) -> None:
    """Answer one task a line, until standard input ends."""
    die_with_parent()
    order = _read_order(order_path)
    evaluator = create_evaluator(order.evaluator, root, order.settings)
    prepared = False
    spent = 0.0
    for line in sys.stdin:
        task = _Task.model_validate_json(line)
        outcome, failure = None, ""
        try:
            if not prepared:
                evaluator.prepare()
                prepared = True
            evaluator.checkpoint = Path(task.checkpoint)
            outcome = evaluator.calculate(task.request, Path(task.scratch))
        except LodestoneError as error:
            failure = str(error)[:_MAX_REASON]
        except Exception as error:  # noqa: BLE001 (a DFT code may raise anything; it becomes the failure's reason)
            traceback.print_exc()
            failure = f"{type(error).__name__}: {error}"[:_MAX_REASON]
        total = sum(
            usage.ru_utime + usage.ru_stime
            for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
        )
        answer = _Answer(outcome=outcome, failure=failure, core_s=total - spent)
        spent = total
        data = memoryview(answer.model_dump_json().encode() + b"\n")
        while data:
            data = data[os.write(answers, data) :]


def _read_order(path: Path) -> WorkOrder:
    try:
        return WorkOrder.model_validate_json(read_limited(path, MAX_JOB_FILE_BYTES) or "")
    except ValidationError as error:
        raise EvaluationError(f"{path} is not a work order: {error}.", "Submit the evaluation again.") from error


def main() -> None:
    """Read the command line; as supervisor, leave the caller's process tree first."""
    parser = argparse.ArgumentParser(prog="lodestone.tools.evaluate.worker", description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("order", type=Path)
    parser.add_argument("--ready", type=int, help="descriptor to report on once the keys are claimed")
    parser.add_argument("--foreground", action="store_true", help="stay a child of the caller, and die with it")
    parser.add_argument("--calculate", type=int, metavar="DESCRIPTOR", help="be the calculator, answer there")
    arguments = parser.parse_args()
    if arguments.calculate is not None:
        calculate(arguments.root, arguments.order, arguments.calculate)
        return
    if arguments.foreground:
        die_with_parent()
        supervise(arguments.root, arguments.order, None)
        return
    if os.fork():  # the supervisor then has no parent that would have to wait for it
        os._exit(0)
    supervise(arguments.root, arguments.order, arguments.ready)


if __name__ == "__main__":
    main()
