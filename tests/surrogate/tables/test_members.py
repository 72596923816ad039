"""Beliefs agree with an independent implementation, with brute force, and with what symmetry demands."""

from __future__ import annotations

import math

import gpytorch
import pytest
import torch

from lodestone.surrogate.processes.member import Member, fit_member
from lodestone.surrogate.processes.posterior import JITTER, Particles, Prior, Table, log_likelihood, matern, sample
from lodestone.surrogate.processes.warp import log_slope, unwarp, warp
from lodestone.surrogate.tables.columns import Survey
from lodestone.surrogate.tables.ensemble import fit_ensemble

DOUBLE = torch.float64


def particles(power: float = 1.0, width: int = 2) -> Particles:
    return Particles(
        torch.tensor([[-0.5] * width, [0.4] * width], dtype=DOUBLE), torch.tensor([-3.0, -2.0], dtype=DOUBLE),
        torch.tensor([0.1, 0.8], dtype=DOUBLE), torch.tensor([power, power], dtype=DOUBLE),
    )  # fmt: skip


def make_table(n: int = 12, seed: int = 0) -> Table:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, 2, generator=generator, dtype=DOUBLE)
    y = torch.sin(5 * x[:, 0]) + x[:, 1] ** 2
    return Table(x, (y - y.mean()) / (y - y.mean()).square().mean().sqrt(), torch.ones(n, dtype=DOUBLE))


def gpytorch_model(table: Table, which: Particles, p: int) -> gpytorch.models.ExactGP:
    """The same process, built of GPyTorch's own parts."""
    scaled = gpytorch.kernels.ScaleKernel(gpytorch.kernels.MaternKernel(nu=2.5, ard_num_dims=2))
    scaled.base_kernel.lengthscale = which.log_lengthscale[p].exp()
    scaled.outputscale = which.log_outputscale[p].exp()
    constant = gpytorch.kernels.ConstantKernel()
    constant.constant = torch.ones(1, dtype=DOUBLE)
    likelihood = gpytorch.likelihoods.GaussianLikelihood().double()
    likelihood.noise = which.log_noise[p].exp() + JITTER

    class Model(gpytorch.models.ExactGP):
        def __init__(self) -> None:
            super().__init__(table.x, table.y, likelihood)
            self.mean_module = gpytorch.means.ZeroMean()
            self.covar_module = scaled + constant

        def forward(self, x: torch.Tensor) -> gpytorch.distributions.MultivariateNormal:
            return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

    return Model().double()


def test_covariance_likelihood_and_beliefs_agree_with_gpytorch() -> None:
    table, which = make_table(), particles()
    rows = torch.rand(7, 2, generator=torch.Generator().manual_seed(5), dtype=DOUBLE)
    latent = fit_member(table, which).latent(rows)
    for p in range(2):
        model = gpytorch_model(table, which, p)
        expected = model.covar_module(table.x, rows).to_dense()
        assert torch.allclose(matern(table.x, rows, which)[p], expected, atol=1e-7)
        model.train()
        mll = gpytorch.mlls.ExactMarginalLogLikelihood(model.likelihood, model)(model(table.x), table.y) * len(table.y)
        ours = log_likelihood(table, which)[p] - 0.5 * len(table.y) * math.log(2 * math.pi)
        assert float(ours) == pytest.approx(float(mll), abs=1e-5)
        model.eval()
        with torch.no_grad(), gpytorch.settings.fast_computations(False, False, False):
            posterior = model(rows)
        assert torch.allclose(latent.mean[p], posterior.mean, atol=1e-6)
        assert torch.allclose(latent.std[p].square(), posterior.variance, atol=1e-6)


