"""The service restarts what dies, shares cores, obeys people, and asks one when nothing else helps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lodestone.loops.service.control import read_control, write_control
from lodestone.loops.service.state import ServiceState
from lodestone.tools.core.errors import LedgerError
from tests.loops.service.watching import QUICK, Watched, campaign, starts


def test_a_campaign_that_ends_is_finished_and_not_started_again(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    directory = campaign(tmp_path, "a", "finish")
    watched = watch()
    watched.until(lambda: watched.state("a").state == "finished")
    for _ in range(5):
        watched.supervisor.step()
    assert len(starts(directory)) == 1
    again = watch()
    again.supervisor.step()
    assert again.state("a").state == "finished"


def test_one_that_dies_is_restarted_as_long_as_it_gets_on(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    directory = campaign(tmp_path, "a", "crash with progress")
    watched = watch()
    watched.until(lambda: len(starts(directory)) >= 6)
    assert watched.events == []
    (directory / "behaviour").write_text("finish")
    watched.until(lambda: watched.state("a").state == "finished")


def test_one_that_dies_again_and_again_without_progress_needs_a_person(
    tmp_path: Path, watch: Callable[..., Watched]
) -> None:
    directory = campaign(tmp_path, "a", "crash")
    watched = watch()
    watched.until(lambda: watched.state("a").state == "needs a person")
    assert len(starts(directory)) == QUICK.max_failures
    assert [e.kind for e in watched.events] == ["needs a person"]
    assert "signal 9" in watched.events[0].what
    for _ in range(10):
        watched.supervisor.step()
    assert len(starts(directory)) == QUICK.max_failures
    (directory / "behaviour").write_text("finish")
    write_control(directory, "run")
    watched.until(lambda: watched.state("a").state == "finished")


def test_a_wrong_setting_needs_a_person_at_once(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    directory = campaign(tmp_path, "a", "bad setting")
    watched = watch()
    watched.until(lambda: watched.state("a").state == "needs a person")
    assert len(starts(directory)) == 1


def test_pause_start_and_stop_are_obeyed(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    directory = campaign(tmp_path, "a", "work")
    watched = watch()
    watched.until(lambda: len(starts(directory)) == 1)
    write_control(directory, "pause")
    watched.until(lambda: watched.state("a").state == "paused")
    assert watched.cancelled == []
    write_control(directory, "run")
    watched.until(lambda: len(starts(directory)) == 2)
    write_control(directory, "stop")
    watched.until(lambda: watched.state("a").state == "stopped")
    assert watched.cancelled == ["a"]
    assert watched.state("a").pid is None


def test_one_that_does_not_stop_is_killed(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    directory = campaign(tmp_path, "a", "deaf")
    watched = watch(QUICK.model_copy(update={"stop_wait_s": 0.3}))
    watched.until(lambda: len(starts(directory)) == 1)
    time.sleep(0.3)
    write_control(directory, "pause")
    watched.until(lambda: watched.state("a").state == "paused")
    with pytest.raises(ProcessLookupError):
        os.kill(int(starts(directory)[0][0]), 0)


def test_three_campaigns_take_turns_on_one_core(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    directories = [campaign(tmp_path, name, "work") for name in "abc"]
    watched = watch()
    running = []

    def all_had_two_turns() -> bool:
        running.append(sum(c.pid is not None for c in watched.supervisor.state().campaigns))
        return all(len(starts(d)) >= 2 for d in directories)

    watched.until(all_had_two_turns, 40.0)
    assert max(running) == 1


def test_after_kill_9_of_the_service_its_agents_are_found_again(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    directory = campaign(tmp_path, "a", "work")
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]);"
        "from watching import QUICK, Supervisor, launch;"
        "s = Supervisor(Path(sys.argv[1]), QUICK, launch=launch); s.run()"
    )
    service = subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(Path(__file__).parent)])
    deadline = time.monotonic() + 20
    while not starts(directory) and time.monotonic() < deadline:
        time.sleep(0.05)
    service.send_signal(signal.SIGKILL)
    service.wait()
    agent = int(starts(directory)[0][0])
    os.kill(agent, 0)
    watched = watch()
    for _ in range(5):
        watched.supervisor.step()
    assert watched.state("a").pid == agent
    assert len(starts(directory)) == 1
    os.kill(agent, signal.SIGKILL)
    watched.until(lambda: len(starts(directory)) == 2)


def test_a_full_disk_pauses_everything_until_there_is_room(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    directory = campaign(tmp_path, "a", "work")
    watched = watch(QUICK.model_copy(update={"min_free_gb": 1e9}))
    for _ in range(3):
        watched.supervisor.step()
    assert watched.state("a").state == "paused"
    assert starts(directory) == []
    assert [e.kind for e in watched.events] == ["disk"]
    watched.supervisor._house._settings = QUICK
    watched.until(lambda: len(starts(directory)) == 1)
    assert [e.kind for e in watched.events] == ["disk", "resumed"]


def test_what_the_service_knows_is_written_down(tmp_path: Path, watch: Callable[..., Watched]) -> None:
    directory = campaign(tmp_path, "a", "work")
    write_control(directory, priority=30)
    watched = watch()
    watched.until(lambda: len(starts(directory)) == 1)
    watched.supervisor.step()
    state = ServiceState.model_validate_json((tmp_path / "service.json").read_text())
    assert state.campaigns[0].priority == 30
    assert state.campaigns[0].state == "running"
    assert state.campaigns[0].cores == 1
    assert starts(directory)[0][1:3] == ["1", "1"]


def test_control_files(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="No campaign"):
        write_control(tmp_path, "pause")
    directory = campaign(tmp_path, "a", "work")
    write_control(directory, "pause")
    write_control(directory, priority=7)
    assert (read_control(directory).wanted, read_control(directory).priority) == ("pause", 7)
    with pytest.raises(LedgerError, match="1 to 100"):
        write_control(directory, priority=0)
    (directory / "control.json").write_text("{broken")
    assert read_control(directory).wanted == "run"
