"""Prefect shows the rounds and never decides them: a real server, killed, stopped, locked out, a body that fails."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lodestone.loops.flow import Artifact, PrefectShow
from lodestone.loops.ledger import FILE_NAME
from lodestone.loops.prefect_deploy import Deployments
from lodestone.loops.prefect_server import Patience, PrefectServer, read_state
from lodestone.loops.settings import PrefectSettings
from lodestone.tools.core.errors import EvaluationError
from lodestone.tools.evaluate.process import is_alive

Runner = Callable[[str, Callable[[], None]], None]

QUICK = Patience(look_every_s=0.5, answer_s=1.0, restart_after_s=4.0, back_off_s=0.2, stop_s=1.0)
NOT_HELD_UP_S = 2.0
"""A round whose stages do nothing takes less, whatever the server does."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of a real Prefect server on loopback, shared by all tests of this module."""
    home = tmp_path_factory.mktemp("server")
    server = PrefectServer(home, print, QUICK)
    wait_until(server.watch, 90)
    yield home
    server.stop()


@pytest.fixture(scope="module")
def all_notes() -> list[str]:
    return []


@pytest.fixture
def notes(all_notes: list[str]) -> list[str]:
    all_notes.clear()
    return all_notes


@pytest.fixture(scope="module")
def show(home: Path, tmp_path_factory: pytest.TempPathFactory, all_notes: list[str]) -> Iterator[PrefectShow]:
    settings = PrefectSettings(enabled=True, home="", restart_after_s=30.0, digest_cron="0 8 * * *")
    directory = tmp_path_factory.mktemp("campaign")
    made = PrefectShow(directory, settings, all_notes.append, server_home=home, patience=QUICK)
    made.start()
    wait_until(lambda: made.server.is_well, 60)
    yield made
    made.stop()


