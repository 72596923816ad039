"""How a relaxation is done, when it ends, and what is no crystal any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..core.errors import ToolError

Cell = Literal["free", "fixed_volume", "fixed"]
"""What of a cell may change: all of it, its shape alone, or nothing."""

Method = Literal["gradient", "bowsr"]
"""How a crystal comes down: along forces and stress, or by a search of its free parameters, by energies alone."""

MAX_PRESSURE_GPA = 1000.0
"""Either way; beyond it no universal potential was ever trained."""


@dataclass(frozen=True)
class RelaxationSettings:
    """Bounds, cell and symmetry of a relaxation."""

    fmax: float = 0.05
    """eV/Å; bounds the force on each atom, and each row of the virial over the number of atoms (as ASE's cell
    filters do; for 15 Å³/atom it bounds the stress at 0.5 GPa)."""
    max_steps: int = 200
    """Model evaluations after the first one."""
    batch_size: int = 16
    """Crystals in one model call."""
    max_batch_atoms: int = 256
    """Atoms in one model call, which is what its memory grows with: in rocksalt by 4.5 MB an atom for CHGNet, 7 for
    SevenNet-0, 16 for SevenNet-l3i5. A larger crystal is alone in its call. On a CPU more gains nothing."""
    cell: Cell = "free"
    """See `Cell`."""
    pressure_gpa: float = 0.0
    """Hydrostatic pressure from outside; at the end the crystal's own pressure is as large. The energy of the result
    stays the crystal's, without pV."""
    keep_symmetry: bool = False
    """Whether the space group and the Wyckoff positions of the start are imposed and, at the end, checked."""
    symprec: float = 0.01
    """Å; tolerance at which the symmetry of the start is found, made exact, and checked at the end."""
    rattle: float = 0.0
    """Å; standard deviation of a first random displacement, always the same for the same crystal. Without it a
    symmetric start keeps its symmetry and may end on a saddle, where forces vanish too; 0.03 took about half of all
    random crystals lower, for 1.4 times the steps and a symmetry that only shows at a looser tolerance."""
    quasi_newton_below: float = 1.0
    """eV/Å; FIRE hands over to BFGS when the largest force falls below it."""
    fire_steps: int = 30
    """FIRE hands over to BFGS after so many steps whatever the forces."""
    path_every: int = 0
    """Steps between configurations that the result keeps of its way; 0: it keeps none."""
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
        positive = ("fmax", "max_steps", "batch_size", "max_batch_atoms", "fire_steps", "min_distance", "max_force")
        for name in (*positive, "symprec"):
            if not getattr(self, name) > 0:
                raise ToolError(f"Relaxation setting {name} is {getattr(self, name)}.", "Give a positive number.")
        if self.path_every < 0:
            raise ToolError(f"path_every is {self.path_every}.", "Give a number of steps, or 0.")
        if not 0.0 <= self.rattle <= 0.5:
            raise ToolError(f"rattle is {self.rattle} Å.", "Give 0 to 0.5.")
        if self.max_volume_change <= 1.0:
            raise ToolError(f"max_volume_change is {self.max_volume_change}.", "Give a factor above 1.")
        if self.cell not in ("free", "fixed_volume", "fixed"):
            raise ToolError(f"cell is '{self.cell}'.", "Give free, fixed_volume or fixed.")
        if not abs(self.pressure_gpa) <= MAX_PRESSURE_GPA:
            raise ToolError(
                f"pressure_gpa is {self.pressure_gpa}.", f"Give {-MAX_PRESSURE_GPA:g} to {MAX_PRESSURE_GPA:g} GPa."
            )
        if self.pressure_gpa and self.cell != "free":
            raise ToolError(
                f"A pressure of {self.pressure_gpa:g} GPa has no effect on a cell of cell='{self.cell}'.",
                "Give a pressure, or hold the volume.",
            )
        if self.keep_symmetry and self.rattle:
            raise ToolError("rattle breaks the symmetry that keep_symmetry keeps.", "Set one of them.")
