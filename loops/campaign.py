"""One campaign from its first reservation to its last: sessions, rounds, stop rules. The only stateful class.

What is not here: what a round does (`round.py`), and what a user types (`cli.py`).
"""

from __future__ import annotations

import os
import platform
import re
import socket
import time
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from ..tools.core.errors import GoalError, LedgerError
from ..tools.core.failpoints import passing
from ..tools.core.plans import RoundPlan
from ..tools.core.types import GoalSpec, Understanding
from .briefing import make_brief
from .chronometer import active_seconds
from .clock import StageClock
from .flow import Artifact, PrefectShow
from .flywheel import Flywheel
from .head import HeadKeeper
from .inherited import inherit
from .judgement import calibration_of, weighed
from .knowledge import Knowledge
from .ledger import Ledger, counts, holds_ledger
from .ledger.bookings import EVALUATIONS, Account, caps_of
from .limits import check_limits
from .lock import CampaignLock
from .opinions import facts
from .paying import Payments
from .prefect_server import Patience
from .round import Round, StageRunner, prepare_references
from .settings import OPERATIONAL, Settings
from .versions import equip
from .view import View
from .wiring import Parts

PINNED = (
    "lodestone", "torch", "torch-geometric", "chgnet", "sevenn", "gpaw", "botorch", "gpytorch", "pymatgen", "ase",
    "pyxtal", "SMACT", "moyopy", "prefect", "langchain",
)  # fmt: skip
"""Packages whose versions go into the report."""

MIN_FREE_BYTES = 50_000_000
"""A campaign does not start, and no round starts, with less free disk than this."""


