"""What Lodestone's recipes are measured against: a lottery, and a plain Bayesian optimiser."""

from __future__ import annotations

from typing import Any

import numpy as np

from lodestone.tools.core.synthesis import Recipe
from lodestone.tools.lab.recipes.balance import Reaction
from lodestone.tools.lab.recipes.outcomes import Outcome
from lodestone.tools.lab.recipes.space import Conditions, RecipeSpace

FIRST = 5
"""Recipes by lot before the first fit."""
POOL = 500
FIT_STEPS = 40


class RandomChooser:
    """Any reaction, any conditions."""

    def __init__(self, space: RecipeSpace, seed: int) -> None:
        self._space = space
        self._rng = np.random.default_rng([seed, 1])

    def tell(self, outcome: Outcome) -> None:
        """Learns nothing."""

    def ask(self, n: int) -> list[Recipe]:
        """See `Chooser.ask`."""
        return [self._space.recipe(*self._draw()) for _ in range(n)]

    def _draw(self) -> tuple[Reaction, Conditions]:
        reactions = self._space.reactions
        return reactions[int(self._rng.integers(len(reactions)))], self._space.draw(self._rng)


class BayesianChooser(RandomChooser):
    """Precursors and atmosphere one-hot, conditions scaled to [0, 1]: BoTorch's process with its own priors, fitted
    again each time from where it was, and expected improvement (in logarithm) of the target's weight fraction over a
    pool by lot."""

    def __init__(self, space: RecipeSpace, seed: int) -> None:
        super().__init__(space, seed)
        self._names = sorted({name for reaction in space.reactions for name in reaction.formulas})
        self._x: list[np.ndarray] = []
        self._y: list[float] = []
        self._fitted: dict[str, Any] | None = None

    def tell(self, outcome: Outcome) -> None:
        """Keeps the weight fraction of the target."""
        recipe = outcome.recipe
        conditions = Conditions(
            recipe.temperature_k, recipe.hold_h, recipe.atmosphere, recipe.mill_min, recipe.regrinds
        )
        self._x.append(self._row([powder.formula for powder in recipe.powders], conditions))
        self._y.append(outcome.yield_fraction)

    def ask(self, n: int) -> list[Recipe]:
        """See `Chooser.ask`."""
        if len(self._y) < FIRST or max(self._y) == min(self._y):
            return super().ask(n)
        pool = [self._draw() for _ in range(POOL)]
        scores = self._improvement(np.array([self._row(list(r.formulas), c) for r, c in pool]))
        return [self._space.recipe(*pool[i]) for i in np.argsort(-scores)[:n]]

    def _row(self, precursors: list[str], conditions: Conditions) -> np.ndarray:
        space = self._space
        low, high = np.log(space.hold_h)
        return np.array(
            [
                *(float(name in precursors) for name in self._names),
                *(float(a == conditions.atmosphere) for a in space.atmospheres),
                (conditions.temperature_k - space.temperature_k[0]) / (space.temperature_k[1] - space.temperature_k[0]),
                (np.log(conditions.hold_h) - low) / (high - low),
                conditions.mill_min / space.mill_min[1],
                conditions.regrinds / space.regrinds[1],
            ]
        )

    def _improvement(self, pool: np.ndarray) -> np.ndarray:
        import torch
        from botorch.acquisition.analytic import LogExpectedImprovement
        from botorch.fit import fit_gpytorch_mll
        from botorch.models import SingleTaskGP
        from gpytorch.mlls import ExactMarginalLogLikelihood

        y: Any = torch.tensor(self._y, dtype=torch.float64).unsqueeze(-1)
        y = (y - y.mean()) / y.std()
        model = SingleTaskGP(torch.tensor(np.array(self._x)), y, outcome_transform=None)
        if self._fitted is not None:
            model.load_state_dict(self._fitted)
        fit_gpytorch_mll(
            ExactMarginalLogLikelihood(model.likelihood, model),
            optimizer_kwargs={"options": {"maxiter": FIT_STEPS}},
        )
        self._fitted = model.state_dict()
        with torch.no_grad():
            values = LogExpectedImprovement(model, best_f=y.max())(torch.tensor(pool).unsqueeze(1))
        return np.asarray(values)
