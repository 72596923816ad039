"""An evaluator for tests only: what it does wrong is said by the name of the candidate."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from lodestone.tools.core.types import EvaluationRequest, Quantity
from lodestone.tools.evaluate.base import CalculationFailed, EvaluatorSettings, Outcome, ProcessEvaluator
from lodestone.tools.evaluate.process import die_with_parent


class FaultySettings(EvaluatorSettings):
    """Where each start is written down, and a number that enters the key."""

    runs: str
    strength: float = 1.0


class FaultyCalculationForTests(ProcessEvaluator[FaultySettings]):
    """Works, fails, hangs, crashes or burns, as told."""

    name = "faulty-for-tests"
    fidelity = "potential"
    properties = frozenset({"formation_energy", "energy_above_hull"})
    settings_type = FaultySettings
    packages = ("faulty-evaluator",)

    @property
    def method(self) -> str:
        """What it is, in words."""
        return "nothing real (tests only)"

    def available(self) -> str | None:
        """Always."""
        return None

    def parameters(self, request: EvaluationRequest) -> dict[str, Any]:
        """The one number."""
        return {"strength": self.settings.strength}

    def calculate(self, request: EvaluationRequest, scratch: Path) -> Outcome:
        """Do what the candidate's name says, after writing down that it was started."""
        with Path(self.settings.runs).open("a") as file:
            file.write(f"{request.candidate_id} {os.getpid()} {os.getppid()}\n")
        deed = request.candidate_id.split(":")[0]
        if deed == "slow":
            time.sleep(1.5)
        elif deed == "hang":
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
            time.sleep(600)
        elif deed == "grandchild":
            child = subprocess.Popen(["sleep", "600"], preexec_fn=die_with_parent)
            (scratch / "pid").write_text(str(child.pid))
            child.wait()
        elif deed == "burn":
            end = time.process_time() + 0.5
            while time.process_time() < end:
                pass
        elif deed == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif deed == "raise":
            raise ZeroDivisionError("on purpose")
        elif deed == "fail":
            raise CalculationFailed("SCF not converged in 3 iterations")
        (scratch / "out.txt").write_text("done")
        return Outcome(
            values={"energy_per_atom": Quantity(value=-1.0, unit="eV/atom")}, artefacts={"output": "out.txt"}
        )
