"""Two evaluators of one pool: what asking either is worth, with the campaign's own model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from lodestone.surrogate.campaign_model import CampaignModel
from lodestone.surrogate.fidelity import MARGIN, SLOPES, Gains, slope_of
from lodestone.surrogate.points import Measurement, PoolPoint
from lodestone.tools.core.types import Constraint, GoalSpec, Objective

ENERGY = "formation_energy"
OPINIONS, PAIRS = range(30), range(10)
"""Crystals of the pool that the scout, and then the judge as well, looked at; the others wait."""

World = tuple[list[PoolPoint], dict[str, float]]


@dataclass
class Pair:
    """Two evaluators after some readings."""

    scout: CampaignModel
    judge: CampaignModel
    plain: list[PoolPoint]
    sharper: list[PoolPoint]
    asked: set[str]
    slope: float

    def gains(self, goal: GoalSpec, best: dict[str, float], rows: list[int] | None = None) -> Gains:
        """Of the crystals that wait, in the order of `rows`."""
        rows = list(range(len(PAIRS), len(self.plain))) if rows is None else rows
        scout = self.scout.as_scout([self.plain[i] for i in rows], self.asked, self.slope)
        found = self.judge.gains([self.sharper[i] for i in rows], goal, scout, best)
        assert found is not None
        return found


def learn(points: list[PoolPoint], truth: dict[str, float], readings: dict[str, float]) -> Pair:
    """As a campaign learns from both (`loops/judgement.py`)."""
    scout = CampaignModel((ENERGY,))
    scout.fit([Measurement(points[i], {ENERGY: readings[points[i].candidate_id]}) for i in OPINIONS], (), points)
    expected = dict(zip([p.candidate_id for p in points], scout.predict(points)[ENERGY][0].tolist(), strict=True))
    asked = {points[i].candidate_id for i in OPINIONS}
    expected |= {i: readings[i] for i in asked}

    def with_slope(slope: float) -> tuple[CampaignModel, list[PoolPoint]]:
        moved = [
            replace(p, cheap={ENERGY: p.cheap[ENERGY] + slope * (expected[p.candidate_id] - p.cheap[ENERGY])})
            for p in points
        ]
        model = CampaignModel((ENERGY,))
        model.fit([Measurement(moved[i], {ENERGY: truth[moved[i].candidate_id]}) for i in PAIRS], (), moved)
        return model, moved

    fitted = {slope: with_slope(slope) for slope in SLOPES}
    slope = slope_of({slope: model.foretold(ENERGY) for slope, (model, _) in fitted.items()})
    judge, moved = fitted[slope]
    return Pair(scout, judge, points, moved, asked, slope)


@pytest.fixture(scope="module")
def worlds() -> dict[str, Pair]:
    return {}


@pytest.fixture
def pair(make_pool: Callable[..., World], worlds: dict[str, Pair]) -> Callable[[str], Pair]:
    """A scout that gives the truth, or one whose readings have nothing to do with it."""

    def made(kind: str) -> Pair:
        if kind not in worlds:
            points, truth = make_pool(1, n=60, error=1.0)
            rng = np.random.default_rng(5)
            spread = float(np.std([truth[p.candidate_id] - p.cheap[ENERGY] for p in points]))
            idle = {p.candidate_id: p.cheap[ENERGY] + spread * float(rng.normal()) for p in points}
            worlds[kind] = learn(points, truth, truth if kind == "perfect" else idle)
        return worlds[kind]

    return made


def best_of(pair: Pair) -> dict[str, float]:
    """Of ten average crystals."""
    return {ENERGY: float(np.median([p.cheap[ENERGY] for p in pair.plain]))}


def test_a_source_that_tells_nothing_is_worth_nothing(
    pair: Callable[[str], Pair], make_goal: Callable[..., GoalSpec]
) -> None:
    idle = pair("idle")
    assert idle.slope == 0.0
    found = idle.gains(make_goal(), best_of(idle))
    assert found.scout == 0.0
    assert found.judge > 0.0
    assert found.unit == "eV/atom"


def test_a_perfect_source_is_worth_what_the_truth_is_and_so_at_a_tenth_of_the_cost_more(
    pair: Callable[[str], Pair],
    make_goal: Callable[..., GoalSpec],
) -> None:
    perfect = pair("perfect")
    assert perfect.slope == 1.0
    waiting = list(range(len(OPINIONS), len(perfect.plain)))
    found = perfect.gains(make_goal(), best_of(perfect), waiting)
    assert found.scout > 0.0
    assert found.scout / 0.1 > found.judge / 1.0
    assert found.scout == pytest.approx(found.judge, rel=0.3)


def test_a_crystal_of_which_there_is_an_opinion_is_not_worth_another(
    pair: Callable[[str], Pair], make_goal: Callable[..., GoalSpec]
) -> None:
    perfect = pair("perfect")
    had = list(range(len(PAIRS), len(OPINIONS)))
    assert perfect.gains(make_goal(), best_of(perfect), had).scout == 0.0


def test_worth_does_not_depend_on_the_order_of_the_crystals(
    pair: Callable[[str], Pair], make_goal: Callable[..., GoalSpec]
) -> None:
    perfect = pair("perfect")
    rows = list(range(len(PAIRS), len(perfect.plain)))
    one, other = (perfect.gains(make_goal(), best_of(perfect), r) for r in (rows, rows[::-1]))
    assert one.scout == pytest.approx(other.scout, rel=1e-9)
    assert one.judge == pytest.approx(other.judge, rel=1e-9)


def test_the_better_the_best_measured_the_less_is_to_be_gained(
    pair: Callable[[str], Pair], make_goal: Callable[..., GoalSpec]
) -> None:
    perfect = pair("perfect")
    best = best_of(perfect)[ENERGY]
    # Down from the best expected one: before, what is measured is no alternative.
    lowest = float(perfect.judge.predict(perfect.sharper)[ENERGY][0].min())
    found = [perfect.gains(make_goal(), {ENERGY: level}) for level in (best, lowest - 0.02, lowest - 0.3)]
    assert found[0].judge > found[1].judge > found[2].judge >= 0.0
    assert found[0].scout > found[1].scout > found[2].scout >= 0.0


def test_where_crystals_within_limits_are_counted_a_reading_is_worth_a_chance(
    pair: Callable[[str], Pair],
    make_goal: Callable[..., GoalSpec],
) -> None:
    limit = Constraint(property=ENERGY, upper=0.15)
    goal = make_goal(Objective(property=ENERGY, direction="minimise"), constraints=(limit,), hits=3)
    perfect, idle = pair("perfect"), pair("idle")
    found = perfect.gains(goal, best_of(perfect))
    assert found.unit == "chance to keep every limit"
    assert 0.0 <= found.scout <= 1.0
    assert 0.0 <= found.judge <= 1.0
    assert idle.gains(goal, best_of(idle)).scout == 0.0


def test_readings_are_believed_only_where_they_foretell_clearly_better() -> None:
    assert slope_of({0.0: 5.0, 0.5: 5.0 + MARGIN, 1.0: 1.0}) == 0.0
    assert slope_of({0.0: 5.0, 0.5: 5.1 + MARGIN, 1.0: 1.0}) == 0.5
    assert slope_of({0.0: -3.0, 0.5: 2.0, 1.0: 9.0}) == 1.0


def test_nothing_measured_is_nothing_to_improve_on(
    pair: Callable[[str], Pair], make_goal: Callable[..., GoalSpec]
) -> None:
    perfect = pair("perfect")
    goal = make_goal(Objective(property=ENERGY, direction="minimise"))
    fresh = CampaignModel((ENERGY,))
    fresh.fit([], (), perfect.plain)
    assert fresh.gains(perfect.plain, goal, perfect.scout.as_scout(perfect.plain, (), 1.0)) is None
