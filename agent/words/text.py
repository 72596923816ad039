"""The user's text, place for place in the characters that the lexer knows, and what it must not hold."""

from __future__ import annotations

import re
import unicodedata

from ...tools.core.errors import GoalError

MAX_CHARACTERS = 10_000
"""A longer text is not a request."""

# One character for one, so that a place in the normalised text is a place in the user's own words.
_FROM = "{}[]‐‑‒–—−‧·﹣－₀₁₂₃₄₅₆₇₈₉\u00a0\u202f\u2009\u3000’‘\u212b，、；：。！？（）＜＞＝～〜∼【】《》≦≧⩽⩾％／＋"
_TO = "    ----------0123456789    ''\u00c5,,;:.!?()<>=~~~()()≤≥≤≥%/+"
_TABLE = str.maketrans({**dict(zip(_FROM, _TO, strict=True)), **{chr(0xFF10 + n): str(n) for n in range(10)},
                        **{chr(0xFF21 + n): chr(65 + n) for n in range(26)},
                        **{chr(0xFF41 + n): chr(97 + n) for n in range(26)}})  # fmt: skip
_PRIMED = re.compile(r"(?<![A-Za-z0-9])(A[0-9]?)BB'([A-Z][A-Za-z0-9]*)")
"""`A2BB'X6`: the primed site gets a letter of its own, and a space keeps every later place."""


def normalise(text: str) -> str:
    """The same text with one kind of hyphen, space, comma and digit. Raises GoalError for text that hides something."""
    for character in text:
        if unicodedata.category(character) in {"Cf", "Cs", "Co", "Cc"} and character not in "\n\r\t":
            raise GoalError(
                f"The request holds an invisible character (U+{ord(character):04X}).",
                "Type it again: such characters can make a text say something else than it shows.",
            )
    plain = text.translate(_TABLE).replace("\n", " ").replace("\r", " ").replace("\t", " ")
    return _PRIMED.sub(r"\1BC\2 ", plain)


def mixed_script(word: str) -> bool:
    """Whether a word mixes Latin with Cyrillic or Greek letters, as a look-alike of a symbol does."""
    scripts = {unicodedata.name(c, "?").split()[0] for c in word if c.isalpha()}
    return "LATIN" in scripts and bool(scripts & {"CYRILLIC", "GREEK"})
