"""The grammar: the rules in the order they are tried at each place of a request, and what may not be left over.

    request  := (aside | phrase | filler)*
    phrase   := stability | wanted | number-of | counted | property | value-first | adjective | arity
              | anything | exclusion | inclusion | evaluator | bare chemistry

One pass from left to right; the first rule that applies takes its words. Nothing is converted or checked for
sense here: `goal.py` does that.
"""

from __future__ import annotations

from collections.abc import Callable

from ..tools.core.errors import GoalError
from . import chemistry, counts, quantities, resources
from .elements import looks_like_symbol, suggest_element
from .reader import Reader
from .vocabulary import UNMODELLED

MAX_CHARACTERS = 10_000
"""A longer text is not a request."""

_MAX_SPELL_CHECKS = 300

Rule = Callable[[Reader, int], int | None]

RULES: tuple[Rule, ...] = (
    chemistry.aside,
    counts.wanted,
    counts.named_number,
    resources.resource,
    counts.counted,
    counts.arity,
    quantities.property_clause,
    quantities.value_first,
    quantities.stability,
    quantities.adjective,
    chemistry.anything,
    counts.evaluator_words,
    chemistry.exclusion,
    chemistry.inclusion,
    chemistry.bare,
)


def read(text: str) -> Reader:
    """Read a request.

    Args:
        text: what the user wrote.

    Returns:
        The reader with everything it read and the marks of what it used.

    Raises:
        GoalError: for text that is empty, far too long, all in capitals, or names an unknown element.
    """
    if not text.strip():
        raise GoalError("The request is empty.", "Say what to look for, e.g. 'stable Li-P-S with a gap above 2 eV'.")
    if len(text) > MAX_CHARACTERS:
        raise GoalError(f"The request has {len(text)} characters.", f"Use at most {MAX_CHARACTERS}.")
    reader = Reader(text)
    long_words = [token for token in reader.tokens if token.kind == "word" and len(token.text) >= 4]
    if len(long_words) >= 2 and not any(character.islower() for character in text):
        raise GoalError("The request is all in capitals, so element symbols cannot be told from words.",
                        "Write symbols as Na, Cl and words in lower case.")  # fmt: skip
    index = 0
    while index < len(reader):
        index = next((end for rule in RULES if (end := rule(reader, index)) is not None), index + 1)
    _check_spelling(reader)
    for word in dict.fromkeys(token.low for i, token in enumerate(reader.tokens) if not reader.used[i]):
        if word in UNMODELLED:
            reader.request.notes.append(f"'{word}': {UNMODELLED[word]}")
    return reader


def _check_spelling(reader: Reader) -> None:
    checked: set[str] = set()
    for index, token in enumerate(reader.tokens):
        if reader.used[index] or reader.ignored[index] or token.kind != "word" or token.low in checked:
            continue
        checked.add(token.low)
        if len(checked) > _MAX_SPELL_CHECKS:
            return
        if name := suggest_element(token.low):
            raise GoalError(f"'{token.text}' is not an element.", f"Did you mean {name}?")
        if looks_like_symbol(token.text):
            raise GoalError(f"'{token.text}' is not an element.", "Use a symbol of the periodic table, such as Li.")
