"""Is it inside the chemical space that was asked for?"""

from __future__ import annotations

from ..core.types import Candidate, ChemicalSpace, Verdict


class ChemistryScreen:
    """Rejects elements, numbers of elements and compositions outside a space; see `Screen`."""

    name = "chemistry"

    def __init__(self, space: ChemicalSpace) -> None:
        self._space = space

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
        return ""