@pytest.mark.parametrize("power", [1.0, 0.4, 1.7])
def test_leaving_one_out_in_closed_form_equals_leaving_it_out(power: float) -> None:
    table, which = make_table(9), particles(power)
    member = fit_member(table, which)
    loo, density = member.leave_one_out()
    for i in range(9):
        keep = [j for j in range(9) if j != i]
        # The same standardisation of warped outcomes as with all designs: only the design is left out, not the scale.
        rest = Member(
            Table(table.x[keep], table.y[keep], table.repeats[keep]), which, member.centre, member.spread,
            table.x[keep], *_conditioned(table, which, keep, member),
        )  # fmt: skip
        belief = rest.latent(table.x[i : i + 1])
        std = (belief.std.square() + member.noise(belief)).sqrt()
        assert torch.allclose(belief.mean[:, 0], loo.mean[:, i], atol=1e-6)
        assert torch.allclose(std[:, 0], loo.std[:, i], atol=1e-6)
        at = member.warped(table.y[i : i + 1])
        slope = log_slope(table.y[i], which.power.unsqueeze(-1)) - member.spread.log()
        expected = torch.distributions.Normal(belief.mean, std).log_prob(at) + slope
        assert torch.allclose(expected[:, 0], density[:, i], atol=1e-6)


def _conditioned(table: Table, which: Particles, keep: list[int], member: Member) -> tuple[torch.Tensor, torch.Tensor]:
    noise = (which.log_noise.exp() + JITTER)[:, None, None]
    covariance = matern(table.x[keep], table.x[keep], which) + noise * torch.eye(len(keep)).double()
    lower = torch.linalg.cholesky(covariance)
    t = member.warped(table.y[keep])
    return torch.cholesky_solve(t.unsqueeze(-1), lower).squeeze(-1), lower


def test_believing_an_expectation_keeps_means_and_never_widens() -> None:
    table, which = make_table(), particles(0.7)
    rows = torch.rand(30, 2, generator=torch.Generator().manual_seed(3), dtype=DOUBLE)
    member = fit_member(table, which)
    before, after = member.latent(rows), member.believe(rows[:1]).latent(rows)
    assert torch.allclose(before.mean, after.mean, atol=1e-8)
    assert bool((after.std <= before.std + 1e-9).all())
    assert bool((after.std[:, 0] < 0.9 * before.std[:, 0]).all())


def test_more_noise_never_narrows_an_interval() -> None:
    table, quiet = make_table(), particles()
    loud = Particles(quiet.log_lengthscale, quiet.log_noise + 1.0, quiet.log_outputscale, quiet.power)
    rows = torch.rand(40, 2, generator=torch.Generator().manual_seed(4), dtype=DOUBLE)
    assert bool((fit_member(table, loud).latent(rows).std >= fit_member(table, quiet).latent(rows).std - 1e-9).all())


def test_repeats_say_what_as_many_rows_would() -> None:
    """Two measurements of each design by their means and scatter, against the same as separate rows."""
    table, which = make_table(8), particles()
    shift = 0.3 * torch.randn(8, generator=torch.Generator().manual_seed(6), dtype=DOUBLE)
    rows = torch.rand(20, 2, generator=torch.Generator().manual_seed(7), dtype=DOUBLE)
    twice = torch.full((8,), 2.0, dtype=DOUBLE)
    together = fit_member(Table(table.x, table.y, twice), which)
    apart_y = torch.cat([table.y + shift, table.y - shift])
    covariance = matern(table.x.repeat(2, 1), table.x.repeat(2, 1), which)
    covariance = covariance + which.log_noise.exp()[:, None, None] * torch.eye(16).double() + JITTER * torch.eye(16)
    lower = torch.linalg.cholesky(covariance)
    t = (apart_y - together.centre) / together.spread
    solve = torch.cholesky_solve(t.unsqueeze(-1), lower).squeeze(-1)
    apart = Member(table, which, together.centre, together.spread, table.x.repeat(2, 1), solve, lower)
    assert torch.allclose(together.latent(rows).mean, apart.latent(rows).mean, atol=1e-3)
    assert torch.allclose(together.latent(rows).std, apart.latent(rows).std, atol=1e-3)


def test_inducing_points_agree_with_the_exact_process(monkeypatch: pytest.MonkeyPatch) -> None:
    table, which = make_table(120), particles()
    rows = torch.rand(50, 2, generator=torch.Generator().manual_seed(8), dtype=DOUBLE)
    exact = fit_member(table, which).latent(rows)
    monkeypatch.setattr("lodestone.surrogate.processes.member.EXACT", 100)
    sparse = fit_member(table, which).latent(rows)
    assert torch.allclose(exact.mean, sparse.mean, atol=2e-3)
    assert torch.allclose(exact.std, sparse.std, atol=2e-3)


