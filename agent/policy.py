"""What a round may do, and what it does when nobody cleverer is asked: deterministic rules over the brief.

`stop_reason` alone decides whether to stop, `check` bends any plan into what is allowed and says what it bent,
and `decide` is the built-in plan. No model, no clock, no randomness that is not seeded by the brief.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..tools.core.plans import Brief, Fidelity, Focus, RoundPlan
from .bandit import good_of, shares_of
from .schedule import (
    OPINIONS,
    PlanLimits,
    batch_cap,
    batch_of,
    exploration_of,
    fidelity_of,
    focus_of,
    proposals_of,
    stale_rounds,
)

__all__ = ["PlanLimits", "Wish", "check", "decide", "stale_rounds", "stop_reason"]

TRUST = 0.4
"""Part of the proposals whose generators a model decides; the rest follows what the generators have shown."""

MAX_DEVIATION = 0.1
"""How far a model's exploration may be from the policy's own."""

SIZE = (0.75, 1.125)
"""Crystals that a model may have relaxed in a round, as parts of the policy's own number; the upper part also holds
for evaluations, because what is evaluated together cannot teach each other."""

_FRESH = 0.02
"""Share of proposals that must be new and pass the screens, below which the space counts as dry."""

_ENOUGH_PROPOSALS = 50
"""Proposals before a low share of fresh ones says anything."""

_REASON_LENGTH = 600
"""Characters of a planner's reason that are kept."""


@dataclass(frozen=True)
class Wish:
    """What somebody wants of a round; any values."""

    shares: dict[str, float]
    """Generator to its share; need not sum to 1 and may name what does not exist."""
    proposals: int
    batch: int
    exploration: float
    fidelity: str = ""
    """Of an evaluator of the brief; empty: the policy's choice."""
    focus: tuple[str, ...] = ()
    """Elements to keep to; empty: all that the goal allows."""
    stop: bool = False
    reason: str = ""


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
    shares = shares_of(brief)
    wanted = batch_of(brief, limits)
    fidelity, batch, why_fidelity = fidelity_of(brief, wanted)
    proposals = proposals_of(brief, limits, wanted)
    exploration, why = exploration_of(brief, wanted)
    focus, why_focus = focus_of(brief)
    leader = max(shares, key=lambda name: (shares[name], name))
    yields = brief.generators[leader]
    kind = "near the hull" if yields.promising is None else "promising"
    parts = [
        f"{proposals} proposals ({brief.pool} in the pool), {wanted} of the {brief.evaluations_left} evaluations left",
        why_fidelity,
        why_focus,
        f"{leader} leads with {shares[leader]:.0%} ({good_of(yields)} of {yields.relaxed} relaxed {kind})",
        f"exploration {exploration:.2f}: {why}",
    ]
    return RoundPlan(
        round=brief.round,
        shares=shares,
        proposals=proposals,
        batch=batch,
        fidelity=fidelity,
        exploration=exploration,
        focus=focus,
        reason=f"{'; '.join(p for p in parts if p)}.",
    )


