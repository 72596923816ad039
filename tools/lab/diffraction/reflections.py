"""Bragg reflections of a phase: where they are, how they move when its cell changes, how strong they are per mass.

What is not here: instruments, peak shapes (`profile.py`) and anything that depends on a wavelength but the range.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ToolError
from ...core.types import Crystal

if TYPE_CHECKING:
    from moyopy import MoyoDataset

Floats = NDArray[np.float64]

SYMPREC = 0.01
"""Å; tolerance at which the standard cell is sought, the field's usual one for relaxed crystals."""

MAX_REFLECTIONS = 400_000
"""Reciprocal lattice points that are computed for one phase; more belong to no crystal that Lodestone accepts."""

_WEAKEST = 1e-5
"""Of the strongest reflection; what is weaker is left out."""

_PRIMES = np.array([2654435761, 4294967291, 3266489917, 668265263, 374761393, 2246822519, 3367900313], dtype=np.int64)

_LAST_GROUP = (2, 15, 74, 142, 194, 230)
_SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "hexagonal", "cubic")


@dataclass(frozen=True, eq=False)
class Reflections:
    """Reflections of one phase, those that coincide at any cell of its crystal system together; n of them."""

    q: Floats
    """n; 1/d² in Å⁻²."""
    strength: Floats
    """n; scattered intensity per mass of the phase without Lorentz, polarisation and temperature factor: the sum of
    |F|² over the reflections, over cell volume (Å³) and over the mass of the cell (g/mol)."""
    metric: Floats
    """n x m; share of each free component of the reciprocal metric in 1/d². A cell whose components change by the
    relative amounts s has q' = q (1 + metric @ s), exactly."""
    edges: int
    """The first so many of the m components belong to cell edges (1 cubic, 2 uniaxial, 3 other); the rest to angles."""
    harmonics: Floats
    """n x k; symmetrised spherical harmonics of the scattering direction, each with unit range on the sphere."""
    directions: Floats
    """N x 3; unit vectors of the single reflections, half of the sphere, in Cartesian axes of the standard cell."""
    weights: Floats
    """N; share of a single reflection in its group."""
    starts: NDArray[np.int64]
    """n; where each group begins in `directions`."""
    system: str
    formula_mass: float
    """g/mol of the standard cell."""
    volume: float
    """Å³ of the standard cell."""
    lengths: Floats
    """3; Å, edges of the standard cell."""

    def __len__(self) -> int:
        return len(self.q)

    @property
    def density(self) -> float:
        """g/cm³."""
        return self.formula_mass / self.volume / 0.602214076

    def march_dollase(self, ratio: float, axis: Floats) -> Floats:
        """Texture factor of each group (n) for plates (ratio < 1) or needles (> 1) along a Cartesian axis.

        W = <(r² cos²α + sin²α / r)^(-3/2)>, the mean over equivalent reflections (Dollase, J. Appl. Cryst. 19, 267,
        1986); its mean over the sphere is one, so the intensities stay per mass.
        """
        cos2 = (self.directions @ (np.asarray(axis, dtype=float) / np.linalg.norm(axis))) ** 2
        single = (ratio**2 * cos2 + (1.0 - cos2) / ratio) ** -1.5
        return np.asarray(np.add.reduceat(self.weights * single, self.starts)) if len(self) else np.zeros(0)


@lru_cache(maxsize=4096)
def reflections(crystal: Crystal, q_max: float) -> Reflections:
    """Reflections of a crystal up to 1/d² = `q_max` (Å⁻²), none or more, the same for any choice of its cell.

    Neutral atoms, with the form factors that pymatgen's `XRDCalculator` uses; no anomalous dispersion.

    Raises:
        ToolError: an element without form factor, or a cell with too many reflections.
    """
    from pymatgen.analysis.diffraction.xrd import ATOMIC_SCATTERING_PARAMS
    from pymatgen.core import Element

    basis, positions, numbers, number = _standard_cell(crystal)
    system = _SYSTEMS[bisect_left(_LAST_GROUP, number)]
    reciprocal = np.linalg.inv(basis)
    hkl = _half_sphere(basis, q_max)
    g = hkl @ reciprocal.T
    q = np.einsum("ij,ij->i", g, g)
    inside = q <= q_max
    hkl, g, q = hkl[inside], g[inside], q[inside]
    structure_factor = np.zeros(len(q), dtype=complex)
    for z in np.unique(numbers):
        symbol = Element.from_Z(int(z)).symbol
        if symbol not in ATOMIC_SCATTERING_PARAMS:
            raise ToolError(f"No form factor for {symbol}.", "Leave out phases with this element.")
        table = np.asarray(ATOMIC_SCATTERING_PARAMS[symbol])
        s2 = q / 4.0
        # Mott-Bethe: the table holds electron scattering factors (Doyle and Turner, Acta Cryst. A24, 390, 1968).
        form = z - 41.78214 * s2 * (table[:, 0] * np.exp(-table[:, 1] * s2[:, None])).sum(axis=1)
        phase = np.exp(2j * np.pi * (hkl @ positions[numbers == z].T)).sum(axis=1)
        structure_factor += form * phase
    intensity = 2.0 * np.abs(structure_factor) ** 2  # Friedel's other half
    mass = float(sum(float(Element.from_Z(int(z)).atomic_mass) for z in numbers))
    return _grouped(g, q, intensity, system, mass, basis)


