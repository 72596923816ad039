"""Tables of `benchmarks.pools`: what each method found, and how much of the rivals' evaluations Lodestone needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .pool_data import Pool


def first_hit(order: Sequence[int], wanted: frozenset[int]) -> float:
    """Evaluations until one of the wanted rows was evaluated; infinite if none was."""
    return next((float(i + 1) for i, row in enumerate(order) if row in wanted), math.inf)


def print_tables(pools: Sequence[Pool], rows: Sequence[dict[str, Any]], methods: Sequence[str]) -> None:
    """One line a pool and method, then the comparison over pools."""
    print("| pool (designs) | method | runs | to the first top-1 % design: median | 90th percentile | mean, capped | "
          "share of the top 5 % | regret | s a pick |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|")
    capped: dict[tuple[str, str], float] = {}
    medians: dict[tuple[str, str], float] = {}
    for pool in pools:
        best, spread = pool.merit.max(), pool.merit.max() - np.median(pool.merit)
        for method in methods:
            runs = [r for r in rows if r["pool"] == pool.name and r["method"] == method]
            if not runs:
                continue
            budget = len(runs[0]["order"])
            hits = np.array([first_hit(r["order"], pool.top(0.01)) for r in runs])
            five = pool.top(0.05)
            share = np.mean([len(five & set(r["order"])) / len(five) for r in runs])
            regret = np.mean([(best - pool.merit[r["order"]].max()) / spread for r in runs])
            seconds = np.mean([s for r in runs for s in r["seconds"]])
            medians[pool.name, method] = float(np.median(hits))
            capped[pool.name, method] = float(np.minimum(hits, budget + 1).mean())
            ninth = _shown(np.quantile(hits, 0.9, method="inverted_cdf"))
            numbers = f"{capped[pool.name, method]:.1f} | {share:.2f} | {regret:.3f} | {seconds:.2f}"
            label = f"{pool.name} ({len(pool.designs)}) | {method} | {len(runs)}"
            print(f"| {label} | {_shown(np.median(hits))} | {ninth} | {numbers} |")
    print()
    print("Geometric means over the pools; a median past the budget counts as budget + 1.\n")
    print("| method | of the medians | of the capped means |")
    print("|---|---|---|")
    for method in methods:
        names = [p.name for p in pools if (p.name, method) in capped]
        if names:
            last = max(len(r["order"]) for r in rows) + 1
            centre = [math.log(min(medians[n, method], last)) for n in names]
            mean = [math.log(capped[n, method]) for n in names]
            print(f"| {method} | {math.exp(np.mean(centre)):.2f} | {math.exp(np.mean(mean)):.2f} |")


def print_curves(pools: Sequence[Pool], rows: Sequence[dict[str, Any]], methods: Sequence[str]) -> None:
    """The figures of Liang et al., npj Comput. Mater. 7, 188 (2021).

    Share of the best 5 % of designs found (mean of the runs); how many times that is of what chance finds with as many
    evaluations (enhancement); and how many times as many evaluations chance needs for half of the share at the end
    (acceleration). Chance is exact: evaluations over designs.
    """
    print("| pool (designs) | method | runs | evaluations | share of the top 5 % | enhancement | acceleration |")
    print("|---|---|---|---|---|---|---|")
    for pool in pools:
        five = pool.top(0.05)
        for method in methods:
            runs = [r for r in rows if r["pool"] == pool.name and r["method"] == method]
            if not runs:
                continue
            curve = np.mean([np.cumsum([i in five for i in r["order"]]) / len(five) for r in runs], axis=0)
            half = curve[-1] / 2
            faster = half * len(pool.designs) / (1 + int(np.argmax(curve >= half)))
            for count in (50, len(curve)) if len(curve) > 50 else (len(curve),):
                label = f"{pool.name} ({len(pool.designs)}) | {method} | {len(runs)} | {count}"
                share = curve[count - 1]
                print(f"| {label} | {share:.2f} | {share / (count / len(pool.designs)):.1f} | {faster:.1f} |")


def _shown(value: float) -> str:
    return f"{value:g}" if math.isfinite(value) else "–"
