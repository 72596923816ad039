"""The nouns: frozen pydantic models with units in their names, exact JSON round trip, stable identity.

What is not here: behaviour that needs pymatgen (`structure.py`) and the property table (`properties.py`).
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_SITES = 200
"""Largest crystal that Lodestone accepts; a relaxation beyond it would starve a campaign."""

Vector = tuple[float, float, float]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Fidelity = Literal["potential", "dft", "experiment"]
"""How far an evaluator's numbers can be trusted, the least first."""
Purpose = Literal["candidate", "reference", "opinion", "label"]
"""Of an evaluation: a crystal, an element that its energies refer to, a second opinion of either by a cheaper
evaluator, which decides nothing, or a configuration as it is, without relaxation, that the potential is to learn."""


class Frozen(BaseModel):
    """Base of every noun: immutable, no unknown fields, finite numbers only."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def canonical_json(self) -> str:
        """The same bytes for equal values: sorted keys, no white space."""
        return canonical_json(self.model_dump(mode="json"))

    def digest(self) -> str:
        """sha256 of the canonical JSON, in hex."""
        return sha256(self.canonical_json())


def canonical_json(value: Any) -> str:
    """Serialise plain JSON data with sorted keys, no white space, and no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def sha256(text: str) -> str:
    """sha256 of UTF-8 text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


# --- crystals -----------------------------------------------------------------------------------


class Crystal(Frozen):
    """A periodic structure, fully ordered. Lattice rows in Å; coordinates fractional."""

    lattice: tuple[Vector, Vector, Vector]
    species: tuple[str, ...] = Field(min_length=1, max_length=MAX_SITES)
    frac_coords: tuple[Vector, ...]

    @model_validator(mode="after")
    def _same_length(self) -> Crystal:
        if len(self.species) != len(self.frac_coords):
            raise ValueError(f"{len(self.species)} species but {len(self.frac_coords)} positions")
        return self

    def __len__(self) -> int:
        return len(self.species)


class Provenance(Frozen):
    """Where a candidate came from: enough to make it again."""

    generator: str
    parameters: dict[str, str | int | float | bool] = {}
    parents: tuple[str, ...] = ()
    seed: int = 0


class Candidate(Frozen):
    """A crystal and its origin. `id` is `structure.fingerprint(crystal)`: blind to rotation,
    translation, permutation of sites and choice of cell."""

    id: str
    crystal: Crystal
    formula: str
    """Reduced formula in pymatgen's order, e.g. `NaCl`."""
    provenance: Provenance


FailureKind = Literal[
    "",
    "scf",
    "relaxation",
    "symmetry",
    "memory",
    "wall",
    "allowance",
    "silence",
    "pseudopotential",
    "geometry",
    "output",
    "too_large",
    "crash",
]
"""What went wrong in an evaluation: no self-consistency, a relaxation that does not end, a code that stumbles over
symmetry, out of memory, out of time, more core time than reserved, a hang, no pseudopotential or data set, atoms that
overlap, output that is no result, a predicted cost beyond the limit, a process that died. Empty: none of these."""


class Failure(Frozen):
    """An expected failure, as data."""

    stage: Literal["generate", "screen", "relax", "recognise", "evaluate"]
    reason: str
    kind: FailureKind = Field(default="", exclude_if=lambda kind: not kind)
    """Left out of the JSON where it is empty: records that are older than it keep their digests."""


class Verdict(Frozen):
    """What a screen says: pass, or a reason (never both)."""

    screen: str
    passed: bool
    reason: str = ""


class Relaxation(Frozen):
    """The end of one relaxation. Energies in eV/atom, forces in eV/Å, stress in GPa."""

    candidate_id: str
    crystal: Crystal
    energy_per_atom: float
    fmax: float | None
    """None, as the stress, of a model that knows energies alone."""
    stress_max_gpa: float | None
    steps: int
    converged: bool
    potential: str
    """Name and version, e.g. `chgnet-0.3.0`."""
    failure: Failure | None = None
    wall_s: float = 0.0
    path: tuple[Crystal, ...] = Field(default=(), exclude_if=lambda path: not path)
    """Configurations on the way, the start first, where the settings ask for them; the ledger does not keep them."""


class PotentialRecord(Frozen):
    """Which model relaxed: enough to cite it, to fetch it again, and to say what it cannot judge."""

    name: str
    """With the version of the weights, e.g. `chgnet-0.3.0`."""
    package: str
    """Distribution that runs it, with its version, e.g. `chgnet 0.4.2`."""
    sha256: str
    """Of the file of its weights; empty where there is none to be read."""
    licence: str
    """Of the weights, in the words of who gives them; `not stated` where nobody says."""
    elements: tuple[str, ...] | None
    """That occurred in its training, by atomic number; None where its maker does not say."""


