"""A calculation that hangs, lies, overruns or dies becomes a failure with a reason, and never a wrong number."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lodestone.tools.core.types import EvaluationRequest, JobLimits, JobStatus, Observation
from lodestone.tools.evaluate.base import ProcessEvaluator
from lodestone.tools.evaluate.job import Attempt
from lodestone.tools.evaluate.process import mark_process
from lodestone.tools.evaluate.watchdog import Heartbeat

Make = Callable[..., EvaluationRequest]
Wait = Callable[..., None]
pytestmark = pytest.mark.usefixtures("faulty_package")


def outcome(evaluator: ProcessEvaluator[Any], request: EvaluationRequest, wait: Wait, **limits: Any) -> Observation:
    key = evaluator.key(request)
    evaluator.submit([(key, request)], {key: JobLimits(**limits)} if limits else None)
    wait(evaluator, key)
    return evaluator.harvest(key)


@pytest.mark.parametrize(
    ("deed", "settings", "limits", "reason", "kind"),
    [
        ("hang", {"wall_limit_s": 1.0}, {}, "passed the limit of 1 s", "wall"),
        ("hang", {"wall_limit_s": 60.0}, {"wall_s": 1.0}, "passed the limit of 1 s", "wall"),
        ("memory", {"memory_limit_mb": 250.0}, {}, "memory_limit_mb is 250", "memory"),
        ("burnforever", {}, {"core_s": 1.5}, "used up what was reserved", "allowance"),
        ("exit", {"max_attempts": 1}, {}, "exit status 0", "crash"),
        ("junk", {"max_attempts": 1}, {}, "answered nonsense", "output"),
        ("truncated", {"max_attempts": 1}, {}, "exit status 0", "crash"),
        ("crash", {"max_attempts": 1}, {}, "signal 11", "crash"),
        ("nan", {}, {}, "finite", "output"),
        ("inf", {}, {}, "finite", "output"),
        ("nothing", {}, {}, "without an energy", "output"),
    ],
)
def test_each_way_to_fail_has_its_reason(
    faulty: Any, request_for: Make, wait_until: Wait, deed: str, settings: Any, limits: Any, reason: str, kind: str
) -> None:
    found = outcome(faulty(**settings), request_for(deed), wait_until, **limits)
    assert found.failure is not None
    assert reason in found.failure.reason
    assert found.failure.kind == kind
    assert "energy_per_atom" not in found.values


def test_silence_ends_an_attempt_and_another_one_is_made(faulty: Any, request_for: Make, wait_until: Wait) -> None:
    evaluator = faulty(silence_limit_s=1.0, max_attempts=2)
    found = outcome(evaluator, request_for("silent"), wait_until)
    assert found.failure is not None
    assert "died 2 times" in found.failure.reason
    assert "silence_limit_s is 1" in found.failure.reason
    assert outcome(evaluator, request_for("talks"), wait_until).failure is None


def test_all_attempts_share_one_allowance(faulty: Any, request_for: Make, wait_until: Wait) -> None:
    evaluator = faulty(max_attempts=20)
    found = outcome(evaluator, request_for("burncrash"), wait_until, core_s=3.0)
    assert found.failure is not None
    attempts = evaluator.jobs.attempts(found.key)
    assert 2 <= attempts < 20
    assert found.cost_core_s < 3.0 + 2.0  # one look, and the imports of the last process


def test_a_killed_attempt_goes_on_from_its_checkpoint(
    faulty: Any, request_for: Make, wait_until: Wait, tmp_path: Path
) -> None:
    evaluator = faulty()
    request = request_for("counts")
    key = evaluator.key(request)
    evaluator.submit([(key, request)])
    runs = tmp_path / "runs"
    deadline = time.monotonic() + 30
    while "step 2" not in (runs.read_text() if runs.exists() else ""):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(int(runs.read_text().split()[1]), signal.SIGKILL)
    wait_until(evaluator, key)
    steps = [line.split()[1] for line in runs.read_text().splitlines() if line.startswith("step")]
    assert steps[:3] == ["0", "1", "2"]
    assert sorted(set(steps)) == list("012345")
    assert len(steps) <= 7, "at most the step under way was made twice"
    assert evaluator.harvest(key).values["energy_per_atom"].value == -6.0
    assert not evaluator.jobs.checkpoint(key).exists()
    assert evaluator.jobs.attempts(key) == 2


def test_signs_of_life_tell_of_a_job_on_another_machine(faulty: Any, request_for: Make) -> None:
    evaluator = faulty()
    request = request_for("work")
    key = evaluator.key(request)
    jobs = evaluator.jobs
    jobs.put_request(key, request)
    here = mark_process(os.getpid())
    assert here is not None
    there = here.model_copy(update={"host": "elsewhere", "boot_id": "another"})
    (jobs.folder(key) / "attempt-1.json").write_text(Attempt(worker=there, batch="workers/x").model_dump_json())
    assert evaluator.lookup(key) is JobStatus.CANNOT_KNOW
    jobs.beat(key, Heartbeat(attempt=1, at=0.0, core_s=7.0, resident_mb=1.0, quiet_s=0.0))
    assert evaluator.lookup(key) is JobStatus.RUNNING
    old = time.time() - 3600 / 2
    os.utime(jobs.folder(key) / "heartbeat-1.json", (old, old))
    assert evaluator.lookup(key) is JobStatus.CANNOT_KNOW, "silence on another machine is no proof of death"
    assert jobs.spent(key)[0] == 7.0, "what a lost attempt is known to have used counts"


def test_the_first_result_stays(faulty: Any, request_for: Make, wait_until: Wait) -> None:
    evaluator = faulty()
    first = outcome(evaluator, request_for("work"), wait_until)
    late = first.model_copy(update={"wall_s": 99.0})
    evaluator.jobs.put_result(late)
    assert evaluator.harvest(first.key) == first


def test_no_file_that_is_not_a_whole_result_of_this_key_counts(
    faulty: Any, request_for: Make, wait_until: Wait
) -> None:
    evaluator = faulty()
    one = outcome(evaluator, request_for("work:1"), wait_until)
    two = outcome(evaluator, request_for("work:2"), wait_until)
    path = evaluator.jobs.folder(one.key) / "result.json"
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert evaluator.jobs.result(one.key) is None
    shutil.copy(evaluator.jobs.folder(two.key) / "result.json", path)
    assert evaluator.jobs.result(one.key) is None, "a result of another key"
    altered = json.loads(whole)
    altered["observation"]["values"]["energy_per_atom"]["value"] = -9.0
    path.write_text(json.dumps(altered))
    assert evaluator.jobs.result(one.key) is None, "altered"
    evaluator.jobs.put_result(one)
    assert evaluator.harvest(one.key) == one, "a damaged file gives way to the true result"


def test_a_full_disk_does_not_cost_a_finished_result(faulty: Any, request_for: Make, tmp_path: Path) -> None:
    evaluator = faulty(disk_patience_s=20.0)
    request = request_for("work")
    key = evaluator.key(request)
    script = (
        "import sys; from pathlib import Path; from lodestone.tools.evaluate import job, worker\n"
        "real = job.create_durably; fails = [3]\n"
        "def full(path, text):\n"
        "    if path.name == 'result.json' and fails[0]:\n"
        "        fails[0] -= 1; raise OSError(28, 'No space left on device', str(path))\n"
        "    return real(path, text)\n"
        "job.create_durably = full; worker.supervise(Path(sys.argv[1]), Path(sys.argv[2]), None)\n"
    )
    evaluator.jobs.put_request(key, request)
    order = tmp_path / "jobs" / "workers" / "w"
    order.mkdir(parents=True)
    (order / "order.json").write_text(
        json.dumps({"evaluator": "faulty-for-tests", "settings": evaluator.settings.model_dump(), "keys": [key]})
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "jobs"), str(order / "order.json")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("cannot be written") == 3
    assert evaluator.harvest(key).failure is None
