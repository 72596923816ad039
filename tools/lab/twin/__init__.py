"""The digital twin of a laboratory: its own operating-system process, its own interlocks, the real wire protocol.

`start` begins such a process and returns where its servers are and whom to expect there. What is not here: anything
that the driver needs beside these addresses.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from pydantic import Field

from ...core.errors import LabError
from ...core.types import Frozen
from ..address import Address, Protocol
from ..templates import Approved
from .faults import Faults
from .world import INSTRUMENTS

STARTING_S = 60.0


class Settings(Frozen):
    """What a twin is, kept in its directory so that it is the same after a restart."""

    seed: int = 0
    speed: float = Field(default=1.0, gt=0.0)
    """Laboratory seconds a second."""
    origin_s: float
    """When the laboratory began, seconds since 1970."""
    host: str = "127.0.0.1"
    ports: dict[str, int]
    protocols: dict[str, Protocol] = {}
    """Instrument to what it speaks; SiLA 2 where nothing is said."""
    faults: Faults = Faults()
    people: dict[str, str] = {}
    """Who may clear stops, answer questions and approve templates: name to Ed25519 public key in hex."""
    templates: tuple[Approved, ...] = ()
    chemistry: str = "inert"
    """`solid_state`, or `inert`: nothing reacts."""
    phases_file: str = ""
    """JSON list of phases that the diffractometer can see; relative to the directory, empty for none."""
    watchdog_s: float = Field(default=20.0, gt=0.0)
    lifetime_s: float | None = None
    """Wall time after which the process ends by itself; None: never."""


class Twin:
    """A running twin.

    Args:
        directory: where it lives.
        process: its process.
        addresses: of its instruments.
    """

    def __init__(self, directory: Path, process: subprocess.Popen[bytes], addresses: tuple[Address, ...]) -> None:
        self.directory = directory
        self.process = process
        self.addresses = addresses

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process.poll() is None

    def kill(self) -> None:
        """SIGKILL, as a power loss."""
        if self.alive:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._close()

    def stop(self) -> None:
        """End it in order."""
        if self.alive:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=10.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._close()

    def _close(self) -> None:
        if self.process.stdout is not None:
            self.process.stdout.close()

    def __enter__(self) -> Twin:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(
    directory: Path,
    seed: int = 0,
    speed: float = 1.0,
    faults: Faults | None = None,
    swapped: tuple[str, str] | None = None,
    **settings: Any,
) -> Twin:
    """Start a twin, or start it again after a crash: then its settings and its state are those of its directory.

    Args:
        directory: its settings, journal, identities and log; made when missing.
        seed: of all chance in it.
        speed: laboratory seconds a second.
        faults: what goes wrong.
        swapped: two instruments at each other's address, this time.
        settings: other fields of `Settings`.

    Raises:
        LabError: it does not come up.
    """
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "twin.json"
    if not file.exists():
        chosen = Settings(
            seed=seed,
            speed=speed,
            origin_s=time.time(),
            ports=dict(zip(INSTRUMENTS, _free_ports(len(INSTRUMENTS)), strict=True)),
            faults=faults or Faults(),
            **settings,
        )
        file.write_text(chosen.model_dump_json(indent=1), encoding="utf-8")
    command = [sys.executable, "-m", "lodestone.tools.lab.twin", str(directory)]
    if swapped is not None:
        command += ["--swap", *swapped]
    with open(directory / "twin.log", "ab") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True
        )
    line = _first_line(process)
    if not line:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        raise LabError("the twin did not come up", f"Read {directory / 'twin.log'}.")
    return Twin(directory, process, addresses(directory))


def addresses(directory: Path) -> tuple[Address, ...]:
    """Where the instruments of a twin are, and who answers there.

    Raises:
        LabError: the twin never came up.
    """
    path = directory / "addresses.json"
    if not path.exists():
        raise LabError(f"no twin has run in {directory}", "Start it with 'lodestone lab twin'.")
    return Addresses.model_validate_json(path.read_text(encoding="utf-8")).addresses


class Addresses(Frozen):
    """The addresses of a twin, as a file."""

    addresses: tuple[Address, ...]


def _first_line(process: subprocess.Popen[bytes]) -> bytes:
    """What the process says when it is ready; empty when it ended or took too long."""
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], STARTING_S)
    return os.read(process.stdout.fileno(), 100) if ready else b""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()
