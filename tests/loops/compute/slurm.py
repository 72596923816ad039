"""A real Slurm cluster of one node on loopback: munged, slurmctld and slurmd of its own."""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
NODE = "lodestone"

CONF = """
ClusterName=lodestone
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
KillWait=2
NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 CPUs=3 RealMemory=6000 State=UNKNOWN
PartitionName=short Nodes=ALL Default=YES MaxTime=60 State=UP
"""


def missing() -> str:
    """What of Slurm is not installed; empty when all is."""
    return ", ".join(p for p in PROGRAMS if _program(p) is None)


class Slurm:
    """The daemons, in the foreground, so that they end with the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("munge", "state", "spool", "logs"):
            (folder / name).mkdir()
        # munged wants its socket to be in reach of every user, and its key in reach of none.
        for path in (folder, folder / "munge"):
            path.chmod(0o755)
        key = folder / "munge" / "key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o600)
        self.conf = folder / "slurm.conf"
        self.conf.write_text(
            CONF.format(
                node=NODE, folder=folder, user=getpass.getuser(), host=socket.gethostname().split(".")[0],
                controller=_free_port(), daemon=_free_port(),
            )
        )  # fmt: skip
        self.environment = {**os.environ, "SLURM_CONF": str(self.conf)}
        munge = [f"--{name}={folder}/munge/{name.split('-')[0]}"
                 for name in ("key-file", "socket", "pid-file", "log-file", "seed-file")]  # fmt: skip
        self.processes: list[subprocess.Popen[bytes]] = []
        try:
            # --force: folders below /tmp that others may write to are no danger to a key that lives for one test.
            self._run("munged", "--foreground", "--force", *munge)
            _until(lambda: (folder / "munge" / "socket").exists(), "munged")
            self._run("slurmctld", "-D")
            self._run("slurmd", "-D", "-N", NODE)
            _until(lambda: "idle" in self.ask("sinfo", "--noheader", "--format=%T"), "slurmd")
        except TimeoutError:
            self.stop()
            raise

    def ask(self, *command: str) -> str:
        """What a command of Slurm says."""
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False).stdout

    def jobs(self) -> list[str]:
        """Numbers of the jobs that run."""
        return self.ask("squeue", "--noheader", "--states=R", "--format=%i").split()

    def stop(self) -> None:
        """End jobs and daemons."""
        self.ask("scancel", f"--user={getpass.getuser()}")
        deadline = time.monotonic() + 15
        while self.ask("squeue", "--noheader").strip() and time.monotonic() < deadline:
            time.sleep(0.2)
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _run(self, name: str, *arguments: str) -> None:
        with (self._folder / "logs" / f"{name}.log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    [str(_program(name)), *arguments],
                    env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                )
            )  # fmt: skip


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until(condition: Callable[[], bool], name: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} did not come up; see its log.")
        time.sleep(0.1)
