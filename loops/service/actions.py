"""What a person can press in Prefect's page: it writes what is wanted, and does no work itself."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from ...tools.core.errors import LodestoneError
from ..ledger import holds_ledger
from ..summary import summarise, summary_text
from .control import Wanted, write_control

WANTED = {"start": "run", "pause": "pause", "stop": "stop"}


def act(root: Path, campaign: str, action: str) -> str:
    """Do one thing, and say what was done.

    Args:
        root: folder of the campaigns.
        campaign: directory name; empty for `digest`.
        action: start, pause, stop, status or digest.
    """
    if action == "digest":
        found = []
        for directory in sorted(p for p in root.iterdir() if p.is_dir() and holds_ledger(p)):
            try:
                found.append(summary_text(summarise(directory)))
            except LodestoneError as error:
                found.append(f"{directory.name}: {error}")
        return "\n\n".join(found) or "There is no campaign yet."
    directory = root / campaign
    if action == "status":
        return summary_text(summarise(directory))
    write_control(directory, cast(Wanted, WANTED[action]))
    return f"{campaign}: {action} is written down; the service does it."
