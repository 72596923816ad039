"""The deterministic policy: no plan passes the budget, stops without cause, or differs between two equal briefs."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lodestone.agent.goal import parse_goal
from lodestone.agent.policy import MAX_DEVIATION, TRUST, Wish, check, decide, stop_reason
from lodestone.agent.schedule import PlanLimits, stale_rounds
from lodestone.tools.core.plans import Brief, FidelityFacts, GeneratorYield, RoundPlan
from lodestone.tools.core.types import Objective, StopRule

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
    fidelity=st.text(max_size=5) | st.just("dft"),
    focus=st.lists(st.sampled_from(["Li", "P", "S", "U", "Л", ""]), max_size=4),
    stop=st.booleans(),
    reason=st.text(max_size=2000),
)
def test_no_proposal_passes_the_budget_or_the_limits(
    brief: Brief, limits: PlanLimits, batch: int, proposals: int, focus: list[str], **wish: Any
) -> None:
    plan, corrections = check(brief, Wish(batch=batch, proposals=proposals, focus=tuple(focus), **wish), limits)
    own = decide(brief, limits)
    assert 0 <= plan.batch <= max(0, brief.evaluations_left)
    assert plan.batch <= limits.max_batch
    assert plan.fidelity is None
    assert set(plan.focus.elements) <= set(GOAL.space.allowed)
    assert abs(plan.exploration - own.exploration) <= MAX_DEVIATION + 1e-6
    assert plan.proposals <= limits.max_proposals
    assert set(plan.shares) <= set(brief.generators)
    assert plan.stop == (stop_reason(brief) is not None or not brief.generators)
    assert plan.round == brief.round
    assert plan.reason.isprintable()
    if not plan.stop:
        assert math.isclose(sum(plan.shares.values()), 1.0, abs_tol=1e-6)
        assert (plan.batch != batch) == any(c.startswith("batch") for c in corrections)
        assert all(plan.shares[name] >= (1 - TRUST) * share - 1e-9 for name, share in own.shares.items())


@settings(max_examples=100, deadline=None)
@given(brief=_BRIEFS, limits=_LIMITS)
def test_own_plan_is_reproducible_and_needs_no_correction(brief: Brief, limits: PlanLimits) -> None:
    plan = decide(brief, limits)
    assert plan == decide(Brief.model_validate_json(brief.model_dump_json()), limits)
    values = {name: getattr(plan, name) for name in ("shares", "proposals", "batch", "exploration", "stop", "reason")}
    wish = Wish(**values, fidelity=plan.fidelity or "", focus=plan.focus.elements)
    checked, corrections = check(brief, wish, limits)
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
    plan, corrections = check(make_brief(), Wish({}, 8, 1, 0.1, stop=True, reason="tired"))
    assert not plan.stop
    assert any("stop refused" in line for line in corrections)


def test_model_cannot_go_on_when_the_budget_is_spent() -> None:
    plan, corrections = check(make_brief(evaluations_left=0), Wish({"random": 1.0}, 9, 9, 0.1, reason="more"))
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


def test_untried_generators_all_get_a_share_and_known_structure_types_the_larger_one() -> None:
    shares = decide(make_brief()).shares
    assert min(shares.values()) > 0.05
    assert shares["prototypes"] > 2 * shares["random"]
    unknown = decide(make_brief(generators={name: GeneratorYield() for name in ("a", "b", "c")})).shares
    assert all(abs(share - 1 / 3) < 0.05 for share in unknown.values())


def test_what_is_promising_for_the_goal_counts_more_than_what_lies_near_the_hull() -> None:
    generators = {
        "stable": GeneratorYield(proposed=40, relaxed=40, near_hull=30, promising=0),
        "wanted": GeneratorYield(proposed=40, relaxed=40, near_hull=1, promising=6),
    }
    assert decide(make_brief(round=4, generators=generators, pool=5)).shares["wanted"] > 0.9


def test_whole_budget_is_spent_over_several_rounds() -> None:
    left, batches = 20, []
    while left:
        plan = decide(make_brief(evaluations_left=left, evaluations_spent=20 - left, pool=1))
        batches.append(plan.batch)
        left -= plan.batch
    assert sum(batches) == 20
    assert len(batches) >= 10  # each evaluation may teach the next one


def test_machines_that_work_side_by_side_are_kept_busy() -> None:
    assert decide(make_brief(), PlanLimits(max_batch=8, parallel=4)).batch == 4
    assert decide(make_brief(), PlanLimits(max_batch=2, parallel=4)).batch == 2


def test_everything_left_is_spent_in_the_last_round_that_is_allowed() -> None:
    plan = decide(make_brief(evaluations_left=6, evaluations_spent=14, rounds_left=1))
    assert plan.batch == 6
    assert plan.exploration <= 0.1


def test_exploration_rises_with_bad_calibration_and_stagnation() -> None:
    base = decide(make_brief(evaluations_spent=10, evaluations_left=10, best_by_round=(0.1,))).exploration
    badly = decide(make_brief(evaluations_spent=10, evaluations_left=10, best_by_round=(0.1,), calibration=0.5))
    stuck = decide(make_brief(evaluations_spent=10, evaluations_left=10, best_by_round=(0.1, 0.1, 0.1)))
    assert badly.exploration > base
    assert "50%" in badly.reason
    assert stuck.exploration > base


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


WIDE = parse_goal("a stable oxide of any of Li, Na, K, Mg, Ca, Al, Ga, Ti, Zr with oxygen, 40 evaluations").goal


def test_a_wide_space_is_narrowed_while_that_pays_and_opened_again_when_it_does_not() -> None:
    facts: dict[str, Any] = {"goal": WIDE, "pool": 30, "evaluations_left": 30}
    early = decide(make_brief(round=2, best_by_round=(0.1,), **facts))
    narrow = decide(make_brief(round=4, best_by_round=(0.3, 0.2, 0.1), barren=("K", "Na"), **facts))
    stuck = decide(make_brief(round=5, best_by_round=(0.3, 0.2, 0.1, 0.1), barren=("K", "Na"), **facts))
    hopeless = decide(make_brief(round=4, best_by_round=(0.3, 0.2, 0.1), barren=WIDE.space.allowed, **facts))
    assert early.focus.is_open
    assert "K, Na" in narrow.reason
    assert set(narrow.focus.within(WIDE.space).allowed) == set(WIDE.space.allowed) - {"K", "Na"}
    assert stuck.focus.is_open
    assert "1 rounds without a better crystal" in stuck.reason
    assert hopeless.focus.is_open


def test_a_focus_never_leaves_the_goal() -> None:
    brief = make_brief()
    for focus in (("U",), ("Li",), ("Li", "P")):  # Li-P-S needs all three
        plan, corrections = check(brief, Wish({"random": 1.0}, 8, 1, 0.1, focus=focus, reason="narrow"))
        assert set(plan.focus.within(GOAL.space).allowed) >= set(GOAL.space.required)
        assert plan.focus.is_open or set(plan.focus.elements) <= set(GOAL.space.allowed)
        assert ("U" in focus) == any("outside of the goal" in c for c in corrections)
    wide = make_brief(goal=WIDE)
    plan, corrections = check(wide, Wish({"random": 1.0}, 16, 1, 0.1, focus=("Ca", "Mg"), reason="narrow"))
    assert set(plan.focus.within(WIDE.space).allowed) >= {"Ca", "Mg", "O"}  # oxygen is required
    assert corrections == []


def _facts(**changes: Any) -> tuple[FidelityFacts, FidelityFacts]:
    scout = FidelityFacts(fidelity="potential", evaluator="sevennet", core_s=8.0, left=80, unasked=8)
    judge = FidelityFacts(fidelity="dft", evaluator="gpaw", core_s=900.0, left=20)
    return scout.model_copy(update=changes), judge


def test_half_of_a_tiny_share_is_still_a_share() -> None:
    plan, _ = check(make_brief(), Wish({"random": 5e-324}, 8, 1, 0.1))
    assert math.isclose(sum(plan.shares.values()), 1.0)


def test_cheap_second_opinions_come_before_the_dear_evaluation() -> None:
    plan = decide(make_brief(round=2, pool=30, best_by_round=(0.1,), fidelities=_facts()))
    assert (plan.fidelity, plan.batch) == ("potential", 8)
    assert "8 core-s each against 900" in plan.reason


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"core_s": 400.0}, "costs 0.44"),
        ({"left": 0}, "no second opinions are left"),
        ({"unasked": 0}, "no second opinions are left"),
        ({"fresh": 5, "unasked": 3}, "among 5 second opinions"),
    ],
)
def test_the_dear_evaluator_works_where_a_second_opinion_is_not_worth_it(changes: dict[str, Any], says: str) -> None:
    plan = decide(make_brief(round=2, pool=30, best_by_round=(0.1,), fidelities=_facts(**changes)))
    assert plan.fidelity == "dft"
    assert says in plan.reason


@pytest.mark.parametrize(
    ("scout", "judge", "chosen"), [(0.9, 0.02, "potential"), (0.01, 0.02, "dft"), (0.0, 0.0, "dft")]
)
def test_what_is_worth_more_for_its_cost_is_asked_whatever_the_rule_would_say(
    scout: float, judge: float, chosen: str
) -> None:
    """The rule would ask the first scout no more, and the others first."""
    cheap, dear = _facts(**({"fresh": 6, "unasked": 2, "core_s": 400.0} if chosen == "potential" else {}))
    facts = (
        cheap.model_copy(update={"gain": scout / 100, "gain_per_core_h": scout, "gain_unit": "eV/atom"}),
        dear.model_copy(update={"gain": judge / 4, "gain_per_core_h": judge, "gain_unit": "eV/atom"}),
    )
    plan = decide(make_brief(round=4, pool=30, best_by_round=(0.1, 0.1), fidelities=facts))
    assert plan.fidelity == chosen
    assert f"sevennet gains {scout:g} eV/atom a core-hour, to gpaw {judge:g}" in plan.reason


def test_the_last_rounds_belong_to_the_evaluator_that_decides() -> None:
    plan = decide(make_brief(round=9, rounds_left=2, pool=30, best_by_round=(0.1,), fidelities=_facts()))
    assert plan.fidelity == "dft"


def test_a_model_may_choose_the_fidelity_within_its_budget_and_no_other() -> None:
    brief = make_brief(round=2, pool=30, best_by_round=(0.1,), fidelities=_facts(left=7))
    plan, corrections = check(brief, Wish({"random": 1.0}, 8, 50, 0.1, fidelity="potential", reason="look"))
    assert (plan.fidelity, plan.batch) == ("potential", 7)
    assert any(c.startswith("batch 50") for c in corrections)
    plan, corrections = check(brief, Wish({"random": 1.0}, 8, 2, 0.1, fidelity="experiment", reason="make it"))
    assert plan.fidelity == "potential"
    assert any("no evaluations of fidelity 'experiment'" in c for c in corrections)
