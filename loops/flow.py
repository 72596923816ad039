"""A campaign's rounds, shown in Prefect: what happens is written down here, and another process shows it.

The round runs here, once, in the caller's own thread, and never waits for Prefect: the ledger decides, Prefect only
schedules and shows. `prefect_server.py` keeps the server alive, `prefect_mirror.py` turns records into flow runs.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from .prefect_client import ClientProcess
from .prefect_server import Patience, PrefectServer
from .prefect_spool import Artifact, Record, Spool
from .settings import PrefectSettings

__all__ = ["Artifact", "PrefectShow"]

SHOW_LAST_S = 10.0
"""How long the end of a campaign waits for its last rounds to be shown, where the server is well."""
LOOK_S = 0.5


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
        mirror = ["lodestone.loops.prefect_mirror", str(self._spool.folder)]
        self._mirror = ClientProcess(mirror, self.server, self._notes.put)
        self._ending = threading.Event()
        self._keeper: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Address of the server, without `/api`; empty before its first start."""
        return self.server.url

    @property
    def mirror(self) -> int | None:
        """Number of the process that shows the rounds; None while none runs."""
        return self._mirror.pid

    def waiting(self) -> int:
        """How many rounds have ended and are not shown yet."""
        return self._spool.waiting()

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
        if self._shared:
            # The server stays, so its mirror stays a little too, for rounds that are still to be shown.
            self._mirror.leave()
            self.server.close()
        else:
            self._mirror.end(0.0)
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


def _as_artifacts(made: Sequence[Artifact] | Mapping[str, str]) -> Sequence[Artifact]:
    if isinstance(made, Mapping):
        return [Artifact("markdown", key, key, text) for key, text in made.items()]
    return made


def _in_words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
