"""Phonons by finite displacements: frequencies, density of states, dynamic stability, zero-point energy.

Force constants, Brillouin-zone sums and heat are phonopy's (A. Togo et al., J. Phys.: Condens. Matter 35, 353001
(2023)), the path through the zone is ASE's. Potentials give no Born charges, so optical modes at Gamma have no
LO-TO splitting: of a polar crystal they are the transverse ones.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import ToolError
from ..core.structure import from_ase
from ..core.types import Crystal, Frozen, Quantity
from ..core.units import convert
from .base import (
    FMAX,
    MAX_COST,
    Check,
    Meter,
    PropertyFailed,
    PropertyResult,
    attempt,
    conventional,
    library_warnings_silenced,
    relaxed,
    supercell_size,
)

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from phonopy import Phonopy
    from pymatgen.core import Structure

MIN_LENGTH = 10.0
"""Å between a displaced atom and its images."""

DISTANCE = 0.015
"""Å; one displacement. The std of a frequency is its change with a displacement twice as long."""

IMAGINARY = 0.15
"""THz; an imaginary frequency below this is noise of the forces, and of acoustic modes beside Gamma."""

MESH_LENGTH = 60.0
"""Å; phonopy's measure of the density of the q-point mesh."""

ACOUSTIC = 3
ROOM_TEMPERATURE = 300.0


class Band(Frozen):
    """Frequencies along one straight part of the path. Imaginary ones are negative."""

    start: str
    end: str
    distances: tuple[float, ...]
    """1/Å, from the start of the whole path."""
    frequencies: tuple[tuple[float, ...], ...]
    """n q-points x n bands, THz."""


class Phonons(PropertyResult):
    """Quantities `lowest_frequency`, `highest_frequency` (THz), of more than one atom a primitive cell
    `lowest_optical_gamma` and `highest_optical_gamma` (THz), `zero_point_energy` (eV/atom) and
    `heat_capacity` at constant volume and 300 K (J/mol/K, per mole of atoms)."""

    name: str = "phonons"
    gamma: tuple[float, ...] = ()
    """THz at Gamma, rising; the first three are acoustic."""
    path: tuple[Band, ...] = ()
    dos_frequencies: tuple[float, ...] = ()
    """THz."""
    dos: tuple[float, ...] = ()
    """States per THz and primitive cell."""


def phonons(
    crystal: Crystal,
    calculator: Calculator,
    *,
    min_length: float = MIN_LENGTH,
    distance: float = DISTANCE,
    fmax: float = FMAX,
    folder: Path | None = None,
    max_cost: int = MAX_COST,
) -> Phonons:
    """Harmonic phonons of the relaxed crystal in a supercell of its conventional cell.

    Args:
        crystal: any cell.
        calculator: of ASE, with forces and stress.
        min_length: Å; periodic images of a displaced atom are at least this far apart.
        distance: Å; length of the displacements.
        fmax: eV/Å; where the relaxation ends.
        folder: where `phonopy.yaml` (with force constants) and `total_dos.dat` are written, if anywhere.
        max_cost: atoms times force evaluations.

    Returns:
        Frequencies at Gamma and along the path of the Bravais lattice, the density of states, and quantities. A
        crystal with imaginary modes has values, and a failed check that says where the deepest one is.
    """
    if not 0.001 <= distance <= 0.2:
        raise ToolError(f"Displacements of {distance:g} Å give no harmonic forces.", "Give 0.005 to 0.05 Å.")

    def calculate(meter: Meter) -> Phonons:
        atoms = relaxed(crystal, calculator, meter, fmax)
        cell = conventional(atoms)
        size = supercell_size(cell, min_length)
        main = force_constants(cell, calculator, meter, size, distance)
        other = force_constants(cell, calculator, meter, size, 2 * distance)
        quantities = _quantities(main, other)
        bands = _bands(main)
        with library_warnings_silenced():
            dos = main.run_total_dos()
        return Phonons(
            method=f"finite displacements of {distance:g} Å in a {size[0]}x{size[1]}x{size[2]} supercell of the "
            f"conventional cell, {len(main.supercell)} atoms; no LO-TO splitting",
            crystal=from_ase(atoms),
            quantities=quantities,
            checks=(stability(main, bands), _acoustic(main)),
            gamma=tuple(map(float, _at_gamma(main))),
            path=bands,
            dos_frequencies=tuple(map(float, dos.frequency_points)),
            dos=tuple(map(float, dos.dos)),
            artefacts=_write(main, folder) if folder is not None else {},
        )

    return attempt(Phonons, crystal, max_cost, calculate)


