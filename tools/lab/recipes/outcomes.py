"""What came out of a recipe, and what that says about its heat and its atmosphere.

What is not here: which pairs of solids reacted (`pairs.py`) and what to try next (`chooser.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import model_validator

from ...core.synthesis import Recipe
from ...core.types import Fraction, Frozen
from .formulas import amounts_of, molar_mass

VOLATILE_ABOVE_K: Final = {
    "Li": 1373.0, "Na": 1273.0, "K": 1223.0, "Rb": 1173.0, "Cs": 1123.0,
    "Zn": 1573.0, "Cd": 1173.0, "Pb": 1173.0, "Bi": 1223.0, "Tl": 1023.0,
}  # fmt: skip
"""Cations whose oxides leave an open crucible, and from about which temperature on that matters; rules of thumb."""
_CARRIED: Final = frozenset("OCHN")
LOSS: Final = 0.03
"""Relative deficit of a volatile cation that is more than the noise of an identification."""
MUCH_LOSS: Final = 0.15
"""The same while precursors remain, of which a little may be below the limit of detection."""
DRIFT: Final = 0.1
"""Change of oxygen per cation that is more than that noise, and more than intermediates differ from their target by."""
MOSTLY_REACTED: Final = 0.15
"""Weight fraction of precursors below which the rest tells of heat and gas rather than of patience."""


class Outcome(Frozen):
    """A recipe and the phases that were found in its product."""

    recipe: Recipe
    weight_fractions: dict[str, Fraction] = {}
    """By formula; what is below the limit of detection is not there. Empty where nothing could be taken out."""
    stuck: bool = False
    """Molten, and not to be taken out of the crucible."""

    @model_validator(mode="after")
    def _sane(self) -> Outcome:
        if sum(self.weight_fractions.values()) > 1.0 + 1e-6:
            raise ValueError(f"weight fractions sum to {sum(self.weight_fractions.values())}")
        return self

    @property
    def yield_fraction(self) -> float:
        """Weight fraction of the target."""
        return self.weight_fractions.get(self.recipe.target, 0.0)


@dataclass(frozen=True)
class Diagnosis:
    """How an outcome misses its target."""

    severity: float
    """0: all target. Down to -1: too little heat (temperature, time, contact); up to +1: too much."""
    oxygen: float
    """Oxygen per cation beyond the target's, once precursors have reacted; 0 where it cannot be told."""


def diagnose(outcome: Outcome) -> Diagnosis:
    """Reads the remains: precursors and partners that still wait mean too little heat; a volatile cation that is
    missing, lost oxygen or a melt mean too much."""
    if outcome.stuck:
        return Diagnosis(1.0, 0.0)
    found, target = outcome.weight_fractions, outcome.recipe.target
    missed = 1.0 - outcome.yield_fraction
    if not found:
        return Diagnosis(-missed, 0.0)
    amounts: dict[str, float] = {}
    for formula, weight in found.items():
        for symbol, n in amounts_of(formula).items():
            amounts[symbol] = amounts.get(symbol, 0.0) + weight / molar_mass(formula) * float(n)
    wanted = {symbol: float(n) for symbol, n in amounts_of(target).items()}
    precursors = sum(found.get(powder.formula, 0.0) for powder in outcome.recipe.powders)
    waiting = precursors > MOSTLY_REACTED
    if _deficit(amounts, wanted) > (MUCH_LOSS if waiting else LOSS):
        return Diagnosis(missed, 0.0)
    drift = 0.0 if waiting else _oxygen_per_cation(amounts) - _oxygen_per_cation(wanted)
    if abs(drift) < DRIFT:
        return Diagnosis(-missed, 0.0)
    return Diagnosis(missed if drift < 0.0 else -missed, drift)


def _deficit(amounts: dict[str, float], wanted: dict[str, float]) -> float:
    """Of the volatile cation that is missing most, relative to the target's share."""
    mine, theirs = _cations(amounts), _cations(wanted)
    return max(
        (1.0 - (amounts.get(e, 0.0) / mine) / (wanted[e] / theirs) for e in wanted if e in VOLATILE_ABOVE_K),
        default=0.0,
    )


def _cations(amounts: dict[str, float]) -> float:
    return sum(n for symbol, n in amounts.items() if symbol not in _CARRIED)


def _oxygen_per_cation(amounts: dict[str, float]) -> float:
    """Without what leaves as CO2, H2O and N2O5."""
    bound = 2.0 * amounts.get("C", 0.0) + 0.5 * amounts.get("H", 0.0) + 2.5 * amounts.get("N", 0.0)
    return (amounts.get("O", 0.0) - bound) / _cations(amounts)
