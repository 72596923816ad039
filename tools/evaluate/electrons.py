"""What every plane-wave code needs besides itself: k-meshes, starting moments, symmetrised cells, checks of a cell.

The codes themselves are in modules of their names, what their levels say in `spectrum.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from ..core.structure import to_ase, volume
from ..core.types import Crystal, Frozen, Quantity
from ..core.units import GPA_PER_EV_A3
from .base import CalculationFailed

_GRAMS_PER_AMU_OVER_A3 = 1.66053906660
"""1 u/Å³ in g/cm³ (CODATA 2018)."""

HIGH_SPIN_MOMENTS = {
    "V": 3.0,
    "Cr": 4.0,
    "Mn": 5.0,
    "Fe": 4.0,
    "Co": 3.0,
    "Ni": 2.0,
}
"""Starting moments in Bohr magnetons, near the high-spin ones: a moment relaxes to zero, zero never grows."""

OXYGEN_MOMENT = 1.0
"""Per atom in a crystal of oxygen alone: the ground state of the O2 molecule is a triplet."""


ASKED_MOMENT = 1.0
"""Of every atom where the magnetisation is asked for and no element of the crystal starts magnetic."""

MAGNETISATION, DENSITY_OF_STATES = "magnetization", "density_of_states"
"""What can be asked for besides the catalogue's properties."""
EXTRAS = frozenset({MAGNETISATION, DENSITY_OF_STATES})
ENERGIES = frozenset({"formation_energy", "energy_above_hull"})
"""What rests on the energies of several crystals."""

CLOSEST = 0.5
"""Atoms that are nearer than this part of the sum of their covalent radii overlap; no bond is so short (radii:
B. Cordero et al., Dalton Trans. 2832 (2008))."""

SMALLEST_A3 = 1.0
"""Å³ for each atom; a cell with less is none."""

_SYMMETRY_A = 1e-3
"""Å; of crystals that were moved onto their symmetry before."""
_SAME = 1e-5
"""Fractions of a lattice vector below which a translation is none."""


class Accuracy(Frozen):
    """What sets the accuracy of a plane-wave calculation."""

    cutoff_ev: float
    """Kinetic-energy cutoff of the plane waves for the wave functions, eV."""
    kspacing: float
    """Largest distance of k-points, 1/Å, with the factor 2π in the reciprocal lattice."""
    smearing_ev: float
    """Width of the occupation function, eV."""
    energy_convergence_ev: float
    """Of the self-consistent energy: eV per valence electron (GPAW) or per cell (pw.x)."""


ACCURACIES = {
    "fast": Accuracy(cutoff_ev=350.0, kspacing=0.40, smearing_ev=0.1, energy_convergence_ev=1e-4),
    "moderate": Accuracy(cutoff_ev=700.0, kspacing=0.25, smearing_ev=0.05, energy_convergence_ev=1e-5),
    "precise": Accuracy(cutoff_ev=900.0, kspacing=0.15, smearing_ev=0.05, energy_convergence_ev=1e-6),
}
"""By the name of the protocol. Cutoffs are for GPAW's PAW data sets, and the same for all elements so that energies
compare; pw.x has its own. N, O and F decide: from 450 to 900 eV the energies of MgO and AlN still fall by 0.5 eV/atom,
from 700 eV by 0.02, of which the formation energy of AlN keeps less than 1 meV; the volume of MgO is 1.2 % too large
at 450 (`benchmarks.published`). `fast` is for looking."""


def kmesh(crystal: Crystal, spacing: float) -> tuple[int, int, int]:
    """Gamma-centred mesh whose points lie at most `spacing` (1/Å, including 2π) apart along each axis."""
    reciprocal = 2 * np.pi * np.linalg.inv(np.array(crystal.lattice)).T
    lengths = np.linalg.norm(reciprocal, axis=1)
    a, b, c = (max(1, int(np.ceil(length / spacing - 1e-9))) for length in lengths)
    return a, b, c


def starting_moments(crystal: Crystal, properties: Iterable[str] = ()) -> list[float]:
    """One moment an atom in Bohr magnetons; all zero means a calculation without spin.

    Where the magnetisation is asked for, every atom starts with one, since without spin the answer would be no finding.
    """
    if set(crystal.species) == {"O"}:
        return [OXYGEN_MOMENT] * len(crystal)
    moments = [HIGH_SPIN_MOMENTS.get(symbol, 0.0) for symbol in crystal.species]
    return [ASKED_MOMENT] * len(crystal) if MAGNETISATION in set(properties) and not any(moments) else moments


