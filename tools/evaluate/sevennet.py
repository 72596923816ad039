"""SevenNet-l3i5: a machine-learned potential that stands in for DFT where no DFT code is installed.

It relaxes a crystal to its own minimum and gives energy, volume, density and bulk modulus, never a band gap.
The model (7net-l3i5, MIT licence, weights inside the `sevenn` wheel) was trained on the MPtrj data, so its energies
are those of the Materials Project's PBE and PBE+U. Y. Park, J. Kim, S. Hwang, S. Han, J. Chem. Theory Comput. 20,
4857 (2024).
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import Field

from ..core.structure import from_ase, to_ase
from ..core.types import EvaluationRequest, FailureKind, Quantity
from .base import CalculationFailed, EvaluatorSettings, Outcome, ProcessEvaluator
from .elastic import EquationOfState, birch_murnaghan, relax_cell, scan_volumes
from .electrons import cell_values
from .labelling import Labels

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

_WEIGHTS = "pretrained_potentials/SevenNet_l3i5/checkpoint_l3i5.pth"
_INSTALL = "Install it with `pip install sevenn` (its wheel holds the weights of 7net-l3i5)."
_POSITION_STEPS = 60


class SevenNetSettings(EvaluatorSettings):
    """Settings of the `sevennet` evaluator."""

    fmax: float = Field(default=0.02, gt=0.0, le=0.5)
    """eV/Å; the relaxation ends here."""
    max_steps: int = Field(default=200, ge=1, le=5000)
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?|auto)$")


class SevenNetEvaluator(ProcessEvaluator[SevenNetSettings]):
    """Relaxation and energies on SevenNet-l3i5."""

    name = "sevennet"
    fidelity = "potential"
    properties = frozenset({"formation_energy", "energy_above_hull", "density", "volume_per_atom", "bulk_modulus"})
    settings_type = SevenNetSettings
    packages: ClassVar[tuple[str, ...]] = ("sevenn", "ase")
    _calculator: Calculator | None = None

    @property
    def method(self) -> str:
        """What it is, in words."""
        return f"SevenNet-l3i5 machine-learned potential (sevenn {self.version}), relaxed; not DFT"

    def available(self) -> str | None:
        """None, or how to get SevenNet."""
        weights = _weights()
        return None if weights is not None and weights.is_file() else _INSTALL

    def parameters(self, request: EvaluationRequest) -> dict[str, Any]:  # noqa: ARG002 (the same for all)
        """Model, digest of its weights, and the end of the relaxation."""
        return {
            "model": "7net-l3i5",
            "weights": _weights_digest(),
            "fmax": self.settings.fmax,
            "max_steps": self.settings.max_steps,
            "device": self.settings.device,
        }

    def prepare(self) -> None:
        """Load the network, once a worker."""
        from sevenn.calculator import SevenNetCalculator

        self._calculator = SevenNetCalculator("7net-l3i5", device=self.settings.device)

    def calculate(self, request: EvaluationRequest, scratch: Path) -> Outcome:
        """Relax cell and positions, then (where asked) scan the volume for the bulk modulus."""
        atoms = to_ase(request.crystal)
        atoms.calc = self._calculator
        labels = Labels(request.candidate_id)
        steps = 0
        if request.purpose == "label":
            labels.see(atoms)
        else:
            log = str(scratch / "relax.log")
            steps = relax_cell(atoms, self.settings.fmax, self.settings.max_steps, log, self.checkpoint, labels.see)
        energy = float(atoms.get_potential_energy())
        if not math.isfinite(energy):
            raise CalculationFailed("the energy is not a finite number", "output")
        crystal = from_ase(atoms)
        values = cell_values(crystal, energy)
        values["relaxation_steps"] = Quantity(value=steps, unit="dimensionless")
        if values["volume_per_atom"].value > 500.0 or values["volume_per_atom"].value < 1.0:
            words = f"relaxed to {values['volume_per_atom'].value:.3g} Å³ per atom, which is no solid"
            raise CalculationFailed(words, "relaxation")
        failure = ""
        kind: FailureKind = ""
        if "bulk_modulus" in request.properties:
            try:
                values |= self._equation_of_state(atoms).values(len(atoms))
            except CalculationFailed as error:
                failure, kind = str(error), error.kind  # the energy was paid for and is kept beside the reason
        artefacts = labels.keep(scratch) | ({} if request.purpose == "label" else {"relaxation": "relax.log"})
        return Outcome(values=values, crystal=crystal, artefacts=artefacts, failure=failure, kind=kind)

    def _equation_of_state(self, relaxed: Atoms) -> EquationOfState:
        """Positions are relaxed again in each scaled cell, so internal strain is accounted for."""
        from ase.optimize import LBFGS

        def energy_at(ratio: float) -> float:
            scaled = relaxed.copy()
            scaled.set_cell(np.asarray(relaxed.cell) * ratio ** (1 / 3), scale_atoms=True)
            scaled.calc = self._calculator
            optimiser = LBFGS(scaled, logfile=None, maxstep=0.1)  # type: ignore[arg-type]
            if not optimiser.run(fmax=self.settings.fmax, steps=_POSITION_STEPS):
                raise CalculationFailed(
                    f"bulk modulus: positions not converged at {ratio:.2f} of the volume", "relaxation"
                )
            return float(scaled.get_potential_energy())

        ratios, energies = scan_volumes(energy_at)
        return birch_murnaghan(ratios * relaxed.get_volume(), energies)


def _weights() -> Path | None:
    spec = importlib.util.find_spec("sevenn")
    return Path(spec.origin).parent / _WEIGHTS if spec is not None and spec.origin else None


@cache
def _weights_digest() -> str:
    """sha256 of the weights; `missing` without them. The file belongs to an installed wheel and does not change."""
    weights = _weights()
    if weights is None or not weights.is_file():
        return "missing"
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
