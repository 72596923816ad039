"""Which evaluator to ask: what the most telling question to each is worth, and how the two hang together.

Two fidelities in the autoregressive form: deciding value = cheap prediction + slope x (reading - cheap prediction) +
correction, where reading and correction are independent processes (Kennedy & O'Hagan, Biometrika 87, 1 (2000); learned
one after the other as in Le Gratiet & Garnier, Int. J. Uncertain. Quantif. 4, 365 (2014)).
What is not here: the knowledge gradient itself (`knowledge_gradient.py`), costs, and the decision (the planner's).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..tools.core.types import GoalSpec
from .acquisition import Aim, aim_of, merit_of
from .beliefs import Belief, PoolBeliefs
from .knowledge_gradient import changes_of, expected_rise, expected_rise_of
from .merit import objective_scales, utility

if TYPE_CHECKING:
    import torch

LEAST_PAIRS = 5
"""Crystals that both evaluators looked at, below which nothing is said of how they hang together."""

SLOPES = (0.0, 0.5, 1.0)
"""Parts of what a reading adds to the cheap prediction that may be believed."""

MARGIN = 2.0
"""Logarithm by which readings must foretell the deciding values better than the cheap predictions alone do, to be
believed: about the 5 % level of a likelihood ratio with one parameter. With five to ten smooth errors a source that
tells nothing looks better by chance in every other case."""

ALTERNATIVES = 300
"""Crystals (best by merit) that may become the best."""

ASKED = 50
"""Of these, the first ones about which an evaluator may be asked."""

ENERGY = "formation_energy"


@dataclass(frozen=True)
class Scout:
    """A cheaper evaluator of formation energies, as its own process sees it."""

    beliefs: PoolBeliefs
    """About its readings of `m` crystals, those of the deciding evaluator's beliefs in the same order."""
    asked: torch.Tensor
    """`m` booleans: readings that are there already; asked again it would say the same."""
    slope: float
    """Part of a reading that is believed."""

    def subset(self, rows: torch.Tensor) -> Scout:
        """Some crystals only."""
        return Scout(self.beliefs.subset(rows), self.asked[rows], self.slope)

    def variance(self) -> torch.Tensor:
        """`m`, of the readings to come."""
        return self.beliefs.table[ENERGY].std.square().masked_fill(self.asked, 0.0)

    def covariance(self) -> torch.Tensor:
        """`m x m`, of the readings to come."""
        covariance = self.beliefs.covariance(ENERGY)
        return covariance.masked_fill(self.asked, 0.0).masked_fill(self.asked.unsqueeze(-1), 0.0)


@dataclass(frozen=True)
class Gains:
    """How much the best is expected to rise for the most telling single question to each evaluator."""

    scout: float
    judge: float
    unit: str
    """Of both: eV/atom, another property's unit, or what the merit is."""


def slope_of(foretold: Mapping[float, float]) -> float:
    """The part of the readings to believe: the one with which the measured values are foretold best, and none where
    that is not clearly better than without.

    Args:
        foretold: slope (0 among them) to the logarithm of the density that the process gives to each measured value
            from the others, summed.
    """
    best = max(foretold, key=lambda slope: (foretold[slope], -slope))
    return best if foretold[best] > foretold[0.0] + MARGIN else 0.0


