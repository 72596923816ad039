"""A crystal as the few numbers that its space group leaves free, and back: strains of its lattice, places of its sites.

What is not here: symmetry itself (`symmetry.py`), and what is done with the numbers (`bowsr.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..core.errors import ToolError
from ..core.structure import from_ase, to_ase
from ..core.types import Crystal
from .settings import Cell
from .symmetry import KeptSymmetry, primitive_cell

SHAPES = (
    ((1, 0, 0), (0, 1, 0), (0, 0, -2)),
    ((1, 0, 0), (0, -1, 0), (0, 0, 0)),
    ((0, 1, 0), (1, 0, 0), (0, 0, 0)),
    ((0, 0, 1), (0, 0, 0), (1, 0, 0)),
    ((0, 0, 0), (0, 0, 1), (0, 1, 0)),
)
"""The five strains that keep a volume, with the first axis along a and the second in the plane of a and b."""

AXES = ("x", "y", "z")
NEGLIGIBLE = 1e-6
"""Below it a length of a strain or of a displacement is round-off."""
SAME = 1e-4
"""Fractional, and strain; a crystal further from what the parameters can describe is another one."""


@dataclass(frozen=True)
class FreeParameters:
    """What of a crystal of `n` atoms its space group leaves free: `d` numbers, all zero for the crystal itself.

    The lattice is described by strains: its rows are multiplied by exp(ε), where ε is a sum of symmetric matrices that
    commute with every rotation of the group. So any value gives a proper lattice of the same system, in whatever cell
    the crystal was given; and energy is nearly a sum over them, since a volume and a shape are stiff by themselves,
    while two edges are not. The first is `volume`, the logarithm of a factor to all lengths; a `shape` keeps the
    volume, and the parameter is its largest principal strain.

    A site moves within its Wyckoff position, and its images with it. A parameter is the change of one fractional
    coordinate, the one in its name, as a site of `x, 2x, z` has one along x and one along z. Where the group leaves the
    origin open (a polar one, P1), the first site holds it: a shift of the whole crystal is no parameter.

    After "Accelerating materials discovery with Bayesian optimization and graph deep learning", Zuo et al., Materials
    Today 51, 126 (2021), who take edges, angles and coordinates of the conventional cell from tables of all groups.
    """

    crystal: Crystal
    """That of all zeros in the cell that was given, with its symmetry made exact."""
    primitive: Crystal
    """The same in a primitive cell, not turned; the one that was given, if that is primitive."""
    places: np.ndarray
    """`n`: the site of the primitive cell that a site of the crystal repeats."""
    names: tuple[str, ...]
    """`d`; e.g. `volume`, `shape 1`, `O3 x` (third site and first axis of the primitive cell)."""
    strains: np.ndarray
    """`s x 3 x 3`, Cartesian; of the first `s` parameters."""
    shifts: np.ndarray
    """`(d - s) x m x 3` for `m` sites of the primitive cell, fractional there; of the other parameters."""
    drifts: np.ndarray
    """`p x m x 3`, likewise; shifts of the whole crystal that its group leaves open, which are no parameters."""

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(cls, crystal: Crystal, symprec: float = 0.01, cell: Cell = "free") -> FreeParameters | str:
        """The free parameters of a crystal, or the reason why it has no symmetry that could be kept.

        Args:
            crystal: in any cell, also a supercell.
            symprec: Å; tolerance at which its symmetry is found. It is then made exact.
            cell: what of the cell is free: `free`, `fixed_volume` (no `volume`) or `fixed` (no strains).
        """
        atoms = to_ase(crystal)
        symmetry = KeptSymmetry.impose(atoms, symprec)
        if isinstance(symmetry, str):
            return symmetry
        atoms.set_constraint()
        small, places = primitive_cell(atoms, symprec)
        if len(small) < len(atoms):
            # A supercell has operations that do not map its own lattice onto itself; its primitive cell shows all.
            symmetry = KeptSymmetry.impose(small, symprec)
            if isinstance(symmetry, str):
                return symmetry
            small.set_constraint()
        strains = _strains(np.asarray(small.cell), symmetry.rotations, cell)
        drifts, names, shifts = _shifts(small.get_chemical_symbols(), symmetry)
        return cls(
            crystal=from_ase(atoms),
            primitive=from_ase(small),
            places=places,
            names=(*(name for name, _ in strains), *names),
            strains=np.array([strain for _, strain in strains]).reshape(-1, 3, 3),
            shifts=shifts,
            drifts=drifts,
        )

    def crystal_at(self, values: Sequence[float] | np.ndarray) -> Crystal:
        """The crystal with these `d` parameters; its space group, Wyckoff positions and order of sites are the same.

        Raises ToolError for another number of parameters.
        """
        return self._at(values, self.crystal, self.shifts[:, self.places] @ self._change_of_cell())

    def primitive_at(self, values: Sequence[float] | np.ndarray) -> Crystal:
        """The same in the primitive cell."""
        return self._at(values, self.primitive, self.shifts)

    def values_of(self, crystal: Crystal) -> np.ndarray:
        """The `d` parameters of a crystal with the sites of `crystal` in that order, however it is turned or shifted.

        Raises ToolError for a crystal that no values describe: other sites, or a lower symmetry.
        """
        if crystal.species != self.crystal.species:
            raise ToolError("The crystal has other sites.", "Give one with the same elements in the same order.")
        cell, first = np.array(crystal.lattice), np.linalg.inv(np.array(self.crystal.lattice))
        grown, axes = np.linalg.eigh(first @ cell @ cell.T @ first.T)
        strain = (axes * np.log(grown) / 2) @ axes.T
        shift = np.array(crystal.frac_coords) - np.array(self.crystal.frac_coords)
        shift -= np.round(shift)
        modes = np.concatenate([self.shifts, self.drifts])[:, self.places] @ self._change_of_cell()
        lattice, left = _fit(self.strains.reshape(-1, 9), strain.ravel())
        sites, off = _fit(modes.reshape(-1, shift.size), shift.ravel())
        if max(left, off) > SAME:
            raise ToolError(
                f"The crystal is off its symmetry by a strain of {left:.2g} and {off:.2g} of a cell.",
                "Give one that keeps the space group and the Wyckoff positions.",
            )
        return np.concatenate([lattice, sites[: len(self.shifts)]])

    def _change_of_cell(self) -> np.ndarray:
        """`3 x 3`: fractional shifts (rows) of the primitive cell times this are those of the given one."""
        return np.array(self.primitive.lattice) @ np.linalg.inv(np.array(self.crystal.lattice))

    def _at(self, values: Sequence[float] | np.ndarray, start: Crystal, modes: np.ndarray) -> Crystal:
        found = np.asarray(values, dtype=float)
        if found.shape != (len(self),):
            raise ToolError(f"{found.shape} values for {len(self)} parameters.", f"Give one for each of {self.names}.")
        strain = np.tensordot(found[: len(self.strains)], self.strains, axes=1)
        # The exponential of a symmetric matrix, from its eigenvalues: symmetric to the last digit.
        grown, axes = np.linalg.eigh(strain)
        atoms = to_ase(start)
        atoms.set_cell(np.asarray(atoms.cell) @ (axes * np.exp(grown)) @ axes.T)
        atoms.set_scaled_positions(
            np.array(start.frac_coords) + np.tensordot(found[len(self.strains) :], modes, axes=1)
        )
        return from_ase(atoms)

    def bounds(self, strain: float, shift: float) -> np.ndarray:
        """`d`; how far each parameter may go either way: a strain, or a part of a cell."""
        return np.array([strain] * len(self.strains) + [shift] * len(self.shifts))


def _fit(modes: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """Coefficients of the `k x m` modes that come nearest to a target (`m`), and the largest rest."""
    found: np.ndarray = np.linalg.lstsq(modes.T, target, rcond=None)[0]
    return found, float(np.abs(target - found @ modes).max())


def _strains(cell: np.ndarray, rotations: np.ndarray, free: Cell) -> list[tuple[str, np.ndarray]]:
    """Names and matrices of the strains that commute with every rotation."""
    if free == "fixed":
        return []
    cartesian = np.einsum("ji,ojk,lk->oil", cell, rotations, np.linalg.inv(cell))
    # Axes that turn with the crystal, so that a turned one has the same parameters.
    axes, edges = np.linalg.qr(cell.T)
    frame = (axes * np.sign(np.diag(edges))).T
    found: list[tuple[str, np.ndarray]] = [] if free == "fixed_volume" else [("volume", np.eye(3))]
    taken: list[np.ndarray] = []
    for shape in SHAPES:
        strain = frame.T @ np.array(shape, dtype=float) @ frame
        strain = np.einsum("oij,jk,olk->il", cartesian, strain, cartesian) / len(cartesian)
        for other in taken:
            strain -= np.sum(strain * other) / np.sum(other * other) * other
        if np.linalg.norm(strain) > NEGLIGIBLE:
            strain = (strain + strain.T) / 2
            taken.append(strain - np.trace(strain) / 3 * np.eye(3))
            found.append((f"shape {len(taken)}", taken[-1] / np.abs(np.linalg.eigvalsh(taken[-1])).max()))
    return found


def _shifts(species: Sequence[str], symmetry: KeptSymmetry) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Drifts, and names and modes of the coordinates that are free: see `FreeParameters`."""
    count = len(species)
    open_axes = _directions(symmetry.rotations.sum(axis=0))
    drifts = np.array([np.tile(direction, (count, 1)) for _, direction in open_axes]).reshape(-1, count, 3)
    names, modes = [], []
    for first in np.unique(symmetry.images.min(axis=0)):
        # A site may move in what the operations that leave it in place leave in place: the range of their mean.
        stays = symmetry.images[:, first] == first
        pinned = {axis for axis, _ in open_axes} if first == 0 else set()
        for axis, direction in _directions(symmetry.rotations[stays].sum(axis=0)):
            if axis in pinned:
                continue
            mode = np.zeros((count, 3))
            for rotation, image in zip(symmetry.rotations, symmetry.images[:, first], strict=True):
                mode[image] = rotation @ direction
            names.append(f"{species[first]}{first + 1} {AXES[axis]}")
            modes.append(mode)
    return drifts, names, np.array(modes).reshape(-1, count, 3)


def _directions(total: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """A basis of the range of a sum of rotations (`3 x 3`, whole numbers): each with its leading axis, there one.

    The reduced echelon form, exact in whole numbers. The leading axes of a part of a space are among those of the
    space, so that leaving out the directions with the axes of the drifts leaves out the drifts.
    """
    from sympy import Matrix

    rows, leading = Matrix(total.T.tolist()).rref()
    return [(axis, np.array(rows.row(k), dtype=float).ravel()) for k, axis in enumerate(leading)]
