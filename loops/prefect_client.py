"""A process that is a client of the Prefect server, kept alive from outside: started, restarted, ended.

Prefect's client lives in such processes only. It may block, leak or die there; its parent never waits for it.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from ..tools.core.errors import LedgerError
from .prefect_server import PrefectServer, bound, client_environment

BACK_OFF_MAX_S = 60.0
LOG_FILE = "clients.log"
"""In the server's home: what clients write to standard error."""


class ClientProcess:
    """`python -m MODULE ARGUMENT…`, told by the end of its standard input that its parent is gone."""

    def __init__(
        self,
        arguments: Sequence[str],
        server: PrefectServer,
        note: Callable[[str], None],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Args:
        arguments: module and its arguments.
        note: is told each line that the process writes; called in another thread.
        environment: on top of what a client of this server needs.
        """
        self._arguments = list(arguments)
        self._server = server
        self._note = note
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[str] | None = None
        self._url = ""
        self._failures = 0
        self._not_before = -float("inf")

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def watch(self, needed: bool) -> None:
        """Start the process where it is needed and not there, with back-off after failures. Never waits."""
        if self._process is not None and (code := self._process.poll()) is not None:
            self._failures = 0 if code == 0 else self._failures + 1
            self._back_off()
            self.leave()
        if self._process is not None and self._url != self._server.url:
            self._process.kill()
        elif self._process is None and needed and time.monotonic() >= self._not_before:
            self._start()

    def leave(self) -> None:
        """Close its standard input: it ends by itself when it has done what is left to do."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()

    def end(self, within_s: float) -> None:
        """SIGTERM, and SIGKILL after `within_s`."""
        process = self._process
        self.leave()
        if process is None:
            return
        process.terminate()
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _start(self) -> None:
        self._url = self._server.url
        try:
            log = self._server.home / LOG_FILE
            bound(log)
            with log.open("ab") as errors:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", *self._arguments],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    start_new_session=True,
                    env=client_environment(self._server.home, self._url, self._server.auth()) | self._environment,
                )
        except (OSError, LedgerError) as error:
            self._failures += 1
            self._back_off()
            self._note(f"Rounds cannot be shown in Prefect now: {error}")
            return
        threading.Thread(target=self._listen, args=(self._process,), daemon=True, name="prefect notes").start()

    def _back_off(self) -> None:
        self._not_before = time.monotonic() + (min(2.0**self._failures, BACK_OFF_MAX_S) if self._failures else 0.0)

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout, suppress(ValueError):
            for line in process.stdout:
                self._note(line.strip())
        process.wait()
