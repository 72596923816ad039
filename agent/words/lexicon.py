"""What phrases mean, in three languages at once: one trie, filled from the files in `data/` and from the catalogue.

A phrase is a row of pieces: a word of an alphabet, or one Chinese character. The longest phrase wins.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from importlib.resources import files
from typing import Any

from ...tools.core.elements import ELEMENT_CLASSES, SYMBOLS
from ...tools.core.properties import CATALOGUE, UNAVAILABLE
from .names import ENGLISH_NAMES

LANGUAGES = ("en", "zh", "ru")
_HAN = r"\u3400-\u9fff\U00020000-\U0003134f"
_LETTER = rf"(?:(?![{_HAN}])[^\W_])"
PIECE = re.compile(rf"[{_HAN}]|{_LETTER}+(?:\.(?=[^\W\d_]){_LETTER}+)?(?:'{_LETTER}+)*")
"""A Chinese character, or a word."""

_RUSSIAN_SINGULAR = ("", "а", "у", "ом", "е", "ная", "ный", "ное", "ного", "ной", "ную", "ным", "ном")
_RUSSIAN_PLURAL = ("ы", "ов", "ам", "ами", "ах", "ные", "ных", "ным", "ными")
_RUSSIAN_IY = ("и", "ий", "ия", "ию", "ием", "ии", "иев*")
"""Endings of elements such as `калий`; a bare stem would take `калибровка` for one."""

MULTIPLES: dict[str, dict[str, tuple[int, int]]] = {
    "en": {
        "mono": (1, 1), "di": (1, 2), "tri": (1, 3), "tetra": (1, 4), "penta": (1, 5), "hexa": (1, 6),
        "sesqui": (2, 3),
    },
    "ru": {"моно": (1, 1), "ди": (1, 2), "три": (1, 3), "тетра": (1, 4), "пента": (1, 5), "гекса": (1, 6)},
    "zh": {"一": (1, 1), "二": (1, 2), "三": (1, 3), "四": (1, 4), "五": (1, 5), "六": (1, 6)},
}  # fmt: skip
"""Prefix of a class of compounds to the numbers of metal and non-metal atoms: `dioxide`, `диоксид`, `二氧化`."""

FILLER = "FILLER"
OTHERS = "others"
"""Value of words that leave out all of a class but what is named: `no other rare earths`."""
Meaning = tuple[str, Any]
"""Type of a token, and its value."""


@dataclass
class _Node:
    exact: dict[str, _Node] = field(default_factory=dict)
    stems: dict[str, _Node] = field(default_factory=dict)
    meaning: Meaning | None = None


class Lexicon:
    """Phrases and their meanings."""

    def __init__(self) -> None:
        self._root = _Node()
        self.multiples: dict[str, tuple[int, int]] = {}
        """Folded phrase to the numbers of metal and non-metal atoms that it says."""

    def add(self, phrases: str | tuple[str, ...], kind: str, value: Any = None) -> None:
        """Enter phrases (or one text of them, parted by ` | `); what stands already is kept."""
        if isinstance(phrases, str):
            phrases = tuple(p.strip() for p in phrases.split(" | "))
        for phrase in phrases:
            node = self._root
            for piece in _pieces_of(phrase):
                stem = piece.endswith("*")
                table = node.stems if stem else node.exact
                node = table.setdefault(piece.rstrip("*"), _Node())
            if node.meaning is None:
                node.meaning = (kind, value)

    def longest(self, pieces: list[str], start: int) -> tuple[int, Meaning] | None:
        """(number of pieces, meaning) of the longest phrase that begins at `start`."""
        found: tuple[int, Meaning] | None = None
        here = [self._root]
        for index in range(start, len(pieces)):
            here = [follower for node in here for follower in _followers(node, pieces[index])]
            if not here:
                break
            meanings = [node.meaning for node in here if node.meaning]
            if meanings:
                found = index - start + 1, min(meanings, key=lambda m: m[0] == FILLER)
        return found


def _followers(node: _Node, piece: str) -> list[_Node]:
    found = [node.exact[piece]] if piece in node.exact else []
    if node.stems:
        # The longest stem that fits says most about the word.
        found += [node.stems[piece[:n]] for n in range(len(piece), 0, -1) if piece[:n] in node.stems]
    return found


def _pieces_of(phrase: str) -> list[str]:
    text = fold(phrase)
    return [
        match.group() + ("*" if text[match.end() : match.end() + 1] == "*" else "") for match in PIECE.finditer(text)
    ]


def fold(text: str) -> str:
    """As phrases are compared: lower case, `ё` as `е`."""
    return text.lower().replace("ё", "е")


@cache
def lexicon() -> Lexicon:
    """All phrases. What is entered first wins where two languages, or two tables, hold the same words."""
    found = Lexicon()
    tables = {language: _table(language) for language in LANGUAGES}
    for row in CATALOGUE.values():
        found.add((row.name, row.label), "PROPERTY", row.name)
        for synonyms in row.synonyms.values():
            found.add(synonyms, "PROPERTY", row.name)
    for name in UNAVAILABLE:
        for table in tables.values():
            found.add(table["unavailable"][name], "UNAVAILABLE", name)
    for name, symbol in ENGLISH_NAMES.items():
        found.add((name,), "ELEMENT", symbol)
    for language, table in tables.items():
        _add_chemistry(found, language, table)
        _add_numbers(found, table)
        for kind, phrases in table["terminals"].items():
            found.add(phrases, kind)
            if language == "en" and kind in ("LE", "GE"):
                # `but no more than` must not begin as `but no …`, which leaves out.
                found.add(tuple(f"but {p.strip()}" for p in phrases.split("|")), kind)
    for table in tables.values():
        found.add(tuple(table["filler"]["words"].split()), FILLER)
    return found


def _table(language: str) -> dict[str, Any]:
    text = (files(__package__) / "data" / f"{language}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _add_chemistry(found: Lexicon, language: str, table: dict[str, Any]) -> None:
    elements = table.get("elements", {})
    if language == "zh":
        elements = dict(zip(SYMBOLS, elements["all"].split(), strict=True))
    for symbol, phrases in elements.items():
        if language == "ru":
            _add_russian_element(found, symbol, tuple(p.strip() for p in phrases.split(" | ")))
        else:
            found.add(phrases, "ELEMENT", symbol)
    for name, phrases in table["prototypes"].items():
        found.add(_plurals(language, phrases), "PROTOTYPE", name)
    for key, kind in (("classes", "CLASS"), ("any_of_classes", "ANY_CLASS")):
        for members, phrases in table[key].items():
            value = ELEMENT_CLASSES[members] if kind == "ANY_CLASS" else tuple(members.split("-"))
            _add_class(found, language, phrases, kind, value)
    for members, phrases in table.get("compounds", {}).items():
        found.add(phrases, "COMPOUND", tuple(members.split("-")))
        for word in (p.strip() for p in phrases.split(" | ")):
            for prefix, (metal, other) in MULTIPLES[language].items():
                _add_multiple(found, f"{prefix}{word}", "COMPOUND", tuple(members.split("-")), (metal, other))
                # 三氧化二铝: two of the element that follows.
                _add_multiple(found, f"{prefix}{word}二", "COMPOUND", tuple(members.split("-")), (2, other))
    for symbol, phrases in table.get("free_of", {}).items():
        found.add(phrases, "FREE_OF", (symbol,))
    for key, kind in (("groups", "GROUP"), ("non_groups", "NON_GROUP"), ("only_groups", "ONLY_GROUP")):
        for name, phrases in table[key].items():
            found.add(phrases, kind, ELEMENT_CLASSES[name])
    for key, kind in (("crystal_systems", "CRYSTAL_SYSTEM"), ("evaluators", "EVALUATOR"), ("uses", "USE")):
        for name, phrases in table[key].items():
            found.add(phrases, kind, name)
    for name, phrases in table["dimensionality"].items():
        found.add(phrases, "DIMENSION", int(name))
    for name, phrases in table["centrosymmetric"].items():
        found.add(phrases, "CENTRE", name == "true")


def _add_russian_element(found: Lexicon, symbol: str, phrases: tuple[str, ...]) -> None:
    for phrase in phrases:
        stem = phrase.rstrip("*")
        if phrase.endswith("и*"):
            found.add(tuple(stem[:-1] + ending for ending in _RUSSIAN_IY), "ELEMENT", symbol)
        else:
            found.add((phrase,), "ELEMENT", symbol)
        bearing = tuple(stem + link + "содержащ*" for link in ("", "й", "о"))
        found.add(bearing, "BEARING", (symbol,))


def _add_multiple(found: Lexicon, phrase: str, kind: str, value: tuple[str, ...], numbers: tuple[int, int]) -> None:
    found.add((phrase,), kind, value)
    found.multiples.setdefault(fold(phrase), numbers)


def _add_class(found: Lexicon, language: str, phrases: str, kind: str, value: tuple[str, ...]) -> None:
    """A class of compounds: many (`oxides`), or, where the language can say so, one (`zinc oxide`)."""
    words = tuple(p.strip() for p in phrases.split(" | "))
    if len(value) == 1 or kind == "ANY_CLASS":
        one = "COMPOUND" if kind == "CLASS" else kind
        for word in words:
            for prefix, numbers in MULTIPLES[language].items():
                # An o swallows the vowel before it: monoxide, pentoxide.
                stem = prefix.rstrip("ao") + word if language == "en" and word.startswith("o") else prefix + word
                for form in {stem, prefix + word}:
                    if language == "en":
                        _add_multiple(found, f"{form}s", kind, value, numbers)
                        _add_multiple(found, form, one, value, numbers)
                    elif language == "ru":
                        for endings, what in ((_RUSSIAN_PLURAL, kind), (_RUSSIAN_SINGULAR, one)):
                            for ending in endings:
                                _add_multiple(found, form + ending, what, value, numbers)
                    else:
                        _add_multiple(found, form, kind, value, numbers)
    for word in words:
        if language == "en":
            found.add((f"{word}s",), kind, value)
            found.add((word,), "COMPOUND" if kind == "CLASS" else kind, value)
        elif language == "ru":
            found.add(tuple(word + ending for ending in _RUSSIAN_PLURAL), kind, value)
            found.add(
                tuple(word + ending for ending in _RUSSIAN_SINGULAR), "COMPOUND" if kind == "CLASS" else kind, value
            )
        else:
            found.add((word,), kind, value)


def _add_numbers(found: Lexicon, table: dict[str, Any]) -> None:
    for value, phrases in table["durations"].items():
        found.add(phrases, "DURATION", float(value))
    for value, phrases in table["numbers"].items():
        found.add(phrases, "NUMBER", float(value))
    for value, phrases in table["times"].items():
        found.add(phrases, "TIME", float(Fraction(value)))
    for value, phrases in table["core_times"].items():
        found.add(phrases, "CORE_HOURS", float(Fraction(value)))
    for value, phrases in table["multiples"].items():
        found.add(phrases, "TIMES_AS_IMPORTANT", float(value))
    for value, phrases in table["arity"].items():
        found.add(phrases, "ARITY", int(value))
    for what, phrases in table["adjectives"].items():
        found.add(phrases, "ADJECTIVE", tuple(what.split()))
    for what, phrases in table["extremes"].items():
        direction, _, vague = what.partition("_")
        found.add(phrases, "EXTREME", (direction, bool(vague)))
    found.add(table["without_others"]["words"], "WITHOUT", OTHERS)
    for direction, phrases in table["correlatives"].items():
        found.add(phrases, "CORRELATIVE", (direction, False))
    for kind, direction in (("LE", "maximise"), ("GE", "minimise")):
        found.add(table["extreme_or_bound"][kind], kind, (direction, False))
    for kind, phrases in table["on_either_side"].items():
        found.add(phrases, kind, True)


def _plurals(language: str, phrases: str) -> tuple[str, ...]:
    words = tuple(p.strip() for p in phrases.split(" | "))
    return (*words, *(f"{w}s" for w in words)) if language == "en" else words
