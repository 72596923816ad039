"""Symmetry that a relaxation has almost reached: the idealised cell, relaxed once more, kept if it is no worse.

A crystal that walked into rocksalt from a monoclinic start stops where the forces are small, a tenth of an Ångström
away from it, and would be reported as C2/m. What is not here: naming the group for the report (`tools/recognise`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.protocols import Potential
from ..core.structure import lattice_rows, site_rows, volume
from ..core.types import Crystal, Relaxation

TIGHT = 0.01
"""Å; symmetry at this tolerance is there already."""
LOOSE = (0.3, 0.15, 0.05)
"""Å; tolerances at which more symmetry is sought, the loosest first. The energy decides whether it was real."""
MAX_RISE = 0.001
"""eV/atom; an idealised crystal that ends higher than this above the relaxed one is not the same minimum."""


def polish(potential: Potential, results: Sequence[Relaxation]) -> list[Relaxation]:
    """Each converged relaxation, or its more symmetric twin where that ends at the same energy or below.

    Args:
        potential: that made the results.
        results: of `Potential.relax`.

    Returns:
        As many, in order; steps and wall time of both relaxations are added up.
    """
    polished = list(results)
    for tolerance in LOOSE:
        tries = [
            (i, ideal)
            for i, r in enumerate(polished)
            if r.converged and r is results[i] and (ideal := idealised(r.crystal, tolerance)) is not None
        ]
        again = potential.relax([(polished[i].candidate_id, ideal) for i, ideal in tries]) if tries else []
        for (i, _), new in zip(tries, again, strict=True):
            old = polished[i]
            if new.converged and new.energy_per_atom <= old.energy_per_atom + MAX_RISE:
                polished[i] = new.model_copy(update={"steps": old.steps + new.steps, "wall_s": old.wall_s + new.wall_s})
    return polished


def idealised(crystal: Crystal, symprec: float) -> Crystal | None:
    """The primitive cell with the symmetry found at `symprec` (Å) made exact; None where that adds no symmetry."""
    import moyopy
    from ase.data import atomic_numbers, chemical_symbols

    cell = moyopy.Cell(
        basis=np.array(crystal.lattice).tolist(),
        positions=[list(x) for x in crystal.frac_coords],
        numbers=[atomic_numbers[s] for s in crystal.species],
    )
    try:
        tight = moyopy.MoyoDataset(cell, symprec=TIGHT)
        loose = moyopy.MoyoDataset(cell, symprec=symprec)
    except ValueError:  # moyopy's answer where no symmetry can be found at a tolerance
        return None
    primitive = loose.prim_std_cell
    order = len(loose.operations) / volume(crystal)
    if loose.number == tight.number or order <= len(tight.operations) / volume(crystal):
        return None
    ideal = Crystal(
        lattice=lattice_rows(np.array(primitive.basis)),
        species=tuple(chemical_symbols[z] for z in primitive.numbers),
        frac_coords=site_rows(np.mod(np.array(primitive.positions), 1.0)),
    )
    same_ratio = sorted(set(crystal.species)) == sorted(set(ideal.species)) and len(crystal) % len(ideal) == 0
    return ideal if same_ratio else None
