"""The recogniser on disk: safetensors beside a JSON card with classes, sizes, figures and the weights' sha256.

What is not here: how the weights came about (`train.py`). Import this module lazily: it needs torch.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from ..core.errors import ToolError
from ..core.types import Frozen
from .network import Architecture, CrystalNetwork

HERE = Path(__file__).parent
WEIGHTS, CARD = "recogniser.safetensors", "recogniser.json"
MAX_WEIGHTS_BYTES, MAX_CARD_BYTES = 3_000_000, 1_000_000

_REMEDY = "Reinstall Lodestone, or train again: python -m lodestone.tools.recognise.train --out DIR"


class HeldOut(Frozen):
    """Shares right on crystals that training never saw; `noise` is a Lindemann ratio, `n` the number of crystals."""

    noise: float
    crystals: str
    n: int
    crystal_system: float
    prototype: float | None = None


class Card(Frozen):
    """What one has to know to use a set of weights, and to judge it."""

    name: str = "lodestone-recogniser"
    version: int = 1
    sha256: str
    architecture: dict[str, int]
    systems: tuple[str, ...]
    prototypes: tuple[str, ...] = Field(min_length=1)
    training: dict[str, float] = Field(default_factory=dict)
    held_out: tuple[HeldOut, ...] = ()

    @property
    def model(self) -> str:
        """Name, version and the first eight digits of the checksum."""
        return f"{self.name}-{self.version}-{self.sha256[:8]}"


def save(directory: Path, network: CrystalNetwork, card: dict[str, Any]) -> Card:
    """Write weights and card; `card` holds every field but checksum and architecture."""
    data = save_tensors({k: v.detach().contiguous() for k, v in network.state_dict().items()})
    whole = Card(sha256=hashlib.sha256(data).hexdigest(), architecture=network.arch.to_json(), **card)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / WEIGHTS).write_bytes(data)
    (directory / CARD).write_text(whole.model_dump_json(indent=1) + "\n")
    return whole


def load(directory: Path = HERE) -> tuple[CrystalNetwork, Card]:
    """Read and check weights and card.

    Raises ToolError when a file is missing, too large, unreadable, or the checksum or a shape does not fit.
    """
    text = _read(directory / CARD, MAX_CARD_BYTES)
    data = _read(directory / WEIGHTS, MAX_WEIGHTS_BYTES)
    try:
        card = Card.model_validate_json(text)
        architecture = Architecture(**card.architecture)
    except (ValidationError, TypeError) as error:
        raise ToolError(f"{directory / CARD} does not describe a recogniser: {error}", _REMEDY) from error
    found = hashlib.sha256(data).hexdigest()
    if found != card.sha256:
        raise ToolError(f"{directory / WEIGHTS} has sha256 {found[:12]}…, expected {card.sha256[:12]}….", _REMEDY)
    network = CrystalNetwork(architecture)
    try:
        network.load_state_dict(load_tensors(data))
    except (RuntimeError, ValueError) as error:
        raise ToolError(f"{directory / WEIGHTS} does not fit its card: {error}", _REMEDY) from error
    return network.eval(), card


def _read(path: Path, largest: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > largest:
            raise ToolError(f"{path} has {size} bytes; at most {largest} are expected.", _REMEDY)
        return path.read_bytes()
    except OSError as error:
        raise ToolError(f"{path} cannot be read: {error.strerror}.", _REMEDY) from error
