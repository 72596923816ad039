"""What all properties share: results with validity checks, the meter of cost, and relaxation.

What is not here: any source of energies. A calculator of ASE is handed in, and stays the caller's. Each property is
one function of one module beside this one, `property(crystal, calculator, ...) -> PropertyResult`.

An expected failure of one crystal (it does not relax, it is too large, the calculator cannot give what is needed) is
data: a result without quantities and with a `Failure`. An argument that makes no sense is a ToolError.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
from pydantic import Field

from ..core.errors import ToolError
from ..core.structure import to_ase
from ..core.types import Crystal, Frozen, Quantity

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator
    from pymatgen.core import Structure

MAX_COST = 60_000
"""Atoms times force evaluations that one property may take: minutes with a graph network on two cores."""

FMAX = 0.005
"""eV/Å; crystals are relaxed to this largest force (and largest derivative by the cell). Second derivatives need it."""

MAX_STEPS = 300
"""Steps of one relaxation."""

SYMPREC = 1e-3
"""Å; a relaxed crystal's symmetry is found at this tolerance, and held."""

FailureKind = Literal["too_expensive", "not_relaxed", "unphysical", "unsuitable"]


class Check(Frozen):
    """One thing that must hold for the values to mean what they say."""

    name: str
    passed: bool
    words: str


class PropertyFailure(Frozen):
    """Why there are no values."""

    kind: FailureKind
    reason: str


class PropertyResult(Frozen):
    """Values with units and uncertainties, the checks of their validity, and what they cost.

    The `std` of a quantity says how far it moves with the settings of the calculation (step, fit, cell); the error
    of the potential itself is not in it.
    """

    name: str
    method: str = ""
    """The procedure in words, with its settings; empty after a failure."""
    crystal: Crystal
    """The crystal that the values belong to: the relaxed one, or the given one after a failure."""
    quantities: dict[str, Quantity] = {}
    checks: tuple[Check, ...] = ()
    failure: PropertyFailure | None = None
    cost: int = Field(default=0, ge=0)
    """Atoms times force evaluations."""
    artefacts: dict[str, str] = {}
    """Kind to name of each file that was written."""

    @property
    def valid(self) -> bool:
        """Whether there are values and every check passed."""
        return self.failure is None and bool(self.quantities) and all(check.passed for check in self.checks)

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong, in words; empty for a valid result."""
        failed = tuple(check.words for check in self.checks if not check.passed)
        return (self.failure.reason, *failed) if self.failure is not None else failed


class PropertyFailed(ToolError):  # noqa: N818 (a state of the calculation, and turned into data at once)
    """Raised inside a property for an expected failure; `attempt` makes a result of it."""

    def __init__(self, kind: FailureKind, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)
        self.kind = kind


class Meter:
    """Counts atoms times force evaluations, and refuses what would pass the limit.

    Args:
        limit: the most that may be spent.
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise ToolError(
                f"A cost limit of {limit} allows nothing.", "Give atoms times force evaluations, e.g. 60000."
            )
        self.limit = limit
        self.spent = 0

    def expect(self, n_atoms: int, n_evaluations: int, what: str) -> None:
        """Refuse before the start what is known to be too much. Raises PropertyFailed."""
        cost = n_atoms * n_evaluations
        if self.spent + cost > self.limit:
            before = f" beside {self.spent} spent" if self.spent else ""
            raise PropertyFailed(
                "too_expensive",
                f"{what} would take {n_evaluations} force evaluations of {n_atoms} atoms, "
                f"{cost} atom evaluations{before}; at most {self.limit} are allowed.",
                "Take a smaller cell or supercell, or raise `max_cost`.",
            )

    def spend(self, n_atoms: int, n_evaluations: int = 1) -> None:
        """Count what was done; the next evaluation after the limit is refused. Raises PropertyFailed."""
        self.expect(n_atoms, n_evaluations, "One step more")
        self.spent += n_atoms * n_evaluations


Result = TypeVar("Result", bound=PropertyResult)


def attempt(kind: type[Result], crystal: Crystal, max_cost: int, calculate: Callable[[Meter], Result]) -> Result:
    """Run `calculate` with a meter; an expected failure becomes a result of the same kind without values."""
    meter = Meter(max_cost)
    try:
        result = calculate(meter)
    except PropertyFailed as failed:
        failure = PropertyFailure(kind=failed.kind, reason=str(failed))
        return kind(crystal=crystal, failure=failure, cost=meter.spent)  # type: ignore[call-arg]
    return result.model_copy(update={"cost": meter.spent})


