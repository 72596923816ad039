"""The facade that the loop uses: measurements in, predictions and a ranked batch with reasons out.

What is not here: the parts it joins (features, models, beliefs, acquisition), and the ledger.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..tools.core.errors import ToolError
from ..tools.core.properties import CATALOGUE
from ..tools.core.types import GoalSpec
from .acquisition import Aim, Context, aim_of, keeps_limits, select
from .beliefs import PoolBeliefs
from .composition import composition_key
from .features import Featuriser
from .fidelity import Gains, Scout, gains
from .merit import objective_scales, utility
from .models import PRIORS, DeltaGP
from .points import Measurement, PoolPoint
from .reasons import reason

if TYPE_CHECKING:
    import torch

__all__ = ["CampaignModel", "Measurement", "Pick", "PoolPoint"]

MIN_OUTCOMES = 5
"""Failures, and successes, needed before the chance of success is modelled."""

SUCCESS_BOUNDS = (0.05, 0.95)
"""Never certain: a regression on outcomes 0 and 1 may leave [0, 1]."""


@dataclass(frozen=True)
class Pick:
    """A crystal that deserves an evaluation. Values in the catalogue's units, deviations calibrated."""

    candidate_id: str
    score: float
    means: Mapping[str, float]
    stds: Mapping[str, float]
    chance: float
    """Probability to be the new best, or (where limits are what matters) to keep every limit."""
    reason: str


