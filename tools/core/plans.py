"""What passes between the loop and the planner: the brief of a round, and its plan.

What is not here: deciding (`agent/policy.py`) and doing (`loops/round.py`).
"""

from __future__ import annotations

from pydantic import Field, model_validator

from .types import ChemicalSpace, Fidelity, Fraction, Frozen, GoalSpec


class Focus(Frozen):
    """A part of the chemical space to which one round keeps; what is left open stays as the goal has it."""

    elements: tuple[str, ...] = ()
    """Proposed crystals hold no others (and all that the goal requires); empty: whatever the goal allows."""

    @property
    def is_open(self) -> bool:
        """Whether nothing is narrowed."""
        return self == Focus()

    def within(self, space: ChemicalSpace) -> ChemicalSpace:
        """The part of a chemical space that is left.

        Raises:
            ValueError: where nothing is left.
        """
        if self.is_open:
            return space
        if space.formula is not None:
            raise ValueError("a fixed composition cannot be narrowed")
        elements = tuple(sorted(set(self.elements) & set(space.allowed) | set(space.required)))
        low, high = space.n_elements
        groups = tuple(tuple(e for e in group if e in elements) for group in space.any_of)
        if any(not group for group in groups) or low > len(elements):
            raise ValueError(f"the goal needs elements besides {', '.join(elements)}")
        changes = {"allowed": elements, "any_of": groups, "n_elements": (low, max(low, min(high, len(elements))))}
        return ChemicalSpace.model_validate({**space.model_dump(), **changes})


class RoundPlan(Frozen):
    """What one round does, and why. Money and safety are not in here: the loop caps them."""

    round: int = Field(ge=1)
    shares: dict[str, Fraction]
    """Generator name to its share of the proposals; sums to 1 (or is empty when stopping)."""
    proposals: int = Field(ge=0, le=10_000)
    """Crystals to relax this round."""
    batch: int = Field(ge=0, le=1_000)
    """Crystals to evaluate this round."""
    fidelity: Fidelity | None = None
    """With which evaluator; None: the one that decides what is found."""
    exploration: Fraction
    """0: only what looks best; 1: only what is least known."""
    focus: Focus = Focus()
    stop: bool = False
    reason: str
    decided_by: str = ""
    tokens: int = Field(default=0, ge=0)
    """That chat models used for it, also those whose answer was not taken."""
    money: float = Field(default=0.0, ge=0.0)
    """What they cost, by the prices of the settings."""

    @model_validator(mode="after")
    def _shares_sum(self) -> RoundPlan:
        if self.shares and abs(sum(self.shares.values()) - 1.0) > 1e-6:
            raise ValueError(f"generator shares sum to {sum(self.shares.values()):.3f}, expected 1")
        if not self.stop and (not self.shares or self.proposals < 1):
            raise ValueError("a round that goes on needs at least one generator and one proposal")
        return self


class GeneratorYield(Frozen):
    """How one generator has done so far."""

    proposed: int = 0
    screened_out: int = 0
    relaxed: int = 0
    duplicates: int = 0
    evaluated: int = 0
    near_hull: int = 0
    """Relaxed crystals within 25 meV/atom of the hull, on the potential."""
    promising: int | None = None
    """Relaxed crystals among the best tenth of all by what is expected of them for the goal; None before the first
    selection."""
    mean_energy_above_hull: float | None = None


class SystemYield(Frozen):
    """How one chemical system has done so far."""

    elements: tuple[str, ...]
    relaxed: int
    near_hull: int
    promising: int = 0
    evaluated: int = 0
    lowest_above_hull: float
    """eV/atom of its best crystal on the potential; that of the pure elements does not count."""


class FidelityFacts(Frozen):
    """What one evaluator costs, and how far it is from the one that decides."""

    fidelity: Fidelity
    evaluator: str
    core_s: float = Field(ge=0.0)
    """Core seconds of one evaluation: the median of those done, or before the first the catalogue's typical cost."""
    left: int = Field(ge=0)
    """Evaluations that the budget still allows."""
    done: int = Field(default=0, ge=0)
    fresh: int = Field(default=0, ge=0)
    """Of the most promising crystals that wait, those that it has looked at."""
    unasked: int = Field(default=0, ge=0)
    """Of the same, those that it has not."""
    disagreement: float | None = None
    """Root mean square (eV/atom) between its formation energies and those of the evaluator that decides, after the
    mean difference; None below five crystals that both looked at."""
    potential_disagreement: float | None = None
    """The same of the relaxation potential, on the same crystals."""
    gain: float | None = Field(default=None, ge=0.0)
    """How much the best is expected to rise for the most telling single question to it (knowledge gradient), in
    `gain_unit`; None below five crystals that both looked at."""
    gain_per_core_h: float | None = Field(default=None, ge=0.0)
    """The same over what the question costs."""
    gain_unit: str = ""


class Brief(Frozen):
    """What a planner is told at the start of a round; small, whatever the campaign's length."""

    goal: GoalSpec
    round: int
    generators: dict[str, GeneratorYield]
    evaluations_spent: int
    evaluations_left: int
    wall_s_left: float
    rounds_left: int
    best: dict[str, str | float] | None = None
    """Formula, space group and goal properties of the best crystal so far."""
    best_by_round: tuple[float | None, ...] = ()
    """The objective of the best crystal after each finished round."""
    hits: int = 0
    calibration: float | None = None
    """Share of measured values inside their 90 % intervals, None before there are enough."""
    pool: int = 0
    """Relaxed crystals not evaluated yet."""
    systems: tuple[SystemYield, ...] = ()
    """The most promising chemical systems, at most eight; empty where the goal allows one only."""
    barren: tuple[str, ...] = ()
    """Elements of which many crystals were relaxed and none is promising."""
    fidelities: tuple[FidelityFacts, ...] = ()
    """Evaluators from the cheapest to the one that decides; empty where there is one only."""
    planner_tokens: int = 0
    """Tokens that chat models used in this campaign so far."""
    planner_money: float = 0.0
    """What they cost so far."""
    failures: dict[str, int] = {}
    recent_notes: tuple[str, ...] = ()