def relaxed(
    crystal: Crystal, calculator: Calculator, meter: Meter, fmax: float = FMAX, max_steps: int = MAX_STEPS
) -> Atoms:
    """The crystal with cell and positions relaxed, its space group kept (ASE's FixSymmetry), calculator attached.

    Keeping the symmetry keeps a saddle point a saddle point: phonons say whether it is one.

    Raises:
        PropertyFailed: when it does not converge or leaves what a solid can be.
    """
    from ase.constraints import FixSymmetry
    from ase.filters import FrechetCellFilter

    atoms = to_ase(crystal)
    atoms.set_constraint(FixSymmetry(atoms, symprec=SYMPREC))
    atoms.calc = calculator
    first = atoms.get_volume()
    _optimise(FrechetCellFilter(atoms), atoms, meter, fmax, max_steps, "the crystal")
    ratio = atoms.get_volume() / first
    if not 0.4 < ratio < 2.5:
        raise PropertyFailed("not_relaxed", f"The cell changed its volume by a factor of {ratio:.2f}; no such solid.")
    atoms.set_constraint()
    return atoms


def relax_positions(atoms: Atoms, meter: Meter, fmax: float, max_steps: int, what: str) -> float:
    """Relax positions in place in a fixed cell; the energy in eV. Raises PropertyFailed."""
    _optimise(atoms, atoms, meter, fmax, max_steps, what)
    return energy(atoms)


def relax_at_volume(atoms: Atoms, volume: float, meter: Meter, fmax: float = FMAX, max_steps: int = MAX_STEPS) -> Atoms:
    """A copy scaled to `volume` (Å³), shape and positions relaxed at that volume, its symmetry kept."""
    from ase.constraints import FixSymmetry
    from ase.filters import FrechetCellFilter

    scaled = atoms.copy()
    scaled.set_cell(np.asarray(atoms.cell) * (volume / atoms.get_volume()) ** (1 / 3), scale_atoms=True)
    scaled.set_constraint(FixSymmetry(scaled, symprec=SYMPREC))
    scaled.calc = atoms.calc
    what = f"the crystal at {volume / len(atoms):.2f} Å³/atom"
    _optimise(FrechetCellFilter(scaled, constant_volume=True), scaled, meter, fmax, max_steps, what)
    scaled.set_constraint()
    return scaled


def energy(atoms: Atoms) -> float:
    """Potential energy in eV. Raises PropertyFailed when it is not finite."""
    value = float(atoms.get_potential_energy())
    if not math.isfinite(value):
        raise PropertyFailed("unphysical", f"The calculator's energy of {atoms.get_chemical_formula()} is {value}.")
    return value


def conventional(atoms: Atoms) -> Structure:
    """The conventional standard cell (spglib by pymatgen) at `SYMPREC`; supercells of it are as round as can be."""
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    bare = atoms.copy()
    bare.calc = None
    structure = AseAtomsAdaptor.get_structure(bare)
    return SpacegroupAnalyzer(structure, symprec=10 * SYMPREC).get_conventional_standard_structure()


def supercell_size(structure: Structure, min_length: float) -> tuple[int, int, int]:
    """Repeats along the three axes so that periodic images are at least `min_length` Å apart (between planes)."""
    if not 0.0 < min_length <= 50.0:
        raise ToolError(f"A distance of {min_length:g} Å between images is no use.", "Give 5 to 20 Å.")
    spacings = [1.0 / length for length in structure.lattice.reciprocal_lattice_crystallographic.abc]
    first, second, third = (max(1, math.ceil(min_length / spacing - 1e-6)) for spacing in spacings)
    return first, second, third


@contextmanager
def library_warnings_silenced() -> Iterator[None]:
    """Libraries remark on old settings and on what the checks here say anyway; neither helps who reads a result."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _optimise(target: object, atoms: Atoms, meter: Meter, fmax: float, max_steps: int, what: str) -> None:
    from ase.optimize import LBFGS

    if not fmax > 0.0:
        raise ToolError(f"A largest force of {fmax:g} eV/Å is never reached.", f"Give e.g. {FMAX}.")
    optimiser = LBFGS(target, logfile=None, maxstep=0.1)
    converged = False
    with library_warnings_silenced():
        for state in optimiser.irun(fmax=fmax, steps=max_steps):
            meter.spend(len(atoms))
            converged = bool(state)
            if not np.isfinite(atoms.get_forces()).all():
                raise PropertyFailed("unphysical", f"Forces on {what} are not finite numbers.")
    if not converged:
        raise PropertyFailed(
            "not_relaxed",
            f"Relaxation of {what} ({len(atoms)} atoms) did not reach {fmax:g} eV/Å in {max_steps} steps.",
            "Give a structure nearer to its minimum, or a larger `fmax`.",
        )
