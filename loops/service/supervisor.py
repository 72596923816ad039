"""Keeps campaigns going: starts, restarts, shares cores, pauses, and asks a person when nothing else helps."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from ...tools.core.errors import LodestoneError
from ...tools.evaluate.process import write_durably
from ..ledger import holds_ledger
from .child import Child, Launch, holder, resume_command
from .control import read_control
from .glance import Ledgers
from .housekeeping import Housekeeper
from .settings import ServiceSettings
from .shares import caught_up, chosen, core_sets, shares
from .state import STATE_NAME, CampaignState, ServiceEvent, ServiceState, read_state
from .watched import Watched

PERSON_CODES = {3: "the goal cannot be used", 4: "a setting is wrong"}
IN_USE, INTERRUPTED = 8, 130
"""Exit statuses of an agent."""
LONGEST_TURN = 8
"""Quanta after which a turn ends even in the middle of an evaluation."""
LOOK_S = 5.0
"""Between looks at the ledger of a campaign whose turn is over."""
WRITE_S = 30.0
"""Between notes of the used time, where nothing else changes."""


class Supervisor:
    """Looks after every campaign below `root`; `step` does what is due, `run` does so until told to stop.

    Args:
        root: folder of campaign directories.
        settings: of the service.
        notify: told what people may want to know.
        launch: gives the command that works on a campaign; tests give another one.
        cancel: ends the running evaluations of a campaign that is stopped.
    """

    def __init__(
        self,
        root: Path,
        settings: ServiceSettings,
        notify: Callable[[ServiceEvent], None] = lambda _: None,
        launch: Launch = resume_command,
        cancel: Callable[[Path], None] = lambda _: None,
    ) -> None:
        self._root = root
        self._settings = settings
        self._notify = notify
        self._launch = launch
        self._cancel = cancel
        self._available = sorted(os.sched_getaffinity(0))
        if settings.cores:
            self._available = self._available[: settings.cores]
        self._campaigns: dict[str, Watched] = {}
        self._house = Housekeeper(root, settings, notify)
        self._ledgers = Ledgers()
        self._stopping = False
        self._written: ServiceState | None = None
        self._write_next = 0.0
        self._remembered = read_state(root)
        self._shared: set[str] = set()

    def run(self, besides: Callable[[], object] = lambda: None) -> None:
        """Until `stop` is called, as the handlers of SIGTERM and SIGINT do; `besides` is called at each step."""
        while not self._stopping:
            self.step()
            besides()
            time.sleep(self._settings.poll_s)
        self.shut_down()

    def stop(self) -> None:
        """End `run` after its present step."""
        self._stopping = True

    # --- one step ------------------------------------------------------------------------------

    def step(self) -> None:
        """Look at everything once, and do what is due. What is wrong with one campaign concerns no other."""
        for directory in sorted(self._root.iterdir()):
            self._find(directory)
        self._forget()
        self._house.step([c.directory for c in self._campaigns.values()])
        for c in self._campaigns.values():
            try:
                self._look(c)
                self._obey(c)
                c.trouble = ""
            except (LodestoneError, OSError) as error:
                c.trouble = f"cannot be looked after now: {error}"
        self._share()
        self._write()

    def _find(self, directory: Path) -> None:
        if directory.name in self._campaigns:
            return
        try:
            if not directory.is_dir() or not holds_ledger(directory):
                return
            child = Child(directory)
            adopted = child.adopt()
        except OSError:
            return  # it cannot be read: it is not ours, or its disk will be back
        c = Watched(directory)
        if (old := self._remembered.get(directory.name)) is not None:
            c.remember(old)
        glance = self._ledgers.glance(directory)
        if glance is not None and old is None:
            c.progress = glance.progress
        if adopted:
            c.said = None
            c.begin(child, set())  # its cores are set when they are shared out
        elif glance.finished if glance is not None else old is not None and old.state == "finished":
            c.said = None
            c.to("finished")
        self._campaigns[directory.name] = c

    def _forget(self) -> None:
        """Leave out campaigns that somebody moved away."""
        for name, c in list(self._campaigns.items()):
            try:
                here = c.child is not None or holds_ledger(c.directory)
            except OSError:
                here = True
            if not here:
                self._remembered[name] = c.snapshot()
                del self._campaigns[name]

    def _look(self, c: Watched) -> None:
        """Notice that an agent has ended, and decide what follows."""
        c.control = read_control(c.directory)
        if c.child is None:
            return
        alive, code = c.child.poll()
        c.account()
        if alive:
            if c.state == "stopping" and time.monotonic() > c.stop_by:
                c.child.kill()
            return
        c.child, was = None, c.state
        glance = self._ledgers.glance(c.directory)
        got_on = glance is not None and glance.progress > c.progress
        if glance is not None:
            c.progress = glance.progress
        if glance.finished if glance is not None else code == 0:
            c.to("finished")
        elif was == "stopping":
            c.to("waiting")
        elif code == INTERRUPTED:
            c.hand_over("paused", "somebody interrupted it; `lodestone start` goes on")
        elif code in PERSON_CODES:
            self._ask(c, PERSON_CODES[code])
        elif code == IN_USE and (who := holder(c.directory)):
            c.wait_for(who)
        else:
            how = "it ended" if code is None else f"signal {-code}" if code < 0 else f"exit status {code}"
            self._fail(c, how, got_on)

    def _fail(self, c: Watched, how: str, got_on: bool = False) -> None:
        c.failures = 0 if got_on else c.failures + 1
        c.restarts += 1
        if c.fail(how, self._settings):
            self._ask(c, f"{c.failures} times in a row without progress ({how}); see {c.directory}/logs/agent.log")

    def _ask(self, c: Watched, why: str) -> None:
        c.hand_over("needs a person", why)
        self._notify(ServiceEvent(kind="needs a person", campaign=c.name, what=why))

    def _obey(self, c: Watched) -> None:
        """Bring a campaign to where it is wanted."""
        if c.state == "finished":
            return
        if c.said is not None:
            if c.said == c.control.number:
                return
            c.said, c.failures = None, 0
            c.to("waiting")
        full = self._house.why_paused(c.directory)
        if c.control.wanted == "run" and not full:
            due = c.state == "backing off" and time.monotonic() >= c.not_before
            if due or c.state in ("paused", "stopped"):
                c.to("waiting")
        elif c.child is not None:
            c.end(self._settings)
        elif c.control.wanted == "stop":
            if c.state != "stopped":
                self._cancel(c.directory)
                c.to("stopped", c.control.reason)
        else:
            c.to("paused", full if c.control.wanted == "run" else c.control.reason)

    # --- shares --------------------------------------------------------------------------------

    def _share(self) -> None:
        """Give cores to those whose turn it is."""
        now = time.monotonic()
        cores = len(self._available)
        self._catch_up()
        wanting = {
            n: c
            for n, c in self._campaigns.items()
            if c.state == "running" or (c.state == "waiting" and now >= c.not_before and not c.trouble)
        }
        weights = {n: c.control.priority for n, c in wanting.items()}
        running = [n for n, c in wanting.items() if c.state == "running"]
        kept = [n for n in running if now - wanting[n].began < self._settings.quantum_s]
        turn = chosen({n: c.turns for n, c in wanting.items()}, kept, cores)
        for name in running:
            if name in turn:
                wanting[name].over_at = None
            elif self._may_leave(wanting[name], now):
                wanting[name].end(self._settings)
        busy = sum(c.child is not None for c in self._campaigns.values())
        fresh = [n for n in turn if wanting[n].state == "waiting" and not self._in_use(wanting[n])]
        fresh = fresh[: max(0, cores - busy)]
        working = ([n for n in running if wanting[n].state == "running"] + fresh)[:cores]
        counts = shares(working, weights, cores)
        sets = core_sets(counts, self._available, {n: wanting[n].cores for n in working if wanting[n].child})
        for name, mine in sets.items():
            c = wanting[name]
            try:
                if c.child is None:
                    child = Child(c.directory)
                    child.start(self._launch, mine)
                    c.begin(child, mine)
                elif c.cores != mine:
                    c.child.pin(mine)
                    c.cores = mine
            except OSError as error:
                if c.child is None:
                    c.began = 0.0
                    self._fail(c, f"cannot be started: {error.strerror or error}")
                else:
                    c.trouble = f"cannot be moved to other cores: {error.strerror}"

    def _catch_up(self) -> None:
        """Those that join the sharing begin where the others are."""
        now = time.monotonic()
        active = {
            n
            for n, c in self._campaigns.items()
            if c.state in ("running", "stopping") or (c.state == "waiting" and now >= c.not_before)
        }
        there = [self._campaigns[n].turns for n in active & self._shared]
        for name in active - self._shared:
            self._campaigns[name].turns = caught_up(self._campaigns[name].turns, there)
        self._shared = active

    def _may_leave(self, c: Watched, now: float) -> bool:
        """Whether a campaign whose turn is over is at a good place to stop: something was just recorded, and no
        evaluation runs, which would share its core, and its time limit, with the next campaign."""
        over_s = now - c.began
        if over_s >= LONGEST_TURN * self._settings.quantum_s:
            return True
        if now < c.look_again:
            return False
        c.look_again = now + min(LOOK_S, self._settings.quantum_s / 4)
        glance = self._ledgers.glance(c.directory)
        if glance is None:
            return over_s >= 2 * self._settings.quantum_s
        if c.over_at is None:
            c.over_at = glance.progress
        got_on = glance.progress > c.over_at or over_s >= 2 * self._settings.quantum_s
        return got_on and not glance.evaluating

    def _in_use(self, c: Watched) -> bool:
        """Whether somebody else works on a campaign that would be started."""
        try:
            who = holder(c.directory)
        except OSError as error:
            c.trouble = f"its lock cannot be read: {error.strerror}"
            return True
        if who:
            c.wait_for(who)
        return bool(who)

    # --- the end, and what is remembered -------------------------------------------------------

    def shut_down(self) -> None:
        """Stop every agent cleanly; jobs go on, and are collected when the service is back."""
        working = [c for c in self._campaigns.values() if c.child is not None]
        for c in working:
            c.end(self._settings)
        deadline = time.monotonic() + self._settings.stop_wait_s
        while time.monotonic() < deadline and any(c.child and c.child.poll()[0] for c in working):
            time.sleep(0.05)
        for c in working:
            if c.child is not None and c.child.poll()[0]:
                c.child.kill()
            c.account()
            c.child = None
            c.to("waiting", "the service was ended")
        self._write_next = 0.0
        self._write()

    def state(self) -> ServiceState:
        """Where everything stands."""
        found = tuple(c.snapshot() for _, c in sorted(self._campaigns.items()))
        return ServiceState(pid=os.getpid(), campaigns=found)

    def _write(self) -> None:
        state = self.state()
        if state == self._written:
            return
        if _without_time(state) == _without_time(self._written) and time.monotonic() < self._write_next:
            return
        try:
            write_durably(self._root / STATE_NAME, state.model_dump_json(indent=1))
        except OSError:
            return  # a disk that refuses is noticed, and told, elsewhere; this is tried again at the next step
        self._written, self._write_next = state, time.monotonic() + WRITE_S


def handle_signals(supervisor: Supervisor) -> None:
    """SIGTERM and SIGINT end the service cleanly."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())


def _without_time(state: ServiceState | None) -> list[CampaignState] | None:
    """A state without what changes all the time."""
    if state is None:
        return None
    return [c.model_copy(update={"used_core_s": 0.0, "turns": 0.0}) for c in state.campaigns]
