"""Small but complete values to write into a ledger, for tests and benchmarks."""

from __future__ import annotations

from lodestone.tools.core.plans import RoundPlan
from lodestone.tools.core.structure import make_candidate
from lodestone.tools.core.types import Candidate, Crystal, EvaluationRequest, Failure, Observation, Provenance, Quantity

CELL = Crystal(
    lattice=((4.0, 0, 0), (0, 4.0, 0), (0, 0, 4.0)), species=("Na", "Cl"), frac_coords=((0, 0, 0), (0.5, 0.5, 0.5))
)


def request(name: str) -> EvaluationRequest:
    """A request for a crystal named `name`."""
    return EvaluationRequest(candidate_id=name, crystal=CELL, properties=())


def observation(key: str, name: str, failed: bool = False, energy: float = -3.0) -> Observation:
    """A result, or a failure."""
    return Observation(
        key=key,
        candidate_id=name,
        evaluator="test",
        method="test",
        fidelity="potential",
        values={} if failed else {"energy_per_atom": Quantity(value=energy, unit="eV/atom")},
        failure=Failure(stage="evaluate", reason="on purpose") if failed else None,
    )


def plan(number: int) -> RoundPlan:
    """A plan of one proposal."""
    return RoundPlan(
        round=number, shares={"random": 1.0}, proposals=1, batch=1, exploration=0.5, reason="test", decided_by="test"
    )


def candidate(edge: float) -> Candidate:
    """A caesium chloride cell with an edge in Å."""
    cell = CELL.model_copy(update={"lattice": ((edge, 0, 0), (0, edge, 0), (0, 0, edge))})
    return make_candidate(cell, Provenance(generator="random"))
