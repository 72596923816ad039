"""How a campaign's ledger behaves from ten thousand to a million candidates: `python -m benchmarks.load`.

Each ledger has one evaluation for every ten candidates, a hundred candidates a round, and the events of every round.
Measured in a fresh process each: opening with the check of the whole event chain, the reconciliation, the first and
the following reads of what a round knows, the queries and writes of one round, `status`, and resident memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ledger_values import observation, plan, request
from lodestone.loops.ledger import Ledger
from lodestone.loops.ledger import schema as tables
from lodestone.loops.ledger.bookings import caps_of
from lodestone.loops.ledger.chain import GENESIS, event_hash
from lodestone.tools.core.types import (
    Budget,
    Candidate,
    ChemicalSpace,
    Crystal,
    GoalSpec,
    Objective,
    Provenance,
    Recognition,
    Relaxation,
    canonical_json,
    sha256,
)

PER_ROUND = 100
EVALUATED = 10
ELEMENTS = ("Li", "P", "S")
GENERATORS = ("prototypes", "random", "substitution")


def build(directory: Path, size: int) -> None:
    """A ledger with `size` candidates, made by bulk inserts, as a campaign would have left it."""
    rng = np.random.default_rng(size)
    rounds = size // PER_ROUND
    goal = GoalSpec(
        text="load benchmark",
        objectives=(Objective(property="energy_above_hull", direction="minimise"),),
        space=ChemicalSpace(allowed=ELEMENTS, required=(), n_elements=(1, 3), max_atoms=20),
        budget=Budget(evaluations=size // PER_ROUND * EVALUATED + 1000, wall_hours=8000.0, rounds=100_000),
        evaluator="load",
    )
    references = [
        {"symbol": s, "crystal": _cell((s,), 3.0).model_dump(mode="json"), "energy_per_atom": -2.0} for s in ELEMENTS
    ]
    ledger = Ledger.create(
        directory,
        {
            "goal": goal.model_dump(mode="json"),
            "potential": "load", "method": "load", "evaluator": "load", "evaluator_version": "1",
            "status": "running", "references": references, "settings": {},
        },
        caps_of(goal.budget),
    )  # fmt: skip
    writer = _Bulk(ledger)
    writer.event("session started", 0, {"status": "running"})
    for symbol in ELEMENTS:
        writer.evaluation(0, f"reference-{symbol}", symbol, "reference", -2.0)
    for number in range(1, rounds + 1):
        kept = [_candidate(rng, number, i) for i in range(PER_ROUND)]
        writer.plan(number)
        writer.event("proposed", number, {"kept": [c.id for c, _ in kept], "rejected": 0})
        pooled = rng.random(PER_ROUND) < 0.4
        for i, (candidate, energy) in enumerate(kept):
            writer.candidate(number, i, candidate, energy, bool(pooled[i]))
        writer.event("relaxed", number, {"ids": [c.id for c, _ in kept], "digest": "x"})
        for index in np.flatnonzero(pooled)[:EVALUATED]:
            candidate, energy = kept[int(index)]
            writer.evaluation(number, candidate.id, candidate.formula, "candidate", energy + 0.01)
        writer.event("round finished", number, {"seconds": {"relax": 60.0}})
    writer.close()


def measure(directory: Path) -> dict[str, float]:
    """Seconds of everything that a session, a round and a user ask of the ledger."""
    from lodestone.loops.briefing import make_brief
    from lodestone.loops.history import build_record
    from lodestone.loops.knowledge import Knowledge
    from lodestone.loops.ledger.bookings import Booking
    from lodestone.loops.report.text import summary_lines
    from lodestone.loops.summary import summarise

    found: dict[str, float] = {}

    def timed(name: str, work: Any) -> Any:
        began = time.perf_counter()
        result = work()
        found[name] = time.perf_counter() - began
        return result

    ledger = timed("open", lambda: Ledger.open(directory))
    timed("check of the event chain", ledger.verify)
    timed("reconcile (10 open)", lambda: ledger.evaluations(states=("RESERVED", "SUBMITTING", "RUNNING", "UNKNOWN")))
    knowledge = timed("knowledge, first read", lambda: _used(Knowledge.read(ledger)))
    number = ledger.last_plan()[0].round + 1  # type: ignore[index]
    timed("brief for the planner", lambda: make_brief(knowledge, number, 1e6, None))
    rng = np.random.default_rng(1)
    fresh = [_candidate(rng, number, i) for i in range(32)]

    def one_round() -> None:
        ledger.add_plan(plan(number))
        known = ledger.known_ids([c.id for c, _ in fresh])
        ledger.add_candidates(number, [c for c, _ in fresh if c.id not in known], [])
        for start in (0, 16):
            chunk = fresh[start : start + 16]
            Knowledge.read(ledger).look_alikes({c.formula for c, _ in chunk}, [e for _, e in chunk], 0.004)
            ledger.add_relaxations(number, [(_relaxation(c, e), _recognition(c), {}, None) for c, e in chunk])
        now = _used(Knowledge.read(ledger))
        keys = [sha256(f"new {c.id}") for c, _ in fresh[:8]]
        ledger.reserve(
            number, [Booking(k, request(c.id), formula=c.formula) for k, (c, _) in zip(keys, fresh, strict=False)]
        )
        ledger.mark(keys, "SUBMITTING", number)
        ledger.mark(keys, "RUNNING", number)
        for key, (c, energy) in zip(keys, fresh, strict=False):
            ledger.record(observation(key, c.id, energy=energy), number)
            Knowledge.read(ledger)
        make_brief(now, number, 1e6, None)
        ledger.finish_round(number, {"seconds": {"relax": 60.0}})

    timed("all queries and writes of one round", one_round)
    found["resident memory of the agent (MB)"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    timed("`status`", lambda: summarise(directory))
    record = timed("record for the report", lambda: build_record(directory))
    summary_lines(record)
    found["size of the file (MB)"] = (directory / "ledger.sqlite").stat().st_size / 1e6
    return found


def _used(knowledge: Any) -> Any:
    """What a round derives from its knowledge before the surrogate."""
    _ = (
        knowledge.cheap,
        knowledge.best(),
        len(knowledge.hits()),
        len(knowledge.training),
        knowledge.broken_evaluator(),
    )
    return knowledge


class _Bulk:
    def __init__(self, ledger: Ledger) -> None:
        self._connection = ledger.store.engine.connect()
        self._connection.connection.cursor().execute("PRAGMA synchronous=OFF")
        self._rows: dict[Any, list[dict[str, Any]]] = {}
        self._seq, self._previous = 1, ledger_head(ledger)
        self._position = 0
        self._totals: dict[str, int] = {}

    def event(self, kind: str, number: int, payload: dict[str, Any]) -> int:
        self._seq += 1
        row = {
            "seq": self._seq, "at": 1e9 + self._seq, "up": float(self._seq), "kind": kind, "round": number,
            "payload": canonical_json(payload), "previous": self._previous,
        }  # fmt: skip
        self._previous = event_hash(row)
        self._add(tables.events, {**row, "hash": self._previous})
        return self._seq

    def plan(self, number: int) -> None:
        self.event("planned", number, {})
        self._add(tables.plans, {"round": number, "plan": plan(number).canonical_json(), "state": "finished"})

    def candidate(self, number: int, position: int, candidate: Candidate, energy: float, pooled: bool) -> None:
        self._add(
            tables.candidates,
            {
                "id": candidate.id, "round": number, "position": position, "generator": candidate.provenance.generator,
                "formula": candidate.formula, "candidate": candidate.canonical_json(), "relaxed": 1,
                "pooled": int(pooled), "energy": energy, "version": self._seq + 1,
                "stage": "" if pooled else "duplicate", "what": "", "reason": "" if pooled else "a twin",
                "relaxation": _relaxation(candidate, energy).canonical_json(),
                "recognition": _recognition(candidate).canonical_json() if pooled else None, "cheap": "{}",
            },
        )  # fmt: skip

    def evaluation(self, number: int, candidate_id: str, formula: str, purpose: str, energy: float) -> None:
        key = sha256(f"{number} {candidate_id}")
        self._position += 1
        result = observation(key, candidate_id, energy=energy)
        self.event("reserved", number, {"keys": [key]})
        seq = self.event("done", number, {"key": key, "digest": result.digest()})
        asked = request(candidate_id).model_copy(update={"purpose": purpose})
        outcome = {"energy_per_atom": {"value": energy, "unit": "eV/atom", "std": None},
                   "density": {"value": 2.0, "unit": "g/cm^3", "std": None},
                   "volume_per_atom": {"value": 20.0, "unit": "angstrom^3/atom", "std": None}}  # fmt: skip
        self._add(
            tables.evaluations,
            {
                "key": key, "position": self._position, "round": number, "candidate_id": candidate_id,
                "formula": formula, "purpose": purpose, "fidelity": "potential", "state": "DONE", "handle": "",
                "request": asked.canonical_json(), "predicted": "{}", "why": "load",
                "outcome": canonical_json(outcome), "failure": "", "observation": result.canonical_json(),
                "version": seq,
            },
        )  # fmt: skip
        self._add(tables.charges, {"key": key, "resource": "evaluations", "reserved": 1})

    def close(self) -> None:
        self._flush()
        with self._connection.begin():
            self._connection.execute(tables.charges.update().values(spent=1))
        self._connection.close()

    def _add(self, table: Any, row: dict[str, Any]) -> None:
        self._rows.setdefault(table, []).append(row)
        if len(self._rows[table]) >= 5000:
            self._flush()

    def _flush(self) -> None:
        with self._connection.begin():
            for table, rows in self._rows.items():
                self._connection.execute(table.insert(), rows)
        self._rows = {}


def ledger_head(ledger: Ledger) -> str:
    """Hash of the one event of a new ledger."""
    with ledger.store.read() as connection:
        row = connection.execute(tables.events.select()).one()
    assert row.previous == GENESIS
    return str(row.hash)


_FORMULAS: list[tuple[str, tuple[str, ...]]] = []


def _formulas() -> list[tuple[str, tuple[str, ...]]]:
    if not _FORMULAS:
        from lodestone.tools.core.structure import reduced_formula

        found = {}
        for a in range(5):
            for b in range(5):
                for c in range(7):
                    species = ("Li",) * a + ("P",) * b + ("S",) * c
                    if len(set(species)) > 1:
                        found.setdefault(reduced_formula(_cell(species, 5.0)), species)
        _FORMULAS.extend(found.items())
    return _FORMULAS


def _cell(species: tuple[str, ...], edge: float) -> Crystal:
    sites = tuple((round(i / max(1, len(species)), 4), 0.25, 0.5) for i in range(len(species)))
    return Crystal(lattice=((edge, 0, 0), (0, edge, 0), (0, 0, edge)), species=species, frac_coords=sites)


def _candidate(rng: np.random.Generator, number: int, index: int) -> tuple[Candidate, float]:
    formula, species = _formulas()[int(rng.integers(len(_formulas())))]
    candidate = Candidate(
        id=sha256(f"{number} {index} {rng.integers(2**60)}")[:32],
        crystal=_cell(species, float(rng.uniform(4, 8))),
        formula=formula,
        provenance=Provenance(generator=GENERATORS[index % 3]),
    )
    return candidate, -2.0 - float(rng.gamma(2.0, 0.1)) + float(rng.gamma(3.0, 0.1))


def _relaxation(candidate: Candidate, energy: float) -> Relaxation:
    return Relaxation(
        candidate_id=candidate.id, crystal=candidate.crystal, energy_per_atom=energy, fmax=0.01, stress_max_gpa=0.1,
        steps=10, converged=True, potential="load",
    )  # fmt: skip


def _recognition(candidate: Candidate) -> Recognition:
    return Recognition(
        candidate_id=candidate.id, space_group=1, space_group_symbol="P1", symprec=0.1, crystal_system="triclinic",
        prototype="", dimensionality=3, embedding=(0.5,) * 32,
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure is not None:
        print(json.dumps(measure(options.measure)))
        return 0
    table: dict[int, dict[str, float]] = {}
    for size in options.sizes:
        folder = Path(tempfile.mkdtemp(prefix="lodestone-load-"))
        try:
            began = time.perf_counter()
            build(folder, size)
            print(f"built {size} in {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.load", "--measure", str(folder)],
                env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                raise SystemExit(done.stderr)
            table[size] = json.loads(done.stdout.splitlines()[-1])
        finally:
            shutil.rmtree(folder)
    print("| seconds, unless said otherwise | " + " | ".join(f"{s:,} candidates" for s in table) + " | last / first |")
    print("|---|" + "---:|" * (len(table) + 1))
    first, last = table[options.sizes[0]], table[options.sizes[-1]]
    for name in last:
        cells = " | ".join(f"{column[name]:.3g}" for column in table.values())
        print(f"| {name} | {cells} | {last[name] / max(first[name], 1e-9):.1f} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
