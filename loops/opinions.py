"""Second opinions: what a cheaper evaluator says of crystals, before or beside the one that decides.

They sharpen the cheap prediction that the surrogate corrects, and their error record tells the planner what they are
worth. What is not here: when they are asked for (`agent/schedule.py`) and paid (`paying.py`).
"""

from __future__ import annotations

from functools import cached_property
from statistics import fmean

from ..surrogate.campaign_model import CampaignModel, Measurement
from ..surrogate.fidelity import LEAST_PAIRS
from ..tools.core.plans import FidelityFacts
from ..tools.core.properties import get_property
from ..tools.core.protocols import Evaluator
from ..tools.core.types import Quantity
from .geometry import formula_amounts
from .knowledge import Knowledge
from .ledger import counts
from .ledger.bookings import fidelity_resource

SHORTLIST = 8
"""Waiting crystals, the most promising ones, that should have an opinion."""

TYPICAL_ATOMS = 10
"""Atoms of a cell, for the catalogue's cost before there is a record."""

UNKNOWN_COST = {"potential": 10.0, "dft": 1000.0, "experiment": 10_000.0}
"""Core seconds of an evaluator that is not in the catalogue, before there is a record."""


class Opinions:
    """Formation energies by the cheaper evaluator, and how far they are from the deciding ones."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge

    @cached_property
    def energies(self) -> dict[str, float]:
        """Candidate to formation energy (eV/atom); those whose elements have no opinion yet are missing."""
        elements: dict[str, float] = {}
        crystals: dict[str, tuple[str, float]] = {}
        for e in self._knowledge.opinions:
            if e.failure or "energy_per_atom" not in e.outcome:
                continue
            energy = e.outcome["energy_per_atom"].value
            if e.candidate_id.startswith("reference-"):
                elements[e.candidate_id.removeprefix("reference-")] = energy
            else:
                crystals[e.candidate_id] = (e.formula, energy)
        found = {}
        for identity, (formula, energy) in crystals.items():
            amounts = dict(formula_amounts(formula))
            if set(amounts) <= set(elements):
                found[identity] = energy - sum(elements[s] * n for s, n in amounts.items()) / sum(amounts.values())
        return found

    @property
    def asked(self) -> set[str]:
        """Candidates of which an opinion was asked, whatever came of it."""
        return {e.candidate_id for e in self._knowledge.opinions}

    @property
    def pairs(self) -> int:
        """Crystals that the deciding evaluator looked at as well."""
        return sum(m.id in self.energies and "formation_energy" in m.values for m in self._knowledge.measured)

    def learn(self, head: dict[str, float]) -> CampaignModel | None:
        """The process of the difference between opinion and potential over the pool; None below `LEAST_PAIRS`
        opinions."""
        knowledge = self._knowledge
        members = [m for m in knowledge.pool if m.candidate.id in self.energies]
        if len(members) < LEAST_PAIRS:
            return None
        points = knowledge.points(members, head)
        measured = [Measurement(point=p, values={"formation_energy": self.energies[p.candidate_id]}) for p in points]
        model = CampaignModel(("formation_energy",), seed=knowledge.goal.seed)
        model.fit(measured, (), pool=knowledge.points(knowledge.pool, head))
        return model

    def expected(self, model: CampaignModel, head: dict[str, float]) -> dict[str, float]:
        """Candidate of the pool to its opinion, or to what is expected of it (eV/atom)."""
        pool = self._knowledge.points(self._knowledge.pool, head)
        mean, _ = model.predict(pool)["formation_energy"]
        found = dict(zip([p.candidate_id for p in pool], mean.tolist(), strict=True))
        return found | {identity: self.energies[identity] for identity in found if identity in self.energies}

    def disagreement(self) -> tuple[float | None, float | None]:
        """Root mean square (eV/atom) between opinions and deciding values after the mean difference, and the same of
        the relaxation potential on the same crystals; None below `LEAST_PAIRS` of them."""
        cheap = self._knowledge.cheap
        pairs = [
            (self.energies[m.id] - value.value, cheap[m.id]["formation_energy"] - value.value)
            for m in self._knowledge.measured
            if m.id in self.energies and m.id in cheap and (value := m.values.get("formation_energy")) is not None
        ]
        if len(pairs) < LEAST_PAIRS:
            return None, None
        return _spread([a for a, _ in pairs]), _spread([b for _, b in pairs])


def facts(knowledge: Knowledge, scout: Evaluator | None, judge: Evaluator) -> tuple[FidelityFacts, ...]:
    """What the planner is told of two evaluators; nothing where there is one."""
    if scout is None:
        return ()
    opinions = Opinions(knowledge)
    own, potential = opinions.disagreement()
    accounts = knowledge.ledger.accounts()
    left = accounts[fidelity_resource(scout.fidelity)].left
    shortlist = _shortlist(knowledge)
    spent = sum(e.state != "PROPOSED" for e in [*knowledge.evaluations, *knowledge.labels])
    return (
        FidelityFacts(
            fidelity=scout.fidelity,
            evaluator=scout.name,
            core_s=cost_of(knowledge, scout, ("opinion",)),
            left=10**6 if left is None else left,
            done=len(opinions.energies),
            fresh=sum(i in opinions.energies for i in shortlist),
            unasked=sum(i not in opinions.asked for i in shortlist),
            disagreement=None if own is None else round(own, 4),
            potential_disagreement=None if potential is None else round(potential, 4),
        ),
        FidelityFacts(
            fidelity=judge.fidelity,
            evaluator=judge.name,
            core_s=cost_of(knowledge, judge, ("candidate", "reference")),
            left=max(0, knowledge.goal.budget.evaluations - spent),
            done=len(knowledge.measured),
        ),
    )


def _shortlist(knowledge: Knowledge) -> list[str]:
    """The waiting crystals that are best for the goal on the potential, where it says anything of the objectives, or
    else nearest to the hull."""
    cheap = knowledge.cheap
    ranked = []
    for m in knowledge.pool:
        identity = m.candidate.id
        if identity not in knowledge.evaluated_ids and knowledge.is_asked_for(m):
            values = {k: Quantity(value=v, unit="") for k, v in cheap[identity].items()}
            ranked.append((knowledge.rank(values), cheap[identity]["energy_above_hull"], identity))
    return [row[-1] for row in sorted(ranked)[:SHORTLIST]]


def cost_of(knowledge: Knowledge, evaluator: Evaluator, purposes: tuple[str, ...]) -> float:
    """Core seconds of one evaluation to one digit, so that two runs of one campaign decide alike: the median of what
    was paid, and the catalogue's figure before that."""
    typical = counts.typical_core_s(knowledge.ledger, purposes)
    if typical is None:
        sources = get_property("formation_energy").sources
        per_atom = next((s.core_s_per_atom for s in sources if s.by == evaluator.name), None)
        typical = UNKNOWN_COST[evaluator.fidelity] if per_atom is None else per_atom * TYPICAL_ATOMS
    return float(f"{typical:.0e}")


def _spread(values: list[float]) -> float:
    centre = fmean(values)
    return float(fmean((v - centre) ** 2 for v in values) ** 0.5)
