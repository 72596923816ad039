"""What was read about chemistry, put together to one `ChemicalSpace`; each choice made on the way is said."""

from __future__ import annotations

import warnings
from math import gcd

from ..tools.core.errors import GoalError
from ..tools.core.types import MAX_SITES, ChemicalSpace
from .reader import Reader, Request
from .vocabulary import ANION_FORMERS, ANY_OF_CLASSES, BROAD, STOP_WORDS, SYMBOLS

_OPEN_ELEMENTS = 3
"""Elements in an open search where the request gives no number: ternaries are the largest space that a
campaign of some tens of evaluations can cover."""


def build_space(reader: Reader, default_max_atoms: int) -> tuple[ChemicalSpace, list[str]]:
    """The chemical space of a request, and what was assumed.

    Raises:
        GoalError: when no chemistry is named or what is named contradicts itself.
    """
    request = reader.request
    assumptions: list[str] = []
    formula = _one_formula(request)
    system = _one_system(request)
    if formula and system and set(formula) != set(system):
        raise GoalError(
            f"A composition ({_join(formula)}) and another system ({'-'.join(system)}) are asked for.",
            "Keep one of them.",
        )
    closed = tuple(formula or system or ())
    asked = _class_elements(request)
    required = set(closed) | set(request.required) | set(asked)
    _check_exclusions(request, required)
    allowed = _allowed(reader, request, closed, required, assumptions)
    low, high = _element_counts(request)
    if high is not None and system and not formula and high < len(required) and set(required) == set(system):
        assumptions.append(
            f"at most {high} of {len(system)} elements a crystal, so none of {'-'.join(system)} must be in"
        )
        required = set()
    if low is None and high is None and not closed and len(allowed) > 6:
        high = max(_OPEN_ELEMENTS, len(required) + bool(request.any_of))
        assumptions.append(f"up to {high} elements a crystal (default)")
    low = max(low or 1, len(required), 1)
    if (request.any_of or request.classes) and not closed:
        low = max(low, min(2, high or 2))
    high = min(high if high is not None else 6 if len(required) <= 6 else len(required), len(allowed))
    if low > high or len(required) > high:
        raise GoalError(
            f"No composition has {low} or more of at most {high} elements ({_join(sorted(allowed)[:8])}).",
            "Change the number of elements, or say 'containing Li and P' to leave room for others.",
        )
    max_atoms = _max_atoms(request, formula, default_max_atoms, assumptions)
    space = ChemicalSpace(
        required=tuple(sorted(required)),
        allowed=tuple(sorted(allowed)),
        excluded=tuple(sorted(request.excluded)),
        formula=_reduced(formula) if formula else None,
        n_elements=(low, high),
        max_atoms=max_atoms,
    )
    return space, assumptions


