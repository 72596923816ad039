"""File names made from data: a crystal's name can never choose a folder or hide another file."""

from __future__ import annotations

import re

from ..record import EvaluatedCrystal


def safe_name(text: str) -> str:
    """Only letters, digits and single dashes, at most 40 characters."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:40] or "x"


def crystal_stem(rank: int, crystal: EvaluatedCrystal) -> str:
    """File name without suffix: rank, formula, space-group number and identity, e.g. `001_NaCl_225_0a1b…`."""
    return f"{rank:03d}_{safe_name(crystal.formula)}_{crystal.space_group}_{safe_name(crystal.candidate_id)}"


STEM_PATTERN = re.compile(r"\d{3,}_[A-Za-z0-9-]+_\d{1,3}_[A-Za-z0-9-]+")
"""What `crystal_stem` yields: a rewritten report removes its own stale files by it, and no others."""
