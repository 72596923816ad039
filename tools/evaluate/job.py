"""Durable jobs: what is known about an evaluation key, as files that outlive every process.

One folder a key, `<key[:2]>/<key>/`: `request.json`, then for each attempt n `attempt-n.json` (who claimed it),
`started-n.json` (which process calculates), `cancel-n.json` and `ended-n.json` (why it ended without a result), with
`ladder.json` (what was changed after failures), and at last `result.json`. What is not here: starting processes
(`base.py`) and doing the work (`worker.py`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..core.errors import EvaluationError
from ..core.failpoints import passing
from ..core.types import EvaluationRequest, Failure, FailureKind, Frozen, JobStatus, Observation
from .ladder import Ladder
from .process import ProcessMark, create_durably, is_alive, kill_group, mark_process, read_limited, write_durably
from .watchdog import Heartbeat

MAX_JOB_FILE_BYTES = 4_000_000
"""Larger request or result files are foreign: 200 sites and a few dozen numbers need far less."""

_KEY = re.compile(r"[0-9a-f]{64}")
_ATTEMPT = re.compile(r"attempt-(\d+)\.json")
_CANCEL_WAIT_S = 10.0

BEAT_S = 5.0
"""Seconds between signs of life."""

FRESH_S = 4 * BEAT_S
"""A sign of life from another machine counts for so long."""


class Attempt(Frozen):
    """Who claimed a key."""

    worker: ProcessMark
    batch: str
    """Folder of the worker, relative to the root; its file `lock` is locked as long as the worker lives."""


class Ended(Frozen):
    """Why an attempt ended without a result, and what it cost."""

    reason: str
    kind: FailureKind = "crash"
    cancelled: bool = False
    core_s: float = 0.0
    wall_s: float = 0.0


class _Result(Frozen):
    key: str
    observation_digest: str
    observation: Observation


class JobStore:
    """The jobs of one campaign, below `root`. Holds no state of its own: every answer is read from disk."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def folder(self, key: str) -> Path:
        """The folder of a key. Raises EvaluationError for anything but a sha256 in hex."""
        if not _KEY.fullmatch(key):
            raise EvaluationError(f"'{key[:80]}' is not an evaluation key.", "A key is a sha256 in hex.")
        return self.root / key[:2] / key

    # --- requests and results ------------------------------------------------------------------

    def put_request(self, key: str, request: EvaluationRequest) -> None:
        """Write the request down; the same request again changes nothing."""
        folder = self.folder(key)
        folder.mkdir(parents=True, exist_ok=True)
        passing("job.request.before")
        write_durably(folder / "request.json", request.model_dump_json())
        passing("job.request.after")

    def request(self, key: str) -> EvaluationRequest:
        """The request of a key. Raises EvaluationError when it is missing or damaged."""
        text = read_limited(self.folder(key) / "request.json", MAX_JOB_FILE_BYTES)
        try:
            return EvaluationRequest.model_validate_json(text or "")
        except ValidationError as error:
            raise EvaluationError(
                f"The request of job {key[:12]} is missing or damaged.", "Submit it again."
            ) from error

    def put_result(self, observation: Observation) -> None:
        """Write the final result of `observation.key`; from here on the key is DONE.

        The first result stays: one that comes later, from an attempt that was taken for dead and was not, changes
        nothing. A file that is no result of this key (truncated, foreign) is replaced.
        """
        key = observation.key
        path = self.folder(key) / "result.json"
        text = _Result(key=key, observation_digest=observation.digest(), observation=observation).model_dump_json()
        passing("job.result.before")
        if not create_durably(path, text) and self.result(key) is None:
            write_durably(path, text)
        passing("job.result.after")
        shutil.rmtree(self.checkpoint(key), ignore_errors=True)

    def result(self, key: str) -> Observation | None:
        """The result, or None when there is none, or one that is truncated, altered or of another key."""
        text = read_limited(self.folder(key) / "result.json", MAX_JOB_FILE_BYTES)
        if text is None:
            return None
        try:
            result = _Result.model_validate_json(text)
        except ValidationError:
            return None
        observation = result.observation
        if (result.key, observation.key, result.observation_digest) != (key, key, observation.digest()):
            return None
        return observation

    def order(self, batch: str) -> dict[str, Any]:
        """The order of a worker, by its folder; empty when there is none that can be read."""
        try:
            found = json.loads(read_limited(self.root / batch / "order.json", MAX_JOB_FILE_BYTES) or "{}")
        except json.JSONDecodeError:
            return {}
        return found if isinstance(found, dict) else {}

    # --- status --------------------------------------------------------------------------------

    def status(self, key: str) -> JobStatus:
        """What the marks on disk and the process table say about a key."""
        return self._status(key, self._last_attempt(key))

    def _status(self, key: str, number: int) -> JobStatus:
        try:
            return self._read_status(key, number)
        except OSError:  # marks that are there and cannot be read say nothing about the work
            return JobStatus.CANNOT_KNOW

    def _read_status(self, key: str, number: int) -> JobStatus:
        if self.result(key) is not None:
            return JobStatus.DONE
        if number == 0:
            return JobStatus.NEVER_SEEN
        if self._has("ended", key, number):
            return JobStatus.DEAD
        if self._has("cancel", key, number) and not self._has("started", key, number):
            return JobStatus.DEAD  # a worker looks for the cancel mark after it has written `started`
        try:
            attempt = Attempt.model_validate_json(self._read("attempt", key, number))
        except ValidationError:
            return JobStatus.CANNOT_KNOW
        alive = is_alive(attempt.worker, self.root / attempt.batch / "lock")
        if alive is None:
            # Another machine: a fresh sign of life is one, an old one proves nothing.
            return JobStatus.RUNNING if self._heart_beats(key, number) else JobStatus.CANNOT_KNOW
        if alive:
            return JobStatus.RUNNING
        # A worker writes the result before it exits: look again now that no more can come.
        return JobStatus.DONE if self.result(key) is not None else JobStatus.DEAD

    def attempts(self, key: str) -> int:
        """How often the key was claimed."""
        return self._last_attempt(key)

    def deaths(self, key: str) -> int:
        """Attempts that were started and ended without a result, cancelled ones not counted."""
        count = 0
        for number in range(1, self._last_attempt(key) + 1):
            ended = self._ended(key, number)
            if self._has("started", key, number) and not (ended and ended.cancelled):
                count += 1
        return count

    def spent(self, key: str) -> tuple[float, float]:
        """Core seconds and wall seconds of the attempts that ended without a result, as far as known.

        Of an attempt whose supervisor was killed the last sign of life is what is known.
        """
        core_s = wall_s = 0.0
        for number in range(1, self._last_attempt(key) + 1):
            ended, beat = self._ended(key, number), self.heartbeat(key, number)
            core_s += max(ended.core_s if ended else 0.0, beat.core_s if beat and not ended else 0.0)
            wall_s += ended.wall_s if ended else 0.0
        return core_s, wall_s

    def spent_before(self, key: str, number: int) -> tuple[float, float]:
        """The same for the attempts before a running one, whose own signs of life are not yet a loss."""
        core_s, wall_s = self.spent(key)
        beat = self.heartbeat(key, number)
        own = beat.core_s if beat and self._ended(key, number) is None else 0.0
        return core_s - own, wall_s

    # --- signs of life -------------------------------------------------------------------------

    def beat(self, key: str, heartbeat: Heartbeat) -> None:
        """Leave a sign of life; not synced to disk, since after a power cut nobody lives."""
        path = self._path("heartbeat", key, heartbeat.attempt)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(heartbeat.model_dump_json(), encoding="utf-8")
        temporary.replace(path)

    def heartbeat(self, key: str, number: int | None = None) -> Heartbeat | None:
        """The last sign of life of an attempt, by default the last one; None where there is none."""
        number = self._last_attempt(key) if number is None else number
        try:
            return Heartbeat.model_validate_json(self._read("heartbeat", key, number))
        except ValidationError:
            return None

    def _heart_beats(self, key: str, number: int) -> bool:
        try:
            age = time.time() - self._path("heartbeat", key, number).stat().st_mtime
        except OSError:
            return False
        return -3600.0 < age < FRESH_S

    def last_words(self, key: str) -> str:
        """The reason why the last attempt ended, where one was written."""
        ended = self._ended(key, self._last_attempt(key))
        return ended.reason if ended else "the worker process is gone"

    def give_up(self, key: str, blank: Observation) -> None:
        """Write the failure of a key whose worker died too often; `blank` is its observation without values."""
        core_s, wall_s = self.spent(key)
        times = self.deaths(key)
        reason = f"worker died {times} time{'s' if times != 1 else ''}: {self.last_words(key)}"
        ended, ladder = self._ended(key, self._last_attempt(key)), self.ladder(key)
        reason = "; ".join(filter(None, (reason, ladder.words())))
        self.put_result(
            blank.model_copy(
                update={
                    "failure": Failure(stage="evaluate", reason=reason, kind=ended.kind if ended else "crash"),
                    "ladder": ladder.steps,
                    "cost_core_s": core_s,
                    "wall_s": wall_s,
                }
            )
        )

    # --- attempts ------------------------------------------------------------------------------

    def claim(self, key: str, batch: str) -> int | None:
        """Claim a key for this process. Returns the attempt's number; None when it is not free."""
        number = self._last_attempt(key)  # before the status: a rival's newer claim then takes our number
        if self._status(key, number) not in {JobStatus.NEVER_SEEN, JobStatus.DEAD}:
            return None
        worker = mark_process(os.getpid())
        if worker is None:
            raise EvaluationError("This process is not in /proc.", "Evaluations need Linux with /proc mounted.")
        attempt = Attempt(worker=worker, batch=batch)
        passing("job.claim.before")
        claimed = create_durably(self._path("attempt", key, number + 1), attempt.model_dump_json())
        passing("job.claim.after")
        return number + 1 if claimed else None

    def start(self, key: str, number: int, calculator: ProcessMark) -> bool:
        """Note which process calculates; False when the attempt was cancelled before it began."""
        passing("job.start.before")
        write_durably(self._path("started", key, number), calculator.model_dump_json())
        passing("job.start.after")
        return not self.is_cancelled(key, number)

    def end(self, key: str, number: int, ended: Ended) -> None:
        """Note that an attempt ended without a result; the key is DEAD and may be claimed again."""
        passing("job.end.before")
        write_durably(self._path("ended", key, number), ended.model_dump_json())
        passing("job.end.after")

    def is_cancelled(self, key: str, number: int) -> bool:
        """Whether somebody asked to stop this attempt."""
        return self._has("cancel", key, number)

    def cancel(self, key: str) -> None:
        """Stop a running key, and wait until its worker has let go of it. No effect on any other key."""
        number = self._last_attempt(key)
        if self._status(key, number) is not JobStatus.RUNNING:
            return
        write_durably(self._path("cancel", key, number), "{}")
        if not self._has("started", key, number):
            return
        try:
            calculator = ProcessMark.model_validate_json(self._read("started", key, number))
        except ValidationError:
            raise EvaluationError(
                f"The mark of the process that works on job {key[:12]} is damaged.", "Stop the worker by hand."
            ) from None
        kill_group(calculator)
        deadline = time.monotonic() + _CANCEL_WAIT_S
        while self._status(key, number) is JobStatus.RUNNING:
            if time.monotonic() > deadline:
                raise EvaluationError(
                    f"Job {key[:12]} did not stop within {_CANCEL_WAIT_S:g} s.", f"Stop process {calculator.pid}."
                )
            time.sleep(0.02)

    # --- files ---------------------------------------------------------------------------------

    def scratch(self, key: str, number: int) -> Path:
        """The folder that one attempt may write to."""
        folder = self.folder(key) / f"run-{number}"
        folder.mkdir(exist_ok=True)
        return folder

    def checkpoint(self, key: str) -> Path:
        """The folder that outlives attempts, for what a calculation can go on from; gone once there is a result."""
        return self.folder(key) / "checkpoint"

    def ladder(self, key: str) -> Ladder:
        """What earlier failures of this key have changed; kept beside the result."""
        return Ladder(self.ladder_file(key))

    def ladder_file(self, key: str) -> Path:
        """Where the steps of `ladder` are written."""
        return self.folder(key) / "ladder.json"

    def _path(self, mark: str, key: str, number: int) -> Path:
        return self.folder(key) / f"{mark}-{number}.json"

    def _has(self, mark: str, key: str, number: int) -> bool:
        return self._path(mark, key, number).exists()

    def _read(self, mark: str, key: str, number: int) -> str:
        return read_limited(self._path(mark, key, number), MAX_JOB_FILE_BYTES) or ""

    def _ended(self, key: str, number: int) -> Ended | None:
        if not self._has("ended", key, number):
            return None
        try:
            return Ended.model_validate_json(self._read("ended", key, number))
        except ValidationError:
            return Ended(reason="its last words are damaged")

    def _last_attempt(self, key: str) -> int:
        folder = self.folder(key)
        if not folder.is_dir():
            return 0
        return max((int(m[1]) for f in folder.iterdir() if (m := _ATTEMPT.fullmatch(f.name))), default=0)