def _one_formula(request: Request) -> dict[str, int] | None:
    kinds: dict[tuple[tuple[str, int], ...], str] = {}
    for said, counts in request.formulas.items():
        divisor = gcd(*counts.values())
        kinds.setdefault(tuple(sorted((s, n // divisor) for s, n in counts.items())), said)
    if len(kinds) > 1:
        raise GoalError(
            f"More than one composition: {', '.join(kinds.values())}.",
            "Name one a campaign, or give the chemical system, such as Na-Cl.",
        )
    return dict(next(iter(kinds))) if kinds else None


def _one_system(request: Request) -> tuple[str, ...] | None:
    kinds = {frozenset(system): system for system in request.systems}
    if len(kinds) > 1:
        names = ", ".join("-".join(system) for system in kinds.values())
        raise GoalError(f"More than one chemical system: {names}.", "Name one a campaign.")
    return next(iter(kinds.values())) if kinds else None


def _class_elements(request: Request) -> tuple[str, ...]:
    """Elements that a class of compounds asks for; several classes are alternatives."""
    kinds = {elements: said for said, elements in request.classes}
    if len(kinds) <= 1:
        return next(iter(kinds), ())
    elements = tuple(dict.fromkeys(e for kind in kinds for e in kind))
    request.any_of.append((" or ".join(kinds.values()), elements))
    return ()


def _check_exclusions(request: Request, required: set[str]) -> None:
    for element in sorted(required | set(request.only)):
        if element in request.excluded:
            raise GoalError(
                f"{element} is both asked for and excluded ('{request.excluded[element]}').", "Drop one of the two."
            )


def _allowed(
    reader: Reader, request: Request, closed: tuple[str, ...], required: set[str], assumptions: list[str]
) -> set[str]:
    excluded = set(request.excluded)
    any_of = {element for _, elements in request.any_of for element in elements} - excluded
    if request.any_of and not any_of:
        raise GoalError(f"All of '{request.any_of[0][0]}' is excluded.", "Drop one of the two.")
    if closed:
        allowed = set(closed)
        _check_inside(request, closed)
        for said, elements in request.any_of:
            if not set(elements) & allowed:
                if elements in ANY_OF_CLASSES.values():
                    raise GoalError(f"'{said}' does not fit into {'-'.join(closed)}.", "Drop one of the two.")
                allowed |= set(elements) - excluded
        extra = required - set(closed)
        if extra:
            assumptions.append(f"{_join(sorted(extra))} added to the system {'-'.join(closed)}")
        return allowed | required
    if request.only:
        return set(request.only) | required | any_of
    if not (required or any_of or request.anything):
        raise _no_chemistry(reader)
    is_class = bool(request.classes) or any(elements in ANY_OF_CLASSES.values() for _, elements in request.any_of)
    rest = {e for e in BROAD if e not in excluded and not (is_class and e in ANION_FORMERS)}
    for said, elements in request.any_of:
        assumptions.append(f"'{said}': each of {_join(elements)} may be used, none alone must")
    what = "hydrogen to bismuth without noble gases and radioactive elements"
    if is_class:
        what += (
            ", and without other anion formers ("
            + _join(tuple(e for e in ANION_FORMERS if e not in required | any_of))
            + ")"
        )
    assumptions.append(f"other elements: {what}{', less those excluded' if excluded else ''}")
    return rest | required | any_of


def _check_inside(request: Request, closed: tuple[str, ...]) -> None:
    outside = [(said, e) for said, elements in request.classes for e in elements if e not in closed]
    if outside and len({elements for _, elements in request.classes}) == 1:
        raise GoalError(
            f"'{outside[0][0]}' needs {outside[0][1]}, which is not in {'-'.join(closed)}.", "Drop one of the two."
        )
    if request.formulas:
        extra = [e for e in request.required if e not in closed]
        if extra:
            raise GoalError(
                f"'{request.required[extra[0]]}' asks for {extra[0]}, which the composition does not hold.",
                "Give the chemical system instead of the composition.",
            )


def _element_counts(request: Request) -> tuple[int | None, int | None]:
    counts = request.element_counts
    if not counts:
        return None, None
    bounds = any(high is None or low == 1 != high for low, high in counts)
    highs = [high for _, high in counts if high is not None]
    if bounds:
        low, high = max(low for low, _ in counts), min(highs) if highs else None
    else:
        low, high = min(low for low, _ in counts), max(highs)
    if high is not None and low > high:
        raise GoalError(f"At least {low} and at most {high} elements contradict each other.", "Change one.")
    if low > len(SYMBOLS):
        raise GoalError(f"{low} elements are more than there are.", "Say for instance 'up to 4 elements'.")
    return low, high


def _max_atoms(request: Request, formula: dict[str, int] | None, default: int, assumptions: list[str]) -> int:
    needed = sum(formula.values()) if formula else 1
    if needed > MAX_SITES:
        raise GoalError(f"One formula unit has {needed} atoms.", f"At most {MAX_SITES} atoms fit in a cell here.")
    if request.max_atoms:
        stated = min(request.max_atoms)
        if stated < needed:
            raise GoalError(
                f"One formula unit has {needed} atoms, more than the {stated} allowed.", "Allow more atoms."
            )
        return stated
    if needed > default:
        assumptions.append(f"at most {needed} atoms in the primitive cell (one formula unit)")
        return needed
    assumptions.append(f"at most {default} atoms in the primitive cell (default)")
    return default


def _reduced(formula: dict[str, int]) -> str:
    """The formula in pymatgen's order, so that it equals `Candidate.formula`."""
    from pymatgen.core.composition import Composition

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pymatgen warns of elements without an electronegativity
        return str(Composition(formula).reduced_formula)


def _no_chemistry(reader: Reader) -> GoalError:
    for words in reader.unused():
        for word in words.replace("-", " ").split():
            guess = _capitalise(word) if word.islower() and word not in STOP_WORDS and 3 <= len(word) <= 12 else None
            if guess and (any(c.isdigit() for c in word) or len(word) <= 4):
                return GoalError("No element is named.", f"Symbols need their capitals: did you mean {guess}?")
    return GoalError(
        "No element, composition or class of compounds is named.",
        "Say for instance 'in the Li-P-S system', 'oxides containing Ti', 'SrTiO3', or 'any elements'.",
    )


def _capitalise(word: str) -> str | None:
    """`nacl` as `NaCl`, where the letters can be symbols at all."""
    if not word:
        return ""
    if word[0].isdigit():
        rest = _capitalise(word[1:])
        return None if rest is None else word[0] + rest
    for length in (2, 1):
        symbol = word[:length].capitalize()
        if len(word) >= length and symbol in SYMBOLS and (rest := _capitalise(word[length:])) is not None:
            return symbol + rest
    return None


def _join(elements: object) -> str:
    return ", ".join(elements)  # type: ignore[arg-type]
