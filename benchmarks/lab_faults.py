"""Makes samples in a laboratory where everything goes wrong: `python -m benchmarks.lab_faults --directory DIR`.

A twin in its own process (accelerated clock) with faults at a tenth of its operations, a bench in another, SIGKILLs to
both, servers that come back at each other's address, and a person with a key who answers what nobody else can know.
Then the twin's whole journal is audited. `--seconds` ends a part; the same command goes on where it ended.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any

from benchmarks.lab_scene import APPROVED, PEOPLE, PERSON
from lodestone.tools.core.errors import LabError
from lodestone.tools.core.synthesis import Powder, Recipe
from lodestone.tools.lab import twin
from lodestone.tools.lab.address import Protocol
from lodestone.tools.lab.approval import answer_subject, approve, clear_subject
from lodestone.tools.lab.bench import Bench, Outcome, free_slots
from lodestone.tools.lab.instrument import ARCHIVE, Command, Question, key_of
from lodestone.tools.lab.interlocks import Interlocks
from lodestone.tools.lab.remote import RemoteInstrument
from lodestone.tools.lab.steps import Job, Scan
from lodestone.tools.lab.templates import TemplateBook
from lodestone.tools.lab.twin.audit import audit
from lodestone.tools.lab.twin.faults import Faults
from lodestone.tools.lab.twin.guards import LABORATORY
from lodestone.tools.lab.twin.journal import read
from lodestone.tools.lab.twin.world import INSTRUMENTS, RACK, World, apply

DEADLINE_S = 0.3
HANDSHAKE_S = 10.0
SPEED = 1e6
PROTOCOLS: tuple[Protocol, ...] = ("sila2", "opcua", "http")


def job(number: int, slot: str) -> Job:
    """The job of a number: powders, gas and furnace follow from it."""
    draw = random.Random(number)
    template, gas, kelvin = draw.choice(
        (("oxide_in_air", "air", 1273.15), ("oxide_in_argon", "argon", 1173.15), ("oxide_in_air", "oxygen", 1373.15),
         ("reduction_in_hydrogen", "hydrogen_argon", 1073.15))
    )  # fmt: skip
    recipe = Recipe(
        template=template,
        target="BaTiO3",
        powders=(Powder(formula="BaCO3", mass_g=1.0), Powder(formula="TiO2", mass_g=0.4)),
        temperature_k=kelvin,
        hold_h=6.0,
        ramp_k_per_min=5.0,
        atmosphere=gas,  # type: ignore[arg-type]
        mill_min=20.0,
        regrinds=int(draw.random() < 0.2),
    )
    scan = Scan(step_deg=0.4, time_per_step_s=0.1)
    furnace = f"furnace_{1 + number % 2}"
    return Job(sample=f"s{number:04d}", recipe=recipe, crucible="alumina", slot=slot, furnace=furnace, scan=scan)


def worker(directory: Path, jobs: int) -> int:
    """The bench's process: takes jobs on as slots become free, and ends when all have their outcome."""
    instruments = {
        a.instrument: RemoteInstrument(a, DEADLINE_S, handshake_s=HANDSHAKE_S) for a in twin.addresses(directory)
    }
    bench = Bench(directory / "bench", instruments, Interlocks(TemplateBook(APPROVED, PEOPLE), PEOPLE))
    while len(bench.outcomes) < jobs:
        started = len(bench.outcomes) + len(bench.open_jobs)
        for slot in free_slots(bench.open_jobs, RACK[:6]):
            if started < jobs:
                bench.add(job(started, slot))
                started += 1
        bench.round()
        time.sleep(0.005)
    return 0


