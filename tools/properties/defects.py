"""Formation energy of a neutral vacancy."""

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
    energy,
    relax_positions,
    relaxed,
    supercell_size,
)

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator
    from pymatgen.core import Structure

MIN_LENGTH = 8.0
"""Å between a vacancy and its images in the smaller of the two supercells."""

DEFECT_FMAX = 0.02
"""eV/Å; energy differences of defects change below a meV with a smaller one."""

MAX_MOVE = 1.0
"""Å; an atom that moves further has left its site."""

_USUAL_STEPS = 15
"""Steps of a defect's relaxation, for the estimate of its cost before the start."""


class VacancyFormationEnergy(PropertyResult):
    """Quantity `vacancy_formation_energy` in eV, of the cheapest site of the element."""

    name: str = "vacancy_formation_energy"
    element: str = ""
    by_site: dict[str, float] = {}
    """eV; Wyckoff letter and number of the site (as `4a1`) to its energy in the larger supercell."""


def vacancy_formation_energy(
    crystal: Crystal,
    calculator: Calculator,
    element: str,
    *,
    chemical_potential: float | None = None,
    min_length: float = MIN_LENGTH,
    fmax: float = DEFECT_FMAX,
    max_cost: int = MAX_COST,
) -> VacancyFormationEnergy:
    """E(supercell without an atom) + µ - E(supercell), neutral, positions relaxed at the crystal's own volume.

    C. Freysoldt et al., Rev. Mod. Phys. 86, 253 (2014), for charge zero. Each inequivalent site of the element is
    tried; the std is the change from a supercell that is one conventional cell shorter along its longest axis.

    Args:
        crystal: any cell.
        calculator: of ASE, with energies, forces and stress.
        element: symbol of the atom that is missing.
        chemical_potential: eV/atom of the element, by the same calculator; of an element's own crystal it is the
            crystal's energy, and need not be given.
        min_length: Å between images.
        fmax: eV/Å; where the relaxation of the defect ends.
        max_cost: atoms times force evaluations.

    Raises:
        ToolError: when the element is not in the crystal, or a compound comes without a chemical potential.
    """
    if element not in crystal.species:
        raise ToolError(f"There is no {element} to remove.", f"Name one of {', '.join(sorted(set(crystal.species)))}.")
    if chemical_potential is None and len(set(crystal.species)) > 1:
        raise ToolError(
            f"Where the {element} of a compound goes is not known.",
            "Give `chemical_potential`, its energy in eV/atom there.",
        )

    def calculate(meter: Meter) -> VacancyFormationEnergy:
        atoms = relaxed(crystal, calculator, meter, FMAX)
        potential = energy(atoms) / len(atoms) if chemical_potential is None else chemical_potential
        cell = conventional(atoms)
        small = supercell_size(cell, min_length)
        large = _next_size(cell, small)
        sites = sites_of(cell, element)
        for size in (small, large):
            meter.expect(len(cell) * int(np.prod(size)), _USUAL_STEPS * len(sites), "The vacancy")
        energies, moves = {}, {}
        for label, site in sites.items():
            energies[label], moves[label] = _form(cell, large, site, calculator, meter, fmax, potential)
        best = min(energies, key=lambda label: energies[label])
        other, _ = _form(cell, small, sites[best], calculator, meter, fmax, potential)
        return VacancyFormationEnergy(
            method=f"neutral vacancy in {len(cell) * int(np.prod(large))} atoms, µ = {potential:.4f} eV/atom",
            crystal=from_ase(atoms),
            quantities={
                "vacancy_formation_energy": Quantity(value=energies[best], unit="eV", std=abs(energies[best] - other))
            },
            checks=_checks(element, energies[best], moves[best]),
            element=element,
            by_site=energies,
        )

    return attempt(VacancyFormationEnergy, crystal, max_cost, calculate)


def sites_of(cell: Structure, element: str) -> dict[str, int]:
    """The first site of each kind that symmetry makes equal, by Wyckoff symbol and a number: index in the cell."""
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    symmetric = SpacegroupAnalyzer(cell, symprec=0.01).get_symmetrized_structure()
    kinds = zip(symmetric.wyckoff_symbols, symmetric.equivalent_indices, strict=True)
    mine = [(symbol, indices[0]) for symbol, indices in kinds if cell[indices[0]].specie.symbol == element]
    return {f"{symbol}{number}": int(index) for number, (symbol, index) in enumerate(mine, start=1)}


def repeated(cell: Structure, size: tuple[int, int, int], calculator: Calculator) -> Atoms:
    """A supercell whose first atoms are those of the cell, with the calculator."""
    from ase import Atoms

    atoms = Atoms(
        [site.specie.symbol for site in cell],
        scaled_positions=cell.frac_coords,
        cell=cell.lattice.matrix,
        pbc=True,
    ).repeat(size)
    atoms.calc = calculator
    return atoms


def _next_size(cell: Structure, size: tuple[int, int, int]) -> tuple[int, int, int]:
    """The next larger supercell: one more cell along the axis where images are nearest."""
    lengths = [n / k for n, k in zip(size, cell.lattice.reciprocal_lattice_crystallographic.abc, strict=True)]
    axis = int(np.argmin(lengths))
    first, second, third = (n + (i == axis) for i, n in enumerate(size))
    return first, second, third


def _form(
    cell: Structure,
    size: tuple[int, int, int],
    site: int,
    calculator: Calculator,
    meter: Meter,
    fmax: float,
    potential: float,
) -> tuple[float, float]:
    """Formation energy in eV, and the longest way in Å that an atom went."""
    whole = repeated(cell, size, calculator)
    meter.spend(len(whole))
    before = energy(whole)
    defect = whole.copy()
    del defect[site]
    defect.calc = calculator
    start = defect.positions.copy()
    after = relax_positions(defect, meter, fmax, MAX_STEPS, "the supercell with a vacancy")
    move = float(np.linalg.norm(defect.positions - start, axis=1).max())
    formation = after + potential - before
    if not np.isfinite(formation):
        raise PropertyFailed("unphysical", f"The vacancy's formation energy is {formation}.")
    return formation, move


def _checks(element: str, formation: float, move: float) -> tuple[Check, ...]:
    costs = (
        "costs energy" if formation > 0 else f"gains energy: the crystal loses {element} by itself at this potential"
    )
    stays = "the neighbours stay" if move < MAX_MOVE else "an atom left its site, so this is another defect"
    return (
        Check(name="costs_energy", passed=formation > 0.0, words=f"a vacancy {costs} ({formation:.3f} eV)"),
        Check(name="sites_kept", passed=move < MAX_MOVE, words=f"{stays} (largest move {move:.2f} Å)"),
    )
