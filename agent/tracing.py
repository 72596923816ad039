"""Numbers in a model's words: those that stand in the data it saw stay, others are struck out.

A model that writes "hull distance 0.012 eV/atom" where no such number was shown has made it up, and a reader of the
report would take it for a measurement.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

STRUCK = "[number struck out: not in the data]"

_NUMBER = re.compile(r"(?<![\w.])[-−]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?(?![\w])(\s?%)?")
_IN_DATA = re.compile(r"[-]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_SMALL = 10
"""Whole numbers below it are words of any sentence (`two`, `1 of 3`)."""


class Numbers:
    """The numbers that a model was shown."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._known: set[float] = set()
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Take in a text that the model saw."""
        self._known.update(v for v in (float(m) for m in _IN_DATA.findall(text)) if math.isfinite(v))

    def has(self, written: str) -> bool:
        """Whether a number, as written, is one of them at its own precision; also as a percentage or in meV."""
        text = written.replace("−", "-").replace(",", ".")
        percent = text.endswith("%")
        value = float(text.rstrip("% "))
        if value == int(value) and 0 <= value < _SMALL:
            return True
        digits = len(text.rstrip("% ").partition(".")[2]) if "e" not in text.lower() else 12
        scales = (100.0,) if percent else (1.0, 1000.0)
        half = 0.5 * 10.0**-digits * (1 + 1e-9)
        return any(abs(abs(known) * scale - abs(value)) <= half for known in self._known for scale in scales)


def strike_out(words: str, numbers: Numbers) -> tuple[str, int]:
    """The words with every number struck out that the model was not shown, and how many there were."""
    count = 0

    def check(match: re.Match[str]) -> str:
        nonlocal count
        if numbers.has(match.group()):
            return match.group()
        count += 1
        return STRUCK

    return _NUMBER.sub(check, words), count
