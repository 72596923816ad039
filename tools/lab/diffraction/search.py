"""Which mixture: phases are added one at a time by how much better the whole pattern is fitted, and then exchanged.

What is not here: probabilities (`judgement.py`) and what is handed to the user (`identify.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .measured import Measured
from .profile import Lines
from .refine import Fit, Trial, empty, refine, start
from .screening import Look, Sighting, screen

Floats = NDArray[np.float64]

MAX_PHASES = 6
"""More are not looked for: their peaks overlap so much that any further phase would fit."""
_LOOKED = 8
"""Candidates a round that are refined alone against what the others leave over."""
_JOINED = 4
"""Of these, the best that are refined together with the others."""
LEAST_GAIN = 40.0
"""Drop of the objective that a phase must bring: some ten parameters times the logarithm of 4000 points over two, as in
the Bayesian information criterion (Schwarz, Ann. Stat. 6, 461, 1978)."""


@dataclass(frozen=True, eq=False)
class Rival:
    """Another candidate in the place of a phase."""

    index: int
    objective: float


@dataclass(frozen=True, eq=False)
class Found:
    """The end of a search."""

    fit: Fit
    gains: tuple[float, ...]
    """For each phase, by how much the objective rises without it."""
    rivals: tuple[tuple[Rival, ...], ...]
    """For each phase, who else was tried in its place."""


class Search:
    """One pattern, its candidates, and the moves between mixtures."""

    def __init__(self, data: Measured, sightings: Sequence[Sighting], lines: Lines) -> None:
        self.data = data
        self.sightings = sightings
        self.found = {s.index: s.found for s in sightings}
        self.lines = lines
        self.prior_width = np.log([0.9 * data.width_deg, 0.4 * data.width_deg])

    def run(self) -> Found:
        """Add, exchange, remove."""
        fit = empty(self.data)
        rivals: list[tuple[Rival, ...]] = []
        while len(fit.trials) < MAX_PHASES:
            better = self._best(fit, ())
            if not better or better[0].objective > fit.objective - LEAST_GAIN:
                break
            fit, rivals = self._exchange(better[0])
        fit, gains, kept = self._prune(fit)
        return Found(fit, gains, tuple(rivals[i] for i in kept))

    def first_objective(self) -> float:
        """How well the best single phase fits."""
        fit = empty(self.data)
        better = self._best(fit, ())
        return better[0].objective if better else fit.objective

    def _best(self, fit: Fit, banned: Sequence[int]) -> list[Fit]:
        """The mixture with one more phase, in the order of how well it fits; the phases it has are refined with it."""
        taken = {t.index for t in fit.trials} | set(banned)
        free = [s for s in self.sightings if s.index not in taken]
        looks = screen(self.data, self.data.counts - fit.model, free, _LOOKED)
        alone = self._alone(fit, looks)
        joined = [self._refine([*fit.trials, trial], fit) for trial in alone[:_JOINED]]
        return sorted(joined, key=lambda f: f.objective)

    def _alone(self, fit: Fit, looks: Sequence[Look]) -> list[Trial]:
        """Each candidate refined against what the phases of a mixture leave over, the best first."""
        rest = replace(self.data, counts=self.data.counts - fit.profiles.sum(axis=0))
        fits = []
        for look in looks:
            trial = start(look.index, self.found[look.index], look.metric, look.amount, self.prior_width)
            fits.append(refine(rest, [trial], fit.shifts, fit.splines, self.prior_width, self.lines, steps=5))
        fits.sort(key=lambda f: f.objective)
        return [f.trials[0] for f in fits]

    def _refine(self, trials: Sequence[Trial], fit: Fit, steps: int = 6) -> Fit:
        return refine(self.data, trials, fit.shifts, fit.splines, self.prior_width, self.lines, steps=steps)

    def _exchange(self, fit: Fit) -> tuple[Fit, list[tuple[Rival, ...]]]:
        """Put other candidates in the place of each phase as long as one fits better."""
        rivals: list[tuple[Rival, ...]] = [()] * len(fit.trials)
        for _ in range(2):
            changed = False
            for i in range(len(fit.trials)):
                others = replace(
                    fit, trials=fit.trials[:i] + fit.trials[i + 1 :], profiles=np.delete(fit.profiles, i, axis=0)
                )
                tried = self._best(others, (fit.trials[i].index,))
                rivals[i] = tuple(Rival(t.trials[-1].index, t.objective) for t in tried)
                if tried and tried[0].objective < fit.objective - 1.0:
                    old = Rival(fit.trials[i].index, fit.objective)
                    new = tried[0]
                    order = [*new.trials[:i], new.trials[-1], *new.trials[i:-1]]
                    rows = [*range(i), len(order) - 1, *range(i, len(order) - 1)]
                    fit = replace(new, trials=tuple(order), profiles=new.profiles[rows])
                    rivals[i] = (old, *rivals[i][1:])
                    changed = True
            if not changed:
                break
        return fit, rivals

    def _prune(self, fit: Fit) -> tuple[Fit, tuple[float, ...], list[int]]:
        """Leave out what brings too little, the least first; what each of the rest brings, and which they were."""
        kept = list(range(len(fit.trials)))
        while fit.trials:
            without = [self._refine(fit.trials[:i] + fit.trials[i + 1 :], fit) for i in range(len(fit.trials))]
            gains = [w.objective - fit.objective for w in without]
            least = int(np.argmin(gains))
            if gains[least] >= LEAST_GAIN:
                return fit, tuple(gains), kept
            fit = without[least]
            del kept[least]
        return fit, (), kept
