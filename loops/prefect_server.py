"""One Prefect server on loopback, shared by campaigns and the user's browser: started, watched, restarted.

Nothing here imports Prefect, and nothing here is needed by a campaign: a server that is dead, silent or locked out of
its database costs a note and some missing pictures until it is back.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import ValidationError

from ..tools.core.errors import LedgerError
from ..tools.core.types import Frozen
from ..tools.evaluate.process import (
    ProcessMark,
    create_durably,
    is_alive,
    kill_group,
    mark_process,
    read_limited,
    write_durably,
)

AUTH_FILE = "auth"
STATE_FILE = "server.json"
LOG_FILE = "server.log"
MAX_LOG_BYTES = 10_000_000
"""A server that is locked out of its database writes a traceback a second, for weeks if need be."""

VAIN_STARTS = 3
"""So many starts without one answer are worth a note; a first start may take its time in silence."""

DATABASE_TRIES = 3

_HEARTBEAT = "lodestone_heartbeat"
"""A Prefect variable: the cheapest row that can be written and read through the API."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the watcher waits for what, in seconds."""

    look_every_s: float = 5.0
    """Between two looks at a server that is well."""
    answer_s: float = 3.0
    """For one answer over HTTP."""
    start_s: float = 120.0
    """From the start of the process to its first answer."""
    restart_after_s: float = 30.0
    """Of silence, then the process is killed and a new one started."""
    database_s: float = 300.0
    """Without its database, then the process is restarted: a lock that another process holds would outlive that."""
    back_off_s: float = 2.0
    """Before a second start; doubled for each further one that comes to nothing."""
    back_off_max_s: float = 300.0
    stop_s: float = 3.0
    """From SIGTERM to SIGKILL. What the server shows is derived from the ledger: nothing is lost."""


class ServerState(Frozen):
    """`server.json`: where the server is and which process it is."""

    url: str
    mark: ProcessMark
    started: float
    """Unix time."""


