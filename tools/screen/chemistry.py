"""Is it inside the chemical space that was asked for, and, where wanted, do its charges balance?"""

from __future__ import annotations

from functools import lru_cache

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
        elements = set(candidate.crystal.species)
        if outside := sorted(elements - set(space.allowed)):
            return f"holds {', '.join(outside)}, which the goal does not allow"
        if missing := sorted(set(space.required) - elements):
            return f"lacks {', '.join(missing)}"
        low, high = space.n_elements
        if not low <= len(elements) <= high:
            return f"{len(elements)} elements, {low} to {high} are wanted"
        if space.formula is not None and candidate.formula != space.formula:
            return f"is {candidate.formula}, {space.formula} is wanted"
        if len(candidate.crystal) > space.max_atoms:
            return f"{len(candidate.crystal)} atoms in the cell, at most {space.max_atoms} are wanted"
        if self._neutral and not _is_neutral(candidate.formula):
            return f"{candidate.formula} is not neutral in known oxidation states, and no alloy"
        return ""


@lru_cache(maxsize=4096)
def _is_neutral(formula: str) -> bool:
    from smact.screening import smact_validity

    return bool(smact_validity(formula, include_alloys=True, mixed_valence=True))
