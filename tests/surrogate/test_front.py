"""Several aims without weights: choices that extend the Pareto front, its ends and its hollow parts too."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from botorch.utils.multi_objective.hypervolume import Hypervolume
from botorch.utils.multi_objective.pareto import is_non_dominated

from lodestone.surrogate.campaign_model import CampaignModel, Measurement, PoolPoint
from lodestone.surrogate.hypervolume import PoolModel, above, rough_merit
from lodestone.tools.core.types import Budget, ChemicalSpace, Constraint, GoalSpec, Objective

PROPERTIES = ("bulk_modulus", "density")


def goal(*constraints: Constraint, tradeoff: str = "pareto") -> GoalSpec:
    return GoalSpec(
        text="stiff and light",
        objectives=(
            Objective(property="bulk_modulus", direction="maximise"),
            Objective(property="density", direction="minimise"),
        ),
        constraints=constraints,
        space=ChemicalSpace(allowed=("Al", "Ti")),
        budget=Budget(evaluations=40, wall_hours=1.0),
        tradeoff=tradeoff,
    )


def pool(seed: int, n: int = 150) -> tuple[list[PoolPoint], dict[str, dict[str, float]]]:
    """Two hidden coordinates: one moves along a hollow front (which weighted sums cannot reach), one away from it."""
    rng = np.random.default_rng(seed)
    along, away = rng.random(n), rng.random(n)
    points, truths = [], {}
    for i in range(n):
        view = (along[i] - 0.5, away[i] - 0.5, 0.1 * (along[i] - 0.5) * (away[i] - 0.5))
        points.append(PoolPoint(candidate_id=f"c{i:03d}", amounts={"Al": 1.0, "Ti": 1.0}, embedding=view))
        truths[f"c{i:03d}"] = {
            "bulk_modulus": 100 + 100 * along[i] ** 3 - 80 * away[i],
            "density": 3 + 2 * (1 - (1 - along[i]) ** 3) + 2 * away[i],
        }
    return points, truths


def share(truths: dict[str, dict[str, float]], ids: list[str]) -> float:
    def table(names: list[str]) -> torch.Tensor:
        return torch.tensor([[truths[i]["bulk_modulus"], -truths[i]["density"]] for i in names])

    volume = Hypervolume(ref_point=table(list(truths)).min(0).values)
    return volume.compute(table(ids)[is_non_dominated(table(ids))]) / volume.compute(
        table(list(truths))[is_non_dominated(table(list(truths)))]
    )


def campaign(seed: int, wanted: GoalSpec, rounds: int = 5, q: int = 3) -> tuple[list[str], dict[str, dict[str, float]]]:
    points, truths = pool(seed)
    ids = [p.candidate_id for p in points[:6]]
    by_id = {p.candidate_id: p for p in points}
    for _ in range(rounds):
        model = CampaignModel(PROPERTIES)
        model.fit([Measurement(by_id[i], truths[i]) for i in ids], pool=points)
        waiting = [p for p in points if p.candidate_id not in ids]
        kept = [i for i in ids if all(c.holds(truths[i][c.property]) for c in wanted.constraints)]
        best = truths[(kept or ids)[0]]
        ids += [p.candidate_id for p in model.choose(waiting, q, 0.0, wanted, best)]
    return ids, truths


def test_a_front_is_found_faster_than_by_chance_and_whole() -> None:
    ours, chance, spans = [], [], []
    for seed in range(3):
        ids, truths = campaign(seed, goal())
        assert len(set(ids)) == 21
        ours.append(share(truths, ids))
        chance.append(
            np.mean([share(truths, list(np.random.default_rng(k).permutation(list(truths))[:21])) for k in range(20)])
        )
        moduli = [truths[i]["bulk_modulus"] for i in ids[6:]]
        everywhere = [t["bulk_modulus"] for t in truths.values()]
        spans.append((max(moduli) - min(moduli)) / (max(everywhere) - min(everywhere)))
    assert np.mean(ours) > 0.97
    assert 1 - np.mean(ours) < 0.3 * (1 - np.mean(chance))
    # A weighted sum would sit at one end.
    assert np.mean(spans) > 0.4


def test_limits_are_kept() -> None:
    limit = Constraint(property="density", upper=4.5)
    ids, truths = campaign(1, goal(limit))
    chosen = [truths[i]["density"] <= 4.5 for i in ids[9:]]
    assert np.mean(chosen) > 0.8


def test_a_batch_is_spread_and_says_why() -> None:
    points, truths = pool(2)
    model = CampaignModel(PROPERTIES)
    model.fit([Measurement(p, truths[p.candidate_id]) for p in points[:25]], pool=points)
    picks = model.choose(points[25:], 4, 0.0, goal(), truths["c000"])
    assert len({p.candidate_id for p in picks}) == 4
    assert all("best compromise" in p.reason and 0 <= p.chance <= 1 for p in picks)
    expected = [p.means["bulk_modulus"] for p in picks]
    assert max(expected) - min(expected) > 20
    # The order of the pool does not matter.
    again = model.choose(list(reversed(points[25:])), 4, 0.0, goal(), truths["c000"])
    assert [p.candidate_id for p in again] == [p.candidate_id for p in picks]


def test_weights_of_the_user_stay_a_weighted_sum() -> None:
    points, truths = pool(2)
    model = CampaignModel(PROPERTIES)
    model.fit([Measurement(p, truths[p.candidate_id]) for p in points[:25]], pool=points)
    picks = model.choose(points[25:], 2, 0.0, goal(tradeoff="weighted"), truths["c000"])
    assert all("new best," in p.reason or "new best;" in p.reason for p in picks)


def test_a_pool_is_looked_up_as_botorch_reads_it() -> None:
    means = torch.tensor([[0.0, 1.0, 2.0], [5.0, 6.0, 7.0]]).double()
    root = torch.tensor([[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.2, 0.3, 1.0]]).double()
    model = PoolModel(means, torch.stack([root @ root.T, 4 * root @ root.T]))
    posterior = model.posterior(torch.tensor([[[2.0], [0.0]]]).double())
    assert posterior.mean[0].tolist() == [[2.0, 7.0], [0.0, 5.0]]
    covariance = (root @ root.T)[[2, 0]][:, [2, 0]]
    assert posterior.variance[0, :, 0].tolist() == pytest.approx(covariance.diagonal().tolist(), rel=3e-5)
    assert posterior.variance[0, :, 1].tolist() == pytest.approx((4 * covariance).diagonal().tolist(), rel=3e-5)


def test_rows_are_ranked_where_no_measured_one_is_expected_to_keep_the_limits() -> None:
    anchors = torch.tensor([[1.0, 1.0], [2.0, 0.5]], dtype=torch.float64)
    means = torch.tensor([[1.0, 3.0], [4.0, 4.0]], dtype=torch.float64)
    merit = rough_merit(means, torch.full_like(means, 0.5), anchors, lambda samples: samples, [above(1, 3.5)])
    assert bool(merit.isfinite().all())
    assert merit[1] > merit[0]
