"""A request for one calculation in words (`PBE band gap of rocksalt MgO`) to what is asked of which crystal.

The tokens are those of every request; here a property needs no bound and no aim, and names that no goal can have
(a density of states) are known. What is not here: making the crystal and running a code (`loops/calculate.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ...tools.core.errors import GoalError
from ...tools.core.properties import CATALOGUE
from .lexeme import WORD, Lexeme
from .lexer import tokenise
from .lexicon import FILLER
from .read import checked

_EXTRA = (
    ("density_of_states", r"densit(?:y|ies) of states|\bdos\b|态密度|плотност\w+ состояний"),
    ("bulk_modulus", r"equations? of states?|\beos\b|状态方程|物态方程|уравнени\w+ состояния"),
    (
        "lattice_constant",
        r"(?:equilibrium )?lattice (?:constant|parameter)s?|晶格常数|(?:параметр|постоянн)\w+ решетки",
    ),
    ("band_gap_direct", r"direct (?:band ?)?gaps?|直接带隙|прям\w+ (?:запрещенн\w+ зон\w*|щел\w+)"),
    ("magnetization", r"magneti[sz]ation|magnetic moments?|磁矩|磁化强度|магнитн\w+ момент\w*|намагниченност\w+"),
    ("energy_per_atom", r"(?:total )?energy per atom|total energy|总能量?|полн\w+ энерги\w+"),
)
"""What one calculation gives besides the catalogue's properties, and how that is said."""
_NEEDS = {"band_gap_direct": "band_gap", "lattice_constant": "bulk_modulus", "energy_per_atom": None}
"""What an evaluator is asked for instead: the value comes with it."""
_PROTOCOLS = (
    ("fast", r"\b(?:fast|quick)\b|快速|быстр\w+"),
    ("moderate", r"\bmoderate\b|中等|средн\w+"),
    ("precise", r"\b(?:precise|accurate)\b|精确|高精度|точн\w+"),
)
_PROTOCOL_WORD = r"\bprotocols?\b|协议|протокол\w*"
_HUBBARD = r"(?:\b(?:dft|gga|pbe|lda) ?)?\+ ?u\b"
_METALS = {"fcc": "A_cF4_225_a", "bcc": "A_cI2_229_a", "hcp": "A_hP2_194_c"}
"""Structures of elements that have no name in `tools.core.prototypes`, by their AFLOW labels."""
_QUIET = frozenset({FILLER, "CONTAINING", "COMMA", "AND", "FIND", "MARK", "SLASH", "EQUALS", "DASH", "USE", "MADE_OF"})
_SEVERAL_CRYSTALS = {"energy_above_hull", "formation_energy"}


@dataclass(frozen=True)
class Calculation:
    """What is asked for."""

    wanted: tuple[str, ...]
    """Names of values, in the order of the words."""
    properties: tuple[str, ...]
    """What an evaluator is asked for, so that they are among its values."""
    formula: dict[str, int] = field(default_factory=dict)
    """Empty where a file says it."""
    prototype: str = ""
    """Name of a structure type (`tools.core.prototypes`)."""
    label: str = ""
    """AFLOW label, of structures without such a name."""
    space_group: int = 0
    evaluator: str = ""
    protocol: str = ""
    hubbard: bool = False
    unused: tuple[str, ...] = ()
    """Words that were not understood."""


def read_calculation(text: str, needs_formula: bool = True) -> Calculation:
    """Read a request for one calculation, in English, Chinese or Russian.

    Args:
        text: what the user wrote.
        needs_formula: whether nothing else says which crystal is meant.

    Raises:
        GoalError: where it asks for nothing that one calculation gives, for no or several compositions, or for another
            functional than PBE.
    """
    rest = checked(text)
    places: list[tuple[int, str]] = []
    for name, pattern in _EXTRA:
        found = list(re.finditer(pattern, rest, re.IGNORECASE))
        places += [(match.start(), name) for match in found]
        rest = _blank(rest, found)
    protocols = []
    for name, pattern in _PROTOCOLS:
        found = list(re.finditer(pattern, rest, re.IGNORECASE))
        protocols += [name] if found else []
        rest = _blank(rest, found)
    rest = _blank(rest, list(re.finditer(_PROTOCOL_WORD, rest, re.IGNORECASE)))
    hubbard = list(re.finditer(_HUBBARD, rest, re.IGNORECASE))
    tokens = tokenise(_blank(rest, hubbard))
    places += [(token.start, str(token.value)) for token in tokens if token.kind == "PROPERTY"]
    wanted = tuple(dict.fromkeys(name for _, name in sorted(places)))
    _check_wanted(wanted, tokens)
    _check_method(tokens)
    formula = _formula(tokens) if needs_formula else {}
    if len(set(protocols)) > 1:
        raise GoalError(f"Which protocol: {' or '.join(protocols)}?", "Name one.")
    asked = [_NEEDS.get(name, name) for name in wanted]
    kind, structure = _structure(tokens)
    return Calculation(
        wanted=wanted,
        properties=tuple(dict.fromkeys(name for name in asked if name)),
        formula=formula,
        prototype=str(structure) if kind == "prototype" else "",
        label=str(structure) if kind == "label" else "",
        space_group=int(structure) if kind == "space group" else 0,
        evaluator=next((str(t.value) for t in tokens if t.kind == "EVALUATOR"), ""),
        protocol=protocols[0] if protocols else "",
        hubbard=bool(hubbard),
        unused=tuple(t.text for t in tokens if _is_strange(t)),
    )


