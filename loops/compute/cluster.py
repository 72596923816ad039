"""The connection to a Dask cluster. The only module that imports distributed and dask_jobqueue."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ...tools.core.errors import ConfigError, ToolError
from .settings import ComputeSettings

if TYPE_CHECKING:
    from distributed import Client, Future

RETRY_S = 30.0
"""Seconds before a scheduler that was lost is looked for again."""


class Engine:
    """A cluster, or for the moment none: every caller can do the work itself."""

    def __init__(self, settings: ComputeSettings, note: Callable[[str], None] = lambda _: None) -> None:
        self.settings = settings
        self.note = note
        self._client: Client | None = None
        self._cluster: Any = None
        self._lost_at = 0.0

    @classmethod
    def connect(cls, settings: ComputeSettings, note: Callable[[str], None] = lambda _: None) -> Engine:
        """Connect, or raise ToolError naming the address: one that was never there is a mistake of the settings."""
        engine = cls(settings, note)
        engine._open()
        return engine

    def _open(self) -> None:
        try:
            import dask
            from distributed import Client
        except ImportError as error:
            raise ConfigError(
                f"[compute] engine = '{self.settings.engine}' needs Dask.", "pip install 'lodestone[dask]'"
            ) from error
        # What it logs when a scheduler goes away, people are told by `note`.
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        # One worker that dies takes a task along once; a task that kills two is at fault itself.
        dask.config.set(
            {
                "distributed.scheduler.allowed-failures": 1,
                "distributed.scheduler.worker-ttl": "30s",
                "distributed.comm.timeouts.connect": f"{self.settings.connect_s:g}s",
                "distributed.client.heartbeat": "2s",
            }
        )
        target: Any = self.settings.address
        if self.settings.engine in ("slurm", "pbs"):
            target = self._cluster = batch_cluster(self.settings)
        elif not target:
            raise ConfigError("[compute] engine = 'dask' and no address.", "Give e.g. tcp://127.0.0.1:8786.")
        try:
            self._client = Client(target, timeout=self.settings.connect_s, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise ToolError(
                f"No Dask scheduler answers at {self.settings.address or self.settings.engine}.",
                "Start one (`dask scheduler`), or set [compute] engine = 'local'.",
            ) from error

    @property
    def client(self) -> Client | None:
        """A client whose scheduler answers, or None; one that was lost is looked for again now and then."""
        if self._client is not None and self._client.status == "running":
            return self._client
        now = time.monotonic()
        if self._client is not None:
            self.note("The Dask scheduler does not answer; the agent works by itself.")
            self._lost_at = now
            self._drop()
        if self._cluster is None and now - self._lost_at > RETRY_S:
            self._lost_at = now
            with suppress(ToolError):
                self._open()
                self.note("The Dask scheduler is back.")
                return self._client
        return None

    def workers(self) -> int:
        """Workers that are connected."""
        client = self.client
        return 0 if client is None else len(client.scheduler_info(n_workers=-1)["workers"])

    def submit(
        self, function: Callable[..., str], *arguments: str, key: str, retries: int, outlives_us: bool = False
    ) -> Future | None:
        """Have a function run on some worker; the same key is the same task. None where there is no cluster.

        `outlives_us`: it goes on when this process dies; other tasks are dropped with it.
        """
        client = self.client
        if client is None or (not self.workers() and self._cluster is None):
            return None
        try:
            future = client.submit(function, *arguments, key=key, retries=retries, pure=True)
            if outlives_us:
                from distributed import fire_and_forget

                fire_and_forget(future)
            return future
        except (OSError, RuntimeError) as error:
            self.note(f"The Dask cluster took no task ({error}); the agent works by itself.")
            return None

    def result(self, future: Future, limit_s: float) -> str | None:
        """What a task gave; None when it failed, was lost with its workers, or takes too long."""
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if future.status == "finished":
                with suppress(Exception):  # lost between the look and the fetch: the caller does it itself
                    return str(future.result(timeout=30))
                return None
            if future.status in ("error", "lost", "cancelled") or self.client is None:
                return None
            time.sleep(0.05)
        return None

    def close(self) -> None:
        """Give the connection back."""
        self._drop()
        if self._cluster is not None:
            self._cluster.close()

    def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):  # what is closed here is broken already
                client.close(timeout=2)


def batch_cluster(settings: ComputeSettings, **options: Any) -> Any:
    """A scheduler in this process whose workers are batch jobs; as many as there is work for, at most `jobs`.

    Raises:
        ConfigError: without dask-jobqueue.
    """
    try:
        from dask_jobqueue import PBSCluster, SLURMCluster
    except ImportError as error:
        raise ConfigError("Batch queues need dask-jobqueue.", "pip install 'lodestone[dask]'") from error
    kind = SLURMCluster if settings.engine == "slurm" else PBSCluster
    cluster = kind(
        queue=settings.queue or None,
        account=settings.account or None,
        cores=settings.cores,
        processes=1,
        memory=f"{settings.memory_gb:g}GB",
        walltime=settings.walltime,
        python=sys.executable,
        job_script_prologue=list(settings.prologue),
        scheduler_options={"dashboard_address": None, **options.pop("scheduler_options", {})},
        **options,
    )
    # Dask looks every second and counts how often it found a worker without work.
    cluster.adapt(minimum_jobs=0, maximum_jobs=settings.jobs, interval="1s", wait_count=round(settings.idle_s))
    return cluster
