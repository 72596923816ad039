"""Is it new? Compared with crystals that the caller names as known, e.g. from a folder of CIFs or a database."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from ..core.errors import ToolError
from ..core.structure import read_structure
from ..core.types import Candidate, Crystal, Verdict
from .duplicates import DuplicateIndex

MAX_FILES = 20_000
"""More files than this in a folder of known crystals are refused: matching against them would stall a round."""


class NoveltyScreen:
    """Rejects crystals that are known already, or those that are not; see `Screen`.

    Args:
        known: (name, crystal) pairs.
        reject: `known` in a search for new crystals; `new` where known ones are to be found again.
    """

    name = "novelty"

    def __init__(self, known: Sequence[tuple[str, Crystal]], reject: Literal["known", "new"] = "known") -> None:
        self._reject = reject
        self._index = DuplicateIndex()
        for name, crystal in known:
            self._index.add(name, crystal)

    def check(self, candidate: Candidate) -> Verdict:
        """See `Screen.check`; the reason names the known crystal."""
        twin = self._index.find(candidate.crystal)
        reason = ""
        if self._reject == "known" and twin is not None:
            reason = f"is known: the same crystal as {twin}"
        elif self._reject == "new" and twin is None:
            reason = f"is none of the {len(self._index)} known crystals"
        return Verdict(screen=self.name, passed=not reason, reason=reason)


def known_crystals(folder: Path) -> list[tuple[str, Crystal]]:
    """Every CIF of a folder, by file name.

    Raises:
        ToolError: for one that is not a readable crystal, or more than `MAX_FILES` of them.
    """
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".cif")
    if len(paths) > MAX_FILES:
        raise ToolError(
            f"{folder} holds {len(paths)} CIF files; at most {MAX_FILES} are compared.", "Name a smaller folder."
        )
    return [(path.name, read_structure(path)) for path in paths]
