"""Text to tokens, whatever the language: each with what it means and its place in the text.

At each place the first of these that fits: a hyphenated system, a symbol, a unit after a number, the longest phrase of
the lexicon, a formula, a number, and else a word that nobody knows.
"""

from __future__ import annotations

import math
import re
from typing import Any

from ...tools.core.elements import split_words
from ...tools.core.errors import GoalError
from ...tools.core.space_groups import NUMBER_OF
from ...tools.core.stoichiometry import parse_pattern
from .formulas import FORMULA, SYMBOL_SET, parse_formula, suggest_element
from .lexeme import JOINTS, MARK, WORD, Lexeme
from .lexicon import FILLER, PIECE, fold, lexicon
from .names import AMBIGUOUS_AFTER_NUMBER, AMBIGUOUS_SYMBOLS
from .neighbours import settle
from .text import mixed_script
from .units import unit_at

_PHRASE_PIECES = 9
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:[.][0-9]+)?(?:[eE][+-]?[0-9]+(?![A-Za-z]))?|\.[0-9]+"
)
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]+")
_CYRILLIC = re.compile(r"[Ѐ-ӿ]")
_GLUED = re.compile(r"(?:(?![\u3400-\u9fff])[^\W_])+(?:-(?:(?![\u3400-\u9fff])[^\W_])+){1,12}")
_SYMBOL = re.compile(r"[PIFABCR](?:-?[1-6](?:_[1-5])?|[mnabcde/])+(?![A-Za-z0-9])")
_SYMBOLS_ONLY = re.compile(r"(?:[A-Z][a-z]?[0-9]*)+")
_ASSIGNED = re.compile(r"\s*(?:=|为|是|∈)")
_SITE_WORD = re.compile(r"[ -]?sites?(?![a-z])|位置?|[ -]позици\w+")
_CHOSEN = re.compile(r"\s+(?:in|from|is|being|an?|are|из|это|-)\s")
"""Behind a letter that is no element: `A in Ca, Sr, Ba`."""
_CHINESE_NUMBER = re.compile(r"[〇零一二两三四五六七八九十百千万]+")
_POWER_AFTER_NUMBER = re.compile(r"[\^⁰¹²³⁴⁵⁶⁷⁸⁹⁻]")
_MARKS = {
    "<": "LT", ">": "GT", "<=": "LE", ">=": "GE", "≤": "LE", "≥": "GE", "=": "EQUALS", "==": "APPROX", "≈": "APPROX",
    "~": "APPROX", "±": "PLUS_MINUS", ",": "COMMA", "/": "SLASH", "+": "AND", "&": "AND", "€": "MONEY", "$": "MONEY",
    "£": "MONEY", "¥": "MONEY", "₽": "MONEY", "№": FILLER, "-": "DASH", "(": FILLER, ")": FILLER,
}  # fmt: skip
_SUFFIXES = frozenset(split_words("free based containing bearing rich system"))
_LOOKALIKES = frozenset(split_words("type like structured ion ray mesh doped"))
_NAMED = frozenset(split_words("ELEMENT SYSTEM GROUP FORMULA"))
_TYPES = frozenset(split_words("type structured"))
_LISTING = frozenset(split_words("ELEMENT SYSTEM GROUP FORMULA CONTAINING WITHOUT ONLY MADE_OF"))
_POWERS = {"十": 10, "百": 100, "千": 1000}
_DIGITS = dict(zip("一二两三四五六七八九", (1, 2, 2, 3, 4, 5, 6, 7, 8, 9), strict=True))


def tokenise(text: str) -> tuple[Lexeme, ...]:
    """Tokens of normalised text.

    Raises:
        GoalError: for a number that is not finite or a power, for an unknown element in a formula, and for a word that
            mixes scripts.
    """
    lexer = _Lexer(text)
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
        else:
            place = lexer.next(place)
    return tuple(settle(lexer.found, text))


