"""An evaluator whose jobs run on the workers of a cluster that shares the campaign's folder.

The claim in the shared job folder, not Dask, decides that work is done once: a task that Dask runs twice finds the key
claimed. A worker that is lost costs at most one attempt of each key that it worked on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ...tools.core.errors import EvaluationError
from ...tools.core.types import EvaluationRequest, JobLimits, JobStatus, Observation
from ...tools.evaluate.base import ProcessEvaluator
from ...tools.evaluate.job import Ended
from . import tasks
from .cluster import Engine

if TYPE_CHECKING:
    from distributed import Future

MAX_LOST_TASKS = 5
"""Tasks of one key that may be lost before their worker had even claimed it."""


class DistributedEvaluator:
    """See `Evaluator`."""

    def __init__(self, inner: ProcessEvaluator[Any], engine: Engine) -> None:
        self.inner = inner
        self._engine = engine
        self._tasks: dict[str, Future] = {}
        self._submitted: dict[str, int] = {}
        self._silent: dict[str, float] = {}

    @property
    def name(self) -> str:
        """See `Evaluator`."""
        return self.inner.name

    @property
    def version(self) -> str:
        """See `Evaluator`."""
        return self.inner.version

    @property
    def method(self) -> str:
        """See `Evaluator`."""
        return self.inner.method

    @property
    def fidelity(self) -> Literal["potential", "dft", "experiment"]:
        """See `Evaluator`."""
        return self.inner.fidelity

    @property
    def properties(self) -> frozenset[str]:
        """See `Evaluator`."""
        return self.inner.properties

    @property
    def cores(self) -> int:
        """See `Evaluator`."""
        return self.inner.cores

    @property
    def wall_limit_s(self) -> float:
        """See `Evaluator`."""
        return self.inner.wall_limit_s

    def available(self) -> str | None:
        """See `Evaluator`; what counts is the agent's installation, which workers are expected to share."""
        return self.inner.available()

    def key(self, request: EvaluationRequest) -> str:
        """See `Evaluator`: the same as on one machine."""
        return self.inner.key(request)

    def harvest(self, key: str) -> Observation:
        """See `Evaluator`."""
        return self.inner.harvest(key)

    def cancel(self, key: str) -> None:
        """See `Evaluator`; a task that no worker has begun is taken back."""
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()
        self.inner.cancel(key)

    def submit(
        self, requests: Sequence[tuple[str, EvaluationRequest]], limits: Mapping[str, JobLimits] | None = None
    ) -> None:
        """See `Evaluator`: one task a key. Without a cluster the jobs run on this machine."""
        for key, request in requests:
            if self.lookup(key) not in (JobStatus.NEVER_SEEN, JobStatus.DEAD):
                continue
            if self.inner.give_up_if_exhausted(key, request):
                continue
            count = self._submitted.get(key, 0) + 1
            attempt = self.inner.jobs.attempts(key) + 1
            if count - attempt >= MAX_LOST_TASKS:
                raise EvaluationError(
                    f"{count} tasks for job {key[:12]} were lost before a worker began it.",
                    "Look at the workers' logs: can they see the campaign's folder, and import lodestone?",
                )
            allowed = {key: limits[key]} if limits and key in limits else None
            order = self.inner.prepare_order(key, request, allowed)
            name = f"evaluate-{key}-{attempt}-{count}"
            where = str(self.inner.jobs.root)
            task = self._engine.submit(tasks.evaluate, where, str(order), key=name, retries=0, outlives_us=True)
            if task is None:
                self.inner.submit([(key, request)], allowed)
                continue
            self._tasks[key], self._submitted[key] = task, count

    def lookup(self, key: str) -> JobStatus:
        """See `Evaluator`: the marks in the shared folder first, then what the scheduler knows of the task."""
        status = self.inner.lookup(key)
        if status in (JobStatus.DONE, JobStatus.RUNNING):
            self._silent.pop(key, None)
            return status
        task = self._tasks.get(key)
        pending = task is not None and task.status == "pending" and self._engine.client is not None
        if status in (JobStatus.NEVER_SEEN, JobStatus.DEAD):
            return JobStatus.RUNNING if pending else status
        # Another machine, and no sign of life from it.
        if task is not None and task.status in ("finished", "error", "lost", "cancelled"):
            number = self.inner.jobs.attempts(key)
            self.inner.jobs.end(key, number, Ended(reason="its worker on another machine is gone"))
            return JobStatus.DEAD
        since = self._silent.setdefault(key, time.monotonic())
        waited = time.monotonic() - since
        return JobStatus.RUNNING if waited < self._engine.settings.lost_after_s else JobStatus.CANNOT_KNOW