class Recognition(Frozen):
    """What a crystal is. Symmetry by a symmetry finder at `symprec`; the rest by the network."""

    candidate_id: str
    space_group: int = Field(ge=1, le=230)
    space_group_symbol: str
    symprec: float
    crystal_system: str
    prototype: str
    """AFLOW label of the matched prototype, or an empty string where none matches."""
    prototype_confidence: Fraction = 0.0
    network_crystal_system: str = ""
    network_confidence: Fraction = 0.0
    dimensionality: int = Field(ge=0, le=3)
    embedding: tuple[float, ...] = ()
    model: str = ""


# --- measurements -------------------------------------------------------------------------------


class Quantity(Frozen):
    """A number with its unit and one standard deviation (None: not known)."""

    value: float
    unit: str
    std: float | None = None


class EvaluationRequest(Frozen):
    """What an evaluator is asked to do. Its digest with method and code version is the evaluation key."""

    candidate_id: str
    crystal: Crystal
    properties: tuple[str, ...]
    purpose: Purpose = "candidate"
    replicate: int = 0
    recipe: str = Field(default="", exclude_if=lambda text: not text)
    """Canonical JSON of the recipe by which a laboratory shall make it; left out of the JSON where it is empty."""


class JobLimits(Frozen):
    """What one evaluation may use, all its attempts together. It never changes a result, so it enters no key."""

    core_s: float | None = Field(default=None, gt=0.0)
    """Core seconds."""
    wall_s: float | None = Field(default=None, gt=0.0)
    """Wall seconds of one attempt, where less is left than the evaluator's own limit."""


class LadderStep(Frozen):
    """A change of the numerics with which a calculation that had failed was tried again."""

    change: str
    because: str
    """Why, in the words of the failure."""
    physics: str = ""
    """What values obtained with this change are valid for, where that is something else; empty: the same."""


class Observation(Frozen):
    """Measured values of one crystal, or the failure that was paid for."""

    key: str
    candidate_id: str
    evaluator: str
    """Name and version, e.g. `gpaw-25.7.0`."""
    method: str
    """What it is, in words a reader can cite, e.g. `PBE, plane waves 400 eV (GPAW)`."""
    fidelity: Fidelity
    purpose: Purpose = "candidate"
    values: dict[str, Quantity] = {}
    crystal: Crystal | None = None
    """The structure at the evaluator's own minimum, where it relaxed one."""
    cost_core_s: float = Field(default=0.0, ge=0.0)
    wall_s: float = Field(default=0.0, ge=0.0)
    failure: Failure | None = None
    artefacts: dict[str, str] = {}
    ladder: tuple[LadderStep, ...] = Field(default=(), exclude_if=lambda steps: not steps)
    """What was tried after failures, in order; left out of the JSON where it is empty."""


class JobStatus(StrEnum):
    """What an evaluator knows about a key."""

    NEVER_SEEN = "never seen"
    RUNNING = "running"
    DONE = "done"
    DEAD = "dead"
    """Started, not finished, and certainly not running any more: may be started again."""
    CANNOT_KNOW = "cannot know"


# --- goals --------------------------------------------------------------------------------------


class Objective(Frozen):
    """What to improve: an extremum, the distance to `target`, or to the interval from `lower` to `upper` (direction
    `range`); numbers in the catalogue's unit."""

    property: str
    direction: Literal["minimise", "maximise", "target", "range"]
    target: float | None = None
    lower: float | None = None
    upper: float | None = None
    weight: float = Field(default=1.0, gt=0.0, le=100.0)

    @model_validator(mode="after")
    def _numbers_fit(self) -> Objective:
        if (self.direction == "target") != (self.target is not None):
            raise ValueError("a target value belongs to direction 'target', and to no other")
        if (self.direction == "range") != (self.lower is not None) or (self.lower is None) != (self.upper is None):
            raise ValueError("a lower and an upper value belong to direction 'range', and to no other")
        if self.lower is not None and self.upper is not None and self.lower >= self.upper:
            raise ValueError(f"lower value {self.lower} is not below upper value {self.upper}")
        return self

    def loss(self, value: float) -> float:
        """How far a value is from what is wanted: lower is better, in the catalogue's unit."""
        if self.target is not None:
            return abs(value - self.target)
        if self.lower is not None and self.upper is not None:
            return max(self.lower - value, value - self.upper, 0.0)
        return value if self.direction == "minimise" else -value


class Constraint(Frozen):
    """A closed interval on one property, in the catalogue's unit; None is open."""

    property: str
    lower: float | None = None
    upper: float | None = None

    @model_validator(mode="after")
    def _sane(self) -> Constraint:
        if self.lower is None and self.upper is None:
            raise ValueError("a constraint needs a lower or an upper bound")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"lower bound {self.lower} is above upper bound {self.upper}")
        return self

    def holds(self, value: float) -> bool:
        """Whether a value lies inside the closed interval."""
        return (self.lower is None or value >= self.lower) and (self.upper is None or value <= self.upper)


