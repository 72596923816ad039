"""The ledger: the only truth about a campaign, in one SQLite file or one PostgreSQL schema."""

from .bookings import Booking
from .ledger import Ledger
from .rows import CandidateRow, EvaluationRow, RelaxedRow
from .schema import OPEN_STATES, SCHEMA_VERSION
from .store import FILE_NAME, POINTER_NAME, holds_ledger

__all__ = [
    "FILE_NAME",
    "OPEN_STATES",
    "POINTER_NAME",
    "SCHEMA_VERSION",
    "Booking",
    "CandidateRow",
    "EvaluationRow",
    "Ledger",
    "RelaxedRow",
    "holds_ledger",
]
