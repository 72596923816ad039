"""The potential's own bulk modulus of a relaxed crystal: a few single points and an equation of state."""

from __future__ import annotations

from ..core.protocols import Potential
from ..core.structure import volume
from ..core.types import Crystal
from ..core.units import GPA_PER_EV_A3

STRAINS = (-0.06, -0.04, -0.02, 0.0, 0.02, 0.04, 0.06)
"""Relative volume changes; small enough for third-order Birch-Murnaghan, large enough to stand above noise."""


def bulk_modulus(potential: Potential, crystal: Crystal) -> float | None:
    """Bulk modulus in GPa from a Birch-Murnaghan fit (Birch, Phys. Rev. 71, 809 (1947)).

    Fractional coordinates stay fixed, so free internal coordinates make the value an upper bound.

    Returns:
        None where the energies have no minimum inside the range, as for a crystal that is not relaxed.
    """
    from pymatgen.analysis.eos import EOS, EOSError

    base = volume(crystal)
    volumes = [base * (1 + s) for s in STRAINS]
    cells = []
    for strain in STRAINS:
        factor = (1 + strain) ** (1 / 3)
        rows = tuple((x * factor, y * factor, z * factor) for x, y, z in crystal.lattice)
        cells.append(crystal.model_copy(update={"lattice": rows}))
    energies = [e * len(crystal) for e in potential.energies(cells)]
    try:
        fit = EOS("birch_murnaghan").fit(volumes, energies)
    except (EOSError, RuntimeError, TypeError):  # no convergence of the fit, or no minimum to start from
        return None
    modulus = float(fit.b0) * GPA_PER_EV_A3
    inside = volumes[0] < float(fit.v0) < volumes[-1]
    return modulus if inside and 0.0 < modulus < 1000.0 else None
