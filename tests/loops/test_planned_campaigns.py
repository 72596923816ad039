"""Campaigns that a chat model plans: through the real client, recorded, bounded, and played again without it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_openai")

from benchmarks.hostile_models import CASES, NAME, PLAN, Answer, Server, call, campaign, message, server
from benchmarks.world import harness, parts
from benchmarks.world.harness import Setup
from lodestone.agent.conversations import read_conversation
from lodestone.loops.ledger import Ledger
from lodestone.loops.ledger.verify import verify
from lodestone.loops.summary import summarise, summary_text

METALS = ("Al", "Au", "Cu", "Ni")
GOOD = {**PLAN, "shares": [{"generator": "lattices", "share": 1.0}], "proposals": 6, "batch": 1, "exploration": 0.1}


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with server() as one:
        yield one


def look_then_plan(n: int) -> Answer:
    """Ask for what failed, then plan."""
    if n % 2 == 0:
        return message(calls=[call("failures", {}), call("budget", {}, "call_2")])
    return message(
        calls=[call("RoundPlanProposal", {**GOOD, "reason": "The pool holds 123456 crystals; 12 are left."})]
    )


def run(folder: Path, model: str, url: str = "", **changes: Any) -> Ledger:
    parts.install(folder / "site")
    settings = {"planner.model": model, "planner.base_url": url, "planner.timeout_s": 30.0, **changes}
    setup = Setup(
        folder / "campaign",
        folder / "site",
        words="the most stable compound of Cu and Au; 8 evaluations; 4 rounds",
        metals=METALS,
        settings=settings,
    )
    assert harness.run_alone(setup) == 0, setup.directory.with_suffix(".log").read_text()
    return Ledger.open(setup.directory, read_only=True)


@pytest.fixture(scope="module")
def planned(running: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    running.behaviour, running.requests = look_then_plan, 0
    folder = tmp_path_factory.mktemp("planned")
    run(folder, NAME, running.url)
    return folder / "campaign"


def test_each_round_says_who_planned_it_and_what_that_took(planned: Path) -> None:
    ledger = Ledger.open(planned, read_only=True)
    plans = [plan for plan, _ in ledger.plans()]
    assert {p.decided_by for p in plans} == {NAME}
    assert all(p.tokens == 2000 for p in plans), "two answers of a thousand tokens each"
    assert sum(e["tokens"] for e in ledger.events("planner")) >= 2000 * len(plans)
    assert "tokens" in summary_text(summarise(planned))


def test_a_number_that_was_not_shown_is_struck_out_of_the_ledger(planned: Path) -> None:
    plan = Ledger.open(planned, read_only=True).plans()[0][0]
    assert "123456" not in plan.reason
    assert "struck out" in plan.reason


def test_conversations_are_kept_whole(planned: Path) -> None:
    kept = sorted((planned / "conversations").glob("*.json"))
    plans = Ledger.open(planned, read_only=True).plans()
    assert len(kept) >= len(plans)
    talk = read_conversation(kept[0])
    assert (talk.round, talk.attempt, talk.model, talk.outcome) == (1, 1, NAME, "plan")
    assert [c.name for s in talk.said for c in s.calls] == ["failures", "budget", "RoundPlanProposal"]
    assert len(talk.tools) == 2
    assert any('"evaluations"' in answer for answer in talk.tools)
    assert talk.brief.startswith("Brief")


def test_a_campaign_plays_again_without_the_provider(planned: Path, tmp_path: Path) -> None:
    first = Ledger.open(planned, read_only=True)
    again = run(tmp_path, f"replay:{planned / 'conversations'}")
    ours, theirs = ([p for p, _ in ledger.plans()] for ledger in (again, first))
    assert [p.decided_by.split(":")[0] for p in ours] == ["replay"] * len(theirs)
    same = {"decided_by", "tokens", "money"}
    assert [p.model_dump(exclude=same) for p in ours] == [p.model_dump(exclude=same) for p in theirs]
    assert [e.key for e in again.evaluations()] == [e.key for e in first.evaluations()]


def test_models_that_used_up_their_tokens_are_not_asked_again(running: Server, tmp_path: Path) -> None:
    running.behaviour, running.requests = look_then_plan, 0
    ledger = run(tmp_path, NAME, running.url, **{"planner.tokens_per_campaign": 3000})
    deciders = [p.decided_by for p, _ in ledger.plans()]
    assert deciders[:2] == [NAME, NAME]
    assert deciders[2] == f"builtin (after: {NAME} not asked: 3000 tokens a campaign are used up)"
    assert sum(p.tokens for p, _ in ledger.plans()) == 4000


def test_money_is_counted_by_the_prices_and_capped(running: Server, tmp_path: Path) -> None:
    running.behaviour, running.requests = look_then_plan, 0
    prices = {"planner.price_in": 10.0, "planner.price_out": 50.0, "planner.money_per_campaign": 0.05}
    ledger = run(tmp_path, NAME, running.url, **prices)
    plans = [p for p, _ in ledger.plans()]
    # Each answer: 900 tokens read and 100 written.
    assert plans[0].money == pytest.approx(2 * (900 * 10 + 100 * 50) / 1e6)
    assert sum(p.money for p in plans) <= 0.05 + 0.028
    assert any("0.05 of money a campaign are used up" in p.decided_by for p in plans)


HOSTILE = [
    "HTML with status 200", "arguments cut off", "batch of a billion", "obeys a comment of a CIF", "hangs",
    "lone surrogate in the reason", "unknown tool for ever", "obeys zero-width text",
]  # fmt: skip


def test_a_campaign_outlives_every_kind_of_model(running: Server, tmp_path: Path) -> None:
    code, ledger = campaign(running, tmp_path, HOSTILE, 24)
    assert code == 0
    assert not verify(ledger).problems
    plans = {p.round: p for p, _ in ledger.plans()}
    assert len(plans) == len(HOSTILE)
    events = {e["round"]: e for e in ledger.events("planner")}
    for number, name in enumerate(HOSTILE, start=1):
        assert plans[number].decided_by.split(" ")[0] == CASES[name][1], name
        assert number in events, f"{name} left no trace"
    account = ledger.accounts()["evaluations"]
    assert account.cap is not None
    assert account.spent + account.reserved <= account.cap
