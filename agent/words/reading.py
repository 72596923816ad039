"""From clauses to a `Request`: what each rule of the grammar says, in the order of the sentence.

Numbers keep the unit they were written in; `goal.py` converts and checks them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lark import Tree

from ...tools.core.elements import IUPAC_GROUPS
from ...tools.core.errors import GoalError
from ...tools.core.properties import get_property
from ...tools.core.stoichiometry import sites_of
from .counting import Counting
from .islands import Clause
from .lexer import Lexeme
from .naming import formula_of, multiple_of
from .request import Bound, Mention, Request, Wish
from .values import claim_of, parts, token_of, tokens_of, trees_of

_OPEN = frozenset({"HITS", "USE", "PROTOTYPE", "PATTERN"})
"""What follows elements that are not meant alone: `Li compounds`, `Ni half-Heusler`."""


class Reading:
    """Walks the clauses of one text."""

    def __init__(self, text: str, tokens: Sequence[Lexeme]) -> None:
        self.request = Request()
        self.unread: set[int] = set()
        """Tokens of clauses that change nothing."""
        self._text = text
        self._tokens = tokens
        self._number = 0
        self._clause: Clause | None = None
        self._counting = Counting(self.request, self.said)

    def read(self, clauses: Sequence[Clause]) -> Request:
        """Take in every clause. Raises GoalError for what cannot be meant."""
        for number, clause in enumerate(clauses):
            self._number, self._clause = number, clause
            tree = clause.tree.children[0]
            assert isinstance(tree, Tree)
            rule: Callable[[Tree[Any]], None] = getattr(self, tree.data, None) or getattr(self._counting, tree.data)
            rule(tree)
            if number and self._in_each_round(clauses[number - 1], clause):
                question = f"Are '{self.said()}' meant for each round, or for all rounds together?"
                self.request.questions.append((question, "for all rounds together"))
            if self._counting.refused:
                self.unread.update(clause.taken)
                self._counting.refused = False
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
        found = [t for t in tokens_of(tree) if t.kind == "EXTREME"]
        direction, vague = found[0].value if found else ("improve", False)
        for token in (t for t in tokens_of(tree) if t.kind == "PROPERTY"):
            self._want(token.value, direction, vague)

    def adjective(self, tree: Tree[Any]) -> None:
        """`densest`: one word that is an extremum of a property."""
        direction, name = token_of(tree, "ADJECTIVE").value
        self._want(name, direction, True)

    def stability(self, tree: Tree[Any]) -> None:
        """`stable`, `ground state`."""
        kinds = {"STABLE": "stable", "METASTABLE": "metastable", "MOST_STABLE": "most stable", "ON_HULL": "on the hull"}
        self.request.stability.append(kinds[tokens_of(tree)[0].kind])  # type: ignore[arg-type]
        for claim in trees_of(tree, "claim"):
            self._keep("energy_above_hull", [Bound("upper", b.value, b.unit) for b in claim_of(claim)])

    def _want(self, name: str, direction: str, vague: bool) -> None:
        row = get_property(name)
        said = self.said()
        if direction == "improve":
            if row.better == "neither":
                remedy = f"Say 'highest {row.label}', 'lowest {row.label}' or a range."
                raise GoalError(f"'{said}' does not say which way.", remedy)
            direction = "minimise" if row.better == "lower" else "maximise"
            self.request.assumptions.append(f"'{said}' read as: {direction} {row.label}")
        elif vague:
            self.request.assumptions.append(f"'{said}' gives no number; read as: {direction} {row.label}")
        self.request.wishes.append(Wish(name, direction, clause=self._number))  # type: ignore[arg-type]

    def _keep(self, name: str, bounds: list[Bound]) -> None:
        for bound in bounds:
            kept = bound
            if name == "energy_above_hull" and bound.kind == "target":
                self.request.assumptions.append(f"'{self.said()}' read as an upper bound")
                kept = Bound("upper", bound.value, bound.unit)
            self.request.bounds.append((name, kept, self._number))

    # --- chemistry -----------------------------------------------------------------------------

    def exclusion(self, tree: Tree[Any]) -> None:
        """`without Pb`, `no halides`, `not stable`."""
        for listed in trees_of(tree, "list"):
            self._exclude(self._elements(listed, only_elements=True))
        for classes in trees_of(tree, "classes"):
            for token in tokens_of(classes):
                if token.kind in ("CLASS", "COMPOUND") and len(token.value) > 1:
                    raise GoalError(f"'{self.said()}': only elements can be excluded.", "Name them.")
                if token.kind in ("CLASS", "COMPOUND", "ANY_CLASS"):
                    self._exclude(token.value)
        if trees_of(tree, "stability"):
            self._counting.refused = True

    def freedom(self, tree: Tree[Any]) -> None:
        """`Pb-free`, `lead- and cadmium-free`, `non-toxic`."""
        for listed in trees_of(tree, "list"):
            self._exclude(self._elements(listed, only_elements=True))
        for token in (t for t in tokens_of(tree) if t.kind in ("NON_GROUP", "FREE_OF")):
            self._exclude(token.value)

    def containing(self, tree: Tree[Any]) -> None:
        """`containing Li and P`, `with sodium or potassium`, `Li-based`."""
        (listed,) = trees_of(tree, "list")
        for item in trees_of(listed, "item"):
            token = tokens_of(item)[-1]
            if token.kind == "FORMULA":
                self.request.formulas.setdefault(token.text, dict(token.value))
            elif token.kind == "SYSTEM":
                self.request.systems.append(token.value)
        self._require_listed(listed, skip=("FORMULA", "SYSTEM"))

    def made_of(self, tree: Tree[Any]) -> None:
        """`made of Al and Ni`: these and no others."""
        self.request.systems.append(self._elements(trees_of(tree, "list")[0]))

    def only(self, tree: Tree[Any]) -> None:
        """`only Li, P and S`: no others, and none of them must be in."""
        elements = self._elements(trees_of(tree, "list")[0])
        for element in elements:
            self.request.only.setdefault(element, self.said())
        said = f"'{self.said()}': each of {', '.join(elements)} may be used, none alone must"
        self.request.assumptions.append(said)

    def compound(self, tree: Tree[Any]) -> None:
        """`Li-P-S`, `NaCl`, `lithium oxides`, `oxides of Ti`, `zinc oxide`, `Na, Cl`."""
        listed = trees_of(tree, "list")
        classes = [t for c in trees_of(tree, "classes") for t in tokens_of(c) if t.kind not in _JOINTS]
        if not listed:
            self._classes(classes)
        elif not classes:
            self._named(listed[0])
        elif any(t.kind in ("SYSTEM", "FORMULA") for t in tokens_of(listed[0])):
            self._named(listed[0])
            self._classes(classes)
        else:
            self._of_class(listed[0], classes)

    def site(self, tree: Tree[Any]) -> None:
        """`A = Li or Na`."""
        listed = trees_of(tree, "list")[0]
        elements = self._elements(listed)
        self._require(elements, either=len(elements) > 1)

    def _named(self, listed: Tree[Any]) -> None:
        items = trees_of(listed, "item")
        first = tokens_of(items[0])[-1]
        if len(items) == 1 and first.kind == "FORMULA":
            self.request.formulas.setdefault(first.text, dict(first.value))
            return
        systems = [t for item in items for t in tokens_of(item) if t.kind in ("SYSTEM", "FORMULA")]
        for token in systems:
            if token.kind == "SYSTEM":
                self.request.systems.append(token.value)
            else:
                self.request.formulas.setdefault(token.text, dict(token.value))
        self.request.either_system |= bool(systems) and (self._either(listed) or self._after_or())
        elements = self._elements(listed, skip=("SYSTEM", "FORMULA"))
        if not elements:
            return
        groups = any(t.kind in ("GROUP", "COLUMN") for item in items for t in tokens_of(item))
        if groups:
            self._require_listed(listed, skip=("SYSTEM", "FORMULA"))
            return
        mention = Mention(self.said(), elements, self._either(listed), self._followed_by_open_noun())
        self.request.mentions.append(mention)

    def _classes(self, tokens: Sequence[Lexeme]) -> None:
        for token in tokens:
            if token.kind == "ANY_CLASS":
                self.request.any_classes.append((token.text, token.value))
            elif token.kind == "ONLY_GROUP":
                self.request.only_of_class = True
                for element in token.value:
                    self.request.only.setdefault(element, token.text)
            else:
                self.request.classes.append((token.text, token.value))
            self._multiple(token)

    def _multiple(self, token: Lexeme) -> None:
        """`dioxides`, `transition metal dichalcogenides`: the class says the stoichiometry."""
        numbers = multiple_of(token.text)
        if numbers is not None and token.kind != "ONLY_GROUP":
            other = "X" if token.kind == "ANY_CLASS" else token.value[0]
            self.request.patterns.append((("M", numbers[0]), (other, numbers[1])))

    def _of_class(self, listed: Tree[Any], classes: Sequence[Lexeme]) -> None:
        elements = self._elements(listed)
        groups = any(t.kind in ("GROUP", "COLUMN") for t in tokens_of(listed))
        closed = all(t.kind == "COMPOUND" for t in classes) and not groups
        numbers = multiple_of(classes[0].text) if len(classes) == 1 else None
        if closed and numbers is not None and len(elements) == 1:
            counts = formula_of(elements[0], classes[0].value[0], numbers)
            self.request.formulas.setdefault(self.said(), counts)
            shown = "".join(f"{s}{n if n > 1 else ''}" for s, n in counts.items())
            self.request.assumptions.append(f"'{self.said()}' read as {shown}")
            return
        if closed and numbers is not None and self._either(listed):
            self._multiple(classes[0])
        if closed and len(classes) > 1:
            self._one_of_several([e for t in classes for e in t.value], elements)
            return
        if closed and self._either(listed):
            self._one_of_several(elements, classes[0].value)
            return
        if not closed and len(elements) > 2 and not groups and _only_commas(listed):
            said = f"'{self.said()}' read as: at least one of {', '.join(elements)}"
            self.request.assumptions.append(said)
            self._require(elements, either=True)
            self._classes(classes)
            return
        if closed:
            both = tuple(dict.fromkeys((*elements, *classes[0].value)))
            self.request.systems.append(both)
            self.request.either_system |= self._after_or()
            said = f"'{self.said()}' read as the system {'-'.join(both)} and no other element"
            self.request.assumptions.append(said)
            return
        self._require_listed(listed)
        self._classes(classes)

    def _one_of_several(self, elements: Sequence[str], members: Sequence[str]) -> None:
        """`titanium or zirconium carbide`, `zinc oxide or sulfide`: one of two systems."""
        self.request.any_of.append((self.said(), tuple(elements)))
        for element in members:
            self.request.required.setdefault(element, self.said())
        for element in (*elements, *members):
            self.request.only.setdefault(element, self.said())
        self.request.element_counts.append((len(members) + 1, len(members) + 1))

    def _require_listed(self, listed: Tree[Any], skip: Sequence[str] = ()) -> None:
        """Elements joined by `and` all have to be in, of a group one; joined by `or`, one of all."""
        if any(t.kind == "OR" for j in trees_of(listed, "or_joint") for t in tokens_of(j)):
            self._require(self._elements(listed, skip=skip), either=True)
            return
        for item in trees_of(listed, "item"):
            tokens = tokens_of(item)
            kind = tokens[0].kind if len(tokens) == 1 else "COLUMN"
            if kind not in skip:
                self._require(self._elements(Tree("list", [item])), either=kind in ("GROUP", "COLUMN"))

    def _require(self, elements: Sequence[str], either: bool) -> None:
        if either and len(elements) > 1:
            self.request.any_of.append((self.said(), tuple(elements)))
        else:
            for element in elements:
                self.request.required.setdefault(element, self.said())

    def _exclude(self, elements: Sequence[str]) -> None:
        for element in elements:
            self.request.excluded.setdefault(element, self.said())

    def _elements(self, listed: Tree[Any], only_elements: bool = False, skip: Sequence[str] = ()) -> tuple[str, ...]:
        found: list[str] = []
        for item in trees_of(listed, "item"):
            tokens = tokens_of(item)
            kind = tokens[0].kind if len(tokens) == 1 else "COLUMN"
            if kind in skip:
                continue
            if kind in ("FORMULA", "SYSTEM") and only_elements:
                raise GoalError(f"'{tokens[0].text}': only elements can be excluded.", "Name them.")
            if kind == "ELEMENT":
                found.append(tokens[0].value)
            elif kind == "COLUMN":
                found += _column(next(t for t in tokens if t.kind == "NUMBER"))
            else:
                found += tuple(tokens[0].value)
        return tuple(dict.fromkeys(found))

    def _either(self, listed: Tree[Any]) -> bool:
        groups = [t for item in trees_of(listed, "item") for t in tokens_of(item) if t.kind in ("GROUP", "COLUMN")]
        return bool(groups) or any(t.kind == "OR" for j in trees_of(listed, "or_joint") for t in tokens_of(j))

    def _after_or(self) -> bool:
        start = self._clause.start if self._clause is not None else 0
        return start > 0 and self._tokens[start - 1].kind == "OR"

    def _followed_by_open_noun(self) -> bool:
        assert self._clause is not None
        after = [t.kind for t in self._tokens[self._clause.end : self._clause.end + 3] if t.kind != "FILLER"]
        return bool(after) and after[0] in _OPEN

    # --- structure and the rest ----------------------------------------------------------------

    def prototypes(self, tree: Tree[Any]) -> None:
        """`rocksalt`, `wurtzite or zincblende`."""
        self.request.prototypes += [t.value for t in tokens_of(tree) if t.kind == "PROTOTYPE"]

    def space_group(self, tree: Tree[Any]) -> None:
        """`space group 225`, `space group Fm-3m`."""
        token = tokens_of(tree)[-1]
        if token.kind == "HM":
            self.request.space_groups.append(token.value)
            return
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
            request.weights.append((self._number, token.value))
        else:
            setattr(request, token.kind.lower(), True)

    def aside(self, tree: Tree[Any]) -> None:
        """What must not be read as chemistry: comparisons (`like NaCl`), and uses that nothing here models."""
        assert self._clause is not None
        self.unread.update(self._clause.taken)
        for token in tokens_of(tree):
            if token.kind == "USE":
                self.request.notes.append(f"'{token.text}': {token.value}, so it does not steer the search")
        if trees_of(tree, "list"):
            self.request.notes.append(f"'{self.said()}' read as a comparison, not as a composition")


_JOINTS = frozenset({"COMMA", "AND", "OR", "SLASH"})


def _second(tree: Tree[Any]) -> list[tuple[Any, float, str | None]]:
    """The second number of `above 1 and below 3 eV`."""
    rest = [child for child in parts(tree) if isinstance(child, Tree) and child.data in ("compare", "quantity")]
    if not rest:
        return []
    return [(b.kind, b.value, b.unit) for b in claim_of(Tree("claim", rest))]


def _only_commas(listed: Tree[Any]) -> bool:
    """Whether a list is one without `and`: `Ti, V, Nb`."""
    joints = [t.kind for j in trees_of(listed, "or_joint") for t in tokens_of(j)]
    return bool(joints) and set(joints) == {"COMMA"}


def _column(token: Lexeme) -> tuple[str, ...]:
    if token.value not in IUPAC_GROUPS:
        raise GoalError(f"There is no group {token.value:g} of the periodic table.", "Give a number from 1 to 18.")
    return IUPAC_GROUPS[int(token.value)]