def gains(beliefs: PoolBeliefs, goal: GoalSpec, best: Mapping[str, float] | None, scout: Scout) -> Gains | None:
    """What the most telling question to either evaluator is worth, the cost aside.

    Where one property without further limits is to be improved, the best is the best posterior mean, measured
    crystals included, and the expectation is exact. Else it is the largest merit of a waiting crystal, as the choice of
    a batch sees it: the chance to keep every limit, times the expected improvement where the aim is to improve.
    What is not explained by the features belongs to a crystal, so that readings are free of noise.

    Args:
        beliefs: of the deciding evaluator about `m` waiting crystals, given all readings.
        goal: objectives and limits.
        best: measured values of the best crystal so far.
        scout: the cheaper one.

    Returns:
        None where nothing measured is there to improve on.
    """
    import torch

    if not len(beliefs.features) or (aim_of(goal, best) is Aim.IMPROVE and (best is None or _incomplete(goal, best))):
        return None
    scales = objective_scales(goal.objectives, beliefs.table)

    def merit(table: Mapping[str, Belief], hull: torch.Tensor) -> torch.Tensor:
        energy = table[ENERGY]
        return merit_of({**table, "energy_above_hull": Belief(energy.mean - hull, energy.std)}, goal, scales, best)

    first = merit(_table(beliefs, scout), beliefs.hull)
    # In the order of merit, so that the first ones are those to ask about.
    rows = first.argsort(descending=True, stable=True)[:ALTERNATIVES]
    beliefs, scout = beliefs.subset(rows), scout.subset(rows)
    table = _table(beliefs, scout)
    wanted = {ENERGY if name == "energy_above_hull" else name for name in goal.properties}
    covariances = {name: beliefs.covariance(name) for name in sorted(wanted | {ENERGY})}
    readings = scout.covariance()
    covariances[ENERGY] = covariances[ENERGY] + scout.slope**2 * readings
    open_rows = (~scout.asked).nonzero().squeeze(-1)[:ASKED]
    by_judge = {name: changes_of(c[:ASKED], c.diagonal()[:ASKED]) for name, c in covariances.items() if name in wanted}
    by_scout = {ENERGY: changes_of(scout.slope * readings[open_rows], readings.diagonal()[open_rows])}
    line = _line(goal, best)
    if line is not None:
        name, sign = line
        assert best is not None
        hull = beliefs.hull if name == "energy_above_hull" else torch.zeros_like(beliefs.hull)
        base = ENERGY if name == "energy_above_hull" else name
        mean = torch.cat([sign * (table[base].mean - hull), torch.tensor([sign * best[name]], dtype=torch.float64)])

        def rise(changes: Mapping[str, torch.Tensor]) -> float:
            change = changes.get(base, torch.zeros(1, len(rows), dtype=torch.float64))
            # The best measured crystal is an alternative as well, and no reading moves it.
            still = torch.cat([sign * change, torch.zeros(len(change), 1, dtype=torch.float64)], dim=1)
            return float(expected_rise(mean.numpy(), still.numpy()).max(initial=0.0))

        from ..tools.core.properties import get_property

        return Gains(rise(by_scout), rise(by_judge), get_property(name).unit)

    def rise_of(changes: Mapping[str, torch.Tensor]) -> float:
        if all(not bool(c.any()) for c in changes.values()):
            return 0.0
        found = expected_rise_of(lambda t: merit(t, beliefs.hull).exp(), table, changes, goal.seed)
        return float(found.max())

    return Gains(rise_of(by_scout), rise_of(by_judge), _unit(goal, best))


def _table(beliefs: PoolBeliefs, scout: Scout) -> dict[str, Belief]:
    """Normal beliefs about what the deciding evaluator would give, what the scout would still add included."""
    table = {name: Belief(b.mean, b.std) for name, b in beliefs.table.items() if name != "energy_above_hull"}
    energy = table[ENERGY]
    wider = (energy.std.square() + scout.slope**2 * scout.variance()).sqrt()
    return {**table, ENERGY: Belief(energy.mean, wider)}


def _incomplete(goal: GoalSpec, best: Mapping[str, float]) -> bool:
    return utility(goal, best, {o.property: 1.0 for o in goal.objectives}) is None


def _line(goal: GoalSpec, best: Mapping[str, float] | None) -> tuple[str, float] | None:
    """The one property that is to be improved, and its sign, where nothing else counts."""
    objective = goal.objectives[0]
    alone = len(goal.objectives) == 1 and {c.property for c in goal.constraints} <= {objective.property}
    if not alone or objective.direction not in ("minimise", "maximise") or aim_of(goal, best) is not Aim.IMPROVE:
        return None
    return objective.property, 1.0 if objective.direction == "maximise" else -1.0


def _unit(goal: GoalSpec, best: Mapping[str, float] | None) -> str:
    return "expected improvement" if aim_of(goal, best) is Aim.IMPROVE else "chance to keep every limit"
