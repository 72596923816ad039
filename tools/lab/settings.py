"""`[laboratory]`"""

from __future__ import annotations

from pydantic import Field

from ..core.types import Frozen


class LaboratorySettings(Frozen):
    """Which laboratory makes what is asked for."""

    directory: str = ""
    """Folder of the laboratory (docs/laboratory.md); empty: a twin inside the campaign."""
    experiments: int = Field(default=20, ge=1, le=10_000)
    """Samples where a request gives no number."""
    twin_seed: int = Field(default=0, ge=0, lt=2**31)
    """Of the twin inside the campaign: another seed is another chemistry of reaction rates."""
    twin_speed: float = Field(default=20_000.0, gt=0.0, le=1e6)
    """Laboratory seconds in one second of the wall clock, of that twin."""
