"""One round: plan → propose → screen → relax → recognise → fit → select → reserve → evaluate → record → retrain.

Each step first asks the ledger whether it is done, so that a round which was cut off anywhere goes on from the
last durable mark and ends as an undisturbed one would. What is not here: when to start another round
(`campaign.py`) and how Prefect shows it (`flow.py`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from ..tools.core.errors import EvaluationError, GoalError
from ..tools.core.plans import RoundPlan
from ..tools.core.structure import reduced_formula
from ..tools.core.types import (
    Candidate,
    ChemicalSpace,
    EvaluationRequest,
    Failure,
    GoalSpec,
    Purpose,
    Quantity,
    Relaxation,
)
from ..tools.generate.compositions import compositions
from ..tools.relax.symmetrise import polish
from ..tools.screen.duplicates import ENERGY_TOL
from .clock import StageClock
from .flywheel import Flywheel
from .geometry import amounts, geometry_values
from .head import HeadKeeper
from .judgement import Judgement
from .knowledge import Knowledge, Reference
from .ledger import OPEN_STATES, Ledger, RelaxedRow
from .ledger.bookings import RELEASED
from .paying import Payments
from .view import View
from .wiring import Parts

T = TypeVar("T")
StageRunner = Callable[[str, Callable[[], T]], T]
"""Runs one stage by name: plainly, or as a Prefect task."""


class Round:
    """One round of one campaign."""

    def __init__(
        self,
        number: int,
        directory: Path,
        ledger: Ledger,
        parts: Parts,
        clock: StageClock,
        view: View,
        payments: Payments,
        flywheel: Flywheel,
    ) -> None:
        self.number = number
        self.directory = directory
        self.ledger = ledger
        self.parts = parts
        self.clock = clock
        self.view = view
        self.payments = payments
        self.flywheel = flywheel
        self.goal = GoalSpec.model_validate(ledger.meta("goal"))
        self.head = HeadKeeper(directory / "models", parts.settings.surrogate.retrain_head)

    def run(self, plan: RoundPlan, runner: StageRunner[None]) -> None:
        """Do what the plan says, from wherever an earlier attempt left it."""
        last = self.ledger.last_plan()
        state = last[1] if last is not None and last[0].round == self.number else "finished"
        if state == "planned":
            runner("generate and screen", lambda: self.propose(plan))
        if state in ("planned", "proposed"):
            runner("relax and recognise", self.relax)
            runner("select and reserve", lambda: self.select(plan))
        runner("evaluate", self.evaluate)
        runner("retrain", self.retrain)
        self.ledger.finish_round(self.number, {"seconds": {k: round(v, 3) for k, v in self.clock.take().items()}})

    # --- propose and screen --------------------------------------------------------------------

    def propose(self, plan: RoundPlan) -> None:
        """Ask each generator for its share; of what passes every screen and is new, keep the lowest in energy.

        The energy is that of the unrelaxed crystal on the potential: one model call, where a relaxation takes forty.
        It ranks within a generator, so that rough random crystals do not have to compete with ready-made prototypes;
        the kept ones are relaxed in the order of their promise.
        """
        knowledge = Knowledge.read(self.ledger)
        known: set[str] = set()
        kept: list[tuple[float, Candidate]] = []
        rejected: list[tuple[Candidate, str, str]] = []
        self.view.stage("generate", plan.proposals)
        if self.number == 1:
            with self.clock.measure("generate"):
                phases, notes = self.parts.known_phases(self.goal)
            proposed = self.ledger.known_ids([c.id for c in phases])
            kept += [(-math.inf, c) for c in phases if c.id not in proposed]
            known |= {c.id for _, c in kept}
            for note in notes:
                self.view.note(note)
        wanted = _apportion(plan.shares, plan.proposals)
        spare = self._draw(self._space(plan), wanted, 0, knowledge, known, kept, rejected)
        if spare and not plan.focus.is_open:
            # What the narrowed space does not hold is drawn from all of it.
            again = _apportion(plan.shares, spare)
            spare = self._draw(self.goal.space, again, 1, knowledge, known, kept, rejected)
        self.view.progress(min(len(kept), plan.proposals), plan.proposals)
        if spare:
            self.view.note(f"The generators gave {len(kept)} new crystals of {plan.proposals} asked for.")
        kept.sort(key=lambda pair: pair[0])
        self.ledger.add_candidates(self.number, [c for _, c in kept], rejected)

    def _space(self, plan: RoundPlan) -> ChemicalSpace:
        if plan.focus.is_open:
            return self.goal.space
        try:
            space = plan.focus.within(self.goal.space)
            compositions(space)
        except (ValueError, GoalError):
            return self.goal.space  # nothing charge-neutral in it: a narrower round must not end the campaign
        return space

    def _draw(
        self,
        space: ChemicalSpace,
        wanted: dict[str, int],
        attempt: int,
        knowledge: Knowledge,
        known: set[str],
        kept: list[tuple[float, Candidate]],
        rejected: list[tuple[Candidate, str, str]],
    ) -> int:
        """Add each generator's best to `kept` and what the screens refuse to `rejected`; how many are missing."""
        spare = 0
        for index, (name, share) in enumerate(wanted.items()):
            # A generator that runs dry hands its places on to the next one, so that a round is never half empty.
            want = share + spare
            seed = [self.goal.seed, self.number, index, *([attempt] if attempt else [])]
            with self.clock.measure("generate"):
                self.parts.inform(name, knowledge)
                offered = self.parts.generators[name].propose(
                    space,
                    math.ceil(want * self.parts.settings.generators.oversample),
                    np.random.default_rng(seed),
                )
            passed: list[Candidate] = []
            known |= self.ledger.known_ids([c.id for c in offered])
            with self.clock.measure("screen"):
                for candidate in offered:
                    if candidate.id in known:
                        continue
                    known.add(candidate.id)
                    failed = self._screen(candidate)
                    if failed is None:
                        passed.append(candidate)
                    else:
                        rejected.append((candidate, *failed))
            with self.clock.measure("relax"):
                ranked = self._rank(knowledge, passed)
            kept += ranked[:want]
            spare = want - min(want, len(ranked))
        return spare

    def _rank(self, knowledge: Knowledge, candidates: list[Candidate]) -> list[tuple[float, Candidate]]:
        """Candidates with their unrelaxed distance (eV/atom) to the potential's hull, the lowest first."""
        hulls = knowledge.cheap_hull
        ranked = []
        for candidate, energy in zip(candidates, self.parts.unrelaxed_energies(candidates), strict=True):
            ranked.append((hulls.distance(amounts(candidate.crystal), energy), candidate))
        return sorted(ranked, key=lambda pair: pair[0])

    def _screen(self, candidate: Candidate) -> tuple[str, str] | None:
        for screen in self.parts.screens:
            verdict = screen.check(candidate)
            if not verdict.passed:
                return verdict.screen, verdict.reason
        return None

    # --- relax and recognise -------------------------------------------------------------------

    def relax(self) -> None:
        """Relax this round's crystals in fixed chunks; each chunk is recorded as a whole.

        The chunks depend only on the list of candidates: a resumed round relaxes the same ones together and so
        gets the same numbers to the last bit.
        """
        rows = [r for r in self.ledger.candidates(self.number) if r.failure is None or r.relaxation is not None]
        size = self.parts.settings.relax.chunk_size
        self.view.stage("relax", len(rows))
        done = 0
        for start in range(0, len(rows), size):
            chunk = rows[start : start + size]
            if all(r.relaxation is not None for r in chunk):
                done += len(chunk)
                continue
            base = done

            def progress(n: int, _total: int, base: int = base) -> None:
                self.view.progress(base + n, len(rows))

            with self.clock.measure("relax"):
                raw = self.parts.potential.relax([(r.candidate.id, r.candidate.crystal) for r in chunk], progress)
                results = polish(self.parts.potential, [r.model_copy(update={"path": ()}) for r in raw])
            if self.flywheel.on:
                with self.clock.measure("doubt"):
                    self.flywheel.look(self.number, raw)
            self.ledger.add_relaxations(self.number, self._recognise(results))
            done += len(chunk)
            self.view.progress(done, len(rows))
        self.view.known(Knowledge.read(self.ledger))

    def _recognise(self, results: Sequence[Relaxation]) -> list[RelaxedRow]:
        """Screen the relaxed crystals, drop duplicates of the pool, recognise the rest."""
        index = self.parts.new_duplicate_index()
        with self.clock.measure("screen"):
            ended = [r for r in results if r.failure is None]
            formulas = {reduced_formula(r.crystal) for r in ended}
            energies = [r.energy_per_atom for r in ended]
            for member in Knowledge.read(self.ledger).look_alikes(formulas, energies, 2 * ENERGY_TOL):
                index.add(member.candidate.id, member.relaxation.crystal, member.relaxation.energy_per_atom)
        out: dict[str, RelaxedRow] = {}
        fresh: list[Relaxation] = []
        for result in results:
            with self.clock.measure("screen"):
                failure = result.failure or self._unphysical(result)
                twin = None if failure else index.find(result.crystal, result.energy_per_atom)
                if failure is None and twin is None:
                    index.add(result.candidate_id, result.crystal, result.energy_per_atom)
            if failure is not None:
                out[result.candidate_id] = (result, None, {}, {"stage": failure.stage, "reason": failure.reason})
            elif twin is not None:
                reason = f"relaxed to the same crystal as {twin}"
                out[result.candidate_id] = (result, None, {}, {"stage": "duplicate", "reason": reason})
            else:
                fresh.append(result)
        with self.clock.measure("recognise"):
            recognitions = self.parts.recogniser.recognise([(r.candidate_id, r.crystal) for r in fresh])
        for result, recognition in zip(fresh, recognitions, strict=True):
            with self.clock.measure("relax"):
                cheap = self.parts.extra_properties(result.crystal, self.goal.properties)
            out[result.candidate_id] = (result, recognition, cheap, None)
        return [out[r.candidate_id] for r in results]

    def _unphysical(self, result: Relaxation) -> Failure | None:
        if not result.converged:
            force = "" if result.fmax is None else f" ({result.fmax:.2f} eV/Å)"
            return Failure(stage="relax", reason=f"not converged after {result.steps} steps{force}")
        return self.parts.check_relaxed(result)

    # --- select and reserve --------------------------------------------------------------------

    def select(self, plan: RoundPlan) -> None:
        """Fit the surrogate, choose the batch, and reserve the money for it in one transaction."""
        self.view.stage("surrogate", 0)
        knowledge = Knowledge.read(self.ledger)
        opinion = plan.fidelity is not None and plan.fidelity != self.parts.evaluator.fidelity
        purpose: Purpose = "opinion" if opinion else "candidate"
        left, scarce = self.payments.affordable(purpose)
        with self.clock.measure("surrogate"):
            judgement = Judgement(knowledge, self.head, self.ledger)
            picks = judgement.choose(min(plan.batch, left), plan.exploration, opinion)
        wanted: list[Wanted] = []
        booked = judgement.opinions.asked if opinion else set(knowledge.evaluated_ids)
        for pick in picks:
            # A measured energy means nothing without its elements, so a pick pays for those that it is first to need.
            needed = [knowledge.references[s] for s in sorted(pick.member.amounts)]
            new = [r for r in needed if r.candidate_id not in booked]
            if len(wanted) + len(new) + 1 > left:
                if not wanted and scarce in RELEASED:
                    # What is reserved beyond the true cost comes back: the elements now, the crystal in a later round.
                    wanted += [_element(r, opinion) for r in new[:left]]
                    break
                continue
            wanted += [_element(r, opinion) for r in new]
            booked |= {r.candidate_id for r in new}
            candidate = pick.member.candidate
            request = EvaluationRequest(
                candidate_id=candidate.id,
                crystal=pick.member.relaxation.crystal,
                properties=() if opinion else self.goal.properties,
                purpose=purpose,
            )
            why = f"second opinion: {pick.why}" if opinion else pick.why
            wanted.append((request, candidate.formula, pick.predicted, why))
        if self.flywheel.on and not opinion:
            wanted += self.flywheel.wanted(self.number, left - len(wanted))
        self.ledger.note("calibrated", self.number, {"scales": judgement.scales, "promising": judgement.promising()})
        self.payments.book(self.number, wanted)

    # --- evaluate and record -------------------------------------------------------------------

    def evaluate(self) -> None:
        """Have every reserved evaluation of this round done, and record each result once."""
        self.view.stage("evaluate", len(self.ledger.evaluations(self.number, states=OPEN_STATES)))

        def recorded(done: int, total: int) -> None:
            self.view.progress(done, total)
            self.view.known(Knowledge.read(self.ledger))

        with self.clock.measure("evaluate"):
            self.payments.evaluate(self.number, recorded)

    # --- learn ---------------------------------------------------------------------------------

    def retrain(self) -> None:
        """Retrain the network's head and the potential on what was measured; a new one stays only if its held-out
        error fell."""
        self.view.stage("retrain", 0)
        knowledge = Knowledge.read(self.ledger)
        with self.clock.measure("retrain"):
            outcome = self.head.retrain(knowledge, self.number)
        self.ledger.note("head", self.number, outcome)
        if self.flywheel.on:
            with self.clock.measure("learn"):
                self.flywheel.learn(self.number)


