"""Kills campaigns at every fail point, and at random, and counts what is lost: `python -m benchmarks.faults`.

`--exhaustive`: one SIGKILL at each place that a run passes (before, inside and after every ledger transaction, before
and after every step of a job and of the planner), in whichever process passes it, then recovery. `--kills N`: N
SIGKILLs at random moments to the agent, its job supervisors and calculators, and with `--postgres` to the database
server, with `--prefect` to the Prefect server, with `--dask` to the workers and the scheduler of a cluster. Then:
results lost, evaluations charged twice, spend over a cap, contradictions found by `ledger verify`, and whether the
outcome is that of the undisturbed run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.postgres import PostgresServer
from benchmarks.world import harness, parts
from benchmarks.world.harness import Setup

if TYPE_CHECKING:
    from benchmarks.world.cluster import Cluster

MAX_RECOVERIES = 10


@dataclass
class Tally:
    """What was found."""

    kills: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    contradictions: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    extra_attempts: int = 0
    campaigns: int = 0

    def __post_init__(self) -> None:
        self.kills = Counter(self.kills)

    def add(self, other: Tally) -> None:
        """Take another one's findings in."""
        self.kills += other.kills
        self.lost += other.lost
        self.contradictions += other.contradictions
        self.different += other.different
        self.stuck += other.stuck
        self.extra_attempts += other.extra_attempts
        self.campaigns += other.campaigns

    @property
    def clean(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.contradictions or self.different or self.stuck)

    def table(self, title: str) -> str:
        """Markdown rows."""
        kills = ", ".join(f"{n} {what}" for what, n in sorted(self.kills.items()))
        twice = sum("recorded" in c or "reserved" in c for c in self.contradictions)
        over = sum("cap" in c for c in self.contradictions)
        rows = [
            ("kills", f"{sum(self.kills.values())} ({kills})"),
            ("campaigns brought to their end", str(self.campaigns)),
            ("evaluations lost", str(self.lost)),
            ("evaluations paid twice", str(twice)),
            ("spend over a cap", str(over)),
            ("other contradictions (`ledger verify`)", str(len(self.contradictions) - twice - over)),
            ("outcome differs from the undisturbed run", str(len(self.different))),
            ("needed a person", str(len(self.stuck))),
            ("calculations started again (charged to the same reservation)", str(self.extra_attempts)),
        ]
        return "\n".join([f"| {title} | |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)])


def fail_points(site: Path, folder: Path, setup: dict[str, object]) -> list[str]:
    """Every name that an undisturbed run passes, in order, and how often."""
    trace = folder / "trace"
    run = Setup(folder / "traced", site, **setup)  # type: ignore[arg-type]
    run.environment = {**run.environment, "LODESTONE_FAILPOINT_TRACE": str(trace)}
    code = harness.wait(harness.start(run))
    if code:
        raise SystemExit(f"The undisturbed run ended with {code}; see {run.directory.with_suffix('.log')}.")
    return trace.read_text().split()


def exhaustive(site: Path, folder: Path, url: str = "", lanes: int = 2, last: bool = True) -> tuple[Tally, int]:
    """A kill at the first and at the last passing of every fail point; the tally, and the number of places.

    Args:
        site: of the evaluator.
        folder: for the campaigns.
        url: of a PostgreSQL database for the ledgers; empty for SQLite.
        lanes: cases that run side by side.
        last: whether also the last passing counts as a case.
    """
    common: dict[str, object] = {
        "words": "the most stable compound of Cu and Au; 8 evaluations; 2 rounds",
        "settings": {"ledger.url": url},
    }
    passed = Counter(fail_points(site, folder, common))
    undisturbed = harness.outcome(folder / "traced")
    cases = [(name, n) for name, count in passed.items() for n in sorted({1, count} if last else {1})]
    pids = []
    for lane in range(lanes):
        pid = os.fork()
        if not pid:
            try:
                mine = Tally()
                for index in range(lane, len(cases), lanes):
                    setup = Setup(folder / f"case-{index}", site, **common)  # type: ignore[arg-type]
                    _one_case(setup, *cases[index], undisturbed, mine)
                (folder / f"lane-{lane}.json").write_text(json.dumps(vars(mine)))
                os._exit(0)
            finally:
                traceback.print_exc()
                os._exit(1)
        pids.append(pid)
    tally = Tally(contradictions=[f"undisturbed: {p}" for p in undisturbed.problems])
    for lane, pid in enumerate(pids):
        if os.waitpid(pid, 0)[1]:
            raise SystemExit(f"Lane {lane} of the benchmark itself failed.")
        tally.add(Tally(**json.loads((folder / f"lane-{lane}.json").read_text())))
    return tally, len(passed)


def _one_case(setup: Setup, name: str, n: int, undisturbed: harness.Outcome, tally: Tally) -> None:
    once = setup.directory.with_suffix(".once")
    extra = {"LODESTONE_FAILPOINT": f"{name}:{n}", "LODESTONE_FAILPOINT_ONCE": str(once)}
    code = harness.wait(harness.start(setup, extra))
    if once.exists():
        tally.kills[name.split(".")[0]] += 1
    else:
        tally.stuck.append(f"{name}:{n} was never reached")
    before = _done(setup.directory)
    _recover(setup, code, tally, f"{name}:{n}")
    _compare(setup, before, undisturbed, tally, f"{name}:{n}")
    shutil.rmtree(setup.directory, ignore_errors=True)


def at_random(
    site: Path,
    folder: Path,
    kills: int,
    seed: int,
    server: PostgresServer | None = None,
    prefect: bool = False,
    cluster: Cluster | None = None,
) -> Tally:
    """SIGKILLs at random moments, campaign after campaign, until there were enough."""
    rng = random.Random(seed)
    tally = Tally()
    references: dict[int, harness.Outcome] = {}
    number = 0
    while sum(tally.kills.values()) < kills:
        which = number % 3
        common: dict[str, object] = {
            "seed": which,
            "words": "the most stable compound of Cu, Au and Ni; 24 evaluations; 8 rounds",
            "settings": {"ledger.url": server.url if server else "", "prefect.enabled": prefect},
            "evaluator": {"max_attempts": 20},
            "environment": {"EMT_FOR_FAULTS_SECONDS": "0.1"},
        }
        if which not in references:
            quiet = Setup(folder / f"undisturbed-{which}", site, **common)  # type: ignore[arg-type]
            quiet.settings["prefect.enabled"] = False
            if harness.wait(harness.start(quiet), 300):
                raise SystemExit(f"The undisturbed run failed; see {quiet.directory.with_suffix('.log')}.")
            references[which] = harness.outcome(quiet.directory)
        setup = Setup(folder / f"campaign-{number}", site, **common)  # type: ignore[arg-type]
        setup.scheduler = cluster.address if cluster else ""
        _torment(setup, rng, tally, kills, server, cluster)
        _compare(setup, _done(setup.directory), references[which], tally, f"campaign {number}")
        shutil.rmtree(setup.directory, ignore_errors=True)
        number += 1
        print(f"{time.strftime('%H:%M:%S')} campaign {number}: {dict(tally.kills)} clean={tally.clean}", flush=True)
    return tally


def _torment(
    setup: Setup,
    rng: random.Random,
    tally: Tally,
    kills: int,
    server: PostgresServer | None,
    cluster: Cluster | None,
) -> None:
    """Run one campaign to its end, killing something every now and then."""
    pid = harness.start(setup)
    known: dict[str, str] = {}
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        pause = time.monotonic() + rng.expovariate(1 / 0.8)
        code: int | None = None
        while time.monotonic() < pause and code is None:
            done, status = os.waitpid(pid, os.WNOHANG)
            code = os.waitstatus_to_exitcode(status) if done else None
            time.sleep(0.01)
        if code == 0:
            return
        if code is not None:
            pid = harness.start(setup)
            continue
        if sum(tally.kills.values()) >= kills:
            continue
        victims = {"agent": [pid], "job": harness.job_processes(setup.directory), "prefect": _prefect(setup.directory)}
        if cluster is not None:
            cluster.mend()
            victims["worker"] = [w.pid for w in cluster.workers]
            if rng.random() < 0.1:
                victims = {"scheduler": [cluster.scheduler.pid]}
        if server is not None and rng.random() < 0.1:
            server.kill()
            tally.kills["database"] += 1
            server.start()
        else:
            kind = rng.choice([k for k, v in victims.items() if v])
            try:
                os.kill(rng.choice(victims[kind]), signal.SIGKILL)
            except ProcessLookupError:
                continue
            tally.kills[kind] += 1
            if kind == "agent":
                os.waitpid(pid, 0)
                now = _done(setup.directory)
                tally.lost += harness.lost(known, now)
                known = now
                pid = harness.start(setup)
    tally.stuck.append(str(setup.directory))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _prefect(directory: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if b"prefect server" in command and str(directory / "prefect").encode() in environment:
                found.append(int(entry.name))
    return found


def _recover(setup: Setup, code: int, tally: Tally, what: str) -> None:
    """Start the agent again until it ends well, as the service does."""
    for _ in range(MAX_RECOVERIES):
        if code == 0:
            return
        code = harness.wait(harness.start(setup))
    tally.stuck.append(f"{what}: ends with {code}")


def _compare(setup: Setup, before: dict[str, str], undisturbed: harness.Outcome, tally: Tally, what: str) -> None:
    after = harness.outcome(setup.directory)
    tally.campaigns += 1
    tally.lost += harness.lost(before, after.done)
    tally.contradictions += [f"{what}: {p}" for p in after.problems]
    tally.extra_attempts += after.attempts - undisturbed.attempts
    if after.fingerprint != undisturbed.fingerprint:
        tally.different.append(what)


def _done(directory: Path) -> dict[str, str]:
    try:
        return harness.outcome(directory).done
    except Exception:  # noqa: BLE001  a ledger whose creation was killed holds nothing yet
        return {}


def main(arguments: list[str] | None = None) -> int:
    """Command line; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--exhaustive", action="store_true")
    parser.add_argument("--first-only", action="store_true", help="not also at the last passing of each point")
    parser.add_argument("--kills", type=int, default=0, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--postgres", action="store_true", help="ledger in a PostgreSQL server, which is killed too")
    parser.add_argument("--prefect", action="store_true", help="with a Prefect server, which is killed too")
    parser.add_argument("--dask", action="store_true", help="on a Dask cluster, whose processes are killed too")
    options = parser.parse_args(arguments)
    harness.preload()
    folder = Path(tempfile.mkdtemp(prefix="lodestone-faults-"))
    site = folder / "site"
    parts.install(site)
    server = PostgresServer() if options.postgres else None
    cluster = _cluster(folder) if options.dask else None
    clean = True
    try:
        if options.exhaustive:
            began = time.monotonic()
            tally, places = exhaustive(site, folder, server.url if server else "", last=not options.first_only)
            print(tally.table(f"kill at each of {places} fail points, first and last passing"))
            print(f"| time | {time.monotonic() - began:.0f} s |")
            clean &= _explain(tally)
        if options.kills:
            began = time.monotonic()
            tally = at_random(site, folder, options.kills, options.seed, server, options.prefect, cluster)
            print(tally.table("kills at random moments"))
            print(f"| time | {time.monotonic() - began:.0f} s |")
            clean &= _explain(tally)
    finally:
        if server is not None:
            server.stop()
        if cluster is not None:
            cluster.stop()
    if clean:
        shutil.rmtree(folder)
    else:
        print(f"Kept for inspection: {folder}", file=sys.stderr)
    return 0 if clean else 1


def _cluster(folder: Path) -> Cluster:
    from benchmarks.world.cluster import Cluster

    logs = folder / "cluster"
    logs.mkdir()
    return Cluster(logs, 3)


def _explain(tally: Tally) -> bool:
    for what in (*tally.contradictions, *tally.different, *tally.stuck):
        print(f"broken: {what}", file=sys.stderr)
    return tally.clean


if __name__ == "__main__":
    raise SystemExit(main())
