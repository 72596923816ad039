"""What the ledger promises about money, order and damage, on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from benchmarks.ledger_values import observation, plan, request
from lodestone.loops.ledger import FILE_NAME, POINTER_NAME, Booking, Ledger
from lodestone.loops.ledger.backup import backup, restore
from lodestone.loops.ledger.bookings import Prices, reservation, settlement
from lodestone.loops.ledger.verify import verify
from lodestone.loops.lock import CampaignLock
from lodestone.tools.core.errors import BudgetError, ConfigError, LedgerError
from lodestone.tools.core.types import Budget


def reserve(ledger: Ledger, keys: list[str], **charges: int) -> None:
    ledger.reserve(1, [Booking(k, request(k), {}, "because", charges=charges or {"evaluations": 1}) for k in keys])


def make(directory: Path, url: str = "", **caps: int | None) -> Ledger:
    made = Ledger.create(directory, {"goal": "test"}, caps or {"evaluations": 3}, url)
    made.add_plan(plan(1))
    return made


@pytest.fixture
def ledger(tmp_path: Path, ledger_url: str) -> Ledger:
    return make(tmp_path, ledger_url)


def raw(ledger: Ledger, statement: str) -> None:
    """As a program would that goes around `Ledger`."""
    with ledger.store.engine.begin() as connection:
        connection.exec_driver_sql(statement)


def test_reservation_beyond_the_cap_is_refused_as_a_whole(ledger: Ledger) -> None:
    reserve(ledger, ["a", "b"])
    with pytest.raises(BudgetError, match="4 of 3"):
        reserve(ledger, ["c", "d"])
    assert [r.key for r in ledger.evaluations()] == ["a", "b"]
    reserve(ledger, ["c"])
    assert ledger.spent() == 3


def test_failed_evaluations_stay_charged(ledger: Ledger) -> None:
    reserve(ledger, ["a", "b", "c"])
    ledger.record(observation("a", "a", failed=True), 1)
    with pytest.raises(BudgetError):
        reserve(ledger, ["d"])


def test_a_result_is_recorded_once(ledger: Ledger) -> None:
    reserve(ledger, ["a"])
    assert ledger.record(observation("a", "a"), 1)
    assert not ledger.record(observation("a", "a", failed=True), 1)
    assert ledger.evaluations()[0].state == "DONE"


def test_a_result_that_was_never_reserved_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="never reserved"):
        ledger.record(observation("stranger", "x"), 1)


def test_two_writers_cannot_pass_the_cap_together(tmp_path: Path, ledger_url: str) -> None:
    ledger = make(tmp_path, ledger_url, evaluations=5)
    refused = []

    def grab(name: str) -> None:
        try:
            reserve(Ledger.open(tmp_path), [f"{name}-{i}" for i in range(3)])
        except BudgetError:
            refused.append(name)

    threads = [threading.Thread(target=grab, args=(str(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.spent() == 3
    assert len(refused) == 3


def test_every_resource_has_its_own_cap_and_spent_reserved_and_left_are_one_query(
    tmp_path: Path, ledger_url: str
) -> None:
    ledger = make(tmp_path, ledger_url, evaluations=10, core_s=1000, money=None)
    reserve(ledger, ["a"], evaluations=1, core_s=600, money=250)
    with pytest.raises(BudgetError, match=r"1200 of 1000.*core_s"):
        reserve(ledger, ["b"], evaluations=1, core_s=600)
    ledger.record(observation("a", "a"), 1, {"core_s": 100, "money": 40})
    accounts = ledger.accounts()
    assert (accounts["core_s"].reserved, accounts["core_s"].spent, accounts["core_s"].left) == (0, 100, 900)
    assert (accounts["money"].spent, accounts["money"].left) == (40, None)
    assert accounts["evaluations"].spent == 1
    reserve(ledger, ["b"], evaluations=1, core_s=600)
    assert ledger.accounts()["core_s"].left == 300
    assert verify(ledger).problems == []


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO charges (key, resource, reserved) VALUES ('x', 'evaluations', 4)",
        "INSERT INTO charges (key, resource, reserved) VALUES ('x', 'gold', 1)",
        "UPDATE charges SET reserved = 0 WHERE key = 'a'",
        "UPDATE charges SET spent = 0 WHERE key = 'done'",
        "DELETE FROM charges",
        "UPDATE evaluations SET state = 'RESERVED' WHERE key = 'done'",
        "DELETE FROM evaluations WHERE key = 'a'",
        "UPDATE events SET payload = '{}' WHERE seq = 2",
        "DELETE FROM events WHERE seq = 2",
    ],
)
def test_the_database_itself_refuses_what_would_break_a_promise(ledger: Ledger, statement: str) -> None:
    reserve(ledger, ["a", "done"])
    ledger.record(observation("done", "done"), 1)
    before = ledger.accounts()
    with pytest.raises(sa.exc.DBAPIError, match="lodestone"):
        raw(ledger, statement)
    assert ledger.accounts() == before
    assert verify(ledger).problems == []


def test_a_changed_event_breaks_the_chain(ledger: Ledger) -> None:
    reserve(ledger, ["a"])
    assert ledger.verify() == 3
    raw(ledger, "DROP TRIGGER events_kept" + ("" if ledger.store.is_sqlite else " ON events"))
    raw(ledger, "UPDATE events SET payload = '{}' WHERE seq = 2")
    with pytest.raises(LedgerError, match="event 2"):
        ledger.verify()


def test_verify_names_a_result_that_is_not_the_recorded_one(ledger: Ledger) -> None:
    reserve(ledger, ["a", "b"])
    ledger.record(observation("a", "a"), 1)
    assert verify(ledger).problems == []
    raw(ledger, "DROP TRIGGER evaluations_final" + ("" if ledger.store.is_sqlite else " ON evaluations"))
    raw(ledger, "UPDATE evaluations SET observation = replace(observation, '-3.0', '-9.0') WHERE key = 'a'")
    raw(ledger, "UPDATE budget SET reserved = 0")
    problems = " ".join(verify(ledger).problems)
    assert "result of evaluation a" in problems
    assert "Account evaluations says 0 reserved" in problems


def test_a_writer_that_was_replaced_cannot_write_any_more(tmp_path: Path, ledger_url: str) -> None:
    first = make(tmp_path, ledger_url)
    first.take_over(11, "one")
    first.note("hello", 0, {})
    second = Ledger.open(tmp_path)
    second.take_over(22, "two")
    with pytest.raises(LedgerError, match="process 22 on two"):
        reserve(first, ["a"])
    reserve(second, ["a"])
    assert [r.key for r in second.evaluations()] == ["a"]


def test_an_unknown_evaluation_keeps_its_money_until_it_is_settled(ledger: Ledger) -> None:
    reserve(ledger, ["a"])
    ledger.mark(["a"], "SUBMITTING", 1)
    ledger.mark(["a"], "UNKNOWN", 1)
    ledger.mark(["a"], "RUNNING", 1)  # not open any more: a stale mark changes nothing
    assert ledger.evaluations()[0].state == "UNKNOWN"
    assert ledger.accounts()["evaluations"].reserved == 1
    ledger.record(observation("a", "a"), 1)
    assert ledger.evaluations()[0].state == "DONE"


def test_another_version_is_refused_with_both_numbers(ledger: Ledger, tmp_path: Path) -> None:
    raw(ledger, "UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    with pytest.raises(LedgerError, match=r"version 99.*reads 2"):
        Ledger.open(tmp_path)


def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database" * 1000)
    with pytest.raises(LedgerError, match="not a readable ledger"):
        Ledger.open(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes().startswith(b"not a database")


def test_a_ledger_that_was_never_finished_says_so(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()
    with pytest.raises(LedgerError, match="never finished"):
        Ledger.open(tmp_path)


def test_a_second_campaign_in_one_directory_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="already holds a campaign"):
        Ledger.create(tmp_path, {})


def test_addresses_that_are_none_are_refused(tmp_path: Path) -> None:
    for url in ("mysql://localhost/x", "nonsense", "sqlite:///x"):
        with pytest.raises(ConfigError, match="url"):
            Ledger.create(tmp_path, {}, url=url)
    (tmp_path / POINTER_NAME).write_text(json.dumps({"url": "postgresql://h/d", "schema": "x; DROP TABLE y"}))
    with pytest.raises(LedgerError, match="DROP TABLE"):
        Ledger.open(tmp_path)


def test_the_pointer_to_postgres_holds_no_password(tmp_path: Path, postgres: object) -> None:
    url = str(postgres.url).replace("postgres@", "postgres:secret@")  # type: ignore[attr-defined]
    Ledger.create(tmp_path, {"goal": "test"}, url=url)
    assert "secret" not in (tmp_path / POINTER_NAME).read_text()
    assert Ledger.open(tmp_path).meta("goal") == "test"


def test_the_lock_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    first, second = CampaignLock(tmp_path), CampaignLock(tmp_path)
    first.acquire()
    with pytest.raises(LedgerError, match="in use by process"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()
    holder = "import sys,os,signal; from pathlib import Path; from lodestone.loops.lock import CampaignLock;" \
        "CampaignLock(Path(sys.argv[1])).acquire(); os.kill(os.getpid(), signal.SIGKILL)"  # fmt: skip
    subprocess.run([sys.executable, "-c", holder, str(tmp_path)], check=False)
    second.acquire()
    second.release()


def test_a_holder_on_another_machine_is_not_taken_for_dead(tmp_path: Path) -> None:
    lock = CampaignLock(tmp_path)
    lock.acquire()
    path = tmp_path / "campaign.lock"
    mark = json.loads(path.read_text())
    lock.release()
    path.write_text(json.dumps({**mark, "pid": 77, "host": "elsewhere", "boot_id": "another"}))
    with pytest.raises(LedgerError, match="process 77 on elsewhere"):
        lock.acquire()
    path.write_text(json.dumps({**mark, "boot_id": "before the reboot"}))
    lock.acquire()
    lock.release()


def test_a_copy_is_made_while_others_write_and_can_be_brought_back(tmp_path: Path) -> None:
    ledger = make(tmp_path, evaluations=500)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            reserve(ledger, [f"k{number}"])
            number += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        events = backup(ledger, tmp_path / "copy.sqlite")
    finally:
        stop.set()
        thread.join()
    assert events >= 2
    with pytest.raises(LedgerError, match="exists"):
        backup(ledger, tmp_path / "copy.sqlite")
    (tmp_path / FILE_NAME).write_bytes(b"damaged")
    restore(tmp_path / "copy.sqlite", tmp_path)
    assert Ledger.open(tmp_path).verify() == events
    assert (tmp_path / f"{FILE_NAME}.replaced-1").read_bytes() == b"damaged"


VERSION_1 = """
CREATE TABLE meta (name VARCHAR PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE events (seq INTEGER PRIMARY KEY, at FLOAT NOT NULL, kind VARCHAR NOT NULL, round INTEGER NOT NULL,
  payload TEXT NOT NULL, previous VARCHAR(64) NOT NULL, hash VARCHAR(64) NOT NULL);
CREATE INDEX ix_events_kind ON events (kind);
CREATE TABLE plans (round INTEGER PRIMARY KEY, plan TEXT NOT NULL, state VARCHAR NOT NULL);
CREATE TABLE candidates (id VARCHAR PRIMARY KEY, round INTEGER NOT NULL, position INTEGER NOT NULL,
  generator VARCHAR NOT NULL, formula VARCHAR NOT NULL, candidate TEXT NOT NULL, relaxation TEXT, recognition TEXT,
  cheap TEXT, failure TEXT);
CREATE INDEX ix_candidates_round ON candidates (round);
CREATE TABLE evaluations (key VARCHAR(64) PRIMARY KEY, position INTEGER NOT NULL UNIQUE, round INTEGER NOT NULL,
  candidate_id VARCHAR NOT NULL, purpose VARCHAR NOT NULL, state VARCHAR NOT NULL, request TEXT NOT NULL,
  predicted TEXT NOT NULL, why TEXT NOT NULL, observation TEXT);
CREATE INDEX ix_evaluations_round ON evaluations (round);
CREATE INDEX ix_evaluations_state ON evaluations (state);
"""


def test_a_ledger_of_version_1_is_brought_up_to_date_and_kept_as_a_copy(tmp_path: Path) -> None:
    from lodestone.loops.ledger.chain import GENESIS, event_hash
    from lodestone.tools.core.types import canonical_json

    goal = {"budget": Budget(evaluations=2, wall_hours=1.0).model_dump(mode="json")}
    done = observation("a", "a")
    events = [
        ("created", {"meta": "x"}),
        ("reserved", {"keys": ["a", "b"]}),
        ("done", {"key": "a", "digest": done.digest()}),
    ]
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.executescript(VERSION_1)
        connection.execute("INSERT INTO meta VALUES ('schema_version', '1'), ('goal', ?)", (json.dumps(goal),))
        previous = GENESIS
        for seq, (kind, payload) in enumerate(events, start=1):
            row = {"seq": seq, "at": 1.5, "up": None, "kind": kind, "round": 0,
                   "payload": canonical_json(payload), "previous": previous}  # fmt: skip
            previous = event_hash(row)
            connection.execute(
                "INSERT INTO events VALUES (?,?,?,?,?,?,?)",
                (seq, 1.5, kind, 0, row["payload"], row["previous"], previous),
            )
        for position, (key, state, text) in enumerate(
            [("a", "DONE", done.canonical_json()), ("b", "RUNNING", None)], start=1
        ):
            connection.execute(
                "INSERT INTO evaluations VALUES (?,?,1,?,'candidate',?,?,'{}','why',?)",
                (key, position, key, state, request(key).canonical_json(), text),
            )
    with pytest.raises(LedgerError, match="ledger migrate"):
        Ledger.open(tmp_path, read_only=True)
    ledger = Ledger.open(tmp_path)
    account = ledger.accounts()["evaluations"]
    assert (account.cap, account.reserved, account.spent) == (2, 1, 1)
    found = verify(ledger)
    assert found.problems == []
    assert found.events == 4
    with pytest.raises(BudgetError):
        reserve(ledger, ["c"])
    assert ledger.record(observation("b", "b"), 1)
    kept = sqlite3.connect(tmp_path / f"{FILE_NAME}.version-1")
    assert kept.execute("SELECT count(*) FROM events").fetchone() == (3,)


def test_what_an_evaluation_may_cost_is_never_less_than_what_it_costs() -> None:
    prices = Prices(per_core_hour=0.5, per_evaluation=2.0)
    reserved = reservation("dft", 3600.0, 4, prices)
    assert reserved["core_s"] == 4 * 3605
    assert reserved["evaluations:dft"] == 1
    worst = observation("a", "a").model_copy(update={"fidelity": "dft", "cost_core_s": 4 * 3600.0})
    spent = settlement(worst, prices)
    assert spent["core_s"] == 14400
    assert spent["money"] == 400  # 2.00 + 4 h × 0.50
    assert all(spent[r] <= reserved[r] for r in spent)


def test_events_say_how_long_the_machine_has_been_up(ledger: Ledger) -> None:
    first, second = ledger.events()
    assert 0 <= second["up"] - first["up"] < 60
