"""What former campaigns measured: the surrogate learns from it, nothing is paid for it, nothing of it counts as found.

Values of one method on crystals of one potential go together; others would have to be corrected first (a second opinion
does that inside one campaign). They are copied into the new ledger when a campaign is made, so that it goes on without
the former one, and unchanged. What is not here: former tables without crystals (`formers.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..surrogate.campaign_model import Measurement, PoolPoint
from ..tools.core.errors import ConfigError
from ..tools.core.types import Frozen
from .knowledge import Knowledge
from .ledger import Ledger, holds_ledger
from .versions import ORIGINAL, active

MOST = 500
"""Measured crystals taken from one former campaign: the best and the latest."""


class Inherited(Frozen):
    """A crystal that a former campaign measured, as the surrogate sees it; catalogue's units."""

    candidate_id: str
    amounts: dict[str, float]
    embedding: tuple[float, ...]
    extras: dict[str, float]
    cheap: dict[str, float]
    values: dict[str, float]

    def measurement(self) -> Measurement:
        """For the surrogate."""
        point = PoolPoint(self.candidate_id, self.amounts, self.embedding, self.extras, self.cheap)
        return Measurement(point, self.values)


def inherit(directories: Sequence[str], method: str, potential: str) -> tuple[list[Inherited], list[str]]:
    """Read former campaigns, and leave them as they are.

    Args:
        directories: of the campaigns.
        method: of the new campaign's evaluator, in its own words.
        potential: its relaxation potential, with version.

    Returns:
        What is taken, each crystal once, and a note in words for each campaign.

    Raises:
        ConfigError: no campaign there, another method or potential, one that has learned, or nothing measured.
        LedgerError: its ledger is damaged or of another version.
    """
    found: dict[str, Inherited] = {}
    notes = []
    for directory in directories:
        if not holds_ledger(Path(directory)):
            raise ConfigError(f"There is no campaign in {directory}.", "Check [surrogate] former, or --former.")
        knowledge = Knowledge.read(Ledger.open(Path(directory), read_only=True), max_training=MOST)
        for what, theirs, ours in (
            ("evaluator", knowledge.method, method),
            ("relaxation potential", knowledge.potential, potential),
        ):
            if theirs != ours:
                raise ConfigError(
                    f"The campaign in {directory} used another {what}: {theirs}.",
                    f"Values can be taken over where it is the same as here: {ours}.",
                )
        if (version := active(knowledge.ledger)).name != ORIGINAL:
            raise ConfigError(
                f"The potential of the campaign in {directory} has learned: its energies are those of {version.name}.",
                f"`lodestone potential {directory} --use {ORIGINAL}` gives it those that this campaign begins with.",
            )
        measurements, _ = knowledge.measurements({})
        if not measurements:
            raise ConfigError(f"The campaign in {directory} has measured nothing.", "Leave it out of --former.")
        for m in measurements:
            point = m.point
            found[point.candidate_id] = Inherited(
                candidate_id=point.candidate_id,
                amounts=dict(point.amounts),
                embedding=tuple(float(x) for x in point.embedding),
                extras=dict(point.extras),
                cheap=dict(point.cheap),
                values=dict(m.values),
            )
        notes.append(f"learns from {len(measurements)} crystals that the campaign in {directory} measured")
    return list(found.values()), notes
