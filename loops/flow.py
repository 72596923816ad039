"""Prefect shows the rounds: one short flow run a round, a task a stage, artifacts. The only module that imports it.

Prefect schedules and shows; the ledger decides. Whatever happens to the server or the client, the round is run to
its end, plainly if need be: each stage asks the ledger what is left to do, so running it again costs nothing.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx

from ..tools.core.errors import LodestoneError
from .settings import PrefectSettings

ROUND_FLOW = "lodestone-round"


class StageError(Exception):
    """Carries an error of Lodestone's own out of a Prefect run, told apart from Prefect's."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(str(cause))
        self.cause = cause


class PrefectShow:
    """A loopback Prefect server with its own token, and the wrapping of rounds into flow runs."""

    def __init__(self, directory: Path, settings: PrefectSettings, note: Callable[[str], None]) -> None:
        self._home = directory / "prefect"
        self._settings = settings
        self._note = note
        self._process: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._missed: list[tuple[str, Callable[[], dict[str, str]]]] = []
        self.url = ""
        self._auth = ""

    def start(self) -> None:
        """Start the server in the background; never waits and never raises for a server that does not start."""
        if not self._settings.enabled:
            return
        try:
            self._home.mkdir(parents=True, exist_ok=True)
            log = (self._home / "server.log").open("ab")
        except OSError as error:
            self._note(f"Prefect is off: {error.strerror}.")
            return
        port = _free_port()
        self._auth = auth = f"lodestone:{secrets.token_urlsafe(24)}"
        self.url = f"http://127.0.0.1:{port}"
        os.environ.update(
            PREFECT_HOME=str(self._home),
            PREFECT_API_URL=f"{self.url}/api",
            PREFECT_API_AUTH_STRING=auth,
            PREFECT_SERVER_API_AUTH_STRING=auth,
            PREFECT_SERVER_ANALYTICS_ENABLED="false",
            DO_NOT_TRACK="1",
            PREFECT_LOGGING_LEVEL="CRITICAL",
            PREFECT_LOGGING_INTERNAL_LEVEL="CRITICAL",
            PREFECT_LOGGING_TO_API_ENABLED="false",
            PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED="false",
            PREFECT_CLIENT_MAX_RETRIES="1",
        )
        with log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self) -> None:
        """End the server that this object started."""
        if self._process is None:
            return
        if self._missed and self._alive():
            self._catch_up()
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        try:
            # What it shows is derived from the ledger, so there is nothing that a gentle end would save.
            self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._process = None

    def run_round(
        self,
        name: str,
        body: Callable[[Callable[[str, Callable[[], None]], None]], None],
        artifacts: Callable[[], dict[str, str]],
    ) -> None:
        """Run `body(runner)` as a flow run named `name`, with markdown `artifacts` (key to text) at its end.

        Errors of the body itself come out as they are. When Prefect fails, before or in the middle, the body is
        run (again) without it.
        """
        if not self._alive():
            body(_plain)
            if self._process is not None:
                self._missed.append((name, artifacts))
            return
        self._catch_up()
        self._run_flow(name, body, artifacts)

    def _catch_up(self) -> None:
        """Show the rounds that were done before the server answered: a flow run with their artifacts, no work."""
        missed, self._missed = self._missed, []
        for name, artifacts in missed:
            self._run_flow(name, lambda _: None, artifacts)

    def _run_flow(
        self,
        name: str,
        body: Callable[[Callable[[str, Callable[[], None]], None]], None],
        artifacts: Callable[[], dict[str, str]],
    ) -> None:
        from prefect import flow, task
        from prefect.artifacts import create_markdown_artifact
        from prefect.cache_policies import NO_CACHE
        from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

        def run_stage(stage: str, work: Callable[[], None]) -> None:
            def guarded() -> None:
                try:
                    work()
                except (LodestoneError, KeyboardInterrupt) as error:
                    raise StageError(error) from error

            task(name=stage, retries=0, cache_policy=NO_CACHE, persist_result=False, log_prints=False)(guarded)()

        @flow(name=ROUND_FLOW, flow_run_name=name, retries=0, persist_result=False, validate_parameters=False)
        def lodestone_round() -> None:
            body(run_stage)
            for key, text in artifacts().items():
                create_markdown_artifact(markdown=text, key=key)

        try:
            # Prefect reads the environment once a process; a second campaign in it has another server.
            with temporary_settings({PREFECT_API_URL: f"{self.url}/api", PREFECT_API_AUTH_STRING: self._auth}):
                lodestone_round()
        except StageError as error:
            raise error.cause from None
        except (KeyboardInterrupt, LodestoneError):
            raise
        except Exception as error:  # noqa: BLE001  Prefect's client raises its own and httpx's errors; none may stop a campaign
            self._note(f"Prefect failed ({type(error).__name__}: {str(error)[:120]}); the round goes on without it.")
            self._ready = False
            body(_plain)

    def _alive(self) -> bool:
        """Whether the server answers; the first call waits a little for a server that is still starting."""
        if self._process is None:
            return False
        deadline = time.monotonic() + (1.0 if self._ready else self._settings.start_wait_s)
        while self._process.poll() is None:
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/api/health", timeout=1.0).status_code < 500:
                    self._ready = True
                    return True
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
        if self._ready or self._process.poll() is not None:
            self._note("The Prefect server does not answer; the campaign goes on without it.")
            self._ready = False
        return False


def _plain(_: str, work: Callable[[], None]) -> None:
    work()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
