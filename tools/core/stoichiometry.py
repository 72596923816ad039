"""Formulas with letters for sites (`ABX3`, `A2BO4`): reading them, and what fits them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import gcd

from .elements import SYMBOLS

Pattern = tuple[tuple[str, int], ...]
"""Letter of a site, or symbol of an element, and its number."""

_SYMBOLS = frozenset(SYMBOLS)
_PIECE = re.compile(r"([A-Z][a-z]?)([0-9]*)")
_PATTERN = re.compile(r"(?:[A-Z](?:[a-z](?![a-z]))?[0-9]{0,2}){2,6}")
_SITES = frozenset("AMXRLQZGEDJT")
"""Letters of anonymous formulas that are no symbols of elements."""


def parse_pattern(text: str) -> Pattern | None:
    """Sites and counts of an anonymous formula (`ABX3`, `A2BO4`), None when the text is not one.

    It is one when a letter that is no element stands in it (`A`, `M`, `X`, …) and every other piece is an element or
    the next letter after `A`: in `AB2O4`, B is a site and O is oxygen.
    """
    if not _PATTERN.fullmatch(text):
        return None
    pieces = [(symbol, int(digits or 1)) for symbol, digits in _PIECE.findall(text)]
    letters = [symbol for symbol, _ in pieces]
    if not set(letters) & _SITES or len(set(letters)) != len(letters):
        return None
    for symbol in letters:
        if not _is_site(symbol, letters) and symbol not in _SYMBOLS:
            return None
    return tuple(pieces)


def sites_of(pattern: Pattern) -> tuple[str, ...]:
    """The letters of a pattern that stand for any element."""
    letters = [symbol for symbol, _ in pattern]
    return tuple(s for s in letters if _is_site(s, letters))


def _is_site(symbol: str, letters: list[str]) -> bool:
    """B, C and Y are sites only in a row of letters (`ABX3`, `ABC`, `X2YZ`); in `M2AC` C is carbon."""
    rows = {"B": {"A"}, "C": {"A", "B"}, "Y": {"Z"}}
    return symbol in _SITES or (symbol in rows and rows[symbol] <= set(letters))


def fits_pattern(pattern: str, amounts: Mapping[str, int]) -> bool:
    """Whether a composition has a stoichiometry: named elements in their numbers, the letters by any others."""
    pieces = parse_pattern(pattern)
    if pieces is None or len(pieces) != len(amounts):
        return False
    letters = set(sites_of(pieces))
    divisor, theirs = gcd(*(n for _, n in pieces)), gcd(*amounts.values())
    reduced = {symbol: n // theirs for symbol, n in amounts.items()}
    named = {symbol: n // divisor for symbol, n in pieces if symbol not in letters}
    if any(reduced.get(symbol) != n for symbol, n in named.items()):
        return False
    rest = sorted(n for symbol, n in reduced.items() if symbol not in named)
    return rest == sorted(n // divisor for symbol, n in pieces if symbol in letters)
