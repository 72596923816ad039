"""What a code said of one configuration of atoms: the stuff that potentials learn from.

A label belongs to exactly the positions and the cell that it names; a relaxation yields one for each of its steps.
Kept as JSON lines, a label a line, which are data and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError, model_validator

from .errors import ToolError
from .types import Crystal, Frozen, Vector

LABELS_FILE = "labels.jsonl"
"""Name of the file that an evaluation leaves its labels in."""

MAX_LABELS_BYTES = 200_000_000
"""Of one file: some ten thousand cells of a hundred atoms."""


class Label(Frozen):
    """Energy, forces and (where the code gives it) stress of one configuration."""

    crystal: Crystal
    energy: float
    """eV for the cell, on the scale of the code that gave it."""
    forces: tuple[Vector, ...]
    """eV/Å, one for each atom."""
    stress: tuple[Vector, Vector, Vector] | None = None
    """eV/Å³, positive under tension (ASE's sign)."""
    source: str = ""
    """What it comes from. Labels of one source are alike, as the steps of one relaxation are: they are never split
    between training and held-out data."""

    @model_validator(mode="after")
    def _one_force_an_atom(self) -> Label:
        if len(self.forces) != len(self.crystal):
            raise ValueError(f"{len(self.forces)} forces for {len(self.crystal)} atoms")
        return self


def write_labels(path: Path, labels: Iterable[Label]) -> None:
    """One label a line; an earlier file of the name is replaced."""
    path.write_text("".join(label.canonical_json() + "\n" for label in labels), encoding="utf-8")


def read_labels(path: Path) -> list[Label]:
    """The labels of a file, in order.

    Raises:
        ToolError: it cannot be read, is too large, or a line of it is no label.
    """
    try:
        if path.stat().st_size > MAX_LABELS_BYTES:
            raise ToolError(f"{path} has more than {MAX_LABELS_BYTES} bytes of labels.", "Give fewer labels.")
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ToolError(f"Cannot read the labels {path}: {error}.", "Check the path and its permissions.") from error
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found.append(Label.model_validate_json(line))
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise ToolError(
                f"{path}, line {number}, is no label: {problem}.", "Take the line out, or make the file anew."
            ) from error
    return found
