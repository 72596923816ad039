"""A request in words to a `Request`, and the words that changed nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...tools.core.elements import split_words
from ...tools.core.errors import GoalError
from .formulas import looks_like_symbol, suggest_element
from .islands import Clause, clauses
from .lexeme import JOINTS, MARK, WORD, Lexeme
from .lexer import tokenise
from .lexicon import FILLER
from .reading import Reading
from .request import Request
from .text import MAX_CHARACTERS, normalise

_MAX_SPELL_CHECKS = 300
_QUIET = frozenset(
    split_words(
        f"""
    {FILLER} {MARK} LE LT GE GT APPROX UP_TO OR_MORE OR_LESS BETWEEN TO AND BUT OR AGAINST MADE_OF ONLY CONTAINING
    BASED WITHOUT FREE COMPARED FIND AFTER STOP BEST BUDGET PATIENCE SEED HITS KINDS EVALS NO_GAIN COMMA SLASH
    EQUALS DASH EXTREME SPACE_GROUP TIMES_AS_IMPORTANT WEIGHT ENOUGH IN_A_ROW EXCLUDED BARRED PRESENT HELD ONE_OF
    ONE_OF_THEM CHOSEN CORRELATIVE FOLD GRANTED PERMITTED
    """
    )
)
"""Tokens that are not shown as unused when they stand alone."""
_HARMLESS = frozenset(
    split_words("TIME ROUNDS ATOMS SAMPLES MONEY CORE_HOURS WINS ARITY COLUMN AFTER USE ASIDE BUT BEST HALF PATIENCE")
)
"""Tokens that may be left over as words of small talk."""
_DECISIVE = frozenset(
    split_words(
        "WITHOUT FREE EXCLUDED PRESENT ONE_OF ONE_OF_THEM PERMITTED TIMES_AS_IMPORTANT WEIGHT FOLD NO_GAIN CORRELATIVE"
    )
)
"""Quiet tokens that cannot be passed over: without them the rest means something else."""
_NAMES_ONLY = frozenset({"CONTAINING", "MADE_OF", "ONLY"})
_GENERAL = frozenset(
    split_words("with using having among including includes include holding only из 由 包括 只 только")
)
_OF_CLASS = frozenset({"CLASS", "ANY_CLASS", "COMPOUND"})
_LIKE_AN_ELEMENT = re.compile(r"(?i)[a-z]{3,}(?:ium|gen|ine|um|on)|[а-яё]{4,}(?<!ен)(?<!ан)(?<!ств)(?:ия|ием|ию)")
_LIKE_A_CLASS = re.compile(r"(?i)[a-z]{4,}ides?|[а-яё]{4,}ид(?:ы|ов|а|ам|ами|ах)")
_NO_CLASS = frozenset(
    split_words("""
    beside besides inside outside provide provides decide decides guide guides divide divides aside worldwide
    nationwide coincide override alongside гид гиды вид вида видов виды
    """)
)
"""Ordinary words that end as classes of compounds do."""
_SHOWN_AROUND = 4
"""Loose words at each side that a question repeats."""
_POINTING = 1
"""Numbers in words up to this one may only point: `one of these days`."""
_COMPARES = frozenset({"LE", "LT", "GE", "GT", "UP_TO"})
_NEGATES = re.compile(r"(?i).*[不非无没勿别未禁].*|бе[зс]\w{5,}|\w+less|\w+n't")
_NOT_UNDERSTOOD = "it is left out"


def read(text: str) -> tuple[Request, tuple[str, ...]]:
    """Read a request.

    Args:
        text: what the user wrote, in English, Chinese or Russian, or a mixture.

    Returns:
        What it asks for, and the user's words that changed nothing.

    Raises:
        GoalError: for text that is empty, far too long, hides characters, is all capitals, or has an unknown element.
    """
    normal = checked(text)
    tokens = tokenise(normal)
    long_words = [w for w in normal.split() if len(w) >= 4 and w.isalpha()]
    if len(long_words) >= 2 and text.isupper():
        raise GoalError("The request is all in capitals, so element symbols cannot be told from words.",
                        "Write symbols as Na, Cl and words in lower case.")  # fmt: skip
    found = clauses(tokens)
    reading = Reading(text, tokens)
    request = reading.read(found)
    left = _left_over(tokens, found, reading.unread)
    unused = _pieces(text, tokens, left)
    _check_spelling(tokens, left, request)
    for words in _matters(text, tokens, found, reading):
        if not any(words in question for question, _ in request.questions):
            request.questions.append((f"'{words}' was not understood. What is meant?", _NOT_UNDERSTOOD))
    return request, unused


def checked(text: str) -> str:
    """Normalised text. Raises GoalError for what nobody should have to read: empty, far too long, hiding something."""
    if not text.strip():
        raise GoalError("The request is empty.", "Say what to look for, e.g. 'stable Li-P-S with a gap above 2 eV'.")
    if len(text) > MAX_CHARACTERS:
        raise GoalError(f"The request has {len(text)} characters.", f"Use at most {MAX_CHARACTERS}.")
    return normalise(text)


def _left_over(tokens: Sequence[Lexeme], found: Sequence[Clause], unread: set[int]) -> set[int]:
    taken = {index for clause in found for index in clause.taken}
    return {i for i, t in enumerate(tokens) if (i not in taken and t.kind not in _QUIET) or i in unread}


def _check_spelling(tokens: Sequence[Lexeme], left: set[int], request: Request) -> None:
    checked: set[str] = set()
    for index in sorted(left):
        token = tokens[index]
        if token.kind != WORD or token.text in checked:
            continue
        checked.add(token.text)
        if len(checked) > _MAX_SPELL_CHECKS:
            return
        if name := suggest_element(token.text):
            raise GoalError(f"'{token.text}' is not an element.", f"Did you mean {name}?")
        if looks_like_symbol(token.text):
            raise GoalError(f"'{token.text}' is not an element.", "Use a symbol of the periodic table, such as Li.")
        if _where_an_element_stands(tokens, index):
            request.questions.append((f"'{token.text}' is no element that I know. What is meant?", _NOT_UNDERSTOOD))


def _where_an_element_stands(tokens: Sequence[Lexeme], index: int) -> bool:
    """`oxides of unobtainium`, `containing kryptonite`, `оксиды каптония`."""
    before = tokens[index - 1] if index else None
    if before is None:
        return False
    if before.kind in _NAMES_ONLY:
        return before.text.lower() not in _GENERAL
    of = before.kind == FILLER and before.text.lower() == "of" and index > 1
    first = tokens[index - 2] if of else before
    if first.kind not in _OF_CLASS or not _LIKE_AN_ELEMENT.fullmatch(tokens[index].text):
        return False
    return of or not tokens[index].text.isascii()


def _matters(text: str, tokens: Sequence[Lexeme], found: Sequence[Clause], reading: Reading) -> list[str]:
    """The user's words that changed nothing and that may not be passed over: numbers, names, exclusions, choices."""
    taken = {index for clause in found for index in clause.taken}
    loose = {i for i in range(len(tokens)) if i not in taken or (i in reading.unread and i not in reading.aside_from)}
    weighty = {i for i in loose if _weighty(tokens, i, i in taken)}
    weighty |= _at_bare_elements(tokens, found, loose)
    # What is asked about is shown with the loose words around it.
    shown: set[int] = set()
    for index in weighty:
        shown.add(index)
        for step in (-1, 1):
            near = index + step
            while near in loose and tokens[near].kind not in (MARK, "COMMA") and abs(near - index) <= _SHOWN_AROUND:
                shown.add(near)
                near += step
    for index in sorted(weighty):
        token = tokens[index]
        alone = token.kind in _DECISIVE and not {index - 1, index + 1} & shown
        after = index + 1
        if alone and after < len(tokens) and tokens[after].kind not in (MARK, "COMMA"):
            shown.add(after)
    return list(_pieces(text, tokens, shown))


