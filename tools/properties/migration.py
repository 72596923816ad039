"""Barrier of a vacancy-mediated hop between neighbouring sites of one element."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import ToolError
from ..core.structure import from_ase
from ..core.types import Crystal, Quantity
from .base import (
    FMAX,
    MAX_COST,
    MAX_STEPS,
    Check,
    Meter,
    PropertyFailed,
    PropertyResult,
    attempt,
    conventional,
    relax_positions,
    relaxed,
    supercell_size,
)
from .defects import DEFECT_FMAX, repeated, sites_of

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator
    from ase.mep import NEB
    from pymatgen.core import Structure

MIN_LENGTH = 8.0
NEB_FMAX = 0.05
"""eV/Å; the usual end of a nudged elastic band."""

MAX_BAND_STEPS = 200
_USUAL_STEPS = 40
MAX_HOP = 6.0
"""Å; sites further apart are no neighbours."""


class MigrationBarrier(PropertyResult):
    """Quantities `migration_barrier`, `reverse_barrier`, `site_energy_difference` in eV, and `hop_length` in Å."""

    name: str = "migration_barrier"
    element: str = ""
    coordinates: tuple[float, ...] = ()
    """Å along the path, of each image."""
    energies: tuple[float, ...] = ()
    """eV of each image, from the first one."""


def migration_barrier(
    crystal: Crystal,
    calculator: Calculator,
    element: str,
    *,
    min_length: float = MIN_LENGTH,
    images: int = 5,
    fmax: float = NEB_FMAX,
    max_cost: int = MAX_COST,
) -> MigrationBarrier:
    """Climbing-image nudged elastic band (ASE) of the shortest hop of the element into a vacancy, neutral.

    G. Henkelman, B. Uberuaga, H. Jónsson, J. Chem. Phys. 113, 9901 (2000); start from the image-dependent pair
    potential, S. Smidstrup et al., J. Chem. Phys. 140, 214106 (2014). The supercell keeps the crystal's own volume.
    The std of the barrier is what a spline through the images has above the highest image.

    Args:
        crystal: any cell.
        calculator: of ASE, with energies, forces and stress.
        element: symbol of the atom that moves.
        min_length: Å between images of the vacancy.
        images: moving images between the two ends.
        fmax: eV/Å; where the band ends.
        max_cost: atoms times force evaluations.

    Raises:
        ToolError: when the element is not in the crystal, or the band has no images.
    """
    if element not in crystal.species:
        raise ToolError(f"No {element} can move here.", f"Name one of {', '.join(sorted(set(crystal.species)))}.")
    if not 1 <= images <= 15:
        raise ToolError(f"A band of {images} images shows no barrier.", "Give 3 to 9 images.")

    def calculate(meter: Meter) -> MigrationBarrier:
        from ase.mep import NEBTools

        atoms = relaxed(crystal, calculator, meter, FMAX)
        cell = conventional(atoms)
        size = supercell_size(cell, min_length)
        meter.expect(len(cell) * int(np.prod(size)), _USUAL_STEPS * images, "The nudged elastic band")
        first, last, length = _ends(cell, size, element, calculator)
        for end in (first, last):
            relax_positions(end, meter, DEFECT_FMAX, MAX_STEPS, "an end of the hop")
        moved = float(np.linalg.norm(last.get_positions() - first.get_positions(), axis=1).max())
        if moved < 0.3 * length:
            raise PropertyFailed("unsuitable", "Both ends of the hop relax to the same place: there is no second site.")
        band = _run(first, last, images, calculator, meter, fmax)
        tools = NEBTools(band.images)
        smooth, difference = tools.get_barrier(fit=True)
        energies = np.array([float(image.get_potential_energy()) for image in band.images])
        energies -= energies[0]
        raw = float(energies.max())
        coordinates = np.cumsum(
            [0.0, *(_distance(a, b) for a, b in zip(band.images[:-1], band.images[1:], strict=True))]
        )
        spread = abs(float(smooth) - raw)
        quantities = {
            "migration_barrier": Quantity(value=raw, unit="eV", std=spread),
            "reverse_barrier": Quantity(value=raw - float(difference), unit="eV", std=spread),
            "site_energy_difference": Quantity(value=float(difference), unit="eV", std=None),
            "hop_length": Quantity(value=length, unit="angstrom", std=None),
        }
        return MigrationBarrier(
            method=f"climbing-image nudged elastic band, {images} images, {len(first)} atoms, neutral vacancy",
            crystal=from_ase(atoms),
            quantities=quantities,
            checks=_checks(band, energies, fmax),
            element=element,
            coordinates=tuple(map(float, coordinates)),
            energies=tuple(map(float, energies)),
        )

    return attempt(MigrationBarrier, crystal, max_cost, calculate)


def _ends(
    cell: Structure, size: tuple[int, int, int], element: str, calculator: Calculator
) -> tuple[Atoms, Atoms, float]:
    """The supercell with the vacancy on one site and on its nearest neighbour of the element, and the hop in Å."""
    whole = repeated(cell, size, calculator)
    mine = np.array([i for i, symbol in enumerate(whole.symbols) if symbol == element])
    hops = []
    for site in sites_of(cell, element).values():
        others = mine[mine != site]
        if len(others):
            distances = whole.get_distances(site, others, mic=True)
            hops.append((float(distances.min()), site, int(others[int(np.argmin(distances))])))
    if not hops or min(hops)[0] > MAX_HOP:
        raise PropertyFailed("unsuitable", f"No two {element} sites lie within {MAX_HOP:g} Å of each other.")
    length, vacancy, jumper = min(hops)
    first = whole.copy()
    vector = whole.get_distance(jumper, vacancy, mic=True, vector=True)
    last = whole.copy()
    last.positions[jumper] += vector
    for end in (first, last):
        del end[vacancy]
        end.calc = calculator
    return first, last, length


def _run(first: Atoms, last: Atoms, images: int, calculator: Calculator, meter: Meter, fmax: float) -> NEB:
    """The converged band: first without, then with a climbing image."""
    from ase.mep import NEB
    from ase.optimize import FIRE

    between = [first.copy() for _ in range(images)]
    band = NEB([_frozen(first), *between, _frozen(last)], method="improvedtangent", allow_shared_calculator=True)
    band.interpolate(method="idpp")
    for image in between:
        image.calc = calculator
    for climb, target in ((False, 4 * fmax), (True, fmax)):
        band.climb = climb
        for _ in FIRE(band, logfile=None).irun(fmax=target, steps=MAX_BAND_STEPS):
            meter.spend(len(first), images)
    for image in between:
        _hold(image)
    return band


def _frozen(atoms: Atoms) -> Atoms:
    """A copy that remembers energy and forces, so that an end costs nothing and no calculator is shared with it."""
    copy = atoms.copy()
    copy.calc = atoms.calc
    _hold(copy)
    return copy


def _hold(atoms: Atoms) -> None:
    from ase.calculators.singlepoint import SinglePointCalculator

    energy, forces = float(atoms.get_potential_energy()), np.array(atoms.get_forces())
    if not np.isfinite(energy) or not np.isfinite(forces).all():
        raise PropertyFailed("unphysical", "An image of the band has no finite energy and forces.")
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)


def _distance(a: Atoms, b: Atoms) -> float:
    from ase.geometry import find_mic

    vectors, _ = find_mic(b.positions - a.positions, a.cell, pbc=True)
    return float(np.linalg.norm(vectors))


def _checks(band: NEB, energies: np.ndarray, fmax: float) -> tuple[Check, ...]:
    residual = float(np.linalg.norm(band.get_forces().reshape(-1, 3), axis=1).max())
    peaks = int(np.sum((energies[1:-1] > energies[:-2] + 0.01) & (energies[1:-1] > energies[2:] + 0.01)))
    highest = int(np.argmax(energies))
    inside = 0 < highest < len(energies) - 1
    return (
        Check(
            name="converged",
            passed=residual <= fmax * 1.01,
            words=f"the largest force on the band is {residual:.3f} eV/Å (at most {fmax:g} expected)",
        ),
        Check(
            name="saddle_inside",
            passed=inside,
            words="the highest image lies between the ends" if inside else "no image is above the ends: no barrier",
        ),
        Check(
            name="single_hop",
            passed=peaks <= 1,
            words="one maximum along the path" if peaks <= 1 else f"{peaks} maxima: the hop has a site in between",
        ),
    )
