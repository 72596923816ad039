"""Chances and improvements under warped beliefs: closed forms where there are some, brute force elsewhere."""

from __future__ import annotations

import math

import pytest
import torch

from lodestone.surrogate.merit import log_expected_improvement
from lodestone.surrogate.models import DeltaGP
from lodestone.surrogate.processes.member import Member, fit_member
from lodestone.surrogate.processes.posterior import Particles, Table
from lodestone.surrogate.tails import Tails

DOUBLE = torch.float64
MEANS = torch.tensor([[-30.0, -3.0, -0.2, 0.0, 1.5, 12.0]], dtype=DOUBLE)
STDS = torch.tensor([[1.0, 0.5, 1.0, 2.0, 0.3, 1.0]], dtype=DOUBLE)


def member(power: float) -> Member:
    x = torch.rand(6, 2, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    y = torch.linspace(-1, 1, 6, dtype=DOUBLE)
    hyper = [torch.tensor([v], dtype=DOUBLE) for v in (-3.0, 0.0, power)]
    return fit_member(
        Table(x, (y - y.mean()) / y.std(correction=0), torch.ones(6, dtype=DOUBLE), anchored=power == 1.0),
        Particles(torch.zeros(1, 2, dtype=DOUBLE), *hyper),
    )


@pytest.mark.parametrize("scale", [1.0, 2.5, -0.7])
def test_without_a_warp_they_are_those_of_a_normal_value(scale: float) -> None:
    tails = Tails(member(1.0), MEANS, STDS, torch.full((6,), 0.3, dtype=DOUBLE), scale)
    mean, std = MEANS[0] * scale + 0.3, STDS[0] * abs(scale)
    expected = log_expected_improvement(mean, std, 1.1, True)
    assert torch.allclose(tails.log_improvement(1.1), expected, rtol=1e-6, atol=1e-6)
    normal = torch.distributions.Normal(mean, std)
    inside = (normal.cdf(torch.tensor(2.0)) - normal.cdf(torch.tensor(-1.0))).log()
    near = inside > -30
    assert torch.allclose(tails.log_within(-1.0, 2.0)[near], inside[near], atol=1e-6)
    assert torch.allclose(
        tails.log_within(None, 0.0).exp() + tails.log_within(0.0, None).exp(), torch.ones(6, dtype=DOUBLE), atol=1e-9
    )


@pytest.mark.parametrize("power", [0.3, 1.6])
@pytest.mark.parametrize("scale", [1.5, -1.5])
def test_with_a_warp_they_agree_with_brute_force(power: float, scale: float) -> None:
    one = member(power)
    means, stds = torch.tensor([[-0.8, 0.1, 0.9]], dtype=DOUBLE), torch.tensor([[0.4, 0.8, 0.2]], dtype=DOUBLE)
    tails = Tails(one, means, stds, torch.tensor([0.0, 1.0, -1.0], dtype=DOUBLE), scale)
    z = torch.linspace(-10, 10, 200_001, dtype=DOUBLE)
    weight = (-0.5 * z.square()).exp() / math.sqrt(2 * math.pi) * (z[1] - z[0])
    for i in range(3):
        values = one.outcome(means[:, i : i + 1] + stds[:, i : i + 1] * z)[0] * scale + tails.offset[i]
        gain = float((weight * (values - 0.6).clamp_min(0)).sum())
        assert float(tails.log_improvement(0.6)[i].exp()) == pytest.approx(gain, rel=1e-4, abs=1e-12)
        within = float(weight[(values >= -0.5) & (values <= 0.6)].sum())
        assert float(tails.log_within(-0.5, 0.6)[i].exp()) == pytest.approx(within, rel=1e-3, abs=1e-6)
    moved = tails.times(2.0).shifted(torch.full((3,), 0.4, dtype=DOUBLE))
    assert torch.allclose(moved.log_improvement(0.8), tails.log_improvement(0.6) + math.log(2.0), atol=1e-9)


def test_what_cannot_fall_below_zero_is_given_no_hope_to() -> None:
    """Skewed outcomes: by mean and deviation alone a middling crystal seems worth a try, and is not."""
    x = torch.rand(60, 2, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    values = (3 * x[:, 0] + 0.4 * torch.randn(60, generator=torch.Generator().manual_seed(2), dtype=DOUBLE)).exp() / 10
    model = DeltaGP(1.0, 1.0)
    model.fit(x * 3.4, torch.zeros(60), values)
    new = torch.tensor([[0.9, 0.5]], dtype=DOUBLE) * 3.4
    tails = model.tails(new, torch.zeros(1))
    assert tails is not None
    mean, std = tails.moments()
    limit = 0.05
    normal = float(torch.distributions.Normal(mean, std).cdf(torch.tensor(limit)))
    assert normal > 1e-4
    assert float(tails.log_within(None, limit).exp()) < 0.02 * normal
