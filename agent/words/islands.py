"""The longest clause at each place of a request: island parsing over the LALR(1) grammar of `goal.lark`.

A request is no sentence of one language, and holds words that nobody foresaw. So the grammar describes one clause; at
each token the longest run that is a clause is taken, and a token that begins none is passed over, to be reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput
from lark.lexer import Lexer

from .lexer import MARK, WORD, Lexeme
from .lexicon import FILLER

_LONGEST = 400
"""Tokens of one clause; a longer one is read as several."""
_FILLERS_IN_A_ROW = 3
_NEVER = frozenset({MARK, WORD})
_COMPARING = frozenset("LE LT GE GT APPROX UP_TO BETWEEN EQUALS NUMBER".split())
_COUNTED = frozenset(
    "EVALS EVALUATOR ROUNDS ATOMS KINDS HITS SAMPLES CORE_HOURS MONEY TIME COLUMN UNIT OR_MORE OR_LESS".split()
)


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause, and the tokens that it took: from `start` up to (not with) `end`, without those passed over."""

    tree: Tree[Any]
    start: int
    end: int
    taken: tuple[int, ...]


class _Given(Lexer):
    """The tokens come ready-made."""

    def __init__(self, _: Any) -> None: ...

    def lex(self, *_: Any) -> Iterator[Token]:
        """Nothing: tokens are fed one by one."""
        yield from ()


@cache
def _parser() -> Lark:
    text = (files(__package__) / "goal.lark").read_text(encoding="utf-8")
    return Lark(text, parser="lalr", lexer=_Given, keep_all_tokens=True)


def clauses(tokens: Sequence[Lexeme]) -> list[Clause]:
    """Every clause, from left to right."""
    found: list[Clause] = []
    index = 0
    while index < len(tokens):
        clause = None if tokens[index].kind in _NEVER else _longest(tokens, index)
        if clause is None:
            index += 1
        else:
            found.append(clause)
            index = clause.end
    return found


def _longest(tokens: Sequence[Lexeme], start: int) -> Clause | None:
    state = _parser().parse_interactive()
    best: Clause | None = None
    taken: list[int] = []
    fillers = 0
    for index in range(start, min(len(tokens), start + _LONGEST)):
        token = tokens[index]
        if token.kind == FILLER and index > start:
            fillers += 1
            if fillers > _FILLERS_IN_A_ROW:
                break
            continue
        if token.kind in _NEVER:
            break
        try:
            state.feed_token(Token(token.kind, token))
        except UnexpectedInput:
            break
        fillers = 0
        taken.append(index)
        if _may_end(tokens, index) and (tree := _complete(state)) is not None:
            best = Clause(tree, start, index + 1, tuple(taken))
    return best


def _complete(state: Any) -> Tree[Any] | None:
    try:
        return state.copy().feed_eof()  # type: ignore[no-any-return]
    except UnexpectedInput:
        return None


def _may_end(tokens: Sequence[Lexeme], index: int) -> bool:
    """Whether a clause may end here: not between a number and what it counts, nor a property and its bound."""
    after = next((t.kind for t in tokens[index + 1 : index + 4] if t.kind != FILLER), "")
    if tokens[index].kind == "NUMBER":
        return after not in _COUNTED
    if tokens[index].kind == "PROPERTY":
        before = tokens[index - 1].kind if index else ""
        return not (after in _COMPARING and before in ("AND", "COMMA", "OR"))
    return True
