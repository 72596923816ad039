"""Rules for what is counted: `60 DFT runs`, `3 days`, `5 rounds`, `at most 20 atoms`, `ternary`, `find 3`, `seed 7`.

Each rule looks at one place of a `Reader` and returns the index after what it used, or None when it does not apply.
"""

from __future__ import annotations

from ..tools.core.errors import GoalError
from ..tools.core.types import MAX_SITES
from .reader import Reader
from .vocabulary import ARITY, COUNT_FILLERS, COUNT_NOUNS, EVALUATORS, FIND_VERBS, TIME_HOURS, Kind, split_words

_TAILS: tuple[tuple[tuple[str, ...], str | None], ...] = (
    (("or", "fewer"), "upper"),
    (("or", "less"), "upper"),
    (("or", "more"), "lower"),
    (("per", "primitive", "cell"), None),
    (("per", "unit", "cell"), None),
    (("per", "cell"), None),
    (("in", "the", "primitive", "cell"), None),
    (("in", "the", "unit", "cell"), None),
    (("in", "the", "cell"), None),
    (("/", "cell"), None),
    (("cell",), None),
    (("cells",), None),
    (("without", "improvement"), "patience"),
    (("without", "progress"), "patience"),
    (("without", "a", "better", "one"), "patience"),
)
_EVALUATOR_LEADS = frozenset(split_words("with using by via use through evaluator"))


def counted(reader: Reader, index: int) -> int | None:
    """`[at most] NUMBER [DFT] NOUN [tail]`, also ranges and `a day`."""
    compared = reader.comparator(index)
    kind: Kind | None = compared[0] if compared else None
    at = compared[2] if compared else index
    if reader.low(index) in {"between", "from"}:
        kind, at = None, index + 1
    low = None
    value = reader.number(at)
    noun_at = at + 1
    if value is None:
        value, noun_at = _article(reader, at)
        if value is None:
            return None
    else:
        second_at = at + 2 if reader.low(at + 1) in {"to", "and", "-"} else at + 1
        second = reader.token(second_at)
        if second and second.value is not None and (second_at == at + 2 or second.glued):
            low, value, noun_at = value, second.value, second_at + 1
    if (token := reader.token(at)) and token.attached:
        return None
    noun_end = reader.skip(noun_at, COUNT_FILLERS)
    noun = COUNT_NOUNS.get(reader.low(noun_end))
    if noun is None:
        noun = _bare_dft(reader, noun_at, noun_end)
        if noun is None:
            return None
        noun_end -= 1
    if noun == "time" and _is_label(reader, noun_end):
        return None
    strict = bool(compared and compared[1])
    end, tail = _tail(reader, noun_end + 1)
    said = reader.words(index, end)
    if tail in ("lower", "upper"):
        kind = "lower" if tail == "lower" else "upper"
    _evaluators(reader, noun_at, noun_end)
    if noun == "hits" and not _asked(reader, index) and (kind == "upper" or low is not None or _limited(reader, index)):
        return None
    if noun == "hits" and reader.tokens[noun_end].glued:
        return None
    if strict and noun in {"atoms", "elements", "evaluations", "rounds"}:
        value += 1 if kind == "lower" else -1
    _record(reader, noun if tail != "patience" else "patience", kind, low, value, said, noun_end)
    return reader.use(index, end)


def wanted(reader: Reader, index: int) -> int | None:
    """`find 3 …`: how many crystals are enough; `3` alone after a verb, where nothing else claims the number."""
    if reader.low(index) not in FIND_VERBS:
        return None
    at = reader.skip(index + 1, {"me", "us", "for", "at", "least", "up", "to", "the", "exactly"})
    value = reader.number(at)
    after = reader.token(at + 1)
    if value is None or (after and (after.attached or after.glued)) or reader.unit(at + 1):
        return None
    if COUNT_NOUNS.get(reader.low(reader.skip(at + 1, COUNT_FILLERS)), "hits") != "hits" or _evaluator(reader, at + 1):
        return None
    if after is not None and (after.value is not None or after.kind == "mark"):
        return None
    reader.request.hits.append(reader.whole(value, "crystals"))
    return reader.use(index, at + 1)


def named_number(reader: Reader, index: int) -> int | None:
    """`seed 7`, `patience of 5`, `budget of 60`, `stop after 3`."""
    lead = reader.low(index)
    if lead not in {"seed", "patience", "budget"}:
        return None
    at = reader.skip(index + 1, {"of", "is", ":", "=", "at", "most"})
    value = reader.number(at)
    if value is None:
        return None
    if lead == "budget":
        noun_at = reader.skip(at + 1, COUNT_FILLERS)
        if reader.low(noun_at) in COUNT_NOUNS or _evaluator(reader, at + 1):
            return reader.use(index, index + 1)
        reader.request.evaluations.append(reader.whole(value, "evaluations"))
        reader.request.assumptions.append(f"'{reader.words(index, at + 1)}' read as evaluations")
    elif lead == "seed":
        if value != int(value) or not 0 <= value < 2**31:
            raise GoalError(f"Seed {value:g} cannot be used.", "Give a whole number from 0 to 2147483647.")
        reader.request.seeds.append(int(value))
    else:
        reader.request.patience.append(reader.whole(value, "rounds"))
    return reader.use(index, at + 1)


