"""An evaluator for tests only: what it does wrong is said by the name of the candidate."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
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
    climbs = True

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
        elif deed == "silent":
            for _ in range(3):
                (scratch / "log.txt").write_text(str(time.time()))
                time.sleep(0.2)
            time.sleep(600)
        elif deed == "talks":
            for _ in range(8):
                (scratch / "log.txt").write_text(str(time.time()))
                time.sleep(0.3)
        elif deed == "memory":
            hoard = bytearray(400_000_000)
            hoard[::4096] = b"x" * len(hoard[::4096])
            time.sleep(600)
        elif deed == "exit":
            os._exit(0)
        elif deed in ("junk", "truncated"):
            text = b'{"outcome": 7}\n' if deed == "junk" else b'{"outcome": {"values"'
            os.write(int(sys.argv[sys.argv.index("--calculate") + 1]), text)
            os._exit(0)
        elif deed in ("nan", "inf"):
            return Outcome(values={"energy_per_atom": Quantity(value=float(deed), unit="eV/atom")})
        elif deed == "nothing":
            return Outcome(values={})
        elif deed == "counts":
            return self._count()
        elif deed == "burnforever":
            while True:
                pass
        elif deed == "burncrash":
            end = time.process_time() + 0.7
            while time.process_time() < end:
                pass
            time.sleep(0.6)
            os.kill(os.getpid(), signal.SIGSEGV)
        elif deed == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif deed == "raise":
            raise ZeroDivisionError("on purpose")
        elif deed == "needscare":
            if not self.ladder.numerics.careful:
                raise CalculationFailed("SCF not converged in 3 iterations", "scf")
        elif deed == "needssmearing":
            if self.ladder.numerics.smearing == 1.0:
                raise CalculationFailed("SCF not converged in 3 iterations", "scf")
        elif deed == "never":
            raise CalculationFailed("SCF not converged in 3 iterations", "scf")
        elif deed == "carehangs":
            if not self.ladder.numerics.careful:
                raise CalculationFailed("SCF not converged in 3 iterations", "scf")
            time.sleep(600)
        elif deed == "fail":
            raise CalculationFailed("SCF not converged in 3 iterations")
        (scratch / "out.txt").write_text("done")
        return Outcome(
            values={"energy_per_atom": Quantity(value=-1.0, unit="eV/atom")}, artefacts={"output": "out.txt"}
        )

    def _count(self) -> Outcome:
        """Six steps of a third of a second; a later attempt goes on after the last one that was written down."""
        assert self.checkpoint is not None
        self.checkpoint.mkdir(exist_ok=True)
        for step in range(6):
            done = self.checkpoint / str(step)
            if not done.exists():
                time.sleep(0.3)
                with Path(self.settings.runs).open("a") as file:
                    file.write(f"step {step} {os.getpid()}\n")
                done.touch()
        return Outcome(values={"energy_per_atom": Quantity(value=-6.0, unit="eV/atom")})
