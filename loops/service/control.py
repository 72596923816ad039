"""What a person wants of a campaign, in a file beside it: works with and without a running service."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from ...tools.core.errors import LedgerError
from ...tools.core.types import Frozen
from ...tools.evaluate.process import read_limited, write_durably
from ..ledger import holds_ledger

FILE_NAME = "control.json"
Wanted = Literal["run", "pause", "stop"]


class Control(Frozen):
    """`pause`: no new work, running evaluations go on; `stop`: they are ended too."""

    wanted: Wanted = "run"
    priority: int = Field(default=10, ge=1, le=100)
    """Weight of its share of the cores."""
    at: float = 0.0
    """When it was said, seconds since 1970."""


def read_control(directory: Path) -> Control:
    """What is wanted; `run` where nobody said anything, or where the file is damaged."""
    try:
        return Control.model_validate_json(read_limited(directory / FILE_NAME, 10_000) or "{}")
    except ValidationError:
        return Control()


def write_control(directory: Path, wanted: Wanted | None = None, priority: int | None = None) -> Control:
    """Change what is wanted. Raises LedgerError where there is no campaign, or the disk refuses."""
    if not holds_ledger(directory):
        raise LedgerError(f"No campaign in {directory}.", "Name a campaign directory.")
    old = read_control(directory)
    try:
        new = Control(
            wanted=wanted or old.wanted, priority=old.priority if priority is None else priority, at=time.time()
        )
    except ValidationError as error:
        raise LedgerError(f"Priority {priority} cannot be used.", "Give a number from 1 to 100.") from error
    try:
        write_durably(directory / FILE_NAME, new.model_dump_json())
    except OSError as error:
        raise LedgerError(
            f"Cannot write {directory / FILE_NAME}: {error.strerror}.", "Free space or check permissions."
        ) from error
    return new