def _standard_cell(crystal: Crystal) -> tuple[Floats, Floats, NDArray[np.int64], int]:
    """Rows, positions, atomic numbers and space group of the standard cell; the cell as it is, in P1, where no symmetry
    can be found."""
    import moyopy
    from ase.data import atomic_numbers

    unknown = sorted(set(crystal.species) - set(atomic_numbers))
    if unknown:
        raise ToolError(f"Unknown element {unknown[0]!r}.", "Give chemical symbols.")
    numbers = np.array([atomic_numbers[s] for s in crystal.species])
    basis, positions = np.array(crystal.lattice), np.array(crystal.frac_coords)
    logger = logging.getLogger("moyo")  # its remarks on supercells would reach stderr
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    try:
        cell = moyopy.Cell(basis=basis.tolist(), positions=positions.tolist(), numbers=numbers.tolist())
        data: MoyoDataset = moyopy.MoyoDataset(cell, symprec=SYMPREC)
    except ValueError:
        return basis, positions, numbers, 1
    standard = data.std_cell
    return np.array(standard.basis), np.array(standard.positions), np.array(standard.numbers), int(data.number)


def _half_sphere(basis: Floats, q_max: float) -> Floats:
    """hkl with (h, k, l) lexicographically positive in the box around the sphere."""
    bounds = np.floor(np.linalg.norm(basis, axis=1) * np.sqrt(q_max)).astype(int)
    if np.prod(2.0 * bounds + 1.0) > 2 * MAX_REFLECTIONS:
        raise ToolError(
            f"A cell of {abs(np.linalg.det(basis)):.0f} Å³ has too many reflections with d above {q_max**-0.5:.2f} Å.",
            f"At most {MAX_REFLECTIONS} are computed: give a smaller cell or angles.",
        )
    h, k, ell = np.meshgrid(*(np.arange(-b, b + 1) for b in bounds), indexing="ij")
    hkl = np.column_stack([h.ravel(), k.ravel(), ell.ravel()]).astype(float)
    first, second, third = hkl.T
    return hkl[(first > 0) | ((first == 0) & ((second > 0) | ((second == 0) & (third > 0))))]


def _grouped(g: Floats, q: Floats, intensity: Floats, system: str, mass: float, basis: Floats) -> Reflections:
    volume = float(abs(np.linalg.det(basis)))
    unit = g / np.sqrt(q)[:, None]
    metric = _metric(unit, system)
    # Members of a group have the same 1/d² and the same shares: they coincide in every cell of the system.
    labels = np.column_stack([np.round(q * 1e6), np.round(metric * 1e5)]).astype(np.int64)
    # One number a row: sorting rows is ten times slower. Products of large primes wrap around and do not collide.
    _, group = np.unique(labels @ _PRIMES[: labels.shape[1]], return_inverse=True)
    totals = np.bincount(group, weights=intensity)
    seen = np.bincount(group, weights=intensity / q)
    chosen = np.flatnonzero(seen > _WEAKEST * seen.max(initial=0.0))
    member = np.isin(group, chosen)
    order = np.flatnonzero(member)[np.argsort(group[member], kind="stable")]
    group = group[order]
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    weights = intensity[order] / totals[group]
    first = order[starts]
    harmonics = weights[:, None] * _harmonics(unit[order], system)
    if len(starts):
        harmonics = np.add.reduceat(harmonics, starts, axis=0)
    edges = {"cubic": 1, "hexagonal": 2, "tetragonal": 2}.get(system, 3)
    return Reflections(
        q=q[first],
        strength=totals[group[starts]] / (volume * mass),
        metric=metric[first],
        edges=edges,
        harmonics=harmonics,
        directions=unit[order],
        weights=weights,
        starts=starts,
        system=system,
        formula_mass=mass,
        volume=volume,
        lengths=np.linalg.norm(basis, axis=1),
    )


def _metric(unit: Floats, system: str) -> Floats:
    """Shares of the free components of the reciprocal metric, in the Cartesian frame (a along x, b in the plane xy)."""
    x, y, z = unit.T
    if system == "cubic":
        return np.ones((len(unit), 1))
    if system in ("hexagonal", "tetragonal"):
        return np.column_stack([x**2 + y**2, z**2])
    columns = [x**2, y**2, z**2]
    if system == "monoclinic":
        columns.append(2 * x * z)
    if system == "triclinic":
        columns += [2 * x * z, 2 * x * y, 2 * y * z]
    return np.column_stack(columns)


def _harmonics(unit: Floats, system: str) -> Floats:
    """The lowest spherical harmonics that the Laue class allows, scaled to a range of about one on the sphere.

    Cubic: K4 and K6 (von der Lage and Bethe, Phys. Rev. 71, 612, 1947); others: P2, P4 about the axis and the first
    term around it.
    """
    x, y, z = unit.T
    z2 = z**2
    legendre2 = (3 * z2 - 1) / 2 / 1.5
    legendre4 = (35 * z2**2 - 30 * z2 + 3) / 8 / 1.43
    if system == "cubic":
        fourth = x**4 + y**4 + z**4 - 0.6
        sixth = (x * y * z) ** 2 + fourth / 22 - 1 / 105
        return np.column_stack([fourth / 0.667, sixth / 0.0295])
    if system == "tetragonal":
        return np.column_stack([legendre2, legendre4, (x**4 - 6 * x**2 * y**2 + y**4) / 2])
    if system == "hexagonal":
        return np.column_stack([legendre2, legendre4, (x**6 - 15 * x**4 * y**2 + 15 * x**2 * y**4 - y**6) / 2])
    columns = [legendre2, (x**2 - y**2) / 2, legendre4]
    if system == "monoclinic":
        columns.append(x * z)
    if system == "triclinic":
        columns += [x * z, x * y, y * z]
    return np.column_stack(columns)
