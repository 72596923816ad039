"""What another table taught: an earlier campaign, another laboratory, a simulation of the same thing.

The model of the former table predicts each row of the present one, and that prediction is one more feature of further
members of the ensemble. Nothing is assumed of how the two outcomes go together (unit, sign, offset, whether at all):
the process learns it, and members without the feature stand beside, so that a former table that misleads is outvoted by
what leaving one out shows (the idea of stacking, as in Golovin et al., "Google Vizier", KDD 2017). What is not
here: how members are weighed (`ensemble.py`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...tools.core.errors import ToolError
from .aims import HOPEFUL, Aim, optimism, worth
from .choice import Row
from .columns import Space, Value
from .ensemble import Ensemble, fit_ensemble

if TYPE_CHECKING:
    import torch

PARTICLES = 8
"""Of each member of the former ensemble that predict a row."""

FEATURE_STD = 1.0 / math.sqrt(12.0)
"""Deviation of the feature over the former rows: that of a column of numbers spread evenly over its range."""

LEAST = 5
"""Measured rows of a former table below which it teaches nothing."""


@dataclass(frozen=True)
class Former:
    """A former table's model, for rows of the present table."""

    name: str
    ensemble: Ensemble
    places: tuple[int, ...]
    """Of the columns that both tables have, in the rows of the present one."""
    measured: int
    """Rows that it was learned from."""

    def shared(self, rows: Sequence[Sequence[Value]]) -> list[tuple[Value, ...]]:
        """The part of rows that the former table has as well."""
        return [tuple(row[place] for place in self.places) for row in rows]

    def feature(self, rows: Sequence[Sequence[Value]]) -> torch.Tensor:
        """What it expects of rows of the present table, `m x 1`, scaled as columns of numbers are."""
        ensemble = self.ensemble
        mean, _ = ensemble.mixture(ensemble.latent(self.shared(rows)), noise=False).moments()
        return mean.unsqueeze(-1) * FEATURE_STD


@dataclass(frozen=True)
class Trusting:
    """Judges rows by a former table alone: all that there is before anything is measured."""

    former: Former
    aim: Aim
    hope: float = HOPEFUL[1]

    def thinned(self) -> Trusting:
        """Itself: a former table's ensemble is thin."""
        return self

    def among(self, candidates: int) -> Trusting:
        """With the hope for so many candidates."""
        return replace(self, hope=optimism(candidates))

    def score(self, rows: Sequence[Row]) -> torch.Tensor:
        """What each is worth; `m`."""
        ensemble = self.former.ensemble
        return worth(ensemble, ensemble.latent(self.former.shared(rows)), self.aim, None, self.hope)

    def believe(self, row: Row) -> Trusting:
        """As if the row had been measured and gave what was expected."""
        believed = self.former.ensemble.believe(self.former.shared([row])[0])
        return replace(self, former=replace(self.former, ensemble=believed))


def learn_former(
    name: str,
    present: Sequence[str],
    space: Space,
    rows: Sequence[Sequence[Value]],
    values: Sequence[float],
    *,
    maximise: bool,
    seed: int = 0,
) -> Former:
    """Learn a former table.

    Args:
        name: what a user calls it.
        present: names of the columns of the present table, in the order of its rows' cells.
        space: of the columns that both have, surveyed over the rows of both.
        rows: measured rows of the former table, with the cells of `space`.
        values: their outcomes.
        maximise: whether high is good, for the present table before anything is measured.
        seed: of the sample of hyperparameters.

    Raises:
        ToolError: fewer than `LEAST` rows.
    """
    if len(rows) < LEAST:
        raise ToolError(
            f"{name} has {len(rows)} measured rows.", f"A former table teaches something from {LEAST} on; leave it out."
        )
    ensemble = fit_ensemble(space, rows, values, maximise=maximise, seed=seed)
    return Former(name, ensemble.thinned(PARTICLES), tuple(present.index(n) for n in space.names), len(rows))
