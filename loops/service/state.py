"""What the service knows about its campaigns, as it is written down, and what it tells people."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ...tools.core.types import Frozen
from ...tools.evaluate.process import read_limited

STATE_NAME = "service.json"
MAX_STATE_BYTES = 10_000_000

State = Literal["waiting", "running", "stopping", "paused", "stopped", "finished", "backing off", "needs a person"]


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
    since: float = 0.0
    """When it came to this state, seconds since 1970."""
    pid: int | None = None
    cores: int = 0
    restarts: int = 0
    failures: int = 0
    """Ends in a row without progress."""
    progress: int = 0
    """Number of the last ledger event that was work."""
    used_core_s: float = 0.0
    turns: float = 0.0
    """Core seconds for its priority, as turns are given by: see `shares.caught_up`."""
    priority: int = 10
    said: int = 0
    """Number of what a person said last (`Control.number`)."""


class ServiceState(Frozen):
    """What `lodestone serve --status` shows."""

    pid: int
    campaigns: tuple[CampaignState, ...] = ()


def read_state(root: Path) -> dict[str, CampaignState]:
    """What an earlier service knew, by name; nothing where there was none or its file cannot be read."""
    try:
        old = ServiceState.model_validate_json(read_limited(root / STATE_NAME, MAX_STATE_BYTES) or "")
    except (ValueError, OSError):
        return {}
    return {c.name: c for c in old.campaigns}
