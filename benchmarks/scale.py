"""Time and memory of one pick against the number of measurements and the size of the pool.

`python -m benchmarks.scale [--measured 50 200 1000 2000 10000] [--pools 1000 10000 100000 1000000]`

Ten columns of numbers, a smooth outcome with noise; the pool is a generator, never held. Every cell runs in a process
of its own, on as many threads as `--threads` says, so that its peak memory is its own; beside it stands that of a
process that has only imported the libraries. Cells past `--longest` candidates x measurements are left out.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

COLUMNS = 10


def rows(count: int, seed: int) -> Iterator[tuple[float, ...]]:
    """Rows of a table, one after the other."""
    rng = random.Random(seed)
    for _ in range(count):
        yield tuple(rng.random() for _ in range(COLUMNS))


def outcome(row: tuple[float, ...], noise: float) -> float:
    """A ridge along three columns, a slope along another."""
    return math.sin(5 * row[0] + 2 * row[1]) + row[2] ** 2 - 0.5 * row[3] + 0.05 * noise


def cell(measured: int, pool: int, batch: int, threads: int) -> dict[str, float]:
    """Seconds and peak memory (MB) of one pick; called in a process of its own."""
    import torch

    from lodestone.surrogate.tables import Aim, Survey, TablePicker

    torch.set_num_threads(threads)
    done = list(rows(measured, 1))
    rng = random.Random(2)
    picker = TablePicker(Survey([f"x{i}" for i in range(COLUMNS)]).add(done).space(), Aim("maximise"))
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    picker.tell(done, [outcome(row, rng.gauss(0, 1)) for row in done])
    begun = time.perf_counter()
    picker.ensemble()
    fitted = time.perf_counter()
    picks = picker.ask(rows(pool, 3), q=batch)
    ended = time.perf_counter()
    if len(picks) != batch:
        raise SystemExit(f"{len(picks)} picks in place of {batch}.")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"fit": fitted - begun, "pick": ended - fitted, "idle": idle / 1024, "peak": peak / 1024}


def main() -> None:
    """Every cell in turn, printed as it comes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=int, nargs="*", default=[50, 200, 1000, 2000, 10000])
    parser.add_argument("--pools", type=int, nargs="*", default=[1000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--longest", type=float, default=2.1e8, help="candidates x measurements, at most")
    parser.add_argument("--cell", type=int, nargs=2, help="one cell, as JSON")
    args = parser.parse_args()
    if args.cell:
        print(json.dumps(cell(args.cell[0], args.cell[1], args.batch, args.threads)))
        return
    print(
        "| measured | candidates | fit (s) | pick of "
        + str(args.batch)
        + " (s) | peak memory (MB) | imports alone (MB) |"
    )
    print("|---|---|---|---|---|---|")
    for measured in args.measured:
        for pool in args.pools:
            if measured * pool > args.longest:
                continue
            words = [sys.executable, "-m", "benchmarks.scale", "--cell", str(measured), str(pool)]
            words += ["--batch", str(args.batch), "--threads", str(args.threads)]
            out = subprocess.run(words, capture_output=True, text=True, check=True).stdout
            r = json.loads(out.splitlines()[-1])
            print(
                f"| {measured:,} | {pool:,} | {r['fit']:.2f} | {r['pick']:.2f} | {r['peak']:.0f} | {r['idle']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