def wait_until(holds: Callable[[], Any], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def client(home: Path) -> httpx.Client:
    state = read_state(home)
    assert state is not None
    name, _, token = (home / "auth").read_text().partition(":")
    return httpx.Client(base_url=f"{state.url}/api", auth=(name, token), timeout=20.0)


def ask(home: Path, what: str, body: dict[str, Any] | None = None) -> Any:
    with client(home) as page:
        return page.post(f"/{what}/filter", json=body or {}).raise_for_status().json()


def runs(home: Path, name: str) -> list[dict[str, Any]]:
    try:
        return list(ask(home, "flow_runs", {"flow_runs": {"name": {"any_": [name]}}}))
    except httpx.HTTPError:  # while there is no server
        return []


def wait_shown(home: Path, name: str, state: str = "COMPLETED", seconds: float = 40.0) -> dict[str, Any]:
    wait_until(lambda: [r["state"]["type"] for r in runs(home, name)] == [state], seconds)
    return runs(home, name)[0]


def told_in_a_round(show: PrefectShow, notes: list[str], words: str, seconds: float = 30.0) -> str:
    """The note that holds some words. Notes are passed on in rounds, and the server is looked at now and then only."""
    end = time.monotonic() + seconds
    while not (found := [n for n in notes if words in n]):
        assert time.monotonic() < end, notes
        quick_round(show, f"looking {time.monotonic():.3f}")
        time.sleep(0.2)
    return found[0]


def quick_round(show: PrefectShow, name: str) -> None:
    """A round of two stages, which must not be held up."""
    ran: list[str] = []

    def body(runner: Runner) -> None:
        for stage in ("generate", "relax"):
            runner(stage, lambda stage=stage: ran.append(stage))  # type: ignore[misc]

    began = time.monotonic()
    show.run_round(name, body, list)
    assert time.monotonic() - began < NOT_HELD_UP_S
    assert ran == ["generate", "relax"]


def pid_of(show: PrefectShow) -> int:
    assert show.server.process is not None
    return show.server.process.pid


def test_a_round_is_a_flow_run_with_a_task_a_stage_and_its_artifacts(home: Path, show: PrefectShow) -> None:
    def artifacts() -> list[Artifact]:
        return [
            Artifact("table", "crystals", "Crystals of the round", [{"formula": "NaCl", "gap": 5.0}]),
            Artifact("markdown", "plan", "Plan", "**because**"),
            Artifact("link", "report", "Report", "file:///somewhere/report.html"),
            Artifact("progress", "budget", "Budget spent", 40.0),
        ]

    def body(runner: Runner) -> None:
        runner("generate", lambda: None)
        # It is seen while it runs, not only afterwards.
        runner("relax", lambda: wait_until(lambda: [r["state"]["type"] for r in runs(home, "first")] == ["RUNNING"]))

    show.run_round("first", body, artifacts)
    run = wait_shown(home, "first")
    assert run["parameters"]["began"].startswith("20")
    wait_until(lambda: len(ask(home, "task_runs", {"flow_runs": {"id": {"any_": [run["id"]]}}})) == 2)
    tasks = ask(home, "task_runs", {"flow_runs": {"id": {"any_": [run["id"]]}}})
    assert {t["name"].rsplit("-", 1)[0] for t in tasks} == {"generate", "relax"}
    made = {a["key"]: a for a in ask(home, "artifacts", {"flow_runs": {"id": {"any_": [run["id"]]}}})}
    assert {a["type"] for a in made.values()} == {"table", "markdown", "progress"}
    assert "NaCl" in made["crystals"]["data"]
    assert "file:///somewhere/report.html" in made["report"]["data"]
    assert made["budget"]["data"] == 40.0


def test_the_server_wants_its_token_and_only_its_owner_can_read_it(home: Path, show: PrefectShow) -> None:
    assert show.url.startswith("http://127.0.0.1:")
    assert httpx.post(f"{show.url}/api/flow_runs/filter", json={}).status_code in (401, 403)
    assert (home / "auth").stat().st_mode & 0o777 == 0o600


def test_an_error_of_the_round_comes_out_as_itself_once_and_is_shown(home: Path, show: PrefectShow) -> None:
    calls: list[int] = []

    def body(runner: Runner) -> None:
        def fail() -> None:
            calls.append(1)
            raise EvaluationError("broken", "mend it")

        runner("evaluate", fail)

    with pytest.raises(EvaluationError, match="broken"):
        show.run_round("failing", body, list)
    assert calls == [1]
    assert "broken" in wait_shown(home, "failing", "FAILED")["state"]["message"]


def test_rounds_go_on_when_the_server_is_killed_and_are_shown_when_it_is_back(
    home: Path, show: PrefectShow, notes: list[str]
) -> None:
    done: list[str] = []

    def body(runner: Runner) -> None:
        runner("relax", lambda: wait_until(lambda: runs(home, "killed")))
        wait_until(lambda: show.server.is_well)  # one that was never well is not missed
        os.kill(pid_of(show), signal.SIGKILL)
        runner("evaluate", lambda: done.append("evaluate"))

    killed = pid_of(show)
    show.run_round("killed", body, list)
    assert done == ["evaluate"]
    quick_round(show, "meanwhile")
    wait_shown(home, "killed", seconds=60)
    wait_shown(home, "meanwhile", seconds=60)
    assert pid_of(show) != killed
    assert told_in_a_round(show, notes, "is back after")
    assert any("does not answer" in n for n in notes), notes


def test_a_server_that_is_back_says_how_many_rounds_it_missed(tmp_path: Path) -> None:
    notes: list[str] = []
    server = PrefectServer(tmp_path, notes.append, pending=lambda: 2)
    server._well = True
    server._tell("its process was gone")
    server._tell("still gone")
    server._tell("")
    assert len(notes) == 2
    assert "does not answer: its process was gone" in notes[0]
    assert "is back after" in notes[1]
    assert "2 rounds are shown late" in notes[1]


def test_rounds_go_on_when_the_database_is_locked(home: Path, show: PrefectShow, notes: list[str]) -> None:
    wait_until(lambda: show.server.is_well, 60)
    process = show.server.process
    lock = sqlite3.connect(home / "prefect.db", isolation_level=None, timeout=10)
    lock.execute("BEGIN EXCLUSIVE")
    try:
        wait_until(lambda: not show.server.is_well)
        quick_round(show, "locked out")
        time.sleep(2)
    finally:
        lock.execute("ROLLBACK")
        lock.close()
    wait_shown(home, "locked out")
    assert show.server.process == process  # a restart does not mend a lock
    assert told_in_a_round(show, notes, "is back after")
    assert any("database" in n for n in notes), notes


def test_a_server_that_hangs_is_killed_and_replaced(home: Path, show: PrefectShow, notes: list[str]) -> None:
    wait_until(lambda: show.server.is_well, 60)
    hung = show.server.process
    assert hung is not None
    os.kill(hung.pid, signal.SIGSTOP)
    quick_round(show, "hung")
    wait_until(lambda: not is_alive(hung))
    wait_shown(home, "hung", seconds=60)
    quick_round(show, "after the hang")
    assert any("does not answer" in n for n in notes), notes


def test_a_mirror_that_dies_in_a_round_shows_the_round_once(home: Path, show: PrefectShow) -> None:
    def body(runner: Runner) -> None:
        runner("relax", lambda: wait_until(lambda: runs(home, "mirrored")))
        assert show.mirror is not None
        os.kill(show.mirror, signal.SIGKILL)

    show.run_round("mirrored", body, list)
    wait_shown(home, "mirrored")


def test_what_a_killed_session_did_not_show_is_shown_by_the_next(home: Path, tmp_path: Path) -> None:
    settings = PrefectSettings(enabled=True, home="", restart_after_s=30.0, digest_cron="0 8 * * *")
    killed = PrefectShow(tmp_path, settings, print, server_home=home, patience=QUICK)
    killed._spool.open()
    killed._spool.begin("cut").stage("relax")
    resumed = PrefectShow(tmp_path, settings, print, server_home=home, patience=QUICK)
    resumed.start()
    try:
        assert "session ended" in wait_shown(home, "cut", "FAILED")["state"]["message"]
    finally:
        resumed.stop()


def test_a_second_watcher_adopts_the_server(home: Path, show: PrefectShow) -> None:
    second = PrefectServer(home, print, QUICK)
    assert second.ensure()
    assert second.process == show.server.process
    assert second.url == show.url


ACTIONS_FOR_TESTS = """
def control(root, campaign, action):
    with (root / campaign / "asked").open("a") as file:
        file.write(action + " ")
    return f"{campaign} was asked to {action}"
"""


def test_a_person_can_press_run_and_the_service_is_asked(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "campaigns"
    for name in ("salt", "spinel", "no campaign"):
        (root / name).mkdir(parents=True)
    for name in ("salt", "spinel"):
        (root / name / FILE_NAME).touch()
    (tmp_path / "actions_for_tests.py").write_text(ACTIONS_FOR_TESTS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    server = PrefectServer(home, print, QUICK)
    wait_until(server.watch, 60)
    deployments = Deployments(root, server, "actions_for_tests:control", print)

    def served() -> set[str]:
        deployments.watch()
        return {d["name"] for d in ask(home, "deployments")}

    try:
        wait_until(lambda: served() == {"salt", "spinel", "daily-digest"})
        found = {d["name"]: d for d in ask(home, "deployments")}
        assert [s["schedule"]["cron"] for s in found["daily-digest"]["schedules"]] == ["0 8 * * *"]
        press = f"deployments/{found['salt']['id']}/create_flow_run"
        with client(home) as page:
            pause = {"name": "pause it", "parameters": {"campaign": "salt", "action": "pause"}}
            # Its own services hold the one lock of its database now and then: 503, and a person presses again.
            wait_until(lambda: page.post(press, json=pause).status_code == 201)
            assert page.post(press, json={"parameters": {"campaign": "salt", "action": "burn"}}).status_code >= 400
            page.post(press, json={"name": "outside", "parameters": {"campaign": "../salt", "action": "stop"}})
        assert wait_shown(home, "pause it")["state"]["message"] == "salt was asked to pause"
        assert "No campaign" in wait_shown(home, "outside", "FAILED")["state"]["message"]
        assert (root / "salt" / "asked").read_text() == "pause "

        # A campaign that is gone is not offered any more; a serving process that dies is replaced.
        (root / "spinel" / FILE_NAME).unlink()
        first = deployments.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: served() == {"salt", "daily-digest"})
        assert deployments.pid not in (None, first)
    finally:
        began = time.monotonic()
        process = deployments._client._process
        deployments.stop()
        server.watch()
    assert process is not None
    assert process.returncode == 0, "it did not end by itself on SIGTERM"
    assert time.monotonic() - began < 6


def test_switched_off_it_starts_nothing(tmp_path: Path) -> None:
    show = PrefectShow(
        tmp_path, PrefectSettings(enabled=False, home="", restart_after_s=30.0, digest_cron="0 8 * * *"), print
    )
    show.start()
    ran: list[int] = []
    show.run_round("plain", lambda runner: runner("x", lambda: ran.append(1)), dict)
    show.stop()
    assert ran == [1]
    assert not (tmp_path / "prefect").exists()
