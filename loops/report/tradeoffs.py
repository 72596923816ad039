"""Compromises between two aims: every evaluated crystal, and the ones that no other beats (Pareto front)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...tools.core.types import Objective
from ..record import CampaignRecord, EvaluatedCrystal
from .charts import axis_label
from .svg import Frame, marker, padded, path
from .words import label, number, shown, stored, subscripts, unit


def tradeoff(record: CampaignRecord) -> dict[str, Any] | None:
    """Picture and list of the best compromises; None for one aim, or before something was measured."""
    if len(record.goal.objectives) < 2:
        return None
    first, second = record.goal.objectives[:2]
    rows = [c for c in record.evaluated if first.property in c.values and second.property in c.values and not c.failure]
    if not rows or first.property == second.property:
        return None
    best = _front(rows, (first, second))
    x, y = ([_value(c, o.property) for c in rows] for o in (first, second))
    frame = Frame(
        f"{label(second.property)} against {label(first.property)}",
        f"{len(best)} of {len(rows)} evaluated crystals are beaten by no other in both aims",
        padded([shown(first.property, v) for v in x]),
        padded([shown(second.property, v) for v in y]),
    )
    frame.axes(axis_label(first.property), axis_label(second.property))
    line = sorted((frame.px(shown(first.property, x[i])), frame.py(shown(second.property, y[i]))) for i in best)
    frame.add(path(line, "line campaign"))
    for i, crystal in enumerate(rows):
        tip = (
            f"{subscripts(crystal.formula)} ({crystal.space_group_symbol}): {number(first.property, x[i])} "
            f"{unit(first.property)}, {number(second.property, y[i])} {unit(second.property)}"
        )
        spot = frame.px(shown(first.property, x[i])), frame.py(shown(second.property, y[i]))
        shape, size, look = ("circle", 4.6, "dot campaign") if i in best else ("circle", 2.8, "phase beaten")
        frame.add(marker(shape, *spot, size, look, tip=tip))
    return {
        "svg": frame.render(),
        "aims": [_words(first), _words(second)],
        "more": len(record.goal.objectives) - 2,
        "crystals": [rows[i] for i in best],
        "total": len(rows),
        "names": (first.property, second.property),
    }


def _front(rows: list[EvaluatedCrystal], aims: tuple[Objective, Objective]) -> list[int]:
    """Rows that no other beats in one aim without losing in another, best of the first aim first."""
    losses = np.array([[o.loss(_value(c, o.property)) for o in aims] for c in rows])
    kept = []
    for i, row in enumerate(losses):
        beaten = (losses <= row).all(axis=1) & (losses < row).any(axis=1)
        if not beaten.any():
            kept.append(i)
    return sorted(kept, key=lambda i: tuple(losses[i]))


def _value(crystal: EvaluatedCrystal, name: str) -> float:
    return stored(name, crystal.values[name]).value


def _words(aim: Objective) -> str:
    if aim.target is not None:
        return f"{label(aim.property)} near {number(aim.property, aim.target)} {unit(aim.property)}"
    if aim.lower is not None and aim.upper is not None:
        low, high = number(aim.property, aim.lower), number(aim.property, aim.upper)
        return f"{label(aim.property)} from {low} to {high} {unit(aim.property)}"
    return f"{'low' if aim.direction == 'minimise' else 'high'} {label(aim.property)}"
