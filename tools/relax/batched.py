"""Relaxation of many crystals in lock-step: ASE optimisers and cell filter, one batched model call a step.

What lives here: the settings, the ends of a relaxation with their reasons, the loop. No model: it is passed in
(`BatchModel`), so that another potential is one adapter like `chgnet.py`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..core.errors import ToolError
from ..core.protocols import Progress
from ..core.structure import from_ase, to_ase
from ..core.types import Crystal, Failure, Relaxation
from ..core.units import GPA_PER_EV_A3

if TYPE_CHECKING:
    from ase import Atoms

BFGS_CURVATURE = 40.0
"""eV/Å²; first guess of the Hessian's diagonal. ASE's 70 is for stiff molecules."""

BFGS_MAX_STEP = 0.1
"""Å; half of ASE's, since the cell moves with the atoms: fewer runaway cells among random crystals."""


@dataclass(frozen=True)
class RelaxationSettings:
    """When a relaxation ends, and what is no crystal any more."""

    fmax: float = 0.05
    """eV/Å; bounds the force on each atom, and each row of the virial over the number of atoms (as ASE's cell
    filters do; for 15 Å³/atom it bounds the stress at 0.5 GPa)."""
    max_steps: int = 200
    """Model evaluations after the first one."""
    batch_size: int = 16
    """Crystals in one model call."""
    rattle: float = 0.0
    """Å; standard deviation of a first random displacement, always the same for the same crystal. Without it a
    symmetric start keeps its symmetry and may end on a saddle, where forces vanish too; 0.03 took about half of all
    random crystals lower, for 1.4 times the steps and a symmetry that only shows at a looser tolerance."""
    quasi_newton_below: float = 1.0
    """eV/Å; FIRE hands over to BFGS when the largest force falls below it."""
    fire_steps: int = 30
    """FIRE hands over to BFGS after so many steps whatever the forces."""
    max_volume_change: float = 4.0
    """Factor, either way, between the first and the present cell volume."""
    min_distance: float = 0.5
    """Å; closer atoms have collided (H-H, the shortest bond, is 0.74 Å)."""
    min_volume_per_atom: float = 1.5
    """Å³; no solid is denser near ambient pressure (H: about 2, diamond: 5.7)."""
    max_volume_per_atom: float = 500.0
    """Å³; beyond it the atoms no longer see each other."""
    min_energy_per_atom: float = -20.0
    """eV; below it the model extrapolates (tungsten, the strongest bound metal: -13)."""
    max_energy_per_atom: float = 20.0
    """eV; above it the model extrapolates."""
    max_force: float = 1e3
    """eV/Å; a larger one diverges."""

    def __post_init__(self) -> None:
        for name in ("fmax", "max_steps", "batch_size", "fire_steps", "min_distance", "max_force"):
            if not getattr(self, name) > 0:
                raise ToolError(f"Relaxation setting {name} is {getattr(self, name)}.", "Give a positive number.")
        if not 0.0 <= self.rattle <= 0.5:
            raise ToolError(f"rattle is {self.rattle} Å.", "Give 0 to 0.5.")
        if self.max_volume_change <= 1.0:
            raise ToolError(f"max_volume_change is {self.max_volume_change}.", "Give a factor above 1.")


@dataclass(frozen=True)
class ModelOutput:
    """What a model says of one crystal of `n` atoms."""

    energy: float
    """eV for the cell."""
    forces: np.ndarray
    """`n x 3`, eV/Å."""
    stress: np.ndarray
    """`3 x 3`, eV/Å³, positive under tension (ASE's sign)."""
    min_distance: float
    """Å; shortest distance between two atoms, infinite where no neighbour is within the model's cutoff."""


class BatchModel(Protocol):
    """Energy, forces and stress of several crystals in one call."""

    name: str

    def evaluate(self, atoms: Sequence[Atoms]) -> list[ModelOutput | str]:
        """One output for each crystal, in order; a reason (str) for one that the model cannot take."""
        ...


