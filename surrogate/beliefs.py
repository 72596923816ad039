"""What is expected of every crystal of a pool, property by property, and how it changes as picks are made.

Energy above hull is no model of its own: it is formation energy minus the hull's at that composition. What is not
here: merit and choice (`merit.py`, `acquisition.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from .models import DeltaGP
from .tails import Tails

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Belief:
    """Marginals of one property over m crystals; mean and deviation each `m` (float64)."""

    mean: torch.Tensor
    std: torch.Tensor
    tails: Tails | None = None
    """More than mean and deviation say; None: normal."""


@dataclass(frozen=True)
class PoolBeliefs:
    """Models with the pool that they speak about. `m` crystals, `d` features."""

    models: Mapping[str, DeltaGP]
    features: torch.Tensor
    """`m x d`."""
    cheap: Mapping[str, torch.Tensor]
    """Property to `m` cheap predictions (zeros where the model does without)."""
    hull: torch.Tensor
    """`m` formation energies of the hull, eV/atom."""
    scales: Mapping[str, float]
    """Property to the calibrated factor on its deviation; 1 where absent."""

    @cached_property
    def table(self) -> dict[str, Belief]:
        """Property to what is believed of it; energy above hull wherever formation energy is modelled."""
        found = {}
        for name, model in self.models.items():
            scale = self.scales.get(name, 1.0)
            tails = model.tails(self.features, self.cheap[name])
            mean, std = model.posterior(self.features, self.cheap[name]) if tails is None else tails.moments()
            found[name] = Belief(mean, std * scale, None if tails is None else tails.widened(scale))
        energy = found.get("formation_energy")
        if energy is not None:
            tails = None if energy.tails is None else energy.tails.shifted(self.hull)
            found["energy_above_hull"] = Belief(energy.mean - self.hull, energy.std, tails)
        return found

    def joint(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean `m` and covariance `m x m` of the property itself, without the noise of a measurement; deviations
        calibrated."""
        base = "formation_energy" if name == "energy_above_hull" else name
        mean, covariance = self.models[base].joint(self.features, self.cheap[base])
        offset = self.hull if name == "energy_above_hull" else 0.0
        return mean - offset, covariance * self.scales.get(base, 1.0) ** 2

    def covariance(self, name: str) -> torch.Tensor:
        """Covariance `m x m` of measured values: on its diagonal also what the features do not explain, which is each
        crystal's own."""
        base = "formation_energy" if name == "energy_above_hull" else name
        _, covariance = self.joint(base)
        covariance.diagonal().copy_(covariance.diagonal().maximum(self.table[base].std.square()))
        return covariance

    def joined(self, other: PoolBeliefs) -> PoolBeliefs:
        """These crystals, and then those of `other`, which rests on the same models."""
        import torch

        return replace(
            self,
            features=torch.cat([self.features, other.features]),
            cheap={name: torch.cat([values, other.cheap[name]]) for name, values in self.cheap.items()},
            hull=torch.cat([self.hull, other.hull]),
        )

    def subset(self, rows: torch.Tensor) -> PoolBeliefs:
        """The same models on some crystals only (`k` indices, or `m` booleans)."""
        return replace(
            self,
            features=self.features[rows],
            cheap={name: values[rows] for name, values in self.cheap.items()},
            hull=self.hull[rows],
        )

    def after(self, row: int) -> PoolBeliefs:
        """As if crystal `row` had been measured and had given what is expected of it."""
        x = self.features[row : row + 1]
        return replace(self, models={name: model.believe(x) for name, model in self.models.items()})
