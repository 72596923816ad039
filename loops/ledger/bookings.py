"""What an evaluation may cost, per resource, in whole units: what is reserved, and what a result settles.

Whole numbers, because a cap is either passed or not: evaluations in ones, core time in seconds, money in hundredths,
samples in ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ...tools.core.types import Budget, EvaluationRequest, Frozen, Observation, Purpose, Quantity

EVALUATIONS = "evaluations"
CORE_S = "core_s"
MONEY = "money"
SAMPLES = "samples"
RELEASED = (CORE_S, MONEY)
"""Of these more is reserved than an evaluation usually costs; the rest is given back when it is settled."""
CORE_MARGIN_S = 5
"""Core seconds per core that a job may use between passing its allowance and being ended."""


class Prices(Frozen):
    """What an evaluation costs in money, in the currency of the budget."""

    per_core_hour: float = 0.0
    per_evaluation: float = 0.0


@dataclass(frozen=True)
class Booking:
    """One evaluation to be reserved."""

    key: str
    request: EvaluationRequest
    predicted: Mapping[str, Quantity] = field(default_factory=dict)
    why: str = ""
    fidelity: str = ""
    formula: str = ""
    charges: Mapping[str, int] = field(default_factory=lambda: {EVALUATIONS: 1})
    """Resource to the most that this evaluation may use of it."""


@dataclass(frozen=True)
class Account:
    """One resource: cap (None: no cap), reserved by evaluations that are not finished, spent by those that are."""

    resource: str
    cap: int | None
    reserved: int
    spent: int

    @property
    def left(self) -> int | None:
        """What may still be reserved; None without a cap."""
        return None if self.cap is None else max(0, self.cap - self.reserved - self.spent)


def caps_of(budget: Budget, opinions: tuple[str, int] | None = None) -> dict[str, int | None]:
    """Every resource of a campaign with its cap.

    Args:
        budget: of the goal.
        opinions: fidelity of the second opinions, and how many there may be where the budget does not say.
    """
    caps: dict[str, int | None] = {
        EVALUATIONS: budget.evaluations,
        CORE_S: None if budget.core_hours is None else math.floor(budget.core_hours * 3600),
        MONEY: None if budget.money is None else math.floor(budget.money * 100),
        SAMPLES: budget.samples,
    }
    for fidelity in ("potential", "dft", "experiment"):
        caps[fidelity_resource(fidelity)] = budget.per_fidelity.get(fidelity)
    if opinions is not None and caps[fidelity_resource(opinions[0])] is None:
        caps[fidelity_resource(opinions[0])] = opinions[1]
    return caps


def fidelity_resource(fidelity: str) -> str:
    """The account of one fidelity's evaluations."""
    return f"{EVALUATIONS}:{fidelity}"


def reservation(
    fidelity: str, wall_limit_s: float, cores: int, prices: Prices, purpose: Purpose = "candidate"
) -> dict[str, int]:
    """The most that one evaluation can cost: all its attempts together may use `wall_limit_s` on `cores` cores.

    A second opinion is none of the evaluations that the goal counts; it has its fidelity's account.
    """
    core_s = math.ceil((wall_limit_s + CORE_MARGIN_S) * cores)
    charges = {EVALUATIONS: 1, fidelity_resource(fidelity): 1, CORE_S: core_s, MONEY: _money(core_s, prices)}
    if purpose == "opinion":
        del charges[EVALUATIONS]
    if fidelity == "experiment":
        charges[SAMPLES] = 1
    return charges


def settlement(observation: Observation, prices: Prices) -> dict[str, int]:
    """What a finished evaluation has cost; a failed one costs what it used."""
    core_s = math.ceil(observation.cost_core_s)
    charges = {
        EVALUATIONS: 1,
        fidelity_resource(observation.fidelity): 1,
        CORE_S: core_s,
        MONEY: _money(core_s, prices),
    }
    if observation.purpose == "opinion":
        del charges[EVALUATIONS]
    if observation.fidelity == "experiment":
        charges[SAMPLES] = 1
    return charges


def _money(core_s: int, prices: Prices) -> int:
    return math.ceil(100 * (prices.per_evaluation + prices.per_core_hour * core_s / 3600) - 1e-9)
