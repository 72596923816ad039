"""A real Dask scheduler and real workers on loopback, each of which can be killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from lodestone.loops.compute.cluster import Engine
from lodestone.loops.compute.evaluating import DistributedEvaluator
from lodestone.loops.compute.relaxing import DistributedGenerator, DistributedPotential
from lodestone.loops.compute.settings import ComputeSettings

from . import parts

ROOT = Path(__file__).resolve().parents[2]


class Cluster:
    """Processes of one cluster; logs and scratch go to `folder`."""

    def __init__(self, folder: Path, workers: int) -> None:
        self.site = folder / "site"
        parts.install(self.site)
        self.environment = {**os.environ, **parts.environment(self.site)}
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.start_scheduler()
        for _ in range(workers):
            self.add_worker()

    def start_scheduler(self) -> None:
        """At the same address as before."""
        self.scheduler = self._run(
            "scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard", "--no-jupyter"
        )

    def add_worker(self) -> None:
        """One thread, no nanny: one that dies stays dead."""
        self.workers.append(
            self._run(
                "worker", self.address, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard",
                "--local-directory", str(self._folder),
            )
        )  # fmt: skip

    def mend(self) -> None:
        """Start again whatever has died, as `dask scheduler` and workers under a service manager are."""
        if self.scheduler.poll() is not None:
            self.start_scheduler()
        for worker in [w for w in self.workers if w.poll() is not None]:
            self.workers.remove(worker)
            self.add_worker()

    def stop(self) -> None:
        """End all of it."""
        for process in (*self.workers, self.scheduler):
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()

    def _run(self, what: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{what}-{time.monotonic_ns()}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", what, *arguments],
                cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip


def fan_out(made: parts.FastParts, address: str, note: Callable[[str], None]) -> None:
    """Have the workers of a cluster do what the parts would do."""
    engine = Engine.connect(ComputeSettings(engine="dask", address=address, piece=2, connect_s=30.0), note)
    source = parts.__name__
    made.potential = DistributedPotential(made.potential, f"{source}:EmtPotential", {}, engine)
    made.evaluator = DistributedEvaluator(made.evaluator, engine)  # type: ignore[arg-type]
    made.generators = {
        name: DistributedGenerator(generator, f"{source}:DecoratedLattices", {}, engine)
        for name, generator in made.generators.items()
    }
