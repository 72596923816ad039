"""The AFLOW prototypes that pymatgen ships (Mehl et al., Comput. Mater. Sci. 136, S1 (2017)), read as plain data.

What is not here: decorating them (`prototypes.py`, `substitution.py`).
"""

from __future__ import annotations

import gzip
import json
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pymatgen.core import Structure

MAX_ATOMS = 60
"""Prototypes with more atoms in the primitive cell are left out: no default campaign could relax them in numbers."""


@dataclass(frozen=True)
class Prototype:
    """One AFLOW prototype in its primitive cell, with the elements of the crystal that it is named after."""

    label: str
    """AFLOW label, e.g. `AB_cF8_225_a_b`."""
    name: str
    """Mineral or Strukturbericht name where there is one."""
    structure: Structure
    parsimony: float
    """Order of the crystal class over atoms in the primitive cell. Symmetric crystals with few atoms are far more
    frequent among ground states than among all structures (Pickard and Needs, J. Phys.: Condens. Matter 23, 053201
    (2011), section 2.5; Pauling's rule of parsimony), so this is a prior chance, up to a factor."""
    counts: tuple[tuple[str, int], ...]
    """Element and its number in the reduced formula, by ascending number then symbol."""

    @property
    def signature(self) -> tuple[int, ...]:
        """Ascending numbers of the reduced formula: what a composition has to match."""
        return tuple(sorted(n for _, n in self.counts))


@cache
def prototypes() -> tuple[Prototype, ...]:
    """All ordered prototypes of at most `MAX_ATOMS` atoms, in the order of the file."""
    from pymatgen.core import Lattice, Structure

    raw = (files("pymatgen.analysis.prototypes") / "aflow_prototypes.json.gz").read_bytes()
    found = []
    for entry in json.loads(gzip.decompress(raw)):
        sites = entry["snl"]["sites"]
        if any(len(s["species"]) != 1 or s["species"][0]["occu"] != 1.0 for s in sites):
            continue
        structure = Structure(
            Lattice(np.array(entry["snl"]["lattice"]["matrix"])),
            [s["species"][0]["element"] for s in sites],
            [s["abc"] for s in sites],
        ).get_primitive_structure(tolerance=0.05)
        if len(structure) > MAX_ATOMS:
            continue
        reduced = structure.composition.reduced_composition
        tags = entry["tags"]
        found.append(
            Prototype(
                label=str(tags["aflow"]),
                name=_name(tags, structure),
                structure=structure,
                parsimony=_CLASS_ORDER[bisect_left(_LAST_GROUP, _group_number(str(tags["aflow"])))] / len(structure),
                counts=tuple(sorted(((str(e), round(n)) for e, n in reduced.items()), key=lambda p: (p[1], p[0]))),
            )
        )
    return tuple(found)


_LAST_GROUP = (1, 2, 5, 9, 15, 24, 46, 74, 80, 82, 88, 98, 110, 122, 142, 146, 148, 155, 161, 167, 173, 174, 176, 182,
               186, 190, 194, 199, 206, 214, 220, 230)  # fmt: skip
_CLASS_ORDER = (1, 2, 2, 2, 4, 4, 4, 8, 4, 4, 8, 8, 8, 8, 16, 3, 6, 6, 6, 12, 6, 6, 12, 12, 12, 12, 24, 12, 24, 24, 24,
                48)  # fmt: skip
"""Last space group of each of the 32 crystal classes, and the class's order (International Tables A)."""


def _group_number(label: str) -> int:
    """Space group from an AFLOW label such as `AB_cF8_225_a_b`."""
    return int(label.split("_")[2])


def _name(tags: dict[str, str], structure: Structure) -> str:
    """Mineral, else Strukturbericht, else formula; the file writes missing tags as the word `None`."""
    named = [str(tags[k]) for k in ("mineral", "strukturbericht") if tags.get(k) not in (None, "", "None")]
    return named[0] if named else f"{structure.composition.reduced_formula} type"


@cache
def by_signature() -> dict[tuple[int, ...], tuple[Prototype, ...]]:
    """Prototypes grouped by the numbers of their reduced formula."""
    groups: dict[tuple[int, ...], list[Prototype]] = {}
    for prototype in prototypes():
        groups.setdefault(prototype.signature, []).append(prototype)
    return {k: tuple(v) for k, v in groups.items()}
