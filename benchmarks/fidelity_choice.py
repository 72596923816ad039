"""Which evaluator to ask: the cost of finding the best of a pool, by value for cost, by the old rule, without a scout.

    python -m benchmarks.fidelity_choice [--seeds 40] [--pool 200]

The world of a seed: a pool of crystals at random places in a unit cube, and two energies of each: f of the deciding
evaluator and g of the scout, both drawn from Gaussian processes of variance 1 (Matérn 5/2, length 0.3) plus a part of
each crystal's own (variance 0.1), with one correlation r between them everywhere (intrinsic coregionalisation): f = r g
+ sqrt(1 - r²) h, h independent of g. An evaluation costs 1, a reading of the scout 0.01 or 0.1. Both are without noise.

Told is the cost: everything spent until the lowest f of the pool was evaluated. Crystals are chosen by expected
improvement, under the same exact process with the same kernel; how much of the scout is believed (slope, 0 to 1 in
quarters) is not told but estimated as in the product: 1 below five crystals that both looked at, then the likeliest, 0
where that is not clearly better. A round is one evaluation, or four readings. Methods differ in the route of a round:

- `value for cost`: what `agent/schedule.py` answers to facts as a campaign would give them, the knowledge gradient of
  either evaluator among them once five crystals had both;
- `old rule`: what it answered before: readings if they cost a fifth or less, unless they err (about the mean, over
  five crystals or more) by 0.8 of the spread of f, while less than half of the 8 most promising crystals have one;
- `always the judge`: no scout.

`over`: mean difference in cost to that rival on the same seeds, ± its standard error.

Not in here: learning the kernel, so the choice alone is compared; and generators, so the pool never grows.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.special import ndtr

from lodestone.agent.goal import parse_goal
from lodestone.agent.schedule import OPINIONS, fidelity_of
from lodestone.surrogate.fidelity import ASKED, LEAST_PAIRS, slope_of
from lodestone.surrogate.knowledge_gradient import changes_of, expected_rise
from lodestone.tools.core.plans import Brief, FidelityFacts

CORRELATIONS, COSTS = (0.0, 0.5, 0.9, 0.99), (0.01, 0.1)
DIMENSIONS, LENGTH, OWN = 3, 0.3, 0.1
SHORTLIST = 8
"""As in `loops/opinions.py`."""

CHEAP, USELESS = 0.2, 0.8
"""Of the old rule."""

SLOPES = (0.0, 0.25, 0.5, 0.75, 1.0)
JITTER = 1e-8
GOAL = parse_goal("stable Li-P-S, 1000 evaluations").goal


def kernel(x: np.ndarray) -> np.ndarray:
    """Matérn 5/2 and each crystal's own part, `n x n`."""
    away = np.sqrt(5.0) * np.linalg.norm(x[:, None] - x[None], axis=-1) / LENGTH
    found: np.ndarray = (1 + away + away**2 / 3) * np.exp(-away) + OWN * np.eye(len(x))
    return found


@dataclass
class World:
    """A pool, and what was looked at of it. Crystals are rows."""

    covariance: np.ndarray
    truth: np.ndarray
    readings: np.ndarray
    evaluated: list[int]
    read: list[int]
    slope: float = 1.0

    @classmethod
    def drawn(cls, seed: int, size: int, correlation: float) -> World:
        """See the module."""
        rng = np.random.default_rng([seed, 7])
        covariance = kernel(rng.random((size, DIMENSIONS)))
        root = np.linalg.cholesky(covariance + JITTER * np.eye(size))
        g, h = root @ rng.normal(size=size), root @ rng.normal(size=size)
        truth = correlation * g + np.sqrt(1 - correlation**2) * h
        return cls(covariance, truth, g, [], [])

    @property
    def pairs(self) -> list[int]:
        """Crystals that both looked at."""
        return sorted(set(self.evaluated) & set(self.read))

    def joint(self, slope: float) -> np.ndarray:
        """Prior covariance of (readings, deciding values), `2n x 2n`."""
        own = self.covariance
        # What a slope leaves of a variance of 1; a little stays, or the two would be one.
        rest = max(1.0 - slope**2, 0.02)
        return np.block([[own, slope * own], [slope * own, (slope**2 + rest) * own]])

    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        rows = np.array([*self.read, *(len(self.truth) + i for i in self.evaluated)], dtype=int)
        return rows, np.concatenate([self.readings[self.read], self.truth[self.evaluated]])

    def likelihood(self, slope: float) -> float:
        """Logarithm of the density of all that is known."""
        rows, values = self._known()
        root = np.linalg.cholesky(self.joint(slope)[np.ix_(rows, rows)] + JITTER * np.eye(len(rows)))
        z = np.linalg.solve(root, values)
        return float(-0.5 * z @ z - np.log(root.diagonal()).sum())

    def learn(self) -> None:
        """Estimate the slope."""
        self.slope = slope_of({s: self.likelihood(s) for s in SLOPES}) if len(self.pairs) >= LEAST_PAIRS else 1.0

    def best(self, mean: np.ndarray) -> float:
        """Of the evaluated, or before the first the best expected."""
        return float(self.truth[self.evaluated].min() if self.evaluated else mean[len(self.truth) :].min())

    def posterior(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean `2n` and covariance `2n x 2n` of (readings, deciding values)."""
        rows, values = self._known()
        prior = self.joint(self.slope)
        if not len(rows):
            return np.zeros(len(prior)), prior
        root = np.linalg.cholesky(prior[np.ix_(rows, rows)] + JITTER * np.eye(len(rows)))
        half = np.linalg.solve(root, prior[rows])
        return half.T @ np.linalg.solve(root, values), prior - half.T @ half


def improvement(world: World, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Expected improvement (lower is better) of each crystal; `n`."""
    n = len(world.truth)
    std = np.sqrt(np.maximum(covariance.diagonal()[n:], 1e-12))
    z = (world.best(mean) - mean[n:]) / std
    gain: np.ndarray = std * (z * ndtr(z) + np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi))
    return gain


