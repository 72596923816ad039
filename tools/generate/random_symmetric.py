"""Random crystals with the symmetry of a random space group, by PyXtal (Fredericks et al., CPC 261, 107810 (2021)).

The random structure searching of Pickard and Needs (J. Phys.: Condens. Matter 23, 053201 (2011)), with all 230 groups.
"""

from __future__ import annotations

from collections.abc import Container
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.eligibility import wished_groups
from ..core.types import Candidate, ChemicalSpace, Provenance, StructureWish
from .common import Collector, composition_weights, separation
from .compositions import CompositionChoice, compositions
from .volumes import volume_per_atom

if TYPE_CHECKING:
    from pymatgen.core import Structure

ATTEMPTS_PER_CRYSTAL = 30
"""Tries before a crystal that was asked for is given up: a small space must not hang a campaign."""

PYXTAL_TRIES = 3
"""PyXtal's own tries for one group and composition."""

VOLUME_SPREAD = (0.85, 1.25)
"""Factors on the expected volume; the cell relaxes later, so a coarse spread is enough."""


class RandomSymmetricGenerator:
    """Random symmetric crystals; see `Generator`."""

    name = "random"

    def __init__(self) -> None:
        self.known: Container[str] = frozenset()
        """Ids that are not worth proposing again; set by the loop."""
        self.wish = StructureWish()
        """What the crystals should look like; set by the loop."""

    def propose(self, space: ChemicalSpace, n: int, rng: np.random.Generator) -> list[Candidate]:
        """See `Generator.propose`. Compositions, formula units, group, and volume are drawn for each crystal."""
        choices = compositions(space)
        weights = composition_weights(choices)
        collector = Collector(space, n, self.known)
        wished = wished_groups(self.wish)
        for _ in range(n * ATTEMPTS_PER_CRYSTAL):
            if collector.full:
                break
            choice = choices[int(rng.choice(len(choices), p=weights))]
            units = np.arange(1, max(1, space.max_atoms // choice.atoms) + 1)
            # Small cells first: most ground states have few atoms, and their search space is exponentially smaller.
            unit_weights = 1.0 / units
            units_chosen = int(rng.choice(units, p=unit_weights / unit_weights.sum()))
            counts = tuple(n_atoms * units_chosen for n_atoms in choice.amounts.values())
            groups = [g for g in compatible_groups(counts) if wished is None or g in wished]
            if not groups:
                continue
            group = int(rng.choice(groups))
            factor = float(rng.uniform(*VOLUME_SPREAD))
            seed = int(rng.integers(2**31))
            structure = random_crystal(choice, counts, group, factor, seed)
            if structure is None:
                continue
            collector.offer(
                structure,
                Provenance(
                    generator=self.name,
                    parameters={"space_group": group, "formula_units": units_chosen, "volume_factor": round(factor, 4)},
                    seed=seed,
                ),
            )
        return collector.candidates


def random_crystal(
    choice: CompositionChoice, counts: tuple[int, ...], group: int, factor: float, seed: int
) -> Structure | None:
    """One random crystal in its primitive cell; None where PyXtal finds none or its atoms are too close.

    Args:
        choice: composition.
        counts: atoms of each element in the primitive cell, in the order of `choice.amounts`.
        group: space-group number.
        factor: on the expected volume.
        seed: of PyXtal.
    """
    from pyxtal import pyxtal
    from pyxtal.msg import Comp_CompatibilityError, VolumeError

    crystal = pyxtal()
    try:
        crystal.from_random(
            3,
            group,
            list(choice.amounts),
            list(counts),
            conventional=False,
            max_count=PYXTAL_TRIES,
            random_state=np.random.default_rng(seed),
        )
    except (Comp_CompatibilityError, VolumeError, RuntimeError, ValueError):
        # PyXtal gives up in several ways on a group that has no place for the atoms; another draw is the answer.
        return None
    if not crystal.valid:
        return None
    structure: Structure = crystal.to_pymatgen().get_primitive_structure(tolerance=0.01)
    structure.scale_lattice(factor * volume_per_atom(choice) * len(structure))
    return structure if separation(structure, choice) >= 1.0 else None


@lru_cache(maxsize=512)
def compatible_groups(counts: tuple[int, ...]) -> tuple[int, ...]:
    """Space groups whose Wyckoff positions can hold these numbers of atoms of each element in the primitive cell."""
    found = []
    for number in range(1, 231):
        group = _group(number)
        factor = _CENTRING[group.symbol[0]]
        if group.check_compatible([c * factor for c in counts])[0]:
            found.append(number)
    return tuple(found)


_CENTRING = {"P": 1, "A": 2, "B": 2, "C": 2, "I": 2, "R": 3, "F": 4}
"""Primitive cells in the conventional cell, by the first letter of the symbol (hexagonal axes for R)."""


@lru_cache(maxsize=230)
def _group(number: int) -> Any:
    from pyxtal.symmetry import Group

    return Group(number)
