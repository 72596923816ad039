"""Rules for what a campaign may use up besides evaluations and time: `200 core-hours`, `500 EUR`, `12 samples`."""

from __future__ import annotations

from ..tools.core.errors import GoalError
from .reader import Reader
from .vocabulary import TIME_HOURS, split_words

CURRENCIES = frozenset(split_words("eur euro euros usd dollar dollars gbp pound pounds chf franc francs yen jpy"))
SIGNS = frozenset("€$£¥")
_CORES = frozenset(split_words("core cores cpu cpus processor"))
_SAMPLES = frozenset(split_words("sample samples specimen specimens"))


def resource(reader: Reader, index: int) -> int | None:
    """`[at most] NUMBER core-hours | CURRENCY | samples`, also `€ NUMBER`."""
    compared = reader.comparator(index)
    if compared is not None and compared[0] != "upper":
        return None
    at = compared[2] if compared else index
    sign = reader.low(at) in SIGNS
    value = reader.number(at + 1 if sign else at)
    if value is None:
        return None
    noun = at + 2 if sign else at + 1
    request = reader.request
    if sign:
        request.money.append(_positive(value, "of money"))
        end = noun + 1 if reader.low(noun) in CURRENCIES else noun
    elif reader.low(noun) in CURRENCIES or reader.low(noun) in SIGNS:
        request.money.append(_positive(value, "of money"))
        end = noun + 1
    elif reader.low(noun) in _CORES and reader.low(noun + 1) in TIME_HOURS:
        request.core_hours.append(_positive(value * TIME_HOURS[reader.low(noun + 1)], "core-hours"))
        end = noun + 2
    elif reader.low(noun) in _SAMPLES:
        request.samples.append(reader.whole(value, "samples"))
        end = noun + 1
    else:
        return None
    return reader.use(index, end)


def _positive(value: float, what: str) -> float:
    if not value > 0:
        raise GoalError(f"{value:g} {what}: nothing can be done with that.", "Give a positive amount, or leave it out.")
    return value