class _Lexer:
    def __init__(self, text: str) -> None:
        self.text = text
        self.found: list[Lexeme] = []
        self._comma_is_point = bool(_CYRILLIC.search(text))

    def next(self, place: int) -> int:
        """Read one token at `place`; the place after it."""
        for reading in (
            self._space_group,
            self._glued,
            self._symbol,
            self._unit,
            self._phrase,
            self._formula,
            self._number,
            self._word,
        ):
            if end := reading(place):
                return end
        character = self.text[place]
        two = self.text[place : place + 2]
        mark = two if two in _MARKS else character
        return self._add(_MARKS.get(mark, MARK), mark, place, place + len(mark))

    def _add(self, kind: str, value: Any, start: int, end: int) -> int:
        self.found.append(Lexeme(kind, value, start, end, self.text[start:end]))
        return end

    def _last(self, back: int = 1) -> Lexeme | None:
        return self.found[-back] if len(self.found) >= back else None

    # --- chemistry -----------------------------------------------------------------------------

    def _glued(self, place: int) -> int | None:
        """`Li-P-S`, `锂-镧`, `lithium-sulfur`, `Li2S-P2S5`, `lead-free`, and what only looks like one (`Li-ion`)."""
        match = _GLUED.match(self.text, place)
        if not match or (place and self.text[place - 1].isalnum() and self.text[place - 1].isascii()):
            return None
        parts = match.group().split("-")
        elements: list[str] = []
        taken = 0
        for part in parts:
            found = self._elements_of(part)
            if not found:
                break
            elements += found
            taken += 1
        rest = parts[taken:]
        if taken and (not rest or rest[0].lower() in _SUFFIXES):
            end = place + len("-".join(parts[:taken]))
            unique = tuple(dict.fromkeys(elements))
            if taken == 1:
                return None  # one element and a suffix: two tokens
            return self._add("SYSTEM", unique, place, end)
        if rest and taken == 1 and rest[0].lower() in _TYPES and parts[0] not in SYMBOL_SET:
            return None
        if rest and rest[0].lower() in _LOOKALIKES and (taken or rest[0].lower() == "ion"):
            return self._add("ASIDE", match.group(), place, match.end())
        strange = [p for p in parts if not self._elements_of(p)]
        if elements and all(re.fullmatch(r"[A-Z][a-z]?", p) for p in strange):
            raise GoalError(f"'{strange[0]}' in '{match.group()}' is not an element.", "Check the symbol.")
        if elements and len(strange) == 1 and (name := suggest_element(strange[0])):
            raise GoalError(f"'{strange[0]}' is not an element.", f"Did you mean {name}?")
        return None

    def _elements_of(self, part: str) -> list[str]:
        if part in SYMBOL_SET:
            return [part]
        pieces = [fold(p.group()) for p in PIECE.finditer(part)]
        named: list[str] = []
        index = 0
        while index < len(pieces):
            match = lexicon().longest(pieces, index)
            if match is None or match[1][0] != "ELEMENT":
                break
            named.append(match[1][1])
            index += match[0]
        if named and index == len(pieces):
            return named
        return list(parse_formula(part) or ()) if part[:1].isupper() and part.isascii() else []

    def _site_end(self, letter: str, end: int) -> int | None:
        """Where a letter ends that stands for a site with elements given to it: `B = Ti or Zr`, `A in Ca, Sr`."""
        stands_for_any = letter not in SYMBOL_SET or re.search(rf"(?<![A-Za-z])A[0-9]?{letter}", self.text)
        named = _SITE_WORD.match(self.text, end)
        if named and stands_for_any:
            end = named.end()
        if _ASSIGNED.match(self.text, end):
            return end
        if named and stands_for_any:
            return end
        chosen = _CHOSEN.match(self.text, end)
        return chosen.end() if chosen and stands_for_any else None

    def _symbol(self, place: int) -> int | None:
        match = PIECE.match(self.text, place)
        if match and re.fullmatch("[A-Z]", match.group()) and (end := self._site_end(match.group(), match.end())):
            return self._add("SITE", match.group(), place, end)
        if not match or match.group() not in SYMBOL_SET or not self._is_symbol(match.group(), match.end()):
            return None
        if place and self.text[place - 1].isdigit():
            return None
        formula = FORMULA.match(self.text, place)
        if formula and formula.end() > match.end():
            return None
        return self._add("ELEMENT", match.group(), place, match.end())

    def _is_symbol(self, text: str, end: int) -> bool:
        """Whether a word that equals a symbol is meant as one."""
        last = self._last()
        if text in AMBIGUOUS_AFTER_NUMBER and last is not None and last.kind == "NUMBER":
            return False
        if text not in AMBIGUOUS_SYMBOLS or re.match(rf"-(?:{'|'.join(sorted(_SUFFIXES))})\b", self.text[end:]):
            return True
        if last is not None and last.kind in _NAMED and re.match(r"\s+[a-z']{2,}", self.text[end:]):
            return False  # `For Al-Ti-B I would like …`
        before = next((t for t in reversed(self.found) if t.kind not in JOINTS), None)
        if before is not None and before.kind in _LISTING and not (last and last.kind == MARK):
            return True
        following = re.match(r"\s*(,|and\b|or\b|&|\+|/)?\s*([^\W\d_]+)", self.text[end : end + 40])
        if following is None:
            return False
        joint, other = following.groups()
        if not (other in SYMBOL_SET - AMBIGUOUS_SYMBOLS or self._elements_of(other)):
            return False
        starts = last is None or last.kind == MARK
        return bool(joint) or (text != "I" and not starts)

    def _formula(self, place: int) -> int | None:
        match = FORMULA.match(self.text, place)
        if not match or (place and self.text[place - 1].isalnum() and self.text[place - 1].isascii()):
            return None
        word = match.group()
        if self.text[match.end() : match.end() + 1].isalpha() and self.text[match.end()].isascii():
            return None
        pattern = parse_pattern(word)
        if pattern and (word in {"ABC", "ABX", "AB", "AX", "MX"} or any(c.isdigit() for c in word)):
            return self._add("PATTERN", pattern, place, match.end())
        counts = parse_formula(word)
        if counts is None:
            return None
        if word in SYMBOL_SET:
            return None
        return self._add("FORMULA", counts, place, match.end())

    # --- words and numbers ---------------------------------------------------------------------

    def _phrase(self, place: int) -> int | None:
        pieces, ends = self._pieces(place)
        if not pieces:
            return None
        match = lexicon().longest(pieces, 0)
        numeral = _CHINESE_NUMBER.match(self.text, place)
        if numeral and (match is None or match[0] <= len(numeral.group())):
            return self._add("NUMBER", _chinese_number(numeral.group()), place, numeral.end())
        if match is None:
            return None
        length, (kind, value) = match
        end = ends[length - 1]
        said = self.text[place:end]
        if kind == "DIMENSION" and said[:1].isdigit() and not self._is_label(said, end):
            return None
        if kind == "TIME" and said in "hdsHDSчдсЧДС" and not self._is_time(said, end):
            return self._add(FILLER, None, place, end) if said in "сС" else None
        if kind == "TIME" and fold(said) == "min" and not self._after_number():
            kind, value = "EXTREME", ("minimise", False)
        return self._add(kind, value, place, end)

    def _after_number(self) -> bool:
        last = self._last()
        return last is not None and last.kind == "NUMBER"

    def _space_group(self, place: int) -> int | None:
        """`Fm-3m`, `P6_3/mmc`; one that could be a formula only after the words `space group`."""
        match = _SYMBOL.match(self.text, place)
        number = NUMBER_OF.get(match.group().replace("_", "")) if match else None
        if match is None or number is None:
            return None
        last = self._last()
        named = last is not None and last.kind == "SPACE_GROUP"
        if not named and not (len(match.group()) > 3 and not _SYMBOLS_ONLY.fullmatch(match.group())):
            return None
        return self._add("HM", number, place, match.end())

    def _pieces(self, place: int) -> tuple[list[str], list[int]]:
        """Pieces of a phrase that may begin here, and where each ends; only spaces and hyphens may part them."""
        pieces: list[str] = []
        ends: list[int] = []
        at = place
        while len(pieces) < _PHRASE_PIECES and (match := PIECE.match(self.text, at)):
            pieces.append(fold(match.group()))
            ends.append(match.end())
            at = match.end()
            while at < len(self.text) and self.text[at] in " -_":
                at += 1
            if "  -" in self.text[match.end() : at] or self.text[match.end() : at].count("-") > 1:
                break
        return pieces, ends

    def _is_label(self, said: str, end: int) -> bool:
        """Whether `2D` is a dimensionality and no time."""
        return said.isupper() or bool(re.match(r"[ -](?!and\b|or\b|for\b|in\b)[^\W\d_]", self.text[end:]))

    def _is_time(self, said: str, end: int) -> bool:
        """Whether `h`, `d` or `s` is a time: after a number, and no label such as `4H-SiC`."""
        return self._after_number() and not said.isupper() and self.text[end : end + 1] != "-"

    def _number(self, place: int) -> int | None:
        before = self.text[place - 1 : place]
        if self.text[place] in "+-" and ((before.isascii() and before.isalnum()) or before == ")"):
            return None
        match = (self._comma_is_point and _DECIMAL_COMMA.match(self.text, place)) or _NUMBER.match(self.text, place)
        if not match:
            return None
        word = match.group()
        comma = word.count(",") == 1 and self._comma_is_point
        value = float(word.replace(",", "." if comma else ""))
        if not math.isfinite(value):
            shown = word if len(word) <= 20 else f"{word[:17]}..."
            raise GoalError(f"'{shown}' is not a finite number.", "Give a number that fits in ordinary arithmetic.")
        if _POWER_AFTER_NUMBER.match(self.text, match.end()):
            raise GoalError(f"A power after '{word}' cannot be read.", "Write it as 1000 or 1e3.")
        return self._add("NUMBER", value, place, match.end())

    def _unit(self, place: int) -> int | None:
        last = self._last()
        if last is None or last.kind != "NUMBER" or self.text[last.end : place].strip():
            return None
        found = unit_at(self.text, place)
        return self._add("UNIT", found[0], place, found[1]) if found else None

    def _word(self, place: int) -> int | None:
        match = PIECE.match(self.text, place)
        if not match:
            return None
        end = match.end()
        word = match.group()
        if word.lower() in {"nan", "inf", "infinity"}:
            raise GoalError(f"'{word}' is not a number that can be worked with.", "Give finite numbers.")
        if mixed_script(word):
            raise GoalError(f"'{word}' mixes letters of two alphabets.", "Type it again, symbols in Latin letters.")
        if not word.isascii() and len(word) == 1 and not self._comma_is_point:
            # Chinese: go on until something is known again.
            while end < len(self.text) and (more := PIECE.match(self.text, end)) and len(more.group()) == 1:
                pieces, _ = self._pieces(end)
                if more.group().isascii() or lexicon().longest(pieces, 0):
                    break
                end = more.end()
        return self._add(WORD, self.text[place:end], place, end)


def _chinese_number(text: str) -> float:
    """`三十五`, `一百零五`, `一万二千`; digits in a row are read one by one (`二〇`)."""
    if len(text) > 1 and not set(text) & {"十", "百", "千", "万"}:
        return float("".join(str(_DIGITS.get(character, 0)) for character in text))
    total, part, digit = 0, 0, 0
    for character in text:
        if character in _DIGITS:
            digit = _DIGITS[character]
        elif character == "万":
            total, part, digit = total + (part + digit or 1) * 10_000, 0, 0
        elif character in _POWERS:
            part += (digit or 1) * _POWERS[character]
            digit = 0
    return float(total + part + digit)
