"""Decoration of AFLOW prototypes with the elements of a composition: known structure types, new chemistry."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import TYPE_CHECKING

import numpy as np

from ..core.eligibility import wished_groups
from ..core.prototypes import STRUCTURE_TYPES
from ..core.types import Candidate, ChemicalSpace, Provenance, StructureWish
from .aflow import Prototype, by_signature
from .common import Collector, composition_weights, separation
from .compositions import CompositionChoice, compositions
from .volumes import volume_per_atom

if TYPE_CHECKING:
    from pymatgen.core import Structure

MAX_SWELLING = 2.0
"""A decoration may be scaled up by this factor in volume to bring its atoms apart; more is another structure."""

EXCHANGED = 0.25
"""Chance of a decoration whose anions stand on the prototype's cation sites, relative to the natural one."""


@dataclass(frozen=True)
class Decoration:
    """A prototype, and which element stands where."""

    prototype: Prototype
    choice: CompositionChoice
    mapping: tuple[tuple[str, str], ...]
    """Element of the prototype, element of the composition."""
    weight: float


class PrototypeGenerator:
    """Decorated AFLOW prototypes; see `Generator`."""

    name = "prototypes"

    def __init__(self) -> None:
        self.known: Container[str] = frozenset()
        """Ids that are not worth proposing again; set by the loop."""
        self.wish = StructureWish()
        """What the crystals should look like; set by the loop."""

    def propose(self, space: ChemicalSpace, n: int, rng: np.random.Generator) -> list[Candidate]:
        """See `Generator.propose`. Decorations are drawn without repeats until the space runs dry."""
        pool = [d for d in decorations(space) if _is_wished(self.wish, d.prototype)]
        collector = Collector(space, n, self.known)
        if not pool:
            return []
        weights = np.array([d.weight for d in pool])
        # Gumbel top-k: one draw gives the whole order of a weighted sampling without replacement.
        order = np.argsort(-(np.log(weights) + rng.gumbel(size=len(pool))), kind="stable")
        for index in order:
            if collector.full:
                break
            decoration = pool[int(index)]
            structure = decorate(decoration)
            if structure is not None:
                collector.offer(
                    structure,
                    Provenance(
                        generator=self.name,
                        parameters={
                            "prototype": decoration.prototype.label,
                            "type": decoration.prototype.name,
                            "sites": ", ".join(f"{ours} on {theirs}" for theirs, ours in decoration.mapping),
                            "formula_units": len(structure) // decoration.choice.atoms,
                        },
                    ),
                )
        return collector.candidates


def _is_wished(wish: StructureWish, prototype: Prototype) -> bool:
    """Whether a prototype is what a wish leaves, as far as its label says."""
    groups = wished_groups(wish)
    if groups is not None and int(prototype.label.split("_")[2]) not in groups:
        return False
    types = [STRUCTURE_TYPES[name] for name in wish.prototypes]
    return not types or any(prototype.label in t.labels if t.labels else prototype.signature == t.counts for t in types)


@lru_cache(maxsize=16)
def decorations(space: ChemicalSpace) -> tuple[Decoration, ...]:
    """Every decoration of every prototype that fits a space, with its chance."""
    choices = compositions(space)
    shares = composition_weights(choices)
    found: list[Decoration] = []
    for choice, share in zip(choices, shares, strict=True):
        group = [d for p in by_signature().get(_signature(choice), ()) for d in _of(p, choice, space.max_atoms)]
        total = sum(d.weight for d in group)
        found += [Decoration(d.prototype, d.choice, d.mapping, float(share) * d.weight / total) for d in group]
    return tuple(found)


def decorate(decoration: Decoration) -> Structure | None:
    """The decorated crystal at its expected volume, scaled up where atoms would be too close; None beyond reason."""
    structure = decoration.prototype.structure.copy()
    structure.replace_species(dict(decoration.mapping))
    expected = volume_per_atom(decoration.choice) * len(structure)
    structure.scale_lattice(expected)
    ratio = separation(structure, decoration.choice)
    if ratio < 1.0:
        swelling = (1.0 / ratio) ** 3 * 1.001
        if swelling > MAX_SWELLING:
            return None
        structure.scale_lattice(expected * swelling)
    return structure


def _signature(choice: CompositionChoice) -> tuple[int, ...]:
    return tuple(sorted(choice.amounts.values()))


def _of(prototype: Prototype, choice: CompositionChoice, max_atoms: int) -> Iterator[Decoration]:
    """Every assignment of elements to the prototype's sites that gives the composition."""
    if len(prototype.structure) > max_atoms:
        return
    theirs = [symbol for symbol, _ in prototype.counts]
    for ours in permutations(choice.amounts):
        if any(choice.amounts[o] != n for o, (_, n) in zip(ours, prototype.counts, strict=True)):
            continue
        mapping = tuple(zip(theirs, ours, strict=True))
        weight = prototype.parsimony * (1.0 if _natural(mapping) else EXCHANGED)
        yield Decoration(prototype, choice, mapping, weight)


def _natural(mapping: tuple[tuple[str, str], ...]) -> bool:
    """Whether the order of electronegativities is that of the prototype's own elements."""
    from pymatgen.core import Element

    ordered = sorted(mapping, key=lambda pair: Element(pair[0]).X or 0.0)
    values = [Element(ours).X or 0.0 for _, ours in ordered]
    return values == sorted(values)
