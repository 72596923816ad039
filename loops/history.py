"""Builds the `CampaignRecord` that status, report and export read, from a campaign directory alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

from .clock import TOOLS
from .hulls import Hulls
from .judgement import calibration_of
from .knowledge import Knowledge, Measured
from .ledger import OPEN_STATES, Ledger
from .record import CampaignRecord, EvaluatedCrystal, FailureRow, HullPhase, PoolEntry, StageTime


def build_record(directory: Path) -> CampaignRecord:
    """Read everything about a campaign. Raises LedgerError when there is none, or it is unreadable."""
    from .campaign import active_seconds

    ledger = Ledger.open(directory, read_only=True)
    knowledge = Knowledge.read(ledger)
    events = ledger.events()
    evaluations = knowledge.evaluations
    found = {m.row.key for m in knowledge.hits()}
    screened = bool(ledger.meta("settings", {}).get("screen", {}).get("known_crystals"))
    wall_s = active_seconds(ledger)
    method = str(ledger.meta("method"))
    status = str(ledger.meta("status"))
    sessions = Counter(e["kind"] for e in events)
    if status == "running" and sessions["session started"] == sessions["session ended"]:
        status = "interrupted"
    return CampaignRecord(
        directory=str(directory),
        goal=knowledge.goal,
        assumptions=tuple(ledger.meta("assumptions", [])),
        unused=tuple(ledger.meta("unused", [])),
        status=status,
        stop_reason=str(ledger.meta("stop_reason", "")),
        started_at=_when(events[0]["at"]),
        finished_at=_when(events[-1]["at"]) if status == "finished" else "",
        wall_s=wall_s,
        evaluator=f"{ledger.meta('evaluator')}-{ledger.meta('evaluator_version')}",
        method=method,
        potential=knowledge.potential,
        plans=tuple(plan for plan, _ in ledger.plans()),
        evaluated=tuple(
            _evaluated(knowledge, m, order, m.row.key in found, screened)
            for order, m in enumerate(knowledge.measured, start=1)
        ),
        pool=_pool(knowledge),
        hull=_hull(knowledge, method),
        hull_statement=_statement(knowledge, method),
        failures=_failures(knowledge),
        times=_times(events, wall_s),
        evaluations_spent=sum(r.state != "PROPOSED" for r in evaluations),
        evaluations_reference=sum(r.request.purpose == "reference" for r in evaluations),
        evaluations_failed=sum(r.observation is not None and r.observation.failure is not None for r in evaluations),
        coverage_90=calibration_of(knowledge),
        notes=_notes(ledger, events, sum(r.state in OPEN_STATES for r in evaluations)),
        versions={k: str(v) for k, v in ledger.meta("versions", {}).items()},
    )


def _evaluated(knowledge: Knowledge, m: Measured, order: int, found: bool, screened: bool) -> EvaluatedCrystal:
    candidate, recognition = m.member.candidate, m.member.recognition
    return EvaluatedCrystal(
        key=m.row.key,
        candidate_id=candidate.id,
        order=order,
        round=m.row.round,
        formula=candidate.formula,
        crystal=m.observation.crystal or m.member.relaxation.crystal,
        space_group=recognition.space_group,
        space_group_symbol=recognition.space_group_symbol,
        prototype=recognition.prototype,
        dimensionality=recognition.dimensionality,
        generator=candidate.provenance.generator,
        values=m.values,
        predicted=m.row.predicted,
        cheap=knowledge.cheap[candidate.id],
        meets_goal=found,
        evaluator=m.observation.evaluator,
        method=m.observation.method,
        cost_core_s=m.observation.cost_core_s,
        wall_s=m.observation.wall_s,
        failure=m.observation.failure.reason if m.observation.failure else "",
        novel=True if screened else None,
    )


def _pool(knowledge: Knowledge) -> tuple[PoolEntry, ...]:
    predicted = {r.request.candidate_id: r.predicted for r in knowledge.evaluations}
    return tuple(
        PoolEntry(
            candidate_id=m.candidate.id,
            formula=m.candidate.formula,
            round=m.round,
            generator=m.candidate.provenance.generator,
            space_group=m.recognition.space_group,
            cheap=knowledge.cheap[m.candidate.id],
            predicted=predicted.get(m.candidate.id, {}),
            evaluated=m.candidate.id in predicted,
        )
        for m in knowledge.pool
    )


def _hull(knowledge: Knowledge, method: str) -> tuple[HullPhase, ...]:
    hulls = knowledge.measured_hull
    if hulls is None:
        return ()
    formulas = {m.candidate.id: m.candidate.formula for m in knowledge.pool}
    phases = []
    for entry in hulls.entries:
        amounts = dict(entry.amounts)
        element = next(iter(amounts)) if len(amounts) == 1 and entry.source == "reference" else ""
        phases.append(
            HullPhase(
                formula=element or formulas.get(entry.id, entry.id),
                amounts=amounts,
                energy_per_atom=entry.energy_per_atom,
                formation_energy=hulls.formation_energy(amounts, entry.energy_per_atom),
                energy_above_hull=max(0.0, hulls.distance(amounts, entry.energy_per_atom)),
                method=method,
                source=entry.source,
                candidate_id="" if element else entry.id,
            )
        )
    return tuple(phases)


def _statement(knowledge: Knowledge, method: str) -> str:
    hulls = knowledge.measured_hull
    if hulls is None:
        return "No elemental reference has been evaluated yet, so no energy above hull can be given."
    compounds = sum(e.source != "reference" for e in hulls.entries)
    return (
        f"Energies above hull are relative to the elements {', '.join(sorted(hulls.elements))} and the {compounds} "
        f"crystals that this campaign evaluated, all by {method}. A phase that the campaign did not look at cannot "
        "be on this hull." + _unseen(hulls)
    )


def _unseen(hulls: Hulls) -> str:
    """The binary systems inside the goal's system of which no phase was evaluated, as a warning."""
    seen = {frozenset(e.amounts) for e in hulls.entries}
    largest = max((len(s) for s in seen), default=1)
    if largest < 3:
        return ""
    systems = {pair for s in seen if len(s) >= 3 for pair in combinations(sorted(s), 2)}
    missing = sorted("-".join(pair) for pair in systems if frozenset(pair) not in seen)
    if not missing:
        return ""
    return (
        f" No phase of {', '.join(missing)} was evaluated: crystals of more elements may decompose into such phases, "
        "so their energies above hull are lower bounds. Set MP_API_KEY to bring known phases in."
    )