def relax_batched(
    model: BatchModel,
    crystals: Sequence[tuple[str, Crystal]],
    settings: RelaxationSettings,
    progress: Progress | None = None,
) -> list[Relaxation]:
    """Relax positions and cell of every crystal.

    At most `settings.batch_size` crystals are under way. Each step is one model call for all of them; one that
    ends leaves and the next takes its place, so calls stay full. Crystals are independent but for round-off
    inside the model.

    Args:
        model: evaluates a batch.
        crystals: (id, crystal) pairs.
        settings: thresholds.
        progress: called with (finished, total) after each crystal.

    Returns:
        One result for each crystal, in order. A bad end carries a `Failure` and the last sane geometry.
    """
    walkers = [_Walker(identity, crystal, settings) for identity, crystal in crystals]
    waiting = list(walkers)
    active: list[_Walker] = []
    done = 0
    while waiting or active:
        while waiting and len(active) < settings.batch_size:
            active.append(waiting.pop(0))
        for walker in active:
            walker.check_geometry()
        running = [walker for walker in active if not walker.ended]
        outputs = model.evaluate([walker.atoms for walker in running]) if running else []
        for walker, output in zip(running, outputs, strict=True):
            walker.advance(output)
        for walker in active:
            if walker.ended:
                done += 1
                if progress is not None:
                    progress(done, len(walkers))
        active = [walker for walker in active if not walker.ended]
    return [walker.result(model.name) for walker in walkers]


