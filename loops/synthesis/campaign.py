"""One synthesis campaign: recipes are chosen, paid for, made and measured until the target is there.

The ledger, the reservation of samples and the reconciliation at start-up are those of every campaign. What is not
here: the laboratory (`tools/lab`), and what is shown (`view.py`, `report.py`).
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ...surrogate.synthesis import SynthesisHeat
from ...tools.core.errors import GoalError, LabError, LedgerError
from ...tools.core.synthesis import Recipe, SynthesisGoal
from ...tools.core.types import Budget, EvaluationRequest, JobStatus, Quantity
from ...tools.lab.evaluator import TARGET_FRACTION, LabEvaluator
from ...tools.lab.recipes.balance import reactions_for
from ...tools.lab.recipes.chooser import LearningChooser
from ...tools.lab.recipes.formulas import amounts_of, same_ratios
from ...tools.lab.recipes.pairs import PairBook
from ...tools.lab.recipes.space import RecipeSpace
from ...tools.lab.site import AIR, Site
from ..campaign import check_disk, claim, versions
from ..chronometer import active_seconds
from ..ledger import OPEN_STATES, Ledger
from ..ledger.bookings import caps_of
from ..limits import check_limits
from ..lock import CampaignLock
from ..paying import Payments
from ..settings import OPERATIONAL, Settings
from ..summary import SYNTHESIS
from .experiments import Experiment, best_of, experiments_of, reaction_of
from .view import SynthesisView

SPARE = 12
"""Recipes that are looked at for each that is made: not every one fits its template and a crucible."""
FRESH_S = 20.0
"""Within which a station that works has looked at every instrument again."""
WAIT_S = 2.0
"""Between two looks at samples that wait for a person."""
OTHERS = 4
"""Samples in a row with enough of the target's composition, in another structure than the predicted one: it forms."""
BATCH_G = 3.0
"""Target of one sample."""


