"""What may go wrong around a campaign neither stops the service nor costs another campaign anything."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lodestone.loops.ledger import Booking, Ledger
from lodestone.loops.lock import CampaignLock
from lodestone.loops.service.child import Child
from lodestone.loops.service.control import write_control
from lodestone.loops.service.state import STATE_NAME, read_state
from lodestone.tools.core.structure import Crystal
from lodestone.tools.core.types import EvaluationRequest
from tests.loops.service.watching import QUICK, Watched, campaign, launch, starts

Watch = Callable[..., Watched]


def test_an_agent_that_only_begins_sessions_needs_a_person(tmp_path: Path, watch: Watch) -> None:
    directory = campaign(tmp_path, "a", "crash in each session")
    watched = watch()
    watched.until(lambda: watched.state("a").state == "needs a person")
    assert len(starts(directory)) == QUICK.max_failures


def test_exit_0_before_the_end_is_no_end(tmp_path: Path, watch: Watch) -> None:
    campaign(tmp_path, "a", "end early")
    watched = watch()
    watched.until(lambda: watched.state("a").state == "needs a person")
    assert "exit status 0" in watched.state("a").why


def test_waits_grow_from_failure_to_failure(tmp_path: Path, watch: Watch) -> None:
    directory = campaign(tmp_path, "a", "crash")
    watched = watch(QUICK.model_copy(update={"backoff_s": 0.2, "backoff_max_s": 0.7, "max_failures": 5}))
    watched.until(lambda: watched.state("a").state == "needs a person")
    times = [float(line[3]) for line in starts(directory)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    for gap, wait in zip(gaps, (0.2, 0.4, 0.7, 0.7), strict=True):
        assert gap >= wait - 0.1


def test_a_campaign_in_other_hands_is_left_alone(tmp_path: Path, watch: Watch) -> None:
    directory = campaign(tmp_path, "a", "finish")
    other = campaign(tmp_path, "b", "work")
    lock = CampaignLock(directory)
    lock.acquire()
    watched = watch()
    watched.until(lambda: len(starts(other)) == 1)
    for _ in range(20):
        watched.supervisor.step()
    assert starts(directory) == []
    assert watched.state("a").state == "waiting"
    assert f"in use by process {os.getpid()}" in watched.state("a").why
    assert watched.state("a").failures == 0
    lock.release()
    shutil.rmtree(other)
    watched.supervisor._campaigns["a"].not_before = 0.0
    watched.until(lambda: watched.state("a").state == "finished")


def test_who_needs_a_person_still_does_after_a_restart_of_the_service(tmp_path: Path, watch: Watch) -> None:
    directory = campaign(tmp_path, "a", "bad setting")
    first = watch()
    first.until(lambda: first.state("a").state == "needs a person")
    first.supervisor.shut_down()
    second = watch()
    write_control(directory, priority=50)
    for _ in range(5):
        second.supervisor.step()
    assert second.state("a").state == "needs a person"
    assert second.events == []
    assert len(starts(directory)) == 1
    (directory / "behaviour").write_text("finish")
    write_control(directory, "run")
    second.until(lambda: second.state("a").state == "finished")


def test_start_is_heard_whatever_the_clock_says(tmp_path: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = campaign(tmp_path, "a", "interrupted")
    watched = watch()
    watched.until(lambda: watched.state("a").state == "paused")
    (directory / "behaviour").write_text("finish")
    monkeypatch.setattr(time, "time", lambda: 1.0)
    write_control(directory, "run")
    watched.until(lambda: watched.state("a").state == "finished")
    assert len(starts(directory)) == 2


def test_a_full_disk_does_not_make_a_person_unneeded(tmp_path: Path, watch: Watch) -> None:
    directory = campaign(tmp_path, "a", "bad setting")
    watched = watch()
    watched.until(lambda: watched.state("a").state == "needs a person")
    for limit in (1e9, 0.0):
        watched.supervisor._house._settings = QUICK.model_copy(update={"min_free_gb": limit})
        for _ in range(3):
            watched.supervisor.step()
    assert watched.state("a").state == "needs a person"
    assert len(starts(directory)) == 1


def test_one_that_cannot_be_read_does_not_stop_the_others(tmp_path: Path, watch: Watch) -> None:
    sick = campaign(tmp_path, "a", "work")
    (sick / "control.json").mkdir()
    well = campaign(tmp_path, "b", "finish")
    watched = watch()
    watched.until(lambda: watched.state("b").state == "finished")
    assert len(starts(well)) == 1
    assert starts(sick) == []
    assert "cannot be looked after now" in watched.state("a").why
    (sick / "control.json").rmdir()
    watched.until(lambda: len(starts(sick)) == 1)


def test_jobs_that_cannot_be_ended_do_not_stop_the_others(tmp_path: Path, watch: Watch) -> None:
    sick = campaign(tmp_path, "a", "work")
    campaign(tmp_path, "b", "finish")
    write_control(sick, "stop")
    watched = watch()

    def refuse(directory: Path) -> None:
        raise OSError(5, "Input/output error")

    watched.supervisor._cancel = refuse
    watched.until(lambda: watched.state("b").state == "finished")
    assert "Input/output error" in watched.state("a").why
    watched.supervisor._cancel = lambda _: None
    watched.until(lambda: watched.state("a").state == "stopped")


def test_a_directory_that_was_moved_away_is_not_made_again(tmp_path: Path, watch: Watch) -> None:
    directory = campaign(tmp_path, "a", "crash")
    watched = watch(QUICK.model_copy(update={"backoff_s": 0.3}))
    watched.until(lambda: watched.state("a").state == "backing off")
    directory.rename(tmp_path.parent / f"{tmp_path.name} moved")
    for _ in range(10):
        watched.supervisor.step()
        time.sleep(0.05)
    assert not directory.exists()
    assert watched.supervisor.state().campaigns == ()


def test_a_child_that_cannot_be_found_again_does_not_stay(tmp_path: Path) -> None:
    directory = campaign(tmp_path, "a", "work")
    (directory / "agent.json").mkdir()
    child = Child(directory)
    with pytest.raises(IsADirectoryError):
        child.start(launch, set())
    assert not child.poll()[0]
    assert all(not _runs(int(line[0])) for line in starts(directory))


def test_a_turn_does_not_end_amid_an_evaluation(tmp_path: Path, watch: Watch) -> None:
    directory, other = campaign(tmp_path, "a", "work"), campaign(tmp_path, "b", "work")
    ledger = Ledger.open(directory)
    crystal = Crystal(
        lattice=((4.0, 0.0, 0.0), (0.0, 4.0, 0.0), (0.0, 0.0, 4.0)), species=("Po",), frac_coords=((0.0, 0.0, 0.0),)
    )
    request = EvaluationRequest(candidate_id="0" * 64, crystal=crystal, properties=(), purpose="reference")
    ledger.reserve(1, [Booking("f" * 64, request)])
    ledger.mark(["f" * 64], "RUNNING", 1)
    watched = watch(QUICK.model_copy(update={"quantum_s": 0.3}))
    watched.until(lambda: len(starts(directory)) == 1)
    began = time.monotonic()
    watched.until(lambda: len(starts(other)) == 1)
    assert time.monotonic() - began > 4 * 0.3


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_campaigns_that_work_together_never_share_a_core(tmp_path: Path, watch: Watch) -> None:
    directories = {name: campaign(tmp_path, name, "work") for name in "abc"}
    write_control(directories["a"], "pause")
    watched = watch(QUICK.model_copy(update={"cores": 2, "quantum_s": 600.0}))

    def affinities(*names: str) -> list[set[int]]:
        return [os.sched_getaffinity(watched.state(n).pid or 0) for n in names]

    watched.until(lambda: watched.state("b").pid is not None and watched.state("c").pid is not None)
    assert not set.intersection(*affinities("b", "c"))
    write_control(directories["c"], "pause")
    watched.until(lambda: watched.state("c").state == "paused")
    watched.until(lambda: watched.state("b").cores == 2)
    write_control(directories["a"], "run")
    watched.until(lambda: watched.state("a").pid is not None)
    assert not set.intersection(*affinities("a", "b"))


def test_nothing_is_written_while_nothing_changes(tmp_path: Path, watch: Watch) -> None:
    campaign(tmp_path, "a", "work")
    watched = watch()
    watched.until(lambda: watched.state("a").state == "running")
    watched.supervisor.step()
    before = (tmp_path / STATE_NAME).stat().st_mtime_ns
    for _ in range(20):
        watched.supervisor.step()
        time.sleep(0.06)
    assert (tmp_path / STATE_NAME).stat().st_mtime_ns == before
    watched.supervisor.shut_down()
    assert read_state(tmp_path)["a"].used_core_s >= 1
    assert read_state(tmp_path)["a"].pid is None


def test_a_state_that_cannot_be_written_stops_nothing(tmp_path: Path, watch: Watch) -> None:
    (tmp_path / STATE_NAME).mkdir()
    directory = campaign(tmp_path, "a", "finish")
    watched = watch()
    watched.until(lambda: watched.state("a").state == "finished")
    assert len(starts(directory)) == 1


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
