"""Evaluators for tests only: one fails for about every second crystal, one for everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lodestone.tools.core.structure import volume
from lodestone.tools.core.types import EvaluationRequest, Quantity
from lodestone.tools.evaluate.base import CalculationFailed, EvaluatorSettings, Outcome, ProcessEvaluator


class SometimesFailingForTests(ProcessEvaluator[EvaluatorSettings]):
    """Elements work; a crystal fails when the last digit of its id is odd."""

    name = "sometimes-failing-for-tests"
    fidelity = "potential"
    properties = frozenset({"formation_energy", "energy_above_hull"})
    packages = ("failing-evaluator",)

    @property
    def method(self) -> str:
        """What it is, in words."""
        return "nothing real (tests only)"

    def available(self) -> str | None:
        """Always."""
        return None

    def parameters(self, request: EvaluationRequest) -> dict[str, Any]:
        """None."""
        return {}

    def calculate(self, request: EvaluationRequest, scratch: Path) -> Outcome:
        """An energy that grows with the volume, or a failure."""
        if request.purpose == "candidate" and int(request.candidate_id[-1], 16) % 2:
            raise CalculationFailed("SCF not converged in 3 iterations")
        energy = (
            -1.0 if request.purpose == "reference" else -4.0 + 0.01 * volume(request.crystal) / len(request.crystal)
        )
        return Outcome(values={"energy_per_atom": Quantity(value=energy, unit="eV/atom")})


class AlwaysFailingForTests(SometimesFailingForTests):
    """Nothing works."""

    name = "always-failing-for-tests"

    def calculate(self, request: EvaluationRequest, scratch: Path) -> Outcome:
        """A failure."""
        raise CalculationFailed("the licence server is down")
