"""Composing a batch for several targets: hypervolume, improvement within limits, or the limits alone.

What is not here: rows, targets and what was measured of them (`several.py`), and the acquisition (`../hypervolume.py`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..merit import FLOOR, log_expected_improvement
from ..processes.member import Latent, farthest
from .aims import Aim, chance, worth
from .choice import SCOUTS, SHORTLIST, Chosen, Row, shortlist
from .columns import Value
from .ensemble import Ensemble

if TYPE_CHECKING:
    import torch

    from ..hypervolume import Limit, PoolModel

OBJECTIVES = ("maximise", "minimise", "target")
"""Aims of which as much as possible is wanted; `within` is a limit."""

MEASURED = 300
"""Measured rows that may be on the front, at most: the best by expectation."""

ANCHORS = 20
"""Rows of the front, evenly spread over it, that the first look at a stream compares with."""

UNSEEN = -1e4
"""Below the logarithm of any gain that shows in samples: rows without one are ranked among themselves."""


@dataclass(frozen=True)
class Beliefs:
    """Aims with their ensembles. Outcomes here are standard ones (zero mean and unit spread of what was measured), but
    with their sign, so that no unit matters."""

    parts: tuple[tuple[Aim, Ensemble], ...]

    @property
    def objectives(self) -> int:
        return sum(aim.kind in OBJECTIVES for aim, _ in self.parts)

    def thinned(self) -> Beliefs:
        return replace(self, parts=tuple((aim, e.thinned(SCOUTS)) for aim, e in self.parts))

    def latents(self, rows: Sequence[Row]) -> list[list[Latent]]:
        return [e.latent(rows) for _, e in self.parts]

    def moments(self, latents: Sequence[list[Latent]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and deviation without noise, each `targets x m`."""
        import torch

        found = [e.mixture(own, noise=False).moments() for (_, e), own in zip(self.parts, latents, strict=True)]
        signs = torch.tensor([e.sign for _, e in self.parts], dtype=torch.float64)
        return signs[:, None] * torch.stack([m for m, _ in found]), torch.stack([s for _, s in found])

    def expected(self, rows: Sequence[Row]) -> torch.Tensor:
        """`m x targets`."""
        return self.moments(self.latents(rows))[0].T

    def model(self, rows: Sequence[Row]) -> PoolModel:
        """Joint beliefs about rows as BoTorch reads them."""
        import torch

        from ..hypervolume import PoolModel

        pairs = [(e, *e.joint(rows)) for _, e in self.parts]
        means = torch.stack([(mean - e.centre) / e.scale for e, mean, _ in pairs])
        return PoolModel(means, torch.stack([covariance / e.scale**2 for e, _, covariance in pairs]))

    def worth(self, samples: torch.Tensor) -> torch.Tensor:
        """Outcomes (`... x targets`) to objectives, high is good (`... x objectives`)."""
        import torch

        found = []
        for i, (aim, e) in enumerate(self.parts):
            value = samples[..., i]
            if aim.kind == "target":
                found.append(-(value - _standard(e, aim.value or 0.0)).abs())
            elif aim.kind in OBJECTIVES:
                found.append(value if aim.kind == "maximise" else -value)
        return torch.stack(found, dim=-1)

    def limits(self) -> list[Limit]:
        from ..hypervolume import above, below

        found = []
        for i, (aim, e) in enumerate(self.parts):
            if aim.lower is not None:
                found.append(above(i, _standard(e, aim.lower)))
            if aim.upper is not None:
                found.append(below(i, _standard(e, aim.upper)))
        return found

    def keeps(self, rows: Sequence[Row]) -> bool:
        """Whether one of the rows is expected to keep the limits."""
        from ..hypervolume import kept

        return bool(kept(self.expected(rows), self.limits()).any())

    def likely(self, rows: Sequence[Row]) -> list[Row]:
        """At most `MEASURED` rows, those that keep the limits first, and of them front after front."""
        import torch
        from botorch.utils.multi_objective.pareto import is_non_dominated

        from ..hypervolume import kept

        if len(rows) <= MEASURED:
            return list(rows)
        expected = self.expected(rows)
        good = kept(expected, self.limits())
        if not self.objectives:
            return [rows[i] for i in good.long().argsort(descending=True, stable=True)[:MEASURED].tolist()]
        value = self.worth(expected) - 1e6 * (~good).double().unsqueeze(-1)
        taken = torch.zeros_like(good)
        while int(taken.sum()) < MEASURED:
            left = (~taken).nonzero().squeeze(-1)
            taken[left[is_non_dominated(value[left], deduplicate=False)][: MEASURED - int(taken.sum())]] = True
        return [row for row, kept_one in zip(rows, taken.tolist(), strict=True) if kept_one]


