"""Formulas and hyphenated systems: what is an element, and what only looks like one."""

from __future__ import annotations

import difflib
import re

from ...tools.core.elements import SYMBOLS
from ...tools.core.errors import GoalError
from .names import ACRONYMS, ENGLISH_NAMES, METHODS, TWO_LETTER_WORDS

SYMBOL_SET = frozenset(SYMBOLS)
FORMULA = re.compile(
    r"[A-Z][A-Za-z0-9]*"
    r"(?:\.[0-9]+[A-Z(][A-Za-z0-9]*|\((?=[A-Z])[A-Za-z0-9]*\)[0-9]*[A-Za-z0-9]*)*(?:\.[0-9]+(?![0-9]))?"
)
"""What has the shape of a formula."""

_PIECE = re.compile(r"([A-Z][a-z]?)([0-9]*)")
_MAX_COUNT = 999


def parse_formula(text: str) -> dict[str, int] | None:
    """Element counts of a formula, None when the text is not one.

    Raises:
        GoalError: for a formula with an unknown element or with a part of an atom.
    """
    if text.upper() in ACRONYMS and text.isupper():
        return None
    if "." in text and re.fullmatch(r"(?:[A-Z][a-z]?(?:[0-9]+(?:\.[0-9]+)?)?)+", text):
        raise GoalError(f"'{text}' has a part of an atom.", "Give an ordered composition with whole numbers.")
    expanded = _expand(text)
    if expanded is None or not re.fullmatch(r"(?:[A-Z][a-z]?[0-9]*)+", expanded):
        return None
    pieces = _PIECE.findall(expanded)
    unknown = [symbol for symbol, _ in pieces if symbol not in SYMBOL_SET]
    if unknown:
        known = len(pieces) - len(unknown)
        mixed = any(c.islower() for c in text) or any(c.isdigit() for c in text)
        if known and mixed and text.lower() not in METHODS and len(pieces) <= 2 * known:
            raise GoalError(
                f"'{unknown[0]}' in '{text}' is not an element.", "Write element symbols as in NaCl or Li3PS4."
            )
        return None
    counts: dict[str, int] = {}
    for symbol, digits in pieces:
        number = int(digits[:6]) if digits else 1
        counts[symbol] = counts.get(symbol, 0) + number
        if not 1 <= number <= _MAX_COUNT or len(digits) > 3:
            raise GoalError(f"'{digits}' atoms of {symbol} cannot be asked for.", f"Give 1 to {_MAX_COUNT}.")
    return counts


def suggest_element(word: str) -> str | None:
    """The element whose English name a word seems to misspell, None for other words."""
    if len(word) < 5 or not word.isascii() or not word.isalpha():
        return None
    near = [name for name in ENGLISH_NAMES if abs(len(name) - len(word)) <= 2]
    match = difflib.get_close_matches(word.lower(), near, n=1, cutoff=0.84)
    return match[0] if match else None


def looks_like_symbol(word: str) -> bool:
    """Whether a word has the shape of a symbol, is none, and is no English word of two letters."""
    return bool(re.fullmatch(r"[A-Z][a-z]", word)) and word not in SYMBOL_SET and word.lower() not in TWO_LETTER_WORDS


def _expand(text: str) -> str | None:
    """A formula without its one level of brackets: `Ca(OH)2` to `CaOHOH`-like counts."""
    while "(" in text:
        match = re.search(r"\(((?:[A-Z][a-z]?[0-9]{0,3})+)\)([0-9]{0,3})", text)
        if not match:
            return None
        times = int(match.group(2) or 1)
        inner = "".join(f"{symbol}{int(digits or 1) * times}" for symbol, digits in _PIECE.findall(match.group(1)))
        text = text[: match.start()] + inner + text[match.end() :]
    return text
