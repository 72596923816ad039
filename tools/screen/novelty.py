"""Is it new? Compared with crystals that the caller names as known, e.g. from a folder of CIFs or a database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core.structure import read_structure
from ..core.types import Candidate, Crystal, Verdict
from .duplicates import DuplicateIndex

MAX_FILES = 20_000
"""More files than this in a folder of known crystals are refused: matching against them would stall a round."""


class NoveltyScreen:
    """Rejects crystals that are known already; see `Screen`.

    Args:
        known: (name, crystal) pairs.
    """

    name = "novelty"

    def __init__(self, known: Sequence[tuple[str, Crystal]]) -> None:
        self._index = DuplicateIndex()
        for name, crystal in known:
            self._index.add(name, crystal)

    def check(self, candidate: Candidate) -> Verdict:
        """See `Screen.check`; the reason names the known crystal."""
        twin = self._index.find(candidate.crystal)
        reason = "" if twin is None else f"is known: the same crystal as {twin}"
        return Verdict(screen=self.name, passed=twin is None, reason=reason)


def known_crystals(folder: Path) -> list[tuple[str, Crystal]]:
    """Every CIF of a folder, by file name. Raises ToolError for one that is not a readable crystal."""
    return [(path.name, read_structure(path)) for path in sorted(folder.glob("*.cif"))[:MAX_FILES]]
