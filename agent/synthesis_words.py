"""Requests to make a compound: "Synthesise phase-pure LiCoO2 in at most 20 experiments"; English, Russian, Chinese.

What is left over is never passed over: a laboratory does not act on half of a sentence. What is not here: requests to
find crystals (`goal.py`).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..tools.core.elements import SYMBOLS
from ..tools.core.errors import GoalError
from ..tools.core.synthesis import SynthesisGoal

EXAMPLE = '"Synthesise phase-pure LiCoO2 in at most 20 experiments"'
MAX_CHARACTERS = 2000
_FORMULA = r"(?-i:(?P<formula>(?:[A-Z][a-z]?\d*(?:\.\d+)?|\((?:[A-Z][a-z]?\d*)+\)\d*)+)(?![A-Za-z0-9(]))"
_VERBS = (
    r"(?:please\s+)?(?:synthesi[sz]e|make|prepare)\s+",
    r"(?:пожалуйста,?\s+)?(?:синтезируй(?:те)?|синтезировать|приготовь(?:те)?|получи(?:те)?)\s+",
    r"请?(?:合成|制备)\s*",
)
_PURE = (
    r"(?:a\s+)?(?:phase[- ]pure|single[- ]phase|pure)\s+(?:sample\s+of\s+)?",
    r"(?:(?:фазово[- ])?чист\w+|однофазн\w+)\s+",
    r"(?:纯相|单相|纯)的?\s*",
)
_BEGIN = re.compile(
    rf"\s*(?:{'|'.join(_VERBS)})(?:{'|'.join(_PURE)})?{_FORMULA}\s*(?:powder\b|порош\w+|粉末)?", re.IGNORECASE
)
_LIKELY = re.compile(r"\s*(?:(?:please\s+)?synthesi[sz]e\b|(?:пожалуйста,?\s+)?синтезируй|请?合成)", re.IGNORECASE)
_NUMBER = r"(?P<n>\d+(?:[.,]\d+)?)"


class _Clause(NamedTuple):
    field: str
    pattern: re.Pattern[str]
    times: float = 1.0


def _clause(field: str, text: str, times: float = 1.0) -> _Clause:
    return _Clause(field, re.compile(text, re.IGNORECASE), times)


_MOST = r"(?:in|within|with|using)?\s*(?:at\s+most|no\s+more\s+than|up\s+to|a\s+maximum\s+of|max\.?)?\s*"
_MOST_RU = r"(?:за|в)?\s*(?:не\s+более(?:\s+чем)?|максимум|до)?\s*(?:за\s+)?"
_CLAUSES = (
    _clause("experiments", _MOST + _NUMBER + r"\s+(?:experiments?|samples?|recipes?|attempts?|tries|syntheses)\b"),
    _clause("experiments", _MOST_RU + _NUMBER + r"\s+(?:эксперимент\w*|образ\w+|опыт\w*|попыт\w+)"),
    _clause(
        "experiments", r"(?:最多|不超过|至多)?(?:用|做)?\s*" + _NUMBER + r"\s*(?:次实验|个实验|个样品|次)(?:以内|内)?"
    ),
    _clause(
        "purity",
        r"(?:с\s+)?(?:чистот\w+\s+(?:не\s+менее|не\s+ниже|минимум)?|не\s+менее|не\s+ниже|минимум)\s*"
        + _NUMBER
        + r"\s*%",
        0.01,
    ),
    _clause("purity", r"纯?度?(?:至少|不低于|大于)\s*" + _NUMBER + r"\s*%", 0.01),
    _clause(
        "purity",
        r"(?:with\s+)?(?:a\s+)?(?:(?:phase\s+)?purity\s+(?:of\s+)?)?(?:at\s+least|more\s+than|above|≥|>=)?\s*"
        + _NUMBER
        + r"\s*(?:%|percent|wt\s?%)(?:\s+(?:pure|(?:phase\s+)?purity|by\s+weight))?",
        0.01,
    ),
    _clause("wall_hours", r"(?:in|within)?\s*" + _NUMBER + r"\s*(?:hours?|h)\b"),
    _clause("wall_hours", r"(?:in|within)?\s*" + _NUMBER + r"\s*(?:days?|d)\b", 24.0),
    _clause("wall_hours", r"(?:за\s+)?" + _NUMBER + r"\s*(?:час\w*|ч\b)"),
    _clause("wall_hours", r"(?:за\s+)?" + _NUMBER + r"\s*(?:дн\w+|день|сут\w+)", 24.0),
    _clause("wall_hours", _NUMBER + r"\s*小时(?:内|以内)?"),
    _clause("wall_hours", _NUMBER + r"\s*天(?:内|以内)?", 24.0),
)
_NOTHING = re.compile(r"[\s,;.、，；。]|\b(?:and|in\s+the\s+lab(?:oratory)?|и)\b|和|在实验室")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


def read_synthesis(words: str, experiments: int, wall_hours: float, seed: int = 0) -> SynthesisGoal | None:
    """The goal of a request to make a compound; None where the words ask for something else.

    Args:
        words: of the user.
        experiments: where the words give no number.
        wall_hours: where the words give no time.
        seed: of every random choice.

    Raises:
        GoalError: it asks for a synthesis, and something in it is not understood, twice there, or impossible.
    """
    text = words.translate(_SUBSCRIPTS)
    if len(text) > MAX_CHARACTERS:
        return None
    begin = _BEGIN.match(text)
    formula = begin["formula"] if begin else ""
    kinds = set(re.findall(r"[A-Z][a-z]?", formula))
    if begin is None or len(kinds) < 2 or not kinds <= set(SYMBOLS):
        if _LIKELY.match(text):
            raise GoalError("The request asks for a synthesis, and no compound is named.", f"Write e.g. {EXAMPLE}.")
        return None
    found: dict[str, float] = {}
    rest = text[begin.end() :]
    for field, pattern, times in _CLAUSES:
        for match in list(pattern.finditer(rest)):
            value = float(match["n"].replace(",", ".")) * times
            if found.setdefault(field, value) != value:
                raise GoalError(f"Two values for {field.replace('_', ' ')} are in the request.", "Leave one.")
        rest = pattern.sub(" ", rest)
    if left := " ".join(_NOTHING.sub(" ", rest).split()):
        raise GoalError(f"Of the synthesis request, '{left[:80]}' is not understood.", f"Write e.g. {EXAMPLE}.")
    count = found.get("experiments", float(experiments))
    purity = found.get("purity", SynthesisGoal.model_fields["purity"].default)
    hours = found.get("wall_hours", wall_hours)
    if count < 1 or count != int(count) or count > 10_000:
        raise GoalError(f"{count:g} experiments cannot be made.", "Give a whole number from 1 to 10000.")
    if not 0.0 < purity <= 0.99:
        raise GoalError(f"A purity of {100 * purity:g} % cannot be shown by diffraction.", "Give 1 to 99 %.")
    if not 0.0 < hours <= 24 * 366:
        raise GoalError(f"A time of {hours:g} h is not possible.", "Give up to a year.")
    return SynthesisGoal(text=words, target=formula, purity=purity, experiments=int(count), wall_hours=hours, seed=seed)
