"""Sixty simulated days of one campaign, with faults at 5 % of all operations: `python -m benchmarks.soak`.

The campaign's clock runs fast (60 days in the time that its rounds really take). An operation is every ledger
transaction, plan, submission and step of a job: one in twenty is met by SIGKILL, a full disk or an I/O error, in
whichever process performs it. Nobody helps: the agent is started again when it ends, as the service does. Then the
same without faults, in one process, to see whether memory, file handles or disk grow without bound.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.world import harness, parts
from benchmarks.world.harness import Setup
from lodestone.loops.ledger import Ledger

DAYS = 60


class FastClock:
    """Stands in for the `time` module where a campaign reads the clock: seconds pass `factor` times as fast."""

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._began = time.monotonic()
        self._wall = time.time()
        self._boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.CLOCK_BOOTTIME = time.CLOCK_BOOTTIME
        self.sleep = time.sleep

    def _passed(self) -> float:
        return (time.monotonic() - self._began) * self._factor

    def monotonic(self) -> float:
        """See `time.monotonic`."""
        return self._passed()

    def time(self) -> float:
        """See `time.time`."""
        return self._wall + self._passed()

    def clock_gettime(self, _: int) -> float:
        """Of the kernel's clock since boot."""
        return self._boot + self._passed()


@dataclass
class Sample:
    """One look at the agent and its directory."""

    round: int
    resident_mb: float
    handles: int
    disk_mb: float


def run(folder: Path, site: Path, rounds: int, rate: float, factor: float) -> tuple[list[Sample], dict[str, Any]]:
    """One campaign to its end; samples along the way, and what came of it."""
    from lodestone.loops import campaign
    from lodestone.loops.ledger import chain

    clock: Any = FastClock(factor)
    campaign.time = clock
    chain.time = clock
    log = folder / f"faults-{rate}"
    setup = Setup(
        folder / f"soak-{rate}",
        site,
        words=f"the most stable compound of Cu and Au; 100000 evaluations; {rounds} rounds; {DAYS + 1} days",
        metals=("Ag", "Al", "Au", "Cu", "Ni", "Pd", "Pt"),
        settings={"surrogate.max_training": 60, "surrogate.max_pool": 60, "campaign.batch": 1, "campaign.proposals": 2},
        evaluator={"max_attempts": 20},
        environment={"LODESTONE_FAILPOINT_RANDOM": f"{rate}:{log}"} if rate else {},
    )
    samples: list[Sample] = []
    sessions, codes = 0, Counter[str]()
    code = 1
    while code != 0:
        random.seed(sessions)
        pid = harness.start(setup)
        sessions += 1
        code = _watch(pid, setup.directory, samples)
        codes["finished" if code == 0 else f"signal {-code}" if code < 0 else f"exit {code}"] += 1
        if sessions > 20 * rounds:
            raise SystemExit(f"The campaign does not get on: {dict(codes)}; see {setup.directory.with_suffix('.log')}.")
    ledger = Ledger.open(setup.directory, read_only=True)
    events = ledger.events(("created", "finished"))
    left = harness.outcome(setup.directory)
    faults = Counter(line.split()[0] for line in log.read_text().splitlines()) if log.exists() else Counter()
    operations = sum(faults.values())
    return samples, {
        "rounds": ledger.last_plan()[0].round,  # type: ignore[index]
        "simulated days": round((events[-1]["at"] - events[0]["at"]) / 86400, 1),
        "sessions": sessions,
        "how sessions ended": dict(codes),
        "operations": operations,
        "faults": {k: v for k, v in faults.items() if k != "None"},
        "share of operations with a fault": round(1 - faults["None"] / operations, 4) if operations else 0.0,
        "evaluations": ledger.spent(),
        "contradictions": left.problems,
        "reason": ledger.meta("stop_reason"),
    }


def _watch(pid: int, directory: Path, samples: list[Sample]) -> int:
    """Wait for an agent, looking at it every second; how it ended."""
    look = time.monotonic()
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > look:
            look = time.monotonic() + 2.0
            if sample := _sample(pid, directory):
                samples.append(sample)
        time.sleep(0.02)


def _sample(pid: int, directory: Path) -> Sample | None:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        handles = len(os.listdir(f"/proc/{pid}/fd"))
        last = Ledger.open(directory, read_only=True).last_plan()
        size = sum(f.stat().st_size for f in directory.rglob("*") if f.is_file())
    except Exception:  # noqa: BLE001  it ended, or has not begun: there is nothing to look at
        return None
    if last is None or not pages:
        return None
    return Sample(last[0].round, pages * os.sysconf("SC_PAGE_SIZE") / 1e6, handles, size / 1e6)


def plot(path: Path, runs: dict[str, list[Sample]]) -> None:
    """Memory, handles and disk against rounds, as one picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.6), constrained_layout=True)
    for name, samples in runs.items():
        rounds = [s.round for s in samples]
        for axis, values, title in zip(
            axes,
            ([s.resident_mb for s in samples], [s.handles for s in samples], [s.disk_mb for s in samples]),
            ("resident memory (MB)", "open file handles", "campaign directory (MB)"),
            strict=True,
        ):
            axis.plot(rounds, values, ".", markersize=2.5, label=name)
            axis.set_title(title)
            axis.set_xlabel("round")
            axis.set_ylim(bottom=0)
    axes[0].legend(markerscale=4)
    figure.savefig(path, dpi=110)


def main(arguments: list[str] | None = None) -> int:
    """Command line; 1 when it did too few rounds, took too few days, or a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--seconds-per-round", type=float, default=1.5, help="real time; sets the speed of the clock")
    parser.add_argument("--quiet-rounds", type=int, default=None, help="rounds of the run without faults")
    parser.add_argument("--plot", type=Path, default=Path("benchmarks/soak.png"))
    options = parser.parse_args(arguments)
    harness.preload()
    folder = Path(tempfile.mkdtemp(prefix="lodestone-soak-"))
    parts.install(folder / "site")
    factor = DAYS * 86400 / (options.rounds * options.seconds_per_round)
    runs: dict[str, list[Sample]] = {}
    broken = False
    for name, rate in ((f"faults at {options.rate:.0%}", options.rate), ("no faults", 0.0)):
        began = time.monotonic()
        # With faults it is the time that ends the campaign; how many rounds fit into it is a result.
        rounds = 3 * options.rounds if rate else options.quiet_rounds or options.rounds
        runs[name], found = run(folder, folder / "site", rounds, rate, factor)
        print(f"| {name} | |\n|---|---|")
        for key, value in found.items():
            print(f"| {key} | {json.dumps(value) if isinstance(value, dict) else value} |")
        tail = runs[name][len(runs[name]) // 2 :]
        print(f"| resident memory, second half (MB) | {min(s.resident_mb for s in tail):.0f} to "
              f"{max(s.resident_mb for s in tail):.0f} |")  # fmt: skip
        print(f"| open handles | at most {max(s.handles for s in runs[name])} |")
        print(f"| disk at the end (MB) | {runs[name][-1].disk_mb:.1f} |")
        print(f"| real time | {time.monotonic() - began:.0f} s |\n", flush=True)
        broken |= bool(found["contradictions"])
        if rate:
            broken |= found["rounds"] < options.rounds or found["simulated days"] < DAYS
    plot(options.plot, runs)
    shutil.rmtree(folder)
    return int(broken)


if __name__ == "__main__":
    raise SystemExit(main())
