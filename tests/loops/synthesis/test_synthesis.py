"""Campaigns in a twin's laboratory, through the command line, over its real servers."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lodestone.loops.cli import main
from lodestone.loops.ledger import Ledger
from lodestone.loops.ledger.bookings import SAMPLES
from lodestone.tools.core.errors import EvaluationError, GoalError, LabError
from lodestone.tools.core.synthesis import Phase, Powder, Prediction, Recipe, SynthesisGoal
from lodestone.tools.core.types import JobStatus
from lodestone.tools.lab.evaluator import LabEvaluator
from lodestone.tools.lab.known_phases import library
from lodestone.tools.lab.settings import LaboratorySettings
from lodestone.tools.lab.site import read_site
from lodestone.tools.lab.station import Order, Result, Station
from lodestone.tools.lab.twin.audit import audit
from lodestone.tools.lab.twin.founding import KEY_FILE, PERSON
from lodestone.tools.lab.twin.journal import read
from lodestone.tools.lab.twin.world import World, apply

REQUEST = "Synthesise LiCoO2, at least 30 %, in at most 4 experiments"
SPEED = {"LODESTONE_LABORATORY__TWIN_SPEED": "40000"}


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "campaign"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SPEED.items():
            patch.setenv(name, value)
        assert main(["run", REQUEST, "--yes", "--dir", str(folder)]) == 0
    return folder


def results(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())


def firings(folder: Path) -> dict[str, int]:
    """How often each sample is meant to be fired."""
    orders = [Order.model_validate_json(p.read_bytes()) for p in (folder / "jobs/lab/orders").glob("*.json")]
    return {order.sample: 1 + order.recipe.regrinds for order in orders}


def test_the_target_is_made_and_seen_in_its_pattern(campaign: Path) -> None:
    told = results(campaign)
    assert told["status"] == "finished"
    assert told["reached"]
    best = told["experiments"][told["best"] - 1]
    assert best["target_fraction"] >= 0.3
    assert "LiCoO2" in {p["formula"] for p in best["phases"]}
    assert sum(p["weight_fraction"] for p in best["phases"]) == pytest.approx(1.0, abs=1e-6)


def test_samples_are_booked_like_money(campaign: Path) -> None:
    ledger = Ledger.open(campaign, read_only=True)
    ledger.verify()
    made = [r for r in ledger.evaluations() if r.state in ("DONE", "FAILED_CHARGED")]
    account = ledger.accounts()[SAMPLES]
    assert (account.cap, account.spent, account.reserved) == (4, len(made), 0)
    assert len(list((campaign / "jobs/lab/results").glob("*.json"))) == len(made)


def test_the_machines_did_what_the_recipes_say_and_nothing_twice(campaign: Path) -> None:
    found = audit(read(campaign / "twin/journal.jsonl"), firings(campaign))
    assert (found.unsafe, found.twice) == ([], [])
    for path in (campaign / "jobs/lab/results").glob("*.json"):
        result = Result.model_validate_json(path.read_bytes())
        order = Order.model_validate_json((campaign / "jobs/lab/orders" / path.name).read_bytes())
        wanted = {p.formula: 1000 * p.mass_g for p in order.recipe.powders}
        assert result.dosed_mg == pytest.approx(wanted, rel=0.01)
        assert max(k for _, k in result.trace) == pytest.approx(order.recipe.temperature_k, abs=25.0)


def test_every_recipe_is_an_approved_template_with_its_fields_in_bounds(campaign: Path) -> None:
    book = read_site(campaign / "twin").book()
    rows = Ledger.open(campaign, read_only=True).evaluations()
    assert rows
    for row in rows:
        assert book.why_not(Recipe.model_validate_json(row.request.recipe)) == ()


def test_the_report_shows_recipes_patterns_traces_and_that_it_is_simulated(campaign: Path) -> None:
    page = (campaign / "report.html").read_text()
    assert "Simulated." in page
    measured = [e for e in results(campaign)["experiments"] if e["phases"]]
    assert page.count("Powder pattern of experiment") == len(measured)
    assert "Temperature over" in page
    assert "<script" not in page


def test_status_explain_and_export_know_this_kind(campaign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(campaign)]) == 0
    assert "✓" in capsys.readouterr().out
    assert main(["explain", str(campaign), "1"]) == 0
    assert "eV/atom are left for it" in capsys.readouterr().out
    assert main(["explain", str(campaign), "99"]) == GoalError.exit_code
    assert main(["export", str(campaign)]) == GoalError.exit_code
    assert "results.json" in capsys.readouterr().err
    assert main(["resume", str(campaign)]) == 0
    assert len(results(campaign)["experiments"]) == len(Ledger.open(campaign, read_only=True).evaluations())


@pytest.mark.parametrize(("words", "why"), [
    ("Synthesise YBa2Cu3O7", "knows no crystal"),
    ("Synthesise SiO2", "cannot make SiO2"),
    ("Synthesise LiCoO2 over night", "over night"),
])  # fmt: skip
def test_what_cannot_be_made_is_refused_before_anything_moves(
    words: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", words, "--yes", "--dir", str(tmp_path / "c")]) == GoalError.exit_code
    assert why in capsys.readouterr().err
    assert not (tmp_path / "c" / "jobs" / "lab" / "orders").exists()


def _wait(what: Callable[[], Any], seconds: float, words: str) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, words
        time.sleep(0.05)
    return found


def _processes(folder: Path) -> list[int]:
    """Everything that works for a campaign."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(os.fsencode(folder) in word for word in words) and int(path.name) != os.getpid():
            found.append(int(path.name))
    return found


