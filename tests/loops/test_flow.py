"""Prefect shows the rounds and never decides them: a real server, a dead one, and a body that fails."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from lodestone.loops.flow import PrefectShow
from lodestone.loops.settings import PrefectSettings
from lodestone.tools.core.errors import EvaluationError

Runner = Callable[[str, Callable[[], None]], None]


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectShow]:
    """A real Prefect server on loopback."""
    before = dict(os.environ)
    made = PrefectShow(tmp_path_factory.mktemp("prefect"), PrefectSettings(enabled=True, start_wait_s=90.0), print)
    made.start()
    yield made
    made.stop()
    os.environ.clear()
    os.environ.update(before)


def test_a_round_is_a_flow_run_with_a_task_a_stage_and_an_artifact(show: PrefectShow) -> None:
    ran: list[str] = []

    def body(runner: Runner) -> None:
        for stage in ("generate", "relax"):
            runner(stage, lambda stage=stage: ran.append(stage))  # type: ignore[misc]

    show.run_round("first", body, lambda: {"round-1": "| formula |\n|---|\n| NaCl |"})
    assert ran == ["generate", "relax"]
    name, _, password = os.environ["PREFECT_API_AUTH_STRING"].partition(":")
    with httpx.Client(base_url=f"{show.url}/api", auth=(name, password)) as client:
        runs = client.post("/flow_runs/filter", json={}).json()
        assert [(r["name"], r["state"]["type"]) for r in runs] == [("first", "COMPLETED")]
        tasks = client.post("/task_runs/filter", json={}).json()
        assert {t["name"].rsplit("-", 1)[0] for t in tasks} == {"generate", "relax"}
        artifacts = client.post("/artifacts/filter", json={}).json()
        assert "NaCl" in artifacts[0]["data"]


def test_the_server_wants_its_token(show: PrefectShow) -> None:
    assert show.url.startswith("http://127.0.0.1:")
    assert httpx.post(f"{show.url}/api/flow_runs/filter", json={}).status_code in (401, 403)


def test_an_error_of_the_round_comes_out_as_itself_and_is_not_run_twice(show: PrefectShow) -> None:
    calls: list[int] = []

    def body(runner: Runner) -> None:
        def fail() -> None:
            calls.append(1)
            raise EvaluationError("broken", "mend it")

        runner("evaluate", fail)

    with pytest.raises(EvaluationError, match="broken"):
        show.run_round("failing", body, dict)
    assert calls == [1]


def test_the_round_goes_on_when_the_server_is_killed(show: PrefectShow) -> None:
    done: list[str] = []
    notes: list[str] = []
    show._note = notes.append

    def body(runner: Runner) -> None:
        if "relax" not in done:
            runner("relax", lambda: done.append("relax"))
            if show._process is not None and show._process.poll() is None:
                os.killpg(show._process.pid, signal.SIGKILL)
                show._process.wait()
        runner("evaluate", lambda: done.append("evaluate"))

    show.run_round("killed", body, dict)
    assert done.count("relax") == 1
    assert "evaluate" in done
    show.run_round("after", lambda runner: runner("relax", lambda: done.append("again")), dict)
    assert done[-1] == "again"
    assert any("without it" in n for n in notes)


def test_a_round_that_ran_before_the_server_was_up_is_shown_later(tmp_path: Path) -> None:
    before = dict(os.environ)
    show = PrefectShow(tmp_path, PrefectSettings(enabled=True, start_wait_s=0.0), print)
    try:
        show.start()
        ran: list[str] = []
        show.run_round("early", lambda runner: runner("relax", lambda: ran.append("early")), lambda: {"early": "NaCl"})
        assert ran == ["early"]
        show._settings = PrefectSettings(enabled=True, start_wait_s=90.0)
        show.run_round("late", lambda runner: runner("relax", lambda: ran.append("late")), dict)
        assert ran == ["early", "late"]
        name, _, password = os.environ["PREFECT_API_AUTH_STRING"].partition(":")
        with httpx.Client(base_url=f"{show.url}/api", auth=(name, password)) as client:
            runs = client.post("/flow_runs/filter", json={}).json()
            assert {r["name"]: r["state"]["type"] for r in runs} == {"early": "COMPLETED", "late": "COMPLETED"}
    finally:
        show.stop()
        os.environ.clear()
        os.environ.update(before)


def test_switched_off_it_starts_nothing(tmp_path: Path) -> None:
    show = PrefectShow(tmp_path, PrefectSettings(enabled=False, start_wait_s=0.0), print)
    show.start()
    ran: list[int] = []
    show.run_round("plain", lambda runner: runner("x", lambda: ran.append(1)), dict)
    assert ran == [1]
    assert not (tmp_path / "prefect").exists()