def _failures(knowledge: Knowledge) -> tuple[FailureRow, ...]:
    counts: Counter[tuple[int, str, str, str]] = Counter()
    for row in knowledge.rows:
        if row.failure:
            stage = row.failure["stage"]
            what = row.failure.get("screen", row.candidate.provenance.generator)
            counts[(row.round, stage, what, row.failure["reason"])] += 1
    for m in knowledge.measured:
        if m.observation.failure:
            counts[(m.row.round, "evaluate", m.member.candidate.formula, m.observation.failure.reason)] += 1
    return tuple(
        FailureRow(round=r, stage=s, what=w, reason=reason, count=n) for (r, s, w, reason), n in sorted(counts.items())
    )


def _times(events: list[dict[str, object]], wall_s: float) -> tuple[StageTime, ...]:
    seconds: defaultdict[str, float] = defaultdict(float)
    for event in events:
        charged = event.get("seconds")
        if isinstance(charged, dict):
            for stage, value in charged.items():
                seconds[str(stage)] += float(value)
    rows = [StageTime(stage=s, wall_s=round(v, 3), tool=s in TOOLS) for s, v in seconds.items()]
    inside = sum(v for s, v in seconds.items() if s in TOOLS)
    known = [r for r in rows if r.tool]
    return (*known, StageTime(stage="outside the tools", wall_s=round(max(0.0, wall_s - inside), 3), tool=False))


def _notes(ledger: Ledger, events: list[dict[str, object]], running: int) -> tuple[str, ...]:
    notes = [str(n) for n in ledger.meta("notes", [])]
    heads = [e for e in events if e["kind"] == "head" and e.get("trained")]
    if heads:
        kept = sum(bool(e.get("accepted")) for e in heads)
        last = heads[-1]
        notes.append(
            f"The network's head was retrained {len(heads)} times and kept {kept} times; last held-out error "
            f"{last.get('held_out_rmse_before')} before, {last.get('held_out_rmse_after')} eV/atom after."
        )
    if running:
        notes.append(f"{running} evaluations are reserved or running; `lodestone resume` collects them.")
    sessions = sum(e["kind"] == "session started" for e in events)
    if sessions > 1:
        notes.append(f"The campaign ran in {sessions} sessions.")
    return tuple(notes)


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(float(seconds), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
