"""Crystals to and from pymatgen and files, and the fingerprint that names them.

What is not here: symmetry analysis for people (`recognise/`), or duplicates within a tolerance (`screen/`).
"""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .errors import ToolError
from .types import Candidate, Crystal, Provenance, Vector

if TYPE_CHECKING:
    from ase import Atoms
    from pymatgen.core import Structure

MAX_FILE_BYTES = 2_000_000
"""A structure file larger than this is refused unread: no crystal of `MAX_SITES` atoms needs it."""

FINGERPRINT_SYMPREC = 1e-2
"""Å; tolerance when the primitive cell is sought for a fingerprint."""

FINGERPRINT_CUTOFF = 6.0
"""Å; distances up to here enter a fingerprint."""

FINGERPRINT_BIN = 0.05
"""Å; coarse enough that round-off and cell choice do not change a fingerprint."""


def to_pymatgen(crystal: Crystal) -> Structure:
    """The crystal as a pymatgen `Structure` (no site properties)."""
    from pymatgen.core import Lattice, Structure

    return Structure(Lattice(np.array(crystal.lattice)), list(crystal.species), np.array(crystal.frac_coords))


def from_pymatgen(structure: Structure) -> Crystal:
    """An ordered pymatgen `Structure` as a crystal; oxidation states dropped, coordinates wrapped to [0, 1)."""
    if not structure.is_ordered:
        raise ToolError(
            f"{structure.composition.reduced_formula} has sites with partial occupancy.",
            "Give an ordered structure (each site one element).",
        )
    frac = np.mod(np.round(structure.frac_coords, 12), 1.0)
    return Crystal(
        lattice=lattice_rows(structure.lattice.matrix),
        species=tuple(_symbol(site) for site in structure),
        frac_coords=site_rows(frac),
    )


def to_ase(crystal: Crystal) -> Atoms:
    """The crystal as ASE `Atoms`, periodic in all directions."""
    from ase import Atoms

    return Atoms(
        symbols=list(crystal.species),
        scaled_positions=np.array(crystal.frac_coords),
        cell=np.array(crystal.lattice),
        pbc=True,
    )


def from_ase(atoms: Atoms) -> Crystal:
    """ASE `Atoms` as a crystal; the cell must be three-dimensional."""
    return Crystal(
        lattice=lattice_rows(np.asarray(atoms.cell)),
        species=tuple(atoms.get_chemical_symbols()),
        frac_coords=site_rows(np.mod(np.round(atoms.get_scaled_positions(), 12), 1.0)),
    )


def reduced_formula(crystal: Crystal) -> str:
    """Reduced formula in pymatgen's order, e.g. `SrTiO3`."""
    from pymatgen.core import Composition

    counts: dict[str, int] = {}
    for symbol in crystal.species:
        counts[symbol] = counts.get(symbol, 0) + 1
    return str(Composition(counts).reduced_formula)


def volume(crystal: Crystal) -> float:
    """Cell volume in Å³."""
    return float(abs(np.linalg.det(np.array(crystal.lattice))))


def fingerprint(crystal: Crystal) -> str:
    """A name (16 hex digits) that does not change under rotation, translation, reordering of sites or
    another choice of cell.

    sha256 over the reduced formula, the number of atoms in the primitive cell, its volume, its space-group
    number, and for each kind of site (by its sorted neighbour distances) how often it occurs. Distances are
    binned, so two crystals that differ by less than about `FINGERPRINT_BIN` mostly share a name, and one
    crystal at the edge of a bin may get two: it is a cheap first test, and `StructureMatcher` decides.
    """
    import moyopy
    from pymatgen.core import Lattice, Structure

    structure = to_pymatgen(crystal)
    group = 1
    try:
        cell = moyopy.Cell(
            basis=np.array(crystal.lattice).tolist(),
            positions=[list(p) for p in crystal.frac_coords],
            numbers=[site.specie.Z for site in structure],
        )
        data = moyopy.MoyoDataset(cell, symprec=FINGERPRINT_SYMPREC)
        group = int(data.number)
        primitive = data.prim_std_cell
        from pymatgen.core import Element

        structure = Structure(
            Lattice(np.array(primitive.basis)),
            [Element.from_Z(z) for z in primitive.numbers],
            np.array(primitive.positions),
        )
    except Exception as error:  # moyopy raises its own bare types; an unusable cell keeps its own sites
        if "moyo" not in type(error).__module__ and not isinstance(error, RuntimeError | ValueError):
            raise
    count = len(structure)
    centres, points, _, distances = structure.get_neighbor_list(FINGERPRINT_CUTOFF)
    symbols = [_symbol(site) for site in structure]
    shells: list[str] = []
    for index in range(count):
        mine = centres == index
        order = sorted(
            (round(float(d) / FINGERPRINT_BIN), symbols[p]) for p, d in zip(points[mine], distances[mine], strict=True)
        )[:12]
        shells.append(f"{symbols[index]}:{order}")
    text = "|".join(
        [
            str(structure.composition.reduced_formula),
            str(count),
            f"{round(structure.volume / count / 0.25)}",
            str(group),
            *sorted(shells),
        ]
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_candidate(crystal: Crystal, provenance: Provenance) -> Candidate:
    """A candidate named by its fingerprint."""
    return Candidate(id=fingerprint(crystal), crystal=crystal, formula=reduced_formula(crystal), provenance=provenance)


def write_cif(crystal: Crystal, symprec: float | None = 0.01) -> str:
    """The crystal as CIF text, with symmetry found at `symprec` (Å) or in P1 when None."""
    from pymatgen.io.cif import CifWriter

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            return str(CifWriter(to_pymatgen(crystal), symprec=symprec))
        except Exception:
            if symprec is None:
                raise
            return str(CifWriter(to_pymatgen(crystal)))


def read_structure(path: Path) -> Crystal:
    """Read one ordered crystal from a CIF, POSCAR or extended-xyz file.

    Raises ToolError for a missing, oversized, unreadable, disordered or empty file.
    """
    from ase.io import read
    from pymatgen.core import Structure

    if not path.is_file():
        raise ToolError(f"No structure file at {path}.", "Give a CIF, POSCAR or extended-xyz file.")
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise ToolError(f"{path} has {size} bytes; at most {MAX_FILE_BYTES} are read.", "Give one crystal a file.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.suffix.lower() in {".xyz", ".extxyz"}:
                crystal = from_ase(read(path, format="extxyz"))
            else:
                crystal = from_pymatgen(Structure.from_file(path))
    except ToolError:
        raise
    except Exception as error:  # parsers raise almost anything on foreign bytes
        raise ToolError(f"{path} is not a readable crystal: {error}", "Check the file in a viewer.") from error
    if volume(crystal) < 1.0:
        raise ToolError(f"{path} has a cell of {volume(crystal):.3g} Å³.", "A periodic crystal is expected.")
    return crystal


def lattice_rows(matrix: np.ndarray) -> tuple[Vector, Vector, Vector]:
    """A `3 x 3` array of lattice vectors (rows, Å) as plain floats."""
    first, second, third = site_rows(matrix)
    return first, second, third


def site_rows(array: np.ndarray) -> tuple[Vector, ...]:
    """An `n x 3` array as plain floats."""
    return tuple((float(a), float(b), float(c)) for a, b, c in array)


def _symbol(site: object) -> str:
    specie = site.specie  # type: ignore[attr-defined]
    return str(getattr(specie, "symbol", specie))
