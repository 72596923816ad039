"""Codes that are started as a program: one self-consistent run a folder, and what all of them do with such runs.

A concrete evaluator writes the input, starts its program and reads the output; relaxation, magnetic orders, energy
curves, labels and what is kept beside a failure are here. GPAW, which is a library, is not.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from ..core.structure import from_ase, to_ase
from ..core.types import Crystal, EvaluationRequest, FailureKind
from .base import CalculationFailed, Outcome, ProcessEvaluator
from .dft_settings import DftSettings
from .elastic import EquationOfState, birch_murnaghan, relax_cell, scan_volumes
from .electrons import ACCURACIES, ENERGIES, EXTRAS, Accuracy, cell_values, check_geometry, force_and_stress, idealise
from .hubbard import hubbard_values
from .labelling import Labels
from .magnetism import MagneticOrder, lowest_order, magnetic_orders
from .process import die_with_parent
from .size import Size, repeats, size_of
from .spectrum import read_spectrum

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator


class ProgramSettings(DftSettings):
    """Settings of every evaluator that starts a program."""

    command: tuple[str, ...] = ()
    """Program and arguments, e.g. `["mpirun", "-n", "4", "pw.x"]`; no shell reads it."""


P = TypeVar("P", bound=ProgramSettings)


class ProgramEvaluator(ProcessEvaluator[P]):
    """Energies, gaps and bulk moduli by a program."""

    fidelity = "dft"
    properties = frozenset(
        {"formation_energy", "energy_above_hull", "density", "volume_per_atom", "bulk_modulus", "band_gap"}
    )
    climbs = True
    extras = EXTRAS
    files: ClassVar[dict[str, str]]
    """Artefacts of a run: what a file is to its name in the run's folder."""

    def __init__(self, root: Path, settings: P | None = None) -> None:
        super().__init__(root, settings)
        if self.settings.hubbard != "none":
            self.properties = self.properties - ENERGIES

    # --- supplied by the concrete evaluator ----------------------------------------------------

    @property
    @abstractmethod
    def cutoff_ev(self) -> float:
        """Of the plane waves for the wave functions."""

    @abstractmethod
    def write_input(self, atoms: Atoms, crystal: Crystal, request: EvaluationRequest, folder: Path) -> None:
        """Write what the program reads, with what the ladder has changed.

        Args:
            atoms: with the moments to start from.
            crystal: the same crystal at the volume that the k-mesh belongs to.
            request: what is asked for.
            folder: the run's own.

        Raises:
            CalculationFailed: without pseudopotentials.
        """

    @abstractmethod
    def start(self, folder: Path) -> int:
        """Run the program to its end; its exit status, negative for a signal."""

    @abstractmethod
    def read(self, folder: Path, atoms: Atoms, code: int) -> Atoms:
        """The atoms in their order with energy, forces, stress and levels.

        Raises:
            CalculationFailed: for a run that is no result.
        """

    # --- what all have in common ----------------------------------------------------------------

    @property
    def accuracy(self) -> Accuracy:
        """The protocol, with what the settings put in its place."""
        found, spacing = ACCURACIES[self.settings.protocol], self.settings.kspacing
        return found if spacing is None else found.model_copy(update={"kspacing": spacing})

    @property
    def orders_at_most(self) -> int:
        """Magnetic orders that are tried."""
        return 1 if self.settings.protocol == "fast" else self.settings.magnetic_orders

    @property
    def geometry_words(self) -> str:
        """For the method."""
        return "relaxed" if self.settings.relax else "single point at the geometry given"

    def choices(self, request: EvaluationRequest) -> dict[str, Any]:
        """Parameters that count only where they are chosen: a campaign that began before there were any goes on."""
        settings, found = self.settings, dict[str, Any]()
        values = hubbard_values(request.crystal, settings.hubbard)
        if values:
            found["hubbard"] = {element: list(value) for element, value in values.items()}
        if settings.relax:
            found["relax"] = settings.model_dump(include={"fmax", "max_steps"})
        if self.orders_at_most > 1:
            found["magnetic_orders"] = self.orders_at_most
        return found

    def work(self, request: EvaluationRequest) -> float:
        """Size of all single points of a request (see `size.py`)."""
        sizes = [self._size(order).work for order in self.orders(request)]
        return sum(sizes) + max(sizes) * (repeats(request.properties, self.settings.relax) - 1)

    def size(self, request: EvaluationRequest) -> Size:
        """Of one single point of the crystal as it is calculated, in its first magnetic order."""
        return self._size(self.orders(request)[0])

    def _size(self, order: MagneticOrder) -> Size:
        spins = 2 if any(order.moments) else 1
        return size_of(order.crystal, self.cutoff_ev, self.accuracy.kspacing, spins)

    def orders(self, request: EvaluationRequest) -> tuple[MagneticOrder, ...]:
        """The crystal as it is calculated, in each magnetic order that is tried."""
        at_most = 1 if request.purpose == "label" else self.orders_at_most
        return magnetic_orders(idealise(request.crystal, self.settings.symprec), request.properties, at_most)

    def deck(self, request: EvaluationRequest) -> str:
        """The input of the first single point. Raises CalculationFailed without pseudopotentials."""
        order = self.orders(request)[0]
        with tempfile.TemporaryDirectory() as folder:
            self.write_input(_atoms(order), order.crystal, request, Path(folder))
            return self.shown(Path(folder)).replace(folder, ".")

    def shown(self, folder: Path) -> str:
        """The written input, for people."""
        return (folder / self.files["input"]).read_text()

    def calculate(self, request: EvaluationRequest, scratch: Path) -> Outcome:
        """Single point (or relaxation) of each magnetic order, then what was asked for of the lowest one."""
        check_geometry(request.crystal)
        folder = scratch / f"try-{len(self.ladder.steps)}" if self.ladder.steps else scratch
        folder.mkdir(exist_ok=True)
        orders = self.orders(request)
        where = [folder if number == 0 else folder / f"order-{number}" for number in range(len(orders))]

        def single_point(number: int, order: MagneticOrder) -> Atoms:
            return self.run(_atoms(order), order.crystal, request, where[number])

        labels = Labels(request.candidate_id)
        if self.settings.relax and request.purpose != "label" and len(orders) == 1:
            found = lowest_order(orders, lambda _, order: _atoms(order), self.ladder.offers, scratch)
        else:
            found = lowest_order(orders, single_point, self.ladder.offers, scratch)
        order, atoms, place = found.order, found.atoms, where[orders.index(found.order)]
        crystal = order.crystal
        relaxing = self.settings.relax and request.purpose != "label"
        artefacts = dict(found.artefacts)
        if relaxing:
            place = folder / "relaxed"
            atoms = self._relaxed(order, request, folder, scratch, labels)
            crystal = from_ase(atoms)
            artefacts["relaxation"] = "relax.log"
        values = found.values | cell_values(crystal, float(atoms.get_potential_energy()))
        values |= force_and_stress(atoms.get_forces(), atoms.get_stress())
        labels.see(atoms)
        more, files, failure = read_spectrum(atoms, request.properties, scratch)
        values |= more
        kind: FailureKind = "output" if failure else ""
        if found.failure:
            failure, kind = found.failure, found.kind
        if "bulk_modulus" in request.properties:
            try:
                values |= self._equation_of_state(order, crystal, request, folder).values(len(crystal))
            except CalculationFailed as error:
                if self.ladder.offers(error.kind):
                    raise  # all points anew, with the same numerics
                failure, kind = str(error), error.kind  # the energy was paid for and is kept beside the reason
        kept = {what: str(place.relative_to(scratch) / name) for what, name in self.files.items()}
        artefacts |= files | labels.keep(scratch) | kept
        return Outcome(
            values=values, crystal=crystal if relaxing else None, artefacts=artefacts, failure=failure, kind=kind
        )

    def run(self, atoms: Atoms, crystal: Crystal, request: EvaluationRequest, folder: Path) -> Atoms:
        """One self-consistent run in `folder`; the atoms come back with their results."""
        folder.mkdir(exist_ok=True)
        for name in self.files.values():
            (folder / name).unlink(missing_ok=True)  # an output of an earlier run must not be taken for this one's
        self.write_input(atoms, crystal, request, folder)
        code = self.start(folder)
        return self.read(folder, atoms, code)

    def _relaxed(
        self, order: MagneticOrder, request: EvaluationRequest, folder: Path, scratch: Path, labels: Labels
    ) -> Atoms:
        """Relaxed, and calculated once more with the plane waves and k-points of the cell at the end."""
        atoms = _atoms(order)
        atoms.calc = _on_demand(lambda now: self.run(now, order.crystal, request, folder / "relax"))
        log = str(scratch / "relax.log")
        relax_cell(atoms, self.settings.fmax, self.settings.max_steps, log, self.checkpoint, labels.see)
        last = _atoms(order)
        last.set_cell(atoms.cell)
        last.positions[:] = atoms.positions
        return self.run(last, from_ase(last), request, folder / "relaxed")

    def _equation_of_state(
        self, order: MagneticOrder, crystal: Crystal, request: EvaluationRequest, folder: Path
    ) -> EquationOfState:
        """With fractional positions held; the k-mesh is that of the unscaled cell."""
        atoms = _atoms(order.model_copy(update={"crystal": crystal}))
        energies_only = request.model_copy(update={"properties": ("bulk_modulus",)})

        def energy_at(ratio: float) -> float:
            scaled = atoms.copy()
            scaled.set_cell(np.asarray(atoms.cell) * ratio ** (1 / 3), scale_atoms=True)
            where = folder / f"volume-{ratio:.2f}"
            return float(self.run(scaled, crystal, energies_only, where).get_potential_energy())

        ratios, energies = scan_volumes(energy_at)
        return birch_murnaghan(ratios * atoms.get_volume(), energies)