def _blank(text: str, found: list[re.Match[str]]) -> str:
    """The text without what was found; places stay."""
    for match in found:
        text = text[: match.start()] + " " * len(match.group()) + text[match.end() :]
    return text


def _check_wanted(wanted: tuple[str, ...], tokens: tuple[Lexeme, ...]) -> None:
    several = [name for name in wanted if name in _SEVERAL_CRYSTALS]
    if several:
        raise GoalError(
            f"A {CATALOGUE[several[0]].label} rests on the energies of other crystals.",
            "Run a campaign: `lodestone run`, or ask for the total energy.",
        )
    unavailable = next((t for t in tokens if t.kind == "UNAVAILABLE"), None)
    if unavailable is not None:
        raise GoalError(f"'{unavailable.text}': nothing here calculates the {unavailable.value}.", _what_there_is())
    if not wanted:
        raise GoalError("Which property?", _what_there_is())


def _what_there_is() -> str:
    names = [row.label for row in CATALOGUE.values() if row.name not in _SEVERAL_CRYSTALS]
    return f"Ask for: {', '.join([*names, *(name.replace('_', ' ') for name, _ in _EXTRA)])}."


def _check_method(tokens: tuple[Lexeme, ...]) -> None:
    for token in tokens:
        if token.kind == "METHOD" and token.text.lower() != "pbe":
            raise GoalError(f"'{token.text}' cannot be had: calculations here are PBE.", "Leave it out.")


def _formula(tokens: tuple[Lexeme, ...]) -> dict[str, int]:
    found = [dict(t.value) for t in tokens if t.kind == "FORMULA"]
    found = found or [{str(t.value): 1} for t in tokens if t.kind == "ELEMENT"]
    distinct = [f for i, f in enumerate(found) if f not in found[:i]]
    if len(distinct) != 1:
        said = " and ".join("".join(f"{el}{n if n > 1 else ''}" for el, n in f.items()) for f in distinct)
        problem = f"One crystal is calculated at a time, not {said}." if distinct else "Which crystal?"
        raise GoalError(problem, "Name one formula, e.g. 'band gap of rocksalt MgO', or give --cif FILE.")
    return distinct[0]


def _structure(tokens: tuple[Lexeme, ...]) -> tuple[str, str | int]:
    """What is named, and its name or number: a prototype, an AFLOW label, a space group, or nothing."""
    found: list[tuple[str, str | int]] = []
    for token in tokens:
        if token.kind == "PROTOTYPE":
            found.append(("prototype", str(token.value)))
        elif token.kind == "STRANGE_STRUCTURE" and token.text.lower() in _METALS:
            found.append(("label", _METALS[token.text.lower()]))
        elif token.kind == "STRANGE_STRUCTURE":
            raise GoalError(f"The structure '{token.text}' is not known.", "Give the crystal as --cif FILE.")
        elif token.kind == "HM":
            found.append(("space group", int(token.value)))
    if len(set(found)) > 1:
        raise GoalError(f"Several structures: {', '.join(str(v) for _, v in found)}.", "Name one.")
    return found[0] if found else ("", "")


def _is_strange(token: Lexeme) -> bool:
    known = {"PROPERTY", "METHOD", "PROTOTYPE", "STRANGE_STRUCTURE", "HM", "EVALUATOR", "FORMULA", "ELEMENT", *_QUIET}
    return token.kind == WORD or token.kind not in known
