"""What a campaign does to its ledger and job files, in a process under the shim; says what it was promised.

`python -m benchmarks.faultfs.driver FOLDER ACKNOWLEDGED LOG FAIL_AT ERRNO STAYS CUT`: after each call that returned, a
line with the fact and the length of the log goes to ACKNOWLEDGED. Run again on the same folder it goes on.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.ledger_values import candidate, observation, plan, request
from lodestone.loops.ledger import Booking, Ledger, holds_ledger
from lodestone.loops.lock import CampaignLock
from lodestone.tools.core.errors import EvaluationError, LodestoneError
from lodestone.tools.core.types import Recognition, Relaxation, sha256
from lodestone.tools.evaluate.job import JobStore
from lodestone.tools.evaluate.process import ProcessMark

CAP = 6
ROUNDS = 3
MARK = ProcessMark(pid=1, start_ticks=1, boot_id="b", pid_namespace="n", host="h")


def work(folder: Path, acknowledged: Callable[[str], None]) -> None:
    """Three rounds of two evaluations each, from wherever an earlier run was cut off."""
    lock = CampaignLock(folder)
    lock.acquire()
    try:
        ledger = _open(folder)
        acknowledged("created")
        for number in range(1, ROUNDS + 1):
            _round(ledger, folder, number, acknowledged)
        ledger.set_meta("status", "finished", "finished")
        acknowledged("finished")
    finally:
        lock.release()


def _open(folder: Path) -> Ledger:
    if holds_ledger(folder):
        try:
            return Ledger.open(folder)
        except LodestoneError as error:
            if "never finished" not in str(error):
                raise
            for file in folder.glob("ledger.*"):  # as its message says
                file.unlink()
    return Ledger.create(folder, {"status": "running"}, {"evaluations": CAP})


def _round(ledger: Ledger, folder: Path, number: int, acknowledged: Callable[[str], None]) -> None:
    crystal = candidate(4.0 + number / 10)
    keys = [sha256(f"{number} {i}") for i in range(2)]
    states = {p.round: s for p, s in ledger.plans()}
    if number not in states:
        ledger.add_plan(plan(number))
        acknowledged(f"plan {number}")
        states[number] = "planned"
    if states[number] == "planned":
        ledger.add_candidates(number, [crystal], [])
        relaxation = Relaxation(
            candidate_id=crystal.id, crystal=crystal.crystal, energy_per_atom=-3.0, fmax=0.01, stress_max_gpa=0.1,
            steps=3, converged=True, potential="test",
        )  # fmt: skip
        recognition = Recognition(
            candidate_id=crystal.id, space_group=221, space_group_symbol="Pm-3m", symprec=0.1, crystal_system="cubic",
            prototype="", dimensionality=3,
        )  # fmt: skip
        ledger.add_relaxations(number, [(relaxation, recognition, {}, None)])
        acknowledged(f"relaxed {number}")
    wanted = [k for k in keys if k not in ledger.known_keys(keys)]
    if wanted:
        ledger.reserve(number, [Booking(k, request(k)) for k in wanted])
        acknowledged(f"reserved {number}")
    jobs = JobStore(folder / "jobs")
    for row in ledger.evaluations(number, states=("RESERVED", "SUBMITTING", "RUNNING")):
        ledger.mark([row.key], "SUBMITTING", number)
        if jobs.result(row.key) is None:
            try:
                jobs.put_request(row.key, request(row.key))
                attempt = jobs.claim(row.key, "workers/w") or 1
                jobs.start(row.key, attempt, MARK)
                jobs.put_result(observation(row.key, row.key))
            except OSError as error:  # as `submit` and the worker do
                raise EvaluationError(f"Cannot write jobs to {jobs.root}: {error}.", "Free space.") from error
        acknowledged(f"result {row.key}")
        result = jobs.result(row.key)
        assert result is not None
        ledger.record(result, number)
        acknowledged(f"done {row.key}")
    if states[number] != "finished":
        ledger.finish_round(number, {"seconds": {}})
        acknowledged(f"round {number}")


def main() -> int:
    """0 finished; 8 an error of ours, on standard error; anything else is a defect."""
    folder, facts, log = (Path(a).resolve() for a in sys.argv[1:4])
    fail_at, error, stays, cut = (int(a) for a in sys.argv[4:8])
    folder.mkdir(parents=True, exist_ok=True)
    out = facts.open("a")
    log_fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if fail_at < 0 else -1
    shim = ctypes.CDLL(None)
    shim.shim_set(str(folder).encode(), log_fd, ctypes.c_long(fail_at), error, stays, cut)

    def acknowledged(fact: str) -> None:
        size = os.fstat(log_fd).st_size if log_fd >= 0 else 0
        out.write(f"{size}\t{fact}\n")
        out.flush()

    try:
        work(folder, acknowledged)
    except LodestoneError as problem:
        print(f"{type(problem).__name__}: {problem}", file=sys.stderr)
        return 8
    finally:
        shim.shim_count.restype = ctypes.c_long
        out.write(f"{shim.shim_count()}\toperations\n")
        out.flush()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
