"""A potential, and generators, that have workers of a cluster do the work, and the agent where there are none."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Sequence
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from ...tools.core.protocols import Generator, Potential, Progress
from ...tools.core.types import (
    Candidate,
    ChemicalSpace,
    Crystal,
    PotentialRecord,
    Relaxation,
    StructureWish,
    canonical_json,
    sha256,
)
from . import tasks
from .cluster import Engine

_RELAXATIONS = TypeAdapter(list[Relaxation])
_ENERGIES = TypeAdapter(list[float])
_CANDIDATES = TypeAdapter(list[Candidate])
RETRIES = 1


class DistributedPotential:
    """See `Potential`.

    Args:
        local: does a piece that no worker could do.
        factory: `module:function` that makes the same potential on a worker.
        arguments: for it; plain JSON data.
        engine: the cluster.
    """

    def __init__(self, local: Potential, factory: str, arguments: dict[str, Any], engine: Engine) -> None:
        self.name = local.name
        self._local = local
        self._spec = (factory, canonical_json(arguments))
        self._engine = engine

    @property
    def record(self) -> PotentialRecord:
        """See `Potential.record`."""
        return self._local.record

    def relax(self, crystals: Sequence[tuple[str, Crystal]], progress: Progress | None = None) -> list[Relaxation]:
        """See `Potential.relax`. A piece whose worker dies is done once more elsewhere, then by the agent."""

        def check(text: str, piece: Sequence[tuple[str, Crystal]]) -> list[Relaxation]:
            found = _RELAXATIONS.validate_json(text)
            if [r.candidate_id for r in found] != [i for i, _ in piece]:
                raise ValueError("results of other crystals")
            return found

        dump = [(i, c.model_dump(mode="json")) for i, c in crystals]
        return self._spread(tasks.relax, list(crystals), dump, check, self._local.relax, progress)

    def energies(self, crystals: Sequence[Crystal]) -> list[float]:
        """See `Potential.energies`."""

        def check(text: str, piece: Sequence[Crystal]) -> list[float]:
            found = _ENERGIES.validate_json(text)
            if len(found) != len(piece):
                raise ValueError("another number of energies")
            return found

        dump = [c.model_dump(mode="json") for c in crystals]
        return self._spread(tasks.energies, list(crystals), dump, check, self._local.energies, None)

    def _spread(
        self,
        function: Callable[..., str],
        items: list[Any],
        dump: list[Any],
        check: Callable[[str, Sequence[Any]], list[Any]],
        here: Callable[[Sequence[Any]], list[Any]],
        progress: Progress | None,
    ) -> list[Any]:
        size = self._engine.settings.piece
        pieces = [(items[i : i + size], canonical_json(dump[i : i + size])) for i in range(0, len(items), size)]
        futures = []
        for _, text in pieces:
            key = f"{function.__name__}-{sha256(canonical_json([self.name, *self._spec, text]))}"
            futures.append(self._engine.submit(function, *self._spec, text, key=key, retries=RETRIES))
        results: list[Any] = []
        for (piece, _), future in zip(pieces, futures, strict=True):
            answer = None if future is None else self._engine.result(future, self._engine.settings.piece_limit_s)
            try:
                found = check(answer, piece) if answer is not None else here(piece)
            except (ValidationError, ValueError) as error:
                self._engine.note(f"A worker answered what cannot be used ({error}); the agent does it again.")
                found = here(piece)
            results += found
            if progress is not None:
                progress(len(results), len(items))
        return results


class DistributedGenerator:
    """See `Generator`. One proposal is one task; the random numbers go along, so the answer is the local one.

    Crystals that are known already are left out here, not on the worker: there may be a million of them.
    """

    def __init__(self, local: Generator, factory: str, arguments: dict[str, Any], engine: Engine) -> None:
        self.name = local.name
        self.known: Container[str] = frozenset()
        self.parents: tuple[Candidate, ...] = ()
        self.wish = StructureWish()
        self._local = local
        self._spec = (factory, canonical_json(arguments))
        self._engine = engine

    def propose(self, space: ChemicalSpace, n: int, rng: np.random.Generator) -> list[Candidate]:
        """See `Generator.propose`."""
        state = json.dumps(rng.bit_generator.state, default=int)
        parents = [p.model_dump(mode="json") for p in self.parents]
        told = canonical_json({"parents": parents, "wish": self.wish.model_dump(mode="json")})
        arguments = (*self._spec, space.canonical_json(), str(n), state, told)
        key = f"propose-{sha256(canonical_json(list(arguments)))}"
        future = self._engine.submit(tasks.propose, *arguments, key=key, retries=RETRIES)
        text = None if future is None else self._engine.result(future, self._engine.settings.piece_limit_s)
        if text is not None:
            try:
                answer = json.loads(text)
                found = _CANDIDATES.validate_python(answer["candidates"])
                rng.bit_generator.state = answer["state"]
                return [c for c in found if c.id not in self.known]
            except (ValueError, KeyError, TypeError) as error:
                self._engine.note(f"A worker answered what cannot be used ({error}); the agent does it again.")
        if hasattr(self._local, "known"):
            self._local.known = self.known
        if hasattr(self._local, "parents"):
            self._local.parents = self.parents
        if hasattr(self._local, "wish"):
            self._local.wish = self.wish
        return self._local.propose(space, n, rng)
