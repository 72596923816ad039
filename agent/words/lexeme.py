"""One token of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

WORD, MARK = "WORD", "MARK"
JOINTS = frozenset({"COMMA", "AND", "OR", "SLASH"})
"""Tokens that join the items of a list."""


@dataclass(frozen=True, slots=True)
class Lexeme:
    """One token; `start` and `end` are places in the text."""

    kind: str
    value: Any
    start: int
    end: int
    text: str
