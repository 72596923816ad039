"""What may not be heated, in which gas, in which crucible: the twin's own table, not shared with the driver.

Sources: incompatibilities of oxidisers, reducing gases and sulfides as in Bretherick's Handbook of Reactive Chemical
Hazards; platinum is spoilt by elements that alloy with it under reducing conditions, and lithium compounds attack
alumina, as makers of crucibles state; mercury boils at 630 K. Which elements this laboratory does not handle at all is
house policy. What is not here: positions, doors and temperatures of the moment (`guards.py`).
"""

from __future__ import annotations

import re

from ...core.elements import SYMBOLS

_SYMBOL = re.compile(r"[A-Z][a-z]?")
_ATOMS = r"(?:[A-Z][a-z]?(?:\d+(?:\.\d+)?)?)"
_FORMULA = re.compile(rf"(?:{_ATOMS}|\({_ATOMS}+\)(?:\d+)?)+")
_OXIDISER = re.compile(
    r"NO3|ClO[34]|BrO3|IO[34]|MnO4|Cr2O7|CrO3|S2O8|^(?:Li2|Na2|K2|Rb2|Cs2|Mg|Ca|Sr|Ba|Zn)O2$|^(?:K|Rb|Cs)O2$"
)
NOT_HANDLED = frozenset({"Hg", "As", "Tl", "Be", "Cd", "Os", "Po", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Tc"})
_FUELS = frozenset({"C", "S", "P", "B", "Si", "Mg", "Al", "Ti", "Zr", "Fe", "Zn"})
"""As elements: with an oxidiser they burn or explode."""
_CEILING_K = {"Pb": 1173.15, "Li": 1373.15, "Bi": 1223.15, "Na": 1373.15, "K": 1373.15, "Zn": 1573.15}
"""House limits where the oxide leaves the crucible: of lead for its toxicity, of the others for the furnace's sake."""
_SPOILS_PLATINUM = frozenset({"P", "Sb", "Bi", "Pb", "Sn", "Si", "S", "Se", "Te", "Zn", "Ge", "Ga", "In"})
_CRUCIBLE_K = {"alumina": 1873.15, "zirconia": 2073.15, "magnesia": 1873.15, "platinum": 1823.15, "graphite": 1773.15}
_OXYGEN_BEARING = ("air", "oxygen")


def elements(formula: str) -> frozenset[str]:
    """The symbols in a formula."""
    return frozenset(_SYMBOL.findall(formula))


def oxidises(formula: str) -> bool:
    """Whether a compound is a strong oxidiser: nitrate, chlorate, permanganate, peroxide and their like."""
    return _OXIDISER.search(formula) is not None


def why_not_together(formula: str, present: tuple[str, ...]) -> str:
    """Why a powder may not be added to what is in a crucible."""
    if not _FORMULA.fullmatch(formula):
        return f"'{formula}' is no formula"
    unknown = elements(formula) - set(SYMBOLS)
    if unknown:
        return f"'{formula}' names no element {', '.join(sorted(unknown))}"
    banned = elements(formula) & NOT_HANDLED
    if banned:
        return f"{', '.join(sorted(banned))} in {formula} is not handled here"
    everything = (*present, formula)
    oxidisers = [f for f in everything if oxidises(f)]
    fuels = [f for f in everything if (len(elements(f)) == 1 and elements(f) <= _FUELS) or _hydride(f)]
    if oxidisers and fuels:
        return f"{oxidisers[0]} is an oxidiser and {fuels[0]} burns with it"
    return ""


def _hydride(formula: str) -> bool:
    symbols = elements(formula)
    return "H" in symbols and not symbols & {"O", "C", "N", "F", "Cl", "Br", "I", "S", "P"}


def why_not_heated(formulas: tuple[str, ...], crucible: str, gas: str, temperature_k: float) -> str:
    """Why these powders may not be heated in this crucible and gas to this temperature."""
    present = frozenset().union(*(elements(f) for f in formulas)) if formulas else frozenset()
    for element, ceiling in _CEILING_K.items():
        if element in present and temperature_k > ceiling:
            return f"{element} evaporates: {temperature_k:g} K is above {ceiling:g} K"
    if temperature_k > _CRUCIBLE_K[crucible]:
        return f"{crucible} stands {_CRUCIBLE_K[crucible]:g} K, not {temperature_k:g} K"
    if crucible == "graphite" and gas in _OXYGEN_BEARING:
        return f"graphite burns in {gas}"
    if crucible == "alumina" and "Li" in present and temperature_k > 1173.15:
        return "lithium compounds attack alumina above 1173 K"
    if crucible == "platinum" and (spoiling := present & _SPOILS_PLATINUM) and gas not in _OXYGEN_BEARING:
        return f"{', '.join(sorted(spoiling))} alloys with platinum in {gas}"
    return _why_gas(formulas, crucible, gas)


def _why_gas(formulas: tuple[str, ...], crucible: str, gas: str) -> str:
    for formula in formulas:
        inside = elements(formula)
        if gas == "hydrogen_argon" and oxidises(formula):
            return f"{formula} is an oxidiser, and hydrogen burns with it"
        if gas == "hydrogen_argon" and inside & {"F", "Cl", "Br", "I"}:
            return f"{formula} gives a hydrogen halide in hydrogen"
        if gas == "hydrogen_argon" and inside & {"S", "Se", "Te", "P"}:
            return f"{formula} gives a poisonous hydride in hydrogen"
        if gas in _OXYGEN_BEARING and inside & {"S", "Se", "Te"} and "O" not in inside:
            return f"{formula} burns in {gas} to a poisonous oxide"
        if gas in _OXYGEN_BEARING and len(inside) == 1 and inside <= _FUELS | {"Li", "Na", "K", "Ca"}:
            return f"{formula} burns in {gas}"
        if gas == "vacuum" and any(oxidises(f) for f in formulas):
            return f"{formula} gives off gas violently in vacuum"
    if gas == "hydrogen_argon" and crucible in ("platinum", "graphite"):
        return f"{crucible} is not used with hydrogen here"
    return ""
