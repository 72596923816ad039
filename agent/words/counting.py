"""What is counted: runs, time, rounds, atoms, elements, crystals wanted, money, and numbers with a name (`seed 7`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lark import Tree

from ...tools.core.errors import GoalError
from ...tools.core.types import MAX_SITES
from .lexeme import Lexeme
from .request import Kind, Request
from .values import claim_of, comparison, tokens_of, trees_of, whole


class Counting:
    """Rules of `goal.lark` for what is counted."""

    def __init__(self, request: Request, said: Callable[[Tree[Any] | None], str]) -> None:
        self.request = request
        self.refused = False
        """Whether the last clause changed nothing."""
        self._said = said
        self._asked = False

    def counted(self, tree: Tree[Any]) -> None:
        """`at most 60 DFT runs`, `3 days`, `2 to 4 elements`, `half a day`, `€ 500`."""
        tokens = tokens_of(tree)
        if tokens[-1].kind == "DURATION":
            self._time(tokens[-1].value, tokens[-1].value)
            return
        if tokens[0].kind == "MONEY":
            self.request.money.append(self._positive(tokens[1].value, "of money"))
            return
        claim = trees_of(tree, "claim")[0]
        bounds = claim_of(claim)
        if any(bound.unit for bound in bounds):
            raise GoalError(f"'{self._said(None)}': a unit and a noun for one number.", "Give one of them.")
        kind, strict = comparison(tree)
        nouns = tokens_of(trees_of(tree, "noun")[0])
        low = bounds[0].value if len(bounds) == 2 else None
        gain = any(t.kind in ("NO_GAIN", "IN_A_ROW") for t in tokens)
        self._record(nouns, kind, low, bounds[-1].value, strict, gain)

    def topical(self, tree: Tree[Any]) -> None:
        """`samples: at most four`, `DFT不超过20次`, `оценок не более 30`: the noun first."""
        topic = tokens_of(trees_of(tree, "topic")[0])
        behind = [t for noun in trees_of(tree, "noun") for t in tokens_of(noun)]
        claim = trees_of(tree, "claim")[0]
        bounds = claim_of(claim)
        if any(bound.unit for bound in bounds):
            self.refused = True
            return
        names = [t.value for t in topic if t.kind == "EVALUATOR"]
        nouns = topic
        if behind and behind[0].kind != "HITS" and behind[0].kind != topic[0].kind:
            nouns = behind
            if topic[0].kind != "EVALUATOR" and not {"EVALS", "EVALUATOR"} >= {topic[0].kind, behind[0].kind}:
                self.refused = True
                return
            if behind[0].kind == "EVALS":
                nouns = [*topic, *behind]
            else:
                self.request.evaluators += names
        kind, strict = comparison(tree)
        low = bounds[0].value if len(bounds) == 2 else None
        self._record(nouns, kind, low, bounds[-1].value, strict, gain=False)

    def seed(self, tree: Tree[Any]) -> None:
        """`seed 7`."""
        value = claim_of(Tree("claim", trees_of(tree, "quantity")))[0].value
        if value != int(value) or not 0 <= value < 2**31:
            raise GoalError(f"Seed {value:g} cannot be used.", "Give a whole number from 0 to 2147483647.")
        self.request.seeds.append(int(value))

    def patience(self, tree: Tree[Any]) -> None:
        """`patience of 5`."""
        for counted in trees_of(tree, "counted"):
            if tokens_of(trees_of(counted, "noun")[0])[0].kind != "ROUNDS":
                self.refused = True
                return
        claims = [*trees_of(tree, "claim"), *(c for t in trees_of(tree, "counted") for c in trees_of(t, "claim"))]
        self.request.patience.append(whole(claim_of(claims[0])[-1].value, "rounds"))

    def budget(self, tree: Tree[Any]) -> None:
        """`budget of 60`, `budget 40 evaluations`."""
        for counted in trees_of(tree, "counted"):
            self.counted(counted)
        for claim in trees_of(tree, "claim"):
            self.request.evaluations.append(("", whole(claim_of(claim)[-1].value, "evaluations")))
            self.request.assumptions.append(f"'{self._said(None)}' read as evaluations")

    def wanted(self, tree: Tree[Any]) -> None:
        """`find 3 …`, `the best 4`, `give me 5 crystals`: how many are enough."""
        self._asked = True
        for counted in trees_of(tree, "counted"):
            self.counted(counted)
        self._asked = False
        for claim in (*trees_of(tree, "claim"), *(Tree("claim", [q]) for q in trees_of(tree, "quantity"))):
            bounds = claim_of(claim)
            if any(bound.unit for bound in bounds):
                self.refused = True
                return
            self.request.hits.append(whole(bounds[-1].value, "crystals"))

    def stop(self, tree: Tree[Any]) -> None:
        """`stop after 3 hits`."""
        self._asked = True
        for counted in trees_of(tree, "counted"):
            self.counted(counted)
        self._asked = False

    def kinds(self, tree: Tree[Any]) -> None:
        """`binary`, `up to ternary`, `binary or ternary`."""
        tokens = tokens_of(tree)
        counts = [t.value for t in tokens if t.kind == "ARITY"]
        low = 1 if tokens[0].kind in ("LE", "UP_TO") or tokens[-1].kind == "OR_LESS" else min(counts)
        more = tokens[0].kind == "GE" or tokens[-1].kind == "OR_MORE"
        self.request.element_counts.append((low, None if more else max(counts)))

    # -------------------------------------------------------------------------------------------

    def _record(
        self, nouns: list[Lexeme], kind: Kind | None, low: float | None, value: float, strict: bool, gain: bool
    ) -> None:
        request, noun = self.request, nouns[0].kind
        said = self._said(None)
        if low is not None and low > value:
            raise GoalError(f"'{said}': from {low:g} to {value:g} is empty.", "Give the lower number first.")
        if strict and (noun in {"ATOMS", "KINDS", "EVALS", "EVALUATOR"} or (noun == "ROUNDS" and kind == "upper")):
            value += 1 if kind == "lower" else -1
        if noun == "TIME":
            self._time(nouns[0].value, value * nouns[0].value)
        elif noun == "MONEY":
            request.money.append(self._positive(value, "of money"))
        elif noun == "CORE_HOURS":
            request.core_hours.append(self._positive(value * nouns[0].value, "core-hours"))
        elif noun == "KINDS":
            count = whole(value, "elements")
            first = whole(low, "elements") if low is not None else count
            request.element_counts.append({"lower": (count, None), "upper": (1, count)}.get(kind or "", (first, count)))
            return
        elif noun in ("EVALS", "EVALUATOR"):
            names = [t.value for t in nouns if t.kind == "EVALUATOR"]
            request.evaluations.append((names[0] if names else "", whole(value, "evaluations")))
        elif noun == "ATOMS":
            self._atoms(whole(value, "atoms"), kind, said)
        elif noun in ("HITS", "WINS"):
            if not self._asked and noun == "HITS":
                self.refused = True
                return
            request.hits.append(whole(value, "crystals"))
        elif noun == "SAMPLES":
            request.samples.append(whole(value, "samples"))
        elif gain:
            request.patience.append(whole(value, "rounds"))
        else:
            request.rounds.append(whole(value, "rounds"))
        if low is not None or (kind == "lower" and noun not in ("HITS", "WINS") and not gain):
            request.assumptions.append(f"'{said}' read as at most {value:g} {nouns[-1].text}")

    def _atoms(self, count: int, kind: Kind | None, said: str) -> None:
        if count > MAX_SITES:
            raise GoalError(f"{count} atoms are too many.", f"Ask for at most {MAX_SITES} atoms in the primitive cell.")
        if kind == "lower":
            raise GoalError(f"'{said}': a lowest number of atoms cannot be asked for.", "Give the highest number.")
        if kind is None:
            self.request.assumptions.append(f"'{said}' read as at most {count} atoms in the primitive cell")
        self.request.max_atoms.append(count)

    def _time(self, unit: float, hours: float) -> None:
        said = self._said(None)
        if hours <= 0:
            raise GoalError(f"'{said}' leaves no time.", "Give a positive time, for instance '2 hours' or '3 days'.")
        if self.request.hours.get(unit, hours) != hours:
            raise GoalError(f"Two time budgets: '{said}' is the second.", "Give one.")
        self.request.hours[unit] = hours

    def _positive(self, value: float, what: str) -> float:
        if not value > 0:
            remedy = "Give a positive amount, or leave it out."
            raise GoalError(f"{value:g} {what}: nothing can be done with that.", remedy)
        return value
