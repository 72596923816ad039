"""Crystals by words: a small text index over what the campaign has relaxed.

Each crystal is described by its formula, elements, structure type, symmetry and bonding; words are weighed as in BM25
(Robertson and Zaragoza, Found. Trends Inf. Retr. 3, 333 (2009)), of which only the rarity of a word matters here,
because all descriptions have about the same length.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import cache
from typing import Any

from ..tools.core.eligibility import amounts_of
from ..tools.core.prototypes import STRUCTURE_TYPES
from .knowledge import Knowledge, PoolMember
from .standing import PROJECT

BONDING = {0: "molecular molecules clusters 0d", 1: "chains chain 1d", 2: "layered layers layer 2d", 3: "framework 3d"}
"""Words for the dimensionality of the bonded units."""

ALSO = {"Al": "aluminium", "Cs": "caesium", "S": "sulphur"}
"""IUPAC's spelling where pymatgen has another one."""

ANIONS = {
    "O": "oxide", "S": "sulfide sulphide", "Se": "selenide", "Te": "telluride", "N": "nitride", "P": "phosphide",
    "F": "fluoride halide", "Cl": "chloride halide", "Br": "bromide halide", "I": "iodide halide", "H": "hydride",
    "C": "carbide",
}  # fmt: skip

_WORD = re.compile(r"[a-z]+[a-z0-9/_-]*|\d+")
_PLURAL = re.compile(r"(?<=[a-z]{3})s$")


class Retrieval:
    """An index over the crystals that a campaign works on."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._documents = [(m, _tokens(self._words(m))) for m in knowledge.pool]
        self._spread = Counter(word for _, words in self._documents for word in words)

    def find(self, words: str, count: int) -> list[PoolMember]:
        """The crystals that hold most of the words, rare ones first; of equals the nearest to the hull."""
        asked = _tokens(words)
        total = len(self._documents)
        weight = {w: math.log(1 + (total - n + 0.5) / (n + 0.5)) for w in asked if (n := self._spread[w])}
        cheap = self._knowledge.cheap
        scored = [
            (-sum(weight.get(w, 0.0) for w in asked & words), cheap[m.candidate.id]["energy_above_hull"], m)
            for m, words in self._documents
            if asked & words
        ]
        return [m for _, _, m in sorted(scored, key=lambda row: row[:2])[:count]]

    def facts(self, member: PoolMember) -> dict[str, Any]:
        """What one crystal is."""
        recognised, identity = member.recognition, member.candidate.id
        return {
            "formula": member.candidate.formula,
            "space_group": recognised.space_group_symbol,
            "crystal_system": recognised.crystal_system,
            "structure_type": _type_of(member) or recognised.prototype or "none known",
            "dimensionality": recognised.dimensionality,
            "known": member.candidate.provenance.generator == PROJECT,
            "energy_above_hull": round(self._knowledge.cheap[identity]["energy_above_hull"], 4),
            "evaluated": identity in self._knowledge.evaluated_ids,
        }

    def _words(self, member: PoolMember) -> str:
        recognised = member.recognition
        elements = sorted(member.amounts)
        count = {1: "unary element", 2: "binary", 3: "ternary", 4: "quaternary"}.get(len(elements), "")
        return " ".join(
            (
                member.candidate.formula,
                *elements,
                *(_name(e) for e in elements),
                *(ALSO.get(e, "") for e in elements),
                *(ANIONS.get(e, "") for e in elements),
                count,
                recognised.crystal_system,
                recognised.space_group_symbol,
                str(recognised.space_group),
                recognised.prototype,
                _type_of(member),
                BONDING[recognised.dimensionality],
                member.candidate.provenance.generator,
                "evaluated measured" if member.candidate.id in self._knowledge.evaluated_ids else "waiting",
            )
        )


def _type_of(member: PoolMember) -> str:
    counts = tuple(sorted(amounts_of(member.relaxation.crystal.species).values()))
    return " ".join(name for name, kind in STRUCTURE_TYPES.items() if kind.fits(member.recognition, counts))


def _tokens(text: str) -> set[str]:
    words = set(_WORD.findall(text.lower()))
    return words | {_PLURAL.sub("", w) for w in words}


@cache
def _name(symbol: str) -> str:
    from pymatgen.core import Element

    return str(Element(symbol).long_name)
