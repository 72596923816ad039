"""Cell relaxation and the bulk modulus, for any source of energies.

Nothing here knows which code gives the energies: a calculator of ASE or a plain function is handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..core.units import GPA_PER_EV_A3
from .base import CalculationFailed

if TYPE_CHECKING:
    from ase import Atoms

VOLUME_STEP = 0.02
"""Between neighbouring volumes of an energy curve, as a part of the volume it starts from."""

N_VOLUMES = 7
_MAX_EXTRA_VOLUMES = 8


def relax_cell(atoms: Atoms, fmax: float, max_steps: int, log: str | None = None) -> int:
    """Relax positions and cell in place (L-BFGS on the Frechet cell of ASE).

    Args:
        atoms: with a calculator that gives forces and stress.
        fmax: eV/Å; largest force, and largest derivative with respect to the cell.
        max_steps: more are not made.
        log: file for the optimiser's table.

    Returns:
        The number of steps made.

    Raises:
        CalculationFailed: when it does not converge, or the cell leaves what a solid can be.
    """
    from ase.filters import FrechetCellFilter
    from ase.optimize import LBFGS

    first = atoms.get_volume()
    optimiser = LBFGS(FrechetCellFilter(atoms), logfile=log, maxstep=0.1)  # type: ignore[arg-type]
    converged = False
    for state in optimiser.irun(fmax=fmax, steps=max_steps):
        converged = bool(state)
        ratio = atoms.get_volume() / first
        if not 0.3 < ratio < 3.0:
            raise CalculationFailed(f"the cell changed its volume by a factor of {ratio:.2f} and was given up")
    if not converged:
        raise CalculationFailed(f"relaxation not converged to {fmax:g} eV/Å in {max_steps} steps")
    return int(optimiser.nsteps)


def scan_volumes(energy_at: Callable[[float], float], step: float = VOLUME_STEP) -> tuple[np.ndarray, np.ndarray]:
    """Sample energies around the minimum: `N_VOLUMES` volumes, shifted until the lowest is well inside.

    Args:
        energy_at: from a volume ratio (1 is the start) to an energy, called once a ratio.

    Returns:
        Ratios and energies, sorted by ratio.

    Raises:
        CalculationFailed: when the minimum is not found near the start.
    """
    half = N_VOLUMES // 2
    energies = {i: energy_at(1 + i * step) for i in range(-half, half + 1)}
    for _ in range(_MAX_EXTRA_VOLUMES):
        lowest = min(energies, key=lambda i: energies[i])
        if min(energies) + 2 > lowest:
            new = min(energies) - 1
        elif max(energies) - 2 < lowest:
            new = max(energies) + 1
        else:
            break
        energies[new] = energy_at(1 + new * step)
    else:
        raise CalculationFailed("bulk modulus: no energy minimum near the given volume")
    order = sorted(sorted(energies, key=lambda i: (abs(i - lowest), i))[:N_VOLUMES])
    return np.array([1 + i * step for i in order]), np.array([energies[i] for i in order])


def birch_murnaghan(volumes: np.ndarray, energies: np.ndarray) -> tuple[float, float, float]:
    """Least-squares fit of the third-order Birch-Murnaghan equation of state.

    In x = V^(-2/3) the equation is a cubic polynomial (F. Birch, Phys. Rev. 71, 809 (1947)), so the fit is
    linear. At the minimum x0, B0 = V0 E''(V0) = (4/9) x0^(7/2) E''(x0) since dx/dV = -(2/3) V^(-5/3).

    Args:
        volumes: n cell volumes in Å³, n >= 5.
        energies: n energies of the cell in eV.

    Returns:
        Bulk modulus in GPa, equilibrium volume in Å³, and the root mean square residual in eV.

    Raises:
        CalculationFailed: when the curve has no minimum inside the sampled volumes.
    """
    x = volumes ** (-2 / 3)
    centre, width = (
        float(x.mean()),
        float(x.max() - x.min()) / 2,
    )  # the polynomial is fitted in u = (x - centre) / width, for conditioning
    u = (x - centre) / width
    cubic = np.polynomial.Polynomial.fit(u, energies, 3, domain=[-1, 1], window=[-1, 1])
    slope, curvature = cubic.deriv(1), cubic.deriv(2)
    roots = [complex(r) for r in slope.roots()]
    minima = [r.real for r in roots if abs(r.imag) < 1e-9 and abs(r) <= 1.0 and curvature(r.real) > 0]
    if not minima:
        raise CalculationFailed("bulk modulus: the energy curve has no minimum inside the sampled volumes")
    lowest = minima[0]
    for _ in range(3):
        # Where the cubic term vanishes (B' = 4) the root finder divides by nearly nothing; Newton steps mend it.
        lowest -= float(slope(lowest) / curvature(lowest))
    x0 = centre + width * lowest
    modulus = 4 / 9 * x0**3.5 * float(curvature(lowest)) / width**2
    residual = float(np.sqrt(np.mean((cubic(u) - energies) ** 2)))
    return modulus * GPA_PER_EV_A3, x0**-1.5, residual
