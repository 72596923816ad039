"""The facade: predictions per property, hull-relative choices, failures, and sense at every stage of a campaign."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from lodestone.surrogate.campaign_model import CampaignModel
from lodestone.surrogate.points import Measurement, PoolPoint
from lodestone.tools.core.errors import ToolError
from lodestone.tools.core.types import GoalSpec, Objective

Make = Callable[..., tuple[list[PoolPoint], dict[str, float]]]
Measure = Callable[[list[PoolPoint], dict[str, float]], list[Measurement]]
Goal = Callable[..., GoalSpec]
HULL = (Objective(property="energy_above_hull", direction="minimise"),)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 10])
@pytest.mark.parametrize("exploration", [0.0, 0.3, 1.0])
def test_a_batch_comes_out_however_little_was_measured(
    make_pool: Make, make_goal: Goal, measure: Measure, n: int, exploration: float
) -> None:
    points, truth = make_pool(0, n=40)
    model = CampaignModel(("formation_energy", "band_gap"))
    model.fit(measure(points[:n], truth))
    batch = model.choose(points[n:], 5, exploration, make_goal(*HULL), {"energy_above_hull": 0.0} if n else None)
    assert len({p.candidate_id for p in batch}) == 5
    for pick in batch:
        assert np.isfinite([*pick.means.values(), *pick.stds.values(), pick.score]).all()
        assert 0.0 <= pick.chance <= 1.0
        assert "\n" not in pick.reason


def test_before_anything_is_measured_the_best_cheap_prediction_leads(make_pool: Make, make_goal: Goal) -> None:
    points, _ = make_pool(1)
    model = CampaignModel(("formation_energy",))
    model.fit([])
    first = model.choose(points, 1, 0.0, make_goal())[0]
    assert first.candidate_id == min(points, key=lambda p: p.cheap["formation_energy"]).candidate_id
    assert "nothing measured yet" in first.reason


def test_the_order_of_pool_and_measurements_does_not_matter(make_pool: Make, make_goal: Goal, measure: Measure) -> None:
    points, truth = make_pool(2)
    batches = []
    for step in (1, -1):
        model = CampaignModel(("formation_energy",))
        model.fit(measure(points[:15], truth)[::step])
        batches.append([p.candidate_id for p in model.choose(points[15:][::step], 6, 0.2, make_goal())])
    assert batches[0] == batches[1]


def test_a_repeated_id_counts_once(make_pool: Make, make_goal: Goal) -> None:
    points, _ = make_pool(2, n=3)
    model = CampaignModel(("formation_energy",))
    model.fit([])
    assert len(model.choose(points * 4, 10, 0.2, make_goal())) == 3
    assert model.choose([], 3, 0.2, make_goal()) == []
    assert model.choose(points, 0, 0.2, make_goal()) == []


def test_energy_above_hull_is_formation_energy_minus_the_hull(make_pool: Make, measure: Measure) -> None:
    points, truth = make_pool(3)
    points = [replace(p, offsets={"energy_above_hull": -0.5 - 0.001 * i}) for i, p in enumerate(points)]
    model = CampaignModel(("energy_above_hull",))
    model.fit(measure(points[:20], truth))
    table = model.predict(points)
    hull = torch.tensor([p.offsets["energy_above_hull"] for p in points], dtype=torch.float64)
    assert torch.allclose(table["energy_above_hull"][0], table["formation_energy"][0] - hull)
    assert torch.equal(table["energy_above_hull"][1], table["formation_energy"][1])
    assert "energy_above_hull" not in model.predict([replace(points[0], offsets={})])


def test_a_constant_hull_leaves_the_choice_to_formation_energy(
    make_pool: Make, make_goal: Goal, measure: Measure
) -> None:
    """At one composition the energy above hull orders crystals as formation energy does, whatever number the caller
    gives for the best (here 0, relative to measured phases only, while the pool's hull lies lower)."""
    points, truth = make_pool(4)
    points = [replace(p, amounts={"Na": 1, "Cl": 1}, offsets={"energy_above_hull": -0.3}) for p in points]
    model = CampaignModel(("formation_energy",))
    model.fit(measure(points[:15], truth), pool=points)
    best = min(truth[p.candidate_id] for p in points[:15])
    one = model.choose(points[15:], 5, 0.1, make_goal(*HULL), {"energy_above_hull": 0.0})
    two = model.choose(points[15:], 5, 0.1, make_goal(), {"formation_energy": best})
    assert [p.candidate_id for p in one] == [p.candidate_id for p in two]
    assert one[0].chance == pytest.approx(two[0].chance, rel=1e-6)


def test_calibration_scales_deviations_and_nothing_else(make_pool: Make, measure: Measure) -> None:
    points, truth = make_pool(5)
    tables = []
    for scales in (None, {"formation_energy": 2.0}):
        model = CampaignModel(("formation_energy",), scales=scales)
        model.fit(measure(points[:15], truth))
        tables.append(model.predict(points)["formation_energy"])
    assert torch.equal(tables[0][0], tables[1][0])
    assert torch.allclose(2 * tables[0][1], tables[1][1])


def test_ninety_percent_intervals_hold_most_of_what_is_measured_next(make_pool: Make, measure: Measure) -> None:
    inside = []
    for seed in range(6):
        points, truth = make_pool(seed)
        model = CampaignModel(("formation_energy",), seed=seed)
        model.fit(measure(points[:25], truth), pool=points)
        mean, std = model.predict(points[25:])["formation_energy"]
        values = torch.tensor([truth[p.candidate_id] for p in points[25:]], dtype=torch.float64)
        inside.append(float(((values - mean).abs() <= 1.6449 * std).double().mean()))
    assert 0.8 < np.mean(inside) <= 1.0


def test_a_property_without_a_cheap_prediction_is_learned_from_features(make_pool: Make) -> None:
    points, _ = make_pool(6)
    gap = {p.candidate_id: 2.0 + 3.0 * p.embedding[0] for p in points}
    model = CampaignModel(("formation_energy", "band_gap"))
    model.fit([Measurement(p, {"band_gap": gap[p.candidate_id]}) for p in points[:30]], pool=points)
    mean, _ = model.predict(points[30:])["band_gap"]
    truth = torch.tensor([gap[p.candidate_id] for p in points[30:]], dtype=torch.float64)
    assert float((mean - truth).square().mean()) < 0.1 * float(truth.var())


def test_missing_cheap_predictions_are_filled_and_noted(make_pool: Make, measure: Measure) -> None:
    points, truth = make_pool(6, n=30)
    model = CampaignModel(("formation_energy",))
    model.fit(measure(points[:10], truth), pool=points)
    mean, std = model.predict([*points[10:], PoolPoint("bare", {"Na": 1.0})])["formation_energy"]
    assert bool(mean.isfinite().all())
    assert bool(std.isfinite().all())
    assert "1 crystals without a cheap prediction" in model.notes[-1]


def test_crystals_like_those_that_failed_are_avoided(make_pool: Make, make_goal: Goal, measure: Measure) -> None:
    points, truth = make_pool(7)
    light = [replace(p, extras={"density": 2.0}) for p in points]
    heavy = [replace(p, candidate_id=f"heavy {p.candidate_id}", extras={"density": 9.0}) for p in points]
    done, failed = measure(light[:20], truth), heavy[20:40]
    share = []
    for failures in (failed, failed[:4]):
        model = CampaignModel(("formation_energy",))
        model.fit(done, failures, pool=light + heavy)
        batch = model.choose(light[40:] + heavy[40:], 10, 0.2, make_goal())
        share.append(np.mean([p.candidate_id.startswith("heavy") for p in batch]))
        assert ("succeeds" in batch[0].reason) == (len(failures) >= 5)
    assert share[0] < 0.5 * share[1]


def test_reasons_say_value_chance_and_novelty(make_pool: Make, make_goal: Goal, measure: Measure) -> None:
    points, truth = make_pool(8)
    points = [replace(p, offsets={"energy_above_hull": -0.3}) for p in points]
    model = CampaignModel(("formation_energy",))
    model.fit(measure(points[:15], truth), pool=points)
    pick = model.choose(points[15:], 1, 0.0, make_goal(*HULL), {"energy_above_hull": 0.1})[0]
    assert pick.reason.startswith(f"expected {1000 * pick.means['energy_above_hull']:.0f} meV/atom above hull (± ")
    assert f"{100 * pick.chance:.0f} % chance to be the new best; " in pick.reason
    assert pick.reason.endswith(("far from anything measured", "some way from what was measured", "measured crystal"))


def test_a_pool_of_twenty_thousand_is_searched_in_seconds(make_pool: Make, make_goal: Goal, measure: Measure) -> None:
    points, truth = make_pool(9, n=20_000)
    model = CampaignModel(("formation_energy",))
    model.fit(measure(points[:30], truth), pool=points)
    start = time.process_time()
    assert len(model.choose(points[30:], 8, 0.2, make_goal())) == 8
    assert time.process_time() - start < 10.0


def test_misuse_is_named() -> None:
    with pytest.raises(ToolError, match="colour"):
        CampaignModel(("colour",))
    with pytest.raises(ToolError):
        CampaignModel(())
    with pytest.raises(ToolError, match="positive"):
        CampaignModel(("density",), scales={"density": 0.0})


def test_former_measurements_teach_and_are_never_the_best_to_beat(
    make_pool: Make, make_goal: Goal, measure: Measure
) -> None:
    points, truth = make_pool(3, n=120)
    earlier, own, pool = measure(points[:40], truth), measure(points[40:44], truth), points[44:]
    real = torch.tensor([truth[p.candidate_id] for p in pool], dtype=torch.float64)

    def model(former: list[Measurement]) -> CampaignModel:
        made = CampaignModel(("formation_energy",))
        made.fit(own, (), pool, former)
        return made

    errors = [float((model(f).predict(pool)["formation_energy"][0] - real).abs().mean()) for f in ([], earlier)]
    assert errors[1] < 0.8 * errors[0]
    # One that no crystal of the pool can beat, of a composition for which no hull is known: the hope is to beat the
    # best of this campaign, not that one.
    wonder = replace(earlier[0], values={"formation_energy": min(truth.values()) - 2.0})
    with_hull = [replace(p, offsets={"energy_above_hull": -1.0}) for p in pool]
    levels = {m.point.candidate_id: -1.0 for m in own}
    picks = model([*earlier[1:], wonder]).choose(with_hull, 3, 0.0, make_goal(*HULL), levels=levels)
    assert max(p.chance for p in picks) > 0.5
    # A crystal that was measured again counts once, by what was measured now.
    again = [replace(m, values={"formation_energy": 9.0}) for m in own]
    same = model([*earlier, *again]).predict(pool)["formation_energy"][0]
    assert torch.equal(same, model(earlier).predict(pool)["formation_energy"][0])
