"""Crystals of which a fine-tuned potential must not change its mind: ready-made structures of mixed chemistry.

None of them lies in the chemistry that is being learned: there the potential is to change its mind.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from ..tools.core.structure import from_ase, to_ase
from ..tools.core.types import ChemicalSpace, Crystal
from ..tools.generate.prototypes import PrototypeGenerator

SPACES = (
    "Na Cl", "Mg O", "Al N", "Ga As", "Zn S", "Ti O", "Fe O", "Li P S", "Sr Ti O", "Cs Pb I", "Ni Al", "Cu Zn", "La B",
    "Zr C", "Ca F", "K Mn F", "Ba Sn O", "Y Co O", "In Sb", "Ge Te", "W", "Nb", "Fe", "Al", "C", "Ge", "Ti", "Cu",
)  # fmt: skip
"""Salts, oxides, semiconductors, intermetallics, elements."""

PER_SPACE = 3
MAX_ATOMS = 16
RATTLE = 0.1
"""Å; of every other crystal, so that forces are remembered too and not only energies."""


def replay_crystals(count: int, learned: Collection[str] = ()) -> list[Crystal]:
    """At most so many, always the same ones.

    Args:
        count: how many.
        learned: elements of what is being learned; systems that hold nothing else are left out.
    """
    rng = np.random.default_rng(1)
    generator = PrototypeGenerator()
    found: list[Crystal] = []
    for words in SPACES:
        elements = tuple(sorted(words.split()))
        if set(elements) <= set(learned):
            continue
        space = ChemicalSpace(required=elements, allowed=elements, max_atoms=MAX_ATOMS)
        found += [c.crystal for c in generator.propose(space, PER_SPACE, rng)]
    chosen = [found[i] for i in rng.permutation(len(found))[:count]]
    return [_rattled(c, rng) if i % 2 else c for i, c in enumerate(chosen)]


def _rattled(crystal: Crystal, rng: np.random.Generator) -> Crystal:
    atoms = to_ase(crystal)
    atoms.positions += rng.normal(0.0, RATTLE, atoms.positions.shape)
    return from_ase(atoms)
