"""In wide chemical spaces what an element does is learned from the elements themselves, not only from their tables."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from lodestone.surrogate.campaign_model import CampaignModel, Measurement, PoolPoint
from lodestone.surrogate.features import Featuriser
from lodestone.surrogate.models import DeltaGP

METALS = ("Li", "Na", "K", "Mg", "Ca", "Sr", "Ti", "Zr", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn")
POOL = [
    PoolPoint(candidate_id=f"{a}{b}O3", amounts={a: 1.0, b: 1.0, "O": 3.0}, extras={"volume_per_atom": 10.0 + i % 7})
    for i, (a, b) in enumerate(itertools.combinations(METALS, 2))
]
RNG = np.random.default_rng(5)
OWN = dict(zip(METALS, RNG.normal(size=len(METALS)), strict=True))


def truth(point: PoolPoint) -> float:
    """Each element adds an energy of its own, which no table of elements knows."""
    return -1.0 + 0.3 * sum(OWN[s] for s in point.amounts if s != "O")


def error(shuffled: bool) -> float:
    order = [int(i) for i in np.random.default_rng(3).permutation(len(POOL))]
    seen, rest = order[:50], order[50:]
    values = {i: truth(POOL[i]) for i in range(len(POOL))}
    if shuffled:
        kept = list(values.values())
        values = dict(enumerate(np.random.default_rng(4).permutation(kept).tolist()))
    model = CampaignModel(("formation_energy",))
    model.fit([Measurement(POOL[i], {"formation_energy": values[i]}) for i in seen], pool=POOL)
    mean, _ = model.predict([POOL[i] for i in rest])["formation_energy"]
    return float(np.sqrt(np.mean((mean.numpy() - np.array([values[i] for i in rest])) ** 2)))


def test_energies_that_elements_add_are_learned_from_fifty_crystals() -> None:
    spread = float(np.std([truth(p) for p in POOL]))
    assert error(shuffled=False) < 0.35 * spread
    # The same numbers dealt out by chance cannot be learned: the test above is one of the model, not of its scale.
    assert error(shuffled=True) > 0.9 * spread


def test_narrow_spaces_get_no_fractions() -> None:
    few = [p for p in POOL if set(p.amounts) <= {"Li", "Na", "K", "Mg", "Ca", "O"}]
    assert Featuriser().fit(few).alike == 0
    assert Featuriser().fit(POOL).alike == len(METALS) + 1


def test_fractions_share_one_scale() -> None:
    featuriser = Featuriser().fit(POOL)
    block = featuriser.transform(POOL)[:, -featuriser.alike :]
    assert float(block.square().sum(1).mean()) == pytest.approx(1.0, abs=1e-6)
    by_id = {p.candidate_id: block[i] for i, p in enumerate(POOL)}
    one = torch.dist(by_id["LiNaO3"], by_id["LiKO3"])
    other = torch.dist(by_id["CuZnO3"], by_id["FeZnO3"])
    assert float(one) == pytest.approx(float(other))


def test_features_alone_in_one_kernel_still_predict() -> None:
    x = torch.randn(12, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    y = x.sum(1)
    model = DeltaGP(1.0, alike=3)
    model.fit(x, torch.zeros(12, dtype=torch.float64), y)
    mean, std = model.posterior(x, torch.zeros(12, dtype=torch.float64))
    assert bool(torch.isfinite(std).all())
    assert float((mean - y).abs().mean()) < 0.5 * float(y.std())
