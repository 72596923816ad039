"""The chemical space of a request: which elements, in which numbers, at which stoichiometry."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from math import gcd

from ..tools.core.elements import ANION_FORMERS, BROAD, ELEMENT_CLASSES, SYMBOLS
from ..tools.core.errors import GoalError
from ..tools.core.prototypes import STRUCTURE_TYPES
from ..tools.core.types import MAX_SITES, ChemicalSpace
from .words.request import Mention, Request

_OPEN_ELEMENTS = 3
"""Elements in an open search where the request gives no number: ternaries are the largest space that a
campaign of some tens of evaluations can cover."""


def build_space(request: Request, unused: Sequence[str], default_max_atoms: int) -> tuple[ChemicalSpace, list[str]]:
    """The chemical space of a request, and what was assumed.

    Raises:
        GoalError: when no chemistry is named or what is named contradicts itself.
    """
    said: list[str] = []
    _settle_mentions(request, said)
    _settle_exclusions(request)
    formula = _one_formula(request)
    system = _one_system(request)
    pattern = _one_pattern(request)
    if formula and system and set(formula) != set(system):
        raise GoalError(
            f"A composition ({_join(formula)}) and another system ({'-'.join(system)}) are asked for.",
            "Keep one of them.",
        )
    closed = tuple(formula or system or ())
    if request.closed_choice and not closed:
        for said_so, group in request.any_of:
            for element in group:
                request.only.setdefault(element, said_so)
        request.parts = len(request.any_of)
    choices = _choices(request, closed)
    required = set(closed) | set(request.required) | set(_class_elements(request))
    if request.only and not closed:
        required &= set(request.only) | set(request.required) | set(_class_elements(request))
    _check_exclusions(request, required)
    stated = _stated_counts(request)[1]
    if system and not formula and stated is not None and stated < len(system) and set(system) == required:
        said.append(f"at most {stated} of {len(system)} elements a crystal, so none of {'-'.join(system)} must be in")
        required = set()
    allowed = _allowed(request, unused, closed, required, choices, pattern, said)
    choices = [tuple(e for e in group if e in allowed) for group in choices]
    if any(not group for group in choices):
        raise GoalError("All of what is to choose from is excluded.", "Drop one of the two.")
    choices = [group for group in choices if not set(group) & required]
    low, high = _counts(request, closed, required, choices, pattern, allowed, said)
    low = max(low, len(required), 1)
    high = min(high, len(allowed))
    if low > high:
        raise GoalError(
            f"No composition has {low} or more of at most {high} elements ({_join(sorted(allowed)[:8])}).",
            "Change the number of elements, or say 'containing Li and P' to leave room for others.",
        )
    space = ChemicalSpace(
        required=tuple(sorted(required)),
        allowed=tuple(sorted(allowed)),
        excluded=tuple(sorted(request.excluded)),
        any_of=tuple(sorted(tuple(sorted(group)) for group in choices)),
        formula=_reduced(formula) if formula else None,
        pattern="".join(f"{s}{n if n > 1 else ''}" for s, n in pattern) if pattern else None,
        n_elements=(low, high),
        max_atoms=_max_atoms(request, formula, default_max_atoms, said),
    )
    return space, said


def _settle_exclusions(request: Request) -> None:
    """Exceptions: `no toxic elements except As`, `La oxides, no other rare earths`."""
    wanted = {*request.required, *request.only, *(e for system in request.systems for e in system)}
    wanted |= {e for counts in request.formulas.values() for e in counts} | {e for _, g in request.any_of for e in g}
    spared = {*request.permitted, *(e for e in request.excepted if e in request.others_excluded)}
    for element in request.others_excluded:
        if element not in wanted:
            request.excluded.setdefault(element, "no others")
    for element in spared:
        request.excluded.pop(element, None)


def _settle_mentions(request: Request, said: list[str]) -> None:
    """Elements that were only named: the whole of the chemistry, or part of it."""
    for mention in request.mentions:
        named = " ".join(mention.elements)
        if mention.either and len(mention.elements) > 1:
            request.any_of.append((mention.said, mention.elements))
        elif _is_part(request, mention):
            for element in mention.elements:
                request.required.setdefault(element, mention.said)
        else:
            request.systems.append(mention.elements)
            what = f"crystals of {named} alone" if len(mention.elements) == 1 else (
                f"the system {'-'.join(mention.elements)} and no other element"
            )  # fmt: skip
            said.append(f"'{mention.said}' read as {what}")


def _is_part(request: Request, mention: Mention) -> bool:
    """Whether other elements may stand beside those named."""
    others = request.classes or request.any_classes or request.patterns or request.only or request.anything
    if others or request.systems or request.formulas or request.required:
        return True
    more = any(low > len(mention.elements) for low, _ in request.element_counts)
    return len(mention.elements) == 1 and bool(mention.beside_others or request.prototypes or more)


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
        common = frozenset.intersection(*kinds)
        rest = [tuple(e for e in system if e not in common) for system in kinds.values()]
        if request.either_system and common and all(len(part) == 1 for part in rest):
            # `Li-Y-Cl or Li-Y-Br`: one place of the system is open.
            request.any_of.append((" or ".join("-".join(s) for s in kinds.values()), tuple(p[0] for p in rest)))
            request.element_counts.append((len(common) + 1, len(common) + 1))
            for element in (*common, *(p[0] for p in rest)):
                request.only.setdefault(element, "systems")
            for element in common:
                request.required.setdefault(element, "systems")
            return None
        names = ", ".join("-".join(system) for system in kinds.values())
        raise GoalError(f"More than one chemical system: {names}.", "Name one a campaign.")
    return next(iter(kinds.values())) if kinds else None


def _one_pattern(request: Request) -> tuple[tuple[str, int], ...] | None:
    kinds = dict.fromkeys(request.patterns)
    if len(kinds) > 1:
        raise GoalError("More than one stoichiometry is asked for.", "Name one a campaign.")
    return next(iter(kinds)) if kinds else None


def _class_elements(request: Request) -> tuple[str, ...]:
    """Elements that a class of compounds asks for; several classes are alternatives."""
    kinds = {elements: said for said, elements in request.classes}
    return next(iter(kinds), ()) if len(kinds) <= 1 else ()


def _choices(request: Request, closed: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Groups of which a crystal holds one element at least."""
    found = [elements for _, elements in request.any_of]
    kinds = {elements: said for said, elements in request.classes}
    classes = [elements for _, elements in request.any_classes]
    if len(kinds) > 1:
        classes = [tuple(dict.fromkeys(e for kind in kinds for e in kind))]
    named = {e for kind in kinds for e in kind} | set(request.required)
    # `halides: lithium chlorides or bromides`: the narrower word says which of them.
    wide = [c for c in classes if not (named & set(c) and set(c) - named)]
    for group in (*wide, *found):
        if closed and not set(group) & set(closed) and group in ELEMENT_CLASSES.values():
            raise GoalError(f"'{_join(group)}' does not fit into {'-'.join(closed)}.", "Drop one of the two.")
    groups = [tuple(g) for g in (*wide, *found)]
    # `halides with X = Br or I`: the narrower choice says it all.
    return [g for g in groups if not any(set(other) < set(g) for other in groups)]


