"""Keeps campaigns going: starts, restarts, shares cores, pauses, and asks a person when nothing else helps."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ...tools.core.errors import LodestoneError
from ...tools.core.types import Frozen
from ...tools.evaluate.process import read_limited, write_durably
from ..ledger import Ledger, holds_ledger
from .child import Child, Launch, resume_command
from .control import Control, read_control
from .housekeeping import Housekeeper
from .settings import ServiceSettings
from .shares import chosen, core_sets, shares

State = Literal["waiting", "running", "stopping", "paused", "stopped", "finished", "backing off", "needs a person"]
STATE_NAME = "service.json"
PERSON_CODES = {3: "the goal cannot be used", 4: "a setting is wrong"}


class ServiceEvent(Frozen):
    """Something that people may want to be told."""

    kind: Literal["needs a person", "disk", "resumed"]
    campaign: str
    what: str


class CampaignState(Frozen):
    """Where one campaign stands in the eyes of the service."""

    name: str
    state: State
    why: str = ""
    pid: int | None = None
    cores: int = 0
    restarts: int = 0
    used_core_s: float = 0.0
    priority: int = 10


class ServiceState(Frozen):
    """What `lodestone serve --status` shows."""

    pid: int
    campaigns: tuple[CampaignState, ...] = ()


@dataclass
class _Campaign:
    directory: Path
    child: Child | None = None
    state: State = "waiting"
    why: str = ""
    cores: int = 0
    restarts: int = 0
    failures: int = 0
    used: float = 0.0
    turn_began: float = 0.0
    looked: float = 0.0
    not_before: float = 0.0
    stop_by: float = 0.0
    progress: int = -1
    person_at: float = 0.0
    control: Control = field(default_factory=Control)


class Supervisor:
    """Looks after every campaign below `root`; `step` does what is due, `run` does so until told to stop.

    Args:
        root: folder of campaign directories.
        settings: of the service.
        notify: told what people may want to know.
        launch: gives the command that works on a campaign; tests give another one.
        cancel: ends the running evaluations of a campaign that is stopped.
    """

    def __init__(
        self,
        root: Path,
        settings: ServiceSettings,
        notify: Callable[[ServiceEvent], None] = lambda _: None,
        launch: Launch = resume_command,
        cancel: Callable[[Path], None] = lambda _: None,
    ) -> None:
        self._root = root
        self._settings = settings
        self._notify = notify
        self._launch = launch
        self._cancel = cancel
        self._available = sorted(os.sched_getaffinity(0))
        if settings.cores:
            self._available = self._available[: settings.cores]
        self._campaigns: dict[str, _Campaign] = {}
        self._house = Housekeeper(root, settings, notify)
        self._stopping = False
        self._written = ""
        self._used_before = self._remembered()

    def run(self, besides: Callable[[], object] = lambda: None) -> None:
        """Until `stop` is called, as the handlers of SIGTERM and SIGINT do; `besides` is called at each step."""
        while not self._stopping:
            self.step()
            besides()
            time.sleep(self._settings.poll_s)
        self.shut_down()

    def stop(self) -> None:
        """End `run` after its present step."""
        self._stopping = True

    # --- one step ------------------------------------------------------------------------------

    def step(self) -> None:
        """Look at everything once, and do what is due."""
        self._find()
        self._house.step([c.directory for c in self._campaigns.values()])
        for campaign in self._campaigns.values():
            self._look(campaign)
        for campaign in self._campaigns.values():
            self._obey(campaign)
        self._share()
        self._write()

    def _find(self) -> None:
        for directory in sorted(p for p in self._root.iterdir() if p.is_dir()):
            if directory.name in self._campaigns or not holds_ledger(directory):
                continue
            campaign = _Campaign(directory, used=self._used_before.get(directory.name, 0.0))
            campaign.progress = _progress(directory)
            child = Child(directory)
            if child.adopt():
                campaign.child, campaign.state = child, "running"
                campaign.turn_began = campaign.looked = time.monotonic()
                campaign.cores = 1
            elif _finished(directory):
                campaign.state = "finished"
            self._campaigns[directory.name] = campaign

    def _look(self, c: _Campaign) -> None:
        """Notice that an agent has ended, and decide what follows."""
        now = time.monotonic()
        c.control = read_control(c.directory)
        if c.child is None:
            return
        alive, code = c.child.poll()
        c.used += (now - c.looked) * c.cores
        c.looked = now
        if alive:
            if c.state == "stopping" and now > c.stop_by:
                c.child.kill()
            return
        c.child, was = None, c.state
        progress = _progress(c.directory)
        if _finished(c.directory):
            c.state, c.why = "finished", ""
        elif was == "stopping":
            c.state, c.why = "waiting", ""
        elif code == 130:
            c.state, c.why = "paused", "somebody interrupted it; `lodestone start` goes on"
            c.person_at = time.time()
        elif code in PERSON_CODES:
            self._ask(c, PERSON_CODES[code])
        else:
            c.failures = 0 if progress > c.progress else c.failures + 1
            c.restarts += 1
            how = "it ended" if code is None else f"signal {-code}" if code < 0 else f"exit status {code}"
            if c.failures >= self._settings.max_failures:
                self._ask(c, f"{c.failures} times in a row without progress ({how}); see {c.directory}/logs/agent.log")
            else:
                wait = min(self._settings.backoff_max_s, self._settings.backoff_s * 2 ** max(0, c.failures - 1))
                c.state, c.why, c.not_before = "backing off", how, now + wait
        c.progress = progress

    def _ask(self, c: _Campaign, why: str) -> None:
        c.state, c.why, c.person_at = "needs a person", why, time.time()
        self._notify(ServiceEvent(kind="needs a person", campaign=c.directory.name, what=why))

    def _obey(self, c: _Campaign) -> None:
        """Bring a campaign to where it is wanted."""
        wanted = "pause" if self._house.disk_is_full and c.control.wanted == "run" else c.control.wanted
        if c.state == "finished":
            return
        if wanted == "run":
            said_again = c.control.at > c.person_at
            if c.state == "stopped" or (c.state in ("paused", "needs a person") and said_again):
                c.state, c.why, c.failures = "waiting", "", 0
            elif c.state == "paused" and c.why in ("", "disk"):
                c.state, c.why = "waiting", ""
            elif c.state == "backing off" and time.monotonic() >= c.not_before:
                c.state = "waiting"
            return
        if c.child is not None:
            self._end(c)
        elif c.state not in ("paused", "stopped") or (wanted == "stop" and c.state == "paused"):
            if wanted == "stop":
                self._cancel(c.directory)
            c.state = "stopped" if wanted == "stop" else "paused"
            c.why = "disk" if self._house.disk_is_full else ""

    def _end(self, c: _Campaign) -> None:
        if c.state != "stopping" and c.child is not None:
            c.child.ask_to_stop()
            c.state, c.stop_by = "stopping", time.monotonic() + self._settings.stop_wait_s

    def _share(self) -> None:
        """Give cores to those whose turn it is."""
        now = time.monotonic()
        cores = len(self._available)
        wanting = {n: c for n, c in self._campaigns.items() if c.state in ("waiting", "running")}
        usage = {n: c.used for n, c in wanting.items()}
        weights = {n: c.control.priority for n, c in wanting.items()}
        running = [n for n, c in wanting.items() if c.state == "running"]
        kept = [n for n in running if now - wanting[n].turn_began < self._settings.quantum_s]
        busy = sum(c.child is not None for c in self._campaigns.values())
        turn = chosen(usage, weights, kept, cores)
        for name in running:
            if name not in turn:
                self._end(wanting[name])
        fresh = [n for n in turn if wanting[n].state == "waiting"][: max(0, cores - busy)]
        working = [n for n in running if wanting[n].state == "running"] + fresh
        counts = shares(working[:cores], weights, cores)
        sets = core_sets(counts, self._available)
        for name in working:
            c = wanting[name]
            if c.child is not None and name in sets and c.cores != counts[name]:
                c.child.pin(sets[name])
                c.cores = counts[name]
        for name in fresh:
            c = wanting[name]
            child = Child(c.directory)
            try:
                child.start(self._launch, sets[name])
            except OSError as error:
                c.failures += 1
                c.state, c.why = "backing off", f"cannot be started: {error.strerror}"
                c.not_before = now + min(self._settings.backoff_max_s, 2.0**c.failures)
                continue
            c.child, c.state, c.why = child, "running", ""
            c.cores = counts[name]
            c.turn_began = c.looked = now

    # --- the end, and what is remembered -------------------------------------------------------

    def shut_down(self) -> None:
        """Stop every agent cleanly; jobs go on, and are collected when the service is back."""
        for c in self._campaigns.values():
            if c.child is not None:
                c.child.ask_to_stop()
        deadline = time.monotonic() + self._settings.stop_wait_s
        while time.monotonic() < deadline and any(c.child and c.child.poll()[0] for c in self._campaigns.values()):
            time.sleep(0.05)
        for c in self._campaigns.values():
            if c.child is not None and c.child.poll()[0]:
                c.child.kill()
            c.child = None
        self._write()

    def state(self) -> ServiceState:
        """Where everything stands."""
        return ServiceState(
            pid=os.getpid(),
            campaigns=tuple(
                CampaignState(
                    name=name,
                    state=c.state,
                    why=c.why,
                    pid=c.child.mark.pid if c.child is not None and c.child.mark is not None else None,
                    cores=c.cores if c.child is not None else 0,
                    restarts=c.restarts,
                    used_core_s=round(c.used),
                    priority=c.control.priority,
                )
                for name, c in sorted(self._campaigns.items())
            ),
        )

    def _write(self) -> None:
        text = self.state().model_dump_json(indent=1)
        if text != self._written and not self._house.disk_is_full:
            write_durably(self._root / STATE_NAME, text)
            self._written = text

    def _remembered(self) -> dict[str, float]:
        try:
            old = ServiceState.model_validate_json(read_limited(self._root / STATE_NAME, 10_000_000) or "")
        except ValueError:
            return {}
        return {c.name: c.used_core_s for c in old.campaigns}


def handle_signals(supervisor: Supervisor) -> None:
    """SIGTERM and SIGINT end the service cleanly."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())


def _progress(directory: Path) -> int:
    """Number of the last event; -1 for a ledger that cannot be read now."""
    try:
        return Ledger.open(directory, read_only=True).last_seq()
    except LodestoneError:
        return -1


def _finished(directory: Path) -> bool:
    try:
        return bool(Ledger.open(directory, read_only=True).meta("status") == "finished")
    except LodestoneError:
        return False