class SynthesisCampaign:
    """A synthesis campaign's directory with its lock held."""

    def __init__(self, directory: Path, ledger: Ledger, lock: CampaignLock, evaluator: LabEvaluator) -> None:
        self.directory, self.ledger, self.evaluator = directory, ledger, evaluator
        self.goal = SynthesisGoal.model_validate(ledger.meta("goal"))
        self._lock = lock
        self._waited = False

    @classmethod
    def create(cls, directory: Path, goal: SynthesisGoal, settings: Settings) -> SynthesisCampaign:
        """Make the directory, lock it, look whether the laboratory can try at all, and write the accepted goal.

        Raises:
            GoalError: beyond a limit, or no approved recipe makes the target from the powders at hand.
            LabError: the laboratory is not described.
            LedgerError: the directory holds a campaign, or cannot be written.
        """
        budget = Budget(evaluations=goal.experiments, samples=goal.experiments, wall_hours=goal.wall_hours)
        check_limits(budget, settings.limits)
        amounts_of(goal.target)
        lock = claim(directory)
        try:
            evaluator = evaluator_of(directory, settings, goal)
            evaluator.found()
            spaces = space_of(goal, evaluator.site)
            ledger = Ledger.create(
                directory,
                caps=caps_of(budget),
                url=settings.ledger.url,
                meta_values={
                    "kind": SYNTHESIS,
                    "goal": goal.model_dump(mode="json"),
                    "settings": settings.model_dump(mode="json", exclude=set(OPERATIONAL)),
                    "evaluator": evaluator.name,
                    "evaluator_version": evaluator.version,
                    "method": evaluator.method,
                    "reactions": [str(r) for r in spaces.reactions],
                    "without_structure": list(without_structure(goal, evaluator.site)),
                    "versions": versions(),
                    "status": "running",
                },
            )
            ledger.take_over(os.getpid(), socket.gethostname())
        except BaseException:
            lock.release()
            raise
        return cls(directory, ledger, lock, evaluator)

    @classmethod
    def open(cls, directory: Path, settings: Settings) -> SynthesisCampaign:
        """Lock an existing campaign for going on. Raises LedgerError."""
        lock = CampaignLock(directory)
        lock.acquire()
        try:
            ledger = Ledger.open(directory)
            ledger.verify()
            evaluator = evaluator_of(directory, settings, SynthesisGoal.model_validate(ledger.meta("goal")))
            if evaluator.version != (began := str(ledger.meta("evaluator_version"))):
                raise LedgerError(
                    f"This campaign was made with laboratory code {began}; {evaluator.version} is installed now.",
                    "Install the old one, or start a new campaign.",
                )
            ledger.take_over(os.getpid(), socket.gethostname())
        except BaseException:
            lock.release()
            raise
        return cls(directory, ledger, lock, evaluator)

    def close(self) -> None:
        """Give the directory back."""
        self._lock.release()

    def run(self, settings: Settings, view: SynthesisView) -> str:
        """Make samples until the target is there or the budget is spent; the reason, in words.

        Raises:
            LabError: the emergency stop is latched, or the laboratory does not answer.
        """
        began, earlier = time.monotonic(), active_seconds(self.ledger)
        self.ledger.set_meta("status", "running", "session started")

        def seconds_left() -> float:
            return self.goal.wall_hours * 3600 - (earlier + time.monotonic() - began)

        payments = Payments(self.ledger, self.evaluator, settings.costs.prices(), view, seconds_left)
        reason = ""
        try:
            self.evaluator.attend()
            for problem in payments.reconcile():
                view.person(problem)
            for number in sorted({row.round for row in self.ledger.evaluations(states=OPEN_STATES)}):
                self._make(payments, number, view)
            while not reason:
                check_disk(self.directory)
                done = experiments_of(self.ledger, self.evaluator)
                view.experiments(done)
                waiting = payments.collect()
                reason = self._over(done, payments, seconds_left(), waiting)
                if reason:
                    break
                number = max((e.row.round for e in done), default=0) + 1
                free = len(self.evaluator.site.furnaces) - waiting
                if free < 1 or payments.affordable()[0] < 1:
                    # A sample that waits for a person holds its furnace; powders weighed now would wait in the open.
                    self._wait(view)
                    continue
                chosen = self._choose(done, payments, free)
                if not chosen:
                    reason = "No allowed recipe is left that was not tried."
                    break
                payments.book(number, chosen)
                self._make(payments, number, view)
            self._bring_in(payments)
            self.ledger.set_meta("stop_reason", reason, "stopped")
            self.ledger.set_meta("status", "finished", "finished")
        finally:
            with suppress(LedgerError):
                self.ledger.note("session ended", 0, {"wall_s": time.monotonic() - began, "seconds": {}})
        return reason

    def _make(self, payments: Payments, number: int, view: SynthesisView) -> None:
        payments.evaluate(number, lambda *_: view.experiments(experiments_of(self.ledger, self.evaluator)))
        self._check_stop()

    def _check_stop(self) -> None:
        """Raise LabError while the emergency stop is latched, as seen now and not before it may have been cleared."""
        looked, told = time.time(), self.evaluator.told()
        while told is not None and told.stop is not None and told.at_s < looked < time.time() < looked + FRESH_S:
            if not self.evaluator.working():
                break
            time.sleep(0.2)
            told = self.evaluator.told()
        if told is not None and told.stop is not None:
            raise LabError(
                f"The laboratory's emergency stop is latched: {told.stop.reason}.",
                f"Look at it, clear it (`lodestone lab clear {self.directory}`), then "
                f"`lodestone resume {self.directory}`; the samples keep their places.",
            )

    def _bring_in(self, payments: Payments) -> None:
        """Wait for samples that a person has settled; those still in doubt are left to `resume`."""
        while any(
            self.evaluator.lookup(row.key) in (JobStatus.RUNNING, JobStatus.DONE)
            for row in self.ledger.evaluations(states=("UNKNOWN",))
        ):
            self.evaluator.attend()
            payments.collect()
            time.sleep(WAIT_S)

    def _wait(self, view: SynthesisView) -> None:
        if not self._waited:
            view.note("Samples wait for a person, or go on after one; the campaign goes on by itself.")
        self._waited = True
        self._check_stop()
        self.evaluator.attend()
        time.sleep(WAIT_S)

    def _over(self, done: list[Experiment], payments: Payments, left_s: float, waiting: int) -> str:
        best = best_of([e for e in done if e.reaches(self.goal)])
        if best is not None and best.fraction is not None:
            return f"Experiment {best.number} gave {100 * best.fraction:.1f} % {self.goal.target}."
        if payments.affordable()[0] < 1 and not waiting:
            return f"The {self.goal.experiments} experiments are made."
        if left_s <= 0:
            return f"The time of {self.goal.wall_hours:g} h is over."
        last = [e for e in done if e.result is not None]
        if len(last) >= 3 and all(e.reading is None for e in last[-3:]):
            return f"Three samples in a row gave no pattern; the last: {last[-1].failure}."
        if len(last) >= OTHERS and all(e.in_another_form(self.goal, self.evaluator.wanted) for e in last[-OTHERS:]):
            return f"{OTHERS} samples in a row were {self.goal.target} of another structure than the predicted one."
        return ""

    def _choose(
        self, done: list[Experiment], payments: Payments, free: int
    ) -> list[tuple[EvaluationRequest, str, Mapping[str, Quantity], str]]:
        """Requests for the next recipes, as many as there are free furnaces and samples."""
        site = self.evaluator.site
        chooser = self._chooser(done)
        count = min(free, payments.affordable()[0])
        wanted = self.evaluator.wanted
        phase = next(p for p in site.structures_of(self.goal.target) if not wanted or p.id in wanted)
        earlier = Counter(e.recipe.digest() for e in done)
        under_way = {e.recipe.digest() for e in done if e.result is None}
        chosen: list[tuple[EvaluationRequest, str, Mapping[str, Quantity], str]] = []
        for recipe in chooser.ask(SPARE * count):
            if len(chosen) == count:
                break
            if recipe.digest() in under_way or not allowed(recipe, site):
                continue
            request = EvaluationRequest(
                candidate_id=self.goal.target,
                crystal=phase.crystal,
                properties=(TARGET_FRACTION,),
                replicate=earlier[recipe.digest()],
                recipe=recipe.canonical_json(),
            )
            why = f"{reaction_of(recipe)}: {chooser.reasons(recipe)}"
            chosen.append((request, self.goal.target, {}, why))
        return chosen

    def _chooser(self, done: list[Experiment]) -> LearningChooser:
        """Who chooses, having been told everything that was measured."""
        site = self.evaluator.site
        compounds = site.compounds_of(frozenset(amounts_of(self.goal.target)))
        seed = self.goal.seed + len(done)
        chooser = LearningChooser(space_of(self.goal, site), compounds, PairBook(), SynthesisHeat(), seed)
        for experiment in done:
            outcome = experiment.outcome()
            if outcome is not None:
                chooser.tell(outcome)
        return chooser


