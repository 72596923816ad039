"""A real PostgreSQL server on loopback for tests and benchmarks: Debian's binaries, a cluster of its own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path


def binaries() -> Path | None:
    """Where the server's programs are; None where it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    return found[-1].parent if found else None


class PostgresServer:
    """One server with an empty cluster below a temporary folder; `url` is its address."""

    def __init__(self) -> None:
        where = binaries()
        if where is None:
            raise FileNotFoundError("PostgreSQL is not installed: apt-get install postgresql")
        self._bin = where
        self._folder = Path(tempfile.mkdtemp(prefix="lodestone-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.user = "postgres"
        if os.geteuid() == 0:  # the server refuses to run as root
            shutil.chown(self._folder, "postgres", "postgres")
        subprocess.run(
            [
                *self._as_user(), str(self._bin / "initdb"),
                "-D", str(self._folder / "data"), "-A", "trust", "-U", self.user,
            ],
            check=True, capture_output=True, cwd="/",
        )  # fmt: skip
        self.start()

    @property
    def url(self) -> str:
        """Address of its database."""
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder.parent / f"{self._folder.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._as_user(), str(self._bin / "postgres"), "-D", str(self._folder / "data"),
                    "-c", "listen_addresses=127.0.0.1", "-p", str(self.port), "-k", str(self._folder),
                ],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/",
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            ready = subprocess.run(
                [str(self._bin / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port)],
                capture_output=True,
                check=False,
            )
            if ready.returncode == 0:
                return
            time.sleep(0.1)
        raise TimeoutError("PostgreSQL does not answer.")

    def kill(self) -> None:
        """SIGKILL to the server, as a crash of the database."""
        pid = int((self._folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
        time.sleep(0.3)  # its children notice that they are orphans

    def stop(self) -> None:
        """End it and remove its folder."""
        if self._process is not None and self._process.poll() is None:
            pid = int((self._folder / "data" / "postmaster.pid").read_text().splitlines()[0])
            os.kill(pid, signal.SIGINT)
            self._process.wait(timeout=30)
        shutil.rmtree(self._folder, ignore_errors=True)
        (self._folder.parent / f"{self._folder.name}.log").unlink(missing_ok=True)

    def _as_user(self) -> list[str]:
        return ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
