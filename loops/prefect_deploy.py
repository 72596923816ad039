"""Campaigns as deployments of a Prefect server: a person starts, pauses, stops them in Prefect's page.

`Deployments` is for the service, which keeps the process alive. The process is this module run with arguments: it
registers one deployment a campaign and the daily digest, and runs what is asked for, one process a run.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .ledger import holds_ledger
from .prefect_client import ClientProcess
from .prefect_server import PrefectServer

CAMPAIGN_FLOW = "lodestone-campaign"
LIMIT = 4
"""Runs at one time; each is a process of some 150 MB for some seconds."""
POLL_S = 5.0
PAGE = 200
"""Prefect gives no more deployments at once."""
END_S = 5.0


class Deployments:
    """The process that serves the deployments, watched."""

    def __init__(
        self,
        root: Path,
        server: PrefectServer,
        actions: str,
        note: Callable[[str], None],
        cron: str = "0 8 * * *",
        timezone: str = "UTC",
    ) -> None:
        """Args:
        root: the folder that holds the campaigns' directories.
        actions: `module:function`, called as `function(root, campaign, action)` in a process of its own; it answers
            in a sentence, which the page shows. Actions: start, pause, stop, status, and digest (campaign is "").
        cron: when the daily digest is asked for, in `timezone`.
        """
        arguments = ["lodestone.loops.prefect_deploy", str(root), "--cron", cron, "--timezone", timezone]
        self._server = server
        self._client = ClientProcess(
            arguments, server, note, {"LODESTONE_PREFECT_ACTIONS": actions, "LODESTONE_PREFECT_ROOT": str(root)}
        )

    @property
    def pid(self) -> int | None:
        """Of the process that serves now."""
        return self._client.pid

    def watch(self) -> None:
        """Start or restart the process where the server is well. Never waits; call it about once a second."""
        self._client.watch(self._server.is_well)

    def stop(self) -> None:
        """End the process; takes some seconds."""
        self._client.end(END_S)


def campaigns_of(root: Path) -> list[str]:
    """Names of the directories in `root` that hold a ledger, sorted."""
    return sorted(p.name for p in root.iterdir() if p.is_dir() and holds_ledger(p))


async def serve_deployments(root: Path, cron: str, timezone: str) -> None:
    """Register the deployments and run what is asked for, until SIGTERM or the end of standard input.

    The server's address and token, and the function that is called, come by the environment.
    """
    from prefect.runner import Runner
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    from .prefect_actions import control_campaign, send_digest

    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    runner = Runner(name="lodestone", limit=LIMIT, query_seconds=POLL_S, pause_on_shutdown=False)

    def end(*_: Any) -> None:
        loop.call_soon_threadsafe(ending.set)

    # Prefect's own handler stops the runner from inside a signal handler, which can wait for itself.
    runner.handle_sigterm = end
    signal.signal(signal.SIGINT, end)
    loop.add_reader(sys.stdin.fileno(), lambda: None if os.read(sys.stdin.fileno(), 4096) else end())
    await runner.aadd_deployment(
        await send_digest.ato_deployment(
            name="daily-digest", schedules=[Cron(cron, timezone=timezone)], entrypoint_type=EntrypointType.MODULE_PATH
        )
    )
    serving = asyncio.create_task(runner.start())
    asked = asyncio.create_task(ending.wait())
    known: set[str] = set()
    try:
        while not ending.is_set() and not serving.done():
            found = set(campaigns_of(root))
            for name in sorted(found - known):
                await runner.aadd_deployment(
                    await control_campaign.ato_deployment(
                        name=name,
                        parameters={"campaign": name, "action": "status"},
                        entrypoint_type=EntrypointType.MODULE_PATH,
                    )
                )
            if known != found:
                await remove_deployments(keep=found)
            known = found
            await asyncio.wait([asked, serving], timeout=POLL_S, return_when="FIRST_COMPLETED")
    finally:
        if serving.done():
            serving.result()
        else:
            await runner.astop()
            await asyncio.wait([serving], timeout=END_S / 2)


async def remove_deployments(keep: set[str]) -> None:
    """Remove the deployments of campaigns that are not in `keep`."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName
    from prefect.client.schemas.sorting import DeploymentSort

    mine = FlowFilter(name=FlowFilterName(any_=[CAMPAIGN_FLOW]))
    async with get_client() as client:
        found: list[Any] = []
        while page := await client.read_deployments(
            flow_filter=mine, sort=DeploymentSort.NAME_ASC, limit=PAGE, offset=len(found)
        ):
            found += page
        for deployment in found:
            if deployment.name not in keep:
                await client.delete_deployment(deployment.id)


def main() -> None:
    """`python -m lodestone.loops.prefect_deploy ROOT --cron … --timezone …`"""
    parser = argparse.ArgumentParser(description="Serve the deployments of a folder of campaigns.")
    parser.add_argument("root", type=Path)
    parser.add_argument("--cron", required=True)
    parser.add_argument("--timezone", required=True)
    options = parser.parse_args()
    asyncio.run(serve_deployments(options.root, options.cron, options.timezone))


if __name__ == "__main__":
    main()
