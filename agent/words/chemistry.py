"""Rules of `goal.lark` for chemistry: elements, compounds, classes, choices, and what is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lark import Tree

from ...tools.core.elements import IUPAC_GROUPS
from ...tools.core.errors import GoalError
from .islands import Clause
from .lexeme import JOINTS, Lexeme
from .lexicon import OTHERS, fold
from .naming import formula_of, multiple_of
from .request import Mention, Request
from .values import tokens_of, trees_of

_OPEN = frozenset({"HITS", "USE", "PROTOTYPE", "PATTERN"})
"""What stands beside elements that are not meant alone: `Li compounds`, `alloys of Mg`, `Ni half-Heusler`."""

_MIXTURES = ("alloy", "compound", "сплав", "соединени", "合金", "化合物")
"""Of one element: `alloys of magnesium`, unlike `structures of silicon`."""

_EXCEPT = frozenset({"except", "except for", "apart from", "other than", "кроме", "за исключением", "除了", "除"})


class Chemistry:
    """Takes the clauses of one text that name elements."""

    def __init__(self, request: Request, tokens: Sequence[Lexeme], said: Callable[[Tree[Any] | None], str]) -> None:
        self.request = request
        self.refused = False
        """Whether the last clause changed nothing."""
        self.clause: Clause | None = None
        self._tokens = tokens
        self._said = said

    def said(self) -> str:
        """The user's own words of the clause."""
        return self._said(None)

    def exclusion(self, tree: Tree[Any]) -> None:
        """`without Pb`, `no halides`, `not stable`."""
        for listed in trees_of(tree, "list"):
            elements = self._elements(listed, only_elements=True)
            first = tokens_of(tree)[0]
            if first.value == OTHERS:
                self.request.others_excluded += elements
                continue
            if fold(first.text) in _EXCEPT and set(elements) <= set(self.request.excluded):
                # `no toxic elements except lead`: an exception from what is excluded.
                self.request.permitted += elements
                continue
            self.request.excepted += elements if fold(first.text) in _EXCEPT else ()
            self._exclude(elements)
        for classes in trees_of(tree, "classes"):
            for token in tokens_of(classes):
                if token.kind in ("CLASS", "COMPOUND") and len(token.value) > 1:
                    raise GoalError(f"'{self.said()}': only elements can be excluded.", "Name them.")
                if token.kind in ("CLASS", "COMPOUND", "ANY_CLASS"):
                    self._exclude(token.value)
        if trees_of(tree, "stability"):
            self.refused = True

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
        """`made of Al and Ni`: these and no others; `made of Zn or Cd and S or Se`: one of each."""
        (listed,) = trees_of(tree, "list")
        if self._either(listed):
            self._one_of_each(self._groups(listed))
        else:
            self.request.systems.append(self._elements(listed))

    def choice(self, tree: Tree[Any]) -> None:
        """`one of B, Al and Ga`, `S、Se之一`."""
        self._require(self._elements(trees_of(tree, "list")[0]), either=True)
        self.request.closed_choice |= tokens_of(tree)[0].kind == "MADE_OF"

    def permitted(self, tree: Tree[Any]) -> None:
        """`no toxic elements, arsenic allowed`."""
        self.request.permitted += self._elements(trees_of(tree, "list")[0])
        self.request.assumptions.append(f"'{self.said()}': may be in, and need not")

    def bearing(self, tree: Tree[Any]) -> None:
        """`литийсодержащие`."""
        self._require(tokens_of(tree)[0].value, either=False)

    def _one_of_each(self, groups: Sequence[tuple[str, ...]]) -> None:
        for group in groups:
            self._require(group, either=True)
            for element in group:
                self.request.only.setdefault(element, self.said())
        self.request.parts = len(groups)

    def _groups(self, listed: Tree[Any]) -> list[tuple[str, ...]]:
        """Alternatives of a list that joins by `or` inside and by `and` outside."""
        groups: list[list[Tree[Any]]] = [[]]
        for child in listed.children:
            if not isinstance(child, Tree):
                continue
            if child.data == "item":
                groups[-1].append(child)
            elif any(t.kind == "AND" for t in tokens_of(child)):
                groups.append([])
        return [self._elements(Tree("list", items)) for items in groups if items]

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
        classes = [t for c in trees_of(tree, "classes") for t in tokens_of(c) if t.kind not in JOINTS]
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
        if not systems and _and_or(listed):
            self._one_of_each(self._groups(listed))
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
        both = tuple(dict.fromkeys((*elements, *classes[0].value)))
        # `a ternary sulfide of copper` has room for another element.
        roomy = any(t.kind == "ARITY" and t.value > len(both) for t in self._tokens)
        if closed and not roomy:
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
        kinds = {t.kind for item in trees_of(listed, "item") for t in tokens_of(item)}
        if not kinds & set(skip) and _and_or(listed):
            for group in self._groups(listed):
                self._require(group, either=True)
            return
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
        start = self.clause.start if self.clause is not None else 0
        return start > 0 and self._tokens[start - 1].kind == "OR"

    def _followed_by_open_noun(self) -> bool:
        assert self.clause is not None
        after = [t.kind for t in self._tokens[self.clause.end : self.clause.end + 3] if t.kind != "FILLER"]
        before = next((t for t in reversed(self._tokens[: self.clause.start]) if t.kind != "FILLER"), None)
        if before is not None and before.kind == "HITS" and before.text.lower().startswith(_MIXTURES):
            return True
        return bool(after) and after[0] in _OPEN


def _and_or(listed: Tree[Any]) -> bool:
    joints = {t.kind for j in trees_of(listed, "or_joint") for t in tokens_of(j)}
    return {"AND", "OR"} <= joints


def _only_commas(listed: Tree[Any]) -> bool:
    """Whether a list is one without `and`: `Ti, V, Nb`."""
    joints = [t.kind for j in trees_of(listed, "or_joint") for t in tokens_of(j)]
    return bool(joints) and set(joints) == {"COMMA"}


def _column(token: Lexeme) -> tuple[str, ...]:
    if token.value not in IUPAC_GROUPS:
        raise GoalError(f"There is no group {token.value:g} of the periodic table.", "Give a number from 1 to 18.")
    return IUPAC_GROUPS[int(token.value)]
