"""Tokens and numbers of a clause's tree."""

from __future__ import annotations

from typing import Any

from lark import Token, Tree

from ...tools.core.errors import GoalError
from .lexeme import Lexeme
from .request import Bound, Kind

_KINDS: dict[str, Kind] = {"LE": "upper", "LT": "upper", "UP_TO": "upper", "GE": "lower", "GT": "lower"}


def parts(tree: Tree[Any]) -> list[Tree[Any] | Lexeme]:
    """What stands right below a rule."""
    return [child if isinstance(child, Tree) else child.value for child in tree.children]


def trees_of(tree: Tree[Any], rule: str) -> list[Tree[Any]]:
    """Parts of one rule, right below; in the order of the sentence."""
    return [child for child in tree.children if isinstance(child, Tree) and child.data == rule]


def tokens_of(tree: Tree[Any]) -> list[Lexeme]:
    """All tokens below, in the order of the sentence."""
    return [token.value for token in tree.scan_values(lambda v: isinstance(v, Token))]


def token_of(tree: Tree[Any], kind: str) -> Lexeme:
    """The first token of a kind."""
    return next(token for token in tokens_of(tree) if token.kind == kind)


def claim_of(tree: Tree[Any]) -> list[Bound]:
    """`at least 2 eV`, `1 to 3`, `2 ± 0.1 eV`, `5 or more`: bounds in the order of the sentence."""
    kind, _ = comparison(tree)
    for child in parts(tree):
        if isinstance(child, Lexeme) or child.data == "compare":
            continue
        quantities = [_quantity(q) for q in ([child] if child.data == "quantity" else trees_of(child, "quantity"))]
        if child.data == "quantity":
            return [Bound(kind or "target", *quantities[0])]
        (first, first_unit), (second, second_unit) = quantities
        first_unit, second_unit = first_unit or second_unit, second_unit or first_unit
        if child.data == "tolerance":
            return [Bound("lower", first - second, second_unit), Bound("upper", first + second, second_unit)]
        return [Bound("lower", first, first_unit), Bound("upper", second, second_unit)]
    return []


def comparison(tree: Tree[Any]) -> tuple[Kind | None, bool]:
    """How a claim compares, and whether the number itself is left out."""
    for token in tokens_of(tree):
        if token.kind in _KINDS:
            return _KINDS[token.kind], token.kind in ("LT", "GT")
        if token.kind == "OR_MORE":
            return "lower", False
        if token.kind == "OR_LESS":
            return "upper", False
        if token.kind == "EXTREME":
            direction = token.value[0]
            return ("upper" if direction == "maximise" else "lower"), False
    return None, False


def whole(value: float, what: str) -> int:
    """A number that must be whole and positive. Raises GoalError when it is not."""
    if value != int(value):
        raise GoalError(f"{value:g} {what}: a whole number is expected.", f"Say for instance '20 {what}'.")
    if value < 1:
        raise GoalError(f"{value:g} {what}: at least 1 is needed.", f"Say for instance '20 {what}'.")
    return int(value)


def _quantity(tree: Tree[Any]) -> tuple[float, str | None]:
    tokens = tokens_of(tree)
    return float(tokens[0].value), tokens[1].value if len(tokens) > 1 else None
