"""One crystal on its way down: ASE atoms, cell filter, optimiser, the last sane state, and the ends with their reasons.

No model and no batch: `batched.py` asks the model for many walkers at once.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np

from ..core.structure import from_ase, to_ase
from ..core.types import Crystal, Failure, Relaxation
from ..core.units import GPA_PER_EV_A3
from .models import ModelOutput
from .sanity import cell_problem, distance_problem, energy_problem
from .settings import RelaxationSettings
from .symmetry import KeptSymmetry

BFGS_CURVATURE = 40.0
"""eV/Å²; first guess of the Hessian's diagonal. ASE's 70 is for stiff molecules."""

BFGS_MAX_STEP = 0.1
"""Å; half of ASE's, since the cell moves with the atoms: fewer runaway cells among random crystals."""


class Walker:
    """One crystal under way. `check_geometry`, then `advance` with the model's answer, until it has `ended`."""

    def __init__(self, identity: str, crystal: Crystal, settings: RelaxationSettings) -> None:
        self.identity = identity
        self.settings = settings
        self.atoms = to_ase(crystal)
        if settings.rattle:
            noise = np.random.default_rng(0).normal(0.0, settings.rattle, self.atoms.positions.shape)
            self.atoms.positions += noise - noise.mean(axis=0)
        self.first_volume = abs(float(self.atoms.get_volume()))
        self.energy = 0.0
        self.fmax = 0.0
        self.stress_max_gpa = 0.0
        self.steps = 0
        self.reason = ""
        self.converged = False
        self.started = 0.0
        self.wall_s = 0.0
        self._start = crystal
        self._sane: tuple[np.ndarray, np.ndarray] | None = None
        self._path: list[Crystal] = []
        self._symmetry: KeptSymmetry | None = None
        self._movable: Any = None
        self._optimizer: Any = None
        self._quasi_newton = False

    @property
    def ended(self) -> bool:
        """Whether it has converged or failed."""
        return self.converged or bool(self.reason)

    def check_geometry(self) -> None:
        """End with a reason when the cell is not worth (or not safe for) a model call."""
        first = not self.started
        if first:
            self.started = time.perf_counter()
        if problem := cell_problem(self.atoms, self.first_volume, self.settings):
            return self._end(problem)
        if first and self.settings.keep_symmetry:
            found = KeptSymmetry.impose(self.atoms, self.settings.symprec)
            if isinstance(found, str):
                return self._end(found)
            self._symmetry = found
        return None

    def advance(self, output: ModelOutput | str) -> None:
        """Take the model's answer: end, or move one step."""
        problem = output if isinstance(output, str) else self._problem(output)
        if problem or isinstance(output, str):
            return self._end(problem)
        generalised = self._feed(output)
        if self.settings.path_every and self.steps % self.settings.path_every == 0:
            self._path.append(self._last_sane())
        if generalised < self.settings.fmax:
            return self._arrive()
        if self.steps >= self.settings.max_steps:
            return self._end(f"not converged in {self.steps} steps: largest force {generalised:.3f} eV/Å")
        self._choose_optimizer(generalised)
        self._step()
        self.steps += 1
        return None

    def result(self, potential: str) -> Relaxation:
        """The end of it."""
        return Relaxation(
            candidate_id=self.identity,
            crystal=self._last_sane(),
            energy_per_atom=self.energy / len(self.atoms),
            fmax=self.fmax,
            stress_max_gpa=self.stress_max_gpa,
            steps=self.steps,
            converged=self.converged,
            potential=potential,
            failure=Failure(stage="relax", reason=self.reason) if self.reason else None,
            wall_s=self.wall_s,
            path=tuple(self._path),
        )

    def _last_sane(self) -> Crystal:
        if self._sane is None:
            return self._start
        atoms = to_ase(self._start)
        cell, atoms.positions = self._sane
        atoms.set_cell(cell)
        return from_ase(atoms)

    def _problem(self, output: ModelOutput) -> str:
        limits = self.settings
        per_atom = output.energy / len(self.atoms)
        largest = float(np.linalg.norm(output.forces, axis=1).max())
        if not np.isfinite([per_atom, largest, *output.stress.ravel()]).all():
            return "the model's energy, forces or stress are not finite"
        if problem := distance_problem(output.min_distance, limits) or energy_problem(per_atom, limits):
            return problem
        if largest > limits.max_force:
            return f"force of {largest:.3g} eV/Å: diverges"
        return ""

    def _feed(self, output: ModelOutput) -> float:
        """Hand the answer to ASE and remember it; the largest force that is left to follow, of an atom or a row of
        the virial over N, eV/Å. Where symmetry is kept, ASE's constraint projects forces and stress onto it."""
        from ase.calculators.singlepoint import SinglePointCalculator

        voigt = output.stress.ravel()[[0, 4, 8, 5, 2, 1]]
        self.atoms.calc = SinglePointCalculator(self.atoms, energy=output.energy, forces=output.forces, stress=voigt)
        stress = self.atoms.get_stress(voigt=False)
        self.energy = output.energy
        self.fmax = float(np.linalg.norm(self.atoms.get_forces(), axis=1).max())
        self.stress_max_gpa = float(np.abs(stress).max()) * GPA_PER_EV_A3
        self._sane = (np.array(self.atoms.cell), self.atoms.positions.copy())
        if self._movable is None:
            self._movable = self._with_cell(float(len(self.atoms)))
        return max(self.fmax, self._cell_force(stress))

    def _cell_force(self, stress: np.ndarray) -> float:
        """eV/Å; the largest row of what of the virial over N may act on the cell."""
        if self.settings.cell == "fixed":
            return 0.0
        acting = stress + self.settings.pressure_gpa / GPA_PER_EV_A3 * np.eye(3)
        if self.settings.cell == "fixed_volume":
            acting = acting - np.trace(acting) / 3 * np.eye(3)
        virial = abs(float(self.atoms.get_volume())) * acting / len(self.atoms)
        return float(np.linalg.norm(virial, axis=1).max())

    def _with_cell(self, cell_factor: float) -> Any:
        """What the optimiser moves: the atoms, and with them what of the cell may change."""
        from ase.filters import FrechetCellFilter, UnitCellFilter

        if self.settings.cell == "fixed":
            return self.atoms
        if self.settings.cell == "fixed_volume":
            # Its coordinate is the logarithm of the deformation: without a trace the volume stays exactly. That of the
            # other filter stays only to first order.
            return FrechetCellFilter(self.atoms, exp_cell_factor=cell_factor, constant_volume=True)
        # Else not FrechetCellFilter: its matrix logarithms cost a fifth of the time and end no lower.
        pressure = self.settings.pressure_gpa / GPA_PER_EV_A3
        return UnitCellFilter(self.atoms, cell_factor=cell_factor, scalar_pressure=pressure)

    def _choose_optimizer(self, generalised: float) -> None:
        """FIRE (Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006)) far from a minimum, where curvature misleads;
        then BFGS, which ends in fewer steps.

        With a cell coordinate of N times the strain (ASE's default) the curvature along it is V C / N², soft by a
        factor N beside that of an atom. FIRE keeps that: large strains of a random crystal end in worse minima. BFGS
        gets the root of N, hence V C / N, some 15 eV/Å² whatever the size, and needs half as many steps.
        """
        from ase.optimize import FIRE

        if self._optimizer is None:
            self._optimizer = FIRE(self._movable, logfile=None)
        near = generalised < self.settings.quasi_newton_below or self.steps >= self.settings.fire_steps
        if near and not self._quasi_newton:
            self._quasi_newton = True
            self._movable = self._with_cell(float(np.sqrt(len(self.atoms))))
            self._optimizer = self._fresh_bfgs()

    def _step(self) -> None:
        with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
            # A step of FIRE may strain a cell of one atom by a fifth; forces and stress are projected besides.
            warnings.filterwarnings("ignore", message="FixSymmetry adjust_cell may be ill behaved")
            try:
                self._optimizer.step()
            except np.linalg.LinAlgError:
                # Forces that did not change over a step leave ASE's Hessian without a finite value: forget it.
                self._optimizer = self._fresh_bfgs()
                self._optimizer.step()

    def _fresh_bfgs(self) -> Any:
        from ase.optimize import BFGS

        return BFGS(self._movable, logfile=None, alpha=BFGS_CURVATURE, maxstep=BFGS_MAX_STEP)

    def _arrive(self) -> None:
        if self._symmetry is not None and (lost := self._symmetry.lost(self.atoms)):
            return self._end(lost)
        self.converged = True
        self.wall_s = time.perf_counter() - self.started
        return None

    def _end(self, reason: str) -> None:
        self.reason = reason
        self.wall_s = time.perf_counter() - self.started if self.started else 0.0
