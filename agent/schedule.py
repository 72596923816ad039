"""How one round is sized and aimed: batch, proposals, exploration, fidelity, and the part of the chemical space.

Deterministic rules over the brief, each with its reason in words. What is not here: whether there is another round
(`policy.py`) and which generators it uses (`bandit.py`).
"""

from __future__ import annotations

import math

from pydantic import Field

from ..tools.core.plans import Brief, Fidelity, Focus
from ..tools.core.types import Frozen

IMPROVEMENT = 1e-4
"""Relative change of the best objective that counts as better."""

EXPLORATION = (0.05, 0.6)
"""Smallest and largest exploration that the policy asks for."""

CALIBRATED = 0.75
"""Share of values inside their 90 % intervals, below which the deviations are too small to be trusted."""

CHEAP = 0.2
"""A second opinion may cost this part of an evaluation, at most."""

OPINIONS = 4
"""Second opinions for each crystal that is evaluated afterwards."""

OPEN_EVERY = 3
"""Of so many rounds one stays open, so that what was never tried gets its chance."""


class PlanLimits(Frozen):
    """What one round may hold; from the settings, and out of a model's reach."""

    max_proposals: int = Field(default=64, ge=1, le=10_000)
    min_proposals: int = Field(default=8, ge=1, le=10_000)
    max_batch: int = Field(default=8, ge=1, le=1_000)
    proposals_per_evaluation: int = Field(default=8, ge=1, le=1_000)
    parallel: int = Field(default=1, ge=1, le=1_000)
    """Evaluations that can run at the same time; a smaller batch would leave machines idle."""


def stale_rounds(brief: Brief) -> int:
    """Finished rounds since the best crystal last got better (all of them when there never was one)."""
    objective = brief.goal.objectives[0]
    best: float | None = None
    stale = 0
    for value in brief.best_by_round:
        stale += 1
        if value is None:
            continue
        if best is None:
            better = True
        else:
            better = objective.loss(best) - objective.loss(value) > IMPROVEMENT * max(1.0, abs(best))
        if better:
            best, stale = value, 0
    return stale


def batch_cap(brief: Brief, limits: PlanLimits) -> int:
    """The largest batch that budget and settings allow."""
    return max(1, min(limits.max_batch, brief.evaluations_left))


def batch_of(brief: Brief, limits: PlanLimits) -> int:
    """As few as rounds and machines allow, because each evaluation teaches something about the next; all in the last
    round."""
    rounds = max(1, brief.rounds_left)
    needed = math.ceil(brief.evaluations_left / rounds)
    return max(1, min(max(needed, limits.parallel), batch_cap(brief, limits)))


def proposals_of(brief: Brief, limits: PlanLimits, batch: int) -> int:
    """Crystals to relax for a batch; half as many while the pool is full."""
    enough = limits.proposals_per_evaluation * batch
    if brief.pool > 4 * enough:
        enough //= 2
    return min(limits.max_proposals, max(limits.min_proposals, enough))


def exploration_of(brief: Brief, batch: int) -> tuple[float, str]:
    """How much of the batch's score is for what is least known, and why."""
    low, high = EXPLORATION
    if brief.evaluations_left <= batch or brief.rounds_left <= 1:
        return low, "last round, so the money goes to what looks best"
    value, why = low, ["the best expected first"]
    if brief.calibration is not None and brief.calibration < CALIBRATED:
        value += 0.2
        why.append(f"only {brief.calibration:.0%} of values inside their 90 % intervals")
    if stale := stale_rounds(brief):
        value += min(0.3, 0.1 * stale)
        why.append(f"{stale} rounds without a better crystal")
    return round(min(value, high), 3), ", ".join(why)


def fidelity_of(brief: Brief, batch: int) -> tuple[Fidelity | None, int, str]:
    """With which evaluator this round works, how many crystals it looks at, and why.

    Where both may be asked, the one whose most telling question is worth more for its cost (knowledge gradient over
    cost: Poloczek, Wang & Frazier, NeurIPS 2017). While that is not known (few crystals had both), a cheap evaluator
    sorts the shortlist before the dear one is paid: where it costs a fifth or less, while it has not looked at most of
    the promising crystals that wait, and as long as all its opinions cost no more than the evaluations. So one that
    turns out to say nothing has doubled the cost of finding that out, at most.
    """
    if len(brief.fidelities) < 2:
        return None, batch, ""
    scout, judge = brief.fidelities[-2], brief.fidelities[-1]
    if brief.evaluations_left <= batch or brief.rounds_left <= 2:
        return judge.fidelity, batch, f"{judge.evaluator} decides: the end is near"
    if scout.left < 1 or (brief.round > 1 and scout.unasked < 1):
        return judge.fidelity, batch, f"{judge.evaluator} decides: no second opinions are left to ask for"
    count = min(OPINIONS * batch, scout.left)
    if scout.gain_per_core_h is not None and judge.gain_per_core_h is not None:
        worth = (
            f"the most telling question to {scout.evaluator} gains {scout.gain_per_core_h:g} {scout.gain_unit} a "
            f"core-hour, to {judge.evaluator} {judge.gain_per_core_h:g}"
        )
        if scout.gain_per_core_h > judge.gain_per_core_h:
            return scout.fidelity, count, f"{scout.evaluator} gives {count} second opinions first: {worth}"
        return judge.fidelity, batch, f"{judge.evaluator} decides: {worth}"
    return _by_rule(brief, batch, count)


def _by_rule(brief: Brief, batch: int, count: int) -> tuple[Fidelity, int, str]:
    """While too few crystals had both evaluators to say what asking is worth."""
    scout, judge = brief.fidelities[-2], brief.fidelities[-1]
    if scout.core_s > CHEAP * judge.core_s:
        ratio = scout.core_s / max(judge.core_s, 1e-9)
        return judge.fidelity, batch, f"{judge.evaluator} decides: {scout.evaluator} costs {ratio:.2g} of it"
    if brief.round > 1 and scout.fresh >= scout.unasked:
        return judge.fidelity, batch, f"{judge.evaluator} decides among {scout.fresh} second opinions"
    if scout.done * scout.core_s > (judge.done + batch) * judge.core_s:
        return (
            judge.fidelity,
            batch,
            f"{judge.evaluator} decides: {scout.done} second opinions wait for a verdict",
        )
    return scout.fidelity, count, (
        f"{scout.evaluator} gives {count} second opinions first ({scout.core_s:g} core-s each against "
        f"{judge.core_s:g})"
    )  # fmt: skip


def focus_of(brief: Brief) -> tuple[Focus, str]:
    """The part of the chemical space to search this round: without the barren elements, and open again when that does
    not pay."""
    space = brief.goal.space
    if not brief.barren:
        return Focus(), ""
    if stale := stale_rounds(brief):
        return Focus(), f"all of the chemical space, after {stale} rounds without a better crystal"
    if brief.round % OPEN_EVERY == 0:
        return Focus(), f"all of the chemical space, as in every {OPEN_EVERY}rd round"
    focus = Focus(elements=tuple(e for e in space.allowed if e not in brief.barren))
    try:
        focus.within(space)
    except ValueError:
        return Focus(), ""
    shown = ", ".join(brief.barren[:6]) + (" …" if len(brief.barren) > 6 else "")
    return focus, f"without {shown}: many crystals, none of them promising"
