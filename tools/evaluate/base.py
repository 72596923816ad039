"""What all process-backed evaluators share: keys, jobs on disk, one detached worker a batch.

A concrete evaluator supplies the calculation and its parameters; how a job survives is in `job.py` and `worker.py`.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

from pydantic import Field

from ..core.errors import EvaluationError
from ..core.failpoints import passing
from ..core.types import (
    Crystal,
    EvaluationRequest,
    FailureKind,
    Frozen,
    JobLimits,
    JobStatus,
    Observation,
    Quantity,
    canonical_json,
    sha256,
)
from .job import JobStore
from .ladder import Ladder
from .process import read_until_closed, write_durably

KEY_DECIMALS = 5
"""Digits (Å, and fractions) of a structure that enter its key: below them lies the noise of a relaxation."""

_HANDSHAKE_S = 60.0


class EvaluatorSettings(Frozen):
    """Settings of every evaluator. None of these changes a result, so none enters a key."""

    wall_limit_s: float = Field(default=1800.0, gt=0.0, le=30 * 86400)
    """An evaluation that takes longer is ended and recorded as a failure."""
    max_attempts: int = Field(default=3, ge=1, le=20)
    """How often a key is started whose worker died."""
    memory_limit_mb: float | None = Field(default=None, gt=0.0)
    """Resident memory of all processes of one evaluation; one that needs more is ended and recorded as a failure."""
    silence_limit_s: float | None = Field(default=None, gt=0.0)
    """An evaluation that writes nothing for so long hangs: it is ended, and started again as another attempt."""
    disk_patience_s: float = Field(default=600.0, ge=0.0, le=86400.0)
    """How long a finished result is held in memory and tried again where the disk refuses it."""
    threads: int | None = Field(default=None, ge=1, le=1024)
    """Threads of the linear algebra; None leaves the environment as it is."""


class Outcome(Frozen):
    """What a calculation gives back. `failure` beside values: a part of what was asked could not be had."""

    values: dict[str, Quantity]
    crystal: Crystal | None = None
    artefacts: dict[str, str] = Field(default={})
    """What a file is to its name inside the scratch folder."""
    failure: str = ""
    kind: FailureKind = ""
    """Of the failure."""


class CalculationFailed(EvaluationError):  # noqa: N818 (a state of the calculation, and turned into data at once)
    """Raised inside `calculate` for an expected failure; the worker makes an observation of it."""

    def __init__(self, reason: str, kind: FailureKind = "") -> None:
        super().__init__(reason)
        self.kind = kind


class WorkOrder(Frozen):
    """What a worker is told: plain JSON, written by `submit`, read by `worker.py`."""

    evaluator: str
    settings: dict[str, Any]
    keys: tuple[str, ...]
    limits: dict[str, JobLimits] = {}
    """Key to what all its attempts together may use."""


S = TypeVar("S", bound=EvaluatorSettings)


class ProcessEvaluator(ABC, Generic[S]):
    """An `Evaluator` whose calculations run in processes that outlive the caller.

    Args:
        root: folder of the jobs, e.g. `campaign/jobs`; made when the first job is submitted.
        settings: of the class's own `settings_type`; None takes the defaults.
    """

    name: ClassVar[str]
    fidelity: ClassVar[Literal["potential", "dft", "experiment"]]
    properties: frozenset[str]
    settings_type: ClassVar[type[EvaluatorSettings]] = EvaluatorSettings
    revision: ClassVar[int] = 1
    """Raised whenever a change of this code changes a result; part of every key."""
    packages: ClassVar[tuple[str, ...]]
    """Distributions whose versions decide the result, the one that gives `version` first."""
    cost_prior: ClassVar[float] = 0.0
    """ln(core seconds) of a small calculation (see `cost.py`), for as long as there is no history."""
    extras: ClassVar[frozenset[str]] = frozenset()
    """What may be asked for besides `properties`, and stands in no catalogue."""
    climbs: ClassVar[bool] = False
    """Whether a failed calculation is tried again with the steps of `ladder.py`."""

    def __init__(self, root: Path, settings: S | None = None) -> None:
        self.settings: S = settings if settings is not None else self.settings_type()  # type: ignore[assignment]
        self.jobs = JobStore(root)
        self.checkpoint: Path | None = None
        """While `calculate` runs: a folder that outlives a killed attempt of the same key."""
        self.ladder = Ladder()
        """While `calculate` runs: what earlier failures of the same key have changed."""

    # --- supplied by the concrete evaluator ----------------------------------------------------

    @property
    @abstractmethod
    def method(self) -> str:
        """What it is, in words that a reader can cite."""

    @abstractmethod
    def available(self) -> str | None:
        """None when it can run here; else one sentence that says how to get what is missing."""

    @abstractmethod
    def parameters(self, request: EvaluationRequest) -> dict[str, Any]:
        """Everything besides structure and code that decides the result: plain JSON data."""

    @abstractmethod
    def calculate(self, request: EvaluationRequest, scratch: Path) -> Outcome:
        """Do the work; called in a worker process only.

        Raises:
            CalculationFailed: with the reason, for an expected failure.
        """

    def work(self, request: EvaluationRequest) -> float | None:  # noqa: ARG002 (for those that can tell)
        """A number that the cost grows with (see `cost.py`); None where cost is not predicted."""
        return None

    def deck(self, request: EvaluationRequest) -> str:
        """What the code is told, in the code's own terms; without such a form, the parameters."""
        return json.dumps(self.parameters(request), indent=2, sort_keys=True)

    def prepare(self) -> None:
        """Load what many calculations share; called once in a worker process, before the first `calculate`."""

    # --- the protocol ---------------------------------------------------------------------------

    @property
    def version(self) -> str:
        """Version of the calculation's main package, or `missing`."""
        return _version(self.packages[0])

    @property
    def cores(self) -> int:
        """Cores that a calculation may use."""
        return self.settings.threads or os.cpu_count() or 1

    @property
    def wall_limit_s(self) -> float:
        """Wall seconds after which an attempt is ended."""
        return self.settings.wall_limit_s

    def key(self, request: EvaluationRequest) -> str:
        """sha256 over structure, what is asked, method, every parameter, versions, fidelity and replicate."""
        return sha256(
            canonical_json(
                {
                    "evaluator": self.name,
                    "revision": self.revision,
                    "versions": {name: _version(name) for name in self.packages},
                    "method": self.method,
                    "fidelity": self.fidelity,
                    "parameters": self.parameters(request),
                    "crystal": _rounded(request.crystal),
                    "candidate": request.candidate_id,
                    "properties": sorted(set(request.properties)),
                    "purpose": request.purpose,
                    "replicate": request.replicate,
                }
            )
        )

    def submit(
        self, requests: Sequence[tuple[str, EvaluationRequest]], limits: Mapping[str, JobLimits] | None = None
    ) -> None:
        """Start one worker for all keys that are neither known to run nor done.

        A key whose worker died `max_attempts` times is given a failure as its result; one whose status
        cannot be known is left alone. `limits` bind all attempts of a key together. Returns when the worker
        has claimed its keys. Raises EvaluationError when no worker can be started.
        """
        wanted: list[str] = []
        for key, request in requests:
            if self.key(request) != key:
                raise EvaluationError(f"Key {key[:12]} does not belong to its request.", "Take it from `key`.")
            status = self.lookup(key)
            if status not in {JobStatus.NEVER_SEEN, JobStatus.DEAD} or key in wanted:
                continue
            if self.give_up_if_exhausted(key, request):
                continue
            wanted.append(key)
        if not wanted:
            return
        missing = self.available()
        if missing is not None:
            raise EvaluationError(f"Evaluator '{self.name}' cannot run here.", missing)
        by_key = dict(requests)
        try:
            for key in wanted:
                self.jobs.put_request(key, by_key[key])
            passing("job.launch.before")
            self._start_worker(tuple(wanted), {k: v for k, v in (limits or {}).items() if k in wanted})
            passing("job.launch.after")
        except OSError as error:
            raise EvaluationError(
                f"Cannot write jobs to {self.jobs.root}: {error.strerror or error}.", "Free space or fix permissions."
            ) from error

    def give_up_if_exhausted(self, key: str, request: EvaluationRequest) -> bool:
        """Give a key whose worker died `max_attempts` times a failure as its result; whether it was so."""
        if self.jobs.deaths(key) < self.settings.max_attempts or self.lookup(key) is not JobStatus.DEAD:
            return False
        self.jobs.give_up(key, self.blank(key, request))
        return True

    def prepare_order(
        self, key: str, request: EvaluationRequest, limits: Mapping[str, JobLimits] | None = None
    ) -> Path:
        """Write down one job and the order for a worker that somebody else starts; the order's path.

        Raises:
            EvaluationError: when the disk refuses.
        """
        try:
            self.jobs.put_request(key, request)
            return self._write_order((key,), dict(limits or {}))
        except OSError as error:
            raise EvaluationError(
                f"Cannot write jobs to {self.jobs.root}: {error.strerror or error}.", "Free space or fix permissions."
            ) from error

    def lookup(self, key: str) -> JobStatus:
        """What is known about a key, from durable marks on disk."""
        return self.jobs.status(key)

    def harvest(self, key: str) -> Observation:
        """The result of a DONE key. Raises EvaluationError for any other."""
        observation = self.jobs.result(key)
        if observation is None:
            raise EvaluationError(f"Job {key[:12]} has no result: {self.lookup(key).value}.", "Wait, or submit it.")
        return observation

    def cancel(self, key: str) -> None:
        """Stop work for a key, which is DEAD then; no effect when it is not running."""
        self.jobs.cancel(key)

    def blank(self, key: str, request: EvaluationRequest) -> Observation:
        """The observation of a request, before anything is known."""
        return Observation(
            key=key,
            candidate_id=request.candidate_id,
            evaluator=f"{self.name}-{self.version}",
            method=self.method,
            fidelity=self.fidelity,
            purpose=request.purpose,
        )

    # --- the worker -----------------------------------------------------------------------------

    def _write_order(self, keys: tuple[str, ...], limits: dict[str, JobLimits]) -> Path:
        workers = self.jobs.root / "workers"
        workers.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="batch-", dir=workers))
        settings = self.settings.model_dump(mode="json")
        order = WorkOrder(evaluator=self.name, settings=settings, keys=keys, limits=limits)
        write_durably(folder / "order.json", order.model_dump_json())
        return folder / "order.json"

    def _start_worker(self, keys: tuple[str, ...], limits: dict[str, JobLimits] | None = None) -> None:
        folder = self._write_order(keys, limits or {}).parent
        environment = dict(os.environ)
        if self.settings.threads is not None:
            for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
                environment[variable] = str(self.settings.threads)
        receive, send = os.pipe()
        try:
            with (folder / "log.txt").open("ab") as log:
                launcher = subprocess.Popen(
                    [
                        sys.executable,
                        "-P",  # a file of the user's folder must not stand in for a package
                        "-m",
                        "lodestone.tools.evaluate.worker",
                        str(self.jobs.root),
                        str(folder / "order.json"),
                        "--ready",
                        str(send),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    pass_fds=(send,),
                    start_new_session=True,
                )
            os.close(send)
            send = -1
            ready = read_until_closed(receive, time.monotonic() + _HANDSHAKE_S)
        finally:
            os.close(receive)
            if send >= 0:
                os.close(send)
        if ready != b"ready":
            launcher.kill()
            launcher.wait()
            tail = (folder / "log.txt").read_text(errors="replace").strip().splitlines()[-1:]
            raise EvaluationError(
                f"The worker for '{self.name}' did not start: {' '.join(tail) or 'no message'}.",
                f"Its log is {folder / 'log.txt'}.",
            )
        launcher.wait()


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _rounded(crystal: Crystal) -> dict[str, Any]:
    """The crystal without the digits that two runs of the same relaxation may differ in."""
    return {
        "lattice": [[_round(x) for x in row] for row in crystal.lattice],
        "species": list(crystal.species),
        "frac_coords": [[_round(x % 1.0) % 1.0 for x in row] for row in crystal.frac_coords],
    }


def _round(value: float) -> float:
    return round(value, KEY_DECIMALS) + 0.0  # adding zero turns -0.0 into 0.0
