"""What the ledger promises about money, order and damage."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lodestone.loops.ledger import FILE_NAME, Ledger
from lodestone.loops.lock import CampaignLock
from lodestone.tools.core.errors import BudgetError, LedgerError
from lodestone.tools.core.types import Crystal, EvaluationRequest, Failure, Observation, Quantity, RoundPlan

CELL = Crystal(
    lattice=((4.0, 0, 0), (0, 4.0, 0), (0, 0, 4.0)), species=("Na", "Cl"), frac_coords=((0, 0, 0), (0.5, 0.5, 0.5))
)


def request(name: str) -> EvaluationRequest:
    return EvaluationRequest(candidate_id=name, crystal=CELL, properties=())


def observation(key: str, name: str, failed: bool = False) -> Observation:
    return Observation(
        key=key,
        candidate_id=name,
        evaluator="test",
        method="test",
        fidelity="potential",
        values={} if failed else {"energy_per_atom": Quantity(value=-3.0, unit="eV/atom")},
        failure=Failure(stage="evaluate", reason="on purpose") if failed else None,
    )


def reserve(ledger: Ledger, keys: list[str], cap: int) -> None:
    ledger.reserve(1, [(k, request(k), {}, "because") for k in keys], cap)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    made = Ledger.create(tmp_path, {"goal": "test"})
    made.add_plan(RoundPlan(round=1, shares={"random": 1.0}, proposals=1, batch=1, exploration=0.5, reason="test"))
    return made


def test_reservation_beyond_the_cap_is_refused_as_a_whole(ledger: Ledger) -> None:
    reserve(ledger, ["a", "b"], cap=3)
    with pytest.raises(BudgetError, match="4 of 3"):
        reserve(ledger, ["c", "d"], cap=3)
    assert [r.key for r in ledger.evaluations()] == ["a", "b"]
    reserve(ledger, ["c"], cap=3)
    assert ledger.spent() == 3


def test_failed_evaluations_stay_charged(ledger: Ledger) -> None:
    reserve(ledger, ["a"], cap=1)
    ledger.record(observation("a", "a", failed=True), 1)
    with pytest.raises(BudgetError):
        reserve(ledger, ["b"], cap=1)


def test_a_result_is_recorded_once(ledger: Ledger) -> None:
    reserve(ledger, ["a"], cap=1)
    assert ledger.record(observation("a", "a"), 1)
    assert not ledger.record(observation("a", "a", failed=True), 1)
    assert ledger.evaluations()[0].state == "DONE"


def test_a_result_that_was_never_reserved_is_refused(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="never reserved"):
        ledger.record(observation("stranger", "x"), 1)


def test_two_writers_cannot_pass_the_cap_together(ledger: Ledger, tmp_path: Path) -> None:
    refused = []

    def grab(name: str) -> None:
        try:
            reserve(Ledger.open(tmp_path), [f"{name}-{i}" for i in range(3)], cap=5)
        except BudgetError:
            refused.append(name)

    threads = [threading.Thread(target=grab, args=(str(i),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.spent() == 3
    assert len(refused) == 3


def test_a_changed_event_breaks_the_chain(ledger: Ledger, tmp_path: Path) -> None:
    reserve(ledger, ["a"], cap=1)
    assert ledger.verify() == 3
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("UPDATE events SET payload = '{}' WHERE seq = 2")
    with pytest.raises(LedgerError, match="event 2"):
        ledger.verify()


def test_another_version_is_refused_with_both_numbers(ledger: Ledger, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    with pytest.raises(LedgerError, match=r"version 99.*reads 1"):
        Ledger.open(tmp_path)


def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database" * 1000)
    with pytest.raises(LedgerError, match="not a readable ledger"):
        Ledger.open(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes().startswith(b"not a database")


def test_a_second_campaign_in_one_directory_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="already holds a campaign"):
        Ledger.create(tmp_path, {})


def test_the_lock_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    first, second = CampaignLock(tmp_path), CampaignLock(tmp_path)
    first.acquire()
    with pytest.raises(LedgerError, match="in use by process"):
        second.acquire()
    first.release()
    second.acquire()
    assert (tmp_path / "campaign.lock").read_text().startswith("{")
    second.release()


class LedgerMachine(RuleBasedStateMachine):
    """Any order of reserving, marking and recording keeps spend under the cap and the chain whole."""

    CAP = 6

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self._folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger.create(Path(self._folder.name), {})
        self.counter = 0
        self.done: dict[str, str] = {}
        self.keys: list[str] = []

    def teardown(self) -> None:
        self._folder.cleanup()

    @rule(count=st.integers(1, 4))
    def reserve(self, count: int) -> None:
        keys = [f"k{self.counter + i}" for i in range(count)]
        self.counter += count
        fits = len(self.keys) + count <= self.CAP
        if fits:
            reserve(self.ledger, keys, self.CAP)
            self.keys += keys
        else:
            with pytest.raises(BudgetError):
                reserve(self.ledger, keys, self.CAP)

    @precondition(lambda self: self.keys)
    @rule(data=st.data(), state=st.sampled_from(["SUBMITTING", "RUNNING"]))
    def mark(self, data: st.DataObject, state: str) -> None:
        self.ledger.mark([data.draw(st.sampled_from(self.keys))], state, 1)

    @precondition(lambda self: self.keys)
    @rule(data=st.data(), failed=st.booleans())
    def record(self, data: st.DataObject, failed: bool) -> None:
        key = data.draw(st.sampled_from(self.keys))
        first = self.ledger.record(observation(key, key, failed), 1)
        assert first == (key not in self.done)
        self.done.setdefault(key, "FAILED_CHARGED" if failed else "DONE")

    @rule()
    def reopen(self) -> None:
        self.ledger = Ledger.open(Path(self._folder.name))

    @invariant()
    def spend_is_under_the_cap(self) -> None:
        assert self.ledger.spent() == len(self.keys) <= self.CAP

    @invariant()
    def nothing_finished_is_lost(self) -> None:
        states = {r.key: r.state for r in self.ledger.evaluations()}
        assert {k: states[k] for k in self.done} == self.done

    @invariant()
    def the_chain_is_whole(self) -> None:
        assert self.ledger.verify() >= 1


LedgerMachine.TestCase.settings = settings(
    max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLedgerMachine = LedgerMachine.TestCase
