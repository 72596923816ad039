"""The reading head of the grammar: tokens with marks of what was used, and the heap of what was read.

Rules (`quantities.py`, `counts.py`, `chemistry.py`) look through a `Reader` and write into its `Request`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from ..tools.core.errors import GoalError
from ..tools.core.properties import CATALOGUE
from ..tools.core.types import Objective
from .lexer import Token, normalise, tokenise
from .vocabulary import COMPARATORS, EXTRA_SYNONYMS, STOP_WORDS, UNITS, Kind

_LONGEST_RUN = 12
"""Tokens in one hyphenated run, or filler words in a row: no sentence has more, and reading stays linear."""

_UNITS = tuple((re.compile(rf"(?:{pattern})(?![A-Za-z0-9])"), unit) for pattern, unit in UNITS)


@dataclass(frozen=True, slots=True)
class Bound:
    """One number on a property: its kind, its value in `unit` (None: not said)."""

    kind: Kind
    value: float
    unit: str | None


@dataclass
class Request:
    """What was read, before it is put together. Lists keep the order of the sentence."""

    systems: list[tuple[str, ...]] = field(default_factory=list)
    formulas: dict[str, dict[str, int]] = field(default_factory=dict)
    required: dict[str, str] = field(default_factory=dict)
    """Element to the words that ask for it."""
    any_of: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    only: dict[str, str] = field(default_factory=dict)
    excluded: dict[str, str] = field(default_factory=dict)
    classes: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    anything: bool = False
    element_counts: list[tuple[int, int | None]] = field(default_factory=list)
    max_atoms: list[int] = field(default_factory=list)
    bounds: list[tuple[str, Bound]] = field(default_factory=list)
    objectives: list[Objective] = field(default_factory=list)
    stability: list[Literal["stable", "metastable", "most stable", "on the hull"]] = field(default_factory=list)
    evaluations: list[int] = field(default_factory=list)
    hours: dict[str, float] = field(default_factory=dict)
    rounds: list[int] = field(default_factory=list)
    core_hours: list[float] = field(default_factory=list)
    money: list[float] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    hits: list[int] = field(default_factory=list)
    patience: list[int] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    evaluators: list[str] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Reader:
    """Tokens of one request, what of them was used, and what was read from them."""

    def __init__(self, text: str) -> None:
        self.original = text
        self.text = normalise(text)
        self.tokens = tokenise(self.text)
        self.used = [False] * len(self.tokens)
        self.ignored = [False] * len(self.tokens)
        self.request = Request()

    def __len__(self) -> int:
        return len(self.tokens)

    def token(self, index: int) -> Token | None:
        """The token at `index`, None beyond the ends."""
        return self.tokens[index] if 0 <= index < len(self.tokens) else None

    def low(self, index: int) -> str:
        """The token at `index` in lower case, empty beyond the ends."""
        token = self.token(index)
        return token.low if token else ""

    def phrase(self, index: int, words: tuple[str, ...]) -> int | None:
        """The index after `words` when they stand at `index` (hyphens between them do not matter)."""
        end = index + len(words)
        if end <= len(self.tokens) and all(self.tokens[index + k].low == word for k, word in enumerate(words)):
            return end
        return None

    def skip(self, index: int, words: frozenset[str] | set[str]) -> int:
        """The first index from `index` on whose token is not in `words`."""
        for _ in range(_LONGEST_RUN):
            if self.low(index) not in words or index >= len(self.tokens):
                break
            index += 1
        return index

    def number(self, index: int) -> float | None:
        """The number at `index`, None where there is none."""
        token = self.token(index)
        return token.value if token else None

    def glued_run(self, index: int) -> int:
        """The index after the hyphenated run of tokens that begins at `index`."""
        end = index + 1
        while (token := self.token(end)) is not None and token.glued and end < index + _LONGEST_RUN:
            end += 1
        return end

    def sentence_start(self, index: int) -> bool:
        """Whether a sentence or a clause begins here."""
        return index == 0 or self.tokens[index - 1].text in set(".;:!?(")

    def comparator(self, index: int) -> tuple[Kind, bool, int] | None:
        """(kind, strict, index after it) of the longest comparator at `index`."""
        for length in (3, 2, 1):
            words = tuple(self.low(index + k) for k in range(length))
            if words in COMPARATORS:
                kind, strict = COMPARATORS[words]
                return kind, strict, index + length
        return None

    def unit(self, index: int) -> tuple[str, int] | None:
        """(unit, index after it) of a unit written at `index`."""
        token = self.token(index)
        if token is None:
            return None
        for pattern, unit in _UNITS:
            if match := pattern.match(self.text, token.start):
                end = index
                while end < len(self.tokens) and self.tokens[end].start < match.end():
                    end += 1
                return unit, end
        return None

    def property(self, index: int) -> tuple[str, str, int] | None:
        """(catalogue name, words, index after them) of the longest property phrase at `index`."""
        for words, name in property_phrases():
            if self.low(index) != words[0]:
                continue
            if end := self.phrase(index, words):
                return name, " ".join(words), end
        return None

    def words(self, start: int, end: int) -> str:
        """The user's own words from token `start` up to (not with) token `end`."""
        return self.original[self.tokens[start].start : self.tokens[end - 1].end]

    def whole(self, value: float, what: str) -> int:
        """A number that must be whole and positive.

        Raises:
            GoalError: when it is not.
        """
        if value != int(value):
            raise GoalError(f"{value:g} {what}: a whole number is expected.", f"Say for instance '20 {what}'.")
        if value < 1:
            raise GoalError(f"{value:g} {what}: at least 1 is needed.", f"Say for instance '20 {what}'.")
        return int(value)

    def use(self, start: int, end: int) -> int:
        """Mark tokens as used; returns `end`."""
        for index in range(start, end):
            self.used[index] = True
        return end

    def ignore(self, start: int, end: int) -> int:
        """Mark tokens as seen and deliberately left out of the goal; they are reported as unused."""
        for index in range(start, end):
            self.ignored[index] = True
        return end

    def unused(self) -> tuple[str, ...]:
        """The user's words that changed nothing, neighbours joined, filler left out."""
        pieces: list[tuple[int, int]] = []
        for index, token in enumerate(self.tokens):
            filler = token.kind == "mark" or (token.low in STOP_WORDS and not self.ignored[index])
            if self.used[index] or filler:
                continue
            if pieces and not self.text[pieces[-1][1] : token.start].strip(" \t\n-/"):
                pieces[-1] = (pieces[-1][0], token.end)
            else:
                pieces.append((token.start, token.end))
        return tuple(dict.fromkeys(self.original[start:end] for start, end in pieces))


@cache
def property_phrases() -> tuple[tuple[tuple[str, ...], str], ...]:
    """(words, catalogue name) of every way to say a property, longest first."""
    rows: dict[tuple[str, ...], str] = {}
    for name, row in CATALOGUE.items():
        for synonym in (name, row.label, *row.synonyms, *EXTRA_SYNONYMS.get(name, ())):
            words = tuple(token.low for token in tokenise(normalise(synonym)))
            rows.setdefault(words, name)
            if words[-1].isalpha() and words[-1] != "hull" and not words[-1].endswith("s"):
                rows.setdefault((*words[:-1], f"{words[-1]}s"), name)
    return tuple(sorted(rows.items(), key=lambda item: (-len(item[0]), item[0])))
