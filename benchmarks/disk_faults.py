"""Refuses every write once: `python -m benchmarks.disk_faults`.

The shim makes the N-th operation of a run on its ledger and job files fail, for every N: with a full disk, an I/O
error, a read-only file system, once or from then on, and with a short write. The run has to end with one clear error
of ours (or go on), what it had acknowledged has to be there, and a second run without the fault has to finish the work.
"""

from __future__ import annotations

import argparse
import errno
import shutil
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.faultfs.build import compile_shim, drive
from benchmarks.power_loss import check

FAULTS = (
    ("ENOSPC", False, False),
    ("ENOSPC", True, False),
    ("EIO", False, False),
    ("EROFS", True, False),
    ("ENOSPC", True, True),
)
"""(error, whether it stays, whether half of the write is done)."""


def one(shim: Path, folder: Path, number: int, fault: tuple[str, bool, bool]) -> tuple[str, list[str]]:
    """One refused operation, then recovery: how the run ended, and every broken promise."""
    name, stays, cut = fault
    place, facts = folder / "campaign", folder / "facts"
    place.mkdir(parents=True)
    done = drive(shim, place, facts, folder / "log", number, getattr(errno, name), stays, cut)
    known = [line.split("\t")[1] for line in facts.read_text().splitlines()] if facts.exists() else []
    known = [fact for fact in known if fact != "operations"]
    where = f"operation {number}, {name}{' from then on' if stays else ''}{', half written' if cut else ''}"
    problems = [f"{where}: {p}" for p in check(place, known)]
    if done.returncode == 0:
        how = "went on"
    elif done.returncode == 8 and len(done.stderr.strip().splitlines()) == 1:
        how = "clear error"
    else:
        how = "other error"
        problems.append(f"{where}: {done.stderr.strip().splitlines()[-1:]}")
    again = drive(shim, place, facts, folder / "log")
    if again.returncode:
        problems.append(f"{where}: does not go on: {again.stderr.strip()[-200:]}")
    else:
        problems += [f"{where}: after recovery: {p}" for p in check(place, [*known, "finished"])]
    shutil.rmtree(folder)
    return how, problems


def main(arguments: list[str] | None = None) -> int:
    """Command line; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="only every n-th operation")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    counts, broken = Counter[str](), list[str]()
    with tempfile.TemporaryDirectory(prefix="lodestone-disk-") as name:
        folder = Path(name)
        shim = compile_shim(folder)
        quiet = folder / "quiet"
        quiet.mkdir()
        drive(shim, quiet / "campaign", quiet / "facts", quiet / "log")
        total = int((quiet / "facts").read_text().splitlines()[-1].split("\t")[0])
        cases = [(number, fault) for fault in FAULTS for number in range(0, total, options.every)]
        with ThreadPoolExecutor(2) as pool:
            jobs = [pool.submit(one, shim, folder / f"case-{i}", *case) for i, case in enumerate(cases)]
            for job in jobs:
                how, problems = job.result()
                counts[how] += 1
                broken += problems
    print("| every disk operation refused | |\n|---|---|")
    print(f"| operations of a run | {total} |\n| faults tried | {len(cases)} |")
    for how in ("clear error", "went on", "other error"):
        print(f"| {how} | {counts[how]} |")
    print(f"| broken promises | {len(broken)} |\n| time | {time.monotonic() - began:.0f} s |")
    for line in broken[:40]:
        print(f"broken: {line}")
    return int(bool(broken))


if __name__ == "__main__":
    raise SystemExit(main())
