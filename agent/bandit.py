"""Which generators deserve the next proposals: Thompson sampling over how often each one's crystals were promising.

What is not here: how many proposals there are (`schedule.py`).
"""

from __future__ import annotations

import numpy as np

from ..tools.core.plans import Brief, GeneratorYield
from ..tools.core.types import canonical_json, sha256

DRAWS = 2048
"""Draws of the posterior from which the shares come: a standard error of about 1 %."""

FLOOR = 0.1
"""Share that goes evenly to all generators that still yield something, so that none is given up too early."""

PRIOR = {"prototypes": (2.0, 3.0), "substitution": (2.0, 3.0), "random": (1.0, 4.0)}
"""Pseudo-counts (promising, not promising) before a campaign has data: in `benchmarks.ground_states` random crystals
take eight relaxations in the middle where crystals made after known ones take one. Worth five crystals, so that data
soon outweigh them."""

UNKNOWN = (1.0, 2.0)
"""Of a generator without a record: worth a try."""


def shares_of(brief: Brief) -> dict[str, float]:
    """Generator to its share of the proposals; sums to 1, and the same counts give the same shares.

    Each generator's chance that a relaxed crystal is promising has a Beta posterior (Chapelle and Li, NeurIPS 2011),
    and its share is how often it draws the highest chance. Promising is what lies among the best tenth of the pool by
    what is expected for the goal: with the best crystal as the prize, an arm is worth what its top is worth, not its
    mean (threshold ascent: Streeter and Smith, CP 2006). Duplicates count as misses: they cost a relaxation too.
    """
    names = sorted(brief.generators)
    live = [name for name in names if not is_dry(brief.generators[name], brief.round)] or names
    # Counts alone, neither the clock nor a measured digit: a resumed campaign must draw what an undisturbed one draws.
    counts = {n: [y.proposed, y.relaxed, good_of(y), y.duplicates] for n, y in brief.generators.items()}
    seed = int(sha256(canonical_json([brief.goal.digest(), brief.round, counts]))[:16], 16)
    rng = np.random.default_rng(seed)
    draws = []
    for name in live:
        yields = brief.generators[name]
        prior_good, prior_bad = PRIOR.get(name, UNKNOWN)
        good = good_of(yields)
        bad = yields.relaxed - good + yields.duplicates
        draws.append(rng.beta(prior_good + good, prior_bad + bad, size=DRAWS))
    wins = np.bincount(np.argmax(np.array(draws), axis=0), minlength=len(live)) / DRAWS
    shares = (1.0 - FLOOR) * wins + FLOOR / len(live)
    rounded = [round(float(share), 4) for share in shares]
    total = sum(rounded)
    return {name: share / total for name, share in zip(live, rounded, strict=True)}


def good_of(yields: GeneratorYield) -> int:
    """A generator's promising crystals; those near the hull while nothing is expected yet."""
    good = yields.near_hull if yields.promising is None else yields.promising
    return min(good, yields.relaxed)


def is_dry(yields: GeneratorYield, round_number: int) -> bool:
    """Whether a generator had two rounds and proposed nothing."""
    return round_number >= 3 and yields.proposed == 0
