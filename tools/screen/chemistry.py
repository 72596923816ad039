"""Is it inside the chemical space that was asked for, and, where wanted, do its charges balance?"""

from __future__ import annotations

from functools import lru_cache

from ..core.eligibility import amounts_of, composition_misfit
from ..core.types import Candidate, ChemicalSpace, Verdict


class ChemistryScreen:
    """Rejects elements, numbers of elements and compositions outside a space; see `Screen`.

    Args:
        space: what was asked for.
        neutral: whether to reject formulas that are not neutral in known oxidation states, mixed valence included
            (`smact_validity`; Davies et al., JOSS 4, 1361 (2019)). Elements and alloys pass.
    """

    name = "chemistry"

    def __init__(self, space: ChemicalSpace, neutral: bool = False) -> None:
        self._space = space
        self._neutral = neutral

    def check(self, candidate: Candidate) -> Verdict:
        """See `Screen.check`."""
        return Verdict(screen=self.name, passed=not (reason := self._reason(candidate)), reason=reason)

    def _reason(self, candidate: Candidate) -> str:
        space = self._space
        if reason := composition_misfit(space, amounts_of(candidate.crystal.species), candidate.formula):
            return reason
        if len(candidate.crystal) > space.max_atoms:
            return f"{len(candidate.crystal)} atoms in the cell, at most {space.max_atoms} are wanted"
        if self._neutral and not _is_neutral(candidate.formula):
            return f"{candidate.formula} is not neutral in known oxidation states, and no alloy"
        return ""


@lru_cache(maxsize=4096)
def _is_neutral(formula: str) -> bool:
    from smact.screening import smact_validity

    return bool(smact_validity(formula, include_alloys=True, mixed_valence=True))
