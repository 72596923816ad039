"""What a model may write down of a request, and how that becomes the same `Request` that the grammar yields.

A model is trusted with language and with nothing else: a number that does not stand in the request is thrown away, an
element that is not named there becomes a question, and units, chemistry and budgets are checked as for the grammar.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..tools.core.elements import ELEMENT_CLASSES, SYMBOLS
from ..tools.core.errors import GoalError
from ..tools.core.properties import CATALOGUE
from ..tools.core.prototypes import STRUCTURE_TYPES
from ..tools.core.stoichiometry import parse_pattern
from .words.formulas import parse_formula
from .words.lexeme import Lexeme
from .words.lexer import tokenise
from .words.request import Bound, Kind, Request, Wish
from .words.text import normalise
from .words.units import unit_at

_SYMBOLS = frozenset(SYMBOLS)
_NAMED = frozenset({"GROUP", "NON_GROUP", "ONLY_GROUP", "CLASS", "ANY_CLASS", "COMPOUND", "FREE_OF", "SYSTEM"})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class DraftBound(_Strict):
    """A limit, or a value to come close to."""

    property: str = Field(description=f"one of: {', '.join(CATALOGUE)}")
    kind: Literal["at_least", "at_most", "close_to"]
    value: float
    unit: str = Field(default="", max_length=40, description="as written in the request, e.g. eV, GPa, g/cm3")


class DraftAim(_Strict):
    """Something to be as high or as low as possible."""

    property: str = Field(description=f"one of: {', '.join(CATALOGUE)}")
    direction: Literal["minimise", "maximise"]


class GoalDraft(_Strict):
    """What the request says. Call this once, as your last step."""

    system: list[str] = Field(default=[], max_length=20, description="symbols: these elements and no others")
    formula: str = Field(default="", max_length=80, description="a fixed composition, e.g. SrTiO3")
    stoichiometry: str = Field(default="", max_length=20, description="letters for sites, e.g. ABX3")
    must_contain: list[str] = Field(default=[], max_length=20, description="symbols")
    one_of: list[list[str]] = Field(default=[], max_length=10, description="lists of symbols")
    only: list[str] = Field(default=[], max_length=120, description="symbols: nothing else may be in")
    without: list[str] = Field(default=[], max_length=120, description="symbols")
    element_classes_without: list[str] = Field(
        default=[], max_length=20, description=f"among: {', '.join(ELEMENT_CLASSES)}"
    )
    element_classes_one_of: list[str] = Field(
        default=[], max_length=20, description=f"among: {', '.join(ELEMENT_CLASSES)}"
    )
    any_elements: bool = False
    fewest_elements: int | None = None
    most_elements: int | None = None
    most_atoms: int | None = None
    limits: list[DraftBound] = Field(default=[], max_length=20)
    aims: list[DraftAim] = Field(default=[], max_length=10)
    compromise: bool = Field(default=False, description="true when a Pareto front or a compromise is asked for")
    stability: Literal["", "stable", "metastable", "most stable", "on the hull"] = ""
    structure_types: list[str] = Field(default=[], max_length=10, description=f"among: {', '.join(STRUCTURE_TYPES)}")
    space_groups: list[int] = Field(default=[], max_length=20)
    crystal_systems: list[str] = Field(default=[], max_length=7)
    dimensionality: list[int] = Field(default=[], max_length=4, description="2 for layers")
    centrosymmetric: bool | None = None
    novel: bool = False
    synthesizable: bool = False
    evaluations: float | None = None
    evaluator: Literal["", "dft", "gpaw", "espresso", "abinit", "vasp", "sevennet"] = ""
    days: float | None = None
    hours: float | None = None
    rounds: float | None = None
    core_hours: float | None = None
    money: float | None = None
    samples: float | None = None
    crystals_wanted: float | None = None
    rounds_without_gain: float | None = None
    unused: list[str] = Field(default=[], max_length=50)


def request_of(draft: GoalDraft, text: str) -> tuple[Request, tuple[str, ...]]:
    """The request that a draft holds, and the words that it says it could not use.

    Raises:
        GoalError: for a symbol, property, unit or name that does not exist.
    """
    return _Filling(draft, text).request, tuple(w[:200] for w in draft.unused if w and w in text)


class _Filling:
    def __init__(self, draft: GoalDraft, text: str) -> None:
        self.request = Request()
        tokens = tokenise(normalise(text))
        self._numbers = {float(t.value) for t in tokens if t.kind == "NUMBER"}
        self._elements = {e for t in tokens for e in _elements_in(t)}
        self._chemistry(draft)
        self._properties(draft)
        self._structure(draft)
        self._budget(draft)

    def _chemistry(self, draft: GoalDraft) -> None:
        request = self.request
        if draft.system:
            request.systems.append(self._symbols(draft.system))
        if draft.formula:
            counts = parse_formula(draft.formula)
            if counts is None:
                raise GoalError(f"'{draft.formula}' is no formula.", "Write it as in SrTiO3.")
            self._symbols(tuple(counts))
            request.formulas[draft.formula] = counts
        if draft.stoichiometry:
            pattern = parse_pattern(draft.stoichiometry)
            if pattern is None:
                raise GoalError(f"'{draft.stoichiometry}' is no stoichiometry.", "Write it as in ABX3.")
            request.patterns.append(pattern)
        for element in self._symbols(draft.must_contain):
            request.required[element] = element
        for group in draft.one_of:
            request.any_of.append((", ".join(group), self._symbols(group)))
        for name in draft.element_classes_one_of:
            request.any_of.append((name, _class(name)))
        for element in self._symbols(draft.only):
            request.only[element] = "only"
        for element in self._symbols(draft.without):
            request.excluded[element] = element
        for name in draft.element_classes_without:
            request.excluded |= dict.fromkeys(_class(name), name)
        request.anything = draft.any_elements
        low, high = draft.fewest_elements, draft.most_elements
        if low is not None or high is not None:
            request.element_counts.append((max(1, low or 1), high))
        if draft.most_atoms is not None and self._stands(draft.most_atoms, "atoms"):
            request.max_atoms.append(draft.most_atoms)

    def _properties(self, draft: GoalDraft) -> None:
        kinds: dict[str, Kind] = {"at_least": "lower", "at_most": "upper", "close_to": "target"}
        for number, limit in enumerate(draft.limits):
            if limit.property not in CATALOGUE:
                raise GoalError(f"Nothing here yields '{limit.property[:80]}'.", f"Known: {', '.join(CATALOGUE)}.")
            if not self._stands(limit.value, CATALOGUE[limit.property].label):
                continue
            found = unit_at(limit.unit, 0) if limit.unit else None
            if limit.unit and found is None:
                raise GoalError(f"'{limit.unit}' is no unit.", f"Give it in {CATALOGUE[limit.property].unit}.")
            kind = "upper" if limit.property == "energy_above_hull" and limit.kind == "close_to" else kinds[limit.kind]
            self.request.bounds.append((limit.property, Bound(kind, limit.value, found[0] if found else None), number))
        for number, aim in enumerate(draft.aims, start=len(draft.limits)):
            if aim.property not in CATALOGUE:
                raise GoalError(f"Nothing here yields '{aim.property[:80]}'.", f"Known: {', '.join(CATALOGUE)}.")
            self.request.wishes.append(Wish(aim.property, aim.direction, clause=number))
        self.request.pareto = draft.compromise
        if draft.stability:
            self.request.stability.append(draft.stability)

    def _structure(self, draft: GoalDraft) -> None:
        request = self.request
        for name in draft.structure_types:
            if name not in STRUCTURE_TYPES:
                raise GoalError(
                    f"'{name[:80]}' is no structure type known here.", f"Known: {', '.join(STRUCTURE_TYPES)}."
                )
        request.prototypes += draft.structure_types
        request.space_groups += [n for n in draft.space_groups if self._stands(n, "space group")]
        request.crystal_systems += draft.crystal_systems
        request.dimensionality += draft.dimensionality
        if draft.centrosymmetric is not None:
            request.centrosymmetric.append(draft.centrosymmetric)
        request.novel, request.synthesizable = draft.novel, draft.synthesizable

    def _budget(self, draft: GoalDraft) -> None:
        request = self.request
        for value, unit in ((draft.days, 24.0), (draft.hours, 1.0)):
            if value is not None and self._stands(value, "time"):
                request.hours[unit] = value * unit
        if draft.evaluations is not None and self._stands(draft.evaluations, "evaluations"):
            request.evaluations.append((draft.evaluator, _whole(draft.evaluations)))
        elif draft.evaluator:
            request.evaluators.append(draft.evaluator)
        for value, what, target in (
            (draft.rounds, "rounds", request.rounds),
            (draft.samples, "samples", request.samples),
            (draft.crystals_wanted, "crystals wanted", request.hits),
            (draft.rounds_without_gain, "rounds without gain", request.patience),
        ):
            if value is not None and self._stands(value, what):
                target.append(_whole(value))
        if draft.core_hours is not None and self._stands(draft.core_hours, "core-hours"):
            request.core_hours.append(draft.core_hours)
        if draft.money is not None and self._stands(draft.money, "money"):
            request.money.append(draft.money)

    def _stands(self, value: float, what: str) -> bool:
        """Whether a number stands in the request; one that does not is left out, and that is said."""
        if any(abs(value) == abs(known) for known in self._numbers):
            return True
        self.request.assumptions.append(f"{what}: {value:g} does not stand in the request and is left out")
        return False

    def _symbols(self, given: list[str] | tuple[str, ...]) -> tuple[str, ...]:
        for symbol in given:
            if symbol not in _SYMBOLS:
                raise GoalError(f"'{symbol[:40]}' is not an element.", "Write symbols such as Li.")
            if symbol not in self._elements:
                self.request.questions.append((f"Is {symbol} meant?", f"{symbol}, as the model read the request"))
        return tuple(dict.fromkeys(given))


def _elements_in(token: Lexeme) -> tuple[str, ...]:
    """Elements that a token names, also by a class."""
    if token.kind == "ELEMENT":
        return (str(token.value),)
    if token.kind == "FORMULA":
        return tuple(token.value)
    if token.kind == "PATTERN":
        return tuple(symbol for symbol, _ in token.value if symbol in _SYMBOLS)
    return tuple(token.value) if token.kind in _NAMED else ()


def _class(name: str) -> tuple[str, ...]:
    if name not in ELEMENT_CLASSES:
        raise GoalError(f"'{name[:80]}' is no class of elements known here.", f"Known: {', '.join(ELEMENT_CLASSES)}.")
    return ELEMENT_CLASSES[name]


def _whole(value: float) -> int:
    if value != int(value) or value < 1:
        raise GoalError(f"{value:g}: a whole number of at least 1 is expected.", "Change the request.")
    return int(value)
