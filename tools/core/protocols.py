"""The verbs: one small protocol each. What an argument means is written here, once.

A new implementation is one file in the matching folder and one row in `loops/wiring.py`; a package
outside this repository adds one through an entry-point group (`lodestone.generators`, …).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from .plans import Brief, RoundPlan
from .types import (
    Candidate,
    ChemicalSpace,
    Crystal,
    EvaluationRequest,
    JobLimits,
    JobStatus,
    Observation,
    PotentialRecord,
    Recognition,
    Relaxation,
    Understanding,
    Verdict,
)

if TYPE_CHECKING:
    import numpy as np
    import torch

Progress = Callable[[int, int], None]
"""Called with (done, total) as work goes on."""


@runtime_checkable
class Generator(Protocol):
    """Proposes crystals inside a chemical space."""

    name: str

    def propose(self, space: ChemicalSpace, n: int, rng: np.random.Generator) -> list[Candidate]:
        """At most `n` crystals, each inside `space`; the same `rng` state gives the same list.

        Fewer than `n` (also none) is a valid answer: a small space runs dry. Raises ToolError only
        for misuse.
        """
        ...


@runtime_checkable
class Screen(Protocol):
    """Rejects crystals that are not worth a relaxation."""

    name: str

    def check(self, candidate: Candidate) -> Verdict:
        """Pass, or one reason with the numbers that it rests on. Never raises for a bad crystal."""
        ...


@runtime_checkable
class Potential(Protocol):
    """A model of energy, forces and stress that relaxes many crystals at a time."""

    name: str
    """Name with version; part of every key and every table."""

    @property
    def record(self) -> PotentialRecord:
        """Version, checksum, licence and elements of the model; may load it."""
        ...

    def relax(self, crystals: Sequence[tuple[str, Crystal]], progress: Progress | None = None) -> list[Relaxation]:
        """One result for each (id, crystal), in order; positions and cell relaxed.

        A crystal that explodes, collides or does not end carries a `failure`; nothing is raised for it.
        """
        ...

    def energies(self, crystals: Sequence[Crystal]) -> list[float]:
        """Single-point energies in eV/atom, in order."""
        ...


@runtime_checkable
class Recogniser(Protocol):
    """Says what crystals are."""

    name: str

    def recognise(self, crystals: Sequence[tuple[str, Crystal]]) -> list[Recognition]:
        """One result for each (id, crystal), in order."""
        ...


@runtime_checkable
class Evaluator(Protocol):
    """Pays for a number. Work runs outside the caller's process and survives its death."""

    @property
    def name(self) -> str:
        """Short name for `--evaluator`, e.g. `gpaw`."""
        ...

    @property
    def version(self) -> str:
        """Of the code that calculates."""
        ...

    @property
    def method(self) -> str:
        """What it is, in words that a reader can cite."""
        ...

    @property
    def fidelity(self) -> Literal["potential", "dft", "experiment"]:
        """How far its numbers can be trusted."""
        ...

    @property
    def properties(self) -> frozenset[str]:
        """What it can yield, from the catalogue."""
        ...

    def available(self) -> str | None:
        """None when it can run here; else one sentence that says how to get what is missing."""
        ...

    def key(self, request: EvaluationRequest) -> str:
        """Evaluation key: sha256 over structure, method, every parameter, code version and fidelity."""
        ...

    @property
    def cores(self) -> int:
        """Cores that one evaluation may use at a time."""
        ...

    @property
    def wall_limit_s(self) -> float:
        """Wall seconds after which an attempt is ended; with `cores`, the most that an evaluation can cost."""
        ...

    def submit(
        self, requests: Sequence[tuple[str, EvaluationRequest]], limits: Mapping[str, JobLimits] | None = None
    ) -> None:
        """Start work for each (key, request); calling it again with a known key starts nothing new
        unless the earlier attempt is `DEAD`. `limits`: key to what it may use."""
        ...

    def lookup(self, key: str) -> JobStatus:
        """What is known about a key, from durable marks on disk rather than from memory."""
        ...

    def harvest(self, key: str) -> Observation:
        """The result of a `DONE` key; also after a restart, and more than once."""
        ...

    def cancel(self, key: str) -> None:
        """Stop work for a key; no effect when it is not running."""
        ...


@runtime_checkable
class Asks(Protocol):
    """An evaluator that can say what a person has to settle."""

    def question(self, key: str) -> str:
        """What is asked about a key, with the answers and the command that gives them; empty where nothing is."""
        ...


@runtime_checkable
class Surrogate(Protocol):
    """Predicts what an evaluation would give, with its uncertainty."""

    def fit(self, features: torch.Tensor, cheap: torch.Tensor, measured: torch.Tensor) -> None:
        """Learn from `n x d` features, `n` cheap predictions and `n` measured values."""
        ...

    def posterior(self, features: torch.Tensor, cheap: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation (both `m`) at `m x d` features with `m` cheap predictions."""
        ...


@runtime_checkable
class Planner(Protocol):
    """Words to a goal; each round, what was seen to a plan. Decides, never executes."""

    name: str

    def specify(self, words: str, defaults: dict[str, Any]) -> Understanding:
        """Raises GoalError, saying what is wrong and how to put it, when there is no goal in the words."""
        ...

    def plan(self, brief: Brief) -> RoundPlan:
        """One plan for the brief's round."""
        ...
