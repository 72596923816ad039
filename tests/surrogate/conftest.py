"""A synthetic pool with a known truth, and goals about it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from lodestone.surrogate.points import Measurement, PoolPoint
from lodestone.tools.core.types import Budget, ChemicalSpace, Constraint, GoalSpec, Objective, StopRule


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_goal() -> Callable[..., GoalSpec]:
    def make(*objectives: Objective, constraints: tuple[Constraint, ...] = (), hits: int | None = None) -> GoalSpec:
        return GoalSpec(
            text="synthetic",
            objectives=objectives or (Objective(property="formation_energy", direction="minimise"),),
            constraints=constraints,
            space=ChemicalSpace(allowed=("Cl", "Na")),
            budget=Budget(evaluations=20, wall_hours=1.0),
            stop=StopRule(hits=hits),
        )

    return make


@pytest.fixture
def make_pool() -> Callable[..., tuple[list[PoolPoint], dict[str, float]]]:
    """A pool and its true formation energies: Branin's function over two hidden coordinates, of which the embedding is
    a noisy 16-dimensional view. The cheap prediction is the truth plus a smooth error as large as its spread."""

    def make(seed: int, n: int = 200, error: float = 1.0) -> tuple[list[PoolPoint], dict[str, float]]:
        rng = np.random.default_rng(seed)
        hidden = rng.random((n, 2))
        x, y = 15 * hidden[:, 0] - 5, 15 * hidden[:, 1]
        branin = (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2
        truth = (branin + 10 * (1 - 1 / (8 * math.pi)) * np.cos(x) + 10) / 300
        # A random smooth field (Rahimi & Recht 2007: random Fourier features, length 0.4).
        waves, phases = rng.normal(size=(2, 64)) / 0.4, rng.uniform(0, 2 * math.pi, 64)
        shift = error * truth.std() * np.sqrt(2 / 64) * np.cos(hidden @ waves + phases).sum(axis=1)
        view = (hidden - 0.5) @ rng.normal(size=(2, 16)) + 0.02 * rng.normal(size=(n, 16))
        points = []
        for i in range(n):
            cheap = float(truth[i] + shift[i])
            points.append(
                PoolPoint(
                    candidate_id=f"c{i:04d}",
                    amounts={"Na": 1.0, "Cl": 1.0 + i % 3},
                    embedding=tuple(view[i]),
                    extras={"density": 2.0 + 0.1 * float(rng.random()), "space_group": float(rng.integers(1, 231))},
                    cheap={"formation_energy": cheap},
                    offsets={"energy_above_hull": 0.0},
                )
            )
        return points, {p.candidate_id: float(t) for p, t in zip(points, truth, strict=True)}

    return make


@pytest.fixture
def measure() -> Callable[[list[PoolPoint], dict[str, float]], list[Measurement]]:
    def measured(points: list[PoolPoint], truth: dict[str, float]) -> list[Measurement]:
        return [Measurement(p, {"formation_energy": truth[p.candidate_id]}) for p in points]

    return measured