class PrefectServer:
    """The Prefect server of one home directory. Any number of processes may watch it: one of them starts it."""

    def __init__(
        self,
        home: Path,
        note: Callable[[str], None],
        patience: Patience | None = None,
        pending: Callable[[], int] = lambda: 0,
    ) -> None:
        """Args:
        home: holds the server's database, `auth` (0600), `server.json` and `server.log`.
        note: is told each time the server is lost or back, in a sentence.
        pending: how many rounds wait to be shown; asked when the server is back.
        """
        self.home = home
        self._note = note
        self._patience = patience or Patience()
        self._pending = pending
        self._child: subprocess.Popen[bytes] | None = None
        self._state: ServerState | None = None
        self._http: httpx.Client | None = None
        self._well = False
        self._last_look = -float("inf")
        self._answered: ProcessMark | None = None
        """The process that answered at least once."""
        self._seen = time.monotonic()
        """When it last answered, or was started."""
        self._lost_at: float | None = None
        self._problem = ""
        self._starts = 0
        self._not_before = -float("inf")

    @property
    def url(self) -> str:
        """Address without `/api`; empty before the first start."""
        return self._state.url if self._state else ""

    @property
    def process(self) -> ProcessMark | None:
        """The process that serves now, or last did."""
        return self._state.mark if self._state else None

    @property
    def is_well(self) -> bool:
        """What the last look found: it answers, and its database can be written."""
        return self._well

    def auth(self) -> str:
        """`lodestone:TOKEN`, made at the first call. Raises LedgerError when the home cannot be written."""
        path = self.home / AUTH_FILE
        try:
            self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
            # The temporary file behind it is made with mode 0600.
            create_durably(path, f"lodestone:{secrets.token_urlsafe(24)}")
            found = read_limited(path, 1000)
        except OSError as error:
            raise LedgerError(
                f"Cannot write {path}: {error.strerror}.", "Free space, or check permissions; Prefect is off meanwhile."
            ) from error
        if not found:
            raise LedgerError(f"{path} is empty or no text.", "Remove it and restart: a new token is made.")
        return found.strip()

    def ensure(self) -> bool:
        """Adopt the running server or start one; whether there is a process now. Waits for no answer.

        Raises:
            LedgerError: the home cannot be written.
        """
        auth = self.auth()
        if self._adopt():
            return True
        with self._only_one() as alone:
            if not alone:
                return False
            if self._adopt():
                return True
            if time.monotonic() < self._not_before:
                return False
            self._start(auth, read_state(self.home))
            return True

    def watch(self) -> bool:
        """Look at the server, once in `look_every_s` however often it is called; whether it is well.

        Takes about twice `answer_s` at most. A dead server is started again, a silent one killed first. Raises
        nothing: a home that cannot be written is a note.
        """
        now = time.monotonic()
        if now - self._last_look < self._patience.look_every_s * (1.0 if self._well else 0.2):
            return self._well
        self._last_look = now
        try:
            problem = self._look()
        except (LedgerError, OSError) as error:
            problem = str(error)
        self._tell(problem)
        return self._well

    def stop(self) -> None:
        """End the server, whoever started it."""
        state = read_state(self.home)
        if state is not None and self._lives(state):
            with suppress(ProcessLookupError):
                os.killpg(state.mark.pid, signal.SIGTERM)
            end = time.monotonic() + self._patience.stop_s
            while self._lives(state) and time.monotonic() < end:
                time.sleep(0.05)
            self._kill(state)
        (self.home / STATE_FILE).unlink(missing_ok=True)
        self.close()
        self._well = False

    def close(self) -> None:
        """Stop watching; the server goes on."""
        if self._http is not None:
            self._http.close()
            self._http = None

    # --- looking -------------------------------------------------------------------------------

    def _look(self) -> str:
        """What is wrong with the server, after doing what can be done about it; empty when it is well."""
        before = self._state
        if not self.ensure():
            return self._problem or "no server runs; the next start is a little later"
        if before is not None and self._state is not None and before.mark != self._state.mark:
            return "its process was gone; another one starts"
        state = self._state
        assert state is not None
        bound(self.home / LOG_FILE)
        problem, answers = self._ask(state)
        now = time.monotonic()
        if not problem:
            self._seen, self._starts = now, 0
            return ""
        young = time.time() - state.started < self._patience.start_s and self._answered != state.mark
        limit = self._patience.database_s if answers else self._patience.restart_after_s
        if not young and now - self._seen > limit:
            self._kill(state)
            self._not_before = now + self._back_off()
            return f"{problem}; it was killed after {now - self._seen:.0f} s"
        return problem

    def _ask(self, state: ServerState) -> tuple[str, bool]:
        """What is wrong (empty: nothing), and whether the process at least answers."""
        page = self._page(state)
        try:
            if page.get("/health").status_code != 200:
                return "it answers with an error", False
        except httpx.HTTPError as error:
            return f"no answer over HTTP ({type(error).__name__})", False
        self._answered = state.mark
        for attempt in range(DATABASE_TRIES):
            if attempt:
                time.sleep(0.3)
            problem = self._ask_database(page)
            # Its own services collide now and then on SQLite's one lock; that is over in a moment.
            if not problem:
                return "", True
        return problem, True

    def _ask_database(self, page: httpx.Client) -> str:
        beat = str(int(time.time()))
        try:
            if page.get("/ready").status_code != 200:
                return "its database cannot be read"
            status = page.patch(f"/variables/name/{_HEARTBEAT}", json={"value": beat}).status_code
            if status == 404:
                status = page.post("/variables/", json={"name": _HEARTBEAT, "value": beat}).status_code
        except httpx.HTTPError as error:
            return f"its database does not answer ({type(error).__name__})"
        if status in (401, 403):
            return "it asks for another token"
        return "" if status < 300 else f"its database cannot be written (HTTP {status})"

    def _page(self, state: ServerState) -> httpx.Client:
        """The connection to the server, kept: making one costs more than all that is asked through it."""
        base = f"{state.url}/api"
        if self._http is None or str(self._http.base_url).rstrip("/") != base:
            if self._http is not None:
                self._http.close()
            name, _, token = self.auth().partition(":")
            # A proxy of the environment must not stand between two processes of one machine.
            self._http = httpx.Client(
                base_url=base, auth=(name, token), timeout=httpx.Timeout(self._patience.answer_s), trust_env=False
            )
        return self._http

    def _tell(self, problem: str) -> None:
        now = time.monotonic()
        if not problem:
            if self._lost_at is not None:
                waiting = self._pending()
                late = f"; {waiting} {'round is' if waiting == 1 else 'rounds are'} shown late" if waiting else ""
                self._note(f"The Prefect server is back after {now - self._lost_at:.0f} s{late}.")
            self._well, self._lost_at, self._problem = True, None, ""
            return
        if self._lost_at is None and (self._well or self._starts == VAIN_STARTS):
            self._lost_at = now
            self._note(f"The Prefect server does not answer: {problem}. Campaigns go on without it.")
        self._well, self._problem = False, problem

    # --- starting and ending -------------------------------------------------------------------

    def _start(self, auth: str, known: ServerState | None) -> None:
        port = _port_of(known.url) if known is not None else _free_port()
        if not _is_free(port):
            port = _free_port()
        url = f"http://127.0.0.1:{port}"
        self._starts += 1
        self._not_before = time.monotonic() + self._back_off()
        command = [sys.executable, "-P", "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        try:
            with (self.home / LOG_FILE).open("ab") as log:
                self._child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    env=server_environment(self.home, auth),
                )
            mark = mark_process(self._child.pid, or_zombie=True)
            assert mark is not None  # our own child, not waited for yet
            self._state = ServerState(url=url, mark=mark, started=time.time())
            write_durably(self.home / STATE_FILE, self._state.model_dump_json())
        except OSError as error:
            raise LedgerError(
                f"Cannot start the Prefect server in {self.home}: {error.strerror}.", "Free space or memory."
            ) from error
        self._seen = time.monotonic()

    def _adopt(self) -> bool:
        known = read_state(self.home)
        if known is None or not self._lives(known):
            return False
        if self._state != known:
            self._state, self._seen = known, time.monotonic()
        return True

    def _back_off(self) -> float:
        return min(self._patience.back_off_s * 2.0 ** max(self._starts - 1, 0), self._patience.back_off_max_s)

    def _lives(self, state: ServerState) -> bool:
        if self._child is not None and self._child.pid == state.mark.pid:
            self._child.poll()
        return is_alive(state.mark) is True

    def _kill(self, state: ServerState) -> None:
        kill_group(state.mark)
        if self._child is not None and self._child.pid == state.mark.pid:
            self._child.wait()
            self._child = None

    @contextmanager
    def _only_one(self) -> Iterator[bool]:
        """True inside for one process at a time; False for whoever comes while another starts the server."""
        descriptor = os.open(self.home / "start.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)


def read_state(home: Path) -> ServerState | None:
    """What `server.json` says; None when there is none, or when it is not readable (a new server is started then)."""
    text = read_limited(home / STATE_FILE, 10_000)
    try:
        return None if text is None else ServerState.model_validate_json(text)
    except ValidationError:
        return None


def client_environment(home: Path, url: str, auth: str) -> dict[str, str]:
    """The environment of a process that is a client of the server: nothing of the user's own Prefect gets in."""
    return _without_prefect() | {
        "PREFECT_HOME": str(home / "client"),
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_API_AUTH_STRING": auth,
        "PREFECT_API_REQUEST_TIMEOUT": "5",
        "PREFECT_CLIENT_MAX_RETRIES": "1",
        "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # A file of the user's folder must not stand in for a package, also in Prefect's own children.
        "PYTHONSAFEPATH": "1",
        "NO_PROXY": "127.0.0.1",
        "no_proxy": "127.0.0.1",
    }


def server_environment(home: Path, auth: str) -> dict[str, str]:
    """The environment of the server itself."""
    return _without_prefect() | {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_API_AUTH_STRING": auth,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        # Old flow runs (90 days) and events (7 days) are removed: the disk is bounded.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "true",
        "DO_NOT_TRACK": "1",
    }


def _without_prefect() -> dict[str, str]:
    mine: Mapping[str, str] = os.environ
    return {k: v for k, v in mine.items() if not k.startswith("PREFECT_")}


def bound(log: Path) -> None:
    """Empty a log that has grown too long; its writer appends, so it goes on at the start."""
    with suppress(OSError):
        if log.stat().st_size > MAX_LOG_BYTES:
            os.truncate(log, 0)


def _port_of(url: str) -> int:
    return httpx.URL(url).port or _free_port()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