def check_geometry(crystal: Crystal) -> None:
    """Raise CalculationFailed where atoms overlap, before a code spends hours on it."""
    from ase.data import atomic_numbers, covalent_radii
    from ase.neighborlist import neighbor_list

    atoms = to_ase(crystal)
    if volume(crystal) < SMALLEST_A3 * len(crystal):
        raise CalculationFailed(f"a cell of {volume(crystal):.3g} Å³ holds {len(crystal)} atoms", "geometry")
    radii = [float(covalent_radii[atomic_numbers[symbol]]) * CLOSEST for symbol in crystal.species]
    first, second, distances = neighbor_list("ijd", atoms, radii)
    if len(distances):
        n = int(np.argmin(distances))
        pair = f"{crystal.species[first[n]]} and {crystal.species[second[n]]}"
        raise CalculationFailed(f"atoms overlap: {pair} are {distances[n]:.2f} Å apart", "geometry")


def idealise(crystal: Crystal, symprec: float) -> Crystal:
    """The primitive cell with positions moved (by less than `symprec`, Å) onto their symmetry.

    A relaxed crystal keeps noise that hides its symmetry, and with it most of what k-point reduction saves.
    A crystal that moyopy finds no symmetry in is given back as it is.
    """
    import moyopy
    from ase.data import atomic_numbers, chemical_symbols

    cell = moyopy.Cell(
        basis=[list(row) for row in crystal.lattice],
        positions=[list(row) for row in crystal.frac_coords],
        numbers=[int(atomic_numbers[symbol]) for symbol in crystal.species],
    )
    try:
        found = moyopy.MoyoDataset(cell, symprec=symprec).prim_std_cell
    except Exception as error:  # moyopy raises its own bare types; a cell it cannot read is calculated as it is
        if "moyo" not in type(error).__module__ and not isinstance(error, RuntimeError | ValueError):
            raise
        return crystal
    return Crystal(
        lattice=tuple(tuple(float(x) for x in row) for row in found.basis),  # type: ignore[arg-type]
        species=tuple(chemical_symbols[n] for n in found.numbers),
        frac_coords=tuple(tuple(float(x) % 1.0 for x in row) for row in found.positions),  # type: ignore[misc]
    )


def at_symmetry_origin(crystal: Crystal) -> Crystal:
    """The same crystal with its origin on the atom about which most operations need no translation.

    For codes that reduce k-points by operations without a fractional translation only. Diamond has 24 of these about an
    atom (with time reversal: 29 k-points of an 8 x 8 x 8 mesh) and 12 about its inversion centre (65 k-points), where
    the standard cell has its origin. A crystal for which no atom is better than its origin is given back as it is.
    """
    import moyopy
    from ase.data import atomic_numbers

    positions = np.array(crystal.frac_coords)
    numbers = [int(atomic_numbers[symbol]) for symbol in crystal.species]
    cell = moyopy.Cell(basis=[list(row) for row in crystal.lattice], positions=positions.tolist(), numbers=numbers)
    try:
        found = moyopy.MoyoDataset(cell, symprec=_SYMMETRY_A).operations
    except Exception as error:  # moyopy raises its own bare types
        if "moyo" not in type(error).__module__ and not isinstance(error, RuntimeError | ValueError):
            raise
        return crystal
    rotations, translations = np.array(found.rotations), np.array(found.translations)

    def without_translation(origin: np.ndarray) -> int:
        moved = translations + (rotations - np.eye(3)) @ origin
        return int((np.abs(moved - np.rint(moved)).max(axis=1) < _SAME).sum())

    origins = [np.zeros(3), *positions]
    best = max(origins, key=without_translation)  # the first of several that are equally good
    coordinates = tuple(tuple(float(x) % 1.0 for x in row) for row in positions - best)
    return crystal.model_copy(update={"frac_coords": coordinates}) if best.any() else crystal


def cell_values(crystal: Crystal, energy: float) -> dict[str, Quantity]:
    """Energy, volume and density that every evaluation gives; `energy` is of the whole cell, in eV."""
    from ase.data import atomic_masses, atomic_numbers

    mass = sum(float(atomic_masses[atomic_numbers[symbol]]) for symbol in crystal.species)
    cell = volume(crystal)
    return {
        "energy_per_atom": Quantity(value=energy / len(crystal), unit="eV/atom"),
        "volume_per_atom": Quantity(value=cell / len(crystal), unit="angstrom^3/atom"),
        "density": Quantity(value=mass / cell * _GRAMS_PER_AMU_OVER_A3, unit="g/cm^3"),
    }


def force_and_stress(forces: ArrayLike, stress: ArrayLike) -> dict[str, Quantity]:
    """Largest force (eV/Å) and largest stress component (GPa, from eV/Å³): how far from the minimum it is."""
    return {
        "fmax": Quantity(value=float(np.linalg.norm(np.asarray(forces), axis=1).max()), unit="eV/angstrom"),
        "stress_max": Quantity(value=float(np.abs(np.asarray(stress)).max()) * GPA_PER_EV_A3, unit="GPa"),
    }
