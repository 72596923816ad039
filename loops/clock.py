"""Where the time of a campaign goes: seconds per stage, and whether a stage is a tool or Lodestone's own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

TOOLS = frozenset({"plan", "generate", "screen", "relax", "recognise", "surrogate", "evaluate", "retrain",
                   "doubt", "learn"})  # fmt: skip
"""Stages that do the science. Everything else of a session's wall time is Lodestone's own."""


class StageClock:
    """Adds up wall seconds by stage; nested stages are charged to the inner one only."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stack: list[tuple[str, float]] = []

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Charge the time inside the block to a stage."""
        now = time.monotonic()
        if self._stack:
            outer, since = self._stack[-1]
            self._charge(outer, now - since)
        self._stack.append((stage, now))
        try:
            yield
        finally:
            name, since = self._stack.pop()
            now = time.monotonic()
            self._charge(name, now - since)
            if self._stack:
                self._stack[-1] = (self._stack[-1][0], now)

    def take(self) -> dict[str, float]:
        """The seconds so far, and start again from zero."""
        seconds, self.seconds = self.seconds, {}
        return seconds

    def _charge(self, stage: str, seconds: float) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
