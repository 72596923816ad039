"""The Gaussian process: textbook behaviour, delta-learning, and sense with hardly any data."""

from __future__ import annotations

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lodestone.surrogate import models
from lodestone.surrogate.models import DeltaGP
from lodestone.surrogate.processes import member
from lodestone.surrogate.processes.posterior import JITTER, matern
from lodestone.tools.core.errors import ToolError
from lodestone.tools.core.protocols import Surrogate


def draw(n: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def smooth(x: torch.Tensor) -> torch.Tensor:
    """A discrepancy in eV/atom that changes slowly."""
    return 0.1 * torch.sin(x[:, 0]) + 0.05 * x[:, 1]


def rough(x: torch.Tensor) -> torch.Tensor:
    """A landscape in eV/atom that changes fast: what the potential knows and a GP on few points cannot."""
    return 0.5 * torch.sin(7 * x[:, 0]) * torch.cos(5 * x[:, 1]) - 1.0


def fitted(n: int, seed: int = 0) -> tuple[DeltaGP, torch.Tensor, torch.Tensor, torch.Tensor]:
    x = draw(n, 3, seed)
    cheap = rough(x)
    measured = cheap + smooth(x)
    model = DeltaGP(0.1)
    model.fit(x, cheap, measured)
    return model, x, cheap, measured


def test_it_is_a_surrogate() -> None:
    assert isinstance(DeltaGP(0.1), Surrogate)


def test_posterior_interpolates_and_is_surest_at_measured_crystals() -> None:
    model, x, cheap, measured = fitted(40)
    mean, std = model.posterior(x, cheap)
    assert float((mean - measured).abs().max()) < 0.01
    far_mean, far_std = model.posterior(x + 100, cheap)
    assert float(std.max()) < 0.2 * float(far_std.min())
    # Far from all data only the constant remains.
    assert torch.allclose(far_mean - cheap, (far_mean - cheap)[0].expand(40), atol=1e-6)


def test_delta_learning_beats_the_potential_and_a_plain_process() -> None:
    model, x, _cheap, measured = fitted(30)
    plain = DeltaGP(1.0)
    plain.fit(x, torch.zeros(30, dtype=torch.float64), measured)
    new = draw(300, 3, seed=1)
    truth = rough(new) + smooth(new)
    delta_error = (model.posterior(new, rough(new))[0] - truth).abs().mean()
    plain_error = (plain.posterior(new, torch.zeros(300, dtype=torch.float64))[0] - truth).abs().mean()
    assert float(delta_error) < 0.3 * float((rough(new) - truth).abs().mean())
    assert float(delta_error) < 0.1 * float(plain_error)


def test_posterior_matches_the_textbook_formula() -> None:
    """Rasmussen & Williams (2006), eqs. 2.25 and 2.26, averaged over the hyperparameters that were sampled."""
    model, x, cheap, measured = fitted(12)
    learned = model._member
    assert learned is not None
    new = draw(5, 3, seed=2)
    a, b = x * models.UNIT_CUBE_STD, new * models.UNIT_CUBE_STD
    standard = (measured - cheap - model._centre) / model._scale
    means, squares = [], []
    for place in range(len(learned.centre)):
        one = learned.one(place)
        variance = float(one.particles.log_noise.exp()) + JITTER
        y = one.warped(standard)[0]
        k = matern(a, a, one.particles)[0] + variance * torch.eye(12, dtype=torch.float64)
        cross = matern(b, a, one.particles)[0]
        mean = cross @ torch.linalg.solve(k, y)
        own = matern(b, b, one.particles)[0].diagonal() + variance
        std = (own - (cross * torch.linalg.solve(k, cross.T).T).sum(dim=1)).sqrt()
        low, middle, high = (one.outcome((mean + z * std).unsqueeze(0))[0] for z in (-1, 0, 1))
        means.append(middle)
        squares.append(middle.square() + ((high - low) / 2).square())
    mean = torch.stack(means).mean(0)
    std = (torch.stack(squares).mean(0) - mean.square()).sqrt()
    got_mean, got_std = model.posterior(new, torch.zeros(5, dtype=torch.float64))
    assert torch.allclose(got_mean, mean * model._scale + model._centre, atol=1e-6)
    assert torch.allclose(got_std, std * model._scale, atol=1e-6)


def test_joint_beliefs_agree_with_single_ones_and_fall_together() -> None:
    model, x, _cheap, _ = fitted(12)
    new = torch.cat([draw(4, 3, seed=2), draw(1, 3, seed=2) + 0.01, x[:1]])
    zeros = torch.zeros(len(new), dtype=torch.float64)
    mean, covariance = model.joint(new, zeros)
    single, std = model.posterior(new, zeros)
    assert torch.allclose(mean, single, atol=1e-9)
    assert bool((covariance.diagonal().sqrt() < std).all())
    assert float(torch.linalg.eigvalsh(covariance).min()) > -1e-9
    deviations = covariance.diagonal().sqrt()
    correlation = covariance / (deviations[:, None] * deviations)
    # Neighbours nearly stand and fall together; others do not.
    assert float(correlation[0, 4]) > 0.95 > float(correlation[0, 1])


def test_adding_the_same_to_cheap_and_measured_changes_only_the_mean() -> None:
    model, x, cheap, measured = fitted(15)
    shifted = DeltaGP(0.1)
    shifted.fit(x, cheap + 7, measured + 7)
    new = draw(20, 3, seed=3)
    a, b = model.posterior(new, rough(new)), shifted.posterior(new, rough(new) + 7)
    assert torch.allclose(a[0] + 7, b[0], atol=1e-5)
    assert torch.allclose(a[1], b[1], atol=1e-5)


def test_another_unit_gives_the_same_answer_in_that_unit() -> None:
    model, x, cheap, measured = fitted(15)
    milli = DeltaGP(100.0)
    milli.fit(x, 1000 * cheap, 1000 * measured)
    new = draw(20, 3, seed=3)
    a, b = model.posterior(new, rough(new)), milli.posterior(new, 1000 * rough(new))
    assert torch.allclose(1000 * a[0], b[0], atol=1e-2)
    assert torch.allclose(1000 * a[1], b[1], atol=1e-2)


def test_the_order_of_measurements_does_not_matter() -> None:
    model, x, cheap, measured = fitted(15)
    order = torch.randperm(15, generator=torch.Generator().manual_seed(0))
    other = DeltaGP(0.1)
    other.fit(x[order], cheap[order], measured[order])
    new = draw(20, 3, seed=3)
    for one, two in zip(model.posterior(new, rough(new)), other.posterior(new, rough(new)), strict=True):
        assert torch.allclose(one, two, atol=1e-4)


def test_without_measurements_the_cheap_prediction_and_the_prior_stand() -> None:
    model = DeltaGP(0.1, prior_mean=0.02)
    nothing = torch.zeros(0, dtype=torch.float64)
    for _ in range(2):
        mean, std = model.posterior(draw(4, 3, 0), torch.arange(4.0))
        assert mean.tolist() == pytest.approx([0.02, 1.02, 2.02, 3.02])
        assert std.tolist() == pytest.approx([0.1] * 4)
        model.fit(torch.zeros(0, 3, dtype=torch.float64), nothing, nothing)


def test_few_measurements_move_the_mean_and_leave_the_prior_deviation() -> None:
    far = []
    for n in (1, 2, 3):
        model = DeltaGP(0.1)
        x, cheap = draw(n, 3, 0), torch.zeros(n, dtype=torch.float64)
        model.fit(x, cheap, cheap + 0.2)
        mean, std = model.posterior(x + 50, cheap)
        far.append(float(mean[0]))
        assert 0.08 < float(std[0]) < 0.2
        # The prior mean (no difference) counts as one measurement; crystals that are alike count as less than n.
        assert 0.2 * 0.2 < far[-1] < 0.2 * n / (n + 1) * 1.05
    assert far == sorted(far)


@pytest.mark.parametrize("n", [1, 2, 4, 20])
@pytest.mark.parametrize("same_rows", [True, False])
def test_identical_targets_or_rows_give_finite_honest_answers(n: int, same_rows: bool) -> None:
    x = torch.zeros(n, 3, dtype=torch.float64) if same_rows else draw(n, 3, 0)
    cheap = torch.zeros(n, dtype=torch.float64)
    model = DeltaGP(0.1)
    model.fit(x, cheap, cheap + 0.05)
    mean, std = model.posterior(torch.cat([x, x + 9]), torch.zeros(2 * n, dtype=torch.float64))
    assert bool(mean.isfinite().all())
    assert bool((std > 0).all())
    assert float((mean[:n] - 0.05).abs().max()) < 0.005
    # However often one crystal was measured, it says as much of all others as one crystal can.
    assert float((mean[n:] - 0.05).abs().max()) <= 0.026
    assert bool((mean[n:] > 0.0).all())


def test_contradicting_repeats_are_explained_as_noise() -> None:
    x = draw(6, 3, 0).repeat(2, 1)
    measured = torch.cat([torch.full((6,), 0.1), torch.full((6,), -0.1)]).double()
    model = DeltaGP(0.1)
    model.fit(x, torch.zeros(12, dtype=torch.float64), measured)
    mean, std = model.posterior(x[:6], torch.zeros(6, dtype=torch.float64))
    assert float(mean.abs().max()) < 0.03
    assert float(std.min()) > 0.05


def test_values_that_are_not_finite_are_left_out_and_noted() -> None:
    model, x, cheap, measured = fitted(10)
    spoiled = DeltaGP(0.1)
    spoiled.fit(
        torch.cat([x, x[:2]]),
        torch.cat([cheap, torch.tensor([float("nan"), 0.0]).double()]),
        torch.cat([measured, torch.tensor([0.0, float("inf")]).double()]),
    )
    assert "2 measurements" in spoiled.notes[0]
    for one, two in zip(model.posterior(x, cheap), spoiled.posterior(x, cheap), strict=True):
        assert torch.allclose(one, two, atol=1e-9)


def test_believing_changes_no_mean_and_lowers_deviations_nearby() -> None:
    model, x, _cheap, _ = fitted(10)
    pick = draw(1, 3, seed=9)
    after = model.believe(pick)
    new = torch.cat([pick, pick + 0.05, pick + 60, x])
    zeros = torch.zeros(len(new), dtype=torch.float64)
    before, believed = model.posterior(new, zeros), after.posterior(new, zeros)
    assert torch.allclose(before[0], believed[0], atol=1e-8)
    assert bool((believed[1] <= before[1] + 1e-9).all())
    assert float(believed[1][1]) < 0.8 * float(before[1][1])
    # Far away only the mean of all crystals is known a little better.
    assert float(before[1][2]) >= float(believed[1][2]) > 0.98 * float(before[1][2])
    assert model.n == 10
    assert after.n == 11


def test_believing_equals_measuring_what_was_expected() -> None:
    model, x, cheap, measured = fitted(10)
    pick, new = draw(1, 3, seed=9), draw(6, 3, seed=10)
    learned = model._member
    assert learned is not None
    one = learned.one(0)
    expected = one.latent(pick * models.UNIT_CUBE_STD).mean
    joined = torch.cat([x, pick]) * models.UNIT_CUBE_STD
    k = matern(joined, joined, one.particles)[0] + (float(one.particles.log_noise.exp()) + JITTER) * torch.eye(
        11, dtype=torch.float64
    )
    y = torch.cat([one.warped((measured - cheap - model._centre) / model._scale)[0], expected[0]])
    cross = matern(new * models.UNIT_CUBE_STD, joined, one.particles)[0]
    after = one.believe(pick * models.UNIT_CUBE_STD).latent(new * models.UNIT_CUBE_STD)
    assert torch.allclose(after.mean[0], cross @ torch.linalg.solve(k, y), atol=1e-6)
    own = one.particles.log_outputscale.exp() + 1.0
    assert torch.allclose(after.std[0] ** 2, own - (cross * torch.linalg.solve(k, cross.T).T).sum(1), atol=1e-6)


def test_believing_works_before_any_measurement() -> None:
    model = DeltaGP(0.1)
    x = draw(3, 3, 0)
    after = model.believe(x[:1])
    mean, std = after.posterior(x, torch.zeros(3, dtype=torch.float64))
    assert mean.tolist() == pytest.approx([0.0] * 3)
    assert float(std[0]) < 0.5 * 0.1
    assert float(std[1]) <= 0.1 * 1.01


def test_the_same_seed_gives_the_same_model_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(123)
    first, x, cheap, _ = fitted(12)
    state = torch.get_rng_state()
    torch.manual_seed(123)
    assert torch.equal(torch.get_rng_state(), state)
    second, _, _, _ = fitted(12)
    for one, two in zip(first.posterior(x, cheap), second.posterior(x, cheap), strict=True):
        assert torch.equal(one, two)


def test_predictions_do_not_depend_on_how_the_pool_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    model, _, _, _ = fitted(12)
    new = draw(50, 3, seed=4)
    whole = model.posterior(new, rough(new))
    monkeypatch.setattr(member, "BLOCK", 7 * 32 * 12)
    for one, two in zip(whole, model.posterior(new, rough(new)), strict=True):
        assert torch.allclose(one, two, atol=1e-10)


def test_sixty_measurements_with_25_features_are_fitted_in_two_seconds() -> None:
    x = draw(60, 25, 0)
    start = time.process_time()
    DeltaGP(0.1).fit(x, torch.zeros(60, dtype=torch.float64), smooth(x))
    assert time.process_time() - start < 2.0


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 8), st.floats(-3, 3), st.floats(-6, 3))
def test_answers_are_finite_over_many_orders_of_magnitude(n: int, level: float, spread: float) -> None:
    x = draw(n, 4, n)
    cheap = torch.zeros(n, dtype=torch.float64)
    model = DeltaGP(0.1)
    model.fit(x, cheap, 10**level + 10**spread * torch.sin(x[:, 0]))
    mean, std = model.posterior(draw(5, 4, 99), torch.zeros(5, dtype=torch.float64))
    assert bool(mean.isfinite().all())
    assert bool((std.isfinite() & (std > 0)).all())


@pytest.mark.parametrize("std", [0.0, -1.0, float("nan")])
def test_an_impossible_prior_is_refused(std: float) -> None:
    with pytest.raises(ToolError):
        DeltaGP(std)
