"""Which pairs of solids reacted, to what and how hot: learned from outcomes, shared between targets.

The idea of ARROWS3 (Szymanski et al., Nat. Commun. 14, 6956 (2023)) and of the A-Lab (Szymanski et al., Nature 624, 86
(2023)): reactions between solids go pair by pair, so an intermediate that only one pair can have made tells of that
pair in every recipe that holds it. What is not here: what follows for a recipe (`ranking.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from ...core.synthesis import Atmosphere
from .formulas import amounts_of, same_ratios
from .outcomes import Outcome

Pair = tuple[str, str]
"""Formulas, sorted."""
CERTAIN: Final = 0.08
"""Weight fraction from which on a phase is taken to be there."""
_CARRIED: Final = frozenset("OCHN")


@dataclass(frozen=True)
class PairSeen:
    """One observation of two solids in contact."""

    pair: Pair
    temperature_k: float
    atmosphere: Atmosphere
    products: tuple[str, ...]
    """Sorted formulas; empty: they lay side by side and did nothing."""


class PairBook:
    """Observations of a laboratory, whatever target they were made for.

    The order in which they are added changes nothing.
    """

    def __init__(self, seen: Iterable[PairSeen] = ()) -> None:
        self._seen: dict[Pair, set[PairSeen]] = {}
        for one in seen:
            self.add(one)

    def __len__(self) -> int:
        return sum(len(rows) for rows in self._seen.values())

    def add(self, seen: PairSeen) -> None:
        """Remember; a repetition counts once."""
        self._seen.setdefault(seen.pair, set()).add(seen)

    def learn(self, outcome: Outcome) -> tuple[PairSeen, ...]:
        """What an outcome says of pairs; remembered and returned."""
        found = observed_pairs(outcome)
        for one in found:
            self.add(one)
        return found

    def onset(self, pair: Pair, atmosphere: Atmosphere) -> tuple[float, tuple[str, ...]] | None:
        """Lowest temperature (K) at which a pair reacted, and its products there; None where it never did."""
        rows = [s for s in self._seen.get(pair, ()) if s.products and s.atmosphere == atmosphere]
        if not rows:
            return None
        first = min(rows, key=lambda s: (s.temperature_k, s.products))
        return first.temperature_k, first.products

    def inert_up_to(self, pair: Pair, atmosphere: Atmosphere) -> float:
        """Highest temperature (K) at which a pair was seen to do nothing; 0 where it never was."""
        rows = (s for s in self._seen.get(pair, ()) if not s.products and s.atmosphere == atmosphere)
        return max((s.temperature_k for s in rows), default=0.0)


def observed_pairs(outcome: Outcome) -> tuple[PairSeen, ...]:
    """Pairs that certainly reacted and pairs that certainly did not, in one outcome.

    A phase that just one pair of the precursors can have made tells that they reacted. Two phases that are both there
    at the end, the target aside, did not react with each other, unless they left such a phase.
    """
    recipe = outcome.recipe
    there = sorted(name for name, weight in outcome.weight_fractions.items() if weight >= CERTAIN)
    powders = sorted({powder.formula for powder in recipe.powders})
    made: dict[Pair, set[str]] = {}
    for name in there:
        if any(same_ratios(name) == same_ratios(powder) for powder in powders):
            continue
        parents = [pair for pair in combinations(powders, 2) if _can_make(pair, name)]
        if len(parents) == 1:
            made.setdefault(parents[0], set()).add(name)
    rest = [name for name in there if same_ratios(name) != same_ratios(recipe.target)]
    found = [_seen(pair, outcome, tuple(sorted(names))) for pair, names in sorted(made.items())]
    found += [_seen(pair, outcome, ()) for pair in combinations(rest, 2) if pair not in made]
    return tuple(found)


def _seen(pair: Pair, outcome: Outcome, products: tuple[str, ...]) -> PairSeen:
    return PairSeen(pair, outcome.recipe.temperature_k, outcome.recipe.atmosphere, products)


def _can_make(pair: Pair, product: str) -> bool:
    """Whether a product holds cations of both solids and of nothing else."""
    first, second = (frozenset(amounts_of(name)) - _CARRIED for name in pair)
    own = frozenset(amounts_of(product)) - _CARRIED
    return own <= first | second and bool(own - first) and bool(own - second)
