"""Evaluations in the ledger: money set aside, intent, result. The half of `Ledger` that pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import sqlalchemy as sa

from ...tools.core.errors import BudgetError, LedgerError
from ...tools.core.types import Observation, canonical_json
from .bookings import Account, Booking
from .chain import append
from .rows import EvaluationRow, outcome_json
from .schema import FINAL_STATES, OPEN_STATES, budget, charges, evaluations, plans
from .store import Store

CHUNK = 500
"""Values in one IN list."""


class Purse:
    """What the ledger knows of money and evaluations; `Ledger` is the whole."""

    store: Store

    def accounts(self) -> dict[str, Account]:
        """Every resource with its cap, what is reserved and what is spent."""
        with self.store.read() as connection:
            return {r.resource: Account(**r._mapping) for r in connection.execute(sa.select(budget))}

    def reserve(self, round_number: int, bookings: Sequence[Booking]) -> None:
        """Reserve under every cap: all of them, or BudgetError and none.

        Check and insert are one transaction, and the database's own triggers refuse a charge beyond a cap.
        """
        totals: dict[str, int] = {}
        for booking in bookings:
            for resource, amount in booking.charges.items():
                totals[resource] = totals.get(resource, 0) + amount
        with self.store.write("reserved") as connection:
            accounts = {r.resource: Account(**r._mapping) for r in connection.execute(sa.select(budget))}
            for resource, amount in totals.items():
                account = accounts.get(resource)
                if account is not None and account.left is not None and amount > account.left:
                    total = amount + account.spent + account.reserved
                    raise BudgetError(
                        f"{len(bookings)} evaluations would make {total} of {account.cap} allowed ({resource}).",
                        "Give a new campaign a larger budget, or ask for fewer.",
                    )
            seq = append(connection, "reserved", round_number, {"keys": [b.key for b in bookings]})
            first = connection.execute(sa.select(sa.func.coalesce(sa.func.max(evaluations.c.position), 0))).scalar()
            for offset, booking in enumerate(bookings, start=1):
                connection.execute(
                    evaluations.insert().values(
                        key=booking.key,
                        position=int(first or 0) + offset,
                        round=round_number,
                        candidate_id=booking.request.candidate_id,
                        formula=booking.formula,
                        purpose=booking.request.purpose,
                        fidelity=booking.fidelity,
                        state="RESERVED",
                        request=booking.request.canonical_json(),
                        predicted=canonical_json({k: v.model_dump(mode="json") for k, v in booking.predicted.items()}),
                        why=booking.why,
                        version=seq,
                    )
                )
                wanted = [
                    {"key": booking.key, "resource": k, "reserved": v}
                    for k, v in booking.charges.items()
                    if k in accounts
                ]
                connection.execute(charges.insert(), wanted)
            if round_number > 0:
                connection.execute(plans.update().where(plans.c.round == round_number).values(state="selected"))

    def mark(
        self, keys: Sequence[str], state: str, round_number: int, handles: Mapping[str, str] | None = None
    ) -> None:
        """Move open evaluations to another open state: the intent is on disk before the act."""
        if state not in OPEN_STATES and state != "UNKNOWN":
            raise LedgerError(f"'{state}' is not a state that `mark` may set.", f"Use one of {OPEN_STATES}.")
        with self.store.write(state.lower()) as connection:
            seq = append(connection, state.lower(), round_number, {"keys": list(keys)})
            for key in keys:
                connection.execute(
                    evaluations.update()
                    .where(evaluations.c.key == key, evaluations.c.state.in_(OPEN_STATES))
                    .values(state=state, version=seq, **({"handle": handles[key]} if handles else {}))
                )

    def record(self, observation: Observation, round_number: int, spent: Mapping[str, int] | None = None) -> bool:
        """Record a result once, and settle what it has cost; False when the key has one (nothing is changed).

        Args:
            observation: of a reserved key.
            round_number: for the event.
            spent: resource to what was used; what is not named is charged as reserved.
        """
        state = "FAILED_CHARGED" if observation.failure else "DONE"
        with self.store.write("recorded") as connection:
            known = connection.execute(
                sa.select(evaluations.c.state, evaluations.c.request).where(evaluations.c.key == observation.key)
            ).one_or_none()
            if known is None:
                raise LedgerError(
                    f"Result for key {observation.key[:12]}, which was never reserved.",
                    "It is not from this campaign; nothing was recorded.",
                )
            if known.state in FINAL_STATES:
                return False
            payload = {"key": observation.key, "digest": observation.digest()}
            seq = append(connection, state.lower(), round_number, payload)
            connection.execute(
                evaluations.update()
                .where(evaluations.c.key == observation.key)
                .values(
                    state=state,
                    outcome=outcome_json(observation, known.request),
                    failure=observation.failure.reason if observation.failure else "",
                    observation=observation.canonical_json(),
                    version=seq,
                )
            )
            for row in connection.execute(sa.select(charges).where(charges.c.key == observation.key)).all():
                connection.execute(
                    charges.update()
                    .where(charges.c.key == row.key, charges.c.resource == row.resource)
                    .values(spent=(spent or {}).get(row.resource, row.reserved))
                )
        return True

    def evaluations(self, round_number: int | None = None, states: Sequence[str] | None = None) -> list[EvaluationRow]:
        """Evaluations in the order of their reservation, all or those of a round or in some states."""
        query = sa.select(evaluations).order_by(evaluations.c.position)
        if round_number is not None:
            query = query.where(evaluations.c.round == round_number)
        if states is not None:
            query = query.where(evaluations.c.state.in_(list(states)))
        with self.store.read() as connection:
            return [EvaluationRow(row) for row in connection.execute(query)]

    def fidelity(self, key: str) -> Literal["potential", "dft", "experiment"]:
        """What a reservation was made for."""
        with self.store.read() as connection:
            query = sa.select(evaluations.c.fidelity).where(evaluations.c.key == key)
            found: Literal["potential", "dft", "experiment"] = connection.execute(query).scalar_one()
        return found

    def reopen(self, key: str) -> None:
        """An evaluation of unknown state does not run any more, says a person: it may be started again."""
        with self.store.write("reopened") as connection:
            row = connection.execute(sa.select(evaluations.c.round).where(evaluations.c.key == key)).one()
            seq = append(connection, "reopened", row.round, {"key": key})
            connection.execute(
                evaluations.update()
                .where(evaluations.c.key == key, evaluations.c.state == "UNKNOWN")
                .values(state="RESERVED", version=seq)
            )
            # A round that was finished without it is taken up again.
            connection.execute(plans.update().where(plans.c.round == row.round).values(state="selected"))

    def evaluations_by_key(self, keys: Sequence[str]) -> list[EvaluationRow]:
        """Some evaluations, in no particular order; unknown keys are left out."""
        found: list[EvaluationRow] = []
        with self.store.read() as connection:
            for start in range(0, len(keys), CHUNK):
                query = sa.select(evaluations).where(evaluations.c.key.in_(keys[start : start + CHUNK]))
                found += [EvaluationRow(row) for row in connection.execute(query)]
        return found

    def known_keys(self, keys: Sequence[str]) -> set[str]:
        """Which of these evaluations were reserved before."""
        with self.store.read() as connection:
            query = sa.select(evaluations.c.key).where(evaluations.c.key.in_(list(keys)))
            return set(connection.execute(query).scalars())

    def spent(self) -> int:
        """Evaluations that count against the cap: reserved, running, finished or failed."""
        account = self.accounts()["evaluations"]
        return account.reserved + account.spent
