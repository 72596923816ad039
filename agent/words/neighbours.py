"""Tokens that change each other's meaning: spelled numbers, hyphens, and word orders that the grammar cannot take.

The grammar reads `without Pb` and `containing Li`. Where a language may put the word last (`Pb excluded`, `铅除外`,
`свинца быть не должно`), an empty token is put before the list that the last word is about, so that it is one clause.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ...tools.core.elements import split_words
from .lexeme import JOINTS, MARK, Lexeme
from .lexicon import FILLER
from .names import PROTOTYPE_FORMULAS

_LISTED = frozenset(split_words("ELEMENT GROUP CLASS ANY_CLASS COMPOUND"))
_TAKES_A_LIST = frozenset(split_words("CONTAINING MADE_OF ONLY CLASS ANY_CLASS COMPOUND SITE ONE_OF HITS"))
_AFTER_LIST = {"EXCLUDED": "BARRED", "PRESENT": "HELD", "ONE_OF_THEM": "CHOSEN", "PERMITTED": "GRANTED"}
_BEFORE_COLON = frozenset(
    split_words(
        """
    PROPERTY EVALS BUDGET SEED ROUNDS ATOMS KINDS HITS SAMPLES MONEY CORE_HOURS TIME EVALUATOR PATIENCE WEIGHT WITHOUT
    CONTAINING ONLY MADE_OF SPACE_GROUP EXTREME ONE_OF PARETO
    """
    )
)
_OPEN_ENDS = {"OR_MORE": "GT", "OR_LESS": "LT"}
_ENDS = {
    "max": "OR_LESS", "maximum": "OR_LESS", "tops": "OR_LESS", "at most": "OR_LESS", "at the most": "OR_LESS",
    "at maximum": "OR_LESS", "максимум": "OR_LESS", "не больше": "OR_LESS", "не более": "OR_LESS", "最多": "OR_LESS",
    "min": "OR_MORE", "minimum": "OR_MORE", "at least": "OR_MORE", "минимум": "OR_MORE", "не меньше": "OR_MORE",
    "не менее": "OR_MORE", "как минимум": "OR_MORE", "封顶": "OR_LESS", "为限": "OR_LESS", "为上限": "OR_LESS",
    "at a minimum": "OR_MORE", "или больше": "OR_MORE", "至多": "OR_LESS", "起步": "OR_MORE",
}  # fmt: skip
"""Comparisons that may stand behind what they are about."""
_FROM = frozenset({"от", "from", "从"})
_COUNTED = frozenset(split_words("NUMBER UNIT EVALS EVALUATOR ROUNDS ATOMS KINDS HITS SAMPLES CORE_HOURS MONEY TIME"))
_SHORTENED = frozenset({"max", "min", "approx", "no", "макс", "мин", "ок", "тыс", "пр", "гр"})
_COUNTS = frozenset(split_words("TIME"))


def settle(found: list[Lexeme], text: str) -> list[Lexeme]:
    """The tokens as the grammar takes them."""
    steps: tuple[Callable[[list[Lexeme], str], list[Lexeme]], ...] = (
        _numbers, _halves, _hyphens, _colons, _extremes, _types, _turned,
    )  # fmt: skip
    for step in steps:
        found = step(found, text)
    return found


def _spelled(token: Lexeme) -> bool:
    return token.kind == "NUMBER" and token.text[:1].isalpha()


def _numbers(found: list[Lexeme], text: str) -> list[Lexeme]:
    """`forty-five`, `a hundred and twenty`, `2 thousand`, `сорок пять` as one number."""
    out: list[Lexeme] = []
    index = 0
    while index < len(found):
        token = found[index]
        joined = False
        hyphen = len(out) > 1 and out[-1].kind == "DASH" and text[out[-2].end : token.start] == "-"
        if hyphen and _spelled(token) and _spelled(out[-2]) and _composed(out[-2], token) is not None:
            out.pop()
        if out and _spelled(token) and out[-1].kind in ("NUMBER", "AND"):
            with_and = out[-1].kind == "AND" and len(out) > 1 and out[-2].value in (100, 1000)
            first = out[-2] if with_and else out[-1]
            gap = text[out[-1].end : token.start]
            near = len(gap) <= 1 and not gap.strip(" -")
            value = _composed(first, token) if near and first.kind == "NUMBER" else None
            if value is not None:
                if with_and:
                    out.pop()
                out[-1] = Lexeme("NUMBER", value, first.start, token.end, text[first.start : token.end])
                joined = True
        if not joined:
            out.append(token)
        index += 1
    return out


def _composed(first: Lexeme, second: Lexeme) -> float | None:
    """The value of two number words in a row; None where they are two numbers."""
    a, b = float(first.value), float(second.value)
    if b in (10, 12, 100, 1000, 10000) and 0 < a < b and (b >= 100 or b == 12):
        return a * b  # three hundred, two dozen
    if not _spelled(first):
        return None
    if (a % 100 in (20, 30, 40, 50, 60, 70, 80, 90) and 0 < b < 10) or (a % 100 == 0 and a > 0 and 0 < b < 100):
        return a + b
    if a % 1000 == 0 and a > 0 and 0 < b < 1000:
        return a + b
    return None


def _halves(found: list[Lexeme], text: str) -> list[Lexeme]:
    """`two and a half days`, `a day and a half`, `两天半`."""
    out: list[Lexeme] = []
    for token in found:
        half = token.kind == "HALF" or (token.text == "半" and out and out[-1].kind == "TIME")
        if half and out and out[-1].kind == "NUMBER":
            out[-1] = replace(out[-1], value=out[-1].value + 0.5, end=token.end, text=text[out[-1].start : token.end])
        elif half and out and out[-1].kind == "DURATION":
            out[-1] = replace(out[-1], value=out[-1].value * 1.5, end=token.end, text=text[out[-1].start : token.end])
        elif half and len(out) > 1 and out[-1].kind in _COUNTS and out[-2].kind == "NUMBER":
            out[-2] = replace(out[-2], value=out[-2].value + 0.5)
            out[-1] = replace(out[-1], end=token.end, text=text[out[-1].start : token.end])
        elif token.kind != "HALF" or not out:
            out.append(token)
        else:
            out.append(replace(token, kind="WORD"))
    return out


def _hyphens(found: list[Lexeme], text: str) -> list[Lexeme]:
    """Hyphens between elements make a system, those and `~` between numbers a range; others mean nothing."""
    out: list[Lexeme] = []
    for index, token in enumerate(found):
        before = out[-1] if out else None
        after = found[index + 1] if index + 1 < len(found) else None
        if token.kind == "DASH" or token.text == "~":
            between = before is not None and after is not None
            numbers = between and before.kind in {"NUMBER", "UNIT"} and after.kind == "NUMBER"  # type: ignore[union-attr]
            if numbers:
                out.append(Lexeme("TO", None, token.start, token.end, token.text))
            elif token.kind != "DASH":
                out.append(token)
            continue
        glued = before is not None and text[before.end : token.start] == "-"
        if glued and before is not None and {token.kind, before.kind} <= {"ELEMENT", "SYSTEM"}:
            members = dict.fromkeys((*_members(before), *_members(token)))
            out[-1] = Lexeme("SYSTEM", tuple(members), before.start, token.end, text[before.start : token.end])
            continue
        out.append(token)
    return out


def _members(token: Lexeme) -> tuple[str, ...]:
    return token.value if token.kind == "SYSTEM" else (token.value,)


def _colons(found: list[Lexeme], _: str) -> list[Lexeme]:
    """A colon after what a number or a list belongs to says nothing: `samples: at most four`, `without: Pb, Cd`; one
    between numbers is a ratio."""
    out: list[Lexeme] = []
    for index, token in enumerate(found):
        last = out[-1] if out else None
        colon = token.kind == MARK and token.text == ":" and last and last.kind in _BEFORE_COLON
        stop = token.text == "." and last and last.text.lower() in _SHORTENED
        if last and last.kind == "NUMBER" and token.text in (":", "比") and found[index + 1 : index + 2]:
            ratio = found[index + 1].kind == "NUMBER"
            out.append(replace(token, kind="SLASH") if ratio else token)
            continue
        out.append(replace(token, kind=FILLER) if colon or stop else token)
    return out


def _next(found: Sequence[Lexeme], index: int) -> Lexeme | None:
    return next((t for t in found[index + 1 :] if t.kind != FILLER), None)


def _extremes(found: list[Lexeme], _: str) -> list[Lexeme]:
    """`a maximum of 20` compares, `maximum of bulk modulus` is an aim; `5 and above` ends, `and above 5` goes on."""
    out: list[Lexeme] = []
    for index, token in enumerate(found):
        if token.kind in ("LE", "GE") and token.value is not None:
            after = _next(found, index)
            if after is not None and after.kind == "PROPERTY":
                out.append(replace(token, kind="EXTREME"))
                continue
        if token.kind == "MOST_STABLE" and found[index + 1 : index + 2] and found[index + 1].kind == "PROPERTY":
            out.append(replace(token, kind="EXTREME", value=("minimise", False)))  # `lowest energy above the hull`
            continue
        behind = out and out[-1].kind in _COUNTED and token.text.lower() in _ENDS
        if behind and getattr(_next(found, index), "kind", "") not in ("PROPERTY", "NUMBER", "ADJECTIVE"):
            out.append(replace(token, kind=_ENDS[token.text.lower()]))  # `20 rounds max`
            continue
        if token.kind == "BETWEEN" and token.text.lower() in _FROM and _is_alone(found, index):
            out.append(replace(token, kind="GE"))
            continue
        if token.kind in _OPEN_ENDS and " " in token.text:
            after = _next(found, index)
            if after is not None and after.kind == "NUMBER":
                out.append(replace(token, kind=_OPEN_ENDS[token.kind]))
                continue
        out.append(token)
    return out


def _is_alone(found: Sequence[Lexeme], index: int) -> bool:
    """Whether one number follows, and no second: `от 300 ГПа`."""
    after = [t for t in found[index + 1 : index + 8] if t.kind != FILLER]
    kinds = [t.kind for t in after[:3]]
    if kinds[:1] != ["NUMBER"]:
        return False
    rest = kinds[2:] if kinds[1:2] == ["UNIT"] else kinds[1:]
    return kinds[1:2] == ["UNIT"] and (not rest or rest[0] not in ("TO", "UP_TO", "AND"))


def _types(found: list[Lexeme], text: str) -> list[Lexeme]:
    """`NaCl-type`, `NaCl型`, `типа NaCl`: a structure type by the formula of its mineral."""
    out: list[Lexeme] = []
    for index, token in enumerate(found):
        last = out[-1] if out else None
        after = _next(found, index)
        glued = last is not None and last.kind == "FORMULA" and not text[last.end : token.start].strip(" -")
        if token.kind == "TYPE" and glued and last is not None:
            out[-1] = _typed(replace(last, end=token.end, text=text[last.start : token.end]), last.text)
            continue
        if token.kind == "FORMULA" and last is not None and last.kind == "TYPE_OF":
            out[-1] = _typed(replace(last, end=token.end, text=text[last.start : token.end]), token.text)
            continue
        plain = token.kind == "TYPE" or (token.kind == "TYPE_OF" and (after is None or after.kind != "FORMULA"))
        out.append(replace(token, kind=FILLER) if plain else token)
    return out


def _typed(token: Lexeme, formula: str) -> Lexeme:
    name = PROTOTYPE_FORMULAS.get(formula)
    return replace(token, kind="PROTOTYPE" if name else "STRANGE_STRUCTURE", value=name)


def _turned(found: list[Lexeme], _: str) -> list[Lexeme]:
    """An empty token before the list that a word behind it is about."""
    marks: dict[int, str] = {}
    kinds = [t.kind for t in found]
    for index, token in enumerate(found):
        kind = token.kind
        after = _next(found, index)
        if kind == "WITHOUT" and token.value is True and (after is None or after.kind in (MARK, "COMMA")):
            kind = "EXCLUDED"  # `Pb、Cd不要`
        if kind not in _AFTER_LIST:
            continue
        start = _list_before(found, index, kind)
        if start is None:
            kinds[index] = FILLER if kind == "PERMITTED" else kind
            continue
        before = next((t for t in reversed(found[:start]) if t.kind != FILLER), None)
        if kind == "EXCLUDED" and before is not None and before.kind == "WITHOUT":
            kinds[index] = FILLER  # `除铅以外`: said twice
            continue
        kinds[index] = kind
        marks[start] = _AFTER_LIST[kind]
    out: list[Lexeme] = []
    for index, token in enumerate(found):
        if index in marks:
            out.append(Lexeme(marks[index], None, token.start, token.start, ""))
        out.append(replace(token, kind=kinds[index]) if kinds[index] != token.kind else token)
    return out


def _list_before(found: Sequence[Lexeme], index: int, kind: str) -> int | None:
    """Where the list of elements begins that ends right before a place; None where there is none."""
    start: int | None = None
    behind_commas: list[int] = []
    for at in range(index - 1, -1, -1):
        token = found[at]
        if token.kind in _LISTED:
            start = at
        elif token.kind == "COMMA" and start is not None:
            behind_commas.append(start)
        elif token.kind not in JOINTS and token.kind != FILLER:
            break
    if start is None:
        return None
    before = next((t for t in reversed(found[:start]) if t.kind != FILLER), None)
    if kind == "PERMITTED":
        alone = before is None or before.kind == MARK
        return behind_commas[0] if behind_commas else start if alone else None
    if kind == "ONE_OF_THEM" and before is not None and before.kind in ("CONTAINING", "MADE_OF"):
        return start
    belongs = before is not None and before.kind in _TAKES_A_LIST
    if behind_commas and (belongs or found[start].kind in ("CLASS", "ANY_CLASS", "COMPOUND")):
        # `oxides of Ti, Pb excluded`: what stands before the first comma belongs to what stands before it.
        return behind_commas[-1]
    if belongs and before is not None and before.kind not in ("HITS", "ONE_OF"):
        return None
    return start