class Campaign:
    """A campaign directory with its lock held."""

    def __init__(self, directory: Path, ledger: Ledger, lock: CampaignLock) -> None:
        self.directory = directory
        self.ledger = ledger
        self._lock = lock
        self.goal = GoalSpec.model_validate(ledger.meta("goal"))

    @classmethod
    def create(cls, directory: Path, understanding: Understanding, settings: Settings, parts: Parts) -> Campaign:
        """Make the directory, lock it and write the accepted goal. Raises LedgerError, GoalError."""
        goal = understanding.goal
        check_limits(goal.budget, settings.limits)
        elements = goal_elements(goal)
        if goal.budget.evaluations < len(elements) + 1 and goal.space.is_fixed_formula:
            raise GoalError(
                f"{goal.budget.evaluations} evaluations are too few: the references of {', '.join(elements)} take "
                f"{len(elements)}, and at least one crystal has to be evaluated.",
                f"Allow at least {len(elements) + 1} evaluations.",
            )
        former, taken = inherit(settings.surrogate.former, parts.evaluator.method, parts.potential.name)
        lock = claim(directory)
        try:
            ledger = Ledger.create(
                directory,
                caps=caps_of(goal.budget, parts.opinions_allowed(goal)),
                url=settings.ledger.url,
                meta_values={
                    "goal": goal.model_dump(mode="json"),
                    "assumptions": list(understanding.assumptions),
                    "unused": list(understanding.unused),
                    "notes": [*understanding.notes, *taken],
                    "inherited": [f.model_dump(mode="json") for f in former],
                    # What serves people only is today's at each start; a webhook's address is a secret besides.
                    "settings": settings.model_dump(mode="json", exclude=set(OPERATIONAL)),
                    "evaluator": parts.evaluator.name,
                    "evaluator_version": parts.evaluator.version,
                    "method": parts.evaluator.method,
                    "scout": None
                    if parts.scout is None
                    else {
                        "name": parts.scout.name,
                        "version": parts.scout.version,
                        "method": parts.scout.method,
                        "fidelity": parts.scout.fidelity,
                    },
                    "potential": parts.potential.name,
                    "potential_record": parts.potential.record.model_dump(mode="json"),
                    "versions": versions(),
                    "status": "running",
                },
            )
            ledger.take_over(os.getpid(), socket.gethostname())
        except BaseException:
            lock.release()
            raise
        return cls(directory, ledger, lock)

    @classmethod
    def open(cls, directory: Path) -> Campaign:
        """Lock an existing campaign for going on. Raises LedgerError."""
        if not holds_ledger(directory):
            raise LedgerError(f"No campaign in {directory}.", 'Start one with `lodestone run "…" --dir DIR`.')
        lock = CampaignLock(directory)
        lock.acquire()
        try:
            ledger = Ledger.open(directory)
            ledger.verify()
            ledger.take_over(os.getpid(), socket.gethostname())
        except BaseException:
            lock.release()
            raise
        return cls(directory, ledger, lock)

    def close(self) -> None:
        """Give the directory back."""
        self._lock.release()

    # --- running -------------------------------------------------------------------------------

    def run(self, parts: Parts, view: View) -> str:
        """Run rounds until the goal, the budget or the planner ends the campaign; the reason, in words."""
        clock = StageClock()
        began = time.monotonic()
        earlier = active_seconds(self.ledger)
        self.ledger.set_meta("status", "running", "session started")
        parts.toolbox.tell = view.note
        parts.toolbox.conversations = self.directory / "conversations"

        def seconds_left() -> float:
            return self.goal.budget.wall_hours * 3600 - (earlier + time.monotonic() - began)

        prices = parts.settings.costs.prices()
        payments = Payments(self.ledger, parts.evaluator, prices, view, seconds_left, parts.scout)
        prefect = parts.settings.prefect
        show = PrefectShow(
            self.directory,
            prefect,
            view.note,
            server_home=Path(prefect.home) if prefect.home else None,
            patience=Patience(restart_after_s=prefect.restart_after_s),
        )
        show.start()
        reason = ""
        try:
            for problem in payments.reconcile():
                view.person(problem)
            flywheel = Flywheel(self.directory, self.ledger, parts, parts.settings.learning)
            equip(self.directory, self.ledger, parts)
            prepare_references(self.ledger, parts, clock, view, goal_elements(self.goal))
            while not reason:
                check_disk(self.directory)
                number, plan = self._next_round()
                elapsed = earlier + time.monotonic() - began
                if plan is None:
                    reason = self._over(number, elapsed, payments)
                    if reason:
                        break
                    plan = self._plan(parts, number, elapsed, clock)
                    if plan.stop:
                        view.planned(plan)
                        reason = plan.reason
                        break
                    self.ledger.add_plan(plan)
                view.planned(plan)
                work = Round(number, self.directory, self.ledger, parts, clock, view, payments, flywheel)
                self._run_round(show, plan, work)
            self.ledger.set_meta("stop_reason", reason, "stopped")
            self.ledger.set_meta("status", "finished", "finished")
        finally:
            show.stop()
            # The ledger may be what failed: its own error is already on the way to the user.
            with suppress(LedgerError):
                self.ledger.note("session ended", 0, {"wall_s": time.monotonic() - began, "seconds": clock.take()})
        return reason

    def _next_round(self) -> tuple[int, RoundPlan | None]:
        last = self.ledger.last_plan()
        if last is None:
            return 1, None
        plan, state = last
        return (plan.round + 1, None) if state == "finished" else (plan.round, plan)

    def _over(self, number: int, elapsed: float, payments: Payments) -> str:
        """The hard caps, which no planner can move; the empty string while there is room."""
        budget = self.goal.budget
        affordable, resource = payments.affordable()
        if affordable < 1:
            return _spent_reason(resource, self.ledger.accounts()[resource], payments.charges()[resource])
        if elapsed >= budget.wall_hours * 3600:
            return f"The time of {budget.wall_hours:g} h is over."
        typical = self._round_seconds()
        if elapsed + typical > budget.wall_hours * 3600:
            return f"Another round, of about {typical:.0f} s, would pass the time of {budget.wall_hours:g} h."
        if number > budget.rounds:
            return f"The {budget.rounds} rounds are done."
        knowledge = Knowledge.read(self.ledger)
        if broken := knowledge.broken_evaluator():
            return broken
        hits = len(knowledge.hits())
        if self.goal.stop.hits is not None and hits >= self.goal.stop.hits:
            return f"{hits} crystals that meet the goal were found, as asked."
        if number > 1 and not counts.in_round(self.ledger, number - 1) and not knowledge.waiting:
            return "No generator has a new crystal for this goal: everything it can give was looked at."
        return ""

    def _plan(self, parts: Parts, number: int, elapsed: float, clock: StageClock) -> RoundPlan:
        knowledge = Knowledge.read(self.ledger)
        left = self.goal.budget.wall_hours * 3600 - elapsed
        head = HeadKeeper(self.directory / "models", parts.settings.surrogate.retrain_head)
        with clock.measure("surrogate"):
            told = facts(knowledge, parts.scout, parts.evaluator)
            fidelities = weighed(told, knowledge, head, self.ledger)
        brief = make_brief(knowledge, number, left, calibration_of(knowledge), fidelities)
        missing = [g for g in parts.generators if g not in brief.generators]
        if missing:
            from ..tools.core.plans import GeneratorYield

            brief = brief.model_copy(
                update={"generators": {**brief.generators, **{g: GeneratorYield() for g in missing}}}
            )
        with clock.measure("plan"):
            parts.watch(knowledge, head)
            passing("planner.before")
            plan = parts.planner.plan(brief)
            passing("planner.after")
            parts.toolbox.rest()
        if plan.tokens or "(after: " in plan.decided_by or "[policy: " in plan.reason:
            # What a model used, what it failed at and what the policy refused; the plan itself is recorded besides.
            facts_of = {"decided_by": plan.decided_by, "tokens": plan.tokens, "money": plan.money}
            self.ledger.note("planner", number, {**facts_of, "reason": plan.reason})
        return plan

    def _round_seconds(self) -> float:
        """What a round usually takes: the median of the last ten, 0 before the first."""
        last = self.ledger.events("round finished")[-10:]
        totals = sorted(sum(float(v) for v in e["seconds"].values()) for e in last)
        return totals[len(totals) // 2] if totals else 0.0

    def _run_round(self, show: PrefectShow, plan: RoundPlan, work: Round) -> None:
        def body(runner: StageRunner[None]) -> None:
            work.run(plan, runner)

        name = f"{self.directory.name} · round {plan.round}"
        show.run_round(name, body, lambda: self._artifacts(plan.round, plan))

    def _artifacts(self, number: int, plan: RoundPlan) -> list[Artifact]:
        knowledge = Knowledge.read(self.ledger)
        rows = [
            {
                "formula": m.entry.formula,
                "space group": m.member.recognition.space_group_symbol,
                **{n: f"{m.values[n].value:.4g}" if n in m.values else "–" for n in self.goal.properties},
            }
            for m in knowledge.measured
            if m.entry.round == number
        ]
        # A shared server shows many campaigns: each has artifacts of its own, of which every round is a version.
        prefix = re.sub(r"[^a-z0-9]+", "-", self.directory.name.lower()).strip("-") or "campaign"
        account = self.ledger.accounts()[EVALUATIONS]
        share = 100 * account.spent / account.cap if account.cap else 0.0
        made = [
            Artifact("table", f"{prefix}-crystals", f"Crystals evaluated in round {number}", rows),
            Artifact("markdown", f"{prefix}-plan", f"Plan of round {number}", plan.reason),
            Artifact("progress", f"{prefix}-budget", "Evaluations spent, %", min(100.0, share)),
        ]
        report = self.directory / "report.html"
        if report.exists():
            made.append(Artifact("link", f"{prefix}-report", "Report", report.resolve().as_uri()))
        return made


def claim(directory: Path) -> CampaignLock:
    """Make a directory for a new campaign, and lock it. Raises LedgerError where it holds one, or has no room."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerError(
            f"Cannot create {directory}: {error.strerror}.", "Choose another --dir, or check permissions."
        ) from error
    lock = CampaignLock(directory)
    lock.acquire()
    try:
        if holds_ledger(directory):
            raise LedgerError(
                f"{directory} already holds a campaign.",
                f"Go on with `lodestone resume {directory}`, or give another --dir.",
            )
        check_disk(directory)
    except BaseException:
        lock.release()
        raise
    return lock


def goal_elements(goal: GoalSpec) -> tuple[str, ...]:
    """Elements that a crystal of this goal can hold, sorted."""
    if goal.space.formula is not None:
        from pymatgen.core import Composition

        return tuple(sorted(str(e) for e in Composition(goal.space.formula).elements))
    return tuple(sorted(goal.space.allowed))


def _spent_reason(resource: str, account: Account, needed: int) -> str:
    if resource == EVALUATIONS:
        return f"The budget of {account.cap} evaluations is spent."
    return (
        f"The budget of {resource} does not allow another evaluation: {account.spent} spent and {account.reserved} "
        f"reserved of {account.cap}, and one may take {needed}."
    )


def check_disk(directory: Path) -> None:
    """Raise LedgerError when there is too little room to go on safely, or the directory cannot be written."""
    if not os.access(directory, os.W_OK):
        raise LedgerError(f"Cannot write in {directory}.", "Choose another --dir, or check its permissions.")
    stat = os.statvfs(directory)
    free = stat.f_bavail * stat.f_frsize
    if free < MIN_FREE_BYTES:
        raise LedgerError(
            f"Only {free / 1e6:.0f} MB are free in {directory}; a round needs {MIN_FREE_BYTES / 1e6:.0f} MB.",
            "Free space, then `lodestone resume`; nothing recorded was lost.",
        )


def versions() -> dict[str, Any]:
    """Versions of what the numbers rest on."""
    found = {"python": platform.python_version()}
    for name in PINNED:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
