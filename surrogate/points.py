"""What the surrogate is told about a crystal, and about a measurement of one; plain frozen values.

What is not here: how they become features (`features.py`) and what is learned from them (`models.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PoolPoint:
    """A crystal that could be measured. Values are in the catalogue's units."""

    candidate_id: str
    amounts: Mapping[str, float]
    """Element symbol to amount; any common factor."""
    embedding: Sequence[float] = ()
    """From the crystal-graph network; empty where there is none."""
    extras: Mapping[str, float] = field(default_factory=dict)
    """Further scalars, e.g. density. `space_group` (1 to 230) is read as a category, not as a number."""
    cheap: Mapping[str, float] = field(default_factory=dict)
    """Property name to the relaxation potential's own prediction; absent where it makes none."""
    offsets: Mapping[str, float] = field(default_factory=dict)
    """`energy_above_hull` to the hull's formation energy (eV/atom) at this composition."""


@dataclass(frozen=True)
class Measurement:
    """Measured values (catalogue's units) of one crystal."""

    point: PoolPoint
    values: Mapping[str, float]
