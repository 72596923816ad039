"""The deterministic policy: no plan passes the budget, stops without cause, or differs between two equal briefs."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lodestone.agent.goal import parse_goal
from lodestone.agent.policy import PlanLimits, check, decide, stale_rounds, stop_reason
from lodestone.tools.core.types import Brief, GeneratorYield, Objective, RoundPlan, StopRule

GOAL = parse_goal("stable Li-P-S, 20 evaluations").goal


def make_brief(**changes: Any) -> Brief:
    """An early brief with room in every budget."""
    values: dict[str, Any] = {
        "goal": GOAL,
        "round": 1,
        "generators": {name: GeneratorYield() for name in ("random", "prototypes", "substitution")},
        "evaluations_spent": 0,
        "evaluations_left": 20,
        "wall_s_left": 3600.0,
        "rounds_left": 10,
    }
    return Brief(**{**values, **changes})


_YIELDS = st.builds(
    GeneratorYield,
    proposed=st.integers(0, 500),
    relaxed=st.integers(0, 500),
    near_hull=st.integers(0, 500),
    duplicates=st.integers(0, 500),
    screened_out=st.integers(0, 500),
)
_BRIEFS = st.builds(
    make_brief,
    round=st.integers(1, 50),
    generators=st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), _YIELDS, max_size=4),
    evaluations_spent=st.integers(0, 1000),
    evaluations_left=st.integers(0, 1000),
    wall_s_left=st.floats(-10, 1e6),
    rounds_left=st.integers(0, 100),
    best_by_round=st.lists(st.none() | st.floats(-5, 5), max_size=8).map(tuple),
    hits=st.integers(0, 5),
    calibration=st.none() | st.floats(0, 1),
    pool=st.integers(0, 1000),
)
_LIMITS = st.builds(PlanLimits, max_proposals=st.integers(1, 500), max_batch=st.integers(1, 50))


@settings(max_examples=150, deadline=None)
@given(
    brief=_BRIEFS,
    limits=_LIMITS,
    shares=st.dictionaries(st.sampled_from(["a", "b", "zzz", "\x1b[31m"]), st.floats(), max_size=4),
    proposals=st.integers(),
    batch=st.integers(),
    exploration=st.floats(),
    stop=st.booleans(),
    reason=st.text(max_size=2000),
)
def test_no_proposal_passes_the_budget_or_the_limits(
    brief: Brief, limits: PlanLimits, batch: int, proposals: int, **proposal: Any
) -> None:
    plan, corrections = check(brief, batch=batch, proposals=proposals, limits=limits, **proposal)
    assert 0 <= plan.batch <= max(0, brief.evaluations_left)
    assert plan.batch <= limits.max_batch
    assert plan.proposals <= limits.max_proposals
    assert set(plan.shares) <= set(brief.generators)
    assert plan.stop == (stop_reason(brief) is not None or not brief.generators)
    assert plan.round == brief.round
    assert plan.reason.isprintable()
    if not plan.stop:
        assert math.isclose(sum(plan.shares.values()), 1.0, abs_tol=1e-6)
        assert (plan.batch != batch) == any(c.startswith("batch") for c in corrections)


@settings(max_examples=100, deadline=None)
@given(brief=_BRIEFS, limits=_LIMITS)
def test_own_plan_is_reproducible_and_needs_no_correction(brief: Brief, limits: PlanLimits) -> None:
    plan = decide(brief, limits)
    assert plan == decide(Brief.model_validate_json(brief.model_dump_json()), limits)
    values = {name: getattr(plan, name) for name in ("shares", "proposals", "batch", "exploration", "stop", "reason")}
    checked, corrections = check(brief, **values, limits=limits)
    assert corrections == []
    assert checked.batch == plan.batch
    assert checked.proposals == plan.proposals
    assert checked.shares == pytest.approx(plan.shares)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"goal": GOAL.model_copy(update={"stop": StopRule(hits=2)}), "hits": 2}, "2 were wanted"),
        ({"evaluations_spent": 20, "evaluations_left": 0}, "all 20 evaluations"),
        ({"rounds_left": 0, "round": 4}, "after round 3"),
        ({"wall_s_left": 0.0}, "time is over"),
        ({"best_by_round": (0.1, 0.05, 0.05, 0.05, 0.05, 0.05)}, "no better crystal for 4 rounds (patience 4)"),
        (
            {"round": 3, "generators": {"random": GeneratorYield(proposed=200, duplicates=150, screened_out=50)}},
            "200 of 200 proposals",
        ),
        ({"round": 2}, "the space is empty"),
    ],
)
def test_campaign_stops_for_each_allowed_reason_with_its_numbers(changes: dict[str, Any], says: str) -> None:
    plan = decide(make_brief(**changes))
    assert plan.stop
    assert plan.batch == plan.proposals == 0
    assert says in plan.reason


def test_model_cannot_stop_a_campaign_that_still_has_a_chance() -> None:
    plan, corrections = check(make_brief(), shares={}, proposals=1, batch=1, exploration=0.1, stop=True, reason="tired")
    assert not plan.stop
    assert any("stop refused" in line for line in corrections)


def test_model_cannot_go_on_when_the_budget_is_spent() -> None:
    plan, corrections = check(
        make_brief(evaluations_left=0),
        shares={"random": 1.0},
        proposals=9,
        batch=9,
        exploration=0.1,
        stop=False,
        reason="more",
    )
    assert plan.stop
    assert plan.batch == 0
    assert corrections


def test_productive_generator_gets_most_and_no_live_one_gets_nothing() -> None:
    generators = {
        "good": GeneratorYield(proposed=40, relaxed=40, near_hull=20),
        "poor": GeneratorYield(proposed=40, relaxed=40, near_hull=1),
        "dead": GeneratorYield(),
    }
    shares = decide(make_brief(round=4, generators=generators, pool=5)).shares
    assert shares["good"] > 0.9
    assert shares["poor"] > 0.0
    assert "dead" not in shares


def test_a_plan_depends_on_what_was_counted_and_not_on_the_clock() -> None:
    """A campaign that was killed and resumed has less time left and must still propose the same crystals."""
    late, early = make_brief(wall_s_left=17.3), make_brief(wall_s_left=3599.9)
    assert decide(late) == decide(early)
    assert decide(make_brief(round=2)).shares != decide(early).shares


def test_untried_generators_start_about_even() -> None:
    shares = decide(make_brief()).shares
    assert all(abs(share - 1 / 3) < 0.05 for share in shares.values())


def test_whole_budget_is_spent_over_several_rounds() -> None:
    left, batches = 20, []
    while left:
        plan = decide(make_brief(evaluations_left=left, evaluations_spent=20 - left, pool=1))
        batches.append(plan.batch)
        left -= plan.batch
    assert sum(batches) == 20
    assert 4 <= len(batches) <= 12


def test_everything_left_is_spent_in_the_last_round_that_is_allowed() -> None:
    plan = decide(make_brief(evaluations_left=6, evaluations_spent=14, rounds_left=1))
    assert plan.batch == 6
    assert plan.exploration <= 0.1


def test_exploration_rises_with_bad_calibration_and_stagnation_and_falls_with_spending() -> None:
    base = decide(make_brief(evaluations_spent=10, evaluations_left=10, best_by_round=(0.1,))).exploration
    badly = decide(make_brief(evaluations_spent=10, evaluations_left=10, best_by_round=(0.1,), calibration=0.5))
    stuck = decide(make_brief(evaluations_spent=10, evaluations_left=10, best_by_round=(0.1, 0.1, 0.1)))
    assert badly.exploration > base
    assert "50%" in badly.reason
    assert stuck.exploration > base
    assert decide(make_brief()).exploration > base


@pytest.mark.parametrize(
    ("text", "series", "stale"),
    [
        ("lowest formation energy in Na-Cl", (None, None), 2),
        ("lowest formation energy in Na-Cl", (None, -1.0, -1.2), 0),
        ("lowest formation energy in Na-Cl", (-1.0, -1.2, -1.2, -1.20001), 2),
        ("highest bulk modulus in Na-Cl", (20.0, 30.0, 25.0), 1),
        ("highest bulk modulus in Na-Cl", (20.0, 10.0, 30.0), 0),
    ],
)
def test_stagnation_is_counted_in_the_direction_of_the_goal(text: str, series: tuple[Any, ...], stale: int) -> None:
    assert stale_rounds(make_brief(goal=parse_goal(text).goal, best_by_round=series)) == stale


def test_plan_survives_its_json_form() -> None:
    plan = decide(make_brief())
    assert RoundPlan.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize(
    ("objective", "values", "stale"),
    [
        (Objective(property="density", direction="minimise"), (3.0, 2.0, 2.0, 2.5), 2),
        (Objective(property="density", direction="maximise"), (3.0, 2.0, 4.0, 4.0), 1),
        (Objective(property="density", direction="target", target=3.0), (1.0, 4.0, 5.5, 5.5), 2),
        (Objective(property="density", direction="range", lower=2.0, upper=3.0), (1.0, 3.5, 2.5, 2.1), 1),
    ],
)
def test_rounds_without_a_better_crystal_are_counted_by_the_aim(
    objective: Objective, values: tuple[float, ...], stale: int
) -> None:
    goal = GOAL.model_copy(update={"objectives": (objective,)})
    assert stale_rounds(make_brief(goal=goal, round=len(values) + 1, best_by_round=values)) == stale
