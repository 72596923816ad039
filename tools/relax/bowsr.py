"""Relaxation by energies alone: the free parameters of a crystal, searched for the lowest energy. No forces.

After BOWSR, Zuo et al., Materials Today 51, 126 (2021). What lives here: one crystal under search, the loop over many,
and the `Potential` that it makes of any `EnergyModel`. The numbers are searched in `search.py`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..core.errors import ToolError
from ..core.protocols import Progress
from ..core.structure import to_ase, volume
from ..core.types import Crystal, Failure, PotentialRecord, Relaxation
from ..core.units import GPA_PER_EV_A3
from .energy_models import EnergyModel
from .free_parameters import FreeParameters
from .models import pieces
from .sanity import cell_problem, distance_problem, energy_problem, shortest_distance
from .search import Search, SearchSettings
from .settings import RelaxationSettings

if TYPE_CHECKING:
    from ase import Atoms

LEAST_PER_PARAMETER = 6
"""Evaluations that a search needs for each parameter, at the very least; where there are fewer it does not begin."""

UNHEARD = "the model was not asked"


class Seeker:
    """One crystal under search. `ask` for crystals, `tell` what the model says of them, until it has `ended`.

    A crystal on the way that collides, or that the model cannot take, is one bad point; the search fails only where
    none can be evaluated, where the lowest lies on the bounds, or where it does not end.
    """

    def __init__(self, identity: str, crystal: Crystal, settings: RelaxationSettings, search: SearchSettings) -> None:
        self.identity = identity
        self.reason = ""
        self.ended = False
        self.size = len(crystal)
        self._start = crystal
        self._settings = settings
        self._limits = search
        self._energies: list[float] = []
        self._problem = UNHEARD
        self._started = 0.0
        self._wall_s = 0.0
        self._first_volume = abs(volume(crystal))
        self._bounds = np.empty(0)
        self._parameters: FreeParameters | None = None
        self._search: Search | None = None
        self._asked = np.empty((0, 0))

    def ask(self) -> list[Atoms | str]:
        """The next crystals as ASE atoms, in a primitive cell; in place of one that is none, the reason. None of
        either when it has ended."""
        if self._search is None:
            self._begin()
        if self._search is None or self._parameters is None:
            return []
        self._asked = self._search.ask()
        if not len(self._asked):
            self._finish(self._search, self._parameters)
        return [self._worth(to_ase(self._parameters.primitive_at(self._bounds * point))) for point in self._asked]

    def tell(self, energies: Sequence[float | str]) -> None:
        """For each crystal that was asked for: its energy (eV for its cell), or a reason."""
        assert self._search is not None
        assert self._parameters is not None
        enthalpies = []
        for point, energy in zip(self._asked, energies, strict=True):
            count = len(self._parameters.primitive)
            problem = energy if isinstance(energy, str) else self._unsound(energy / count)
            if problem and self._problem is UNHEARD:
                self._problem = problem
            if problem or isinstance(energy, str):
                self._energies.append(math.nan)
                enthalpies.append(math.nan)
                continue
            squeezed = 0.0
            if self._settings.pressure_gpa:
                here = volume(self._parameters.primitive_at(self._bounds * point))
                squeezed = self._settings.pressure_gpa / GPA_PER_EV_A3 * here
            self._energies.append(energy / count)
            enthalpies.append((energy + squeezed) / count)
        self._search.tell(self._asked, enthalpies)

    def close(self) -> None:
        """Leave it before its end."""
        if self._search is not None:
            self._search.close()

    def result(self, potential: str) -> Relaxation:
        """The end of it; forces and stress are not known."""
        best = None if self._search is None else self._search.best
        found = self._start
        if best is not None and self._search is not None and self._parameters is not None:
            found = self._parameters.crystal_at(self._bounds * self._search.point)
        return Relaxation(
            candidate_id=self.identity,
            crystal=found,
            energy_per_atom=0.0 if best is None else self._energies[best],
            fmax=None,
            stress_max_gpa=None,
            steps=max(len(self._energies) - 1, 0),
            converged=not self.reason,
            potential=potential,
            failure=Failure(stage="relax", reason=self.reason) if self.reason else None,
            wall_s=self._wall_s,
        )

    def _begin(self) -> None:
        self._started = time.perf_counter()
        if problem := cell_problem(to_ase(self._start), self._first_volume, self._settings):
            return self._end(problem)
        parameters = FreeParameters.of(self._start, self._settings.symprec, self._settings.cell)
        if isinstance(parameters, str):
            return self._end(parameters)
        budget = self._settings.max_steps + 1
        if LEAST_PER_PARAMETER * len(parameters) > budget:
            return self._end(
                f"{len(parameters)} free parameters are too many for {budget} evaluations without forces: "
                f"at least {LEAST_PER_PARAMETER} are needed for each"
            )
        self._bounds = parameters.bounds(self._limits.strain, self._limits.shift)
        self._parameters = parameters
        # Of the crystal and nothing else: neither its neighbours in the batch nor the time change what is found.
        seed = int(self._start.digest()[:8], 16)
        self._search = Search(len(parameters), seed, self._limits, budget)
        return None

    def _worth(self, atoms: Atoms) -> Atoms | str:
        """The atoms, or why they are not worth (or not safe for) a model call."""
        first = self._first_volume * len(atoms) / self.size
        problem = cell_problem(atoms, first, self._settings)
        return problem or distance_problem(shortest_distance(atoms), self._settings) or atoms

    def _unsound(self, per_atom: float) -> str:
        return (
            energy_problem(per_atom, self._settings) if math.isfinite(per_atom) else "the model's energy is not finite"
        )

    def _finish(self, search: Search, parameters: FreeParameters) -> None:
        if search.best is None:
            return self._end(f"none of the first {search.evaluations} crystals can be evaluated: {self._problem}")
        if search.edge is not None:
            value = (self._bounds * search.point)[search.edge]
            return self._end(
                f"the lowest energy lies on the bounds: {parameters.names[search.edge]} changed by {value:+.2f}"
            )
        if not search.converged:
            return self._end(f"not converged in {search.evaluations} evaluations")
        return self._end("")

    def _end(self, reason: str) -> None:
        self.ended = True
        self.reason = reason
        self._wall_s = time.perf_counter() - self._started


def relax_by_energies(
    model: EnergyModel,
    crystals: Sequence[tuple[str, Crystal]],
    settings: RelaxationSettings,
    search: SearchSettings,
    progress: Progress | None = None,
) -> list[Relaxation]:
    """Search the free parameters of every crystal for the lowest energy (enthalpy under pressure).

    At most `settings.batch_size` crystals are under way, in lock-step: each step asks the model for one or more
    energies of each, in calls of at most `settings.batch_size` crystals and `settings.max_batch_atoms` atoms.

    Args:
        model: says energies.
        crystals: (id, crystal) pairs.
        settings: thresholds, cell, pressure, tolerance of the symmetry; `max_steps` bounds the evaluations.
        search: how far and how long it goes.
        progress: called with (finished, total) after each crystal.

    Returns:
        One result for each crystal, in order, in the cell that was given, with the symmetry of the start; no forces and
        no stress. A bad end carries a `Failure` and the best crystal so far.
    """
    seekers = [Seeker(identity, crystal, settings, search) for identity, crystal in crystals]
    waiting = list(seekers)
    active: list[Seeker] = []
    done = 0
    try:
        while waiting or active:
            while waiting and len(active) < settings.batch_size:
                active.append(waiting.pop(0))
            asked = [seeker.ask() for seeker in active]
            energies = iter(_evaluated(model, [one for some in asked for one in some], settings))
            for seeker, some in zip(active, asked, strict=True):
                if some:
                    seeker.tell([next(energies) for _ in some])
                elif progress is not None:
                    done += 1
                    progress(done, len(seekers))
            active = [seeker for seeker in active if not seeker.ended]
    finally:
        for seeker in seekers:
            seeker.close()
    return [seeker.result(model.record.name) for seeker in seekers]


def _evaluated(model: EnergyModel, asked: Sequence[Atoms | str], settings: RelaxationSettings) -> list[float | str]:
    """An energy (eV for the cell) or a reason for each; reasons stay reasons."""
    sound = [one for one in asked if not isinstance(one, str)]
    found: list[float | str] = []
    for piece in pieces(map(len, sound), settings.batch_size, settings.max_batch_atoms):
        found += model.total_energies(sound[piece])
    answers = iter(found)
    return [one if isinstance(one, str) else next(answers) for one in asked]


class BowsrPotential:
    """Any `EnergyModel` as a `Potential` that relaxes by Bayesian optimisation; space groups are always kept.

    Args:
        name: of the model, with its version; its energies are the same whatever relaxes.
        load: makes the model, at first use, because that takes a second.
        settings: of the relaxations; `fmax` says nothing here.
        search: how far and how long a search goes.

    Raises:
        ToolError: for settings that rattle: that breaks the symmetry that the search is about.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[], EnergyModel],
        settings: RelaxationSettings | None = None,
        search: SearchSettings | None = None,
    ) -> None:
        self.name = name
        self.settings = settings or RelaxationSettings()
        self.search = search or SearchSettings()
        if self.settings.rattle:
            raise ToolError("rattle breaks the symmetry that a search of free parameters keeps.", "Leave it at 0.")
        self._load = load

    @cached_property
    def model(self) -> EnergyModel:
        """The model, loaded."""
        return self._load()

    @property
    def record(self) -> PotentialRecord:
        """See `Potential.record`."""
        return self.model.record

    def relax(self, crystals: Sequence[tuple[str, Crystal]], progress: Progress | None = None) -> list[Relaxation]:
        """See `Potential.relax`. Ends where the search does, or at `settings.max_steps`."""
        return relax_by_energies(self.model, crystals, self.settings, self.search, progress)

    def energies(self, crystals: Sequence[Crystal]) -> list[float]:
        """Single-point energies in eV/atom, in order. Raises ToolError for a crystal that the model cannot take."""
        found = _evaluated(self.model, [to_ase(crystal) for crystal in crystals], self.settings)
        for place, energy in enumerate(found):
            if isinstance(energy, str):
                raise ToolError(f"Crystal {place}: {energy}.", "Relax it, or leave it out.")
        return [float(energy) / len(crystal) for energy, crystal in zip(found, crystals, strict=True)]
