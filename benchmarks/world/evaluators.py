"""The evaluators of the fast world, loaded by real worker processes through entry points."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from lodestone.tools.core.structure import to_ase
from lodestone.tools.core.types import EvaluationRequest, Observation, Quantity, sha256
from lodestone.tools.evaluate.base import CalculationFailed, EvaluatorSettings, Outcome, ProcessEvaluator

NAME = "emt-for-faults"
JOURNAL = "EMT_FOR_FAULTS_JOURNAL"
"""Environment variable: a file to which every finished calculation appends its candidate, whatever dies later."""


class EmtForFaults(ProcessEvaluator[EvaluatorSettings]):
    """Energy by effective-medium theory. Fails for a crystal whose id ends in 0, so that failures are charged too."""

    name = NAME
    fidelity = "potential"
    properties = frozenset({"formation_energy", "energy_above_hull"})
    packages = ("ase",)

    @property
    def method(self) -> str:
        """What it is, in words."""
        return "effective-medium theory (fault benchmark only)"

    def available(self) -> str | None:
        """Always."""
        return None

    def parameters(self, request: EvaluationRequest) -> dict[str, Any]:
        """What else decides the result: nothing, at any request."""
        del request
        return {}

    def calculate(self, request: EvaluationRequest, scratch: Path) -> Outcome:
        """A single point; nothing is written to `scratch`."""
        del scratch
        from ase.calculators.emt import EMT

        time.sleep(float(os.environ.get("EMT_FOR_FAULTS_SECONDS", "0")))
        if request.purpose == "candidate" and request.candidate_id.endswith("0"):
            _journal(request.candidate_id)
            raise CalculationFailed("SCF not converged (on purpose)")
        atoms = to_ase(request.crystal)
        atoms.calc = EMT()
        energy = float(atoms.get_potential_energy()) / len(atoms)
        _journal(request.candidate_id)
        return Outcome(values={"energy_per_atom": Quantity(value=energy, unit="eV/atom")})


def _journal(candidate_id: str) -> None:
    path = os.environ.get(JOURNAL)
    if path:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, f"{candidate_id}\n".encode())
        os.close(descriptor)


class EmtJudge(EmtForFaults):
    """The same energies at the rank and, on paper, at the cost of DFT, so that a scout is worth asking before."""

    name = "emt-judge"
    fidelity = "dft"

    def harvest(self, key: str) -> Observation:
        """See `Evaluator.harvest`; says that it took 50 core seconds."""
        return super().harvest(key).model_copy(update={"cost_core_s": 50.0})


class EmtScout(EmtForFaults):
    """The energies of `EmtForFaults` with an error of its own for each crystal, of the order of 10 meV/atom."""

    name = "emt-scout"

    @property
    def method(self) -> str:
        """What it is, in words."""
        return "effective-medium theory with errors (fault benchmark only)"

    def calculate(self, request: EvaluationRequest, scratch: Path) -> Outcome:
        """See `EmtForFaults.calculate`."""
        outcome = super().calculate(request.model_copy(update={"purpose": "reference"}), scratch)
        energy = outcome.values["energy_per_atom"].value
        error = 0.02 * (int(sha256(request.candidate_id)[:8], 16) / 0xFFFFFFFF - 0.5)
        return Outcome(values={"energy_per_atom": Quantity(value=energy + error, unit="eV/atom")})


EVALUATORS = (EmtForFaults, EmtJudge, EmtScout)
