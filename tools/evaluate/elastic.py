"""Cell relaxation and the bulk modulus, for any source of energies.

Nothing here knows which code gives the energies: a calculator of ASE or a plain function is handed in.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from ..core.types import Frozen, Quantity, Vector
from ..core.units import GPA_PER_EV_A3
from .base import CalculationFailed
from .process import read_limited, write_durably

if TYPE_CHECKING:
    from ase import Atoms

VOLUME_STEP = 0.02
"""Between neighbouring volumes of an energy curve, as a part of the volume it starts from."""

CHECKPOINT_STEPS = 5
"""Steps of a relaxation between two checkpoints."""

WAY = "relaxation.json"
N_VOLUMES = 7
_MAX_EXTRA_VOLUMES = 8

DERIVATIVES = (1.0, 10.0)
"""Of the bulk modulus by pressure: those of solids lie between 2 and 8, and a fit beyond these is of noise, or of a
curve with a kink in it (a moment that collapses, another phase)."""
MAX_RESIDUAL = 0.05
"""Root mean square distance of the energies from the fit, as a part of their range; more is no equation of state."""


def relax_cell(
    atoms: Atoms,
    fmax: float,
    max_steps: int,
    log: str | None = None,
    checkpoint: Path | None = None,
    seen: Callable[[Atoms], None] | None = None,
) -> int:
    """Relax positions and cell in place (L-BFGS on the Frechet cell of ASE).

    Args:
        atoms: with a calculator that gives forces and stress.
        fmax: eV/Å; largest force, and largest derivative with respect to the cell.
        max_steps: more are not made.
        log: file for the optimiser's table.
        checkpoint: folder in which the way so far is kept every few steps, and from which a later attempt goes on.
        seen: told of the atoms at each step.

    Returns:
        The number of steps made.

    Raises:
        CalculationFailed: when it does not converge, or the cell leaves what a solid can be.
    """
    from ase.filters import FrechetCellFilter
    from ase.optimize import LBFGS

    first = atoms.get_volume()
    done = 0 if checkpoint is None else _go_on(atoms, checkpoint / WAY)
    optimiser = LBFGS(FrechetCellFilter(atoms), logfile=log, maxstep=0.1)  # type: ignore[arg-type]
    converged = False
    for state in optimiser.irun(fmax=fmax, steps=max(1, max_steps - done)):
        converged = bool(state)
        if seen is not None:
            seen(atoms)
        ratio = atoms.get_volume() / first
        if not 0.3 < ratio < 3.0:
            words = f"the cell changed its volume by a factor of {ratio:.2f} and was given up"
            raise CalculationFailed(words, "relaxation")
        if checkpoint is not None and optimiser.nsteps % CHECKPOINT_STEPS == CHECKPOINT_STEPS - 1:
            _keep(atoms, done + int(optimiser.nsteps), checkpoint)
    if not converged:
        raise CalculationFailed(f"relaxation not converged to {fmax:g} eV/Å in {max_steps} steps", "relaxation")
    return done + int(optimiser.nsteps)


class _Way(Frozen):
    """A relaxation under way. Å."""

    steps: int
    species: tuple[str, ...]
    cell: tuple[Vector, Vector, Vector]
    positions: tuple[Vector, ...]


def _keep(atoms: Atoms, steps: int, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    way = _Way(
        steps=steps,
        species=tuple(atoms.get_chemical_symbols()),
        cell=np.asarray(atoms.cell).tolist(),
        positions=atoms.positions.tolist(),
    )
    write_durably(folder / WAY, way.model_dump_json())


def _go_on(atoms: Atoms, path: Path) -> int:
    """Put atoms where an earlier attempt had brought them; the steps made so far, 0 without a usable file."""
    try:
        way = _Way.model_validate_json(read_limited(path, 1_000_000) or "")
    except ValidationError:  # none yet, or damaged: the way is made again from its start
        return 0
    if way.species != tuple(atoms.get_chemical_symbols()):
        return 0
    atoms.set_cell(np.array(way.cell))
    atoms.positions[:] = np.array(way.positions)
    return way.steps


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
        raise CalculationFailed("bulk modulus: no energy minimum near the given volume", "output")
    order = sorted(sorted(energies, key=lambda i: (abs(i - lowest), i))[:N_VOLUMES])
    return np.array([1 + i * step for i in order]), np.array([energies[i] for i in order])


class EquationOfState(Frozen):
    """A fitted energy curve; `_std` is one standard deviation of the fit."""

    volume: float
    """Of the cell at the minimum, Å³."""
    volume_std: float
    bulk_modulus: float
    """GPa."""
    bulk_modulus_std: float
    derivative: float
    """Of the bulk modulus with respect to pressure, dimensionless."""
    derivative_std: float
    residual: float
    """Root mean square distance of the energies from the fit, eV."""

    def values(self, n_atoms: int) -> dict[str, Quantity]:
        """As values of an observation, the volume per atom."""
        return {
            "bulk_modulus": Quantity(value=self.bulk_modulus, unit="GPa", std=self.bulk_modulus_std),
            "bulk_modulus_derivative": Quantity(value=self.derivative, unit="dimensionless", std=self.derivative_std),
            "equilibrium_volume_per_atom": Quantity(
                value=self.volume / n_atoms, unit="angstrom^3/atom", std=self.volume_std / n_atoms
            ),
            "eos_residual": Quantity(value=self.residual / n_atoms, unit="eV/atom"),
        }


def birch_murnaghan(volumes: np.ndarray, energies: np.ndarray) -> EquationOfState:
    """Least-squares fit of the third-order Birch-Murnaghan equation of state.

    In x = V^(-2/3) the equation is a cubic polynomial (F. Birch, Phys. Rev. 71, 809 (1947)), so the fit is
    linear. With the derivatives E2 and E3 of the energy by x at the minimum x0, since dx/dV = -(2/3) V^(-5/3):

        B0 = V0 d²E/dV² = (4/9) x0^(7/2) E2
        B0' = 4 + (2/3) x0 E3 / E2, which is 4 where the cubic term vanishes

    Standard deviations follow the covariance of the coefficients by the derivatives of these at the fit.

    Args:
        volumes: n cell volumes in Å³, n >= 5.
        energies: n energies of the cell in eV.

    Raises:
        CalculationFailed: when the curve has no minimum inside the sampled volumes, the energies lie off the fit, or
            its derivative of the bulk modulus is no solid's: no number comes of such a curve.
    """
    if not np.isfinite(energies).all():
        raise CalculationFailed("bulk modulus: an energy of the curve is not a finite number", "output")
    x = volumes ** (-2 / 3)
    # The polynomial is fitted in u = (x - centre) / width, for conditioning.
    centre, width = float(x.mean()), float(x.max() - x.min()) / 2
    design = np.polynomial.polynomial.polyvander((x - centre) / width, 3)
    relative = energies - float(energies.mean())  # a large zero of energy would eat the digits of the curvature
    coefficients = np.linalg.lstsq(design, relative, rcond=None)[0]
    found = _minimum(coefficients, centre, width)
    misfit = design @ coefficients - relative
    _check_fit(found[2], float(np.sqrt(np.mean(misfit**2))), float(np.ptp(energies)))
    variance = float(misfit @ misfit) / max(1, len(volumes) - 4)
    covariance = variance * np.linalg.inv(design.T @ design)
    step = 1e-6 * float(np.abs(coefficients[1:]).max())
    jacobian = np.column_stack(
        [
            (_minimum(coefficients + change, centre, width) - _minimum(coefficients - change, centre, width))
            / (2 * step)
            for change in step * np.eye(4)
        ]
    )
    std = np.sqrt(np.maximum(np.diag(jacobian @ covariance @ jacobian.T), 0.0))
    return EquationOfState(
        volume=found[0],
        volume_std=std[0],
        bulk_modulus=found[1] * GPA_PER_EV_A3,
        bulk_modulus_std=std[1] * GPA_PER_EV_A3,
        derivative=found[2],
        derivative_std=std[2],
        residual=float(np.sqrt(np.mean(misfit**2))),
    )


def _check_fit(derivative: float, residual: float, spread: float) -> None:
    """Refuse a fit that is none; energies in eV."""
    if residual > MAX_RESIDUAL * spread:
        words = (
            f"bulk modulus: the energies lie {1000 * residual:.2g} meV off the equation of state, of a range of "
            f"{1000 * spread:.2g} meV (at most {MAX_RESIDUAL:.0%} is expected)"
        )
        raise CalculationFailed(words, "output")
    low, high = DERIVATIVES
    if not low <= derivative <= high:
        words = f"bulk modulus: its derivative by pressure is {derivative:.1f}; solids lie between {low:g} and {high:g}"
        raise CalculationFailed(words, "output")


def _minimum(coefficients: np.ndarray, centre: float, width: float) -> np.ndarray:
    """Volume (Å³), bulk modulus (eV/Å³) and its derivative at the minimum of a cubic in u."""
    cubic = np.polynomial.Polynomial(coefficients)
    slope, curvature, third = cubic.deriv(1), cubic.deriv(2), cubic.deriv(3)
    roots = [complex(r) for r in slope.roots()]
    minima = [r.real for r in roots if abs(r.imag) < 1e-9 and abs(r) <= 1.0 and curvature(r.real) > 0]
    if not minima:
        raise CalculationFailed("bulk modulus: the energy curve has no minimum inside the sampled volumes", "output")
    lowest = minima[0]
    for _ in range(3):
        # Where the cubic term vanishes (B' = 4) the root finder divides by nearly nothing; Newton steps mend it.
        lowest -= float(slope(lowest) / curvature(lowest))
    x0 = centre + width * lowest
    second = float(curvature(lowest)) / width**2
    derivative = 4 + 2 / 3 * x0 * float(third(lowest)) / width**3 / second
    return np.array([x0**-1.5, 4 / 9 * x0**3.5 * second, derivative])
