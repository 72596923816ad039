"""Laboratory time: the wall's, accelerated; or one that a test turns by hand."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Time as the laboratory and as its people have it."""

    def now_s(self) -> float:
        """Laboratory time since its beginning, s."""
        ...

    def wall_s(self) -> float:
        """Seconds since 1970."""
        ...


class Accelerated:
    """So many laboratory seconds a second; it goes on while the twin is down, as the furnaces do.

    Args:
        origin_s: when the laboratory began, seconds since 1970.
        speed: laboratory seconds a second.
    """

    def __init__(self, origin_s: float, speed: float) -> None:
        self._origin_s = origin_s
        self._speed = speed

    def now_s(self) -> float:
        """Laboratory time, s."""
        return max(0.0, (time.time() - self._origin_s) * self._speed)

    def wall_s(self) -> float:
        """Seconds since 1970."""
        return time.time()


class ByHand:
    """A clock that stands still until it is turned; a wall second passes with each laboratory second."""

    def __init__(self, start_s: float = 0.0) -> None:
        self.at_s = start_s

    def now_s(self) -> float:
        """Laboratory time, s."""
        return self.at_s

    def wall_s(self) -> float:
        """Laboratory time after an arbitrary beginning in 2026."""
        return 1.77e9 + self.at_s

    def turn(self, seconds: float) -> None:
        """Let time pass."""
        self.at_s += seconds
