"""Collinear magnetic orders to start from: ferromagnetic, and the simplest antiferromagnetic ones up to symmetry.

An order is a sign for each magnetic site of the primitive cell and a propagation vector q, half a reciprocal lattice
vector or zero: the moment of site i in the cell at R is m_i s_i cos(2π q·R). With one magnetic atom in the cell the
sign pattern is trivial and q makes the order (the type I and II of fcc, the A, C and G types of simple cubic cells: E.
O. Wollan, W. C. Koehler, Phys. Rev. 100, 545 (1955)), in a cell of twice the volume; with several atoms q is zero and
the signs make it, in the cell as it is. Spirals, canted moments and larger cells are not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..core.structure import from_ase, to_ase
from ..core.types import Crystal, FailureKind, Frozen, Quantity
from .base import CalculationFailed
from .electrons import HIGH_SPIN_MOMENTS, starting_moments

if TYPE_CHECKING:
    from ase import Atoms

MAX_MAGNETIC_SITES = 8
"""In the primitive cell; more have too many patterns, and the crystal starts ferromagnetic."""

FERROMAGNETIC = "ferromagnetic"

_SYMMETRY_A = 1e-3
"""Å; of crystals that were moved onto their symmetry before."""
_SHELL_A = 0.05
"""Å; distances that differ by less belong to one shell of neighbours."""
_REACH = 2.1
"""Pairs up to this many times the shortest magnetic distance tell orders apart: which one is tried first."""

TABLE = "magnetic-orders.csv"


class MagneticOrder(Frozen):
    """A crystal with the moments that it starts from, Bohr magnetons."""

    name: str
    crystal: Crystal
    moments: tuple[float, ...]


class _Pattern(NamedTuple):
    q: tuple[int, int, int]
    """Twice the propagation vector, in the basis of the reciprocal lattice: zeros and ones."""
    signs: tuple[int, ...]
    """Of each magnetic site; the first one is 1."""


def magnetic_orders(crystal: Crystal, properties: Iterable[str], at_most: int) -> tuple[MagneticOrder, ...]:
    """The orders to try, the ferromagnetic one first, then those with the most antiparallel near neighbours.

    Args:
        crystal: a primitive cell on its symmetry, as `idealise` makes it.
        properties: what is asked for, which may call for moments (see `starting_moments`).
        at_most: so many orders; 1 is the ferromagnetic one alone.

    Returns:
        One order where no element is magnetic, or more than `MAX_MAGNETIC_SITES` sites of the cell are.
    """
    moments = tuple(starting_moments(crystal, properties))
    ferro = MagneticOrder(name=FERROMAGNETIC if any(moments) else "without spin", crystal=crystal, moments=moments)
    sites = [i for i, symbol in enumerate(crystal.species) if symbol in HIGH_SPIN_MOMENTS]
    if at_most < 2 or not 1 <= len(sites) <= MAX_MAGNETIC_SITES:
        return (ferro,)
    pairs = _pairs(crystal, sites)
    found = _propagating(crystal) if len(sites) == 1 else _within_cell(crystal, sites)
    found.sort(key=lambda pattern: (_correlations(pattern, pairs), pattern))
    return (ferro, *(_order(crystal, sites, moments, pattern) for pattern in found[: at_most - 1]))


def _propagating(crystal: Crystal) -> list[_Pattern]:
    """One vector of each star of the seven halves of reciprocal lattice vectors."""
    rotations, _ = _operations(crystal)
    left = [(a, b, c) for a, b, c in product((0, 1), repeat=3) if a or b or c]
    found = []
    while left:
        q = np.array(left[0])
        star = {tuple(int(x) for x in np.mod(q @ rotation, 2)) for rotation in rotations}
        found.append(_Pattern(left[0], (1,)))
        left = [other for other in left if other not in star]
    return found


def _within_cell(crystal: Crystal, sites: list[int]) -> list[_Pattern]:
    """One sign pattern of each class under the space group and the reversal of all moments; not the ferromagnetic."""
    permutations = _permutations(crystal, sites)
    seen: set[tuple[int, ...]] = set()
    found = []
    for rest in product((1, -1), repeat=len(sites) - 1):
        signs = (1, *rest)
        if all(s == 1 for s in signs) or signs in seen:
            continue
        found.append(_Pattern((0, 0, 0), signs))
        for permutation in permutations:
            image = tuple(signs[i] for i in permutation)
            seen.add(image if image[0] == 1 else tuple(-s for s in image))
    return found


def _permutations(crystal: Crystal, sites: list[int]) -> list[tuple[int, ...]]:
    """What each operation of the space group makes of the magnetic sites."""
    rotations, translations = _operations(crystal)
    positions = np.array(crystal.frac_coords)[sites]
    found = set()
    for rotation, translation in zip(rotations, translations, strict=True):
        moved = positions @ rotation.T + translation
        apart = moved[:, None, :] - positions[None, :, :]
        apart = np.linalg.norm((apart - np.rint(apart)) @ np.array(crystal.lattice), axis=2)
        found.add(tuple(int(j) for j in apart.argmin(axis=1)))
    return sorted(found)


def _operations(crystal: Crystal) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (n x 3 x 3) and translations (n x 3); the identity alone where no symmetry is found."""
    import moyopy
    from ase.data import atomic_numbers

    cell = moyopy.Cell(
        basis=[list(row) for row in crystal.lattice],
        positions=[list(row) for row in crystal.frac_coords],
        numbers=[int(atomic_numbers[symbol]) for symbol in crystal.species],
    )
    try:
        found = moyopy.MoyoDataset(cell, symprec=_SYMMETRY_A).operations
    except Exception as error:  # moyopy raises its own bare types
        if "moyo" not in type(error).__module__ and not isinstance(error, RuntimeError | ValueError):
            raise
        return np.eye(3, dtype=int)[None], np.zeros((1, 3))
    return np.array(found.rotations, dtype=int), np.array(found.translations, dtype=float)


