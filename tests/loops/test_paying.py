"""From the reservation to the result: start-up asks before it acts, and no cap is passed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from benchmarks.ledger_values import observation, plan, request
from benchmarks.world import harness, parts
from lodestone.loops import paying
from lodestone.loops.campaign import Campaign
from lodestone.loops.ledger import Booking, Ledger
from lodestone.loops.ledger.bookings import Prices, caps_of
from lodestone.loops.ledger.verify import verify
from lodestone.loops.paying import Payments
from lodestone.loops.view import View
from lodestone.tools.core.errors import EvaluationError
from lodestone.tools.core.types import Budget, EvaluationRequest, JobLimits, JobStatus, Observation, sha256


class ScriptedEvaluatorForTests:
    """Says what a test tells it to say about each key, and counts what it is asked to start."""

    name = version = method = "scripted (tests only)"
    fidelity: Literal["potential"] = "potential"
    properties: frozenset[str] = frozenset()
    cores = 2
    wall_limit_s = 100.0

    def __init__(self) -> None:
        self.says: dict[str, list[JobStatus]] = {}
        self.started: list[str] = []
        self.limits: dict[str, JobLimits] = {}
        self.results: dict[str, Observation] = {}

    def available(self) -> str | None:
        return None

    def key(self, wanted: EvaluationRequest) -> str:
        return sha256(wanted.candidate_id)

    def submit(
        self, requests: Sequence[tuple[str, EvaluationRequest]], limits: Mapping[str, JobLimits] | None = None
    ) -> None:
        for key, _ in requests:
            if self.lookup(key, peek=True) in (JobStatus.NEVER_SEEN, JobStatus.DEAD):
                self.started.append(key)
                self.says[key] = [JobStatus.DONE]
        self.limits |= limits or {}

    def lookup(self, key: str, peek: bool = False) -> JobStatus:
        script = self.says.get(key, [JobStatus.NEVER_SEEN])
        return script[0] if peek or len(script) == 1 else script.pop(0)

    def harvest(self, key: str) -> Observation:
        return self.results.get(key, observation(key, "x"))

    def cancel(self, key: str) -> None:
        raise AssertionError(key)


class ListeningView(View):
    def __init__(self) -> None:
        self.notes: list[str] = []
        self.persons: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def person(self, text: str) -> None:
        self.persons.append(text)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Ledger, ScriptedEvaluatorForTests, Payments, Any]:
    monkeypatch.setattr(paying, "POLL_S", 0.0)
    ledger = Ledger.create(tmp_path, {}, caps_of(Budget(evaluations=10, wall_hours=1.0, core_hours=1.0)))
    ledger.add_plan(plan(1))
    evaluator, view = ScriptedEvaluatorForTests(), ListeningView()
    return ledger, evaluator, Payments(ledger, evaluator, Prices(), view, lambda: 1e6), view


def book(payments: Payments, *names: str) -> list[str]:
    payments.book(1, [(request(n), "NaCl", {}, "why") for n in names])
    return [sha256(n) for n in names]


def test_at_start_up_finished_work_is_collected_and_nothing_is_started(scene: Any) -> None:
    ledger, evaluator, payments, _ = scene
    done, running, dead, unseen = book(payments, "done", "running", "dead", "unseen")
    ledger.mark([done, running, dead], "SUBMITTING", 1)
    evaluator.says |= {done: [JobStatus.DONE], running: [JobStatus.RUNNING], dead: [JobStatus.DEAD]}
    assert payments.reconcile() == []
    states = {r.key: r.state for r in ledger.evaluations()}
    assert states == {done: "DONE", running: "SUBMITTING", dead: "SUBMITTING", unseen: "RESERVED"}
    assert evaluator.started == []


def test_what_nobody_can_know_goes_to_a_person_and_keeps_its_money(scene: Any) -> None:
    ledger, evaluator, payments, view = scene
    (key,) = book(payments, "lost")
    evaluator.says[key] = [JobStatus.CANNOT_KNOW]
    payments.evaluate(1, lambda _done, _total: None)
    assert ledger.evaluations()[0].state == "UNKNOWN"
    assert ledger.accounts()["evaluations"].reserved == 1
    assert "lodestone ledger settle" in view.persons[0]
    assert payments.reconcile() == view.persons  # and again at each start, until it is settled
    evaluator.says[key] = [JobStatus.DONE]
    assert payments.reconcile() == []
    assert ledger.evaluations()[0].state == "DONE"


def test_a_dead_job_is_started_again_on_the_same_reservation(scene: Any) -> None:
    ledger, evaluator, payments, view = scene
    (key,) = book(payments, "weak")
    evaluator.says[key] = [JobStatus.RUNNING, JobStatus.RUNNING, JobStatus.DEAD, JobStatus.DEAD]
    payments.evaluate(1, lambda _done, _total: None)
    assert evaluator.started == [key]
    assert ledger.accounts()["evaluations"].spent == 1
    assert "started again" in view.notes[0]
    assert verify(ledger).problems == []


def test_an_evaluation_may_use_what_was_reserved_for_it_and_no_more_time_than_is_left(tmp_path: Path) -> None:
    ledger = Ledger.create(tmp_path, {}, caps_of(Budget(evaluations=10, wall_hours=1.0)))
    ledger.add_plan(plan(1))
    evaluator = ScriptedEvaluatorForTests()
    payments = Payments(ledger, evaluator, Prices(), View(), lambda: 42.0)
    (key,) = book(payments, "one")
    payments.evaluate(1, lambda _done, _total: None)
    assert evaluator.limits[key] == JobLimits(core_s=200.0, wall_s=42.0)
    assert ledger.events("reserved")
    assert payments.charges()["core_s"] == 210


def test_a_result_of_another_key_is_refused(scene: Any) -> None:
    ledger, evaluator, payments, _ = scene
    (key,) = book(payments, "one")
    evaluator.results[key] = observation(sha256("another"), "another")
    with pytest.raises(EvaluationError, match="belongs to"):
        payments.evaluate(1, lambda _done, _total: None)
    assert ledger.evaluations()[0].observation is None


def test_booking_again_changes_nothing(scene: Any) -> None:
    ledger, _, payments, _ = scene
    book(payments, "a", "b")
    book(payments, "a", "b")
    assert len(ledger.evaluations()) == 2
    assert ledger.accounts()["evaluations"].reserved == 2


def test_the_scarcest_resource_says_how_many_are_affordable(scene: Any) -> None:
    ledger, _, payments, _ = scene
    assert payments.affordable() == (10, "evaluations")
    ledger.reserve(1, [Booking("x" * 64, request("x"), charges={"evaluations": 1, "core_s": 3000})])
    assert payments.affordable() == (2, "core_s")  # 600 s left, 210 s each


@pytest.mark.parametrize(
    ("budget", "reason", "resource"),
    [
        ({"core_hours": 0.019}, "core_s does not allow another", "core_s"),
        ({"money": 3.0}, "money does not allow another", "money"),
        ({"per_fidelity": {"potential": 3}}, "evaluations:potential does not allow", "evaluations:potential"),
    ],
)
def test_a_campaign_stops_before_the_cap_of_whatever_runs_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: dict[str, Any], reason: str, resource: str
) -> None:
    site = tmp_path / "site"
    parts.install(site)
    for name, value in parts.environment(site).items():
        monkeypatch.setenv(name, value)
    harness.preload()
    understanding = parts.goal("the most stable compound of Cu and Au; 12 evaluations; 9 rounds")
    goal = understanding.goal
    goal = goal.model_copy(update={"budget": Budget.model_validate({**goal.budget.model_dump(), **budget})})
    settings = parts.settings(**{"costs.per_evaluation": 0.9})
    made = parts.parts(goal, settings, tmp_path / "c")
    campaign = Campaign.create(tmp_path / "c", understanding.model_copy(update={"goal": goal}), settings, made)
    try:
        ended = campaign.run(made, View())
    finally:
        campaign.close()
    assert reason in ended
    account = campaign.ledger.accounts()[resource]
    assert account.cap is not None
    assert 0 < account.spent <= account.cap
    assert account.reserved == 0
    assert verify(campaign.ledger).problems == []