def _check_exclusions(request: Request, required: set[str]) -> None:
    for element in sorted(required | (set() if request.only_of_class else set(request.only))):
        if element in request.excluded:
            raise GoalError(
                f"{element} is both asked for and excluded ('{request.excluded[element]}').", "Drop one of the two."
            )


def _allowed(
    request: Request,
    unused: Sequence[str],
    closed: tuple[str, ...],
    required: set[str],
    choices: Sequence[tuple[str, ...]],
    pattern: tuple[tuple[str, int], ...] | None,
    said: list[str],
) -> set[str]:
    excluded = set(request.excluded)
    chosen = {element for group in choices for element in group} - excluded
    if choices and not chosen:
        raise GoalError(f"All of '{_join(choices[0])}' is excluded.", "Drop one of the two.")
    if closed:
        _check_inside(request, closed)
        extra = required - set(closed)
        if extra:
            said.append(f"{_join(sorted(extra))} added to the system {'-'.join(closed)}")
        outside = {e for group in choices if not set(group) & set(closed) for e in group}
        return set(closed) | required | (outside - excluded)
    if request.only:
        return (set(request.only) - excluded) | required | chosen
    is_class = bool(request.classes or request.any_classes)
    fixed = {s for s, _ in pattern or () if s in required}
    if not (required or chosen or request.anything or pattern or request.prototypes):
        raise _no_chemistry(unused)
    # `ABX3 with X = Cl or Br`: the site of the anions is taken.
    sited = pattern is not None and any(set(group) <= set(ANION_FORMERS) for group in choices)
    is_class = is_class or sited or bool(fixed & set(ANION_FORMERS))
    rest = {e for e in BROAD if e not in excluded and not (is_class and e in ANION_FORMERS)}
    what = "hydrogen to bismuth without noble gases and radioactive elements"
    if is_class:
        left = _join(tuple(e for e in ANION_FORMERS if e not in required | chosen))
        what += f", and without other anion formers ({left})"
    said.append(f"other elements: {what}{', less those excluded' if excluded else ''}")
    return rest | required | chosen


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