def arity(reader: Reader, index: int) -> int | None:
    """`binary`, `up to ternary`, …"""
    compared = reader.comparator(index)
    at = compared[2] if compared and compared[0] == "upper" else index
    if reader.low(at) not in ARITY:
        return None
    count = ARITY[reader.low(at)]
    reader.request.element_counts.append((count if at == index else 1, count))
    return reader.use(index, at + 1)


def evaluator_words(reader: Reader, index: int) -> int | None:
    """`with GPAW`, `using DFT`, or the name alone."""
    at = index + 1 if reader.low(index) in _EVALUATOR_LEADS else index
    found = _evaluator(reader, at)
    if not found:
        return None
    reader.request.evaluators.append(found[0])
    return reader.use(index, reader.skip(found[1], {"calculations", "calculation", "only"}))


def _record(
    reader: Reader, noun: str, kind: Kind | None, low: float | None, value: float, said: str, noun_at: int
) -> None:
    request = reader.request
    if noun == "elements":
        count = reader.whole(value, "elements")
        first = reader.whole(low, "elements") if low is not None else count
        request.element_counts.append({"lower": (count, None), "upper": (1, count)}.get(kind or "", (first, count)))
        return
    if noun == "time":
        unit = reader.low(noun_at)
        key = next(name for name, hours in TIME_HOURS.items() if hours == TIME_HOURS[unit])
        if value <= 0:
            raise GoalError(f"'{said}' leaves no time.", "Give a positive time, for instance '2 hours' or '3 days'.")
        if key in request.hours and request.hours[key] != value * TIME_HOURS[unit]:
            raise GoalError(f"Two time budgets: '{said}' is the second.", "Give one.")
        request.hours[key] = value * TIME_HOURS[unit]
    else:
        count = reader.whole(value, noun)
        if noun == "atoms" and count > MAX_SITES:
            raise GoalError(f"{count} atoms are too many.", f"Ask for at most {MAX_SITES} atoms in the primitive cell.")
        if noun == "atoms" and kind == "lower":
            raise GoalError(f"'{said}': a lowest number of atoms cannot be asked for.", "Give the highest number.")
        {
            "evaluations": request.evaluations,
            "rounds": request.rounds,
            "hits": request.hits,
            "patience": request.patience,
            "atoms": request.max_atoms,
        }[noun].append(count)
    if low is not None or (kind == "lower" and noun not in {"hits", "patience"}):
        request.assumptions.append(
            f"'{said}' read as at most {value:g} {noun if noun != 'time' else reader.low(noun_at)}"
        )
    elif noun == "atoms" and kind in (None, "target"):
        request.assumptions.append(f"'{said}' read as at most {value:g} atoms in the primitive cell")


def _article(reader: Reader, index: int) -> tuple[float | None, int]:
    """`a day`, `half an hour`: the number and where the noun stands."""
    if reader.low(index) in {"a", "an"} and reader.low(index + 1) in TIME_HOURS and len(reader.low(index + 1)) > 1:
        return 1.0, index + 1
    if reader.low(index) == "half" and reader.low(index + 1) in {"a", "an"} and reader.low(index + 2) in TIME_HOURS:
        return 0.5, index + 2
    return None, index


def _is_label(reader: Reader, index: int) -> bool:
    """Whether one letter after a number is a label and no time: `2D`, `4H-SiC`, `3d orbitals`."""
    token, after = reader.tokens[index], reader.token(index + 1)
    if len(token.text) > 1:
        return False
    goes_on = (
        after is not None and after.kind == "word" and (after.glued or after.low not in {"and", "or", "for", "in"})
    )
    return token.text.isupper() or (token.attached and goes_on)


def _tail(reader: Reader, index: int) -> tuple[int, str | None]:
    meaning: str | None = None
    again = True
    while again:
        again = False
        for words, tail in _TAILS:
            if end := reader.phrase(index, words):
                index, meaning, again = end, meaning or tail, True
    return index, meaning


def _limited(reader: Reader, index: int) -> bool:
    """Whether `up to`, `at most`, … stands before this place: a cap on crystals is no number wanted."""
    before = (reader.comparator(index - length) for length in (3, 2, 1) if index >= length)
    return any(found and found[0] == "upper" and found[2] == index for found in before)


def _asked(reader: Reader, index: int) -> bool:
    return index > 0 and reader.low(index - 1) in {*FIND_VERBS, "me", "for", "after"}


def _evaluator(reader: Reader, index: int) -> tuple[str, int] | None:
    for words, name in EVALUATORS.items():
        if end := reader.phrase(index, words):
            return name, end
    return None


def _evaluators(reader: Reader, start: int, end: int) -> None:
    for index in range(start, end):
        if found := _evaluator(reader, index):
            reader.request.evaluators.append(found[0])


def _bare_dft(reader: Reader, start: int, end: int) -> str | None:
    """`60 DFT`, with the noun left out."""
    return "evaluations" if end == start + 1 and _evaluator(reader, start) else None