def force_constants(
    cell: Structure, calculator: Calculator, meter: Meter, size: tuple[int, int, int], distance: float
) -> Phonopy:
    """Phonopy with symmetrised force constants, of a conventional cell repeated `size` times.

    Raises:
        PropertyFailed: before any force is computed, when the displacements cost too much.
    """
    from ase import Atoms
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    with library_warnings_silenced():
        phonopy = Phonopy(
            PhonopyAtoms(
                symbols=[site.specie.symbol for site in cell],
                cell=cell.lattice.matrix,
                scaled_positions=cell.frac_coords,
            ),
            supercell_matrix=size,
            primitive_matrix="auto",
            symprec=1e-3,
        )
        phonopy.generate_displacements(distance=distance)
    supercells = [cell for cell in phonopy.supercells_with_displacements or [] if cell is not None]
    meter.expect(len(phonopy.supercell), len(supercells), "One set of displacements for the phonons")
    forces = []
    for supercell in supercells:
        atoms = Atoms(supercell.symbols, supercell.positions, cell=supercell.cell, pbc=True, calculator=calculator)
        meter.spend(len(atoms))
        forces.append(np.array(atoms.get_forces()))
    if not np.isfinite(forces).all():
        raise PropertyFailed("unphysical", "Forces on a displaced supercell are not finite numbers.")
    with library_warnings_silenced():
        phonopy.forces = forces
        phonopy.produce_force_constants(show_drift=False)
        phonopy.symmetrize_force_constants(show_drift=False)
        phonopy.run_mesh(MESH_LENGTH, is_gamma_center=True)
    return phonopy


def stability(phonopy: Phonopy, bands: tuple[Band, ...] = ()) -> Check:
    """Whether no mode of the mesh or of the path is imaginary, with the place of the deepest one in words."""
    mesh = phonopy.mesh
    lowest, where = float(np.min(mesh.frequencies)), ""
    q = mesh.qpoints[int(np.argmin(np.min(mesh.frequencies, axis=1)))]
    where = f"q = ({q[0]:.3g}, {q[1]:.3g}, {q[2]:.3g})"
    for band in bands:
        values = np.min(band.frequencies, axis=1)
        if values.min() <= lowest:
            index = int(np.argmin(values))
            lowest = float(values[index])
            ends = {0: band.start, len(values) - 1: band.end}
            where = ends.get(index, f"a point between {band.start} and {band.end}")
    if lowest < -IMAGINARY:
        words = f"imaginary mode of {-lowest:.2f} THz at {where}: dynamically unstable"
        return Check(name="dynamic_stability", passed=False, words=words)
    words = "no imaginary mode: dynamically stable"
    return Check(name="dynamic_stability", passed=True, words=words)


def _acoustic(phonopy: Phonopy) -> Check:
    """Acoustic modes at Gamma are zero if the forces belong to an energy that knows no place in space."""
    largest = float(np.sort(np.abs(_at_gamma(phonopy)))[ACOUSTIC - 1])
    return Check(
        name="acoustic_sum_rule",
        passed=largest < IMAGINARY,
        words=f"the acoustic modes at Gamma are {largest:.3f} THz (below {IMAGINARY} expected)",
    )


def _at_gamma(phonopy: Phonopy) -> np.ndarray:
    """Frequencies at Gamma in THz, rising."""
    return np.sort(phonopy.run_qpoints([[0.0, 0.0, 0.0]]).frequencies[0])


def _quantities(main: Phonopy, other: Phonopy) -> dict[str, Quantity]:
    units = {"zero_point_energy": "eV/atom", "heat_capacity": "J/mol/K"}
    values, changed = _values(main), _values(other)
    return {
        name: Quantity(value=value, unit=units.get(name, "THz"), std=abs(value - changed[name]))
        for name, value in values.items()
    }


def _values(phonopy: Phonopy) -> dict[str, float]:
    count = len(phonopy.primitive)
    frequencies = phonopy.mesh.frequencies
    with library_warnings_silenced():
        heat = phonopy.run_thermal_properties(temperatures=[ROOM_TEMPERATURE], exclude_gamma_acoustic=True)
    values = {
        "lowest_frequency": float(np.min(frequencies)),
        "highest_frequency": float(np.max(frequencies)),
        "zero_point_energy": convert(heat.zero_point_energy / count, "kJ/mol", "eV/atom"),
        "heat_capacity": float(heat.heat_capacity[0]) / count,
    }
    optical = _at_gamma(phonopy)[ACOUSTIC:]
    if len(optical):
        values |= {"lowest_optical_gamma": float(optical[0]), "highest_optical_gamma": float(optical[-1])}
    return values


def _bands(phonopy: Phonopy, points: int = 31) -> tuple[Band, ...]:
    """Frequencies along the standard path of the primitive cell's Bravais lattice (ASE)."""
    from ase.cell import Cell
    from ase.dft.kpoints import parse_path_string
    from phonopy.phonon.band_structure import get_band_qpoints_and_path_connections

    standard = Cell(phonopy.primitive.cell).bandpath(npoints=0)
    labels = [part for part in parse_path_string(standard.path) if len(part) > 1]
    corners = [[standard.special_points[label] for label in part] for part in labels]
    qpoints, _ = get_band_qpoints_and_path_connections(corners, npoints=points)
    with library_warnings_silenced():
        structure = phonopy.run_band_structure(qpoints)
    names = [(a, b) for part in labels for a, b in pairwise(part)]
    return tuple(
        Band(
            start=a,
            end=b,
            distances=tuple(map(float, distances)),
            frequencies=tuple(tuple(map(float, row)) for row in np.sort(frequencies, axis=1)),
        )
        for (a, b), distances, frequencies in zip(names, structure.distances, structure.frequencies, strict=True)
    )


def _write(phonopy: Phonopy, folder: Path) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    phonopy.save(folder / "phonopy.yaml", settings={"force_constants": True})
    phonopy.write_total_dos(folder / "total_dos.dat")
    return {"force_constants": "phonopy.yaml", "density_of_states": "total_dos.dat"}
