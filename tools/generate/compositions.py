"""Which compositions of a chemical space are worth a crystal: charge neutrality and electronegativity (SMACT), or
stoichiometric enumeration for metals and for covalent pairs that have no ionic picture.

What is not here: crystals of these compositions (the generators).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations, permutations, product
from math import ceil, comb, gcd
from typing import Literal

from ..core.errors import GoalError
from ..core.stoichiometry import fits_pattern, parse_pattern
from ..core.types import ChemicalSpace, Frozen
from ..core.valence import oxidation_states

MAX_COEFFICIENT = 8
"""Largest number of one element in a binary ionic formula unit; 4 in a ternary one and 3 beyond, where the number of
ratios explodes. A larger unit (a garnet, A3B5O12) has to be asked for by its formula."""

MAX_METAL_ATOMS = 5
"""Atoms in the formula unit of an enumerated intermetallic: up to A4B, which covers most binary ground states."""

MAX_SUBSETS = 400
"""Element subsets of a wide space of which compositions are made; a fixed stride through all of them is fair."""

MAX_LOOKED = 20_000
"""Element subsets of one size among which those are chosen."""

NOBLE = frozenset({"He", "Ne", "Ar", "Kr", "Xe", "Rn"})
"""Elements that are combined only where they are required and charges balance (XeF2)."""


class CompositionChoice(Frozen):
    """One composition. `rank` starts at 0 for the chemically simplest."""

    formula: str
    amounts: dict[str, int]
    """Atoms of each element in the formula unit."""
    oxidation_states: dict[str, int] | None
    """One state for each element; None where there is no ionic picture."""
    kind: Literal["ionic", "covalent", "metallic", "element"]
    rank: int = 0

    @property
    def atoms(self) -> int:
        """Atoms in the formula unit."""
        return sum(self.amounts.values())


@lru_cache(maxsize=64)
def compositions(space: ChemicalSpace, max_formula_atoms: int | None = None) -> tuple[CompositionChoice, ...]:
    """Every composition of a space, the simplest first; the same space gives the same list.

    Args:
        space: where the compositions have to lie.
        max_formula_atoms: largest formula unit that is enumerated; None is the space's number of atoms. A fixed
            formula is not enumerated.

    Ionic: all elements in states that occur commonly, neutral, the more electronegative ones negative
    (`smact.neutral_ratios`, `smact.screening.pauling_test`; Davies et al., JOSS 4, 1361 (2019)). Only metals: all
    small integer ratios. Neither: covalent, all small ratios.

    Raises:
        GoalError: when the space has no composition, or none that fits its number of atoms.
    """
    if space.formula is not None:
        return (_fixed(space, space.formula),)
    largest = space.max_atoms if max_formula_atoms is None else min(space.max_atoms, max_formula_atoms)
    low, high = space.n_elements
    found: list[CompositionChoice] = []
    for elements in _subsets(space, low, high):
        if space.pattern is None:
            found += _of_elements(elements, largest)
        else:
            found += _of_pattern(elements, space.pattern, largest)
    if not found:
        raise GoalError(
            f"No composition of {'-'.join(space.allowed[:12])} with {low} to {high} elements and at most "
            f"{largest} atoms is charge-neutral or metallic.",
            "Allow other elements, another number of elements, or larger cells.",
        )
    found.sort(key=lambda c: (c.atoms, c.formula))
    return tuple(c.model_copy(update={"rank": i}) for i, c in enumerate(found))


def is_charge_balanced(formula: str) -> bool:
    """Whether a formula is neutral in common oxidation states, or a metal or element.

    Mixed valence counts where SMACT knows it (Fe3O4, not Pb3O4).
    """
    from smact.screening import smact_validity

    if _kind(_amounts(formula))[0] != "covalent":
        return True
    return bool(smact_validity(formula, include_alloys=False, mixed_valence=True))


def _fixed(space: ChemicalSpace, formula: str) -> CompositionChoice:
    amounts = _amounts(formula)
    if sum(amounts.values()) > space.max_atoms:
        raise GoalError(
            f"A formula unit of {formula} has {sum(amounts.values())} atoms; {space.max_atoms} are allowed.",
            "Allow larger cells, e.g. 'up to 40 atoms'.",
        )
    if set(amounts) <= NOBLE:
        raise GoalError(f"{formula} is a noble gas and makes no compound.", "Name another composition.")
    kind, states = _kind(amounts)
    return CompositionChoice(formula=_reduced(amounts), amounts=amounts, oxidation_states=states, kind=kind)


def _subsets(space: ChemicalSpace, low: int, high: int) -> Iterator[tuple[str, ...]]:
    """Elements that go together, few before many; of more than `MAX_SUBSETS` as many of each number of elements."""
    free = [e for e in space.allowed if e not in space.required and e not in NOBLE]
    sizes = range(max(low, len(space.required), 1), min(high, len(space.allowed)) + 1)
    room = MAX_SUBSETS
    for index, size in enumerate(sizes):
        made = (tuple(sorted((*space.required, *e))) for e in _combinations(free, size - len(space.required)))
        found = [subset for subset in made if all(set(subset) & set(group) for group in space.any_of)]
        step = max(1, ceil(len(found) / max(1, room // (len(sizes) - index))))
        room -= len(found[::step])
        yield from found[::step]


def _combinations(items: list[str], size: int) -> Iterator[tuple[str, ...]]:
    """All combinations in lexicographic order, or every so-many-th of them where there are more than `MAX_LOOKED`:
    of sixty elements there are fifty million sets of six."""
    total = comb(len(items), size)
    if total <= MAX_LOOKED:
        yield from combinations(items, size)
        return
    for rank in range(0, total, ceil(total / MAX_LOOKED)):
        chosen, rest, first = [], rank, 0
        for place in range(size, 0, -1):
            while (block := comb(len(items) - first - 1, place - 1)) <= rest:
                rest -= block
                first += 1
            chosen.append(items[first])
            first += 1
        yield tuple(chosen)


def _of_elements(elements: tuple[str, ...], max_atoms: int) -> list[CompositionChoice]:
    from pymatgen.core import Element

    if len(elements) == 1:
        only = elements[0]
        if only in NOBLE:
            return []
        return [
            CompositionChoice(formula=_reduced({only: 1}), amounts={only: 1}, oxidation_states=None, kind="element")
        ]
    ionic = _ionic(elements, max_atoms)
    if ionic or NOBLE & set(elements):
        return ionic
    metallic = all(Element(e).is_metal or Element(e).is_metalloid for e in elements)
    kind: Literal["metallic", "covalent"] = "metallic" if metallic else "covalent"
    choices = []
    for counts in product(range(1, MAX_METAL_ATOMS), repeat=len(elements)):
        if sum(counts) <= min(MAX_METAL_ATOMS, max_atoms) and gcd(*counts) == 1:
            amounts = dict(zip(elements, counts, strict=True))
            choices.append(
                CompositionChoice(formula=_reduced(amounts), amounts=amounts, oxidation_states=None, kind=kind)
            )
    return choices


def _of_pattern(elements: tuple[str, ...], pattern: str, max_atoms: int) -> list[CompositionChoice]:
    """Every way to put some elements on the sites of a stoichiometry that is neutral, or has no ionic picture."""
    pieces = parse_pattern(pattern) or ()
    if len(pieces) != len(elements):
        return []
    found: dict[str, CompositionChoice] = {}
    for order in permutations(elements):
        amounts = {e: n for e, (_, n) in sorted(zip(order, pieces, strict=True))}
        formula = _reduced(amounts)
        if formula in found or sum(amounts.values()) > max_atoms or not fits_pattern(pattern, amounts):
            continue
        kind, states = _kind(amounts)
        if kind == "covalent" and any(_ionic(elements, max_atoms)):
            continue  # these elements make salts, and this formula is none
        found[formula] = CompositionChoice(formula=formula, amounts=amounts, oxidation_states=states, kind=kind)
    return list(found.values())


def _ionic(elements: tuple[str, ...], max_atoms: int) -> list[CompositionChoice]:
    """Neutral formula units; each ratio once, with the states that were found first."""
    import smact
    from smact.screening import pauling_test

    found: dict[str, CompositionChoice] = {}
    electronegativities = [smact.Element(e).pauling_eneg for e in elements]
    limit = min(MAX_COEFFICIENT, max_atoms) if len(elements) == 2 else min(4 if len(elements) == 3 else 3, max_atoms)
    for states in product(*(oxidation_states(e) for e in elements)):
        if min(states) >= 0 or max(states) <= 0:
            continue
        if not pauling_test(states, electronegativities, symbols=list(elements)):
            continue
        for counts in smact.neutral_ratios(list(states), threshold=limit):
            amounts = dict(zip(elements, (int(c) for c in counts), strict=True))
            formula = _reduced(amounts)
            if sum(amounts.values()) <= max_atoms and formula not in found:
                found[formula] = CompositionChoice(
                    formula=formula,
                    amounts=amounts,
                    oxidation_states=dict(zip(elements, states, strict=True)),
                    kind="ionic",
                )
    return list(found.values())


def _kind(amounts: dict[str, int]) -> tuple[Literal["ionic", "covalent", "metallic", "element"], dict[str, int] | None]:
    from pymatgen.core import Element
    from smact import Element as SmactElement
    from smact.screening import pauling_test

    elements = tuple(amounts)
    if len(elements) == 1:
        return "element", None
    electronegativities = [SmactElement(e).pauling_eneg for e in elements]
    for states in product(*(oxidation_states(e) for e in elements)):
        neutral = sum(s * amounts[e] for s, e in zip(states, elements, strict=True)) == 0
        if neutral and pauling_test(states, electronegativities, symbols=list(elements)):
            return "ionic", dict(zip(elements, states, strict=True))
    if all(Element(e).is_metal or Element(e).is_metalloid for e in elements):
        return "metallic", None
    return "covalent", None


def _amounts(formula: str) -> dict[str, int]:
    from pymatgen.core import Composition

    reduced, _ = Composition(formula).get_integer_formula_and_factor()
    return {str(e): round(n) for e, n in sorted(Composition(reduced).items(), key=lambda item: item[0].symbol)}


def _reduced(amounts: dict[str, int]) -> str:
    from pymatgen.core import Composition

    return str(Composition(amounts).reduced_formula)
