"""Campaigns with small agents, and a supervisor that a test steps by hand."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from lodestone.loops.ledger import Ledger
from lodestone.loops.service.settings import ServiceSettings
from lodestone.loops.service.state import CampaignState, ServiceEvent
from lodestone.loops.service.supervisor import Supervisor

AGENT = Path(__file__).parent / "agent_for_tests.py"
QUICK = ServiceSettings(
    cores=1, poll_s=0.05, quantum_s=0.4, max_failures=3, backoff_s=0.05, stop_wait_s=2.0, min_free_gb=0.0
)


def launch(directory: Path) -> list[str]:
    return [sys.executable, str(AGENT), str(directory)]


def campaign(root: Path, name: str, behaviour: str) -> Path:
    directory = root / name
    directory.mkdir(parents=True)
    Ledger.create(directory, {"status": "running"})
    (directory / "behaviour").write_text(behaviour)
    return directory


class Watched:
    """A supervisor and what it said."""

    def __init__(self, root: Path, settings: ServiceSettings = QUICK) -> None:
        self.events: list[ServiceEvent] = []
        self.cancelled: list[str] = []
        self.supervisor = Supervisor(
            root, settings, self.events.append, launch, lambda d: self.cancelled.append(d.name)
        )

    def state(self, name: str) -> CampaignState:
        unseen = CampaignState(name=name, state="waiting")
        return next((c for c in self.supervisor.state().campaigns if c.name == name), unseen)

    def until(self, condition: Callable[[], bool], seconds: float = 20.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.supervisor.state()
            self.supervisor.step()
            time.sleep(0.03)


def starts(directory: Path) -> list[list[str]]:
    path = directory / "starts"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []
