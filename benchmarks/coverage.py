"""Do 90 % intervals hold 90 %? Prequentially, on the pools of `benchmarks.pools`.

`python -m benchmarks.coverage --data ../shared/data/pools [--seeds 10]`

Designs are picked one by one as there. From the 20th observation on, two shares are counted: of picks inside the
interval given before they were measured, and of twenty other designs by chance.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from lodestone.surrogate.tables import Aim, Survey, TablePicker

from .pool_data import Pool, load_pools

FIRST, LAST, START, OTHERS = 20, 50, 5, 20


def inside(pool: Pool, seed: int) -> tuple[list[bool], list[bool]]:
    """Of one run: picks, and other designs."""
    rng = np.random.default_rng(seed)
    rows = [tuple(row) for row in pool.designs.tolist()]
    order = [int(i) for i in rng.permutation(len(rows))[:START]]
    picker = TablePicker(Survey(pool.columns).add(rows).space(), Aim("maximise" if pool.maximise else "minimise"), seed)
    picker.tell([rows[i] for i in order], [float(pool.means[i]) for i in order])
    picks, others = [], []
    while len(order) < min(LAST, len(rows)):
        (pick,) = picker.ask(rows)
        if len(order) >= FIRST:
            picks.append(pick.low <= pool.means[pick.place] <= pick.high)
            left = np.setdiff1d(np.arange(len(rows)), [*order, pick.place])
            chance = rng.choice(left, min(OTHERS, len(left)), replace=False)
            found = picker.predict([rows[int(i)] for i in chance])
            truth = pool.means[chance]
            others += [bool(x) for x in (found.low.numpy() <= truth) & (truth <= found.high.numpy())]
        # `predict` before `tell` is what calibration learns from, as in a campaign.
        picker.tell([rows[pick.place]], [float(pool.means[pick.place])])
        order.append(pick.place)
    return picks, others


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of CSV files, or one file")
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    print("| pool | picks inside | other designs inside |\n|---|---|---|")
    for pool in load_pools(args.data):
        runs = [inside(pool, seed) for seed in range(args.seeds)]
        picks = [x for run, _ in runs for x in run]
        others = [x for _, run in runs for x in run]
        print(
            f"| {pool.name} | {np.mean(picks):.1%} of {len(picks)} | {np.mean(others):.1%} of {len(others)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
