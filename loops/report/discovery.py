"""Best value so far beside what choosing at random from the same pool is expected to give.

The pool holds every relaxed crystal; values are measured where known, else predicted by the surrogate, else the
potential's own, and the counts of each travel with the curve. Drawing it is in `charts.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...tools.core.types import Constraint, Frozen, Objective
from ..record import CampaignRecord
from .ranking import loss, main_objective, measured_value
from .words import constraint_text, label, number, stored, unit

TOP_SHARE = 0.1
"""Where the goal bounds the objective by nothing, the best tenth of the pool counts as worth finding."""

TOLERANCE = 1e-6
"""Values (catalogue unit) closer than this are one value: duplicates of one crystal do not beat each other."""


class Discovery(Frozen):
    """The curve and its two figures; values in the catalogue's unit of `property`."""

    property: str
    distance: bool
    """True: values are distances from the objective's target."""
    best: tuple[float | None, ...]
    """Best measured value after each finished evaluation, failed ones included in the count."""
    expected: tuple[float, ...]
    """Exact expectation of the best after as many random draws without replacement."""
    low: tuple[float, ...]
    """The better end of the central 80 % of random outcomes."""
    high: tuple[float, ...]
    """The worse end of the central 80 % of random outcomes."""
    pool_size: int
    pool_measured: int
    pool_predicted: int
    pool_cheap: int
    pool_without_value: int
    """Pool members with neither a measured, a predicted nor a cheap value; not drawn from."""
    acceleration: float | None
    """Expected random draws to a value as good as the campaign's best, over the evaluations it took
    (acceleration factor; Rohr et al., Chem. Sci. 11, 2696, 2020)."""
    enrichment: float | None
    """Share of good ones among the campaign's evaluations over their share in the pool (enrichment factor, ibid.)."""
    good_rule: str
    """What counts as good for the enrichment factor."""
    good_in_pool: int
    good_found: int


def random_best(losses: Sequence[float], draws: int) -> tuple[list[float], list[float], list[float]]:
    """The minimum of n random draws without replacement, n = 1 … `draws`: mean, 10 % and 90 % quantile.

    With N losses in ascending order, the minimum is the i-th (from 0) with probability C(N-1-i, n-1) / C(N, n):
    n/N for i = 0, and from there each is the one before times (N-i-n+1)/(N-i).

    Args:
        losses: N values, lower is better.
        draws: largest n; beyond N the minimum of all is certain.
    """
    values = np.sort(np.asarray(losses, dtype=float))
    size = len(values)
    index = np.arange(1, size)
    mean, low, high = [], [], []
    for n in range(1, draws + 1):
        drawn = min(n, size)
        ratio = np.clip((size - index - drawn + 1) / (size - index), 0.0, None)
        probability = drawn / size * np.concatenate(([1.0], np.cumprod(ratio)))
        total = np.cumsum(probability)
        mean.append(float(probability @ values))
        low.append(float(values[min(int(np.searchsorted(total, 0.1 - 1e-12)), size - 1)]))
        high.append(float(values[min(int(np.searchsorted(total, 0.9 - 1e-12)), size - 1)]))
    return mean, low, high


def discover(record: CampaignRecord) -> Discovery | None:
    """The discovery curve of a campaign; None before the first measured value of the main objective."""
    objective = main_objective(record)
    name = objective.property
    tried = sorted(record.evaluated, key=lambda crystal: crystal.order)
    measured = {
        crystal.candidate_id: loss(objective, value)
        for crystal in tried
        if (value := measured_value(crystal, name)) is not None
    }
    if not measured:
        return None
    pool, counts = _pool_losses(record, objective, measured)
    best, running = [], None
    for crystal in tried:
        value = measured.get(crystal.candidate_id) if not crystal.failure else None
        if value is not None and (running is None or value < running):
            running = value
        best.append(running)
    mean, low, high = random_best(pool, len(tried))
    threshold, rule = _good(record, objective, pool)
    good_in_pool = sum(1 for value in pool if value <= threshold + TOLERANCE)
    good_found = sum(1 for value in measured.values() if value <= threshold + TOLERANCE)
    final = min(measured.values())
    reached = next(i for i, value in enumerate(best, 1) if value is not None and value <= final + TOLERANCE)
    as_good = sum(1 for value in pool if value <= final + TOLERANCE)

    def back(value: float) -> float:
        return -value if objective.direction == "maximise" else value

    return Discovery(
        property=name,
        distance=objective.direction in ("target", "range"),
        best=tuple(None if value is None else back(value) for value in best),
        expected=tuple(back(value) for value in mean),
        low=tuple(back(value) for value in low),
        high=tuple(back(value) for value in high),
        pool_size=len(pool),
        pool_measured=counts["measured"],
        pool_predicted=counts["predicted"],
        pool_cheap=counts["cheap"],
        pool_without_value=counts["none"],
        acceleration=(len(pool) + 1) / (as_good + 1) / reached,
        enrichment=(good_found / len(tried)) / (good_in_pool / len(pool)) if good_in_pool else None,
        good_rule=rule,
        good_in_pool=good_in_pool,
        good_found=good_found,
    )


def _pool_losses(
    record: CampaignRecord, objective: Objective, measured: dict[str, float]
) -> tuple[list[float], dict[str, int]]:
    """One loss a pool member, the best known source first, and how many came from which."""
    name = objective.property
    losses = list(measured.values())
    counts = {"measured": len(losses), "predicted": 0, "cheap": 0, "none": 0}
    failed = {crystal.candidate_id for crystal in record.evaluated if crystal.failure}
    for entry in record.pool:
        if entry.candidate_id in measured:
            continue
        if entry.candidate_id in failed:
            counts["none"] += 1
        elif name in entry.predicted:
            counts["predicted"] += 1
            losses.append(loss(objective, stored(name, entry.predicted[name]).value))
        elif name in entry.cheap:
            counts["cheap"] += 1
            losses.append(loss(objective, entry.cheap[name]))
        else:
            counts["none"] += 1
    return losses, counts


def _good(record: CampaignRecord, objective: Objective, pool: list[float]) -> tuple[float, str]:
    """The largest loss that counts as good, and the rule in words."""
    bounds: list[Constraint] = [row for row in record.goal.constraints if row.property == objective.property]
    for row in bounds:
        bound = row.upper if objective.direction == "minimise" else row.lower
        if objective.direction not in ("target", "range") and bound is not None:
            return loss(objective, bound), constraint_text(row)
    name = objective.property
    limit = sorted(pool)[max(0, int(np.ceil(TOP_SHARE * len(pool))) - 1)]
    value = number(name, -limit if objective.direction == "maximise" else limit)
    sign = "≥" if objective.direction == "maximise" else "≤"
    away = objective.direction in ("target", "range")
    what = f"distance of {label(name)} from its {objective.direction}" if away else label(name)
    return limit, f"the best tenth of the pool: {what} {sign} {value} {unit(name)}"
