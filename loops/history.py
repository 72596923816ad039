"""Builds the `CampaignRecord` that status, report and export read, from a campaign directory alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

from ..tools.core.errors import LedgerError
from .clock import TOOLS
from .hulls import Hulls
from .judgement import calibration_of
from .knowledge import Knowledge, Measured
from .ledger import OPEN_STATES, EvaluationRow, Ledger, counts
from .opinions import Opinions
from .record import CampaignRecord, EvaluatedCrystal, FailureRow, HullPhase, PoolEntry, StageTime

REPORTED = 5000
"""Crystals of the pool, and evaluated ones, that a report can hold; larger campaigns show the best and the latest."""


def build_record(directory: Path) -> CampaignRecord:
    """Read everything about a campaign. Raises LedgerError when there is none, or it is unreadable."""
    from .chronometer import active_seconds

    ledger = Ledger.open(directory, read_only=True)
    meta = ledger.all_meta()
    knowledge = Knowledge.read(ledger, REPORTED, REPORTED)
    measured = _reported(knowledge)
    complete = {row.key: row for row in ledger.evaluations_by_key([m.entry.key for m in measured])}
    sessions = ledger.events(("session started", "session ended"))
    found = {m.entry.key for m in knowledge.hits()}
    screened = bool(meta.get("settings", {}).get("screen", {}).get("known_crystals"))
    wall_s = active_seconds(ledger)
    status = str(meta["status"])
    kinds = Counter(e["kind"] for e in sessions)
    if status == "running" and kinds["session started"] == kinds["session ended"]:
        status = "interrupted"
    first, last = ledger.first_and_last_event()
    evaluations = knowledge.evaluations
    return CampaignRecord(
        directory=str(directory),
        goal=knowledge.goal,
        assumptions=tuple(meta.get("assumptions", [])),
        unused=tuple(meta.get("unused", [])),
        status=status,
        stop_reason=str(meta.get("stop_reason", "")),
        started_at=_when(first),
        finished_at=_when(last) if status == "finished" else "",
        wall_s=wall_s,
        evaluator=f"{meta['evaluator']}-{meta['evaluator_version']}",
        method=knowledge.method,
        opinion_fidelity=(meta.get("scout") or {}).get("fidelity", ""),
        potential=knowledge.potential,
        plans=tuple(plan for plan, _ in ledger.plans()),
        evaluated=tuple(
            _evaluated(knowledge, m, complete[m.entry.key], order, m.entry.key in found, screened)
            for order, m in enumerate(measured, start=1)
        ),
        pool=_pool(knowledge),
        hull=_hull(knowledge, measured),
        hull_statement=_statement(knowledge),
        failures=_failures(knowledge),
        times=_times(ledger.events(("round finished", "session ended")), wall_s),
        evaluations_spent=sum(e.state != "PROPOSED" for e in [*evaluations, *knowledge.labels]),
        evaluations_reference=sum(e.purpose == "reference" for e in evaluations),
        evaluations_labels=len(knowledge.labels),
        evaluations_failed=sum(bool(e.failure) for e in evaluations),
        coverage_90=calibration_of(knowledge),
        notes=_notes(ledger, meta, knowledge, kinds["session started"]),
        versions={k: str(v) for k, v in meta.get("versions", {}).items()} | _weights(meta),
    )


def _weights(meta: dict[str, Any]) -> dict[str, str]:
    """Checksum and licence of the relaxation potential's weights, for the list of versions."""
    told = meta.get("potential_record")
    if not told:
        return {}
    checksum = f"sha256 {told['sha256'][:12]}" if told["sha256"] else "without a checksum"
    return {f"weights of {told['name']}": f"{checksum} (licence: {told['licence']})"}