class Person:
    """Somebody who looks, and signs. Sees the truth as eyes do: in the twin's own journal."""

    def __init__(self, directory: Path) -> None:
        self._journal = directory / "journal.jsonl"
        self._offset = 0
        self.world = World()
        self.instruments = {
            a.instrument: RemoteInstrument(a, 2.0, handshake_s=HANDSHAKE_S) for a in twin.addresses(directory)
        }
        self.answers = 0
        self.clearances = 0
        self.events = 0

    def look(self) -> None:
        """Read what was written since the last look."""
        if not self._journal.exists():
            return
        with open(self._journal, "rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                try:
                    event = json.loads(line)
                except ValueError:
                    return
                self._offset += len(line)
                self.events += 1
                apply(self.world, event)

    def help(self) -> None:
        """Clear a stop, answer every question."""
        self.look()
        if self.world.stop is not None:
            approval = approve(PERSON, "Ada", clear_subject(LABORATORY, self.world.stop.nonce))
            said = {"nonce": self.world.stop.nonce, "person": "Ada", "signature": approval.signature}
            self.clearances += self._say("transport", "clear_stop", said)
        for question in list(self.world.questions.values()):
            answer = self._what(question)
            approval = approve(PERSON, "Ada", answer_subject(question.id, answer))
            said = {"question": question.id, "answer": answer, "person": "Ada", "signature": approval.signature}
            self.answers += self._say(question.instrument, "answer", said)

    def _what(self, question: Question) -> str:
        place = self.world.vessels[question.sample].place
        if "complete" in question.options:
            return "complete" if self.world.records[question.key].extra.get("complete") else "discard"
        return place if place in question.options else "discard"

    def _say(self, instrument: str, name: str, said: dict[str, Any]) -> bool:
        command = Command(key=key_of(instrument, *said.values()), name=name, parameters=said, issued_at_s=time.time())
        try:
            return self.instruments[instrument].submit(command).state == "done"
        except LabError:
            return False

    def close(self) -> None:
        """Hang up."""
        for instrument in self.instruments.values():
            instrument.close()


class Part:
    """One part of the run: both processes, the person, and what kills them."""

    def __init__(self, directory: Path, jobs: int, seed: int) -> None:
        self.directory, self.jobs = directory, jobs
        self.chance = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.laboratory = self._start()
        self.bench = self._start_worker()
        self.person = Person(directory)
        self.swapped_until_s = 0.0

    def _start(self, swapped: tuple[str, str] | None = None) -> twin.Twin:
        return twin.start(self.directory, swapped=swapped)

    def _start_worker(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "benchmarks.lab_faults", "--worker", "--jobs", str(self.jobs)]
        log = open(self.directory / "bench.log", "ab")  # noqa: SIM115 (the child keeps it)
        with log:
            return subprocess.Popen([*command, "--directory", str(self.directory)], stderr=log)

    def go(self, seconds: float, worker_events: float, twin_events: float) -> bool:
        """Whether every job has its outcome. Kills come after so many events of the journal, so that a slow machine
        gets as far between them as a fast one."""
        end = time.monotonic() + seconds
        self.person.look()
        next_worker = self.person.events + self.chance.expovariate(1.0 / worker_events)
        next_twin = self.person.events + self.chance.expovariate(1.0 / twin_events)
        while time.monotonic() < end:
            now = time.monotonic()
            self.person.look()
            if self.bench.poll() == 0:
                return True
            if self.bench.poll() is not None:
                self.kills["bench ended by itself" if self.bench.returncode != -signal.SIGKILL else "bench"] += 1
                self.bench = self._start_worker()
                next_worker = self.person.events + self.chance.expovariate(1.0 / worker_events)
            elif self.person.events > next_worker:
                self.bench.send_signal(signal.SIGKILL)
                self.bench.wait()
            if self.laboratory.alive and self.person.events > next_twin:
                self.laboratory.kill()
                self.kills["twin, from outside"] += 1
                next_twin = self.person.events + self.chance.expovariate(1.0 / twin_events)
            if self.laboratory.alive and 0.0 < self.swapped_until_s < now:
                self.laboratory.stop()
                self.swapped_until_s = 0.0
                self.laboratory = self._start()
            if not self.laboratory.alive:
                self.laboratory.kill()
                swapped = ("furnace_1", "furnace_2") if self.chance.random() < 0.15 else None
                self.laboratory = self._start(swapped)
                if swapped:
                    self.kills["started with swapped servers"] += 1
                    self.swapped_until_s = time.monotonic() + 2.0
            if not self.swapped_until_s:
                self.person.help()
            time.sleep(0.05)
        return False

    def close(self) -> None:
        """End both processes."""
        self.person.close()
        if self.bench.poll() is None:
            self.bench.kill()
        self.bench.wait()
        self.laboratory.stop()


def report(directory: Path, jobs: int) -> tuple[str, bool]:
    """The audit, as a table, and whether every promise was kept."""
    counts = json.loads((directory / "kills.json").read_text(encoding="utf-8"))
    events = read(directory / "journal.jsonl")
    started = sorted(Job.model_validate_json(p.read_bytes()).sample for p in (directory / "bench").glob("*.job.json"))
    outcomes = [Outcome.model_validate_json(p.read_bytes()) for p in (directory / "bench").glob("*.outcome.json")]
    firings = {
        j.sample: 1 + j.recipe.regrinds
        for j in (Job.model_validate_json(p.read_bytes()) for p in (directory / "bench").glob("*.job.json"))
    }
    found = audit(events, firings)
    ended = {outcome.sample for outcome in outcomes}
    lost = [s for s in ended if found.places.get(s) != ARCHIVE]
    lost += [s for s in started if s not in found.places and s in ended]
    states = Counter(outcome.state for outcome in outcomes)
    reasons = Counter(o.reason.split(":")[0].split(";")[0] for o in outcomes if o.state == "failed")
    unanswered = found.doubted - found.answered
    rows = [
        ("jobs with an outcome", f"{len(ended)} of {jobs} ({states['done']} done, {states['failed']} failed)"),
        ("jobs that failed, by step", ", ".join(f"{n} {what}" for what, n in reasons.most_common()) or "none"),
        ("operations", str(found.commands)),
        ("operations with a fault", f"{sum(found.faults.values())} "
         f"({', '.join(f'{n} {k}' for k, n in sorted(found.faults.items()))})"),
        ("starts of the twin", str(found.boots)),
        ("SIGKILLs and swaps from outside", ", ".join(f"{n} {what}" for what, n in sorted(counts.items()))),
        ("emergency stops, each cleared by a signature", str(found.stops)),
        ("doubtful cases", f"{len(found.doubted)}, answered by a person {len(found.answered)}"),
        ("samples lost", str(len(lost))),
        ("operations run twice", str(len(found.twice))),
        ("unsafe states", str(len(found.unsafe))),
    ]  # fmt: skip
    table = "\n".join(["| | |", "|---|---|", *(f"| {a} | {b} |" for a, b in rows)])
    problems = [*lost, *found.twice, *found.unsafe, *sorted(unanswered)]
    complete = len(ended) == jobs
    return "\n".join([table, *problems[:20]]), complete and not problems


def run(
    directory: Path,
    jobs: int,
    rate: float,
    crashes: float,
    seconds: float,
    kills: tuple[float, float],
    seed: int,
    protocols: Mapping[str, Protocol],
) -> tuple[str, bool]:
    """One part, then the audit of everything so far."""
    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / "twin.json").exists():
        faults = Faults(rate=rate, crashes=crashes, seed=seed)
        twin.start(
            directory, seed=seed, speed=SPEED, faults=faults, people=PEOPLE, templates=APPROVED, lifetime_s=900.0,
            protocols=protocols,
        ).stop()  # fmt: skip
    file = directory / "kills.json"
    before = Counter(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else Counter()
    part = Part(directory, jobs, seed=sum(before.values()) + seed)
    try:
        part.go(seconds, *kills)
    finally:
        part.close()
        file.write_text(json.dumps(before + part.kills), encoding="utf-8")
    return report(directory, jobs)


def main() -> int:
    """Run a part and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--rate", type=float, default=0.1, help="share of operations that meet a fault")
    parser.add_argument("--crashes", type=float, default=0.05, help="share of drawn crashes that happen")
    parser.add_argument("--seconds", type=float, default=3600.0, help="end this part after so long")
    parser.add_argument("--bench-kill", type=float, default=400.0, help="mean number of events between its SIGKILLs")
    parser.add_argument("--twin-kill", type=float, default=1500.0, help="mean number of events between its SIGKILLs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mixed", action="store_true", help="two instruments of each protocol; SiLA 2 otherwise")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    logging.getLogger().addHandler(logging.NullHandler())
    if options.worker:
        return worker(options.directory, options.jobs)
    kills = (options.bench_kill, options.twin_kill)
    table, kept = run(
        options.directory, options.jobs, options.rate, options.crashes, options.seconds, kills, options.seed,
        dict(zip(INSTRUMENTS, cycle(PROTOCOLS))) if options.mixed else {},
    )  # fmt: skip
    print(table)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
