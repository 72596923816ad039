"""How numbers, units, formulas and crystals are put into words: one place, so that page, terminal and files agree.

Ranking and the headline live in `ranking.py`; nothing here knows about HTML or SVG.
"""

from __future__ import annotations

import re

from ...agent.describe import structure_rows
from ...tools.core.errors import GoalError
from ...tools.core.properties import CATALOGUE
from ...tools.core.types import Constraint, GoalSpec, Objective, Quantity
from ...tools.core.units import convert

MINUS = "−"

_SHOWN_UNIT = {"energy_above_hull": ("meV/atom", 1000.0)}
"""Properties that people read in another unit than the catalogue stores."""

_PRETTY = {"angstrom^3/atom": "Å³/atom", "g/cm^3": "g/cm³"}

_DIGITS = {
    "energy_above_hull": 1,
    "formation_energy": 3,
    "density": 2,
    "volume_per_atom": 2,
    "bulk_modulus": 1,
    "band_gap": 2,
}


def label(name: str) -> str:
    """A property's name as people write it, e.g. `energy above hull`."""
    row = CATALOGUE.get(name)
    return row.label if row else name.replace("_", " ")


def unit(name: str, stored: str = "") -> str:
    """The unit that a property is shown in; `stored` is used for properties outside the catalogue."""
    if name in _SHOWN_UNIT:
        return _SHOWN_UNIT[name][0]
    row = CATALOGUE.get(name)
    raw = row.unit if row else stored
    return _PRETTY.get(raw, raw)


def shown(name: str, value: float) -> float:
    """A value in the catalogue's unit, turned into the unit that it is shown in."""
    return value * _SHOWN_UNIT[name][1] if name in _SHOWN_UNIT else value


def stored(name: str, quantity: Quantity) -> Quantity:
    """The quantity in the catalogue's unit; unchanged for properties outside the catalogue or another dimension."""
    row = CATALOGUE.get(name)
    if row is None or quantity.unit == row.unit:
        return quantity
    try:
        factor = convert(1.0, quantity.unit, row.unit)
    except GoalError:
        return quantity
    std = None if quantity.std is None else quantity.std * factor
    return Quantity(value=quantity.value * factor, unit=row.unit, std=std)


def signed(text: str) -> str:
    """A formatted number with a true minus sign, and never `−0`."""
    if text.startswith("-"):
        return text[1:] if float(text) == 0 else MINUS + text[1:]
    return text


def number(name: str, value: float) -> str:
    """A value in the catalogue's unit as text in the shown unit, without the unit."""
    digits = _DIGITS.get(name)
    scaled = shown(name, value)
    if digits is None or abs(scaled) >= 1e7:
        return signed(f"{scaled:.4g}")
    return signed(f"{scaled:.{digits}f}")


def quantity_text(name: str, quantity: Quantity) -> str:
    """Value, one standard deviation where known, and unit, e.g. `12.3 ± 1.1 meV/atom`."""
    kept = stored(name, quantity)
    spread = "" if kept.std is None else f" ± {number(name, kept.std)}"
    return f"{number(name, kept.value)}{spread} {unit(name, kept.unit)}"


def objective_text(objective: Objective) -> str:
    """An objective in words, e.g. `minimise energy above hull`."""
    name = objective.property
    words = f"{objective.direction} {label(name)}"
    if objective.lower is not None and objective.upper is not None:
        words = (
            f"bring {label(name)} between {number(name, objective.lower)} and "
            f"{number(name, objective.upper)} {unit(name)}"
        )
    if objective.target is not None:
        words = f"bring {label(name)} to {number(name, objective.target)} {unit(name)}"
    return words if objective.weight == 1.0 else f"{words} (weight {objective.weight:g})"


def constraint_text(constraint: Constraint) -> str:
    """A constraint in words, e.g. `band gap ≥ 2.00 eV`."""
    name = constraint.property
    low = None if constraint.lower is None else number(name, constraint.lower)
    high = None if constraint.upper is None else number(name, constraint.upper)
    if low is not None and high is not None:
        return f"{label(name)} from {low} to {high} {unit(name)}"
    return f"{label(name)} ≥ {low} {unit(name)}" if low is not None else f"{label(name)} ≤ {high} {unit(name)}"


def space_text(goal: GoalSpec) -> str:
    """Which crystals were asked for, in words."""
    space = goal.space
    parts = [f"composition {space.formula}"] if space.formula else []
    if space.pattern:
        parts.append(f"stoichiometry {space.pattern}")
    if space.required:
        parts.append(f"with {', '.join(space.required)}")
    parts += [f"with one of {', '.join(group)}" for group in space.any_of]
    extra = [symbol for symbol in space.allowed if symbol not in space.required]
    if extra:
        parts.append(
            f"also allowed: {', '.join(extra)}" if len(extra) <= 24 else f"also allowed: {len(extra)} further elements"
        )
    if space.excluded:
        parts.append(f"without {', '.join(space.excluded)}")
    low, high = space.n_elements
    parts.append(f"{low} elements" if low == high else f"{low} to {high} elements")
    parts.append(f"at most {space.max_atoms} atoms in the primitive cell")
    parts += [f"{name}: {words}" for name, words in structure_rows(goal.structure)]
    if goal.novel:
        parts.append("known crystals do not count")
    if goal.synthesizable:
        parts.append("only what can be expected to be made")
    return "; ".join(parts)


def subscripts(formula: str) -> str:
    """A formula with Unicode subscripts, e.g. `SrTiO₃`."""
    return re.sub(r"\d", lambda match: "₀₁₂₃₄₅₆₇₈₉"[int(match.group())], formula)


def duration(seconds: float) -> str:
    """Seconds as people say them, e.g. `2 h 05 min`."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def core_hours(core_seconds: float) -> str:
    """Core-seconds as core-hours with a sensible number of digits."""
    hours = core_seconds / 3600
    return f"{hours:.3f}" if hours < 0.1 else f"{hours:.2f}" if hours < 10 else f"{hours:.0f}"


def counted(number_of: int, noun: str, plural: str = "") -> str:
    """`1 crystal`, `3 crystals`, `no crystals`."""
    many = plural or noun + "s"
    return f"{number_of or 'no'} {noun if number_of == 1 else many}"