def _pairs(crystal: Crystal, sites: list[int]) -> list[tuple[int, int, int, np.ndarray]]:
    """Shell, two magnetic sites (by their place in `sites`) and the cell of the second, for all near pairs."""
    from ase.neighborlist import neighbor_list

    magnets = to_ase(crystal)[sites]
    reach = 4.0
    while not len(neighbor_list("d", magnets, reach)):
        reach *= 1.5
    nearest = float(neighbor_list("d", magnets, reach).min())
    first, second, distances, shifts = neighbor_list("ijdS", magnets, _REACH * nearest)
    order = np.argsort(distances)
    shells = np.concatenate([[0], np.cumsum(np.diff(distances[order]) > _SHELL_A)])
    return [(int(s), int(first[n]), int(second[n]), shifts[n]) for s, n in zip(shells, order, strict=True)]


def _correlations(pattern: _Pattern, pairs: list[tuple[int, int, int, np.ndarray]]) -> tuple[int, ...]:
    """Parallel less antiparallel pairs in each shell, the nearest first: known without a choice of origin or order."""
    sums = [0] * (pairs[-1][0] + 1)
    for shell, i, j, cell in pairs:
        sums[shell] += pattern.signs[i] * pattern.signs[j] * (-1) ** int(np.dot(pattern.q, cell) % 2)
    return tuple(sums)


def _order(crystal: Crystal, sites: list[int], moments: Sequence[float], pattern: _Pattern) -> MagneticOrder:
    if any(pattern.q):
        half = " ".join("1/2" if x else "0" for x in pattern.q)
        doubled = _doubled(crystal, pattern.q)
        flipped = (*moments, *(-m if m else 0.0 for m in moments))
        return MagneticOrder(name=f"antiferromagnetic, q = ({half})", crystal=doubled, moments=flipped)
    signs = dict(zip(sites, pattern.signs, strict=True))
    chosen = tuple(m * signs.get(i, 1) for i, m in enumerate(moments))
    kind = "antiferromagnetic" if abs(sum(chosen)) < 1e-9 else "ferrimagnetic"
    words = " ".join(f"{crystal.species[i]}{i + 1}{'+' if s > 0 else '-'}" for i, s in signs.items())
    return MagneticOrder(name=f"{kind}, {words}", crystal=crystal, moments=chosen)


