"""What a key's status is follows from marks on disk and the process table, and from nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lodestone.tools.core.errors import EvaluationError
from lodestone.tools.core.types import Crystal, EvaluationRequest, JobStatus, Observation, Quantity
from lodestone.tools.evaluate.job import Attempt, Ended, JobStore
from lodestone.tools.evaluate.process import ProcessMark, create_durably, hold_lock, is_alive, mark_process

KEY = "ab" * 32
OTHER = "cd" * 32
CUBE = ((4.0, 0.0, 0.0), (0.0, 4.0, 0.0), (0.0, 0.0, 4.0))
REQUEST = EvaluationRequest(
    candidate_id="x",
    crystal=Crystal(lattice=CUBE, species=("Po",), frac_coords=((0.0, 0.0, 0.0),)),
    properties=(),
)


def _observation(key: str = KEY, energy: float = -1.0) -> Observation:
    values = {"energy_per_atom": Quantity(value=energy, unit="eV/atom")}
    return Observation(
        key=key, candidate_id="x", evaluator="test-1", method="none", fidelity="potential", values=values
    )


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    """A store that knows the request of `KEY`."""
    store = JobStore(tmp_path)
    store.put_request(KEY, REQUEST)
    return store


def _rewrite_mark(store: JobStore, **changes: object) -> None:
    path = store.folder(KEY) / "attempt-1.json"
    attempt = Attempt.model_validate_json(path.read_text())
    path.write_text(attempt.model_copy(update={"worker": attempt.worker.model_copy(update=changes)}).model_dump_json())


def test_a_request_alone_is_not_work(store: JobStore) -> None:
    assert store.status(KEY) is JobStatus.NEVER_SEEN
    assert store.request(KEY) == REQUEST


def test_a_result_comes_back_as_it_was_written(store: JobStore) -> None:
    store.put_result(_observation())
    assert store.status(KEY) is JobStatus.DONE
    assert JobStore(store.root).result(KEY) == _observation()


@settings(max_examples=60, deadline=None)
@given(cut=st.floats(0.0, 0.999))
def test_a_result_truncated_anywhere_is_not_done(tmp_path_factory: pytest.TempPathFactory, cut: float) -> None:
    store = JobStore(tmp_path_factory.mktemp("jobs"))
    store.put_request(KEY, REQUEST)
    store.put_result(_observation())
    file = store.folder(KEY) / "result.json"
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * cut)])
    assert store.status(KEY) is JobStatus.NEVER_SEEN
    assert store.result(KEY) is None


def test_a_result_of_another_key_or_an_altered_one_is_not_done(store: JobStore) -> None:
    store.put_request(OTHER, REQUEST)
    store.put_result(_observation(OTHER))
    foreign = (store.folder(OTHER) / "result.json").read_text()
    ours = store.folder(KEY) / "result.json"
    ours.write_text(foreign)
    assert store.status(KEY) is JobStatus.NEVER_SEEN
    ours.write_text(foreign.replace(OTHER, KEY))  # a renamed copy: its digest tells
    assert store.status(KEY) is JobStatus.NEVER_SEEN
    store.put_result(_observation())
    data = json.loads(ours.read_text())
    data["observation"]["values"]["energy_per_atom"]["value"] = -2.0
    ours.write_text(json.dumps(data))
    assert store.status(KEY) is JobStatus.NEVER_SEEN


def test_of_many_that_claim_at_once_one_wins(store: JobStore) -> None:
    with ThreadPoolExecutor(16) as pool:
        numbers = list(pool.map(lambda _: JobStore(store.root).claim(KEY, "workers/b"), range(64)))
    assert sorted(n for n in numbers if n is not None) == [1]
    assert store.status(KEY) is JobStatus.RUNNING


def test_a_zombie_and_a_recycled_process_number_are_dead(store: JobStore) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    mark = mark_process(child.pid)
    assert mark is not None
    assert is_alive(mark)
    assert is_alive(mark.model_copy(update={"start_ticks": mark.start_ticks + 1})) is False
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and not reaped
    assert is_alive(mark) is False
    assert mark_process(child.pid, or_zombie=True) == mark
    child.communicate()
    assert is_alive(mark) is False
    store.claim(KEY, "workers/b")
    _rewrite_mark(store, start_ticks=1)
    assert store.status(KEY) is JobStatus.DEAD


def test_after_a_reboot_it_is_dead_and_on_another_machine_it_cannot_be_known(store: JobStore) -> None:
    store.claim(KEY, "workers/b")
    _rewrite_mark(store, boot_id="another boot")
    assert store.status(KEY) is JobStatus.DEAD
    _rewrite_mark(store, host="another host")
    assert store.status(KEY) is JobStatus.CANNOT_KNOW
    assert store.claim(KEY, "workers/b") is None, "what cannot be known is not started again"


def test_in_another_container_the_lock_of_the_worker_tells(store: JobStore) -> None:
    store.claim(KEY, "workers/b")
    _rewrite_mark(store, pid_namespace="pid:[1]", host="another container")
    assert store.status(KEY) is JobStatus.CANNOT_KNOW, "no lock file to ask"
    (store.root / "workers" / "b").mkdir(parents=True)
    lock = hold_lock(store.root / "workers" / "b" / "lock")
    assert store.status(KEY) is JobStatus.RUNNING
    os.close(lock)
    assert store.status(KEY) is JobStatus.DEAD


def test_marks_that_cannot_be_read_cannot_be_known(store: JobStore) -> None:
    (store.folder(KEY) / "result.json").mkdir()
    assert store.status(KEY) is JobStatus.CANNOT_KNOW


def test_a_damaged_claim_cannot_be_known(store: JobStore) -> None:
    store.claim(KEY, "workers/b")
    (store.folder(KEY) / "attempt-1.json").write_text("{")
    assert store.status(KEY) is JobStatus.CANNOT_KNOW


def test_only_attempts_that_were_started_and_not_cancelled_count_as_deaths(store: JobStore) -> None:
    me = mark_process(os.getpid())
    assert me is not None
    for number, (started, cancelled) in enumerate([(True, False), (False, False), (True, True)], start=1):
        assert store.claim(KEY, "workers/b") == number
        if started:
            assert store.start(KEY, number, me)
        store.end(KEY, number, Ended(reason="out of memory", cancelled=cancelled, core_s=2.0, wall_s=3.0))
        assert store.status(KEY) is JobStatus.DEAD
    assert store.deaths(KEY) == 1
    store.give_up(KEY, _observation().model_copy(update={"values": {}}))
    result = store.result(KEY)
    assert result is not None
    assert result.failure is not None
    assert "worker died 1 time: out of memory" in result.failure.reason
    assert (result.cost_core_s, result.wall_s) == (6.0, 9.0)


@pytest.mark.parametrize("key", ["", "../../etc/passwd", "AB" * 32, "ab" * 31, "ab" * 32 + "\n", "ab" * 31 + "/x"])
def test_a_key_never_leads_out_of_the_folder(store: JobStore, key: str) -> None:
    with pytest.raises(EvaluationError, match="not an evaluation key"):
        store.status(key)


def test_an_oversized_result_is_not_read(store: JobStore) -> None:
    (store.folder(KEY) / "result.json").write_bytes(b" " * 5_000_000)
    assert store.status(KEY) is JobStatus.NEVER_SEEN


def test_exclusive_creation_leaves_the_first_text_and_no_litter(tmp_path: Path) -> None:
    assert create_durably(tmp_path / "mark", "first")
    assert not create_durably(tmp_path / "mark", "second")
    assert (tmp_path / "mark").read_text() == "first"
    assert [file.name for file in tmp_path.iterdir()] == ["mark"]


def test_a_mark_survives_json() -> None:
    mark = mark_process(os.getpid())
    assert mark is not None
    assert is_alive(ProcessMark.model_validate_json(mark.model_dump_json()))