Wanted = tuple[EvaluationRequest, str, Mapping[str, Quantity], str]
"""A request, its formula, what is expected, and why."""


def _element(reference: Reference, opinion: bool) -> Wanted:
    request = EvaluationRequest(
        candidate_id=reference.candidate_id,
        crystal=reference.crystal,
        properties=(),
        purpose="opinion" if opinion else "reference",
    )
    return request, reference.symbol, {}, "elemental reference"


def prepare_references(ledger: Ledger, parts: Parts, clock: StageClock, view: View, elements: Sequence[str]) -> None:
    """Relax each element's lowest crystal on the campaign's own potential, once, and record them."""
    stored = {r["symbol"]: r for r in ledger.meta("references", [])}
    missing = [e for e in elements if e not in stored]
    if not missing:
        return
    view.stage("references", len(missing))
    for index, symbol in enumerate(missing, start=1):
        with clock.measure("relax"):
            crystal, energy = parts.reference(symbol)
        if geometry_values(crystal)["volume_per_atom"] <= 0:
            raise EvaluationError(f"The reference of {symbol} has no volume.", "Report this: it is a defect.")
        stored[symbol] = Reference(symbol=symbol, crystal=crystal, energy_per_atom=energy).model_dump(mode="json")
        view.progress(index, len(missing))
    ledger.set_meta("references", [stored[s] for s in sorted(stored)], "references")


def _apportion(shares: dict[str, float], total: int) -> dict[str, int]:
    """Whole numbers that sum to `total`, by largest remainder; names in sorted order for determinism."""
    exact = {name: shares[name] * total for name in sorted(shares) if shares[name] > 0}
    counts = {name: int(value) for name, value in exact.items()}
    rest = total - sum(counts.values())
    for name in sorted(exact, key=lambda n: (counts[n] - exact[n], n))[:rest]:
        counts[name] += 1
    return counts
