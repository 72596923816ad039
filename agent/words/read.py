"""A request in words to a `Request`, and the words that changed nothing."""

from __future__ import annotations

from collections.abc import Sequence

from ...tools.core.elements import split_words
from ...tools.core.errors import GoalError
from .formulas import looks_like_symbol, suggest_element
from .islands import Clause, clauses
from .lexer import MARK, WORD, Lexeme, tokenise
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
    EQUALS DASH EXTREME SPACE_GROUP TIMES_AS_IMPORTANT
    """
    )
)
"""Tokens that say nothing when they stand alone."""
_NAMING = frozenset({"CONTAINING", "WITHOUT", "MADE_OF", "ONLY"})
_GENERAL = frozenset({"with", "using", "having", "no", "not", "but no", "with no", "among", "without"})
_OF_CLASS = frozenset({"CLASS", "ANY_CLASS", "COMPOUND"})


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
    _check_spelling(tokens, left, request)
    return request, _unused(text, tokens, left)


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
            request.questions.append((f"'{token.text}' is no element that I know. What is meant?", "it is left out"))


def _where_an_element_stands(tokens: Sequence[Lexeme], index: int) -> bool:
    """`oxides of unobtainium`, `containing kryptonite`."""
    before = tokens[index - 1] if index else None
    if before is None:
        return False
    if before.kind in _NAMING:
        return before.text.lower() not in _GENERAL
    of = before.kind == FILLER and before.text.lower() == "of" and index > 1
    first = tokens[index - 2] if of else before
    inflected = not tokens[index].text.isascii()
    return first.kind in _OF_CLASS and (of or inflected)


def _unused(text: str, tokens: Sequence[Lexeme], left: set[int]) -> tuple[str, ...]:
    """The user's words, neighbours joined."""
    pieces: list[tuple[int, int]] = []
    for index in sorted(left):
        token = tokens[index]
        if pieces and not text[pieces[-1][1] : token.start].strip(" \t\n-/"):
            pieces[-1] = (pieces[-1][0], token.end)
        else:
            pieces.append((token.start, token.end))
    return tuple(dict.fromkeys(text[start:end] for start, end in pieces))