def check(brief: Brief, wish: Wish, limits: PlanLimits | None = None) -> tuple[RoundPlan, list[str]]:
    """Bend what a planner proposes into what the brief allows.

    Whatever is wished, at least `1 - TRUST` of the proposals follow the policy's own shares, and exploration and the
    sizes of a round stay near its own: `benchmarks.decisions` says what the worst model can cost.

    Args:
        brief: what is known at the start of the round.
        wish: what a model wants; its reason is cut to length and cleared of control characters.
        limits: what a round may hold.

    Returns:
        The allowed plan, and one phrase for each change.
    """
    limits = limits or PlanLimits()
    own = decide(brief, limits)
    if own.stop:
        return own, ([] if wish.stop else [f"must stop: {stop_reason(brief) or 'there is no generator'}"])
    corrections: list[str] = []
    if wish.stop:
        corrections.append("stop refused: neither goal, budget, patience nor an empty space calls for it")
    fidelity = _fidelity(brief, wish, own, corrections)
    exploration = wish.exploration
    if not math.isfinite(exploration) or not 0.0 <= exploration <= 1.0:
        corrections.append(f"exploration set to {own.exploration:g}: it lies from 0 to 1")
        exploration = own.exploration
    elif abs(exploration - own.exploration) > MAX_DEVIATION + 1e-9:
        exploration = min(max(exploration, own.exploration - MAX_DEVIATION), own.exploration + MAX_DEVIATION)
        corrections.append(f"exploration {wish.exploration:g} set to {exploration:g}")
    plan = RoundPlan(
        round=brief.round,
        shares=_shares(brief, wish, own, corrections),
        proposals=_clip("proposals", wish.proposals, *_size(own.proposals, limits), corrections),
        batch=_clip("batch", wish.batch, 1, _batch_limit(brief, limits, own, fidelity), corrections),
        fidelity=fidelity,
        exploration=exploration,
        focus=_focus(brief, wish, own, corrections),
        reason=_clean(wish.reason)[:_REASON_LENGTH] or "no reason given",
    )  # fmt: skip
    return plan, corrections


def _size(own: int, limits: PlanLimits) -> tuple[int, int]:
    low, high = SIZE
    return max(1, math.floor(low * own)), min(limits.max_proposals, math.ceil(high * own))


def _batch_limit(brief: Brief, limits: PlanLimits, own: RoundPlan, fidelity: Fidelity | None) -> int:
    scouts = {f.fidelity: f.left for f in brief.fidelities[:-1]}
    if fidelity not in scouts:
        wanted = own.batch if fidelity == own.fidelity else batch_of(brief, limits)
        return min(batch_cap(brief, limits), max(wanted, math.floor(SIZE[1] * wanted)))
    return max(1, min(OPINIONS * limits.max_batch, scouts[fidelity]))


def _fidelity(brief: Brief, wish: Wish, own: RoundPlan, corrections: list[str]) -> Fidelity | None:
    known = {f.fidelity: f for f in brief.fidelities}
    if not wish.fidelity or wish.fidelity == own.fidelity:
        return own.fidelity
    chosen = next((f for f in known.values() if f.fidelity == wish.fidelity and f.left > 0), None)
    if chosen is None:
        corrections.append(f"no evaluations of fidelity '{_clean(wish.fidelity)[:40]}' here")
        return own.fidelity
    return chosen.fidelity


def _focus(brief: Brief, wish: Wish, own: RoundPlan, corrections: list[str]) -> Focus:
    if not wish.focus:
        return Focus()
    if wish.focus == own.focus.elements:
        return own.focus
    usable = tuple(sorted(set(wish.focus) & set(brief.goal.space.allowed)))
    if len(usable) < len(set(wish.focus)):
        corrections.append("elements outside of the goal removed from the focus")
    focus = Focus(elements=usable)
    try:
        focus.within(brief.goal.space)
    except ValueError:
        corrections.append("focus dropped: the goal has no composition in it")
        return Focus()
    return focus


def _shares(brief: Brief, wish: Wish, own: RoundPlan, corrections: list[str]) -> dict[str, float]:
    """The wished shares, mixed with the policy's own."""
    if wish.shares == own.shares:
        return own.shares  # to the last bit: the built-in planner's plan stays what it was
    if unknown := sorted(set(wish.shares) - set(brief.generators)):
        corrections.append(f"unknown generators removed: {', '.join(_clean(name)[:40] for name in unknown[:5])}")
    kept = {name: s for name, s in wish.shares.items() if name in brief.generators and math.isfinite(s) and s > 0.0}
    if not kept:
        corrections.append("no usable generator named: the built-in shares are used")
        return own.shares
    largest = max(kept.values())  # scaled by it first: a sum of shares near 1e308 is infinite
    total = sum(share / largest for share in kept.values())
    return {
        name: TRUST * (kept.get(name, 0.0) / largest / total) + (1.0 - TRUST) * own.shares.get(name, 0.0)
        for name in sorted({*kept, *own.shares})
    }


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
