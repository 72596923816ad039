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
from lark.lexer import Lexer
from lark.parsers.lalr_analysis import Shift

from ...tools.core.elements import split_words
from .lexeme import MARK, WORD, Lexeme
from .lexicon import FILLER

_LONGEST = 400
"""Tokens of one clause; a longer one is read as several."""
_FILLERS_IN_A_ROW = 3
END = "$END"
_NEVER = frozenset({MARK, WORD})
_ATTRIBUTES = frozenset({"WITHOUT", "CONTAINING", "BARRED", "HELD"})
"""What begins an attribute, which in Chinese ends with 的."""
_NUMBERED = frozenset({"COLUMN", "SPACE_GROUP", "SEED"})
_COMPARING = frozenset(split_words("LE LT GE GT APPROX UP_TO BETWEEN EQUALS NUMBER"))
_COUNTED = frozenset(
    split_words(
        "EVALS EVALUATOR ROUNDS ATOMS KINDS HITS WINS SAMPLES CORE_HOURS MONEY TIME COLUMN UNIT OR_MORE OR_LESS "
        "IN_A_ROW FOLD"
    )
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
    stack: tuple[int, ...] = (_automaton().start,)
    taken: list[int] = []
    best = 0
    fillers = 0
    for index in range(start, min(len(tokens), start + _LONGEST)):
        token = tokens[index]
        if token.kind == FILLER and index > start:
            fillers += 1
            if token.text == "的" and tokens[start].kind in _ATTRIBUTES and _is_element(tokens, index + 1):
                break  # 不含镍的锂氧化物: lithium is not left out
            if fillers > _FILLERS_IN_A_ROW:
                break
            continue
        after = None if token.kind in _NEVER else _automaton().shift(stack, token.kind)
        if after is None:
            break
        stack = after
        fillers = 0
        taken.append(index)
        if _may_end(tokens, index) and _automaton().may_end(stack):
            best = len(taken)
    if not best:
        return None
    state = _parser().parse_interactive()
    for index in taken[:best]:
        state.feed_token(Token(tokens[index].kind, tokens[index]))
    return Clause(state.feed_eof(), start, taken[best - 1] + 1, tuple(taken[:best]))


def _is_element(tokens: Sequence[Lexeme], index: int) -> bool:
    return index < len(tokens) and tokens[index].kind in ("ELEMENT", "GROUP")


class _Automaton:
    """The states of the LALR table, without building trees: how far a clause may go is found in linear time."""

    def __init__(self) -> None:
        machine = _parser().parse_interactive().parser_state
        self._table = machine.parse_conf.parse_table.states
        self.start = machine.state_stack[-1]
        self._end = machine.parse_conf.end_state

    def shift(self, stack: tuple[int, ...], kind: str) -> tuple[int, ...] | None:
        """The stack after a token; None where it cannot follow."""
        states = list(stack)
        while (step := self._table[states[-1]].get(kind)) is not None:
            action, target = step
            if action is Shift:
                return (*states, target)
            if len(target.expansion):
                del states[-len(target.expansion) :]
            states.append(self._table[states[-1]][target.origin.name][1])
            if kind == END and states[-1] == self._end:
                return tuple(states)
        return None

    def may_end(self, stack: tuple[int, ...]) -> bool:
        """Whether what was read is a whole clause."""
        return self.shift(stack, END) is not None


@cache
def _automaton() -> _Automaton:
    return _Automaton()


def _compared(tokens: Sequence[Lexeme], start: int) -> bool:
    """Whether the next property has a bound of its own behind it."""
    rest = [t.kind for t in tokens[start : start + 8] if t.kind != FILLER]
    return len(rest) > 1 and rest[1] in _COMPARING


def _may_end(tokens: Sequence[Lexeme], index: int) -> bool:
    """Whether a clause may end here: not between a number and what it counts, nor a property and its bound."""
    after = next((t.kind for t in tokens[index + 1 : index + 4] if t.kind != FILLER), "")
    if after == "PROPERTY" and tokens[index].kind in ("NUMBER", "UNIT") and not _compared(tokens, index + 1):
        return False  # `…, at most 30 meV/atom above the hull`: the number belongs to what follows
    if tokens[index].kind == "NUMBER" and not (index and tokens[index - 1].kind in _NUMBERED):
        return after not in _COUNTED
    if tokens[index].kind == "PROPERTY":
        before = tokens[index - 1].kind if index else ""
        return not (after in _COMPARING and before in ("AND", "COMMA", "OR"))
    return True
