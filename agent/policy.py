"""What a round may do, and what it does when nobody cleverer is asked: deterministic rules over the brief.

`stop_reason` alone decides whether to stop, `check` bends any plan into what is allowed and says what it bent,
and `decide` is the built-in plan. No model, no clock, no randomness that is not seeded by the brief.
"""

from __future__ import annotations

import math

import numpy as np
from pydantic import Field

from ..tools.core.types import Brief, Frozen, GeneratorYield, RoundPlan, canonical_json, sha256

_DRAWS = 2048
"""Draws of the posterior from which the shares of the generators come: a standard error of about 1 %."""

_FLOOR = 0.1
"""Share that goes evenly to all generators that still yield something, so that none is given up too early."""

_IMPROVEMENT = 1e-4
"""Relative change of the best objective that counts as better."""

_FRESH = 0.02
"""Share of proposals that must be new and pass the screens, below which the space counts as dry."""

_ENOUGH_PROPOSALS = 50
"""Proposals before a low share of fresh ones says anything."""

_SUM_TOLERANCE = 1e-6
"""How far the shares may be from 1 in sum; that of `RoundPlan`."""

_REASON_LENGTH = 600
"""Characters of a planner's reason that are kept."""


class PlanLimits(Frozen):
    """What one round may hold; from the settings, and out of a model's reach."""

    max_proposals: int = Field(default=64, ge=1, le=10_000)
    min_proposals: int = Field(default=8, ge=1, le=10_000)
    max_batch: int = Field(default=8, ge=1, le=1_000)
    proposals_per_evaluation: int = Field(default=8, ge=1, le=1_000)


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
            better = objective.loss(best) - objective.loss(value) > _IMPROVEMENT * max(1.0, abs(best))
        if better:
            best, stale = value, 0
    return stale


def stop_reason(brief: Brief) -> str | None:
    """Why the campaign ends now, with the numbers; None when it goes on."""
    stop = brief.goal.stop
    if stop.hits is not None and brief.hits >= stop.hits:
        return f"{brief.hits} crystals meet the goal and {stop.hits} were wanted"
    if brief.evaluations_left <= 0:
        return f"all {brief.evaluations_spent} evaluations of the budget are spent"
    if brief.rounds_left <= 0:
        return f"no round is left after round {brief.round - 1}"
    if brief.wall_s_left <= 0:
        return "the time is over"
    stale = stale_rounds(brief)
    if stale >= stop.patience:
        return f"no better crystal for {stale} rounds (patience {stop.patience})"
    return _dry(brief)


def decide(brief: Brief, limits: PlanLimits | None = None) -> RoundPlan:
    """The built-in plan for a round; the same brief gives the same plan.

    Shares follow Thompson sampling: each generator's chance that a relaxed crystal lies near the hull has a Beta
    posterior (Chapelle and Li, NeurIPS 2011), and its share is how often it draws the highest chance.

    Args:
        brief: what is known at the start of the round.
        limits: what a round may hold.

    Returns:
        A plan that `check` leaves as it is.
    """
    limits = limits or PlanLimits()
    reason = stop_reason(brief)
    if reason or not brief.generators:
        reason = reason or "there is no generator"
        return RoundPlan(
            round=brief.round, shares={}, proposals=0, batch=0, exploration=0.0, stop=True, reason=f"Stop: {reason}."
        )
    shares = _shares(brief)
    batch = _batch(brief, limits)
    enough = limits.proposals_per_evaluation * batch
    if brief.pool > 2 * enough:
        enough //= 2
    proposals = min(limits.max_proposals, max(limits.min_proposals, enough))
    exploration, why = _exploration(brief, batch)
    leader = max(shares, key=lambda name: (shares[name], name))
    yields = brief.generators[leader]
    reason = (
        f"{batch} of {brief.evaluations_left} evaluations left, {proposals} proposals ({brief.pool} in the pool); "
        f"{leader} leads with {shares[leader]:.0%} ({yields.near_hull} of {yields.relaxed} relaxed near the hull); "
        f"exploration {exploration:.2f}: {why}."
    )
    return RoundPlan(
        round=brief.round, shares=shares, proposals=proposals, batch=batch, exploration=exploration, reason=reason
    )


