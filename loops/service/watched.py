"""One campaign in the service's care: where it stands, and what follows when its agent ends."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from .child import Child
from .control import Control
from .settings import ServiceSettings
from .state import CampaignState, State

BUSY_WAIT_S = 5.0
"""Between looks at a campaign that somebody else works on."""


@dataclass
class Watched:
    """What the service remembers of a campaign; times are of the monotonic clock unless said otherwise."""

    directory: Path
    child: Child | None = None
    state: State = "waiting"
    why: str = ""
    trouble: str = ""
    """Why it cannot be looked after just now."""
    since: float = field(default_factory=time.time)
    """When it came to its state, by the wall clock."""
    control: Control = field(default_factory=Control)
    said: int | None = None
    """What a person had said last when the campaign was handed to one; None: nobody is needed."""
    cores: set[int] = field(default_factory=set)
    restarts: int = 0
    failures: int = 0
    progress: int = 0
    used: float = 0.0
    turns: float = 0.0
    began: float = 0.0
    """Of its turn."""
    looked: float = 0.0
    not_before: float = 0.0
    stop_by: float = 0.0
    over_at: int | None = None
    """Its progress when its turn was over; None while the turn lasts."""
    look_again: float = 0.0

    @property
    def name(self) -> str:
        """Of its directory."""
        return self.directory.name

    def to(self, state: State, why: str = "") -> None:
        """Come to a state."""
        if state != self.state:
            self.since = time.time()
        self.state, self.why = state, why

    def remember(self, old: CampaignState) -> None:
        """Take over what an earlier service knew. What waited for a person still does."""
        self.restarts, self.failures, self.progress = old.restarts, old.failures, old.progress
        self.used, self.turns = old.used_core_s, old.turns
        if old.state == "needs a person":
            self.state, self.why, self.since, self.said = old.state, old.why, old.since, old.said

    def begin(self, child: Child, cores: set[int]) -> None:
        """A turn begins."""
        self.child, self.cores, self.over_at = child, cores, None
        self.began = self.looked = time.monotonic()
        self.to("running")

    def account(self) -> None:
        """Count the time since the last look."""
        now = time.monotonic()
        core_s = (now - self.looked) * len(self.cores)
        self.used += core_s
        self.turns += core_s / self.control.priority
        self.looked = now

    def end(self, settings: ServiceSettings) -> None:
        """Ask its agent to stop; no effect when it was asked before, or there is none."""
        if self.child is not None and self.state != "stopping":
            self.child.ask_to_stop()
            self.stop_by = time.monotonic() + settings.stop_wait_s
            self.to("stopping")

    def wait_for(self, who: str) -> None:
        """Somebody else works on it: that is no failure."""
        self.not_before = time.monotonic() + BUSY_WAIT_S
        self.to("waiting", f"in use by {who}")

    def hand_over(self, state: State, why: str) -> None:
        """Leave it until a person says something about it."""
        self.said = self.control.number
        self.to(state, why)

    def fail(self, how: str, settings: ServiceSettings) -> bool:
        """Its agent ended before the campaign did; whether that happened too often."""
        now = time.monotonic()
        if self.failures >= settings.max_failures:
            return True
        # An agent that lasted longer than the longest wait was well: what ended it is not what ended the others.
        well = self.began and now - self.began > settings.backoff_max_s
        doublings = 0 if well else min(60, max(0, self.failures - 1))
        wait = min(settings.backoff_max_s, settings.backoff_s * 2**doublings)
        self.not_before = now + wait
        self.to("backing off", f"{how}; again after {wait:.3g} s")
        return False

    def snapshot(self) -> CampaignState:
        """As it is written down."""
        mark = self.child.mark if self.child is not None else None
        return CampaignState(
            name=self.name,
            state=self.state,
            why=self.trouble or self.why,
            since=self.since,
            pid=mark.pid if mark is not None else None,
            cores=len(self.cores) if self.child is not None else 0,
            restarts=self.restarts,
            failures=self.failures,
            progress=self.progress,
            used_core_s=round(self.used),
            turns=round(self.turns, 1),
            priority=self.control.priority,
            said=self.control.number if self.said is None else self.said,
        )
