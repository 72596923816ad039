"""The process that works: `python -m lodestone.tools.evaluate.worker JOBS_ROOT ORDER.json`.

Two processes share this module. The supervisor is small, claims keys, keeps time and writes results. The calculator
imports and calculates; a hang, a crash or an out-of-memory kill ends the calculator alone, and becomes data.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from ..core.errors import EvaluationError, LodestoneError
from ..core.types import Failure, FailureKind, JobLimits, Observation
from .base import CalculationFailed, Outcome, ProcessEvaluator, WorkOrder
from .calculator import Answer, Calculator, Lost, Task
from .cost import refusal
from .job import BEAT_S, MAX_JOB_FILE_BYTES, Ended, JobStore
from .ladder import Ladder
from .process import die_with_parent, hold_lock, read_limited
from .registry import create_evaluator
from .watchdog import Limits, Passed, Watchdog

_MAX_REASON = 300


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
    limits = _limits(store, evaluator, key, allowed)
    refused = refusal(evaluator, request, limits)
    if refused:
        blank = evaluator.blank(key, request)
        too_large = blank.model_copy(update={"failure": Failure(stage="evaluate", reason=refused, kind="too_large")})
        _keep_trying(evaluator, lambda: store.put_result(too_large))
        return None
    begin = time.monotonic()
    scratch = store.scratch(key, number)
    look = _Look(store, key, Watchdog(number, calculator.group[0], scratch, limits, calculator.group[1]))
    look()
    ladder = str(store.ladder_file(key)) if evaluator.climbs else ""
    task = Task(request=request, scratch=str(scratch), checkpoint=str(store.checkpoint(key)), ladder=ladder)
    answer = calculator.ask(task, look)
    wall_s = time.monotonic() - begin
    cancelled = store.is_cancelled(key, number)
    if isinstance(answer, Lost) and not cancelled and not answer.retry and evaluator.climbs:
        answer = answer.model_copy(update={"retry": store.ladder(key).climb(answer.kind, answer.reason)})
    if isinstance(answer, Lost) and (cancelled or answer.retry):
        reason = "cancelled" if cancelled else answer.reason
        ended = Ended(reason=reason, kind=answer.kind, cancelled=cancelled, core_s=answer.core_s, wall_s=wall_s)
        store.end(key, number, ended)
        if cancelled:
            return None
        if store.deaths(key) < evaluator.settings.max_attempts:
            return store.claim(key, batch)
        _keep_trying(evaluator, lambda: store.give_up(key, evaluator.blank(key, request)))
        return None
    outcome = answer.outcome if isinstance(answer, Answer) else None
    reason = answer.reason if isinstance(answer, Lost) else answer.failure
    core_s, waited_s = store.spent_before(key, number)
    result = _fill(evaluator.blank(key, request), outcome, (reason, answer.kind), store.ladder(key), scratch, store)
    result = result.model_copy(update={"cost_core_s": core_s + answer.core_s, "wall_s": waited_s + wall_s})
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
    why: tuple[str, FailureKind],
    ladder: Ladder,
    scratch: Path,
    store: JobStore,
) -> Observation:
    where = scratch.relative_to(store.root)
    reason, kind = why
    if outcome is not None and not reason:
        reason, kind = outcome.failure, outcome.kind
        if not reason and "energy_per_atom" not in outcome.values:
            reason, kind = "the calculation ended without an energy", "output"
    failure = "; ".join(filter(None, (reason, ladder.words())))
    return blank.model_copy(
        update={
            "values": outcome.values if outcome else {},
            "crystal": outcome.crystal if outcome else None,
            "artefacts": {what: str(where / file) for what, file in outcome.artefacts.items()} if outcome else {},
            "failure": Failure(stage="evaluate", reason=failure, kind=kind) if reason else None,
            "ladder": ladder.steps,
            "method": "; ".join((blank.method, *ladder.physics)) if outcome else blank.method,
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
        task = Task.model_validate_json(line)
        outcome, failure = None, ""
        kind: FailureKind = ""
        try:
            if not prepared:
                evaluator.prepare()
                prepared = True
            evaluator.checkpoint = Path(task.checkpoint)
            evaluator.ladder = Ladder(Path(task.ladder) if task.ladder else None)
            outcome = _climb(evaluator, task)
        except LodestoneError as error:
            failure = str(error)[:_MAX_REASON]
            kind = error.kind if isinstance(error, CalculationFailed) else ""
        except ValidationError as error:  # a number that is none
            failure, kind = f"{type(error).__name__}: {error}"[:_MAX_REASON], "output"
        except Exception as error:  # noqa: BLE001 (a DFT code may raise anything; it becomes the failure's reason)
            traceback.print_exc()
            failure = f"{type(error).__name__}: {error}"[:_MAX_REASON]
            kind = "memory" if isinstance(error, MemoryError) else "crash"
        total = sum(
            usage.ru_utime + usage.ru_stime
            for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
        )
        answer = Answer(outcome=outcome, failure=failure, kind=kind, core_s=total - spent)
        spent = total
        data = memoryview(answer.model_dump_json().encode() + b"\n")
        while data:
            data = data[os.write(answers, data) :]


def _climb(evaluator: ProcessEvaluator, task: Task) -> Outcome:
    """Calculate, and after a failure that the ladder has a step against calculate again with it."""
    while True:
        try:
            return evaluator.calculate(task.request, Path(task.scratch))
        except CalculationFailed as error:
            if not evaluator.ladder.climb(error.kind, str(error)):
                raise
            print(f"{error}: {evaluator.ladder.steps[-1].change}", flush=True)


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
