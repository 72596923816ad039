"""A deep kernel on the recogniser's embedding beside the process that campaigns use, on crystals with known DFT values.

`python -m benchmarks.crystal_kernels --data ../shared/data/perov_5/test.csv [--seeds 3]`

Deep kernel learning (Wilson et al., AISTATS 2016): a network maps what is known of a crystal (embedding, composition
statistics, volume) to a few coordinates, an RBF process stands on them, and both are fitted to the marginal likelihood
at once, by Adam, in GPyTorch. Both models learn the difference to CHGNet's energy, or the energy itself. That the joint
fit overfits where data are few is known (Ober, Rasmussen & van der Wilk, UAI 2021): hence the density column, the mean
log density (nats) that a model gives to the crystals that it has not seen.
"""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import gpytorch
import torch

from lodestone.surrogate.campaign_model import CampaignModel, Measurement, PoolPoint
from lodestone.surrogate.composition import composition_features

from .crystals import read

LABELS = (20, 50, 100, 200)
COORDINATES = 4
STEPS = 300


class DeepProcess(gpytorch.models.ExactGP):  # type: ignore[misc]
    """An RBF process on the coordinates of a network of two layers."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor, likelihood: gpytorch.likelihoods.GaussianLikelihood) -> None:
        super().__init__(x, y, likelihood)
        self.network = torch.nn.Sequential(
            torch.nn.Linear(x.shape[1], 64), torch.nn.Tanh(), torch.nn.Linear(64, COORDINATES)
        ).double()
        self.mean = gpytorch.means.ConstantMean()
        self.kernel = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel(ard_num_dims=COORDINATES))

    def forward(self, x: torch.Tensor) -> gpytorch.distributions.MultivariateNormal:
        """The prior at `n x d` inputs."""
        z = self.network(x)
        return gpytorch.distributions.MultivariateNormal(self.mean(z), self.kernel(z))


def deep(x: torch.Tensor, y: torch.Tensor, at: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of a measured value at `m x d` inputs, after `n` outcomes."""
    torch.manual_seed(seed)
    centre, spread = y.mean(), y.std()
    likelihood = gpytorch.likelihoods.GaussianLikelihood().double()
    model = DeepProcess(x, (y - centre) / spread, likelihood).double()
    likelihood_of_all = gpytorch.mlls.ExactMarginalLogLikelihood(likelihood, model)
    optimizer = torch.optim.Adam(
        [
            {"params": model.network.parameters(), "weight_decay": 1e-4},
            {"params": [*model.mean.parameters(), *model.kernel.parameters(), *likelihood.parameters()]},
        ],
        lr=1e-2,
    )
    model.train()
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = -likelihood_of_all(model(x), model.train_targets)
        loss.backward()
        optimizer.step()
    model.eval()
    likelihood.eval()
    with torch.no_grad(), gpytorch.settings.fast_pred_var():
        belief = likelihood(model(at))
    return belief.mean * spread + centre, belief.variance.sqrt() * spread


def inputs(points: list[PoolPoint]) -> torch.Tensor:
    """`n x d`, each column to zero mean and unit variance over the pool."""
    raw = torch.cat(
        [
            torch.tensor([list(p.embedding) for p in points], dtype=torch.float64),
            composition_features([p.amounts for p in points]).nan_to_num(),
            torch.tensor([[p.extras["volume_per_atom"]] for p in points], dtype=torch.float64),
        ],
        dim=1,
    )
    spread = raw.std(dim=0)
    return ((raw - raw.mean(dim=0)) / spread)[:, spread > 1e-9]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("crystals-cache"), help="CHGNet's energies and embeddings")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    points, truths = read(args.data, args.cache)
    x = inputs(points)
    y = torch.tensor([t["formation_energy"] for t in truths], dtype=torch.float64)
    cheap = torch.tensor([p.cheap["formation_energy"] for p in points], dtype=torch.float64)
    print("| learned | labels | model | MAE (eV/atom) | log density | 90 % intervals hold | seconds a fit |")
    print("|---|---|---|---|---|---|---|")
    for what, base in (("difference to CHGNet", cheap), ("energy", torch.zeros_like(cheap))):
        pool = points if base is cheap else [_without_cheap(p) for p in points]
        for labels in LABELS:
            rows: dict[str, list[tuple[float, float, float, float]]] = {"campaign's process": [], "deep kernel": []}
            for seed in range(args.seeds):
                known = sorted(random.Random(seed).sample(range(len(points)), labels))
                rest = torch.tensor(sorted(set(range(len(points))) - set(known)))
                for name, found in rows.items():
                    begun = time.perf_counter()
                    if name == "deep kernel":
                        mean, std = deep(x[known], y[known] - base[known], x[rest], seed)
                        mean = mean + base[rest]
                    else:
                        model = CampaignModel(("formation_energy",), seed=seed)
                        model.fit([Measurement(pool[i], {"formation_energy": float(y[i])}) for i in known], pool=pool)
                        mean, std = model.predict([pool[i] for i in rest.tolist()])["formation_energy"]
                    spent = time.perf_counter() - begun
                    off = (y[rest] - mean) / std
                    density = torch.distributions.Normal(mean, std).log_prob(y[rest]).mean()
                    found.append(
                        (
                            float((y[rest] - mean).abs().mean()),
                            float(density),
                            float((off.abs() < 1.645).double().mean()),
                            spent,
                        )
                    )
            for name, found in rows.items():
                mae, density, held, spent = (fmean(values) for values in zip(*found, strict=True))
                print(
                    f"| {what} | {labels} | {name} | {mae:.3f} | {density:.2f} | {held:.0%} | {spent:.1f} |", flush=True
                )


def _without_cheap(point: PoolPoint) -> PoolPoint:
    return replace(point, cheap={}, extras={"volume_per_atom": point.extras["volume_per_atom"]})


if __name__ == "__main__":
    main()