@dataclass(frozen=True)
class Product:
    """Judges rows by the probability of the limits, times the expected improvement where there is one objective."""

    beliefs: Beliefs
    best: float | None
    """Of the objective, expected of a measured row that keeps the limits; the user's unit."""

    @staticmethod
    def of(beliefs: Beliefs, base: Sequence[Row]) -> Product:
        """Where no measured row is expected to keep the limits, they come first and objectives wait."""
        from ..hypervolume import kept

        expected = beliefs.expected(base)
        good = kept(expected, beliefs.limits())
        if beliefs.objectives != 1 or not bool(good.any()):
            return Product(Beliefs(tuple(p for p in beliefs.parts if p[0].kind not in OBJECTIVES)), None)
        place, (aim, e) = next((i, p) for i, p in enumerate(beliefs.parts) if p[0].kind in OBJECTIVES)
        return Product(beliefs, aim.best((expected[good, place] * e.scale + e.centre).tolist()))

    def thinned(self) -> Product:
        return replace(self, beliefs=self.beliefs.thinned())

    def among(self, candidates: int) -> Product:  # noqa: ARG002 (improvement needs no hope)
        return self

    def believe(self, row: Row) -> Product:
        return replace(self, beliefs=Beliefs(tuple((aim, e.believe(row)) for aim, e in self.beliefs.parts)))

    def score(self, rows: Sequence[Row]) -> torch.Tensor:
        import torch

        total = torch.zeros(len(rows), dtype=torch.float64)
        for (aim, e), latents in zip(self.beliefs.parts, self.beliefs.latents(rows), strict=True):
            if aim.kind in ("maximise", "minimise") and self.best is not None:
                mean, std = e.mixture(latents, noise=False).moments()
                total = total + log_expected_improvement(mean, std, e.standard(self.best), maximise=True)
            else:
                total = total + worth(e, latents, aim, self.best)
        return total

    def chance(self, rows: Sequence[Row]) -> list[float]:
        """That one measurement keeps the limits and beats the best."""
        import torch

        total = torch.ones(len(rows), dtype=torch.float64)
        for (aim, e), latents in zip(self.beliefs.parts, self.beliefs.latents(rows), strict=True):
            likely = chance(e, latents, aim, self.best)
            total = total if likely is None else total * likely
        return [float(p) for p in total]


def by_hypervolume(
    beliefs: Beliefs, base: Sequence[Row], stream: Iterable[Sequence[Value]], q: int, skipped: set[Row], seed: int
) -> list[tuple[Chosen, float]]:
    """At most q rows, each with its chance. Greedy: what is picked counts as measured, its outcomes integrated out."""
    import torch
    from linear_operator.utils.warnings import NumericalWarning

    from ..hypervolume import Hypervolume, on_front, rough_merit

    limits = beliefs.limits()
    front = [base[i] for i in on_front(beliefs.model(base), beliefs.worth, limits, seed).tolist()]
    rough = beliefs.thinned()
    anchors = rough.expected(front)
    anchors = anchors[farthest(anchors, ANCHORS)]
    bounds = Product(Beliefs(tuple(p for p in rough.parts if p[0].kind not in OBJECTIVES)), None)

    def first(rows: Sequence[Row]) -> torch.Tensor:
        means, stds = rough.moments(rough.latents(rows))
        gain = rough_merit(means, stds, anchors, beliefs.worth, limits)
        rest = UNSEEN + bounds.score(rows) + beliefs.worth(means.T).sum(-1)
        return torch.where(gain > UNSEEN / 2, gain, rest)

    listed, _ = shortlist(first, stream, max(SHORTLIST, 4 * q), skipped)
    if not listed:
        return []
    both = beliefs.model([*front, *(c.row for c in listed)])
    volume = Hypervolume(both, len(front), len(listed), beliefs.worth, limits, seed)
    likely = volume.chance()
    taken: list[int] = []
    found: list[tuple[Chosen, float]] = []
    while len(found) < min(q, len(listed)):
        if taken:
            volume.pend(taken)
        with warnings.catch_warnings():
            # A row that is picked meets itself in the covariances; its merit is not used.
            warnings.simplefilter("ignore", NumericalWarning)
            merit = volume.merit()
        # Below what stands for no gain at all, so that no row is taken twice.
        merit[taken] = 2 * FLOOR
        at = int(merit.argmax())
        found.append((replace(listed[at], score=float(merit[at])), float(likely[at])))
        taken.append(at)
    return found


def _standard(ensemble: Ensemble, value: float) -> float:
    return (value - ensemble.centre) / ensemble.scale