class _Walker:
    """One crystal on its way down: ASE atoms, cell filter, optimiser, and the last sane state."""

    def __init__(self, identity: str, crystal: Crystal, settings: RelaxationSettings) -> None:
        self.identity = identity
        self.settings = settings
        self.atoms = to_ase(crystal)
        if settings.rattle:
            noise = np.random.default_rng(0).normal(0.0, settings.rattle, self.atoms.positions.shape)
            self.atoms.positions += noise - noise.mean(axis=0)
        self.first_volume = abs(float(self.atoms.get_volume()))
        self.sane = crystal
        self.energy = 0.0
        self.fmax = 0.0
        self.stress_max_gpa = 0.0
        self.steps = 0
        self.reason = ""
        self.converged = False
        self.started = 0.0
        self.wall_s = 0.0
        self._filtered: Any = None
        self._optimizer: Any = None
        self._quasi_newton = False

    @property
    def ended(self) -> bool:
        return self.converged or bool(self.reason)

    def check_geometry(self) -> None:
        """End with a reason when the cell is not worth (or not safe for) a model call."""
        if not self.started:
            self.started = time.perf_counter()
        limits, count = self.settings, len(self.atoms)
        cell = np.asarray(self.atoms.cell)
        if not (np.isfinite(cell).all() and np.isfinite(self.atoms.positions).all()):
            return self._end("positions or cell are no longer finite")
        volume = abs(float(self.atoms.get_volume()))
        if not limits.min_volume_per_atom <= volume / count <= limits.max_volume_per_atom:
            return self._end(
                f"volume of {volume / count:.2f} Å³/atom is outside "
                f"{limits.min_volume_per_atom:g} to {limits.max_volume_per_atom:g}"
            )
        change = volume / self.first_volume
        if not 1.0 / limits.max_volume_change <= change <= limits.max_volume_change:
            return self._end(f"volume changed by a factor of {change:.2f}")
        height = 1.0 / float(np.linalg.norm(np.linalg.inv(cell), axis=0).max())
        if height < limits.min_distance:
            return self._end(f"cell collapsed to a height of {height:.2f} Å")
        return None

    def advance(self, output: ModelOutput | str) -> None:
        """Take the model's answer: end, or move one step."""
        problem = output if isinstance(output, str) else self._problem(output)
        if problem or isinstance(output, str):
            return self._end(problem)
        self._remember(output)
        generalised = self._feed(output)
        if generalised < self.settings.fmax:
            self.converged = True
            self.wall_s = time.perf_counter() - self.started
            return None
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
            crystal=self.sane,
            energy_per_atom=self.energy / len(self.atoms),
            fmax=self.fmax,
            stress_max_gpa=self.stress_max_gpa,
            steps=self.steps,
            converged=self.converged,
            potential=potential,
            failure=Failure(stage="relax", reason=self.reason) if self.reason else None,
            wall_s=self.wall_s,
        )

    def _problem(self, output: ModelOutput) -> str:
        limits = self.settings
        per_atom = output.energy / len(self.atoms)
        largest = float(np.linalg.norm(output.forces, axis=1).max())
        if not np.isfinite([per_atom, largest, *output.stress.ravel()]).all():
            return "the model's energy, forces or stress are not finite"
        if output.min_distance < limits.min_distance:
            return f"atoms collided: {output.min_distance:.2f} Å apart"
        if not limits.min_energy_per_atom <= per_atom <= limits.max_energy_per_atom:
            return (
                f"energy of {per_atom:.1f} eV/atom is outside "
                f"{limits.min_energy_per_atom:g} to {limits.max_energy_per_atom:g}"
            )
        if largest > limits.max_force:
            return f"force of {largest:.3g} eV/Å: diverges"
        return ""

    def _remember(self, output: ModelOutput) -> None:
        self.sane = from_ase(self.atoms)
        self.energy = output.energy
        self.fmax = float(np.linalg.norm(output.forces, axis=1).max())
        self.stress_max_gpa = float(np.abs(output.stress).max()) * GPA_PER_EV_A3

    def _feed(self, output: ModelOutput) -> float:
        """Hand the answer to ASE; the largest force, of an atom or a row of the virial over N, eV/Å."""
        from ase.calculators.singlepoint import SinglePointCalculator

        self.atoms.calc = SinglePointCalculator(
            self.atoms,
            energy=output.energy,
            forces=output.forces,
            stress=output.stress.ravel()[[0, 4, 8, 5, 2, 1]],
        )
        if self._filtered is None:
            self._filter_cell(float(len(self.atoms)))
        virial = abs(float(self.atoms.get_volume())) * output.stress / len(self.atoms)
        return float(max(self.fmax, np.linalg.norm(virial, axis=1).max()))

    def _filter_cell(self, cell_factor: float) -> None:
        # Not FrechetCellFilter: its matrix logarithms cost a fifth of the time and end no lower.
        from ase.filters import UnitCellFilter

        self._filtered = UnitCellFilter(self.atoms, cell_factor=cell_factor)

    def _choose_optimizer(self, generalised: float) -> None:
        """FIRE (Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006)) far from a minimum, where curvature misleads;
        then BFGS, which ends in fewer steps.

        With a cell coordinate of N times the strain (ASE's default) the curvature along it is V C / N², soft by a
        factor N beside that of an atom. FIRE keeps that: large strains of a random crystal end in worse minima. BFGS
        gets the root of N, hence V C / N, some 15 eV/Å² whatever the size, and needs half as many steps.
        """
        from ase.optimize import FIRE

        if self._optimizer is None:
            self._optimizer = FIRE(self._filtered, logfile=None)
        near = generalised < self.settings.quasi_newton_below or self.steps >= self.settings.fire_steps
        if near and not self._quasi_newton:
            self._quasi_newton = True
            self._filter_cell(float(np.sqrt(len(self.atoms))))
            self._optimizer = self._fresh_bfgs()

    def _step(self) -> None:
        try:
            with np.errstate(divide="ignore", invalid="ignore"):
                self._optimizer.step()
        except np.linalg.LinAlgError:
            # Forces that did not change over a step leave ASE's Hessian without a finite value: forget it.
            self._optimizer = self._fresh_bfgs()
            self._optimizer.step()

    def _fresh_bfgs(self) -> Any:
        from ase.optimize import BFGS

        return BFGS(self._filtered, logfile=None, alpha=BFGS_CURVATURE, maxstep=BFGS_MAX_STEP)

    def _end(self, reason: str) -> None:
        self.reason = reason
        self.wall_s = time.perf_counter() - self.started if self.started else 0.0