@pytest.mark.parametrize("power", [0.05, 0.5, 1.0, 1.5, 1.95])
def test_the_warp_is_undone_by_its_inverse_and_its_slope_is_right(power: float) -> None:
    values = torch.linspace(-8, 8, 401, dtype=DOUBLE, requires_grad=True)
    lam = torch.tensor(power, dtype=DOUBLE)
    t = warp(values, lam)
    assert torch.allclose(unwarp(t, lam), values, atol=1e-8)
    (slope,) = torch.autograd.grad(t.sum(), values)
    assert torch.allclose(slope.log(), log_slope(values.detach(), lam), atol=1e-8)


def test_the_sample_finds_the_columns_that_matter_and_the_noise() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(60, 3, generator=generator, dtype=DOUBLE)
    y = torch.sin(6 * x[:, 0]) + 0.1 * torch.randn(60, generator=generator, dtype=DOUBLE)
    y = (y - y.mean()) / (y - y.mean()).square().mean().sqrt()
    found = sample(Table(x, y, torch.ones(60, dtype=DOUBLE)), Prior(), [False] * 3, 3, 32, 20, seed=0)
    lengths = found.log_lengthscale.exp().median(0).values
    assert float(lengths[0]) < 0.5 * float(lengths[1:].min())
    # 0.1 against a deviation of about 0.7: a hundredth to a twentieth of the variance.
    assert 0.005 < float(found.log_noise.exp().median()) < 0.08


def test_the_same_seed_gives_the_same_sample() -> None:
    one, two = (sample(make_table(), Prior(), [False] * 2, 2, 16, 6, seed=3) for _ in range(2))
    assert torch.equal(one.log_lengthscale, two.log_lengthscale)


@pytest.mark.parametrize(("growing", "least", "most"), [(True, 15.0, 100.0), (False, 0.5, 2.0)])
def test_noise_that_grows_with_the_outcome_is_learned_from_repeats(growing: bool, least: float, most: float) -> None:
    generator = torch.Generator().manual_seed(3)
    x = [i / 19 for i in range(20)]
    rows = [(a,) for a in x for _ in range(4)]
    level = [10.0 ** (2 * a) for (a,) in rows]
    noise = torch.randn(len(rows), generator=generator, dtype=DOUBLE).tolist()
    # A deviation of 8 % of the outcome, from 0.08 to 8, or of 2 everywhere.
    values = [v + e * (0.08 * v if growing else 2.0) for v, e in zip(level, noise, strict=True)]
    space = Survey(["x"]).add(rows).space()
    seen = fit_ensemble(space, rows, values, maximise=True, seed=0).predict([(0.1,), (0.9,)])
    low, high = (seen.high - seen.low).tolist()
    # Truly 40 times as wide, or as wide.
    assert least < high / low < most


def test_scouts_of_a_long_table_rank_rows_as_all_particles_do() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(1100, 2, generator=generator, dtype=DOUBLE)
    y = torch.sin(4 * x[:, 0]) + x[:, 1]
    rows = [tuple(r) for r in x.tolist()]
    ensemble = fit_ensemble(Survey(["a", "b"]).add(rows).space(), rows, y.tolist(), maximise=True, seed=0)
    scouts = ensemble.thinned(8)
    # Inducing points in place of all designs.
    assert len(scouts.members[0].basis) < len(ensemble.members[0].basis)
    new = torch.rand(400, 2, generator=generator, dtype=DOUBLE).tolist()
    whole, rough = (e.latent(new)[0].mean.mean(0) for e in (ensemble, scouts))
    assert float((whole - rough).abs().max()) < 0.05


def test_three_columns_of_forty_that_matter_are_found() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(160, 40, generator=generator, dtype=DOUBLE)
    truth = torch.sin(4 * x[:, 0]) + 2 * x[:, 1] * x[:, 2]
    noise = 0.05 * torch.randn(160, generator=generator, dtype=DOUBLE)
    rows = [tuple(r) for r in x.tolist()]
    space = Survey([f"x{i:02}" for i in range(40)]).add(rows).space()
    ensemble = fit_ensemble(space, rows[:60], (truth + noise)[:60].tolist(), maximise=True, seed=0)
    expected = ensemble.predict(rows[60:]).mean
    # By the mean alone 0.5, by lengthscales drawn at random 0.4.
    assert float((expected - truth[60:]).abs().mean()) < 0.12
