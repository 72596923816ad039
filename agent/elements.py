"""Symbols, formulas and hyphenated systems as people write them: what is an element, and what only looks like one."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Literal

from ..tools.core.errors import GoalError
from .reader import Reader
from .vocabulary import (
    ACRONYMS,
    AMBIGUOUS_AFTER_NUMBER,
    AMBIGUOUS_SYMBOLS,
    ELEMENT_NAMES,
    GROUPS,
    METHODS,
    SYMBOLS,
    TWO_LETTER_WORDS,
    split_words,
)

_PIECE = re.compile(r"([A-Z][a-z]?)([0-9]*)")
_SYMBOLS = frozenset(SYMBOLS)
_SUFFIXES = frozenset(split_words("free based containing bearing rich system"))
_MAX_COUNT = 999

Source = Literal["symbol", "name", "formula", "system", "group"]


@dataclass(frozen=True, slots=True)
class Item:
    """Elements named at one place, how they were named, and the index after them."""

    source: Source
    elements: tuple[str, ...]
    end: int
    suffix: str = ""
    """What was joined to it: `free`, `based`, …"""
    counts: tuple[tuple[str, int], ...] = ()


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
    unknown = [symbol for symbol, _ in pieces if symbol not in _SYMBOLS]
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


def item_at(reader: Reader, index: int, among_elements: bool) -> Item | None:
    """Elements named at `index`.

    Args:
        reader: the request.
        index: where to look.
        among_elements: the words before already speak of elements, so `In` or `As` may be one.

    Returns:
        What was found, None when there are no elements here.

    Raises:
        GoalError: for a system or formula with an unknown element.
    """
    token = reader.token(index)
    if token is None or token.kind != "word" or token.attached:
        return None
    if group := _group(reader, index):
        return group
    run_end = reader.glued_run(index)
    if run_end > index + 1:
        return _glued(reader, index, run_end)
    if token.low in ELEMENT_NAMES and not (token.low == "lead" and reader.low(index + 1) in {"to", "the", "us"}):
        return _with_free(reader, Item("name", (ELEMENT_NAMES[token.low],), index + 1))
    if token.text in _SYMBOLS:
        if not _is_symbol(reader, index, among_elements):
            return None
        return _with_free(reader, Item("symbol", (token.text,), index + 1))
    counts = parse_formula(token.text)
    if counts is None:
        return None
    return Item("formula", tuple(counts), index + 1, counts=tuple(counts.items()))


def suggest_element(word: str) -> str | None:
    """The element whose name a word seems to misspell, None for other words."""
    if len(word) < 5 or not word.isalpha():
        return None
    near = [name for name in ELEMENT_NAMES if abs(len(name) - len(word)) <= 2]
    match = difflib.get_close_matches(word.lower(), near, n=1, cutoff=0.84)
    return match[0] if match else None


def looks_like_symbol(word: str) -> bool:
    """Whether a word has the shape of a symbol, is none, and is no English word of two letters."""
    return bool(re.fullmatch(r"[A-Z][a-z]", word)) and word not in _SYMBOLS and word.lower() not in TWO_LETTER_WORDS


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


def _group(reader: Reader, index: int) -> Item | None:
    for words in sorted(GROUPS, key=len, reverse=True):
        if end := reader.phrase(index, words):
            while reader.low(end) in {"element", "elements", "metal", "metals"}:
                end += 1
            return _with_free(reader, Item("group", GROUPS[words], end))
    return None


def _with_free(reader: Reader, item: Item) -> Item:
    if reader.low(item.end) == "free" and reader.low(item.end + 1) != "of":
        return Item(item.source, item.elements, item.end + 1, "free")
    return item


def _glued(reader: Reader, start: int, end: int) -> Item | None:
    """A hyphenated run: a system (`Li-P-S`, `lithium-sulfur`, `Li2S-P2S5`), with or without a suffix."""
    words = [reader.tokens[k].text for k in range(start, end)]
    suffix = words.pop().lower() if words[-1].lower() in _SUFFIXES else ""
    elements: list[str] = []
    strange: list[str] = []
    for word in words:
        if word in _SYMBOLS:
            elements.append(word)
        elif word.lower() in ELEMENT_NAMES:
            elements.append(ELEMENT_NAMES[word.lower()])
        elif counts := parse_formula(word):
            elements.extend(counts)
        else:
            strange.append(word)
    if strange:
        looks = [word for word in strange if re.fullmatch(r"[A-Z][a-z]?", word)]
        if elements and len(looks) == len(strange):
            raise GoalError(f"'{looks[0]}' in '{reader.words(start, end)}' is not an element.", "Check the symbol.")
        misspelt = [(word, name) for word in strange if (name := suggest_element(word))]
        if (elements or suffix) and misspelt and len(misspelt) == len(strange):
            raise GoalError(f"'{misspelt[0][0]}' is not an element.", f"Did you mean {misspelt[0][1]}?")
        return None
    if not elements:
        return None
    unique = tuple(dict.fromkeys(elements))
    if len(words) == 1 and (counts := parse_formula(words[0])) and words[0] not in _SYMBOLS:
        return Item("formula", unique, end, suffix, tuple(counts.items()))
    source: Source = "system" if len(words) > 1 else "symbol" if words[0] in _SYMBOLS else "name"
    return Item(source, unique, end, suffix)


def _is_symbol(reader: Reader, index: int, among_elements: bool) -> bool:
    """Whether a word that equals a symbol is meant as one."""
    text = reader.tokens[index].text
    if text in AMBIGUOUS_AFTER_NUMBER and (before := reader.token(index - 1)) and before.kind == "number":
        return False
    if text not in AMBIGUOUS_SYMBOLS:
        return True
    if among_elements:
        return True
    following = reader.token(index + 1)
    joint = reader.low(index + 1) in {",", "and", "or", "&", "+", "/"}
    other = reader.token(index + 2 if joint else index + 1)
    followed = other is not None and (other.text in _SYMBOLS - AMBIGUOUS_SYMBOLS or other.low in ELEMENT_NAMES)
    if not followed or following is None:
        return False
    return joint or (text != "I" and not reader.sentence_start(index))