def _kill_all(folder: Path) -> None:
    while left := _processes(folder):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def _heating(folder: Path) -> bool:
    try:
        told = json.loads((folder / "jobs/lab/state.json").read_text())
    except (OSError, ValueError):
        return False
    return any(beat["furnace"] and beat["furnace"]["heating"] for beat in told["instruments"])


def test_power_loss_in_a_firing_goes_to_a_person_and_then_the_campaign_ends(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "campaign"
    command = [sys.executable, "-m", "lodestone.loops.cli"]
    environment = {**os.environ, "LODESTONE_LABORATORY__TWIN_SPEED": "8000"}
    first = subprocess.Popen(
        [*command, "run", REQUEST, "--yes", "--dir", str(folder)], env=environment, stdout=subprocess.DEVNULL
    )
    _wait(lambda: _heating(folder), 120, "no furnace heats")
    _kill_all(folder)
    first.wait()
    again = subprocess.Popen([*command, "resume", str(folder)], env=environment, stdout=subprocess.DEVNULL)
    _wait(lambda: "UNKNOWN" in _states(folder), 120, "no doubt")
    _kill_all(folder)  # while a question is open: who has nobody at the bench cannot be answered
    again.wait()
    signed = ["--person", PERSON, "--key", str(folder / "twin" / KEY_FILE)]
    assert main(["lab", "answer", str(folder), "q1", "discard", *signed]) == LabError.exit_code
    assert f"lodestone resume {folder}" in capfd.readouterr().err

    second = subprocess.Popen([*command, "resume", str(folder)], env=environment, stdout=subprocess.DEVNULL)
    try:
        _wait(lambda: _questions(folder, capfd), 120, "nobody asks again")
        said = _wait(lambda: _asked(folder, capfd), 120, "status does not say what is asked")
        question = re.search(r"lab answer \S+ (q\w+) ANSWER", said)
        assert question is not None
        assert main(["lab", "answer", str(folder), question[1], "perhaps", *signed]) != 0
        while asked := _questions(folder, capfd):
            assert main(["lab", "answer", str(folder), asked[0]["id"], _seen(folder, asked[0]), *signed]) == 0
        assert second.wait(timeout=300) == 0
        # It may have reached its goal before the answer: what was still in doubt then is collected now.
        assert main(["resume", str(folder)]) == 0
    finally:
        second.kill()
        second.wait()
        _kill_all(folder)
    ledger = Ledger.open(folder, read_only=True)
    ledger.verify()
    rows = ledger.evaluations()
    assert {r.state for r in rows} <= {"DONE", "FAILED_CHARGED"}
    discarded = [r for r in rows if r.state == "FAILED_CHARGED"]
    assert discarded, "what a person discards is paid for, with the reason"
    assert all("a person discarded" in str(r.observation.failure.reason) for r in discarded if r.observation)
    assert ledger.accounts()[SAMPLES].spent == len(rows)
    found = audit(read(folder / "twin/journal.jsonl"), firings(folder))
    assert (found.unsafe, found.twice) == ([], [])
    assert found.doubted == found.answered


def _states(folder: Path) -> set[str]:
    return {row.state for row in Ledger.open(folder, read_only=True).evaluations()}


def _asked(folder: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """What `status` says, once it shows a question."""
    capfd.readouterr()
    assert main(["status", str(folder)]) == 0
    said = capfd.readouterr().out
    return said if "lab answer" in said else ""


def _questions(folder: Path, capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    capfd.readouterr()
    assert main(["lab", "status", str(folder), "--json"]) == 0
    beats = json.loads(capfd.readouterr().out).values()
    return [question for beat in beats if beat is not None for question in beat["questions"]]


def _seen(folder: Path, question: dict[str, Any]) -> str:
    """What a person says who throws away what nobody watched, and sees where a crucible stands."""
    if "discard" in question["options"]:
        return "discard"
    world = World()
    for event in read(folder / "twin/journal.jsonl"):
        apply(world, event)
    return world.vessels[question["sample"]].place


def _lab_status(folder: Path, capfd: pytest.CaptureFixture[str]) -> str:
    capfd.readouterr()
    assert main(["lab", "status", str(folder)]) == 0
    return capfd.readouterr().out


def test_an_emergency_stop_holds_until_a_person_clears_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "campaign"
    command = [sys.executable, "-m", "lodestone.loops.cli"]
    environment = {**os.environ, "LODESTONE_LABORATORY__TWIN_SPEED": "8000"}
    run = subprocess.Popen(
        [*command, "run", REQUEST, "--yes", "--dir", str(folder)], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        _wait(lambda: _heating(folder), 120, "no furnace heats")
        assert main(["lab", "stop", str(folder), "--reason", "smell of burning"]) == 0
        assert run.wait(timeout=120) == LabError.exit_code
        told = capfd.readouterr().err
        assert "smell of burning" in told
        assert f"lodestone lab clear {folder}" in told
        assert "smell of burning" in _lab_status(folder, capfd)
        assert not _heating(folder), "heaters are off"
        assert main(["resume", str(folder)]) == LabError.exit_code, "nothing goes on before"
        stranger = tmp_path / "stranger.pem"
        assert main(["lab", "key", str(stranger)]) == 0
        assert main(["lab", "clear", str(folder), "--person", PERSON, "--key", str(stranger)]) == LabError.exit_code
        signed = ["--person", PERSON, "--key", str(folder / "twin" / KEY_FILE)]
        assert main(["lab", "clear", str(folder), *signed]) == 0
        assert main(["resume", str(folder)]) == 0
    finally:
        run.kill()
        run.wait()
        _kill_all(folder)
    rows = Ledger.open(folder, read_only=True).evaluations()
    broken = [r for r in rows if r.state == "FAILED_CHARGED" and r.observation and r.observation.failure]
    assert any("broken off" in r.observation.failure.reason for r in broken)
    assert {r.state for r in rows} <= {"DONE", "FAILED_CHARGED"}
    found = audit(read(folder / "twin/journal.jsonl"), firings(folder))
    assert (found.unsafe, found.twice) == ([], [])


def test_another_structure_than_the_predicted_one_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody can make ilmenite of SrTiO3: perovskite forms, is named, and samples are not spent without end."""
    ilmenite = next(p.crystal for p in library() if p.id == "MgTiO3-ilmenite")
    swapped = ilmenite.model_copy(update={"species": tuple("Sr" if s == "Mg" else s for s in ilmenite.species)})
    goal = SynthesisGoal(
        text="Make a mistake",
        target="SrTiO3",
        purity=0.5,
        experiments=12,
        wall_hours=1.0,
        predicted=Prediction(
            phase=Phase(id="SrTiO3-predicted", formula="SrTiO3", crystal=swapped), origin="a test", method="nobody"
        ),
    )
    monkeypatch.setattr("lodestone.loops.synthesis.commands.goal_from", lambda *_: goal)
    monkeypatch.setenv("LODESTONE_LABORATORY__TWIN_SPEED", "40000")
    folder = tmp_path / "campaign"
    assert main(["make", str(tmp_path / "searched"), "--yes", "--dir", str(folder)]) == 0
    told = results(folder)
    assert not told["reached"]
    assert "of another structure than the predicted one" in told["stop_reason"]
    assert len(told["experiments"]) < 12
    assert all(e["target_fraction"] == 0.0 for e in told["experiments"] if e["phases"])
    assert "SrTiO3-perovskite" in capsys.readouterr().out
    assert "It was not seen yet" in (folder / "report.html").read_text()
    assert main(["resume", str(folder)]) == 0
    assert len(results(folder)["experiments"]) == len(told["experiments"])


def test_instruments_of_three_protocols_work_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    laboratory, folder = tmp_path / "laboratory", tmp_path / "campaign"
    spoken = ["--protocol", "http", "--protocol", "furnace_1=opcua", "--protocol", "furnace_2=sila2"]
    command = [sys.executable, "-m", "lodestone.loops.cli", "lab", "twin", str(laboratory), "--speed", "40000", *spoken]
    twin = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait((laboratory / "site.json").exists, 120, "no laboratory was founded")
        monkeypatch.setenv("LODESTONE_LABORATORY__DIRECTORY", str(laboratory))
        request = "Synthesise LiCoO2, at least 30 %, in at most 2 experiments"
        assert main(["run", request, "--yes", "--dir", str(folder)]) == 0
        assert main(["lab", "twin", str(laboratory), "--protocol", "http"]) == LabError.exit_code
        assert "is founded" in capfd.readouterr().err
    finally:
        twin.send_signal(signal.SIGINT)
        twin.wait(timeout=30)
        _kill_all(folder)
    site = read_site(laboratory)
    assert {a.protocol for a in site.addresses} == {"http", "opcua", "sila2"}
    told = results(folder)["experiments"]
    assert told
    assert all(e["phases"] for e in told), "all were measured"
    found = audit(read(laboratory / "journal.jsonl"), firings(folder))
    assert (found.unsafe, found.twice) == ([], [])


def test_a_protocol_that_nobody_speaks_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for words in ("ftp", "oven=http", "=http"):
        assert main(["lab", "twin", str(tmp_path / "x"), "--protocol", words]) == LabError.exit_code
        assert "sila2, opcua, http" in capfd.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_report_moves_nothing_and_founds_nothing(
    campaign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(campaign, copy, ignore=shutil.ignore_patterns("twin"))
    assert main(["report", str(copy)]) == LabError.exit_code
    assert "No laboratory in" in capsys.readouterr().err
    assert not (copy / "twin").exists()


def test_a_damaged_result_is_named(campaign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(campaign, copy)
    result = next((copy / "jobs/lab/results").glob("*.json"))
    result.write_bytes(result.read_bytes()[:100])
    assert main(["status", str(copy)]) == EvaluationError.exit_code
    assert result.name in capsys.readouterr().err


def test_a_station_that_ends_again_and_again_is_not_started_for_ever(tmp_path: Path) -> None:
    evaluator = LabEvaluator(tmp_path / "jobs", LaboratorySettings(directory=str(tmp_path / "nowhere")))
    recipe = Recipe(
        template="oxide_in_air", target="MgAl2O4", powders=(Powder(formula="MgO", mass_g=1.0),), temperature_k=1300.0,
        hold_h=1.0, ramp_k_per_min=5.0, atmosphere="air",
    )  # fmt: skip
    order = Order(key="k" * 40, sample="s-1", recipe=recipe)
    (evaluator.folder / "orders").mkdir(parents=True)
    (evaluator.folder / "orders" / f"{order.key}.json").write_text(order.model_dump_json())
    (evaluator.folder / "station.json").write_text(Station(site=str(evaluator.site_folder)).model_dump_json())

    def attend(times: int) -> None:
        for _ in range(times):
            evaluator.attend()
            _wait(lambda: not evaluator.working(), 60, "a station without a laboratory works")

    with pytest.raises(EvaluationError, match="No laboratory in"):
        attend(20)
    assert evaluator.lookup(order.key) is JobStatus.DEAD


def test_who_looks_whether_a_station_works_does_not_keep_one_from_working(tmp_path: Path) -> None:
    from lodestone.tools.lab.station import _locked

    evaluator = LabEvaluator(tmp_path / "jobs")
    evaluator.folder.mkdir(parents=True)
    path = evaluator.folder / "lock"
    with path.open("ab") as looker, path.open("ab") as station:
        fcntl.flock(looker, fcntl.LOCK_EX)
        threading.Timer(0.3, lambda: fcntl.flock(looker, fcntl.LOCK_UN)).start()
        assert _locked(station.fileno())
        assert evaluator.working()
        with path.open("ab") as another:
            assert not _locked(another.fileno()), "one station a folder"
