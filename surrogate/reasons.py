"""Why a crystal was chosen, in one line a person can check."""

from __future__ import annotations

import math

from ..tools.core.properties import get_property
from ..tools.core.types import GoalSpec
from .acquisition import Aim, Selection

FAR = 0.8
"""Farther from everything measured than this part of the typical distance is far."""

CLOSE = 0.3
"""Closer than this is close."""


def reason(goal: GoalSpec, aim: Aim, pick: Selection, mean: float, std: float, success: float | None) -> str:
    """For example `expected 12 meV/atom above hull (± 20), 35 % chance to be the new best; far from anything measured`.

    Args:
        goal: the campaign's.
        aim: what the batch was chosen for.
        pick: the choice.
        mean: expected value of the first objective, catalogue's unit.
        std: its calibrated deviation.
        success: chance that the evaluation yields a number; None where it is not modelled.
    """
    parts = [expectation(goal.objectives[0].property, mean, std), f"{_percent(pick.chance)} chance to {_to(aim)}"]
    if success is not None:
        parts.append(f"{_percent(success)} chance that the evaluation succeeds")
    text = ", ".join(parts) + f"; {_novelty(pick.novelty)}"
    return text + ("; chosen because little is known there" if pick.explored else "")


def expectation(name: str, mean: float, std: float) -> str:
    """Expected value with its deviation, in words."""
    row = get_property(name)
    if row.unit == "eV/atom":
        what, shown = row.label, mean
        if name == "energy_above_hull":
            what, shown = ("below the known hull", -mean) if mean < -5e-4 else ("above hull", max(0.0, mean))
        return f"expected {1000 * shown:.0f} meV/atom {what} (± {1000 * std:.0f})"
    return f"expected {row.label} {mean:.3g} {row.unit} (± {std:.2g})"


def _to(aim: Aim) -> str:
    words = {Aim.IMPROVE: "be the new best", Aim.FRONT: "be a new best compromise"}
    return words.get(aim, "keep every limit")


def _percent(probability: float) -> str:
    if probability < 0.01:
        return "< 1 %"
    return "> 99 %" if probability > 0.99 else f"{100 * probability:.0f} %"


def _novelty(novelty: float) -> str:
    if math.isinf(novelty):
        return "nothing measured yet"
    if novelty > FAR:
        return "far from anything measured"
    return "close to a measured crystal" if novelty < CLOSE else "some way from what was measured"
