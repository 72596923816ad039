"""`lodestone ledger …`, `pause`, `serve --status`: what a person does to a campaign from outside."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from benchmarks.ledger_values import observation, plan, request
from lodestone.loops.cli import main
from lodestone.loops.ledger import FILE_NAME, Booking, Ledger
from lodestone.loops.ledger.bookings import caps_of
from lodestone.loops.lock import CampaignLock
from lodestone.loops.settings import load_settings
from lodestone.tools.core.types import Budget, sha256

KEYS = [sha256(name) for name in ("one", "two")]


@pytest.fixture
def campaign(tmp_path: Path) -> Path:
    """One finished evaluation, and one of which nobody knows anything."""
    directory = tmp_path / "c"
    directory.mkdir()
    budget = Budget(evaluations=4, wall_hours=1.0)
    ledger = Ledger.create(
        directory,
        {
            "status": "running", "settings": load_settings(None, {}, {}).model_dump(mode="json"), "method": "test",
            "evaluator": "test", "evaluator_version": "1",
        },
        caps_of(budget),
    )  # fmt: skip
    ledger.add_plan(plan(1))
    charges = {"evaluations": 1, "core_s": 100}
    ledger.reserve(1, [Booking(k, request(k), fidelity="potential", charges=charges) for k in KEYS])
    ledger.record(observation(KEYS[0], KEYS[0]), 1, {"core_s": 5})
    ledger.mark([KEYS[1]], "UNKNOWN", 1)
    ledger.finish_round(1, {"seconds": {}})
    return directory


def test_verify_counts_and_names_what_is_wrong(campaign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", "verify", str(campaign), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["evaluations"], found["finished"], found["problems"]) == (2, 1, [])
    with sqlite3.connect(campaign / FILE_NAME) as connection:
        connection.execute("DROP TRIGGER charges_not_removed")
        connection.execute("DELETE FROM charges WHERE key = ?", (KEYS[1],))
    assert main(["ledger", "verify", str(campaign)]) == 8
    captured = capsys.readouterr()
    assert "problem: Account evaluations" in captured.out
    assert captured.err.startswith("error: ")


def test_a_person_settles_as_failed_what_nobody_can_know(campaign: Path) -> None:
    assert main(["ledger", "settle", str(campaign), KEYS[1][:8], "failed"]) == 0
    ledger = Ledger.open(campaign)
    row = ledger.evaluations()[1]
    assert row.state == "FAILED_CHARGED"
    assert row.observation is not None
    assert "settled by a person" in row.observation.failure.reason  # type: ignore[union-attr]
    accounts = ledger.accounts()
    assert (accounts["evaluations"].spent, accounts["core_s"].spent) == (2, 105)  # what was reserved is charged
    assert main(["ledger", "verify", str(campaign)]) == 0
    assert main(["ledger", "settle", str(campaign), KEYS[1][:8], "failed"]) == 8


def test_a_person_has_it_started_again(campaign: Path) -> None:
    assert main(["ledger", "settle", str(campaign), KEYS[1][:8], "again"]) == 0
    ledger = Ledger.open(campaign)
    assert ledger.evaluations()[1].state == "RESERVED"
    last = ledger.last_plan()
    assert last is not None
    assert last[1] == "selected", "its round is taken up again"
    assert ledger.accounts()["evaluations"].reserved == 1


def test_a_key_that_is_none_is_answered_with_those_that_wait(
    campaign: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ledger", "settle", str(campaign), "ffff", "failed"]) == 8
    assert KEYS[1][:12] in capsys.readouterr().err


def test_copies_are_made_and_brought_back(campaign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy.sqlite"
    assert main(["ledger", "backup", str(campaign), str(copy)]) == 0
    (campaign / FILE_NAME).write_bytes(b"ruined")
    assert main(["status", str(campaign)]) == 8
    assert main(["ledger", "restore", str(campaign), str(copy)]) == 0
    assert main(["ledger", "verify", str(campaign)]) == 0
    assert main(["ledger", "backup", str(campaign), str(copy)]) == 8
    assert "exists" in capsys.readouterr().err


def test_what_writes_is_refused_while_a_campaign_runs(campaign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = CampaignLock(campaign)
    lock.acquire()
    try:
        for arguments in (["settle", str(campaign), KEYS[1][:8], "failed"], ["restore", str(campaign), "x"]):
            assert main(["ledger", *arguments]) == 8
            assert "in use by process" in capsys.readouterr().err
        assert main(["ledger", "verify", str(campaign)]) == 0
    finally:
        lock.release()


def test_pause_and_priority_without_a_service_say_so(campaign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pause", str(campaign)]) == 0
    assert "No service looks after it" in capsys.readouterr().out
    assert main(["priority", str(campaign), "30", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["wanted"] == "pause"
    assert main(["start", str(campaign)]) == 0
    assert main(["priority", str(campaign), "0"]) == 8
    assert main(["pause", str(campaign / "nowhere")]) == 8
    assert main(["serve", str(campaign.parent), "--status"]) == 8
    assert "lodestone serve" in capsys.readouterr().err


def test_two_services_on_one_folder_are_refused(campaign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = CampaignLock(campaign.parent)
    lock.acquire()
    try:
        assert main(["serve", str(campaign.parent)]) == 8
    finally:
        lock.release()
    assert "in use by process" in capsys.readouterr().err


def test_no_channel_no_test_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notify", "test"]) == 4
    assert "webhook_url" in capsys.readouterr().err
