"""Crystals made to train and test the recogniser: ideal parents, then decorated, strained, shaken copies of them.

Parents are AFLOW prototypes (with a name) and random crystals of a given space group (without one). What is not
here: proposing candidates for a campaign (`tools/generate/`), or the network (`network.py`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..core.types import Crystal
from .prototypes import LIBRARY_SYMPREC
from .symmetry import CRYSTAL_SYSTEMS, analyse, crystal_system

Floats = NDArray[np.float64]

MAX_PARENT_ATOMS = 24
"""Atoms in the primitive cell; larger prototypes would need supercells that no campaign relaxes."""

OTHER = "other"
"""The class of crystals that are none of the named prototypes."""

_PSEUDO = 0.08
"""Share of the mean spacing of atoms within which a random crystal must not have a higher symmetry."""

# fmt: off
_ELEMENTS = [
    "Li", "Be", "B", "C", "N", "O", "F", "Na", "Mg", "Al", "Si", "P", "S", "Cl", "K", "Ca", "Sc", "Ti", "V",
    "Cr", "Mn", "Fe", "Co", "Ni", "Cu", "Zn", "Ga", "Ge", "As", "Se", "Br", "Rb", "Sr", "Y", "Zr", "Nb", "Mo",
    "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I", "Cs", "Ba", "La", "Ce", "Nd", "Gd", "Hf", "Ta",
    "W", "Re", "Ir", "Pt", "Au", "Tl", "Pb", "Bi",
]
# fmt: on


@dataclass(frozen=True)
class Parent:
    """An ideal crystal without elements: primitive cell in the standard setting, in Å of its own.

    `basis` is 3 x 3 (rows are vectors), `positions` n x 3 fractional, `kinds` n integers that say which sites
    carry the same element. `number` is the space group; `label` is an AFLOW label or `OTHER`.
    """

    label: str
    number: int
    basis: Floats
    positions: Floats
    kinds: NDArray[np.int64]

    @property
    def system(self) -> str:
        """Crystal system of the space group."""
        return crystal_system(self.number)


@dataclass(frozen=True)
class Shake:
    """How far a copy departs from its parent.

    `noise` is the Lindemann ratio: root mean square displacement of an atom over the crystal's mean
    nearest-neighbour distance. `strain` is the standard deviation of each independent component of a symmetric
    strain. `axes` is the largest relative change of axis lengths that keeps the crystal system.
    """

    noise: float = 0.0
    strain: float = 0.0
    axes: float = 0.0
    min_atoms: int = 1
    max_atoms: int = 32


def aflow_parents(max_atoms: int = MAX_PARENT_ATOMS) -> list[Parent]:
    """The prototypes of the AFLOW library in pymatgen (Mehl et al., Comput. Mater. Sci. 136, S1, 2017).

    Entries whose coordinates have another space group than their label says are left out: they are
    pseudo-symmetric, and naming them would teach the network a contradiction.
    """
    from pymatgen.analysis.prototypes._data import AFLOW_PROTOTYPE_LIBRARY

    parents = []
    for entry in AFLOW_PROTOTYPE_LIBRARY:
        label = str(entry["tags"]["aflow"])
        structure = entry["snl"].structure
        numbers = [site.specie.Z for site in structure]
        parent = _standardise(label, structure.lattice.matrix, structure.frac_coords, numbers)
        if parent is not None and parent.number == int(label.split("_")[2]) and len(parent.kinds) <= max_atoms:
            parents.append(parent)
    return sorted(parents, key=lambda p: (p.label, p.positions.tobytes()))


def random_parents(n: int, rng: np.random.Generator, max_atoms: int = 16) -> list[Parent]:
    """`n` random crystals, the seven systems in turn, space groups even within a system.

    A group's operations act on random points, half of them pulled onto a symmetry element; what comes out is
    accepted when no two atoms are closer than 0.7 of the mean spacing, and named by the symmetry it really has.
    """
    groups = defaultdict(list)
    for number in range(1, 231):
        groups[crystal_system(number)].append(number)
    parents: list[Parent] = []
    while len(parents) < n:
        system = CRYSTAL_SYSTEMS[len(parents) % 7]
        parent = _random_parent(int(rng.choice(groups[system])), rng)
        if parent is not None and parent.system == system and len(parent.kinds) <= max_atoms:
            parents.append(parent)
    return parents


def shake(parent: Parent, rng: np.random.Generator, how: Shake) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """A rotated, strained, shaken supercell: basis (3 x 3), Cartesian positions (n x 3), kinds (n).

    The supercell has between `min_atoms` and `max_atoms` atoms where the primitive cell allows it.
    """
    basis = parent.basis @ np.diag(_axis_scales(parent.system, rng, how.axes))
    repeats = _repeats(basis, len(parent.kinds), rng, how)
    shifts = np.array(list(np.ndindex(*repeats)))
    frac = (parent.positions[None] + shifts[:, None]).reshape(-1, 3) / np.array(repeats)
    kinds = np.tile(parent.kinds, len(shifts))
    basis = basis * np.array(repeats)[:, None]
    noise = rng.normal(size=frac.shape)
    if how.noise:
        noise *= how.noise * mean_nearest_distance(basis, frac) / np.sqrt(3.0)
    strain = rng.normal(scale=how.strain, size=(3, 3)) if how.strain else np.zeros((3, 3))
    deform = (np.eye(3) + (np.tril(strain) + np.tril(strain, -1).T)) @ _rotation(rng)
    cart = frac @ basis + (noise if how.noise else 0.0)
    order = rng.permutation(len(kinds))
    return basis @ deform, (cart @ deform)[order], kinds[order]


def decorate(basis: Floats, cart: Floats, kinds: NDArray[np.int64], rng: np.random.Generator) -> Crystal:
    """Random distinct elements on the kinds, and the scale at which the closest pair touches.

    Touching: the sum of the covalent radii (Cordero et al., Dalton Trans. 2832, 2008) times 0.95 to 1.15.
    """
    from ase.data import atomic_numbers, covalent_radii

    symbols = [str(s) for s in rng.choice(_ELEMENTS, size=int(kinds.max()) + 1, replace=False)]
    radii = np.array([covalent_radii[atomic_numbers[s]] for s in symbols])[kinds]
    frac = np.mod(cart @ np.linalg.inv(basis), 1.0)
    distances = pair_distances(basis, frac)
    scale = float(rng.uniform(0.95, 1.15) * np.max((radii[:, None] + radii[None]) / distances))
    rows = [tuple(float(v) for v in row) for row in basis * scale]
    return Crystal.model_validate(
        {"lattice": rows, "species": [symbols[k] for k in kinds], "frac_coords": [tuple(map(float, f)) for f in frac]}
    )


def pair_distances(basis: Floats, frac: Floats) -> Floats:
    """n x n distances to the nearest image (itself excluded); cells no flatter than 1:3 are assumed."""
    images = np.array(list(np.ndindex(5, 5, 5))) - 2
    delta = frac[None, :] - frac[:, None]
    delta -= np.round(delta)
    vectors = (delta[:, :, None] + images[None, None]) @ basis
    distances = np.linalg.norm(vectors, axis=-1)
    distances[np.arange(len(frac)), np.arange(len(frac)), len(images) // 2] = np.inf
    return np.asarray(distances.min(axis=2))


def mean_nearest_distance(basis: Floats, frac: Floats) -> float:
    """Mean over atoms of the distance to the nearest neighbour."""
    return float(pair_distances(basis, frac).min(axis=1).mean())


def _standardise(
    label: str, basis: Floats, frac: Floats, numbers: list[int], symprec: float = LIBRARY_SYMPREC
) -> Parent | None:
    """The primitive standard cell; None where the symmetry finder gives up. `symprec` in the unit of `basis`."""
    try:
        data = analyse(basis, frac, numbers, symprec)
    except ValueError:
        return None
    primitive = data.prim_std_cell
    _, kinds = np.unique(np.array(primitive.numbers), return_inverse=True)
    return Parent(label, int(data.number), np.array(primitive.basis), np.mod(primitive.positions, 1.0), kinds)


def _random_parent(number: int, rng: np.random.Generator) -> Parent | None:
    import moyopy

    operations = moyopy.operations_from_number(number)
    rotations = np.array(operations.rotations, dtype=float)
    translations = np.array(operations.translations)
    basis = _random_basis(crystal_system(number), rng)
    target = int(rng.integers(1, 5))
    spacing = 1.0
    found, kinds = np.zeros((0, 3)), list[int]()
    for attempt in range(6 * target):
        point = _special_point(rng.random(3), rotations, translations, rng)
        orbit = _distinct(np.mod(point @ rotations.transpose(0, 2, 1) + translations, 1.0), basis)
        if len(found) + len(orbit) > 64:
            continue
        trial = np.concatenate([found, orbit])
        trial_spacing = float(abs(np.linalg.det(basis)) / len(trial)) ** (1 / 3)
        if pair_distances(basis, trial).min() > 0.7 * trial_spacing:
            found, spacing = trial, trial_spacing
            kinds += [int(rng.integers(1, 5)) if attempt % 3 else len(kinds) + 5] * len(orbit)
            target -= 1
        if target == 0:
            break
    if not kinds:
        return None
    numbers = [int(k) + 1 for k in np.unique(kinds, return_inverse=True)[1]]
    scaled = basis / spacing
    exact = _standardise(OTHER, scaled, found, numbers, symprec=1e-4)
    loose = _standardise(OTHER, scaled, found, numbers, symprec=_PSEUDO)
    # An accident that is almost of higher symmetry has no right answer once it is shaken.
    return exact if exact and loose and exact.number == loose.number else None


def _special_point(point: Floats, rotations: Floats, translations: Floats, rng: np.random.Generator) -> Floats:
    """Pull a point onto the symmetry elements of up to four random operations, where they have one nearby."""
    for _ in range(int(rng.integers(0, 5))):
        which = int(rng.integers(len(rotations)))
        image, steps = point, []
        for _ in range(12):
            image = rotations[which] @ image + translations[which]
            steps.append(image - point - np.round(image - point))
            if np.abs(steps[-1]).max() < 1e-9:
                break
        point = point + np.mean(steps, axis=0)
    return np.mod(point, 1.0)


def _distinct(points: Floats, basis: Floats) -> Floats:
    """Points that differ modulo the lattice by more than rounding."""
    kept: list[Floats] = []
    for point in points:
        if not kept:
            kept.append(point)
            continue
        delta = np.array(kept) - point
        if np.linalg.norm((delta - np.round(delta)) @ basis, axis=1).min() > 1e-4:
            kept.append(point)
    return np.array(kept)


def _random_basis(system: str, rng: np.random.Generator) -> Floats:
    """A conventional cell (rows are vectors) with axes between 0.7 and 1.4, as its system asks."""
    a, b, c = rng.uniform(0.7, 1.4, 3)
    if system == "cubic":
        return np.eye(3)
    if system in {"hexagonal", "trigonal"}:
        c = rng.uniform(0.6, 2.6)
        return np.array([[1.0, 0.0, 0.0], [-0.5, np.sqrt(0.75), 0.0], [0.0, 0.0, c]])
    if system == "tetragonal":
        return np.diag([1.0, 1.0, float(rng.uniform(0.6, 2.0))])
    basis = np.diag([a, b, c])
    if system == "monoclinic":
        basis[2, 0] = -c * rng.uniform(0.1, 0.5)
    elif system == "triclinic":
        basis[1, 0], basis[2, 0], basis[2, 1] = rng.uniform(-0.4, 0.4, 3)
    return basis


def _axis_scales(system: str, rng: np.random.Generator, largest: float) -> Floats:
    """Factors along x, y, z of the standard setting that leave the crystal system as it is."""
    x, y, z = 1.0 + rng.uniform(-largest, largest, 3)
    if system == "cubic":
        return np.array([1.0, 1.0, 1.0])
    if system in {"tetragonal", "trigonal", "hexagonal"}:
        return np.array([1.0, 1.0, z])
    return np.array([x, y, z])


def _repeats(basis: Floats, atoms: int, rng: np.random.Generator, how: Shake) -> tuple[int, int, int]:
    """A random supercell; the shortest axis grows first until `min_atoms` is reached."""
    choices: list[tuple[int, int, int]] = [
        (i, j, k) for i, j, k in _boxes() if how.min_atoms <= atoms * i * j * k <= how.max_atoms
    ]
    if not choices:
        return (1, 1, 1) if atoms >= how.min_atoms else (2, 2, 2)
    lengths = np.linalg.norm(basis, axis=1)
    roundness = np.array([(lengths * c).min() / (lengths * c).max() for c in choices])
    return choices[int(rng.choice(len(choices), p=roundness**2 / np.sum(roundness**2)))]


def _boxes() -> Iterator[tuple[int, int, int]]:
    return ((i + 1, j + 1, k + 1) for i, j, k in np.ndindex(5, 5, 5))


def _rotation(rng: np.random.Generator) -> Floats:
    """A random rotation matrix, evenly distributed (QR of a Gaussian matrix)."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q if np.linalg.det(q) > 0 else -q
