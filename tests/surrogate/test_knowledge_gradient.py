"""The knowledge gradient: never negative, 0 where nothing is to be learned, and what Monte Carlo and BoTorch say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from botorch.acquisition.knowledge_gradient import qKnowledgeGradient, qMultiFidelityKnowledgeGradient
from botorch.acquisition.utils import project_to_target_fidelity
from botorch.models import SingleTaskGP
from botorch.models.cost import AffineFidelityCostModel
from botorch.sampling import SobolQMCNormalSampler
from gpytorch.kernels import MaternKernel, ScaleKernel
from hypothesis import given, settings
from hypothesis import strategies as st

from lodestone.surrogate.beliefs import Belief
from lodestone.surrogate.knowledge_gradient import changes_of, expected_rise, expected_rise_of

MONTE_CARLO = 4.5
"""Standard errors by which an estimate may be off."""

FANTASIES = 2048


def covariance(rng: np.random.Generator, m: int) -> torch.Tensor:
    """A covariance of m values whose deviations differ."""
    root = rng.normal(size=(m, m)) * rng.uniform(0.2, 2.0, size=(m, 1))
    return torch.from_numpy(root @ root.T / m)


@pytest.mark.parametrize("m", [1, 2, 7, 60])
def test_it_is_what_monte_carlo_says(m: int) -> None:
    rng = np.random.default_rng(m)
    mean, normal = rng.normal(size=m), rng.normal(size=100_000)
    changes = changes_of(covariance(rng, m), covariance(rng, m).diagonal()).numpy()
    for change, exact in zip(changes, expected_rise(mean, changes), strict=True):
        risen = (mean + np.outer(normal, change)).max(1) - mean.max()
        assert abs(risen.mean() - exact) <= MONTE_CARLO * risen.std() / np.sqrt(len(normal)) + 1e-12


def test_two_alternatives_have_the_published_closed_form() -> None:
    """s f(-|difference| / s) with f(z) = density(z) + z P(Z < z): the gap 1, s = 2 gives 2 x 0.19780 (Frazier 2008)."""
    found = expected_rise(np.array([0.0, 1.0]), np.array([[2.0, 0.0]]))
    assert found[0] == pytest.approx(2.0 * 0.1977965, rel=1e-6)


numbers = st.floats(-3, 3)


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.tuples(numbers, numbers), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_it_is_never_negative_and_does_not_know_the_order_or_the_zero(
    rows: list[tuple[float, float]], seed: int
) -> None:
    mean, change = (np.array(x) for x in zip(*rows, strict=True))
    found = expected_rise(mean, change[None])[0]
    assert found >= 0.0
    order = np.random.default_rng(seed).permutation(len(rows))
    for other in (
        expected_rise(mean[order], change[None, order]),
        expected_rise(mean + 7.0, change[None]),
        expected_rise(mean, change[None] + 0.5),  # what moves all alike moves no choice
        expected_rise(mean, -change[None]),
        expected_rise(10.0 * mean, 10.0 * change[None]) / 10.0,
    ):
        assert other[0] == pytest.approx(found, rel=1e-7, abs=1e-9)


def test_what_is_known_is_worth_nothing_and_what_is_less_known_more() -> None:
    mean = np.array([0.0, 0.3, 0.5])
    own = torch.tensor([0.0, 0.1, 1.0, 4.0], dtype=torch.float64)
    rows = torch.zeros(4, 3, dtype=torch.float64)
    rows[:, 0] = own  # the first one alone is read, with growing variance
    found = expected_rise(mean, changes_of(rows, own).numpy())
    assert found[0] == 0.0
    assert (np.diff(found) > 0).all()
    noisy = expected_rise(mean, changes_of(rows, own + 1.0).numpy())
    assert (noisy[1:] < found[1:]).all()


def test_far_behind_it_is_tiny_but_not_lost_in_rounding() -> None:
    gaps = np.array([5.0, 10.0, 20.0, 30.0])
    found = [expected_rise(np.array([0.0, -gap]), np.array([[0.0, 1.0]]))[0] for gap in gaps]
    limit = np.exp(-(gaps**2) / 2) / np.sqrt(2 * np.pi) / gaps**2  # leading order of the tail
    assert found == pytest.approx(limit, rel=0.12)


def test_of_a_linear_merit_the_made_up_readings_say_the_same() -> None:
    rng = np.random.default_rng(3)
    cov = covariance(rng, 12)
    mean = torch.from_numpy(rng.normal(size=12))
    changes = changes_of(cov, cov.diagonal())
    exact = expected_rise(mean.numpy(), changes.numpy())
    found = expected_rise_of(lambda t: t["y"].mean, {"y": Belief(mean, cov.diagonal().sqrt())}, {"y": changes})
    assert found.numpy() == pytest.approx(exact, rel=0.15, abs=5e-3)


def test_of_a_chance_it_is_what_its_definition_says() -> None:
    """A crystal within a limit with chance 1/2 becomes certain by its own reading: the best chance rises to 1 or stays
    with the second, which nothing moves."""
    mean = torch.tensor([0.0, -1.0], dtype=torch.float64)
    std = torch.ones(2, dtype=torch.float64)
    chance = torch.special.ndtr(mean)
    changes = changes_of(torch.tensor([[1.0, 0.0]], dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    found = expected_rise_of(
        lambda t: torch.special.ndtr(t["y"].mean / t["y"].std), {"y": Belief(mean, std)}, {"y": changes}
    )
    assert float(found) == pytest.approx(0.5 * 1.0 + 0.5 * float(chance[1]) - 0.5, abs=0.01)


def process(x: torch.Tensor, y: torch.Tensor) -> SingleTaskGP:
    """BoTorch's exact process with its hyperparameters held."""
    kernel = ScaleKernel(MaternKernel(nu=2.5))
    model = SingleTaskGP(x, y, torch.full_like(y, 1e-4), covar_module=kernel, outcome_transform=None)
    kernel.base_kernel.lengthscale = 0.4
    kernel.outputscale = 1.3
    return model.eval()


