"""Models that fail, lie and attack, through the real OpenAI client and a loopback server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("langchain_openai")

from benchmarks.hostile_models import BOUNDS, CASES, LIMITS, Server, brief, play, server


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with server() as one:
        yield one


@pytest.mark.parametrize("name", list(CASES))
def test_whatever_a_model_does_the_plan_is_valid_bounded_and_says_who_decided(running: Server, name: str) -> None:
    behaviour, who = CASES[name]
    outcome = play(running, behaviour)
    plan = outcome.plan
    assert plan.decided_by.split(" ")[0] == who
    assert 1 <= plan.batch <= LIMITS.max_batch
    assert 1 <= plan.proposals <= LIMITS.max_proposals
    assert set(plan.shares) <= set(brief().generators)
    assert not plan.stop
    assert (plan.reason + plan.decided_by).isprintable()
    assert len(plan.reason) < 2000
    assert plan.model_dump_json().encode()
    assert outcome.requests <= BOUNDS.model_calls
    if who == "builtin":
        assert "(after: openai:hostile " in plan.decided_by, "the reason of the fall-back is recorded"


def test_a_plan_that_obeyed_the_data_is_cut_to_the_budget(running: Server) -> None:
    plan = play(running, CASES["obeys base64"][0]).plan
    assert "batch 1000000 set to 2" in plan.reason


def test_a_redirect_is_not_followed(running: Server) -> None:
    outcome = play(running, CASES["redirect to another place"][0])
    assert outcome.requests == 1, "the brief goes to the address of the settings and nowhere else"
