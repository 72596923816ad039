"""Cuts the power at every write of a recorded run: `python -m benchmarks.power_loss`.

A shim between the process and libc records everything that a campaign does to its ledger and job files. For each
operation the images that a disk may hold after a power cut there are built (unsynced data lost, kept, or torn by
sectors; unsynced names lost or kept), and each must open, verify, and hold every fact that had been acknowledged.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.faultfs.build import compile_shim, drive
from benchmarks.faultfs.disk import Disk, Image, read_log
from benchmarks.faultfs.driver import CAP
from lodestone.loops.ledger import Ledger, holds_ledger
from lodestone.loops.ledger.verify import verify
from lodestone.tools.core.errors import LodestoneError
from lodestone.tools.evaluate.job import JobStore

MEMORY = Path("/dev/shm")  # noqa: S108  images are looked at in memory


def check(folder: Path, facts: list[str]) -> list[str]:
    """What an image lacks of what was acknowledged, and what is wrong with it."""
    if not holds_ledger(folder) or (folder / "ledger.sqlite").stat().st_size == 0:
        return ["the ledger is gone"] if facts else []
    try:
        ledger = Ledger.open(folder)
    except LodestoneError as error:
        return [] if not facts and "never finished" in str(error) else [f"does not open: {error}"]
    problems = list(verify(ledger).problems)
    account = ledger.accounts()["evaluations"]
    if account.spent + account.reserved > CAP:
        problems.append("spend over the cap")
    plans = {p.round: s for p, s in ledger.plans()}
    states = {r.key: r.state for r in ledger.evaluations()}
    jobs = JobStore(folder / "jobs")
    for fact in facts:
        kind, _, what = fact.partition(" ")
        kept = {
            "created": True,
            "plan": bool(what) and int(what or 0) in plans if kind == "plan" else True,
            "relaxed": kind != "relaxed" or ledger.candidates(int(what))[0].pooled,
            "reserved": kind != "reserved" or len(ledger.evaluations(int(what))) == 2,
            "result": kind != "result" or jobs.result(what) is not None,
            "done": kind != "done" or states.get(what) == "DONE",
            "round": kind != "round" or plans.get(int(what)) == "finished",
            "finished": kind != "finished" or ledger.meta("status") == "finished",
        }[kind]
        if not kept:
            problems.append(f"lost: {fact}")
    return problems


def replay(folder: Path, every: int, torn: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Record one run, then cut the power everywhere; counts, and every broken promise."""
    shim = compile_shim(folder)
    place, log, facts = folder / "campaign", folder / "log", folder / "facts"
    place.mkdir()
    done = drive(shim, place, facts, log)
    if done.returncode:
        raise SystemExit(f"The recorded run failed: {done.stderr}")
    acknowledged = [(int(size), fact) for size, fact in (line.split("\t") for line in facts.read_text().splitlines())]
    operations = read_log(log)
    counts, broken = Counter[str](), list[str]()
    counts["operations"] = len(operations)
    disk, rng, seen = Disk(), random.Random(seed), set[tuple[str, int]]()
    image_folder = Path(tempfile.mkdtemp(prefix="lodestone-image-", dir=MEMORY if MEMORY.is_dir() else None))
    for index, op in enumerate(operations):
        disk.apply(op)
        if index % every:
            continue
        known = [fact for size, fact in acknowledged if size <= op.end and fact != "operations"]
        for name, image in disk.images(rng, torn):
            counts["images"] += 1
            print_of = (_digest(image), len(known))
            if print_of in seen:
                continue
            seen.add(print_of)
            counts["different images"] += 1
            counts[f"different images: {name}"] += 1
            _lay(image, place, image_folder)
            broken += [
                f"operation {index} ({op.kind} {Path(op.path).name}), {name}: {p}" for p in check(image_folder, known)
            ]
    shutil.rmtree(image_folder)
    counts["facts acknowledged"] = len(acknowledged) - 1
    return counts, broken


def _lay(image: Image, place: Path, target: Path) -> None:
    shutil.rmtree(target)
    target.mkdir()
    for path, content in image.items():
        file = target / Path(path).relative_to(place)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def _digest(image: Image) -> str:
    digest = hashlib.sha256()
    for path in sorted(image):
        digest.update(path.encode() + b"\0" + hashlib.sha256(image[path]).digest())
    return digest.hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """Command line; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, help="cut only after every n-th operation")
    parser.add_argument("--torn", type=int, default=4, help="torn images for each operation")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lodestone-power-") as folder:
        counts, broken = replay(Path(folder), options.every, options.torn, options.seed)
    print("| power cut at every write | |\n|---|---|")
    for name, count in counts.items():
        print(f"| {name} | {count} |")
    print(f"| images that do not open, do not verify, or lack an acknowledged fact | {len(broken)} |")
    print(f"| time | {time.monotonic() - began:.0f} s |")
    for line in broken[:30]:
        print(f"broken: {line}")
    return int(bool(broken))


if __name__ == "__main__":
    raise SystemExit(main())