def best_of_pool(model: SingleTaskGP, asked: torch.Tensor, pool: torch.Tensor, sampler: SobolQMCNormalSampler):  # type: ignore[no-untyped-def]
    """`fantasies x 1 x d`: where the mean is highest after each made-up reading."""
    with torch.no_grad():
        means = model.fantasize(asked.unsqueeze(0), sampler).posterior(pool).mean.squeeze(-1)
    return pool[means.reshape(FANTASIES, -1).argmax(-1)]


def test_botorch_says_the_same_on_a_small_pool() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(4, 2, generator=generator, dtype=torch.float64)
    pool = torch.rand(7, 2, generator=generator, dtype=torch.float64)
    model = process(x, torch.sin(6 * x.sum(-1, keepdim=True)))
    with torch.no_grad():
        joint = model.posterior(pool)
        mean, cov = joint.mean.squeeze(-1), joint.distribution.covariance_matrix
    exact = expected_rise(mean.numpy(), changes_of(cov, cov.diagonal() + 1e-4).numpy())
    for place, point in enumerate(pool):
        sampler = SobolQMCNormalSampler(torch.Size([FANTASIES]), seed=1)
        theirs = qKnowledgeGradient(model, FANTASIES, sampler, current_value=mean.max())
        choice = best_of_pool(model, point.unsqueeze(0), pool, sampler)
        with torch.no_grad():
            value = theirs(torch.cat([point.unsqueeze(0), choice]).unsqueeze(0))
        assert float(value) == pytest.approx(exact[place], rel=0.01, abs=3e-4)


def test_botorch_says_the_same_of_two_fidelities_with_their_costs() -> None:
    """Divided by its model of the cost here: `InverseCostWeightedUtility` multiplies single losses by it instead."""
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(6, 2, generator=generator, dtype=torch.float64)
    x[:, 1] = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0, 1.0])  # the fidelity
    spots = torch.rand(5, 1, generator=generator, dtype=torch.float64)
    dear = torch.cat([spots, torch.ones_like(spots)], 1)
    cheap = torch.cat([spots, torch.full_like(spots, 0.6)], 1)
    model = process(x, torch.cos(5 * x[:, :1]) + 0.3 * x[:, 1:])
    with torch.no_grad():
        both = model.posterior(torch.cat([dear, cheap]))
        mean, cov = both.mean.squeeze(-1)[:5], both.distribution.covariance_matrix
    changes = changes_of(cov[:, :5], cov.diagonal() + 1e-4)
    cost = AffineFidelityCostModel({1: 1.0}, fixed_cost=0.01)
    costs = cost.posterior(torch.cat([dear, cheap]).unsqueeze(1)).mean.flatten()
    assert costs.tolist() == pytest.approx([1.01] * 5 + [0.61] * 5)
    exact = expected_rise(mean.numpy(), changes.numpy()) / costs.numpy()
    assert exact.max() > 0.1
    for place, point in enumerate(torch.cat([dear, cheap])):
        sampler = SobolQMCNormalSampler(torch.Size([FANTASIES]), seed=2)
        theirs = qMultiFidelityKnowledgeGradient(
            model,
            FANTASIES,
            sampler,
            current_value=mean.max(),
            project=lambda points: project_to_target_fidelity(points, {1: 1.0}, 2),
        )
        choice = best_of_pool(model, point.unsqueeze(0), dear, sampler)
        with torch.no_grad():
            value = theirs(torch.cat([point.unsqueeze(0), choice]).unsqueeze(0))
        assert float(value / costs[place]) == pytest.approx(exact[place], rel=0.01, abs=3e-4)