class CampaignModel:
    """One model a property, refitted from scratch each round."""

    def __init__(self, properties: Sequence[str], *, seed: int = 0, scales: Mapping[str, float] | None = None) -> None:
        """A model that has seen nothing.

        Args:
            properties: to be modelled, by catalogue name. `energy_above_hull` is derived from `formation_energy`
                and stands for it.
            seed: for restarts of fits.
            scales: property to the factor on its deviation, from `calibrate`.

        Raises:
            ToolError: an unknown property, or a scale that is not positive.
        """
        modelled = dict.fromkeys("formation_energy" if p == "energy_above_hull" else p for p in properties)
        unknown = [p for p in modelled if p not in PRIORS]
        if unknown or not modelled:
            raise ToolError(f"Cannot model {', '.join(unknown) or 'nothing'}.", f"Known: {', '.join(CATALOGUE)}.")
        self._scales = dict(scales or {})
        if any(not (math.isfinite(s) and s > 0) for s in self._scales.values()):
            raise ToolError(f"Scales {self._scales} are not all positive.", "Use the scales that calibrate returns.")
        self._properties = tuple(modelled)
        self._seed = seed
        self._measurements: tuple[Measurement, ...] = ()
        self._former: tuple[Measurement, ...] = ()
        self._failed: tuple[PoolPoint, ...] = ()
        self._featuriser: Featuriser | None = None
        self._models: dict[str, DeltaGP] = {}
        self._success: DeltaGP | None = None
        self._delta: frozenset[str] = frozenset()
        self._notes: list[str] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """What was out of the ordinary since the last `fit`, in words."""
        return tuple(self._notes)

    def fit(
        self,
        measurements: Sequence[Measurement],
        failed: Sequence[PoolPoint] = (),
        pool: Sequence[PoolPoint] = (),
        former: Sequence[Measurement] = (),
    ) -> None:
        """Learn from what was measured, and from what could not be.

        Args:
            measurements: any number, also none.
            failed: crystals whose evaluation gave no number.
            pool: crystals on which the features are scaled, together with the measured ones. Without them the pool of
                the first `predict` or `choose` is used, and the models are fitted then.
            former: measurements of former campaigns: learned from, but never the best that is to be beaten. Of a
                crystal that was measured again only the new ones count.
        """
        # A fixed order makes the result independent of the order in which measurements arrived.
        self._measurements = tuple(sorted(measurements, key=lambda m: m.point.candidate_id))
        own = {m.point.candidate_id for m in measurements}
        others = (m for m in former if m.point.candidate_id not in own)
        self._former = tuple(sorted(others, key=lambda m: m.point.candidate_id))
        self._failed = tuple(sorted(failed, key=lambda p: p.candidate_id))
        self._featuriser = None
        self._notes = []
        if pool:
            self._learn(pool)

    def predict(self, pool: Sequence[PoolPoint]) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Property to mean and calibrated deviation of a measured value, each `m`, in the order of `pool`.

        Energy above hull comes with formation energy where every crystal has its hull offset; it is not clipped.
        """
        if not pool:
            import torch

            nothing = torch.zeros(0, dtype=torch.float64)
            return dict.fromkeys(self._properties, (nothing, nothing))
        table = self._beliefs(pool).table
        has_hull = all("energy_above_hull" in p.offsets for p in pool)
        return {k: (b.mean, b.std) for k, b in table.items() if k != "energy_above_hull" or has_hull}

    def choose(
        self,
        pool: Sequence[PoolPoint],
        q: int,
        exploration: float,
        goal: GoalSpec,
        best: Mapping[str, float] | None = None,
        levels: Mapping[str, float] | None = None,
    ) -> list[Pick]:
        """At most q different crystals of the pool, the most deserving first.

        Args:
            pool: crystals that may be evaluated (repeats of an id count once); the order does not matter.
            q: batch size.
            exploration: 0 (only what looks best) to 1 (only what is least known).
            goal: objectives, constraints and stop rule are used.
            best: measured values of the best crystal so far. Where the pool gives hull offsets for the compositions of
                all measured crystals, the best is found anew relative to that hull.
            levels: id of a measured crystal to the hull's formation energy (eV/atom) at its composition, for those
                whose composition no crystal of the pool has.

        Raises:
            ToolError: the goal names a property without a model, or exploration is not a share.
        """
        points = [p for _, p in sorted({p.candidate_id: p for p in pool}.items())]
        if not points or q < 1:
            return []
        beliefs = self._beliefs(points)
        known = self._relative_to_hull(points, goal, levels or {})
        best = self._incumbent(goal, beliefs, known, best)
        success = self._chance_of_success(beliefs)
        measured = self._features([m.point for m in self._measurements])
        log_success = None if success is None else success.log()
        context = Context(goal, q, exploration, best, measured, log_success)
        aim, first = aim_of(goal, best), goal.objectives[0].property
        anchors = [m for m in known or () if all(p in m.values for p in goal.properties)]
        if aim is Aim.IMPROVE and goal.tradeoff == "pareto" and len(goal.objectives) > 1 and anchors:
            from .front import select_front

            aim = Aim.FRONT
            scales = objective_scales(goal.objectives, beliefs.table)
            found = select_front(beliefs, self._beliefs([m.point for m in anchors]), context, scales)
        else:
            found = select(beliefs, context)
        picks = []
        for chosen in found:
            means = {name: float(b.mean[chosen.row]) for name, b in beliefs.table.items()}
            stds = {name: float(b.std[chosen.row]) for name, b in beliefs.table.items()}
            works = None if success is None else float(success[chosen.row])
            why = reason(goal, aim, chosen, means[first], stds[first], works)
            picks.append(Pick(points[chosen.row].candidate_id, chosen.score, means, stds, chosen.chance, why))
        return picks

    def foretold(self, name: str) -> float:
        """How well the measured values of a property are foretold, each from the others (`DeltaGP.foretold`)."""
        return self._models[name].foretold()

    def as_scout(self, pool: Sequence[PoolPoint], asked: Collection[str], slope: float) -> Scout:
        """This model of a cheaper evaluator's formation energies, as `gains` wants it.

        Args:
            pool: the crystals, in the order of those given to `gains`.
            asked: ids of crystals that it has given a value of.
            slope: part of its readings that is believed.
        """
        import torch

        return Scout(self._beliefs(pool), torch.tensor([p.candidate_id in asked for p in pool]), slope)

    def gains(
        self,
        pool: Sequence[PoolPoint],
        goal: GoalSpec,
        scout: Scout,
        best: Mapping[str, float] | None = None,
        levels: Mapping[str, float] | None = None,
    ) -> Gains | None:
        """What the most telling question to this model's evaluator, and to a cheaper one, is worth (`fidelity.gains`);
        arguments as of `choose`, the crystals in the order of the scout's."""
        if not pool:
            return None
        beliefs = self._beliefs(pool)
        best = self._incumbent(goal, beliefs, self._relative_to_hull(pool, goal, levels or {}), best)
        return gains(beliefs, goal, best, scout)

    def _learn(self, pool: Sequence[PoolPoint]) -> None:
        """Scale the features on all crystals at hand, then fit every model."""
        import torch

        known = [*self._measurements, *self._former]
        points = [m.point for m in known]
        together = {p.candidate_id: p for p in [*pool, *self._failed, *points]}
        self._featuriser = Featuriser().fit([p for _, p in sorted(together.items())], measured=points)
        features = self._features(points)
        self._delta = frozenset(name for name in self._properties if _has_cheap(name, [*points, *pool]))
        self._models = {}
        for name in self._properties:
            rows = [i for i, m in enumerate(known) if name in m.values]
            prior = PRIORS[name]
            delta = name in self._delta
            model = DeltaGP(
                prior.delta_std if delta else prior.std,
                prior_mean=0.0 if delta else prior.mean,
                seed=self._seed,
                alike=self._featuriser.alike,
            )
            measured = torch.tensor([known[i].values[name] for i in rows], dtype=torch.float64)
            model.fit(features[rows], self._cheap(name, [points[i] for i in rows]), measured)
            self._notes += [f"{name}: {note}" for note in model.notes]
            self._models[name] = model
        self._success = self._fit_success(features)

    def _fit_success(self, features: torch.Tensor) -> DeltaGP | None:
        """Regression on outcomes 1 (measured) and 0 (failed); None while there are too few of either."""
        import torch

        if min(len(features), len(self._failed)) < MIN_OUTCOMES:
            return None
        outcomes = torch.cat([torch.ones(len(features)), torch.zeros(len(self._failed))]).double()
        alike = 0 if self._featuriser is None else self._featuriser.alike
        model = DeltaGP(0.5, prior_mean=0.5, seed=self._seed, alike=alike)
        model.fit(torch.cat([features, self._features(self._failed)]), torch.zeros_like(outcomes), outcomes)
        return model

    def _chance_of_success(self, beliefs: PoolBeliefs) -> torch.Tensor | None:
        import torch

        if self._success is None:
            return None
        mean, _ = self._success.posterior(beliefs.features, torch.zeros(len(beliefs.features), dtype=torch.float64))
        return mean.clamp(*SUCCESS_BOUNDS)

    def _features(self, points: Sequence[PoolPoint]) -> torch.Tensor:
        import torch

        if self._featuriser is None:
            raise ToolError("The model has not been fitted.", "Call fit first.")
        if not points:
            return torch.zeros(0, self._featuriser.dimension, dtype=torch.float64)
        return self._featuriser.transform(points)

    def _cheap(self, name: str, points: Sequence[PoolPoint]) -> torch.Tensor:
        """Cheap predictions, zeros for a property modelled without; NaN where one is missing."""
        import torch

        if name not in self._delta:
            return torch.zeros(len(points), dtype=torch.float64)
        return torch.tensor([p.cheap.get(name, math.nan) for p in points], dtype=torch.float64)

    def _beliefs(self, pool: Sequence[PoolPoint]) -> PoolBeliefs:
        import torch

        if self._featuriser is None:
            self._learn(pool)
        cheap = {}
        for name in self._properties:
            values = self._cheap(name, pool)
            gaps = ~values.isfinite()
            if bool(gaps.any()):
                self._notes.append(f"{name}: {int(gaps.sum())} crystals without a cheap prediction take the median")
                values = values.where(
                    ~gaps, values[~gaps].median() if not bool(gaps.all()) else torch.zeros(()).double()
                )
            cheap[name] = values
        hull = torch.tensor([p.offsets.get("energy_above_hull", 0.0) for p in pool], dtype=torch.float64)
        return PoolBeliefs(self._models, self._features(pool), cheap, hull, self._scales)

    def _relative_to_hull(
        self, pool: Sequence[PoolPoint], goal: GoalSpec, levels: Mapping[str, float]
    ) -> list[Measurement] | None:
        """What was measured, its energy above hull relative to the hull that the pool uses; None where that hull is not
        known for all of it."""
        if "energy_above_hull" not in goal.properties:
            return list(self._measurements)
        hull = {composition_key(p.amounts): p.offsets.get("energy_above_hull", 0.0) for p in pool}
        found = []
        for m in self._measurements:
            if "formation_energy" not in m.values:
                continue
            level = levels.get(m.point.candidate_id, hull.get(composition_key(m.point.amounts)))
            if level is None:
                return None
            point = replace(m.point, offsets={"energy_above_hull": level})
            found.append(Measurement(point, {**m.values, "energy_above_hull": m.values["formation_energy"] - level}))
        return found

    def _incumbent(
        self,
        goal: GoalSpec,
        beliefs: PoolBeliefs,
        known: Sequence[Measurement] | None,
        best: Mapping[str, float] | None,
    ) -> Mapping[str, float] | None:
        """Values of the best measured crystal, its energy above hull relative to the hull that the pool uses.

        The caller's own number may rest on another hull (measured phases only), against which expected and
        measured crystals would not compare like with like.
        """
        if "energy_above_hull" not in goal.properties or not known:
            return best
        scales = objective_scales(goal.objectives, beliefs.table)
        found = []
        for m in known:
            worth = utility(goal, m.values, scales)
            if worth is not None:
                found.append((keeps_limits(goal, m.values), worth, m.values))
        return max(found, key=lambda item: item[:2])[2] if found else best


def _has_cheap(name: str, points: Sequence[PoolPoint]) -> bool:
    """Whether a difference can be learned: at least half of the crystals have a finite cheap prediction."""
    having = sum(math.isfinite(p.cheap.get(name, math.nan)) for p in points)
    return 2 * having >= len(points) > 0
