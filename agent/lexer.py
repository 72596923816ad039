"""Text to tokens, each with its place in the text: words, numbers and marks.

Characters are only ever replaced one for one, so a token's place is a place in the user's own words.
What tokens mean is not decided here.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from ..tools.core.errors import GoalError
from .vocabulary import NUMBER_WORDS

_TRANSLATION = str.maketrans("‐‑‒–—−₀₁₂₃₄₅₆₇₈₉\u00a0\u202f\u2009’\u212b", "------0123456789   '\u00c5")

_NUMBER = (
    r"(?:(?<![\w)])[+-])?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+(?![A-Za-z]))?"
    r"|\.[0-9]+"
)
_FORMULA = (
    r"[A-Z][A-Za-z0-9]*"
    r"(?:\.[0-9]+[A-Z(][A-Za-z0-9]*|\((?=[A-Z])[A-Za-z0-9]*\)[0-9]*[A-Za-z0-9]*)*(?:\.[0-9]+(?![0-9]))?"
)
_WORD = r"[^\W\d_][\w']*"
_TOKEN = re.compile(rf"(?P<number>{_NUMBER})|(?P<formula>{_FORMULA}(?![\w']))|(?P<word>{_WORD})|(?P<mark>[<>=]=|\S)")
_NOT_FINITE = frozenset({"nan", "inf", "infinity"})
_POWER_AFTER_NUMBER = re.compile(r"[\^⁰¹²³⁴⁵⁶⁷⁸⁹⁻]")


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `start` and `end` are places in the text."""

    kind: Literal["word", "number", "mark"]
    text: str
    start: int
    end: int
    glued: bool
    """Joined to the token before it by a hyphen, without spaces."""
    attached: bool
    """Follows a number without a space or hyphen between (`2eV`, `3D`)."""
    value: float | None
    """The number, for digits and number words."""

    @property
    def low(self) -> str:
        """The text in lower case."""
        return self.text.lower()


def normalise(text: str) -> str:
    """The same text, place for place, with one kind of hyphen, space, apostrophe and digit."""
    return text.translate(_TRANSLATION)


def tokenise(text: str) -> tuple[Token, ...]:
    """Tokens of normalised text.

    Raises:
        GoalError: for a number that is not finite, or written as a power.
    """
    tokens: list[Token] = []
    hyphen_at = -1
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        word = match.group()
        after = tokens[-1].end if tokens else -1
        glued = hyphen_at >= 0 and hyphen_at == after and start == hyphen_at + 1
        if word == "-" and start == after and tokens[-1].kind != "mark":
            hyphen_at = start  # no token of its own: `glued` on what follows says it, where something follows
            continue
        attached = start == after and bool(tokens) and tokens[-1].kind == "number"
        if match.lastgroup == "number":
            tokens.append(Token("number", word, start, end, glued, attached, _number(word, text, end)))
        elif match.lastgroup == "mark":
            tokens.append(Token("mark", word, start, end, False, False, None))
        else:
            if word.lower() in _NOT_FINITE:
                raise GoalError(f"'{word}' is not a number that can be worked with.", "Give finite numbers.")
            tokens.append(Token("word", word, start, end, glued, attached, NUMBER_WORDS.get(word.lower())))
    return tuple(tokens)


def _number(word: str, text: str, end: int) -> float:
    value = float(word.replace(",", ""))
    if not math.isfinite(value):
        shown = word if len(word) <= 20 else f"{word[:17]}..."
        raise GoalError(f"'{shown}' is not a finite number.", "Give a number that fits in ordinary arithmetic.")
    if _POWER_AFTER_NUMBER.match(text, end):
        raise GoalError(f"A power after '{word}' cannot be read.", "Write it as 1000 or 1e3.")
    return value
