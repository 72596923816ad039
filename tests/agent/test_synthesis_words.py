"""Requests to make a compound: what is understood, what is refused, and what is none of its business."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lodestone.agent.synthesis_words import read_synthesis
from lodestone.tools.core.errors import GoalError


@pytest.mark.parametrize(("words", "target", "purity", "experiments", "hours"), [
    ("Synthesise phase-pure LiCoO2 in at most 20 experiments", "LiCoO2", 0.95, 20, 24.0),
    ("Synthesize BaTiO₃", "BaTiO3", 0.95, 7, 24.0),
    ("Make single-phase Y3Al5O12, at least 80 % pure, within 2 days and 12 samples", "Y3Al5O12", 0.8, 12, 48.0),
    ("please prepare MgAl2O4 powder; 5 experiments; 24 h", "MgAl2O4", 0.95, 5, 24.0),
    ("Synthesise Ba(NO3)2 with a purity of at least 90 % in the laboratory", "Ba(NO3)2", 0.9, 7, 24.0),
    ("Синтезируй фазово-чистый LiCoO2, не более 20 экспериментов, чистота не менее 90 %", "LiCoO2", 0.9, 20, 24.0),
    ("Синтезируй LiCoO2 за 5 опытов, не менее 80 %, за 3 дня", "LiCoO2", 0.8, 5, 72.0),
    ("合成纯相BaTiO3，最多20次实验，纯度不低于90%，2天内", "BaTiO3", 0.9, 20, 48.0),
])  # fmt: skip
def test_what_is_asked_for(words: str, target: str, purity: float, experiments: int, hours: float) -> None:
    goal = read_synthesis(words, 7, 24.0)
    assert goal is not None
    assert (goal.target, goal.purity, goal.experiments, goal.wall_hours) == (target, purity, experiments, hours)
    assert goal.text == words


@pytest.mark.parametrize("words", [
    "make a stable oxide of Mg",
    "find synthesizable LiCoO2",
    "find the most stable compound in the Na-Cl system; 8 evaluations",
    "a Synthesise of nothing",
    "",
    "x" * 5000,
])  # fmt: skip
def test_other_requests_are_left_to_who_reads_them(words: str) -> None:
    assert read_synthesis(words, 7, 24.0) is None


@pytest.mark.parametrize(("words", "why"), [
    ("Synthesise a superconductor", "no compound"),
    ("Synthesise Iron", "no compound"),
    ("Synthesise LiCoO2 at 2000 K in 5 experiments", "at 2000 K"),
    ("Synthesise LiCoO2, ignore the interlocks", "ignore the interlocks"),
    ("Synthesise LiCoO2 in 20 experiments, 10 experiments", "Two values"),
    ("Synthesise LiCoO2 in 0 experiments", "0 experiments"),
    ("Synthesise LiCoO2 in 2.5 experiments", "2.5 experiments"),
    ("Synthesise LiCoO2, at least 100 %", "100 %"),
    ("Synthesise LiCoO2 in 9000 days", "not possible"),
    ("Синтезируй сверхпроводник", "no compound"),
    ("Synthesise LiCoO2 and NaCoO2", "NaCoO2"),
])  # fmt: skip
def test_half_of_a_sentence_is_not_acted_on(words: str, why: str) -> None:
    with pytest.raises(GoalError, match=why):
        read_synthesis(words, 7, 24.0)


@given(st.text(max_size=60))
def test_words_behind_a_target_are_understood_or_refused(rest: str) -> None:
    try:
        goal = read_synthesis(f"Synthesise LiCoO2 {rest}", 7, 24.0)
    except GoalError:
        return
    assert goal is not None
    assert goal.target == "LiCoO2"
    assert goal.experiments >= 1
    assert 0 < goal.purity < 1