def gains(world: World, mean: np.ndarray, covariance: np.ndarray, waiting: np.ndarray) -> tuple[float, float]:
    """Knowledge gradient of the most telling reading and of the most telling evaluation; the most deserving of the
    waiting crystals first."""
    n = len(world.truth)
    values = np.append(-mean[n + waiting], -world.best(mean))
    found = []
    unread = waiting[~np.isin(waiting, world.read)]
    for questions in (unread[:ASKED], n + waiting[:ASKED]):
        if not len(questions):
            found.append(0.0)
            continue
        crossed = torch.from_numpy(-covariance[np.ix_(questions, n + waiting)])
        changes = changes_of(crossed, torch.from_numpy(covariance.diagonal()[questions].copy())).numpy()
        still = np.column_stack([changes, np.zeros(len(questions))])
        found.append(float(expected_rise(values, still).max()))
    return found[0], found[1]


def brief_of(world: World, cost: float, best_first: np.ndarray, worth: tuple[float, float] | None) -> Brief:
    """A brief about both evaluators, as a campaign would write it; an evaluation costs an hour."""
    told: list[dict[str, Any]] = [{}, {}]
    if worth is not None:
        told = [{"gain": w, "gain_per_core_h": w / c} for w, c in zip(worth, (cost, 1.0), strict=True)]
    shortlist = best_first[:SHORTLIST]
    fresh = int(np.isin(shortlist, world.read).sum())
    return Brief(
        goal=GOAL, round=2, generators={}, evaluations_spent=0, evaluations_left=1000, wall_s_left=1e6,
        rounds_left=1000,
        fidelities=(
            FidelityFacts(
                fidelity="potential", evaluator="scout", core_s=3600 * cost, left=OPINIONS * 1000,
                done=len(world.read), fresh=fresh, unasked=len(shortlist) - fresh, **told[0],
            ),
            FidelityFacts(
                fidelity="dft", evaluator="judge", core_s=3600.0, left=1000, done=len(world.evaluated), **told[1]
            ),
        ),
    )  # fmt: skip


def by_value(world: World, cost: float, best_first: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> bool:
    """Whether the next round is one of readings, as the product decides."""
    worth = gains(world, mean, covariance, best_first) if len(world.pairs) >= LEAST_PAIRS else None
    return fidelity_of(brief_of(world, cost, best_first, worth), 1)[0] == "potential"


def by_old_rule(world: World, cost: float, best_first: np.ndarray, *_: np.ndarray) -> bool:
    """The same, as the product decided before."""
    shortlist, pairs = best_first[:SHORTLIST], world.pairs
    fresh = int(np.isin(shortlist, world.read).sum())
    if cost > CHEAP or fresh >= len(shortlist) - fresh:
        return False
    errors = world.readings[pairs] - world.truth[pairs]
    return len(pairs) < LEAST_PAIRS or bool(np.std(errors) <= USELESS * np.std(world.truth[pairs]))


def never(*_: object) -> bool:
    """No scout."""
    return False


METHODS: dict[str, Callable[..., bool]] = {
    "value for cost": by_value,
    "old rule": by_old_rule,
    "always the judge": never,
}


def run(world: World, cost: float, reads: Callable[..., bool]) -> tuple[float, int, int]:
    """Cost until the lowest was evaluated, evaluations, and readings."""
    n, lowest = len(world.truth), int(world.truth.argmin())
    while lowest not in world.evaluated:
        world.learn()
        mean, covariance = world.posterior()
        deserving = improvement(world, mean, covariance)
        deserving[world.evaluated] = -1.0
        best_first = np.argsort(-deserving, kind="stable")[: n - len(world.evaluated)]
        if reads(world, cost, best_first, mean, covariance):
            world.read += best_first[~np.isin(best_first, world.read)][:OPINIONS].tolist()
        else:
            world.evaluated.append(int(best_first[0]))
    return len(world.evaluated) + cost * len(world.read), len(world.evaluated), len(world.read)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--pool", type=int, default=200)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| correlation | cost of a reading | method | cost | median | evaluations | readings | over judge | over rule |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for correlation in CORRELATIONS:
        for cost in COSTS:
            rows = {
                name: np.array([run(World.drawn(s, args.pool, correlation), cost, f) for s in range(args.seeds)])
                for name, f in METHODS.items()
            }
            for name, found in rows.items():
                total, evaluations, readings = found.mean(0)
                cells = [f"{total:.2f}", f"{np.median(found[:, 0]):.2f}", f"{evaluations:.1f}", f"{readings:.1f}"]
                for rival in ("always the judge", "old rule"):
                    over = found[:, 0] - rows[rival][:, 0]
                    error = over.std(ddof=1) / np.sqrt(len(over)) if len(over) > 1 else np.nan
                    cells.append("–" if name == rival else f"{over.mean():+.2f} ± {error:.2f}")
                print(f"| {correlation:g} | {cost:g} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
