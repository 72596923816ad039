"""Elastic tensor from stresses of strained cells, and the moduli that follow from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import ToolError
from ..core.structure import from_ase
from ..core.types import Crystal, Quantity
from ..core.units import GPA_PER_EV_A3
from .base import (
    FMAX,
    MAX_COST,
    MAX_STEPS,
    SYMPREC,
    Check,
    Meter,
    PropertyFailed,
    PropertyResult,
    attempt,
    library_warnings_silenced,
    relax_positions,
    relaxed,
)

if TYPE_CHECKING:
    from ase.calculators.calculator import Calculator
    from pymatgen.core.elasticity import ElasticTensor

STRAINS = (-0.01, -0.005, 0.005, 0.01)
"""Components of the strain tensor, normal ones and shear ones alike; normal ones as in the Materials Project."""

MIN_R2 = 0.99
MAX_REST_STRESS = 0.5
"""GPa; a relaxed cell has less."""

VOIGT = ("xx", "yy", "zz", "yz", "xz", "xy")

Voigt = tuple[tuple[float, ...], ...]


class ElasticModuli(PropertyResult):
    """Quantities `bulk_modulus`, `shear_modulus`, `young_modulus` (Hill averages), `bulk_modulus_voigt` and `_reuss`,
    `shear_modulus_voigt` and `_reuss` in GPa, `poisson_ratio`, `universal_anisotropy`, and of a cubic crystal
    `c11`, `c12`, `c44`."""

    name: str = "elastic_moduli"
    tensor: Voigt = ()
    """6 x 6 stiffness in GPa, Voigt order xx yy zz yz xz xy, axes by the IEEE standard (pymatgen)."""
    tensor_std: Voigt = ()
    """6 x 6 in GPa: half strains against whole ones, and what symmetry had to mend."""


def elastic_moduli(
    crystal: Crystal,
    calculator: Calculator,
    *,
    strains: tuple[float, ...] = STRAINS,
    fmax: float = FMAX,
    max_cost: int = MAX_COST,
) -> ElasticModuli:
    """Elastic tensor by linear fits of stress to six independent strains, positions relaxed in each strained cell.

    Strains are Green-Lagrange and stresses second Piola-Kirchhoff, as in the Materials Project's workflow (M. de Jong
    et al., Sci. Data 2, 150009 (2015)); the fit, its symmetrisation and the averages of Voigt, Reuss and Hill are
    pymatgen's. Universal anisotropy: S. Ranganathan, M. Ostoja-Starzewski, Phys. Rev. Lett. 101, 055504 (2008).
    Stability: all six eigenvalues of the stiffness positive (F. Mouhot, F.-X. Coudert, Phys. Rev. B 90, 224104 (2014)).

    Args:
        crystal: any cell; the primitive one is the cheapest.
        calculator: of ASE, with energies, forces and stress.
        strains: four or more of both signs, taken by each of the six components.
        fmax: eV/Å; where relaxations end.
        max_cost: atoms times force evaluations.

    Returns:
        Moduli in GPa. The std of a modulus is its difference between all strains and the smaller half of them.
    """
    if len(strains) < 4 or min(strains) >= 0 or max(strains) <= 0 or max(map(abs, strains)) > 0.1:
        raise ToolError(
            f"Strains {strains} do not give a derivative with an uncertainty.",
            "Give four or more, of both signs, within ±0.1.",
        )

    def calculate(meter: Meter) -> ElasticModuli:
        from pymatgen.core.elasticity import DeformedStructureSet, ElasticTensor, Strain, Stress
        from pymatgen.io.ase import AseAtomsAdaptor
        from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

        atoms = relaxed(crystal, calculator, meter, fmax)
        bare = atoms.copy()
        bare.calc = None
        structure = AseAtomsAdaptor.get_structure(bare)
        rest = Stress(atoms.get_stress(voigt=False) * GPA_PER_EV_A3)
        deformed = DeformedStructureSet(structure, strains, strains)
        meter.expect(len(atoms), len(deformed), "The elastic tensor")
        taken, stresses = [], []
        for deformation in deformed.deformations:
            cell = bare.copy()
            cell.set_cell(np.asarray(atoms.cell) @ np.asarray(deformation).T, scale_atoms=True)
            cell.calc = calculator
            relax_positions(cell, meter, fmax, MAX_STEPS, "a strained cell")
            taken.append(Strain.from_deformation(deformation))
            cauchy = Stress(cell.get_stress(voigt=False) * GPA_PER_EV_A3)
            stresses.append(Stress(cauchy.piola_kirchoff_2(deformation)))
        middle = float(np.median(np.abs(strains)))
        small = [i for i, s in enumerate(taken) if np.abs(s).max() < middle + 1e-9]
        with library_warnings_silenced():
            raw = ElasticTensor.from_independent_strains(taken, stresses, eq_stress=rest)
            tensor = raw.convert_to_ieee(structure)
            half = ElasticTensor.from_independent_strains(
                [taken[i] for i in small], [stresses[i] for i in small], eq_stress=rest
            ).convert_to_ieee(structure)
            mended = np.abs(raw.convert_to_ieee(structure, initial_fit=False).voigt - tensor.voigt)
            system = SpacegroupAnalyzer(structure, symprec=10 * SYMPREC).get_crystal_system()
        fitted = np.array([raw.calculate_stress(s) for s in taken]) + rest
        return ElasticModuli(
            method=f"linear stress-strain fits, {len(taken)} strained cells, positions relaxed",
            crystal=from_ase(atoms),
            quantities=_quantities(tensor, half, cubic=system == "cubic"),
            checks=_checks(np.array(tensor.voigt), _r_squared(np.array(stresses), fitted), np.array(rest)),
            tensor=_rows(tensor.voigt),
            tensor_std=_rows(np.maximum(np.abs(tensor.voigt - half.voigt), mended)),
        )

    return attempt(ElasticModuli, crystal, max_cost, calculate)


def _quantities(tensor: ElasticTensor, half: ElasticTensor, cubic: bool) -> dict[str, Quantity]:
    def values(t: ElasticTensor) -> dict[str, float]:
        found = {
            "bulk_modulus": t.k_vrh,
            "bulk_modulus_voigt": t.k_voigt,
            "bulk_modulus_reuss": t.k_reuss,
            "shear_modulus": t.g_vrh,
            "shear_modulus_voigt": t.g_voigt,
            "shear_modulus_reuss": t.g_reuss,
            "young_modulus": t.y_mod / 1e9,  # pymatgen multiplies by 10⁹, whatever unit the tensor has
            "poisson_ratio": t.homogeneous_poisson,
            "universal_anisotropy": t.universal_anisotropy,
        }
        if cubic:
            found |= {"c11": t.voigt[0, 0], "c12": t.voigt[0, 1], "c44": t.voigt[3, 3]}
        return {name: float(value) for name, value in found.items()}

    try:
        main, other = values(tensor), values(half)
    except np.linalg.LinAlgError as error:
        raise PropertyFailed("unphysical", "The stiffness is singular: a strain costs no stress at all.") from error
    if not np.isfinite([*main.values(), *other.values()]).all():
        raise PropertyFailed("unphysical", f"The moduli are not finite numbers: {main}.")
    plain = {"poisson_ratio", "universal_anisotropy"}
    return {
        name: Quantity(value=value, unit="dimensionless" if name in plain else "GPa", std=abs(value - other[name]))
        for name, value in main.items()
    }


def _r_squared(stresses: np.ndarray, fitted: np.ndarray) -> float:
    """Share of the variance of all stress components that the linear law explains."""
    total = float(np.sum((stresses - stresses.mean(axis=0)) ** 2))
    return 1.0 - float(np.sum((stresses - fitted) ** 2)) / total if total > 0.0 else 0.0


def _checks(stiffness: np.ndarray, r2: float, rest: np.ndarray) -> tuple[Check, ...]:
    eigenvalues, vectors = np.linalg.eigh(stiffness)
    softest = vectors[:, 0]
    main = VOIGT[int(np.argmax(np.abs(softest)))]
    stable = bool(eigenvalues[0] > 0.0)
    pressure = float(np.abs(rest).max())
    words = f"the softest strain (mostly {main}) has a stiffness of {eigenvalues[0]:.3g} GPa"
    return (
        Check(
            name="born_stability",
            passed=stable,
            words=words if stable else f"Born stability criteria violated: {words}; elastically unstable",
        ),
        Check(
            name="linear", passed=r2 >= MIN_R2, words=f"R² of the strain fit is {r2:.4f} (at least {MIN_R2} expected)"
        ),
        Check(
            name="stress_free",
            passed=pressure < MAX_REST_STRESS,
            words=f"the unstrained cell has a stress of {pressure:.2g} GPa (below {MAX_REST_STRESS} expected)",
        ),
    )


def _rows(matrix: np.ndarray) -> Voigt:
    return tuple(tuple(float(x) for x in row) for row in matrix)
