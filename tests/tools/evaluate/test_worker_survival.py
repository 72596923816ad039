"""Paid work survives the death of whoever asked for it, is never done twice, and every failure is data."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lodestone.tools.core.errors import ConfigError, EvaluationError
from lodestone.tools.core.types import EvaluationRequest, JobStatus
from lodestone.tools.evaluate.base import ProcessEvaluator
from lodestone.tools.evaluate.process import mark_process
from lodestone.tools.evaluate.registry import create_evaluator, evaluator_names

Make = Callable[..., EvaluationRequest]
Wait = Callable[..., None]


pytestmark = pytest.mark.usefixtures("faulty_package")


def _runs(evaluator: ProcessEvaluator[Any]) -> list[list[str]]:
    file = Path(evaluator.settings.runs)
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def _wait_for_runs(evaluator: ProcessEvaluator[Any], count: int) -> list[list[str]]:
    deadline = time.monotonic() + 30
    while len(runs := _runs(evaluator)) < count:
        assert time.monotonic() < deadline, f"only {len(runs)} of {count} starts"
        time.sleep(0.02)
    return runs


def _submit(evaluator: ProcessEvaluator[Any], *requests: EvaluationRequest) -> list[str]:
    pairs = [(evaluator.key(request), request) for request in requests]
    evaluator.submit(pairs)
    return [key for key, _ in pairs]


def test_a_batch_is_worked_through_by_one_process(faulty: Any, request_for: Make, wait_until: Wait) -> None:
    evaluator = faulty()
    requests = [request_for(f"work:{i}") for i in range(4)]
    assert all(evaluator.lookup(evaluator.key(r)) is JobStatus.NEVER_SEEN for r in requests)
    keys = _submit(evaluator, *requests)
    for key, request in zip(keys, requests, strict=True):
        wait_until(evaluator, key)
        observation = evaluator.harvest(key)
        assert observation == faulty().harvest(key), "a second look, as after a restart, gives the same"
        assert (observation.key, observation.candidate_id) == (key, request.candidate_id)
        assert observation.values["energy_per_atom"].value == -1.0
        assert observation.failure is None
        assert (evaluator.jobs.root / observation.artefacts["output"]).read_text() == "done"
    assert len({run[1] for run in _runs(evaluator)}) == 1


def test_the_second_submit_of_a_running_or_done_key_starts_nothing(
    faulty: Any, request_for: Make, wait_until: Wait
) -> None:
    evaluator = faulty()
    request = request_for("slow")
    (key,) = _submit(evaluator, request)
    assert evaluator.lookup(key) is JobStatus.RUNNING, "claimed by the time that submit returns"
    _submit(faulty(), request)
    wait_until(evaluator, key)
    _submit(evaluator, request)
    time.sleep(0.3)
    assert len(_runs(evaluator)) == 1


def test_two_agents_that_submit_at_once_pay_once(
    faulty: Any, request_for: Make, wait_until: Wait, tmp_path: Path
) -> None:
    evaluator = faulty()
    request = request_for("slow")
    key = evaluator.key(request)
    evaluator.jobs.put_request(key, request)
    # Both went past the look-up before either had claimed: start both workers behind `submit`'s back.
    evaluator._start_worker((key,))
    faulty()._start_worker((key,))
    wait_until(evaluator, key)
    assert len(_runs(evaluator)) == 1
    assert len(list((tmp_path / "jobs" / "workers").iterdir())) == 2


def test_a_worker_outlives_its_caller(faulty: Any, request_for: Make, wait_until: Wait, tmp_path: Path) -> None:
    evaluator = faulty()
    request = request_for("slow")
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from lodestone.tools.core.types import EvaluationRequest\n"
        "from lodestone.tools.evaluate.registry import create_evaluator\n"
        "e = create_evaluator('faulty-for-tests', Path(sys.argv[1]), {'runs': sys.argv[2]})\n"
        "r = EvaluationRequest.model_validate_json(sys.argv[3])\n"
        "e.submit([(e.key(r), r)])\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    arguments = [str(tmp_path / "jobs"), evaluator.settings.runs, request.model_dump_json()]
    caller = subprocess.run([sys.executable, "-c", script, *arguments], check=False, timeout=60)
    assert caller.returncode == -signal.SIGKILL
    key = evaluator.key(request)
    assert evaluator.lookup(key) is JobStatus.RUNNING
    wait_until(evaluator, key)
    assert evaluator.harvest(key).failure is None
    assert len(_runs(evaluator)) == 1


def test_a_killed_worker_is_dead_and_started_again_a_bounded_number_of_times(
    faulty: Any, request_for: Make, wait_until: Wait
) -> None:
    evaluator = faulty(max_attempts=2)
    request, waiting = request_for("hang"), request_for("work:queued")
    for attempt in (1, 2):
        key, queued = _submit(evaluator, request, waiting)
        calculator, supervisor = (int(x) for x in _wait_for_runs(evaluator, attempt)[-1][1:])
        os.kill(supervisor, signal.SIGKILL)
        wait_until(evaluator, key, JobStatus.DEAD)
        wait_until(evaluator, queued, JobStatus.DEAD)
        deadline = time.monotonic() + 10
        while mark_process(calculator) is not None:
            assert time.monotonic() < deadline, "the calculation goes on without its worker"
            time.sleep(0.02)
    with pytest.raises(EvaluationError, match="dead"):
        evaluator.harvest(key)
    _submit(evaluator, request, waiting)
    assert evaluator.lookup(key) is JobStatus.DONE
    failure = evaluator.harvest(key).failure
    assert failure is not None
    assert failure.stage == "evaluate"
    assert "worker died 2 times" in failure.reason
    assert len([run for run in _runs(evaluator) if run[0] == "hang"]) == 2
    wait_until(evaluator, queued)
    assert evaluator.harvest(queued).failure is None, "a key that only waited in line has not died"


def test_a_crash_of_the_calculation_is_retried_and_spares_the_rest_of_the_batch(
    faulty: Any, request_for: Make, wait_until: Wait
) -> None:
    evaluator = faulty()
    crash, after = _submit(evaluator, request_for("crash"), request_for("work:after"))
    wait_until(evaluator, after)
    assert evaluator.harvest(after).failure is None
    observation = evaluator.harvest(crash)
    assert observation.failure is not None
    assert "worker died 3 times" in observation.failure.reason
    assert f"signal {int(signal.SIGSEGV)}" in observation.failure.reason
    assert observation.cost_core_s > 0.1, "three interpreters were started in vain, and paid for"
    assert [run[0] for run in _runs(evaluator)] == ["crash"] * 3 + ["work:after"]


def test_a_hang_is_ended_at_the_limit_with_all_that_it_started(
    faulty: Any, request_for: Make, wait_until: Wait
) -> None:
    evaluator = faulty(wall_limit_s=1.5)
    hang, after = _submit(evaluator, request_for("grandchild"), request_for("work:after"))
    wait_until(evaluator, hang)
    observation = evaluator.harvest(hang)
    assert observation.failure is not None
    assert "limit of 1.5 s" in observation.failure.reason
    assert 1.4 < observation.wall_s < 10
    grandchild = int((evaluator.jobs.scratch(hang, 1) / "pid").read_text())
    assert mark_process(grandchild) is None
    wait_until(evaluator, after)
    assert evaluator.harvest(after).failure is None


@pytest.mark.parametrize(
    ("deed", "reason"), [("raise", "ZeroDivisionError: on purpose"), ("fail", "SCF not converged in 3 iterations")]
)
def test_a_failed_calculation_is_an_observation_that_cost_something(
    faulty: Any, request_for: Make, wait_until: Wait, deed: str, reason: str
) -> None:
    evaluator = faulty()
    (key,) = _submit(evaluator, request_for(deed))
    wait_until(evaluator, key)
    observation = evaluator.harvest(key)
    assert observation.failure is not None
    assert reason in observation.failure.reason
    assert observation.values == {}
    assert observation.cost_core_s > 0
    assert observation.wall_s > 0


def test_core_seconds_are_those_that_were_burnt(faulty: Any, request_for: Make, wait_until: Wait) -> None:
    evaluator = faulty()
    _, burnt = _submit(evaluator, request_for("work:first"), request_for("burn"))
    wait_until(evaluator, burnt)
    assert 0.45 < evaluator.harvest(burnt).cost_core_s < 0.8


def test_cancel_stops_one_key_and_no_other(faulty: Any, request_for: Make, wait_until: Wait) -> None:
    evaluator = faulty()
    first, second, third = _submit(evaluator, request_for("hang"), request_for("work:2"), request_for("work:3"))
    _wait_for_runs(evaluator, 1)
    evaluator.cancel(second)  # still waiting in line
    assert evaluator.lookup(second) is JobStatus.DEAD
    evaluator.cancel(first)
    assert evaluator.lookup(first) is JobStatus.DEAD
    wait_until(evaluator, third)
    assert [run[0] for run in _runs(evaluator)] == ["hang", "work:3"]
    result = evaluator.harvest(third)
    evaluator.cancel(third)
    assert evaluator.harvest(third) == result
    assert evaluator.jobs.deaths(first) == 0, "what was stopped on purpose has not died"
    _submit(evaluator, request_for("work:2"))
    wait_until(evaluator, second)


def test_a_truncated_result_is_not_done_and_is_calculated_again(
    faulty: Any, request_for: Make, wait_until: Wait
) -> None:
    evaluator = faulty()
    request = request_for("work")
    (key,) = _submit(evaluator, request)
    wait_until(evaluator, key)
    whole = evaluator.harvest(key)
    file = evaluator.jobs.folder(key) / "result.json"
    file.write_bytes(file.read_bytes()[:-20])
    wait_until(evaluator, key, JobStatus.DEAD)
    _submit(evaluator, request)
    wait_until(evaluator, key)
    assert evaluator.harvest(key).values == whole.values
    assert len(_runs(evaluator)) == 2


def test_a_worker_that_cannot_start_says_why(faulty: Any, request_for: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = faulty()
    monkeypatch.setenv("PYTHONPATH", "")
    with pytest.raises(EvaluationError, match=r"did not start.*faulty-for-tests"):
        _submit(evaluator, request_for("work"))


def test_only_known_and_installed_names_become_evaluators(tmp_path: Path) -> None:
    assert evaluator_names() == ("gpaw", "espresso", "abinit", "vasp", "sevennet", "faulty-for-tests")
    for name in ("gpav", "os:system", "faulty_evaluator:FaultyCalculationForTests"):
        with pytest.raises(ConfigError, match="Unknown evaluator"):
            create_evaluator(name, tmp_path)
    with pytest.raises(ConfigError, match="protocol"):
        create_evaluator("gpaw", tmp_path, {"protocol": "sloppy"})
    with pytest.raises(ConfigError, match="cutof"):
        create_evaluator("gpaw", tmp_path, {"cutof": 400})