def _weighty(tokens: Sequence[Lexeme], index: int, refused: bool) -> bool:
    token = tokens[index]
    if token.kind in _DECISIVE:
        return True
    if token.kind == "NUMBER":
        in_digits = token.text[:1].isdigit() or token.text[:1] in "+-."
        compared = index > 0 and tokens[index - 1].kind in _COMPARES
        return in_digits or refused or compared or float(token.value) > _POINTING
    if token.kind == "EXTREME":
        return not token.value[1] and not token.text.isupper()
    if token.kind == WORD:
        like_class = _LIKE_A_CLASS.fullmatch(token.text) and token.text.lower() not in _NO_CLASS
        return bool(like_class or _NEGATES.fullmatch(token.text)) or any(c.isdigit() for c in token.text)
    if token.kind in _QUIET:
        return refused and token.kind != FILLER
    return token.kind not in _HARMLESS


def _at_bare_elements(tokens: Sequence[Lexeme], found: Sequence[Clause], loose: set[int]) -> set[int]:
    """Unknown words beside elements that are only named: `shun mercury` would else ask for mercury."""
    out: set[int] = set()
    for clause in found:
        kinds = {tokens[i].kind for i in clause.taken}
        if not kinds <= {"ELEMENT", "GROUP", *JOINTS}:
            continue
        for start, step in ((clause.start - 1, -1), (clause.end, 1)):
            at = start
            while 0 <= at < len(tokens) and tokens[at].kind == FILLER:
                at += step
            if at in loose and 0 <= at < len(tokens) and tokens[at].kind == WORD:
                out.add(at)
    return out


def _pieces(text: str, tokens: Sequence[Lexeme], left: set[int]) -> tuple[str, ...]:
    """The user's words, neighbours joined."""
    pieces: list[tuple[int, int]] = []
    for index in sorted(left):
        token = tokens[index]
        if pieces and not text[pieces[-1][1] : token.start].strip(" \t\n-/"):
            pieces[-1] = (pieces[-1][0], token.end)
        else:
            pieces.append((token.start, token.end))
    return tuple(dict.fromkeys(text[start:end] for start, end in pieces))
