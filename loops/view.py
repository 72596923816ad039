"""What a running campaign tells whoever watches. The rich live view is in `live.py`; tests use this silent one."""

from __future__ import annotations

from ..tools.core.plans import RoundPlan
from .knowledge import Knowledge


class View:
    """Silent base: every method may be overridden, none has to be."""

    def planned(self, plan: RoundPlan) -> None:
        """A round starts with this plan."""

    def stage(self, name: str, total: int) -> None:
        """A stage starts; `total` steps are expected (0: not known)."""

    def progress(self, done: int, total: int) -> None:
        """The current stage went on."""

    def known(self, knowledge: Knowledge) -> None:
        """What is known has changed."""

    def note(self, text: str) -> None:
        """Something worth a line."""

    def person(self, text: str) -> None:
        """Something that only a person can settle."""
        self.note(text)