def evaluator_of(directory: Path, settings: Settings, goal: SynthesisGoal) -> LabEvaluator:
    """The laboratory, with its jobs inside the campaign. Raises LabError where it cannot be used."""
    predicted = None if goal.predicted is None else goal.predicted.phase
    evaluator = LabEvaluator(directory / "jobs", settings.laboratory, predicted)
    missing = evaluator.available()
    if missing is not None:
        raise LabError("The laboratory cannot be used.", missing)
    return evaluator


def allowed(recipe: Recipe, site: Site) -> bool:
    """Whether the approved template and some crucible allow it."""
    powders = tuple(p.formula for p in recipe.powders)
    crucible = site.crucible_for(recipe.template, powders, recipe.atmosphere, recipe.temperature_k)
    return crucible is not None and not site.book().why_not(recipe, crucible)


def space_of(goal: SynthesisGoal, site: Site) -> RecipeSpace:
    """Recipes that the laboratory may try for a target.

    Raises:
        GoalError: no structure of the target is known, or the powders at hand cannot make it.
    """
    if not site.structures_of(goal.target):
        raise GoalError(
            f"{site.name} knows no crystal of {goal.target}, so no pattern could show it.",
            "Add its structure to the laboratory's phases (docs/laboratory.md).",
        )
    known = {same_ratios(c.formula): c.formula for c in site.compounds}
    if same_ratios(goal.target) not in known:
        raise GoalError(
            f"{site.name} has no formation energy of {goal.target}.", "Add it to the laboratory's compounds."
        )
    target = known[same_ratios(goal.target)]
    energies = set(known.values())
    reactions = tuple(r for r in reactions_for(target, site.shelf) if set(r.formulas) <= energies)
    if not reactions:
        wanted = ", ".join(sorted(frozenset(amounts_of(target)) - AIR))
        raise GoalError(
            f"The powders of {site.name} cannot make {target}.", f"It needs sources of {wanted} on the shelf."
        )
    templates = [item.template for item in site.templates]
    gases = {gas: t.name for t in reversed(templates) for gas in t.atmospheres}
    first = templates[0]
    return RecipeSpace(
        reactions,
        template=first.name,
        templates=tuple(sorted(gases.items())),
        temperature_k=(min(t.temperature_k[0] for t in templates), max(t.temperature_k[1] for t in templates)),
        hold_h=first.hold_h,
        atmospheres=tuple(sorted(gases)),
        mill_min=(first.mill_min[0], min(first.mill_min[1], 60.0)),
        regrinds=(0, min(2, first.regrinds)),
        batch_g=BATCH_G,
    )


def without_structure(goal: SynthesisGoal, site: Site) -> tuple[str, ...]:
    """Compounds that may form and whose pattern nobody knows: they would show as something unknown."""
    elements = frozenset(amounts_of(goal.target))
    known = {same_ratios(p.formula) for p in site.phases}
    return tuple(sorted(c.formula for c in site.compounds_of(elements) if same_ratios(c.formula) not in known))
