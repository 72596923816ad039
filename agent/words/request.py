"""What was read in a request, before it is put together and checked. Lists keep the order of the sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["lower", "upper", "target"]
Stability = Literal["stable", "metastable", "most stable", "on the hull"]
Direction = Literal["minimise", "maximise", "target", "range"]


@dataclass(frozen=True, slots=True)
class Bound:
    """One number on a property: its kind, its value in `unit` (None: not said)."""

    kind: Kind
    value: float
    unit: str | None


@dataclass
class Wish:
    """An objective; `bounds` are those of a target or a range."""

    property: str
    direction: Direction
    bounds: tuple[Bound, ...] = ()
    weight: float = 1.0
    vague: bool = False
    """Said by a word such as `high`, which a bound on the same property only makes precise."""
    clause: int = -1
    """Number of the clause that says it."""


@dataclass(frozen=True, slots=True)
class Mention:
    """Elements that are only named (`Na, Cl`): whether alone or beside others, the rest of the request says."""

    said: str
    elements: tuple[str, ...]
    either: bool
    """Joined by `or`, or a group: one of them at least."""
    beside_others: bool
    """A word such as `compounds` follows."""


@dataclass
class Request:
    """Everything that was read."""

    systems: list[tuple[str, ...]] = field(default_factory=list)
    either_system: bool = False
    """Whether systems are joined by `or`."""
    formulas: dict[str, dict[str, int]] = field(default_factory=dict)
    patterns: list[tuple[tuple[str, int], ...]] = field(default_factory=list)
    mentions: list[Mention] = field(default_factory=list)
    required: dict[str, str] = field(default_factory=dict)
    """Element to the words that ask for it."""
    any_of: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    only: dict[str, str] = field(default_factory=dict)
    only_of_class: bool = False
    """Whether `only` comes of a class of compounds (`intermetallics`)."""
    excluded: dict[str, str] = field(default_factory=dict)
    permitted: list[str] = field(default_factory=list)
    """Exceptions from what is excluded."""
    excepted: list[str] = field(default_factory=list)
    """Excluded by a word such as `except`, which `no other metals` behind it turns round."""
    others_excluded: list[str] = field(default_factory=list)
    """Excluded unless the request asks for them: `no other rare earths`."""
    classes: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    any_classes: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    anything: bool = False
    element_counts: list[tuple[int, int | None]] = field(default_factory=list)
    closed_choice: bool = False
    """Whether a crystal is made of the choices alone."""
    parts: int | None = None
    """Elements of a crystal where only the choices say it (`made of Zn or Cd and S or Se`: two)."""
    max_atoms: list[int] = field(default_factory=list)

    bounds: list[tuple[str, Bound, int]] = field(default_factory=list)
    """Property, bound, and the number of the clause."""
    wishes: list[Wish] = field(default_factory=list)
    weights: list[tuple[int, tuple[float, ...]]] = field(default_factory=list)
    """Number of the clause that says the weights of the properties before it, the last for the nearest."""
    property_weights: dict[str, float] = field(default_factory=dict)
    stability: list[Stability] = field(default_factory=list)
    pareto: bool = False

    prototypes: list[str] = field(default_factory=list)
    space_groups: list[int] = field(default_factory=list)
    crystal_systems: list[str] = field(default_factory=list)
    dimensionality: list[int] = field(default_factory=list)
    centrosymmetric: list[bool] = field(default_factory=list)
    novel: bool = False
    synthesizable: bool = False
    laboratory: bool = False

    evaluations: list[tuple[str, int]] = field(default_factory=list)
    """Evaluator as said (or an empty string), and how many."""
    hours: dict[float, float] = field(default_factory=dict)
    """Hours of the unit, to the time in hours."""
    rounds: list[int] = field(default_factory=list)
    core_hours: list[float] = field(default_factory=list)
    money: list[float] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    hits: list[int] = field(default_factory=list)
    patience: list[int] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    evaluators: list[str] = field(default_factory=list)

    questions: list[tuple[str, str]] = field(default_factory=list)
    """What should be asked, and what is assumed until it is answered."""
    assumptions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
