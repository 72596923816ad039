"""From clauses to a `Request`: what each rule of the grammar says, in the order of the sentence.

Numbers keep the unit they were written in; `goal.py` converts and checks them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lark import Tree

from ...tools.core.errors import GoalError
from ...tools.core.properties import get_property
from ...tools.core.stoichiometry import sites_of
from .chemistry import Chemistry
from .counting import Counting
from .islands import Clause
from .lexeme import Lexeme
from .request import Bound, Request, Wish
from .values import claim_of, parts, token_of, tokens_of, trees_of


class Reading:
    """Walks the clauses of one text."""

    def __init__(self, text: str, tokens: Sequence[Lexeme]) -> None:
        self.request = Request()
        self.unread: set[int] = set()
        """Tokens of clauses that change nothing."""
        self.aside_from: set[int] = set()
        """Those of them that are told in a note instead of asked about."""
        self._text = text
        self._tokens = tokens
        self._number = 0
        self._clause: Clause | None = None
        self._counting = Counting(self.request, self.said)
        self._chemistry = Chemistry(self.request, tokens, self.said)

    def read(self, clauses: Sequence[Clause]) -> Request:
        """Take in every clause. Raises GoalError for what cannot be meant."""
        for number, clause in enumerate(clauses):
            self._number, self._clause, self._chemistry.clause = number, clause, clause
            tree = clause.tree.children[0]
            assert isinstance(tree, Tree)
            owner = next(o for o in (self, self._counting, self._chemistry) if hasattr(o, tree.data))
            rule: Callable[[Tree[Any]], None] = getattr(owner, tree.data)
            rule(tree)
            if number and self._in_each_round(clauses[number - 1], clause):
                question = f"Are '{self.said()}' meant for each round, or for all rounds together?"
                self.request.questions.append((question, "for all rounds together"))
            if self._counting.refused or self._chemistry.refused:
                self.unread.update(clause.taken)
                self._counting.refused = self._chemistry.refused = False
        return self.request

    def _in_each_round(self, before: Clause, clause: Clause) -> bool:
        """`10 rounds of 5 evaluations`, `10 раундов по 5 оценок`."""
        kinds = [{self._tokens[i].kind for i in c.taken} for c in (before, clause)]
        between = [t.text.lower() for t in self._tokens[before.end : clause.start]]
        return "ROUNDS" in kinds[0] and "EVALS" in kinds[1] and between in (["of"], ["по"], ["with"], ["each"])

    def said(self, tree: Tree[Any] | None = None) -> str:
        """The user's own words of a clause, or of a part of it."""
        inside = tokens_of(tree if tree is not None else self._clause.tree)  # type: ignore[union-attr]
        return self._text[inside[0].start : inside[-1].end]

    # --- properties ----------------------------------------------------------------------------

    def bound(self, tree: Tree[Any]) -> None:
        """`gap above 2 eV`, `1 to 3 GPa bulk modulus`, `gap above 1 and below 3 eV`."""
        name = token_of(tree, "PROPERTY").value
        first = parts(tree)[0]
        if isinstance(first, Lexeme) and first.kind == "EXTREME" and not first.value[1]:
            self._want(name, *first.value)
        bounds = claim_of(trees_of(tree, "claim")[0])
        more = [Bound(*b) for b in _second(tree)]
        if more and bounds:
            unit = bounds[0].unit or more[0].unit
            bounds = [Bound(b.kind, b.value, b.unit or unit) for b in (*bounds, *more)]
        self._keep(name, bounds)

    def sandwich(self, tree: Tree[Any]) -> None:
        """`1 < gap < 3 eV`."""
        name = token_of(tree, "PROPERTY").value
        low, high = (claim_of(Tree("claim", [q]))[0] for q in trees_of(tree, "quantity"))
        order = next(t.kind for t in tokens_of(tree) if t.kind in ("LT", "LE", "GT", "GE"))
        unit = low.unit or high.unit
        first, second = ("lower", "upper") if order in ("LT", "LE") else ("upper", "lower")
        self._keep(name, [Bound(first, low.value, low.unit or unit), Bound(second, high.value, high.unit or unit)])  # type: ignore[arg-type]

    def missing(self, tree: Tree[Any]) -> None:
        """`critical temperature above 100 K`: nothing yields it."""
        name = token_of(tree, "UNAVAILABLE").value
        raise GoalError(
            f"'{self.said()}': nothing here yields the {name}.",
            "Leave it out, or ask for a property that `lodestone goal --properties` lists.",
        )

    def wish(self, tree: Tree[Any]) -> None:
        """`highest bulk modulus`, `density as low as possible`, `best band gap`."""
        found = [t for t in tokens_of(tree) if t.kind in ("EXTREME", "CORRELATIVE")]
        direction, vague = found[0].value if found else ("improve", False)
        names = [t.value for t in tokens_of(tree) if t.kind == "PROPERTY"]
        for name in names:
            self._want(name, direction, vague)
        self._keep(names[-1], [Bound(*b) for b in _second(tree)])

    def adjective(self, tree: Tree[Any]) -> None:
        """`densest`: one word that is an extremum of a property."""
        direction, name = token_of(tree, "ADJECTIVE").value
        kind, _, vague = direction.partition("_")
        self._want(name, kind, bool(vague), superlative=not vague)

    def weights(self, tree: Tree[Any]) -> None:
        """`weight 3`, `weights 0.6 and 0.4`, `three times as important as`: of what was said before."""
        self.request.weights.append((self._number, self._factors(tree)))

    def property_weight(self, tree: Tree[Any]) -> None:
        """`gap weight 2`, `the gap counts twice as much as the density`."""
        factors = self._factors(tree) or (token_of(tree, "TIMES_AS_IMPORTANT").value,)
        self.request.property_weights[token_of(tree, "PROPERTY").value] = factors[0]

    def _factors(self, tree: Tree[Any]) -> tuple[float, ...]:
        quantities = [claim_of(Tree("claim", [q]))[0] for q in trees_of(tree, "quantity")]
        if any(q.unit is not None or q.value <= 0 for q in quantities):
            raise GoalError(f"'{self.said()}': a weight is a positive number.", "Say for instance 'weight 2'.")
        return tuple(q.value for q in quantities)

    def stability(self, tree: Tree[Any]) -> None:
        """`stable`, `ground state`."""
        kinds = {"STABLE": "stable", "METASTABLE": "metastable", "MOST_STABLE": "most stable", "ON_HULL": "on the hull"}
        self.request.stability.append(kinds[tokens_of(tree)[0].kind])  # type: ignore[arg-type]
        for claim in trees_of(tree, "claim"):
            self._keep("energy_above_hull", [Bound("upper", b.value, b.unit) for b in claim_of(claim)])

    def few(self, tree: Tree[Any]) -> None:
        """`the three most stable`."""
        self.stability(Tree("stability", [tree.children[-1]]))
        self._counting.wanted(tree)

    def _want(self, name: str, direction: str, vague: bool, superlative: bool = False) -> None:
        row = get_property(name)
        said = self.said()
        if direction == "improve":
            if row.better == "neither":
                remedy = f"Say 'highest {row.label}', 'lowest {row.label}' or a range."
                raise GoalError(f"'{said}' does not say which way.", remedy)
            direction = "minimise" if row.better == "lower" else "maximise"
            self.request.assumptions.append(f"'{said}' read as: {direction} {row.label}")
        elif vague or superlative:
            self.request.assumptions.append(f"'{said}' gives no number; read as: {direction} {row.label}")
        self.request.wishes.append(Wish(name, direction, vague=vague, clause=self._number))  # type: ignore[arg-type]

    def _keep(self, name: str, bounds: list[Bound]) -> None:
        for bound in bounds:
            kept = bound
            if name == "energy_above_hull" and bound.kind == "target":
                self.request.assumptions.append(f"'{self.said()}' read as an upper bound")
                kept = Bound("upper", bound.value, bound.unit)
            self.request.bounds.append((name, kept, self._number))

    # --- structure and the rest ----------------------------------------------------------------

    def prototypes(self, tree: Tree[Any]) -> None:
        """`rocksalt`, `wurtzite or zincblende`."""
        self.request.prototypes += [t.value for t in tokens_of(tree) if t.kind == "PROTOTYPE"]

    def space_group(self, tree: Tree[Any]) -> None:
        """`space group 225`, `space group Fm-3m`."""
        for token in tokens_of(tree):
            if token.kind == "HM":
                self.request.space_groups.append(token.value)
            elif token.kind == "NUMBER":
                if token.value != int(token.value) or not 1 <= token.value <= 230:
                    raise GoalError(f"There is no space group {token.value:g}.", "Give a number from 1 to 230.")
                self.request.space_groups.append(int(token.value))

    def crystal_systems(self, tree: Tree[Any]) -> None:
        """`cubic`, `tetragonal or orthorhombic`."""
        self.request.crystal_systems += [t.value for t in tokens_of(tree) if t.kind == "CRYSTAL_SYSTEM"]

    def dimensionality(self, tree: Tree[Any]) -> None:
        """`layered`, `2D`."""
        self.request.dimensionality += [t.value for t in tokens_of(tree)]

    def centre(self, tree: Tree[Any]) -> None:
        """`noncentrosymmetric`."""
        self.request.centrosymmetric.append(tokens_of(tree)[0].value)

    def pattern(self, tree: Tree[Any]) -> None:
        """`ABX3`, `AB2O4`."""
        found = tokens_of(tree)[0].value
        self.request.patterns.append(found)
        for symbol, _ in found:
            if symbol not in sites_of(found):
                self.request.required.setdefault(symbol, self.said())

    def quality(self, tree: Tree[Any]) -> None:
        """`novel`, `synthesizable`, `in the laboratory`, `Pareto front`, `any elements`, `twice as important`."""
        (token,) = tokens_of(tree)
        request = self.request
        if token.kind == "EVALUATOR":
            request.evaluators.append(token.value)
        elif token.kind == "TIMES_AS_IMPORTANT":
            request.weights.append((self._number, (token.value,)))
        else:
            setattr(request, token.kind.lower(), True)

    def aside(self, tree: Tree[Any]) -> None:
        """What must not be read as chemistry: comparisons (`like NaCl`), and uses that nothing here models."""
        assert self._clause is not None
        self.unread.update(self._clause.taken)
        self.aside_from.update(self._clause.taken)
        for token in tokens_of(tree):
            if token.kind == "USE":
                self.request.notes.append(f"'{token.text}': {token.value}, so it does not steer the search")
        if trees_of(tree, "list"):
            self.request.notes.append(f"'{self.said()}' read as a comparison, not as a composition")


def _second(tree: Tree[Any]) -> list[tuple[Any, float, str | None]]:
    """The second number of `above 1 and below 3 eV`."""
    rest = [child for child in parts(tree) if isinstance(child, Tree) and child.data in ("compare", "quantity")]
    if not rest:
        return []
    return [(b.kind, b.value, b.unit) for b in claim_of(Tree("claim", rest))]
