"""What powders do to each other, to a gas and to a crucible, from their numbers of atoms: the driver's own knowledge.

Sources: incompatibilities of oxidisers, reducing gases and sulfides as in Bretherick's Handbook of Reactive Chemical
Hazards; platinum alloys with the elements below where no oxygen is, and lithium compounds attack alumina, as makers of
crucibles state. Ceilings of temperature are house limits. What is not here: places and doors (`interlocks.py`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from ..core.elements import SYMBOLS

_OXIDE_FORMERS_2 = {"Li", "Na", "K", "Rb", "Cs"}
_OXIDE_FORMERS_1 = {"Mg", "Ca", "Sr", "Ba", "Zn"}
_NEVER = {"As", "Be", "Cd", "Hg", "Os", "Tl", "Po", "Tc", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am"}
"""Poisonous or radioactive beyond what an open crucible allows; house policy."""
_BURNS = {"B", "C", "Si", "P", "S", "Mg", "Al", "Ti", "Zr", "Fe", "Zn", "Li", "Na", "K", "Ca"}
_HALOGENS, _CHALCOGENS = {"F", "Cl", "Br", "I"}, {"S", "Se", "Te"}
_LEAVES_ABOVE_K = {"Pb": 1173.0, "Bi": 1223.0, "Li": 1373.0, "Na": 1373.0, "K": 1373.0, "Zn": 1573.0}
_ALLOYS_WITH_PLATINUM = {"P", "S", "Se", "Te", "Sb", "Bi", "Pb", "Sn", "Si", "Ge", "Zn", "Ga", "In"}
_PIECE = re.compile(r"([A-Z][a-z]?|\(|\))(\d+(?:\.\d+)?)?")


def amounts(formula: str) -> Counter[str] | None:
    """Atoms in a formula with brackets; None when it is none."""
    stack: list[Counter[str]] = [Counter()]
    position = 0
    for match in _PIECE.finditer(formula):
        if match.start() != position:
            return None
        position = match.end()
        piece, count = match[1], float(match[2] or 1)
        if piece == "(":
            stack.append(Counter())
        elif piece == ")":
            if len(stack) < 2:
                return None
            inner = stack.pop()
            for symbol, n in inner.items():
                stack[-1][symbol] += n * count  # type: ignore[assignment]
        elif piece in SYMBOLS:
            stack[-1][piece] += count  # type: ignore[assignment]
        else:
            return None
    return stack[0] if position == len(formula) and len(stack) == 1 and stack[0] else None


def _holds_nitrate(atoms: Mapping[str, float]) -> bool:
    """Whether enough oxygen is left for nitrate when other acids have had theirs, ammonium or not."""
    nitrogen = atoms.get("N", 0.0)
    if not nitrogen:
        return False
    left = atoms.get("O", 0.0) - 4.0 * (atoms.get("P", 0.0) + atoms.get("S", 0.0)) - 3.0 * atoms.get("C", 0.0)
    ammonium = min(atoms.get("H", 0.0) / 4.0, nitrogen / 2.0)
    return left >= 3.0 * nitrogen or (ammonium > 0.0 and left >= 3.0 * (nitrogen - ammonium))


def is_oxidiser(atoms: Mapping[str, float]) -> bool:
    """Nitrates, oxyhalogenates, peroxides, superoxides, permanganates and chromates, by their numbers of atoms."""
    oxygen = atoms.get("O", 0.0)
    if _holds_nitrate(atoms):
        return True
    if any(atoms.get(x) and oxygen >= 3.0 * atoms[x] for x in ("Cl", "Br", "I")):
        return True
    metals = {symbol for symbol in atoms if symbol != "O"}
    if len(metals) == 1 and oxygen:
        (metal,) = metals
        ratio = oxygen / atoms[metal]
        if (metal in _OXIDE_FORMERS_2 and ratio >= 1.0) or (metal in _OXIDE_FORMERS_1 and ratio >= 2.0):
            return True
    if metals == {"Cr"}:
        return oxygen >= 3.0 * atoms["Cr"]
    alkali = metals & _OXIDE_FORMERS_2
    return bool(alkali) and any(atoms.get(x) and oxygen >= 3.5 * atoms[x] for x in ("Mn", "Cr"))


def dangers(formulas: tuple[str, ...], crucible: str, gas: str, kelvin: float) -> Iterator[str]:
    """Every danger of firing these powders; temperatures in K."""
    everything: set[str] = set()
    for formula in formulas:
        atoms = amounts(formula)
        if atoms is None:
            yield f"'{formula}' is no formula"
            continue
        everything |= set(atoms)
        yield from _gas_dangers(formula, atoms, gas)
    for element in sorted(everything & _NEVER):
        yield f"{element} is not fired here"
    for element in sorted(everything & set(_LEAVES_ABOVE_K)):
        if kelvin > _LEAVES_ABOVE_K[element] + 0.5:
            yield f"{element} leaves the crucible above {_LEAVES_ABOVE_K[element]:g} K"
    if crucible == "graphite" and gas in ("air", "oxygen"):
        yield "a graphite crucible burns with oxygen"
    if crucible == "alumina" and "Li" in everything and kelvin > 1173.5:
        yield "lithium eats alumina"
    if crucible == "platinum" and gas not in ("air", "oxygen") and everything & _ALLOYS_WITH_PLATINUM:
        yield f"platinum alloys with {', '.join(sorted(everything & _ALLOYS_WITH_PLATINUM))}"
    if gas == "hydrogen_argon" and crucible in ("platinum", "graphite"):
        yield f"no {crucible} in hydrogen"


def _gas_dangers(formula: str, atoms: Mapping[str, float], gas: str) -> Iterator[str]:
    if gas == "hydrogen_argon":
        if is_oxidiser(atoms):
            yield f"hydrogen over the oxidiser {formula}"
        if set(atoms) & (_HALOGENS | _CHALCOGENS | {"P"}):
            yield f"{formula} in hydrogen gives a poisonous gas"
    elif gas in ("air", "oxygen"):
        if set(atoms) & _CHALCOGENS and "O" not in atoms:
            yield f"{formula} roasts in {gas}"
        if len(atoms) == 1 and set(atoms) & _BURNS:
            yield f"{formula} burns in {gas}"
    elif gas == "vacuum" and is_oxidiser(atoms):
        yield f"{formula} decomposes in vacuum"


def clash(formula: str, present: tuple[str, ...]) -> str:
    """Why a powder is not added."""
    parsed = [(f, amounts(f)) for f in (*present, formula)]
    for name, atoms in parsed:
        if atoms is None:
            return f"'{name}' is no formula"
        if set(atoms) & _NEVER:
            return f"{name} holds {', '.join(sorted(set(atoms) & _NEVER))}, which is not handled"
    burning = [f for f, a in parsed if a and ((len(a) == 1 and set(a) & _BURNS) or _is_hydride(a))]
    giving = [f for f, a in parsed if a and is_oxidiser(a)]
    return f"{burning[0]} with {giving[0]} is a pyrotechnic mixture" if burning and giving else ""


def _is_hydride(atoms: Mapping[str, float]) -> bool:
    return "H" in atoms and not set(atoms) & ({"O", "C", "N", "P", "S"} | _HALOGENS)