def run_program(command: Iterable[str], folder: Path, output: str) -> int:
    """Run a program in a folder to its end, what it prints in a file there; its exit status, negative for a signal.

    It ends with the process that started it.

    Raises:
        CalculationFailed: when it cannot be started.
    """
    words = list(command)
    with (folder / output).open("wb") as printed:
        try:
            return subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                cwd=folder,
                preexec_fn=die_with_parent,
                check=False,
            ).returncode
        except OSError as error:
            raise CalculationFailed(f"{words[0]} cannot be started: {error.strerror or error}", "crash") from error


def ask_version(command: tuple[str, ...], arguments: tuple[str, ...], pattern: str) -> str:
    """What a program prints of its version when it is given nothing to do, or `missing`."""
    if not command or shutil.which(command[0]) is None:
        return "missing"
    try:
        with tempfile.TemporaryDirectory() as folder:  # some leave files where they run
            answer = subprocess.run(
                [*command, *arguments], input="", capture_output=True, text=True, timeout=30, check=False, cwd=folder
            )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return "missing"
    match = re.search(pattern, answer.stdout)
    return match[1] if match else "missing"


def _atoms(order: MagneticOrder) -> Atoms:
    atoms = to_ase(order.crystal)
    if any(order.moments):
        atoms.set_initial_magnetic_moments(order.moments)
    return atoms


def _on_demand(run: Any) -> Calculator:
    """A calculator of ASE that makes one run for each geometry."""
    from ase.calculators.calculator import Calculator, all_changes

    class OnDemand(Calculator):
        implemented_properties = ["energy", "forces", "stress"]

        def calculate(
            self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = all_changes
        ) -> None:
            super().calculate(atoms, properties, system_changes)
            found = run(self.atoms).calc
            self.results = {name: found.results[name] for name in self.implemented_properties}

    return OnDemand()
