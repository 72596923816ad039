"""Evaluations from the reservation to the result: nothing starts without money set aside, nothing is paid twice.

What is not here: which crystals deserve it (`judgement.py`), and how a job survives (`tools/evaluate`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ..tools.core.errors import EvaluationError
from ..tools.core.failpoints import passing
from ..tools.core.protocols import Asks, Evaluator
from ..tools.core.types import EvaluationRequest, JobLimits, JobStatus, Purpose, Quantity
from .ledger import OPEN_STATES, Booking, EvaluationRow, Ledger
from .ledger.bookings import CORE_MARGIN_S, CORE_S, Prices, reservation, settlement
from .view import View

POLL_S = 0.25
"""Seconds between looks at running evaluations."""

MIN_WALL_S = 10.0
"""An evaluation is not started with less time than this left for it."""


class Payments:
    """The evaluations of one campaign.

    Args:
        ledger: where money is reserved.
        evaluator: who decides.
        scout: who gives second opinions, where there is one.
        prices: what core time and evaluations cost.
        view: told of what is out of the ordinary.
        seconds_left: wall seconds that the campaign may still work.
    """

    def __init__(
        self,
        ledger: Ledger,
        evaluator: Evaluator,
        prices: Prices,
        view: View,
        seconds_left: Callable[[], float],
        scout: Evaluator | None = None,
    ) -> None:
        self._ledger = ledger
        self._evaluator = evaluator
        self._scout = scout
        self._prices = prices
        self._view = view
        self._seconds_left = seconds_left

    def _who(self, purpose: Purpose) -> Evaluator:
        if purpose != "opinion":
            return self._evaluator
        if self._scout is None:
            raise EvaluationError(
                "The ledger holds second opinions, and no evaluator gives any.",
                "Set [evaluators] second_opinion as it was, or open the campaign where it began.",
            )
        return self._scout

    def charges(self, purpose: Purpose = "candidate") -> dict[str, int]:
        """What is reserved for one evaluation: the most that it can cost."""
        who = self._who(purpose)
        return reservation(who.fidelity, who.wall_limit_s, who.cores, self._prices, purpose)

    def affordable(self, purpose: Purpose = "candidate") -> tuple[int, str]:
        """How many more evaluations can be reserved, and which resource says so."""
        accounts = self._ledger.accounts()
        found: list[tuple[int, str]] = []
        for resource, amount in self.charges(purpose).items():
            account = accounts.get(resource)
            if account is not None and account.left is not None and amount > 0:
                found.append((account.left // amount, resource))
        return min(found, default=(10**9, ""))

    def book(
        self, round_number: int, wanted: Sequence[tuple[EvaluationRequest, str, Mapping[str, Quantity], str]]
    ) -> None:
        """Reserve (request, formula, predicted, why): all of them, or BudgetError; booked ones are skipped."""
        bookings: dict[str, Booking] = {}
        for request, formula, predicted, why in wanted:
            who = self._who(request.purpose)
            key = who.key(request)
            charges = self.charges(request.purpose)
            bookings[key] = Booking(key, request, predicted, why, who.fidelity, formula, charges)
        known = self._ledger.known_keys(list(bookings))
        self._ledger.reserve(round_number, [b for k, b in bookings.items() if k not in known])

    # --- start-up ------------------------------------------------------------------------------

    def reconcile(self) -> list[str]:
        """Before any new work: ask what became of every open evaluation; what a person has to settle, in words."""
        waiting = []
        found: dict[str, int] = {}
        for row in self._ledger.evaluations(states=(*OPEN_STATES, "UNKNOWN")):
            status = self._who(row.request.purpose).lookup(row.key)
            found[status.value] = found.get(status.value, 0) + 1
            if status is JobStatus.DONE:
                self._record(row.key, row.request.purpose, row.round)
            elif row.state == "UNKNOWN" or status is JobStatus.CANNOT_KNOW:
                if row.state != "UNKNOWN":
                    self._ledger.mark([row.key], "UNKNOWN", row.round)
                if text := self._unknown(row.key, row.request):
                    waiting.append(text)
        if found:
            self._ledger.note("reconciled", 0, {"found": found})
        return waiting

    def collect(self) -> int:
        """Record what has come to its end since a person settled it; how many are left that wait."""
        waiting = 0
        for row in self._ledger.evaluations(states=("UNKNOWN",)):
            if self._who(row.request.purpose).lookup(row.key) is JobStatus.DONE:
                self._record(row.key, row.request.purpose, row.round)
            else:
                waiting += 1
        return waiting

    # --- a round -------------------------------------------------------------------------------

    def evaluate(self, round_number: int, recorded: Callable[[int, int], None]) -> None:
        """Have every reserved evaluation of a round done, and record each result once.

        Args:
            round_number: whose evaluations.
            recorded: told (finished, total) after each result.
        """
        rows = self._ledger.evaluations(round_number, states=OPEN_STATES)
        todo = {row.key: row.request for row in rows}
        total = len(todo)
        if not todo:
            return
        self._submit(round_number, todo, {row.key: row for row in rows})
        while todo:
            dead = False
            for key in list(todo):
                status = self._who(todo[key].purpose).lookup(key)
                if status is JobStatus.DONE:
                    self._record(key, todo[key].purpose, round_number)
                    del todo[key]
                    recorded(total - len(todo), total)
                elif status in (JobStatus.DEAD, JobStatus.NEVER_SEEN):
                    dead = True
                    self._view.note(f"The evaluation of {todo[key].candidate_id} died; it is started again.")
                elif status is JobStatus.CANNOT_KNOW:
                    self._ledger.mark([key], "UNKNOWN", round_number)
                    self._view.person(self._unknown(key, todo[key]))
                    del todo[key]
            if dead:
                self._start(todo)
            if todo:
                time.sleep(POLL_S)

    def _submit(self, round_number: int, todo: dict[str, EvaluationRequest], rows: dict[str, EvaluationRow]) -> None:
        fresh = [key for key in todo if rows[key].state == "RESERVED"]
        if fresh:
            self._ledger.mark(fresh, "SUBMITTING", round_number)
        passing("submit.before")
        self._start(todo)
        passing("submit.after")
        started = [key for key in todo if rows[key].state != "RUNNING"]
        if started:
            self._ledger.mark(started, "RUNNING", round_number, {k: _handle(k) for k in started})

    def _start(self, todo: Mapping[str, EvaluationRequest]) -> None:
        """Submit, to each evaluator its own, within what the reservation allows and while the campaign may work."""
        for opinion in (False, True):
            mine = {key: request for key, request in todo.items() if (request.purpose == "opinion") == opinion}
            if not mine:
                continue
            purpose: Purpose = "opinion" if opinion else "candidate"
            who = self._who(purpose)
            core_s = self.charges(purpose)[CORE_S] - CORE_MARGIN_S * who.cores
            wall_s = min(who.wall_limit_s, max(MIN_WALL_S, self._seconds_left()))
            who.submit(list(mine.items()), dict.fromkeys(mine, JobLimits(core_s=core_s or None, wall_s=wall_s)))

    def _record(self, key: str, purpose: Purpose, round_number: int) -> None:
        observation = self._who(purpose).harvest(key)
        if observation.key != key:
            raise EvaluationError(
                f"The result of {key[:12]} says that it belongs to {observation.key[:12]}.",
                f"Look at {_handle(key)}; nothing was recorded.",
            )
        spent = settlement(observation, self._prices)
        self._ledger.record(observation, round_number, spent)
        reserved = self.charges(purpose)
        over = {r: n for r, n in spent.items() if n > reserved.get(r, n)}
        if over:
            self._ledger.note("overrun", round_number, {"key": key, "spent": over})
            self._view.note(f"The evaluation of {observation.candidate_id} used more than was reserved: {over}.")

    def _unknown(self, key: str, request: EvaluationRequest) -> str:
        who = self._who(request.purpose)
        if isinstance(who, Asks):
            return who.question(key)
        return (
            f"Nobody can tell whether the evaluation of {request.candidate_id} ran (key {key[:12]}); its money stays "
            f"reserved. Look at {_handle(key)}, then `lodestone ledger settle DIR {key[:12]} failed` or `… again`."
        )


def _handle(key: str) -> str:
    """Where a job is to be found, below the campaign directory."""
    return str(Path("jobs") / key[:2] / key)
