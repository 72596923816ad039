"""Any order of reserving, marking, recording, crashing and taking over keeps every promise of the ledger."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from benchmarks.ledger_values import observation, request
from lodestone.loops.ledger import Booking, Ledger
from lodestone.loops.ledger.verify import verify
from lodestone.tools.core.errors import BudgetError, LedgerError

MEMORY = Path("/dev/shm")


class LedgerMachine(RuleBasedStateMachine):
    """A model of a few numbers beside the real ledger; they must agree after every step."""

    CAPS = {"evaluations": 6, "core_s": 100}

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        self.path = Path(self._folder.name)
        self.ledger = Ledger.create(self.path, {}, self.CAPS)
        self.stale: Ledger | None = None
        self.counter = 0
        self.charged: dict[str, int] = {}
        self.spent: dict[str, int] = {}
        self.done: dict[str, str] = {}

    def teardown(self) -> None:
        assert verify(self.ledger).problems == []
        self._folder.cleanup()

    @property
    def core_s(self) -> int:
        return sum(self.spent.get(k, v) for k, v in self.charged.items())

    @rule(count=st.integers(1, 3), core_s=st.integers(0, 60))
    def reserve(self, count: int, core_s: int) -> None:
        keys = [f"k{self.counter + i}" for i in range(count)]
        self.counter += count
        bookings = [Booking(k, request(k), charges={"evaluations": 1, "core_s": core_s}) for k in keys]
        fits = len(self.charged) + count <= self.CAPS["evaluations"]
        fits = fits and self.core_s + count * core_s <= self.CAPS["core_s"]
        if fits:
            self.ledger.reserve(1, bookings)
            self.charged |= dict.fromkeys(keys, core_s)
        else:
            with pytest.raises(BudgetError):
                self.ledger.reserve(1, bookings)

    @precondition(lambda self: self.charged)
    @rule(data=st.data(), state=st.sampled_from(["SUBMITTING", "RUNNING", "UNKNOWN"]))
    def mark(self, data: st.DataObject, state: str) -> None:
        self.ledger.mark([data.draw(st.sampled_from(sorted(self.charged)))], state, 1)

    @precondition(lambda self: self.charged)
    @rule(data=st.data(), failed=st.booleans(), share=st.floats(0, 1))
    def record(self, data: st.DataObject, failed: bool, share: float) -> None:
        key = data.draw(st.sampled_from(sorted(self.charged)))
        cost = int(share * self.charged[key])
        first = self.ledger.record(observation(key, key, failed), 1, {"core_s": cost})
        assert first == (key not in self.done)
        if first:
            self.done[key] = "FAILED_CHARGED" if failed else "DONE"
            self.spent[key] = cost

    @rule()
    def record_a_stranger(self) -> None:
        with pytest.raises(LedgerError, match="never reserved"):
            self.ledger.record(observation("stranger", "x"), 1)

    @rule()
    def the_agent_dies_and_another_takes_over(self) -> None:
        if self.ledger.store.epoch is not None:
            self.stale = self.ledger
        self.ledger = Ledger.open(self.path)
        self.ledger.take_over(1, "here")

    @precondition(lambda self: self.stale is not None)
    @rule()
    def the_dead_one_was_not_dead(self) -> None:
        assert self.stale is not None
        with pytest.raises(LedgerError, match="taken over"):
            self.stale.reserve(1, [Booking("zombie", request("zombie"))])

    @invariant()
    def spend_is_under_the_caps_and_as_modelled(self) -> None:
        accounts = self.ledger.accounts()
        assert accounts["evaluations"].reserved + accounts["evaluations"].spent == len(self.charged)
        assert accounts["core_s"].reserved + accounts["core_s"].spent == self.core_s
        assert all(a.reserved + a.spent <= (a.cap or 0) for a in accounts.values())

    @invariant()
    def nothing_finished_is_lost_and_each_key_is_done_once(self) -> None:
        rows = self.ledger.evaluations()
        assert len({r.key for r in rows}) == len(rows)
        assert {r.key: r.state for r in rows if r.key in self.done} == self.done
        assert not any(r.state in ("DONE", "FAILED_CHARGED") for r in rows if r.key not in self.done)

    @invariant()
    def the_chain_is_whole(self) -> None:
        assert self.ledger.verify() >= 1


LedgerMachine.TestCase.settings = settings(
    max_examples=500, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLedgerMachine = LedgerMachine.TestCase