def _reported(knowledge: Knowledge) -> list[Measured]:
    """Every finished evaluation; in a very large campaign those that the models learn from and the last failures."""
    measured = knowledge.measured
    if len(measured) <= REPORTED:
        return measured
    kept = {m.id for m in knowledge.training}
    failed = [m.id for m in measured if not m.values][-REPORTED // 10 :]
    return [m for m in measured if m.id in kept or m.id in failed]


def _evaluated(
    knowledge: Knowledge, m: Measured, row: EvaluationRow, order: int, found: bool, screened: bool
) -> EvaluatedCrystal:
    member, observation = m.member, row.observation
    candidate, recognition = member.candidate, member.recognition
    if observation is None:
        raise LedgerError(f"Evaluation {row.key[:12]} is finished without a result.", "Run `lodestone ledger verify`.")
    return EvaluatedCrystal(
        key=row.key,
        candidate_id=candidate.id,
        order=order,
        round=row.round,
        formula=candidate.formula,
        crystal=observation.crystal or member.relaxation.crystal,
        space_group=recognition.space_group,
        space_group_symbol=recognition.space_group_symbol,
        prototype=recognition.prototype,
        dimensionality=recognition.dimensionality,
        generator=candidate.provenance.generator,
        values=m.values,
        predicted=row.predicted,
        cheap=knowledge.cheap[candidate.id],
        meets_goal=found,
        why=row.why,
        evaluator=observation.evaluator,
        method=observation.method,
        cost_core_s=observation.cost_core_s,
        wall_s=observation.wall_s,
        failure=observation.failure.reason if observation.failure else "",
        novel=True if screened else None,
    )


def _pool(knowledge: Knowledge) -> tuple[PoolEntry, ...]:
    entries = {e.candidate_id: e for e in knowledge.evaluations}
    return tuple(
        PoolEntry(
            candidate_id=m.candidate.id,
            formula=m.candidate.formula,
            round=m.round,
            generator=m.candidate.provenance.generator,
            space_group=m.recognition.space_group,
            cheap=knowledge.cheap[m.candidate.id],
            predicted=entries[m.candidate.id].predicted if m.candidate.id in entries else {},
            evaluated=m.candidate.id in entries,
        )
        for m in knowledge.pool
    )


def _hull(knowledge: Knowledge, measured: list[Measured]) -> tuple[HullPhase, ...]:
    hulls = knowledge.measured_hull
    if hulls is None:
        return ()
    phases = [
        HullPhase(
            formula=symbol,
            amounts={symbol: 1.0},
            energy_per_atom=energy,
            formation_energy=hulls.formation_energy({symbol: 1.0}, energy),
            energy_above_hull=max(0.0, hulls.distance({symbol: 1.0}, energy)),
            method=knowledge.method,
            source="reference",
        )
        for symbol, energy in knowledge.measured_references.items()
    ]
    phases += [
        HullPhase(
            formula=m.entry.formula,
            amounts=m.amounts,
            energy_per_atom=m.entry.outcome["energy_per_atom"].value,
            formation_energy=m.values["formation_energy"].value,
            energy_above_hull=m.values["energy_above_hull"].value,
            method=knowledge.method,
            source="campaign",
            candidate_id=m.id,
        )
        for m in measured
        if "formation_energy" in m.values
    ]
    return tuple(phases)


def _statement(knowledge: Knowledge) -> str:
    hulls = knowledge.measured_hull
    if hulls is None:
        return "No elemental reference has been evaluated yet, so no energy above hull can be given."
    compounds = sum("formation_energy" in m.values for m in knowledge.measured)
    return (
        f"Energies above hull are relative to the elements {', '.join(sorted(hulls.elements))} and the {compounds} "
        f"crystals that this campaign evaluated, all by {knowledge.method}. A phase that the campaign did not look at "
        "cannot be on this hull." + _unseen(hulls)
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
    found: Counter[tuple[int, str, str, str]] = Counter()
    for number, stage, what, reason, count in counts.failures(knowledge.ledger):
        found[(number, stage, what, reason)] += count
    for m in knowledge.measured:
        if m.entry.failure:
            found[(m.entry.round, "evaluate", m.entry.formula, m.entry.failure)] += 1
    return tuple(
        FailureRow(round=r, stage=s, what=w, reason=reason, count=n)
        for (r, s, w, reason), n in sorted(found.most_common(counts.MAX_REASONS))
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


def _notes(ledger: Ledger, meta: dict[str, Any], knowledge: Knowledge, sessions: int) -> tuple[str, ...]:
    notes = [str(n) for n in meta.get("notes", [])]
    heads = [e for e in ledger.events("head") if e.get("trained")]
    if heads:
        kept = sum(bool(e.get("accepted")) for e in heads)
        last = heads[-1]
        notes.append(
            f"The network's head was retrained {len(heads)} times and kept {kept} times; last held-out error "
            f"{last.get('held_out_rmse_before')} before, {last.get('held_out_rmse_after')} eV/atom after."
        )
    notes += _learned(ledger)
    if knowledge.opinions:
        own, potential = Opinions(knowledge).disagreement()
        scout = (meta.get("scout") or {}).get("name", "a cheaper evaluator")
        errors = "" if own is None else f"; they err by {own:.3f} eV/atom, the potential by {potential:.3f}"
        notes.append(f"{len(knowledge.opinions)} second opinions by {scout} sharpened the choice{errors}.")
    states = Counter(e.state for e in knowledge.evaluations)
    if running := sum(states[s] for s in OPEN_STATES):
        notes.append(f"{running} evaluations are reserved or running; `lodestone resume` collects them.")
    if unknown := states["UNKNOWN"]:
        notes.append(
            f"Nobody can tell what became of {unknown} evaluations; their money stays reserved until a person settles "
            "them with `lodestone ledger settle`."
        )
    if knowledge.size > REPORTED:
        notes.append(f"Shown are the {REPORTED} crystals nearest to the hull, of {knowledge.size} in the pool.")
    if len(knowledge.measured) > REPORTED:
        notes.append(f"Shown are {REPORTED} of {len(knowledge.measured)} evaluated crystals: the best and the latest.")
    if sessions > 1:
        notes.append(f"The campaign ran in {sessions} sessions.")
    return tuple(notes)


def _learned(ledger: Ledger) -> list[str]:
    """What became of the potential, where it was to learn."""
    found = ledger.events("learned")
    made = [e for e in found if "looked_at_again" in e]
    if not found:
        return []
    if not made:
        return [f"The relaxation potential stayed as it was: {found[-1].get('why') or found[-1].get('reason')}."]
    before, after = made[0]["before"], made[-1]["after"]
    return [
        f"The relaxation potential was tuned on {made[-1]['trained']} labels and changed {len(made)} times; held-out "
        f"error {1000 * before['energy']:.0f} meV/atom and {before['force']:.2f} eV/Å at first, "
        f"{1000 * after['energy']:.0f} meV/atom and {after['force']:.2f} eV/Å at last (`lodestone potential`)."
    ]


def _when(seconds: float) -> str:
    return datetime.fromtimestamp(float(seconds), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