def check(
    brief: Brief,
    *,
    shares: dict[str, float],
    proposals: int,
    batch: int,
    exploration: float,
    stop: bool,
    reason: str,
    limits: PlanLimits | None = None,
) -> tuple[RoundPlan, list[str]]:
    """Bend what a planner proposes into what the brief allows.

    Args:
        brief: what is known at the start of the round.
        shares: generator to its share; need not sum to 1 and may name what does not exist.
        proposals: crystals to relax, any number.
        batch: crystals to evaluate, any number.
        exploration: 0 to 1; other values are clipped.
        stop: whether the planner wants to stop; only `stop_reason` can.
        reason: the planner's words; cut to length, and control characters removed.
        limits: what a round may hold.

    Returns:
        The allowed plan, and one phrase for each change.
    """
    limits = limits or PlanLimits()
    own = decide(brief, limits)
    if own.stop:
        return own, ([] if stop else [f"must stop: {stop_reason(brief) or 'there is no generator'}"])
    corrections: list[str] = []
    if stop:
        corrections.append("stop refused: neither goal, budget, patience nor an empty space calls for it")
    kept = {name: s for name, s in shares.items() if name in brief.generators and math.isfinite(s) and s > 0.0}
    if unknown := sorted(set(shares) - set(brief.generators)):
        corrections.append(f"unknown generators removed: {', '.join(_clean(name)[:40] for name in unknown[:5])}")
    if not kept:
        allowed = own.shares
        corrections.append("no usable generator named: the built-in shares are used")
    elif abs(sum(kept.values()) - 1.0) <= _SUM_TOLERANCE:
        allowed = kept
    else:
        largest = max(kept.values())  # scaled by it first: a sum of shares near 1e308 is infinite
        total = sum(share / largest for share in kept.values())
        allowed = {name: share / largest / total for name, share in kept.items()}
        corrections.append("generator shares scaled to sum to 1")
    new_proposals = _clip("proposals", proposals, 1, limits.max_proposals, corrections)
    new_batch = _clip("batch", batch, 1, _batch_cap(brief, limits), corrections)
    if not math.isfinite(exploration) or not 0.0 <= exploration <= 1.0:
        corrections.append(f"exploration set to {own.exploration:g}: it lies from 0 to 1")
        exploration = own.exploration
    plan = RoundPlan(
        round=brief.round,
        shares=allowed,
        proposals=new_proposals,
        batch=new_batch,
        exploration=exploration,
        reason=_clean(reason)[:_REASON_LENGTH] or "no reason given",
    )
    return plan, corrections


def _clip(what: str, value: int, low: int, high: int, corrections: list[str]) -> int:
    clipped = min(max(value, low), high)
    if clipped != value:
        shown = str(value) if abs(value) < 10**12 else "a huge number"
        corrections.append(f"{what} {shown} set to {clipped}")
    return clipped


def _clean(text: str) -> str:
    """One line of printable characters: a model's words may hold terminal escapes."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _dry(brief: Brief) -> str | None:
    """Whether the generators bring nothing new any more and nothing is left to evaluate."""
    if brief.round < 2 or brief.pool > 0 or not brief.generators:
        return None
    proposed = sum(y.proposed for y in brief.generators.values())
    lost = sum(y.screened_out + y.duplicates for y in brief.generators.values())
    if proposed == 0:
        return f"the space is empty: no generator proposed anything in {brief.round - 1} rounds"
    if proposed >= _ENOUGH_PROPOSALS and proposed - lost < _FRESH * proposed:
        return (
            f"the space is dry: {lost} of {proposed} proposals were duplicates or screened out, and the pool is empty"
        )
    return None


def _is_dry(yields: GeneratorYield, round_number: int) -> bool:
    """Whether a generator had two rounds and proposed nothing."""
    return round_number >= 3 and yields.proposed == 0


def _shares(brief: Brief) -> dict[str, float]:
    names = sorted(brief.generators)
    live = [name for name in names if not _is_dry(brief.generators[name], brief.round)] or names
    # Counts alone, neither the clock nor a measured digit: a resumed campaign must draw what an undisturbed one draws.
    counts = {n: [y.proposed, y.relaxed, y.near_hull, y.duplicates] for n, y in brief.generators.items()}
    seed = int(sha256(canonical_json([brief.goal.digest(), brief.round, counts]))[:16], 16)
    rng = np.random.default_rng(seed)
    draws = []
    for name in live:
        yields = brief.generators[name]
        good = min(yields.near_hull, yields.relaxed)
        bad = yields.relaxed - good + yields.duplicates
        draws.append(rng.beta(1 + good, 2 + bad, size=_DRAWS))
    wins = np.bincount(np.argmax(np.array(draws), axis=0), minlength=len(live)) / _DRAWS
    shares = (1.0 - _FLOOR) * wins + _FLOOR / len(live)
    rounded = [round(float(share), 4) for share in shares]
    total = sum(rounded)
    return {name: share / total for name, share in zip(live, rounded, strict=True)}


def _batch_cap(brief: Brief, limits: PlanLimits) -> int:
    return max(1, min(limits.max_batch, brief.evaluations_left))


def _batch(brief: Brief, limits: PlanLimits) -> int:
    """About the square root of what is left a round, so that learning and spending keep pace; all in the last."""
    left = brief.evaluations_left
    rounds = max(1, min(brief.rounds_left, math.ceil(math.sqrt(left))))
    return max(1, min(math.ceil(left / rounds), _batch_cap(brief, limits)))


def _exploration(brief: Brief, batch: int) -> tuple[float, str]:
    total = brief.evaluations_spent + brief.evaluations_left
    spent = brief.evaluations_spent / total
    if brief.evaluations_left <= batch or brief.rounds_left <= 1:
        return 0.05, "last round, so the money goes to what looks best"
    value = 0.6 * (1.0 - spent) + 0.1
    why = [f"{spent:.0%} of the evaluations spent"]
    if brief.calibration is not None and brief.calibration < 0.8:
        value += 0.15
        why.append(f"only {brief.calibration:.0%} of values inside their 90 % intervals")
    if stale := stale_rounds(brief):
        value += min(0.3, 0.1 * stale)
        why.append(f"{stale} rounds without a better crystal")
    return round(min(value, 1.0), 3), ", ".join(why)
