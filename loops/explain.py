"""Why a crystal was chosen, or was not: five lines, every number from the ledger.

A sixth line lists what was tried where its calculation failed at first.
"""

from __future__ import annotations

from pathlib import Path

from ..tools.core.errors import LedgerError
from ..tools.core.properties import get_property
from ..tools.core.types import Frozen, Quantity
from .knowledge import Knowledge
from .ledger import CandidateRow, Ledger
from .ledger.rows import EvaluationRow
from .opinions import Opinions


class Explanation(Frozen):
    """One crystal; `lines` are for people."""

    candidate_id: str
    formula: str
    key: str = ""
    """Of its evaluation; empty where it has none."""
    lines: tuple[str, ...]


def explain(directory: Path, which: str = "") -> Explanation:
    """Explain a crystal.

    Args:
        directory: of the campaign.
        which: the first characters of a candidate's id or of an evaluation's key, or a formula (its best crystal);
            empty for the best crystal of the campaign.

    Raises:
        LedgerError: when there is no such crystal, or more than one of them.
    """
    ledger = Ledger.open(directory, read_only=True)
    knowledge = Knowledge.read(ledger)
    identity = _find(ledger, knowledge, which.strip())
    row = ledger.candidates_by_id([identity])[identity]
    deciding = [r for r in ledger.evaluations() if r.request.purpose != "opinion"]
    rows = {r.request.candidate_id: r for r in deciding if r.request.purpose == "candidate"}
    evaluation = rows.get(identity)
    lines = [
        _what(row, 1 + deciding.index(evaluation) if evaluation else 0, knowledge),
        _origin(row),
        _why(row, evaluation, knowledge),
        _numbers(row, evaluation, knowledge),
        _plan(ledger, evaluation.round if evaluation else row.round),
        *_ladder(evaluation),
    ]
    return Explanation(
        candidate_id=identity,
        formula=row.candidate.formula,
        key=evaluation.key if evaluation else "",
        lines=tuple(lines),
    )


def _find(ledger: Ledger, knowledge: Knowledge, which: str) -> str:
    if not which:
        best = knowledge.best()
        if best is None:
            raise LedgerError("Nothing was evaluated yet.", "Name a candidate: `lodestone explain DIR FORMULA`.")
        return best.id
    by_formula = [m.id for m in knowledge.ranked(len(knowledge.measured)) if m.entry.formula == which]
    if by_formula:
        return by_formula[0]
    found = {c.candidate.id for c in ledger.candidates() if c.candidate.id.startswith(which)}
    found |= {r.request.candidate_id for r in ledger.evaluations() if r.key.startswith(which)}
    if not found:
        near = [c for c in ledger.candidates() if c.candidate.formula == which]
        near.sort(key=lambda c: c.relaxation.energy_per_atom if c.relaxation else float("inf"))
        found = {c.candidate.id for c in near[:1]}
    if len(found) != 1:
        remedy = "Give a formula, or the first digits of an id as `lodestone status DIR --json` and the report show it."
        problem = f"{len(found)} crystals begin with '{which[:40]}'." if found else f"No crystal is '{which[:40]}'."
        raise LedgerError(problem, remedy)
    return found.pop()


def _what(row: CandidateRow, place_in_order: int, knowledge: Knowledge) -> str:
    recognised = row.recognition
    group = f", {recognised.space_group_symbol} (no. {recognised.space_group})" if recognised else ""
    place = "not evaluated"
    if place_in_order:
        place = f"evaluation {place_in_order} of at most {knowledge.goal.budget.evaluations}"
    return f"{row.candidate.formula}{group}, candidate {row.candidate.id[:12]}: round {row.round}, {place}."


def _origin(row: CandidateRow) -> str:
    origin = row.candidate.provenance
    facts = [f"{name.replace('_', ' ')} {value}" for name, value in origin.parameters.items()]
    facts += [f"from {parent[:12]}" for parent in origin.parents[:3]]
    return f"Proposed by {origin.generator}{': ' + ', '.join(facts) if facts else ''}."


def _why(row: CandidateRow, evaluation: EvaluationRow | None, knowledge: Knowledge) -> str:
    if evaluation is not None:
        return f"Chosen because: {evaluation.why}"
    if row.failure is not None:
        return f"Left out ({row.failure['stage']}): {row.failure['reason']}."
    if not row.pooled:
        return "Waits to be relaxed."
    members = {m.candidate.id: m for m in knowledge.pool}
    member = members.get(row.candidate.id)
    if member is not None and not knowledge.is_asked_for(member):
        return "Not asked for: it only bounds the hull."
    return "Not chosen so far: others promised more for the same money."


def _numbers(row: CandidateRow, evaluation: EvaluationRow | None, knowledge: Knowledge) -> str:
    measured = {m.id: m for m in knowledge.measured}.get(row.candidate.id)
    opinions = Opinions(knowledge).energies
    cheap = knowledge.cheap.get(row.candidate.id, {})
    parts = []
    for name in dict.fromkeys((*knowledge.goal.properties, "energy_above_hull", "formation_energy")):
        known = []
        if name in cheap:
            known.append(f"potential {cheap[name]:.4g}")
        if name == "formation_energy" and row.candidate.id in opinions:
            known.append(f"second opinion {opinions[row.candidate.id]:.4g}")
        if evaluation is not None and name in evaluation.predicted:
            known.append(f"expected {_with_std(evaluation.predicted[name])}")
        if measured is not None and name in measured.values:
            known.append(f"measured {measured.values[name].value:.4g}")
        if known:
            parts.append(f"{get_property(name).label} {', '.join(known)} {get_property(name).unit}")
    if evaluation is not None and evaluation.observation is not None and evaluation.observation.failure is not None:
        parts.append(f"the evaluation failed: {evaluation.observation.failure.reason}")
    above = cheap.get("energy_above_hull")
    if above is not None:
        better = int((knowledge.above < above - 1e-9).sum())
        parts.append(f"place {better + 1} of {knowledge.size} by the potential's hull today")
    return ("; ".join(parts) or "Nothing was computed for it") + "."


def _plan(ledger: Ledger, number: int) -> str:
    plan = next((p for p, _ in ledger.plans() if p.round == number), None)
    if plan is None:
        return f"Round {number} has no plan."
    return f"Plan of round {number} ({plan.decided_by or 'policy'}): {plan.reason}"


def _ladder(evaluation: EvaluationRow | None) -> list[str]:
    """What was tried after failures of the calculation, in order; no line where nothing was."""
    if evaluation is None or evaluation.observation is None or not evaluation.observation.ladder:
        return []
    steps = [
        f"{step.change} (because of {step.because}{'; this changes the physics' * bool(step.physics)})"
        for step in evaluation.observation.ladder
    ]
    return [f"Tried after failures: {'; then '.join(steps)}."]


def _with_std(value: Quantity) -> str:
    return f"{value.value:.4g}" + (f" ± {value.std:.2g}" if value.std is not None else "")
