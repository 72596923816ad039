"""A campaign's rounds, shown in Prefect: what happens is written down here, and another process shows it.

The round runs here, once, in the caller's own thread, and never waits for Prefect: the ledger decides, Prefect only
schedules and shows. `prefect_server.py` keeps the server alive, `prefect_mirror.py` turns records into flow runs.
"""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ..tools.core.errors import LedgerError
from .prefect_server import Patience, PrefectServer, client_environment
from .prefect_spool import Artifact, Record, Spool
from .settings import PrefectSettings

__all__ = ["Artifact", "PrefectShow"]

SHOW_LAST_S = 10.0
"""How long the end of a campaign waits for its last rounds to be shown, where the server is well."""
LOOK_S = 0.5
MIRROR_BACK_OFF_MAX_S = 60.0


class PrefectShow:
    """Shows the rounds of one campaign in its own Prefect server, or in one that is shared."""

    def __init__(
        self,
        directory: Path,
        settings: PrefectSettings,
        note: Callable[[str], None],
        *,
        server_home: Path | None = None,
        patience: Patience | None = None,
    ) -> None:
        """Args:
        directory: of the campaign; `prefect/` in it holds what is to be shown.
        note: is told in a sentence when the server is lost and when it is back, in the thread that runs the rounds.
        server_home: of a server shared by several campaigns, which outlives this one; None for a server of its own.
        """
        self._settings = settings
        self._tell = note
        self._notes: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._shared = server_home is not None
        self._spool = Spool(directory / "prefect" / "rounds", self._notes.put)
        home = server_home or directory / "prefect"
        self.server = PrefectServer(home, self._notes.put, patience, pending=self._spool.waiting)
        self._mirror = Mirror(self._spool.folder, self.server, self._notes.put)
        self._ending = threading.Event()
        self._keeper: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Address of the server, without `/api`; empty before its first start."""
        return self.server.url

    def start(self) -> None:
        """Begin to show: a thread keeps the server and the mirror alive. Never waits, and raises nothing."""
        if not self._settings.enabled:
            return
        try:
            self._spool.open()
        except OSError as error:
            self._tell(f"Prefect is off: {error.strerror}.")
            return
        self._keeper = threading.Thread(target=self._keep, name="prefect", daemon=True)
        self._keeper.start()

    def stop(self) -> None:
        """End what `start` began: at most about 15 s, most of it for the last rounds to be shown."""
        if self._keeper is None:
            return
        end = time.monotonic() + SHOW_LAST_S
        while not self._spool.is_empty() and self.server.is_well and time.monotonic() < end:
            time.sleep(0.05)
        self._ending.set()
        self._keeper.join()
        self._keeper = None
        # Where the server stays, its mirror stays a little too, for the rounds that are still to be shown.
        self._mirror.stop(stays=self._shared)
        if not self._shared:
            self.server.stop()
        self._pass_notes()

    def run_round(
        self,
        name: str,
        body: Callable[[Callable[[str, Callable[[], None]], None]], None],
        artifacts: Callable[[], Sequence[Artifact] | Mapping[str, str]],
    ) -> None:
        """Run `body(runner)` here and now, shown as a flow run named `name` with a task for each stage.

        Args:
            artifacts: called after the body; a mapping is one of markdown artifacts, key to text.

        Raises:
            Whatever `body` or `artifacts` raises, as it is; nothing of Prefect's.
        """
        record = self._spool.begin(name) if self._keeper is not None else Record(None, self._notes.put)

        def run_stage(stage: str, work: Callable[[], None]) -> None:
            self._pass_notes()
            number = record.stage(stage)
            try:
                work()
            except BaseException as error:
                record.stage_ended(number, _in_words(error))
                raise
            record.stage_ended(number)

        made: Sequence[Artifact] = ()
        try:
            body(run_stage)
            if self._keeper is not None:
                made = _as_artifacts(artifacts())
        except BaseException as error:
            record.ended((), _in_words(error))
            raise
        record.ended(made)
        self._pass_notes()

    def _keep(self) -> None:
        while not self._ending.wait(LOOK_S):
            well = self.server.watch()
            self._mirror.watch(well and not self._spool.is_empty())

    def _pass_notes(self) -> None:
        """Hand on what the keeper noted: the caller's `note` need not be safe for threads."""
        with suppress(queue.Empty):
            while True:
                self._tell(self._notes.get_nowait())


class Mirror:
    """The process that shows the rounds, started when there is something to show and ended with its campaign."""

    def __init__(self, spool: Path, server: PrefectServer, note: Callable[[str], None]) -> None:
        self._spool = spool
        self._server = server
        self._note = note
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
            pause = min(2.0**self._failures, MIRROR_BACK_OFF_MAX_S) if self._failures else 0.0
            self._not_before = time.monotonic() + pause
            self._close()
        if self._process is not None and self._url != self._server.url:
            self._process.kill()
        elif self._process is None and needed and time.monotonic() >= self._not_before:
            self._start()

    def stop(self, stays: bool) -> None:
        """Let the process see that its campaign is over; kill it unless it may stay and end by itself."""
        if self._process is None:
            return
        if not stays:
            self._process.kill()
        self._close()

    def _start(self) -> None:
        self._url = self._server.url
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "lodestone.loops.prefect_mirror", str(self._spool)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
                env=client_environment(self._server.home, self._url, self._server.auth()),
            )
        except (OSError, LedgerError) as error:
            self._failures += 1
            self._not_before = time.monotonic() + min(2.0**self._failures, MIRROR_BACK_OFF_MAX_S)
            self._note(f"Rounds cannot be shown in Prefect now: {error}")
            return
        threading.Thread(target=self._listen, args=(self._process,), daemon=True, name="prefect notes").start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with suppress(ValueError):  # closed by `_close` in the middle of a read
            for line in process.stdout:
                self._note(line.strip())

    def _close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()


def _as_artifacts(made: Sequence[Artifact] | Mapping[str, str]) -> Sequence[Artifact]:
    if isinstance(made, Mapping):
        return [Artifact("markdown", key, key, text) for key, text in made.items()]
    return made


def _in_words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
