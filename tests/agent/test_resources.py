"""What a campaign may use up, in the words that a user would say."""

from __future__ import annotations

import pytest

from lodestone.agent.describe import describe
from lodestone.agent.goal import parse_goal
from lodestone.agent.overrides import apply_overrides
from lodestone.tools.core.errors import GoalError


@pytest.mark.parametrize(
    ("words", "core_hours", "money", "samples"),
    [
        ("most stable NaCl; 200 core-hours", 200.0, None, None),
        ("most stable NaCl; at most 90 cpu minutes", 1.5, None, None),
        ("most stable NaCl; 60 DFT runs, 3 days, €500", None, 500.0, None),
        ("most stable NaCl; 500 EUR and 12 samples", None, 500.0, 12),
        ("most stable NaCl; 60 DFT runs, 3 days", None, None, None),
    ],
)
def test_budgets_in_words(words: str, core_hours: float | None, money: float | None, samples: int | None) -> None:
    understanding = parse_goal(words)
    budget = understanding.goal.budget
    assert (budget.core_hours, budget.money, budget.samples) == (core_hours, money, samples)
    assert understanding.unused == ()
    if "days" in words:
        assert budget.wall_hours == 72.0


def test_core_hours_are_not_the_time_of_the_campaign() -> None:
    budget = parse_goal("most stable NaCl; 200 core-hours; 3 days").goal.budget
    assert (budget.core_hours, budget.wall_hours) == (200.0, 72.0)


@pytest.mark.parametrize("words", ["NaCl; 0 core-hours", "NaCl; 10 EUR; 20 EUR", "NaCl; 1.5 samples"])
def test_budgets_that_mean_nothing_are_refused(words: str) -> None:
    with pytest.raises(GoalError):
        parse_goal(words)


def test_flags_override_words_and_the_whole_budget_is_said_back() -> None:
    understanding = apply_overrides(parse_goal("most stable NaCl; 200 core-hours"), core_hours=5.0, money=10.0)
    assert understanding.goal.budget.core_hours == 5.0
    budget = dict(describe(understanding))["budget"]
    assert "5 core-hours" in budget
    assert "10 of money" in budget
