"""A real Dask scheduler and three real worker processes on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.world import parts

pytest.importorskip("distributed")
ROOT = Path(__file__).resolve().parents[3]


class Cluster:
    """Processes of one cluster; each can be killed."""

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
        self.scheduler = self._run(
            "scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard", "--no-jupyter"
        )

    def add_worker(self) -> None:
        self.workers.append(
            self._run(
                "worker", self.address, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard",
                "--local-directory", str(self._folder),
            )
        )  # fmt: skip

    def _run(self, what: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = (self._folder / f"{what}-{time.monotonic_ns()}.log").open("ab")
        return subprocess.Popen(
            [sys.executable, "-m", "dask", what, *arguments],
            cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One scheduler, three workers."""
    made = Cluster(tmp_path_factory.mktemp("cluster"), 3)
    yield made
    made.stop()
