"""Requests read by models through the real OpenAI client: the same checks, nothing invented, the grammar behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("langchain_openai")

from benchmarks.hostile_models import CASES, NAME, Answer, Server, call, message, server
from lodestone.agent.asking import Bounds
from lodestone.agent.goal import GoalDefaults, parse_goal
from lodestone.agent.model_reader import understand
from lodestone.agent.providers import ModelSettings, load_model
from lodestone.tools.core.errors import GoalError
from lodestone.tools.core.types import Understanding

GERMAN = "Finde ein stabiles Oxid von Titan mit einer Bandlücke über 3 eV, höchstens 40 Rechnungen in 5 Tagen"
DRAFT: dict[str, Any] = {
    "must_contain": ["O", "Ti"],
    "limits": [{"property": "band_gap", "kind": "at_least", "value": 3, "unit": "eV"}],
    "stability": "stable",
    "evaluations": 40,
    "days": 5,
}


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    with server() as one:
        yield one


def read(running: Server, text: str, answer: Answer) -> Understanding:
    running.behaviour, running.requests = lambda _: answer, 0
    model = load_model(ModelSettings(name=NAME, base_url=running.url, timeout_s=3.0))
    assert model is not None
    return understand(text, GoalDefaults(), [(NAME, model)], Bounds(model_calls=3, timeout_s=15.0))


def drafted(**changes: Any) -> Answer:
    return message(calls=[call("GoalDraft", {**DRAFT, **changes})])


def test_a_request_in_a_fourth_language_is_read_by_the_model(running: Server) -> None:
    found = read(running, GERMAN, drafted())
    goal = found.goal
    assert {c.property: c.lower for c in goal.constraints}["band_gap"] == 3.0
    assert (goal.budget.evaluations, goal.budget.wall_hours) == (40, 120.0)
    assert {"O", "Ti"} <= set(goal.space.required)
    assert any(NAME in note for note in found.notes)
    assert {q.text for q in found.questions} == {"Is O meant?", "Is Ti meant?"}, (
        "they are not named in a known language"
    )


def test_what_the_grammar_reads_is_not_sent_to_a_model(running: Server) -> None:
    text = "stable oxides of Ti, gap above 3 eV, 40 runs"
    assert read(running, text, drafted()) == parse_goal(text)
    assert running.requests == 0


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"evaluations": 1_000_000}, 20),
        ({"evaluations": 41}, 20),
        ({"evaluations": 40}, 40),
    ],
)
def test_a_number_that_the_user_did_not_write_is_left_out(running: Server, changes: dict[str, Any], kept: int) -> None:
    found = read(running, GERMAN, drafted(**changes))
    assert found.goal.budget.evaluations == kept
    if kept == 20:
        assert any("does not stand in the request" in line for line in found.assumptions)


@pytest.mark.parametrize(
    "changes",
    [
        {"must_contain": ["Xx"]},
        {"limits": [{"property": "happiness", "kind": "at_least", "value": 3, "unit": "eV"}]},
        {"limits": [{"property": "band_gap", "kind": "at_least", "value": 3, "unit": "GPa"}]},
        {"limits": [{"property": "band_gap", "kind": "at_least", "value": 3, "unit": "bananas"}]},
        {"structure_types": ["unobtainite"]},
        {"element_classes_without": ["evil"]},
        {"must_contain": ["O"], "without": ["O"]},
        {"crystal_systems": ["round"]},
        {"dimensionality": [9]},
        {"budget": {"evaluations": 10**9}},
        {"approved": True},
        {"formula": "../../etc"},
    ],
    ids=str,
)
def test_what_cannot_be_meant_falls_back_to_the_grammar(running: Server, changes: dict[str, Any]) -> None:
    with pytest.raises(GoalError, match="No element"):
        read(running, GERMAN, drafted(**changes))
    english = "stable oxides of Ti, shiny, gap above 3 eV, 40 runs"
    found = read(running, english, drafted(**changes))
    assert found.goal == parse_goal(english).goal
    assert any(note.startswith("read by the grammar") for note in found.notes)


@pytest.mark.parametrize("name", [n for n in CASES if n not in ("one byte in ten seconds", "hangs")])
def test_bad_models_leave_the_grammar_in_charge(running: Server, name: str) -> None:
    text = "stable oxides of Ti, shiny, gap above 3 eV, 40 runs"
    behaviour, _ = CASES[name]
    running.behaviour = behaviour
    found = read(running, text, behaviour(0))
    assert found.goal == parse_goal(text).goal


def test_text_that_hides_something_is_never_sent(running: Server) -> None:
    with pytest.raises(GoalError, match=r"U\+200B"):
        read(running, "Oxid von Ti\u200btan", drafted())
    assert running.requests == 0
