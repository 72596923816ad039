"""The process that shows a campaign's rounds in Prefect: one short flow run a round, a task a stage, artifacts.

It works nothing: a task ends when the campaign has written that the stage did. So whatever Prefect's client, its
engine or the server do (block, leak, raise, die) happens here, and this process can be killed and started again at
any moment. It ends by itself after some rounds, which bounds its memory, when there is nothing to show for a while,
and on the first failure of Prefect; the campaign starts it again once the server is well.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import queue
import select
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..tools.evaluate.process import hold_lock
from .prefect_spool import CUT_SHORT, parse, remove, tries_file, waiting

ROUND_FLOW = "lodestone-round"
TRIES = 5
PAGE = 200
POLL_S = 0.2
IDLE_S = 60.0
"""Without a round, then the process ends."""
STUCK_S = 45.0
"""In one call of Prefect, then the process ends: some of its waits have no limit."""
LINGER_S = 120.0
"""After the campaign has ended, for rounds that are still to be shown."""
FAILED = 75
"""Exit status (`EX_TEMPFAIL`): what was not shown is to be tried again."""


class RoundError(Exception):
    """The round or stage failed in the campaign, in its words."""


class Watch:
    """Knows whether the campaign lives, and ends this process when Prefect is stuck."""

    def __init__(self, campaign: int) -> None:
        self._campaign = campaign
        self._touched = time.monotonic()
        self.over_since: float | None = None
        """When the campaign let go of its end of the pipe."""
        threading.Thread(target=self._guard, daemon=True, name="stuck").start()

    def touch(self) -> None:
        """Something went on: Prefect is not stuck."""
        self._touched = time.monotonic()

    def pause(self) -> None:
        """Wait a moment outside of Prefect."""
        self.touch()
        if self.over_since is not None:
            time.sleep(POLL_S)
        elif select.select([self._campaign], [], [], POLL_S)[0] and not os.read(self._campaign, 4096):
            self.over_since = time.monotonic()

    def _guard(self) -> None:
        while time.monotonic() - self._touched < STUCK_S:
            time.sleep(1.0)
        say("Prefect's client was stuck; it is started again.")
        faulthandler.dump_traceback()
        os._exit(FAILED)


def main() -> int:
    """Show the rounds of a spool folder, oldest first, until told to end; exit status 75 asks for another try."""
    parser = argparse.ArgumentParser(description="Show the rounds of a campaign in Prefect.")
    parser.add_argument("spool", type=Path)
    parser.add_argument("--rounds", type=int, default=50, help="end after so many")
    options = parser.parse_args()
    watch = Watch(sys.stdin.fileno())
    while True:
        with suppress(BlockingIOError):
            # One mirror a folder; the one of a killed session may still be at it.
            hold_lock(options.spool / "mirror.lock")
            break
        watch.pause()
    idle_since = time.monotonic()
    shown = 0
    while shown < options.rounds:
        records = waiting(options.spool)
        if not records:
            if watch.over_since is not None or time.monotonic() - idle_since > IDLE_S:
                return 0
            watch.pause()
            continue
        if watch.over_since is not None and time.monotonic() - watch.over_since > LINGER_S:
            return FAILED
        if not show_once(records[0], watch):
            return FAILED
        shown += 1
        idle_since = time.monotonic()
    return 0


def show_once(record: Path, watch: Watch) -> bool:
    """Show one record and remove it; False when Prefect failed and it is to be tried again."""
    watch.touch()
    tries = read_tries(record)
    if tries >= TRIES:
        say(f"A round could not be shown in {TRIES} tries; it is left out.")
        remove(record)
        return True
    try:
        tries_file(record).write_text(str(tries + 1))
        if tries:
            forget(record)
        show(record, watch)
    except RoundError:
        pass
    except Exception as error:  # noqa: BLE001  Prefect raises its own, httpx's and the database's errors
        say(f"Prefect failed ({type(error).__name__}: {str(error)[:120]}); the round is shown again later.")
        return False
    remove(record)
    return True


def show(record: Path, watch: Watch) -> None:
    """One flow run that follows a record to its end.

    Raises:
        RoundError: the round failed, and is shown so.
        Exception: whatever Prefect raises; the round is not shown to its end.
    """
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE
    from prefect.task_runners import ThreadPoolTaskRunner

    first = next(read(record), {})
    began = datetime.fromtimestamp(float(first.get("at", time.time())), UTC)
    name = str(first.get("name", record.stem))

    @flow(
        name=ROUND_FLOW,
        flow_run_name=name,
        retries=0,
        persist_result=False,
        validate_parameters=False,
        log_prints=False,
        task_runner=ThreadPoolTaskRunner(max_workers=4),
    )
    def lodestone_round(record_key: str, began: str, ended: str) -> None:  # noqa: ARG001  shown with the flow run
        gates: dict[int, tuple[queue.SimpleQueue[str], Any]] = {}
        for event in follow(record, watch):
            what, number = event.get("what"), int(event.get("number", 0))
            if what == "stage":
                gate: queue.SimpleQueue[str] = queue.SimpleQueue()
                shown = task(
                    name=str(event["name"]), retries=0, cache_policy=NO_CACHE, persist_result=False, log_prints=False
                )(pass_gate)
                gates[number] = gate, shown.submit(gate)
            elif what == "stage-end" and number in gates:
                end_stage(gates.pop(number), str(event.get("error", "")))
            elif what == "artifact":
                make_artifact(event)
            elif what == "end":
                for gate_and_future in gates.values():
                    end_stage(gate_and_future, str(event.get("error")) or "The stage did not end.")
                if event.get("error"):
                    raise RoundError(event["error"])

    # Empty while it is shown as it happens; for a round that is shown late, the flow run's own times say nothing.
    ended = [datetime.fromtimestamp(float(e["at"]), UTC).isoformat() for e in read(record) if e.get("what") == "end"]
    # No tags here: Prefect asks the server about concurrency limits for each task with tags, and can wait for ever.
    lodestone_round(str(first.get("key", "")), began.isoformat(), (ended or [""])[-1])


def pass_gate(gate: queue.SimpleQueue[str]) -> None:
    """A stage, as Prefect sees it: it lasts until the campaign says that it ended."""
    if error := gate.get():
        raise RoundError(error)


def end_stage(gate_and_future: tuple[queue.SimpleQueue[str], Any], error: str) -> None:
    """Let the task of a stage end, and wait until it has."""
    gate, future = gate_and_future
    gate.put(error)
    future.wait()


def make_artifact(event: dict[str, Any]) -> None:
    """One artifact of the flow run that runs now."""
    from prefect import artifacts

    kind, key, title, content = (event[k] for k in ("kind", "key", "title", "content"))
    if kind == "table":
        artifacts.create_table_artifact(table=content, key=key, description=title)
    elif kind == "markdown":
        artifacts.create_markdown_artifact(markdown=content, key=key, description=title)
    elif kind == "link":
        artifacts.create_link_artifact(link=content, link_text=title, key=key, description=title)
    elif kind == "progress":
        artifacts.create_progress_artifact(progress=float(content), key=key, description=title)


def forget(record: Path) -> None:
    """Remove the flow run of a try that broke off, wherever that was: it would be shown as running for ever."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterName
    from prefect.client.schemas.sorting import FlowRunSort

    first = next(read(record), {})
    same_name = FlowRunFilter(name=FlowRunFilterName(any_=[str(first.get("name", record.stem))]))
    with get_client(sync_client=True) as client:
        # Prefect 3.8's synchronous client sends null for what is left out here, and its server refuses that.
        for run in client.read_flow_runs(flow_run_filter=same_name, sort=FlowRunSort.ID_DESC, limit=PAGE):
            if run.parameters.get("record_key") == first.get("key", ""):
                client.delete_flow_run(run.id)


def read(record: Path) -> Iterator[dict[str, Any]]:
    """The complete lines of a record so far."""
    for line in record.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            yield parse(line)


def follow(record: Path, watch: Watch) -> Iterator[dict[str, Any]]:
    """The lines of a record as they are written, to the one that ends it.

    A record that nobody ends, because its campaign is dead or already at the next round, is ended here.
    """
    with record.open("rb") as file:
        rest = b""
        while True:
            was_last = watch.over_since is None and waiting(record.parent)[-1:] == [record]
            rest += file.read()
            *lines, rest = rest.split(b"\n")
            for line in lines:
                event = parse(line)
                watch.touch()
                yield event
                if event.get("what") == "end":
                    return
            if not was_last:
                yield {"what": "end", "error": CUT_SHORT}
                return
            watch.pause()


def read_tries(record: Path) -> int:
    """How often it was tried to show a record."""
    with suppress(OSError, ValueError):
        return int(tries_file(record).read_text())
    return 0


def say(text: str) -> None:
    """A line for the campaign's notes, where it still listens."""
    with suppress(OSError):
        os.write(sys.stdout.fileno(), text.encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
