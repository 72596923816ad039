"""The flows behind the "Run" buttons of Prefect's page. They ask for something; the service does it.

Imported only by processes of Prefect's runner, which find the flows by their names here. No paid work runs in them:
each calls one function, which the service named, and which writes a control file.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from prefect import flow
from prefect.states import Completed

from ..tools.core.errors import ConfigError

ACTIONS = "LODESTONE_PREFECT_ACTIONS"
"""Environment: `module:function` of what is called with (root, campaign, action) and answers in a sentence."""
ROOT = "LODESTONE_PREFECT_ROOT"
"""Environment: the folder of the campaigns."""

DIGEST = "digest"
"""The action of the daily digest; its campaign is empty."""


@flow(name="lodestone-campaign", retries=0, persist_result=False)
def control_campaign(campaign: str, action: Literal["start", "pause", "stop", "status"] = "status") -> Any:
    """Ask the service to start, pause or stop a campaign, or how it stands."""
    return Completed(message=call(campaign, action))


@flow(name="lodestone-digest", retries=0, persist_result=False)
def send_digest() -> Any:
    """Ask the service for the digest of all campaigns."""
    return Completed(message=call("", DIGEST))


def call(campaign: str, action: str) -> str:
    """Call the service's function. Raises ConfigError when it is not named well or the campaign is not there."""
    module, _, name = os.environ.get(ACTIONS, "").partition(":")
    root = Path(os.environ.get(ROOT, ""))
    function: Callable[[Path, str, str], str] | None = None
    if module and name:
        function = getattr(importlib.import_module(module), name, None)
    if function is None:
        raise ConfigError(f"{ACTIONS} names no function: {module}:{name}.", "It is set by the service; restart it.")
    # The name comes from whoever fills in the form: it must not lead out of the folder.
    if campaign and campaign not in {p.name for p in root.iterdir() if p.is_dir()}:
        raise ConfigError(f"No campaign {campaign!r} in {root}.", "Run the deployment that has the campaign's name.")
    return function(root, campaign, action)