def _doubled(crystal: Crystal, q: tuple[int, int, int]) -> Crystal:
    """The cell in which q is a reciprocal lattice vector: the sites as they are, then those of the next cell."""
    from ase import Atoms
    from ase.geometry import minkowski_reduce

    atoms = to_ase(crystal)
    cell = np.asarray(atoms.cell)
    along = q.index(1)
    rows = [cell[i] - cell[along] if q[i] and i != along else cell[i] for i in range(3)]
    rows[along] = 2 * cell[along]
    lattice, _ = minkowski_reduce(np.array(rows))
    places = np.concatenate([atoms.positions, atoms.positions + cell[along]])
    return from_ase(Atoms([*crystal.species, *crystal.species], positions=places, cell=lattice, pbc=True))


class LowestOrder(NamedTuple):
    """What a search found; `failure` where an order could not be calculated and the lowest one may be another."""

    order: MagneticOrder
    atoms: Atoms
    values: dict[str, Quantity]
    artefacts: dict[str, str]
    failure: str
    kind: FailureKind


def lowest_order(
    orders: Sequence[MagneticOrder],
    run: Callable[[int, MagneticOrder], Atoms],
    offers: Callable[[FailureKind], bool],
    scratch: Path,
) -> LowestOrder:
    """Calculate each order and take the one of the lowest energy per atom; a single one is just calculated.

    Args:
        orders: at least one.
        run: calculates the order with a number; the atoms come back with their results.
        offers: whether the ladder has a step left against a kind of failure.
        scratch: where the table of all orders is written.

    Raises:
        CalculationFailed: when none can be calculated, or one fails in a way that the ladder has a step against.
    """
    if len(orders) == 1:
        return LowestOrder(orders[0], run(0, orders[0]), {}, {}, "", "")
    best: tuple[float, MagneticOrder, Atoms] | None = None
    energies: list[float | None] = []
    rows = ["order,atoms,energy (eV/atom),total moment (Bohr magnetons/atom),largest moment (Bohr magnetons),failure"]
    failures: list[CalculationFailed] = []
    for number, order in enumerate(orders):
        name = f'"{order.name}",{len(order.crystal)}'
        try:
            atoms = run(number, order)
        except CalculationFailed as error:
            if offers(error.kind):
                raise
            failures.append(error)
            energies.append(None)
            reason = str(error).replace('"', "'").replace("\n", " ")
            rows.append(f'{name},,,,"{reason}"')
            continue
        energy = float(atoms.get_potential_energy()) / len(atoms)
        energies.append(energy)
        moments = [float(m) for m in atoms.get_magnetic_moments()]
        total, largest = float(atoms.get_magnetic_moment()) / len(atoms), max(abs(m) for m in moments)
        rows.append(f"{name},{energy:.6f},{total:.4f},{largest:.4f},")
        if best is None or energy < best[0]:
            best = (energy, order, atoms)
    if best is None:
        raise failures[0]
    (scratch / TABLE).write_text("\n".join(rows) + "\n")
    values = {"magnetic_orders": Quantity(value=float(len(orders) - len(failures)), unit="dimensionless")}
    if energies[0] is not None:
        values["magnetic_order_energy"] = Quantity(value=best[0] - energies[0], unit="eV/atom")
    failure = f"{len(failures)} of {len(orders)} magnetic orders failed: {failures[0]}" if failures else ""
    kind: FailureKind = failures[0].kind if failures else ""
    return LowestOrder(best[1], best[2], values, {"magnetic orders": TABLE}, failure, kind)


def order_words(at_most: int) -> str:
    """What a method says of it; empty where the ferromagnetic order is the only one."""
    return "" if at_most < 2 else f"lowest of up to {at_most} collinear magnetic orders"