class ChemicalSpace(Frozen):
    """Which compositions may be made. All element lists are sorted symbols."""

    required: tuple[str, ...] = ()
    """Each crystal holds all of these."""
    allowed: tuple[str, ...]
    """No crystal holds anything else; a superset of `required`."""
    excluded: tuple[str, ...] = ()
    """What the user ruled out (kept for the report; never in `allowed`)."""
    any_of: tuple[tuple[str, ...], ...] = ()
    """Of each of these groups, a crystal holds one element at least."""
    formula: str | None = None
    """Reduced formula, where the user fixed the composition."""
    pattern: str | None = None
    """Stoichiometry with letters for sites, e.g. `ABX3` or `AB2O4`, where the user fixed that."""
    n_elements: tuple[int, int] = (1, 6)
    max_atoms: int = Field(default=20, ge=1, le=MAX_SITES)
    """Atoms in the primitive cell."""

    @model_validator(mode="after")
    def _consistent(self) -> ChemicalSpace:
        if not set(self.required) <= set(self.allowed):
            raise ValueError(f"required {self.required} is not inside allowed {self.allowed}")
        if set(self.allowed) & set(self.excluded):
            raise ValueError(f"both allowed and excluded: {sorted(set(self.allowed) & set(self.excluded))}")
        for group in self.any_of:
            if not set(group) <= set(self.allowed):
                raise ValueError(f"one of {group} is wanted, but not all of them are allowed")
        low, high = self.n_elements
        if not 1 <= low <= high:
            raise ValueError(f"number of elements from {low} to {high} is empty")
        if max(low, len(self.required)) > min(high, len(self.allowed)):
            raise ValueError(f"no composition has {low} to {high} elements of {self.allowed} with {self.required}")
        return self

    @property
    def is_fixed_formula(self) -> bool:
        """Whether only one composition is wanted."""
        return self.formula is not None


class StructureWish(Frozen):
    """What the crystal should look like; an empty list leaves it open. A crystal has to fit every list that is not."""

    prototypes: tuple[str, ...] = ()
    """Names of structure types, e.g. `rocksalt`; see `tools.core.prototypes`."""
    space_groups: tuple[Annotated[int, Field(ge=1, le=230)], ...] = ()
    crystal_systems: tuple[
        Literal["cubic", "tetragonal", "orthorhombic", "hexagonal", "trigonal", "monoclinic", "triclinic"], ...
    ] = ()
    dimensionality: tuple[Annotated[int, Field(ge=0, le=3)], ...] = ()
    """Of the bonded units: 2 for layers."""
    centrosymmetric: bool | None = None

    @property
    def is_open(self) -> bool:
        """Whether any structure will do."""
        return self == StructureWish()


class Budget(Frozen):
    """Hard caps. Every evaluation counts, those of elemental references and failed ones too; second opinions count
    in `per_fidelity`, core-hours and money."""

    evaluations: int = Field(ge=1, le=1_000_000)
    wall_hours: float = Field(gt=0.0, le=24 * 366)
    rounds: int = Field(default=1000, ge=1, le=100_000)
    per_fidelity: dict[Fidelity, int] = {}
    """Cap on the evaluations of one fidelity, where there is one."""
    core_hours: float | None = Field(default=None, gt=0.0, le=1e9)
    """Core-hours of all evaluations together."""
    money: float | None = Field(default=None, gt=0.0, le=1e12)
    """In the currency in which `[costs]` gives its prices."""
    samples: int | None = Field(default=None, ge=1, le=1_000_000)
    """Physical samples that a laboratory may make."""


class StopRule(Frozen):
    """When to end early: `hits` crystals that meet the goal, or no better one for `patience` rounds."""

    hits: int | None = Field(default=None, ge=1)
    patience: int = Field(default=4, ge=1)


class GoalSpec(Frozen):
    """The accepted goal; frozen, and named by its digest."""

    text: str
    objectives: tuple[Objective, ...] = Field(min_length=1)
    constraints: tuple[Constraint, ...] = ()
    tradeoff: Literal["weighted", "pareto"] = "weighted"
    """How several objectives are weighed up: by their weights, or as a set of compromises."""
    space: ChemicalSpace
    structure: StructureWish = StructureWish()
    novel: bool = False
    """Whether crystals that are known already do not count."""
    synthesizable: bool = False
    """Whether only what can be expected to be made counts: charge-balanced, and at most metastable."""
    budget: Budget
    stop: StopRule = StopRule()
    evaluator: str = "auto"
    laboratory: str | None = None
    """Name of the laboratory that makes the best ones; None: nothing is made."""
    seed: int = Field(default=0, ge=0, lt=2**31)

    @property
    def properties(self) -> tuple[str, ...]:
        """Every property the goal speaks of, objectives first, without repeats."""
        names = [o.property for o in self.objectives] + [c.property for c in self.constraints]
        return tuple(dict.fromkeys(names))


class Question(Frozen):
    """Something that matters and that the request leaves open."""

    text: str
    assumption: str
    """What is done if nobody answers; `--yes` takes it."""


class Understanding(Frozen):
    """What the reader of a request made of it: the goal, and what the user should check."""

    goal: GoalSpec
    assumptions: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    """Words of the request that changed nothing."""
    notes: tuple[str, ...] = ()
    questions: tuple[Question, ...] = ()
    """What should be settled before money is spent; each with what is assumed until then."""
