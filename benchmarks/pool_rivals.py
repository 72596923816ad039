"""What a user would install instead, each in the form its documentation shows first.

A rival is made for a pool and a seed; called with the rows evaluated so far, their values and a number, it returns that
many rows not evaluated yet. BayBE comes with the extra `benchmarks`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np

from .pool_data import Pool

Rival = Callable[[Sequence[int], Sequence[float], int], list[int]]


def numeric(designs: np.ndarray) -> np.ndarray:
    """Designs as numbers, `n x d'`: text columns one-hot."""
    if designs.dtype != object:
        return designs
    parts = []
    for column in designs.T:
        if all(isinstance(v, float) for v in column):
            parts.append(column.astype(float)[:, None])
        else:
            levels = sorted({str(v) for v in column})
            parts.append(np.array([[float(str(v) == level) for level in levels] for v in column]))
    return np.concatenate(parts, axis=1)


def random_choice(pool: Pool, seed: int) -> Rival:
    """Any design, by chance."""
    rng = np.random.default_rng(seed + 10_000)

    def pick(order: Sequence[int], _: Sequence[float], q: int) -> list[int]:
        left = np.setdiff1d(np.arange(len(pool.designs)), order)
        return [int(i) for i in rng.choice(left, q, replace=False)]

    return pick


def forest(pool: Pool, seed: int) -> Rival:
    """scikit-learn's random forest, 100 trees; expected improvement from mean and deviation over the trees."""
    from scipy.stats import norm
    from sklearn.ensemble import RandomForestRegressor

    x = numeric(pool.designs)
    sign = 1.0 if pool.maximise else -1.0

    def pick(order: Sequence[int], values: Sequence[float], q: int) -> list[int]:
        y = sign * np.array(values)
        model = RandomForestRegressor(n_estimators=100, random_state=seed).fit(x[list(order)], y)
        left = np.setdiff1d(np.arange(len(x)), order)
        votes = np.stack([tree.predict(x[left]) for tree in model.estimators_])
        mean, std = votes.mean(axis=0), votes.std(axis=0).clip(1e-9)
        z = (mean - y.max()) / std
        gain = std * (z * norm.cdf(z) + norm.pdf(z))
        return [int(i) for i in left[np.argsort(-gain, kind="stable")[:q]]]

    return pick


def plain_botorch(pool: Pool, seed: int) -> Rival:
    """`SingleTaskGP` with normalised inputs and standardised outcome, `LogExpectedImprovement`; batches by
    `qLogExpectedImprovement` over the pool."""
    import torch
    from botorch import fit_gpytorch_mll
    from botorch.acquisition import LogExpectedImprovement, qLogExpectedImprovement
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Normalize, Standardize
    from botorch.optim import optimize_acqf_discrete
    from gpytorch.mlls import ExactMarginalLogLikelihood

    x = torch.tensor(numeric(pool.designs), dtype=torch.float64)
    bounds = torch.stack([x.min(dim=0).values, x.max(dim=0).values])
    sign = 1.0 if pool.maximise else -1.0

    def pick(order: Sequence[int], values: Sequence[float], q: int) -> list[int]:
        torch.manual_seed(seed)
        y = sign * torch.tensor(list(values), dtype=torch.float64).unsqueeze(-1)
        seen = x[list(order)]
        transform = Normalize(d=x.shape[1], bounds=bounds)
        model = SingleTaskGP(seen, y, input_transform=transform, outcome_transform=Standardize(m=1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        left = np.setdiff1d(np.arange(len(x)), order)
        if q == 1:
            with torch.no_grad():
                gain = LogExpectedImprovement(model, best_f=y.max())(x[left].unsqueeze(-2))
            return [int(left[int(gain.argmax())])]
        many = qLogExpectedImprovement(model, best_f=y.max())
        chosen, _ = optimize_acqf_discrete(many, q=q, choices=x[left], max_batch_size=2048)
        rows = []
        for point in chosen:
            near = (x[left] - point).abs().sum(dim=1).argsort()
            rows.append(next(int(left[int(i)]) for i in near if int(left[int(i)]) not in rows))
        return rows

    return pick


def baybe(pool: Pool, seed: int) -> Rival:
    """BayBE's default recommender after its random first phase, on the pool as a discrete search space."""
    import pandas as pd
    from baybe import Campaign
    from baybe.objectives import SingleTargetObjective
    from baybe.parameters import CategoricalParameter, NumericalDiscreteParameter
    from baybe.searchspace import SearchSpace
    from baybe.targets import NumericalTarget
    from baybe.utils.random import set_random_seed

    names = [f"x{i}" for i in range(pool.designs.shape[1])]
    frame = pd.DataFrame(pool.designs, columns=names)
    parameters: list[CategoricalParameter | NumericalDiscreteParameter] = []
    for name in names:
        if all(isinstance(v, float) for v in frame[name]):
            frame[name] = frame[name].astype(float)
            parameters.append(NumericalDiscreteParameter(name, sorted(frame[name].unique())))
        else:
            parameters.append(CategoricalParameter(name, sorted(frame[name].unique())))
    kept = [p for p in parameters if frame[p.name].nunique() > 1]
    rows = {tuple(row): i for i, row in enumerate(frame[[p.name for p in kept]].itertuples(index=False, name=None))}
    set_random_seed(seed)
    target = NumericalTarget("y", minimize=not pool.maximise)
    frame = frame[[p.name for p in kept]]
    campaign = Campaign(
        SearchSpace.from_dataframe(frame, kept),
        SingleTargetObjective(target),
        allow_recommending_already_measured=False,
        allow_recommending_already_recommended=False,
    )
    told = 0

    def pick(order: Sequence[int], values: Sequence[float], q: int) -> list[int]:
        nonlocal told
        measured = frame.iloc[list(order[told:])].assign(y=list(values[told:]))
        told = len(order)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            campaign.add_measurements(measured)
            chosen = campaign.recommend(q)
        return [rows[tuple(row)] for row in chosen[list(frame.columns)].itertuples(index=False, name=None)]

    return pick


def lodestone(pool: Pool, seed: int) -> Rival:
    """The product, as `lodestone pick` and a script use it."""
    from lodestone.surrogate.tables import Aim, Survey, TablePicker

    rows = [tuple(row) for row in pool.designs.tolist()]
    picker = TablePicker(Survey(pool.columns).add(rows).space(), Aim("maximise" if pool.maximise else "minimise"), seed)

    def pick(order: Sequence[int], values: Sequence[float], q: int) -> list[int]:
        told = picker.measured
        picker.tell([rows[i] for i in order[told:]], values[told:])
        return [p.place for p in picker.ask(rows, q)]

    return pick


RIVALS: dict[str, Callable[[Pool, int], Rival]] = {
    "lodestone": lodestone,
    "random": random_choice,
    "forest": forest,
    "botorch": plain_botorch,
    "baybe": baybe,
}
"""By the names that `--methods` takes."""


def quantile(values: Sequence[float], share: float) -> float:
    """Order statistic that at least `share` of the values do not exceed; infinite ones count."""
    return sorted(values)[min(len(values) - 1, math.ceil(share * len(values)) - 1)]
