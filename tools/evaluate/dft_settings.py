"""What can be set of a DFT code, whichever it is. What is not here: cutoffs, which belong to each code's potentials."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .base import EvaluatorSettings
from .hubbard import HubbardChoice


class DftSettings(EvaluatorSettings):
    """Settings that every DFT code has."""

    protocol: Literal["fast", "moderate", "precise"] = "fast"
    kspacing: float | None = Field(default=None, ge=0.05, le=2.0)
    """1/Å; takes the place of the protocol's spacing."""
    max_iterations: int = Field(default=200, ge=1, le=2000)
    """Of the self-consistency cycle."""
    relax: bool = False
    """Relax cell and positions first; otherwise all values belong to the geometry as given."""
    fmax: float = Field(default=0.05, gt=0.0, le=0.5)
    max_steps: int = Field(default=60, ge=1, le=1000)
    symprec: float = Field(default=0.01, gt=0.0, le=0.1)
    """Å; the crystal is moved onto the symmetry found at this tolerance, in its primitive cell."""
    hubbard: HubbardChoice = "none"
    """`mp`: the Materials Project's U of transition metals in oxides and fluorides (`hubbard.py`). Energies with and
    without U do not compare, so it gives no formation energies and no hull."""
    magnetic_orders: int = Field(default=1, ge=1, le=8)
    """Collinear orders that a crystal with magnetic elements is tried in (`magnetism.py`), of which the lowest in
    energy counts; 1: ferromagnetic alone. The `fast` protocol takes 1."""
