"""Two aims at once over a pool of crystals: hypervolume under the front of stability and gap.

`plain_parego` is what a user would write with BoTorch: one `SingleTaskGP` an aim on the campaign's own features, and
for each pick an augmented Chebyshev scalarisation with weights drawn anew (Knowles, IEEE Trans. Evol. Comput. 10, 50
(2006), as in BoTorch's tutorial). What is not here: the pool and the other searches (`crystals.py`).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch

from lodestone.surrogate.campaign_model import CampaignModel, Measurement, PoolPoint
from lodestone.surrogate.features import Featuriser
from lodestone.tools.core.types import GoalSpec

Truths = Sequence[dict[str, float]]


def worths(truths: Truths) -> torch.Tensor:
    """`n x 2`, both to be maximised: minus the formation energy (eV/atom), and the gap (eV)."""
    return torch.tensor([[-t["formation_energy"], t["band_gap"]] for t in truths], dtype=torch.float64)


def share_of_hypervolume(truths: Truths, order: Sequence[int]) -> float:
    """Hypervolume of what was evaluated over that of the whole pool, above the pool's median energy and no gap."""
    from botorch.utils.multi_objective.hypervolume import Hypervolume
    from botorch.utils.multi_objective.pareto import is_non_dominated

    table = worths(truths)
    volume = Hypervolume(ref_point=torch.stack([table[:, 0].median(), table.new_zeros(())]))

    def under(rows: torch.Tensor) -> float:
        return volume.compute(rows[is_non_dominated(rows)])

    return under(table[list(order)]) / under(table)


def lodestone_front(
    points: list[PoolPoint], truths: Truths, goal: GoalSpec, seed: int, start: int, chosen: int, batch: int
) -> list[int]:
    """Places in the order of evaluation."""
    place = {p.candidate_id: i for i, p in enumerate(points)}
    order = random.Random(seed).sample(range(len(points)), start)
    while len(order) < start + chosen:
        model = CampaignModel(goal.properties, seed=seed)
        model.fit([Measurement(points[i], truths[i]) for i in order], pool=points)
        left = [points[i] for i in sorted(set(range(len(points))) - set(order))]
        best = truths[order[0]]
        order += [place[p.candidate_id] for p in model.choose(left, batch, 0.0, goal, best)]
    return order


def plain_parego(
    points: list[PoolPoint], truths: Truths, goal: GoalSpec, seed: int, start: int, chosen: int, batch: int
) -> list[int]:
    """Places in the order of evaluation."""
    from botorch import fit_gpytorch_mll
    from botorch.acquisition.logei import qLogExpectedImprovement
    from botorch.acquisition.objective import GenericMCObjective
    from botorch.models import ModelListGP, SingleTaskGP
    from botorch.models.transforms import Normalize, Standardize
    from botorch.sampling.normal import SobolQMCNormalSampler
    from botorch.utils.multi_objective.scalarization import get_chebyshev_scalarization
    from botorch.utils.sampling import sample_simplex
    from gpytorch.mlls import SumMarginalLogLikelihood

    del goal
    x, table = Featuriser().fit(points, measured=points).transform(points), worths(truths)
    bounds = torch.stack([x.min(0).values, x.max(0).values])
    order = random.Random(seed).sample(range(len(points)), start)
    torch.manual_seed(seed)
    while len(order) < start + chosen:
        y = table[order]
        models = [
            SingleTaskGP(
                x[order],
                y[:, [k]],
                input_transform=Normalize(x.shape[1], bounds=bounds),
                outcome_transform=Standardize(m=1),
            )
            for k in range(2)
        ]
        model = ModelListGP(*models)
        fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
        pending: list[int] = []
        for _ in range(batch):
            scalar = get_chebyshev_scalarization(weights=sample_simplex(2, dtype=torch.float64).squeeze(), Y=y)
            objective = GenericMCObjective(lambda samples, X=None, scalar=scalar: scalar(samples))  # noqa: N803, ARG005
            gain = qLogExpectedImprovement(
                model,
                best_f=scalar(y).max(),
                objective=objective,
                sampler=SobolQMCNormalSampler(torch.Size([64]), seed=seed),
                X_pending=x[pending] if pending else None,
            )
            left = torch.tensor(sorted(set(range(len(points))) - set(order) - set(pending)))
            with torch.no_grad():
                scores = torch.cat([gain(part.unsqueeze(-2)) for part in x[left].split(512)])
            pending.append(int(left[int(scores.argmax())]))
        order += pending
    return order


def random_front(
    points: list[PoolPoint], truths: Truths, goal: GoalSpec, seed: int, start: int, chosen: int, batch: int
) -> list[int]:
    """Places in the order of evaluation: any."""
    del truths, goal, batch
    return random.Random(seed).sample(range(len(points)), start + chosen)