def _counts(
    request: Request,
    closed: tuple[str, ...],
    required: set[str],
    choices: Sequence[tuple[str, ...]],
    pattern: tuple[tuple[str, int], ...] | None,
    allowed: set[str],
    said: list[str],
) -> tuple[int, int]:
    """Fewest and most elements of a crystal."""
    low, high = _stated_counts(request)
    needed = len(required) + _disjoint(choices)
    types = [STRUCTURE_TYPES[name] for name in request.prototypes]
    if closed:
        for name, kind in zip(request.prototypes, types, strict=True):
            if kind.kinds > len(closed):
                raise GoalError(
                    f"{name} ({kind.formula}) needs {kind.kinds} elements, and {'-'.join(closed)} has {len(closed)}.",
                    "Change the structure type or the system.",
                )
            if kind.kinds < len(closed) and low is None:
                request.questions.append(
                    (
                        f"{name} ({kind.formula}) has {kind.kinds} elements, and {'-'.join(closed)} has {len(closed)}. "
                        f"Which of them?",
                        f"crystals of all {len(closed)}, which are not recognised as {name}",
                    )
                )
    elif low is None and high is None:
        kinds = [len(pattern)] if pattern else sorted({t.kinds for t in types})
        if kinds:
            low, high = max(kinds[0], needed), max(kinds[-1], needed)
        elif request.parts:
            low, high = request.parts, max(request.parts, needed)
    if low is None and high is None and not closed and len(allowed) > 6:
        high = max(_OPEN_ELEMENTS, needed)
        said.append(f"up to {high} elements a crystal (default)")
    low = max(low or 1, needed, 1)
    if (request.classes or request.any_classes or request.only_of_class) and not closed:
        low = max(low, min(2, high or 2))
    if high is None:
        high = max(6, len(required)) if len(required) <= 6 else len(required)
        high = min(high, max(len(allowed), 1))
    if pattern and len(required) > len(pattern):
        raise GoalError(
            f"The stoichiometry has {len(pattern)} elements, and {', '.join(sorted(required))} are all asked for.",
            "Say which of them are alternatives: 'A = Ca or Sr'.",
        )
    if pattern and not closed and high < len(pattern):
        raise GoalError(f"The stoichiometry has {len(pattern)} elements, more than {high}.", "Change one of the two.")
    return low, high


def _disjoint(choices: Sequence[tuple[str, ...]]) -> int:
    """Fewest elements that hold one of each group, where groups that share none need one each."""
    taken: set[str] = set()
    count = 0
    for group in choices:
        if not taken & set(group):
            count += 1
            taken |= set(group)
    return count


def _stated_counts(request: Request) -> tuple[int | None, int | None]:
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


def _max_atoms(request: Request, formula: dict[str, int] | None, default: int, said: list[str]) -> int:
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
        said.append(f"at most {needed} atoms in the primitive cell (one formula unit)")
        return needed
    said.append(f"at most {default} atoms in the primitive cell (default)")
    return default


def _reduced(formula: dict[str, int]) -> str:
    """The formula in pymatgen's order, so that it equals `Candidate.formula`."""
    from pymatgen.core.composition import Composition

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # pymatgen warns of elements without an electronegativity
        return str(Composition(formula).reduced_formula)


def _no_chemistry(unused: Sequence[str]) -> GoalError:
    for words in unused:
        for word in words.replace("-", " ").split():
            guess = _capitalise(word) if word.isascii() and word.islower() and 3 <= len(word) <= 12 else None
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
