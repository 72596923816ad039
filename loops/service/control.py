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
    reason: str = Field(default="", max_length=1000)
    """Why, in the words of whoever said it."""
    number: int = 0
    """Counts what was said. Unlike `at` it never repeats, whatever the clock does; a new priority does not count."""
    at: float = 0.0
    """When it was said, seconds since 1970."""


def read_control(directory: Path) -> Control:
    """What is wanted; `run` where nobody said anything, or where the file is damaged."""
    try:
        return Control.model_validate_json(read_limited(directory / FILE_NAME, 10_000) or "{}")
    except ValidationError:
        return Control()


def write_control(
    directory: Path, wanted: Wanted | None = None, priority: int | None = None, reason: str = ""
) -> Control:
    """Change what is wanted. Raises LedgerError where there is no campaign, or the disk refuses."""
    if not holds_ledger(directory):
        raise LedgerError(f"No campaign in {directory}.", "Name a campaign directory.")
    old = read_control(directory)
    said = {} if wanted is None else {"wanted": wanted, "reason": reason, "number": old.number + 1, "at": time.time()}
    weight = {} if priority is None else {"priority": priority}
    try:
        new = Control.model_validate(old.model_dump() | said | weight)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        remedy = "Give a number from 1 to 100." if name == "priority" else f"{first['msg']}."
        raise LedgerError(f"{name.capitalize()} {str(first['input'])[:100]} cannot be used.", remedy) from error
    try:
        write_durably(directory / FILE_NAME, new.model_dump_json())
    except OSError as error:
        raise LedgerError(
            f"Cannot write {directory / FILE_NAME}: {error.strerror}.", "Free space or check permissions."
        ) from error
    return new
