"""What is tried after a failure: documented changes of the numerics, one after the other, written down before each try.

All plane-wave codes climb the same ladder; how a change is said to a code is in the code's own module. The order
follows the advice of the codes' own manuals (https://gpaw.readthedocs.io/documentation/convergence.html,
https://www.quantum-espresso.org/Doc/INPUT_PW.html): what cannot change the result comes first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ..core.types import FailureKind, Frozen, LadderStep
from .process import read_limited, write_durably

_MAX_BYTES = 100_000
_MAX_REASON = 200
_STEPS = TypeAdapter(tuple[LadderStep, ...])


class Numerics(Frozen):
    """What a ladder may change; the defaults change nothing."""

    mixing: float = 1.0
    """Factor on the part of the new density that is mixed in."""
    careful: bool = False
    """More steps for the eigenstates (GPAW), or conjugate gradients in the place of Davidson (pw.x)."""
    empty_bands: bool = False
    """Many more empty bands."""
    smearing: float = 1.0
    """Factor on the width of the occupations."""
    kspacing: float = 1.0
    """Factor on the largest distance of k-points."""
    symmetry: bool = True
    lean: bool = False
    """An algorithm that needs less memory and more time."""


class Rung(Frozen):
    """One step of the ladder."""

    change: str
    against: FailureKind
    numerics: dict[str, Any]
    physics: str = ""


RUNGS = (
    Rung(change="density mixed at a fifth of the strength", against="scf", numerics={"mixing": 0.2}),
    Rung(change="eigenstates with more care", against="scf", numerics={"careful": True}),
    Rung(change="more empty bands", against="scf", numerics={"empty_bands": True}),
    Rung(
        change="smearing twice as wide",
        against="scf",
        numerics={"smearing": 2.0},
        physics="smearing twice as wide as the protocol's",
    ),
    Rung(change="algorithm that needs less memory", against="memory", numerics={"lean": True}),
    Rung(
        change="k-points 1.5 times as far apart",
        against="memory",
        numerics={"kspacing": 1.5},
        physics="k-spacing 1.5 times the protocol's",
    ),
    Rung(change="symmetry not used", against="symmetry", numerics={"symmetry": False}),
)
"""In order, for each kind of failure."""


class Ladder:
    """The steps that one evaluation has climbed; they outlive a killed attempt.

    Args:
        path: file of the steps; a damaged one is an empty one. None: nothing can be climbed.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.steps: tuple[LadderStep, ...] = ()
        if path is not None:
            try:
                self.steps = _STEPS.validate_json(read_limited(path, _MAX_BYTES) or "[]")
            except ValidationError:  # cut off while the power failed: the climb begins anew
                self.steps = ()

    @property
    def numerics(self) -> Numerics:
        """All steps together."""
        taken = {step.change for step in self.steps}
        return Numerics(**{k: v for rung in RUNGS if rung.change in taken for k, v in rung.numerics.items()})

    @property
    def physics(self) -> tuple[str, ...]:
        """How values are to be read that were obtained with these steps, where that is not as asked."""
        return tuple(step.physics for step in self.steps if step.physics)

    def offers(self, kind: FailureKind) -> bool:
        """Whether there is a step left against a kind of failure."""
        return self._next(kind) is not None

    def climb(self, kind: FailureKind, reason: str) -> bool:
        """Take the next step against a failure, and write it down; False when there is none."""
        rung = self._next(kind)
        if rung is None or self._path is None:
            return False
        step = LadderStep(change=rung.change, because=f"{kind}: {reason[:_MAX_REASON]}", physics=rung.physics)
        self.steps = (*self.steps, step)
        write_durably(self._path, _STEPS.dump_json(self.steps).decode())
        return True

    def words(self) -> str:
        """What was tried, for a failure's reason; empty when nothing was."""
        return f"tried: {'; '.join(step.change for step in self.steps)}" if self.steps else ""

    def _next(self, kind: FailureKind) -> Rung | None:
        if self._path is None or not kind:
            return None
        taken = {step.change for step in self.steps}
        return next((rung for rung in RUNGS if rung.against == kind and rung.change not in taken), None)
