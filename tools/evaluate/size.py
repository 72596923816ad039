"""How large a plane-wave calculation is: k-points that symmetry leaves, bands, plane waves, and their product."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ..core.structure import volume
from ..core.types import Crystal, Frozen
from .electrons import kmesh

_EV_A2 = 3.80998212
"""ħ²/2m in eV Å²."""

FOURIER_BANDS = 300
"""Bands from which on orthogonalisation costs more than Fourier transforms."""

_NOBLE = (0, 2, 10, 18, 36, 54, 86)
_RELAX_STEPS = 12
_EOS_POINTS = 8


class Size(Frozen):
    """What the cost of a self-consistent run grows with."""

    atoms: int
    kmesh: tuple[int, int, int]
    kpoints: int
    """Irreducible ones."""
    bands: int
    """About; the codes decide the number themselves."""
    plane_waves: int
    """At each k-point."""
    spins: int

    @property
    def work(self) -> float:
        """Spins x k-points x (bands x plane waves x (bands + 300) / 10^6 + 1): a step of the iterative diagonalisation,
        in which the Fourier transforms of every band outweigh orthogonalisation up to some hundreds of bands (M. C.
        Payne et al., Rev. Mod. Phys. 64, 1045 (1992)), and what a k-point costs however small it is."""
        return self.spins * self.kpoints * (self.bands * self.plane_waves * (self.bands + FOURIER_BANDS) / 1e6 + 1.0)

    def words(self) -> str:
        """For people."""
        a, b, c = self.kmesh
        spin = ", spin-polarised" if self.spins == 2 else ""
        return (
            f"{self.atoms} atoms, k-mesh {a} x {b} x {c} ({self.kpoints} by symmetry), "
            f"about {self.bands} bands of {self.plane_waves} plane waves{spin}"
        )


def size_of(crystal: Crystal, cutoff_ev: float, kspacing: float, spins: int) -> Size:
    """The size of one single point of a crystal in its own cell."""
    mesh = kmesh(crystal, kspacing)
    waves = volume(crystal) * (cutoff_ev / _EV_A2) ** 1.5 / (6 * math.pi**2)
    electrons = sum(valence_electrons(symbol) for symbol in crystal.species)
    return Size(
        atoms=len(crystal),
        kmesh=mesh,
        kpoints=irreducible(mesh, rotations(crystal)),
        bands=math.ceil(0.6 * electrons) + 4,
        plane_waves=max(1, round(waves)),
        spins=spins,
    )


def repeats(properties: Iterable[str], relax: bool = False) -> int:
    """Single points that a request stands for."""
    count = 1 + (_RELAX_STEPS if relax else 0)
    return count + (_EOS_POINTS if "bulk_modulus" in set(properties) else 0)


def valence_electrons(symbol: str) -> int:
    """Electrons outside the noble-gas core and, behind the transition metals, the filled d and f shells."""
    from ase.data import atomic_numbers

    number = int(atomic_numbers[symbol])
    core = max(n for n in _NOBLE if n < number)
    outer = number - core
    filled = 0
    if core >= 54 and outer > 17:
        filled += 14
    if core >= 18 and outer - filled > 12:
        filled += 10
    return outer - filled


def rotations(crystal: Crystal) -> np.ndarray:
    """n x 3 x 3 rotations of the crystal in its own basis; the identity alone where no symmetry is found."""
    import moyopy
    from ase.data import atomic_numbers

    cell = moyopy.Cell(
        basis=[list(row) for row in crystal.lattice],
        positions=[list(row) for row in crystal.frac_coords],
        numbers=[int(atomic_numbers[symbol]) for symbol in crystal.species],
    )
    try:
        found = moyopy.MoyoDataset(cell, symprec=1e-3).operations.rotations
    except Exception as error:  # moyopy raises its own bare types
        if "moyo" not in type(error).__module__ and not isinstance(error, RuntimeError | ValueError):
            raise
        return np.eye(3, dtype=int)[None]
    return np.array(found, dtype=int)


def irreducible(mesh: tuple[int, int, int], operations: np.ndarray) -> int:
    """Number of points of a Gamma-centred mesh that rotations and time reversal leave apart.

    Args:
        mesh: points along each reciprocal axis.
        operations: n x 3 x 3 rotations that act on fractional coordinates of the direct lattice; on those of the
            reciprocal lattice their transposes act, which make up the same group.
    """
    n = np.array(mesh)
    points = np.stack(np.meshgrid(*(np.arange(m) for m in mesh), indexing="ij"), axis=-1).reshape(-1, 3)
    labels = np.arange(len(points))
    fractions = points / n
    for matrix in operations:
        for sign in (1, -1):
            images = sign * fractions @ matrix * n
            whole = np.rint(images)
            on_mesh = np.abs(images - whole).max(axis=1) < 1e-6
            a, b, c = np.mod(whole.astype(int), n).T
            index = (a * n[1] + b) * n[2] + c
            labels = np.where(on_mesh, np.minimum(labels, index), labels)
    return int(np.unique(labels).size)
