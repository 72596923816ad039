"""Picking from real pools, one by one: Lodestone's table model against what a user would install instead.

`python -m benchmarks.pools --data ../shared/data/pools [--seeds 20] [--batch 1] [--record FILE]`
The protocol of Liang et al.: `--start 2 --budget 100 --seeds 50 --pools Crossed`.

Every method starts from the same random designs and picks until the budget is spent; an evaluation gives the mean of a
design's measurements (as in Liang et al., npj Comput. Mater. 7, 188, 2021), or with `--noisy` one of them by chance.
Runs that stand in the record are not repeated, so that a cut benchmark goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from .pool_data import Pool, load_pools
from .pool_rivals import RIVALS
from .pool_tables import print_curves, print_tables

START = 5
BUDGET = 50


def main() -> None:
    """Run what the record lacks, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of CSV files, or one file")
    parser.add_argument("--pools", nargs="*", default=[], help="only pools whose name contains one of these")
    parser.add_argument("--methods", nargs="*", default=list(RIVALS), help=f"of {', '.join(RIVALS)}")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--start", type=int, default=START, help="random start designs")
    parser.add_argument("--budget", type=int, default=BUDGET, help="evaluations, start designs included")
    parser.add_argument("--batch", type=int, default=1, help="designs picked at a time")
    parser.add_argument("--noisy", action="store_true", help="an evaluation is one of a design's measurements")
    parser.add_argument("--record", type=Path, default=Path("pools-record.jsonl"))
    parser.add_argument("--table-only", action="store_true", help="run nothing, print what the record holds")
    args = parser.parse_args()
    pools = [p for p in load_pools(args.data) if not args.pools or any(w in p.name for w in args.pools)]
    setting = {"start": args.start, "budget": args.budget, "batch": args.batch, "noisy": args.noisy}
    rows = _read(args.record)
    known = {(r["pool"], r["method"], r["seed"]) for r in rows if r["setting"] == setting}
    # Seeds outermost: a cut run still compares every method on every pool.
    for seed in range(0 if args.table_only else args.seeds):
        for pool in pools:
            for method in args.methods:
                if (pool.name, method, seed) in known:
                    continue
                row = {"pool": pool.name, "method": method, "seed": seed, "setting": setting}
                row |= campaign(pool, method, seed, args.start, args.budget, args.batch, args.noisy)
                rows.append(row)
                with args.record.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    chosen = [r for r in rows if r["setting"] == setting and r["method"] in args.methods and r["seed"] < args.seeds]
    print_tables(pools, chosen, args.methods)
    print()
    print_curves(pools, chosen, args.methods)


def campaign(
    pool: Pool, method: str, seed: int, start: int, budget: int, batch: int, noisy: bool = False
) -> dict[str, object]:
    """One method on one pool: rows in the order in which they were evaluated, and seconds a pick."""
    rng = np.random.default_rng(seed)
    order = [int(i) for i in rng.permutation(len(pool.designs))[:start]]
    values = [pool.measure(i, rng, noisy) for i in order]
    rival = RIVALS[method](pool, seed)
    seconds = []
    budget = min(budget, len(pool.designs))
    while len(order) < budget:
        begun = time.perf_counter()
        picks = rival(order, values, min(batch, budget - len(order)))
        seconds.append(time.perf_counter() - begun)
        if len(set(picks) | set(order)) != len(picks) + len(order):
            raise SystemExit(f"{method} picked a design of {pool.name} twice: {picks}.")
        order += picks
        values += [pool.measure(i, rng, noisy) for i in picks]
    return {"order": order, "seconds": [round(s, 4) for s in seconds]}


def _read(path: Path) -> list[dict[str, object]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]


if __name__ == "__main__":
    main()
