"""Where a campaign stands, from counts and accounts alone: what `status` and the daily digest say.

It reads no crystals, so it answers at once however large the campaign is. The full record is in `history.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..tools.core.properties import get_property
from ..tools.core.types import Frozen
from .chronometer import active_seconds
from .knowledge import Knowledge, Measured
from .ledger import OPEN_STATES, Ledger, counts

SYNTHESIS = "synthesis"
"""Kind of a campaign that makes one compound (`synthesis/`)."""


class AccountSummary(Frozen):
    """One resource; whole units (core time in seconds, money in hundredths). `cap` None: no cap."""

    resource: str
    spent: int
    reserved: int
    cap: int | None
    left: int | None


class BestCrystal(Frozen):
    """One of the best evaluated crystals; values in catalogue units."""

    candidate_id: str
    formula: str
    space_group: str
    values: dict[str, float]
    meets_goal: bool


class Summary(Frozen):
    """The whole answer."""

    directory: str
    request: str
    status: str
    """`running`, `interrupted` or `finished`."""
    stop_reason: str
    evaluator: str
    round: int
    rounds: int
    wall_s: float
    wall_cap_s: float
    accounts: tuple[AccountSummary, ...]
    candidates: int
    pool: int
    hits: int
    best: tuple[BestCrystal, ...]
    running: int
    """Evaluations that are reserved or under way."""
    failed: int
    planner_tokens: int = 0
    """Tokens that chat models used."""
    planner_money: float = 0.0
    unknown: tuple[str, ...]
    """Keys of evaluations that a person has to settle."""
    remarks: tuple[str, ...] = ()
    """More to say, a line each: the experiments of a synthesis."""


def summarise(directory: Path, top: int = 5) -> Summary:
    """Read it. Raises LedgerError when there is no campaign, or it is unreadable."""
    ledger = Ledger.open(directory, read_only=True)
    meta = ledger.all_meta()
    if meta.get("kind") == SYNTHESIS:
        return _synthesis(directory, ledger, meta)
    knowledge = Knowledge.read(ledger)
    last = ledger.last_plan()
    entries = knowledge.evaluations
    asked = ledger.events("planner")
    hits = {m.id for m in knowledge.hits()}
    return Summary(
        directory=str(directory),
        request=knowledge.goal.text,
        status=_standing(ledger, meta),
        stop_reason=str(meta.get("stop_reason", "")),
        evaluator=str(meta["evaluator"]),
        round=0 if last is None else last[0].round,
        rounds=knowledge.goal.budget.rounds,
        wall_s=active_seconds(ledger),
        wall_cap_s=knowledge.goal.budget.wall_hours * 3600,
        accounts=_accounts(ledger),
        candidates=counts.total(ledger),
        pool=knowledge.size,
        hits=len(hits),
        best=tuple(_best(knowledge, m, m.id in hits) for m in knowledge.ranked(top)),
        running=sum(e.state in OPEN_STATES for e in entries),
        failed=sum(bool(e.failure) for e in entries),
        planner_tokens=sum(e["tokens"] for e in asked),
        planner_money=round(sum(e["money"] for e in asked), 6),
        unknown=tuple(e.key for e in entries if e.state == "UNKNOWN"),
    )


def _synthesis(directory: Path, ledger: Ledger, meta: dict[str, Any]) -> Summary:
    from .synthesis.commands import remarks

    rows = ledger.evaluations()
    lines, hits = remarks(directory)
    return Summary(
        directory=str(directory),
        request=str(meta["goal"]["text"]),
        status=_standing(ledger, meta),
        stop_reason=str(meta.get("stop_reason", "")),
        evaluator=str(meta["evaluator"]),
        round=max((row.round for row in rows), default=0),
        rounds=int(meta["goal"]["experiments"]),
        wall_s=active_seconds(ledger),
        wall_cap_s=float(meta["goal"]["wall_hours"]) * 3600,
        accounts=_accounts(ledger),
        candidates=len(rows),
        pool=len(rows),
        hits=hits,
        best=(),
        running=sum(row.state in OPEN_STATES for row in rows),
        failed=sum(row.state == "FAILED_CHARGED" for row in rows),
        unknown=tuple(row.key for row in rows if row.state == "UNKNOWN"),
        remarks=lines,
    )


def _standing(ledger: Ledger, meta: dict[str, Any]) -> str:
    """`running`, `interrupted` or `finished`."""
    ends = ledger.events(("session started", "session ended"))
    status = str(meta["status"])
    if status == "running" and sum(1 if e["kind"] == "session started" else -1 for e in ends) == 0:
        return "interrupted"
    return status


def _accounts(ledger: Ledger) -> tuple[AccountSummary, ...]:
    return tuple(
        AccountSummary(resource=a.resource, spent=a.spent, reserved=a.reserved, cap=a.cap, left=a.left)
        for a in ledger.accounts().values()
        if a.cap is not None or a.spent or a.reserved
    )


def _best(knowledge: Knowledge, m: Measured, hit: bool) -> BestCrystal:
    names = dict.fromkeys((*knowledge.goal.properties, "energy_above_hull"))
    return BestCrystal(
        candidate_id=m.id,
        formula=m.entry.formula,
        space_group=m.member.recognition.space_group_symbol,
        values={n: round(m.values[n].value, 6) for n in names if n in m.values},
        meets_goal=hit,
    )


def summary_text(summary: Summary) -> str:
    """A few lines for a terminal or a mail."""
    lines = [f"{summary.request}", f"{summary.status}, round {summary.round} of at most {summary.rounds}"]
    if summary.stop_reason:
        lines[1] += f": {summary.stop_reason}"
    for a in summary.accounts:
        cap = "no cap" if a.cap is None else f"of {a.cap}"
        lines.append(f"{a.resource}: {a.spent} spent, {a.reserved} reserved, {cap}")
    if summary.planner_tokens:
        rounds = max(1, summary.round)
        cost = f", {summary.planner_money:.4g} of money" if summary.planner_money else ""
        lines.append(
            f"chat models: {summary.planner_tokens} tokens, {summary.planner_tokens / rounds:.0f} a round{cost}"
        )
    for b in summary.best:
        values = ", ".join(f"{get_property(n).label} {v:.4g} {get_property(n).unit}" for n, v in b.values.items())
        lines.append(f"{'✓' if b.meets_goal else ' '} {b.formula} ({b.space_group}): {values}")
    lines += summary.remarks
    if summary.unknown:
        lines.append(f"{len(summary.unknown)} evaluations wait for a person: `lodestone ledger settle`")
    return "\n".join(lines)
