"""The process that stands at the bench: `python -m lodestone.tools.lab.station FOLDER`.

It runs the jobs that it finds in its folder and writes down what was measured; it outlives whoever
started it, and whoever starts it again after a crash goes on where the instruments are. What it sees, it tells in
`state.json`. What is not here: which recipe deserves a sample (`recipes/`), and what it is worth (`evaluator.py`).
"""

from __future__ import annotations

import argparse
import fcntl
import signal
import sys
import time
from pathlib import Path
from typing import Any

from pydantic import Field

from ..core.errors import LabError, LodestoneError
from ..core.synthesis import Pattern, Recipe
from ..core.types import Frozen
from .bench import Bench, free_slots, write_whole
from .bench import Outcome as BenchOutcome
from .instrument import Heartbeat, Key, Question, Stop
from .interlocks import Interlocks
from .remote import RemoteInstrument
from .site import Site, read_site
from .steps import Job
from .twin import Twin, start

DEADLINE_S, HANDSHAKE_S = 3.0, 15.0
PAUSE_S = 0.02
TELL_S = 0.5
"""Between two versions of `state.json`."""
TRACE_S = 0.05
"""Wall time between two points of a temperature trace, at least."""
MAX_TRACE_POINTS = 500
PATIENCE_S = 30 * 86_400.0
LOCKING_S = 2.0
LINGER_S = 3.0
"""How long a station without jobs waits for the next ones."""
MAX_FILE_BYTES = 8 * 1024 * 1024


class Station(Frozen):
    """What a station is told once: `station.json`."""

    site: str
    """Folder of the laboratory."""


class Order(Frozen):
    """One sample to be made: `orders/KEY.json`."""

    key: Key
    sample: str
    recipe: Recipe


class Result(Frozen):
    """What came of an order: `results/KEY.json`."""

    key: Key
    sample: str
    state: str
    """`done` or `failed`."""
    reason: str = ""
    dosed_mg: dict[str, float] = {}
    pattern: Pattern | None = None
    hours: float = Field(default=0.0, ge=0.0)
    """Laboratory time from the order to the result."""
    trace: tuple[tuple[float, float], ...] = ()
    """Of the furnace, while the sample had it: hours since the order, K."""


class Told(Frozen):
    """What a station sees: `state.json`."""

    at_s: float
    instruments: tuple[Heartbeat, ...] = ()
    questions: tuple[Question, ...] = ()
    stop: Stop | None = None
    waiting: dict[str, str] = {}
    """Sample to why its next step was not done yet."""


class StationProcess:
    """One run of the process.

    Args:
        folder: of the station.
        site: the laboratory.
    """

    def __init__(self, folder: Path, site: Site) -> None:
        self._folder, self._site = folder, site
        instruments = {
            a.instrument: RemoteInstrument(a, DEADLINE_S, handshake_s=HANDSHAKE_S, loopback_only=site.simulated)
            for a in site.addresses
        }
        self._bench = Bench(folder / "bench", instruments, Interlocks(site.book(), site.people), patience_s=PATIENCE_S)
        self._orders: dict[str, Order] = {}
        self._told_s = self._traced_s = 0.0
        for name in ("orders", "results", "traces"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def run(self) -> None:
        """Until no order is open."""
        idle_since = time.monotonic()
        while True:
            self._take_up()
            self._bench.round()
            self._trace()
            self._finish()
            self._tell()
            if self._bench.open_jobs or self._waiting():
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > LINGER_S:
                return
            time.sleep(PAUSE_S)

    def _waiting(self) -> list[Order]:
        """Orders without a job, in the order in which they were given."""
        started = {job.sample for job in self._bench.open_jobs} | set(self._bench.outcomes)
        return [order for order in self._orders.values() if order.sample not in started]

    def _take_up(self) -> None:
        for path in sorted((self._folder / "orders").glob("*.json"), key=lambda p: (p.stat().st_mtime_ns, p.name)):
            if path.stem not in self._orders and not (self._folder / "results" / path.name).exists():
                order = Order.model_validate_json(path.read_bytes()[:MAX_FILE_BYTES])
                self._orders[order.key] = order
        for order, slot in zip(self._waiting(), free_slots(self._bench.open_jobs, self._site.slots), strict=False):
            job = self._job(order, slot)
            if job is None:
                reason = f"no crucible of {self._site.name} is allowed and safe for this recipe"
                self._write(Result(key=order.key, sample=order.sample, state="failed", reason=reason))
                del self._orders[order.key]
            else:
                self._bench.add(job)

    def _job(self, order: Order, slot: str) -> Job | None:
        recipe, busy = order.recipe, [job.furnace for job in self._bench.open_jobs]
        furnace = min(self._site.furnaces, key=lambda name: (busy.count(name), name))
        powders = tuple(p.formula for p in recipe.powders)
        crucible = self._site.crucible_for(recipe.template, powders, recipe.atmosphere, recipe.temperature_k)
        if crucible is None:
            return None
        return Job(
            sample=order.sample, recipe=recipe, crucible=crucible, slot=slot, furnace=furnace, scan=self._site.scan
        )

    def _trace(self) -> None:
        now = time.time()
        if now - self._traced_s < TRACE_S:
            return
        self._traced_s = now
        places = self._bench.places()
        for order in self._orders.values():
            beat = self._bench.seen(places.get(order.sample, ""))
            if beat is not None and beat.furnace is not None:
                with open(self._trace_file(order), "a", encoding="utf-8") as file:
                    file.write(f"{self._hours(order, now):.4f} {max(beat.furnace.thermocouples_k):.1f}\n")

    def _trace_file(self, order: Order) -> Path:
        return self._folder / "traces" / f"{order.key}.txt"

    def _traced(self, order: Order) -> tuple[tuple[float, float], ...]:
        """The trace of a sample, thinned out; a line that a crash cut short is left out."""
        try:
            lines = self._trace_file(order).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return ()
        points = [(float(p[0]), float(p[1])) for p in (line.split() for line in lines) if len(p) == 2]
        return tuple(points[:: max(1, len(points) // MAX_TRACE_POINTS)])

    def _hours(self, order: Order, now: float) -> float:
        began = (self._folder / "orders" / f"{order.key}.json").stat().st_mtime
        return max(0.0, (now - began) * self._site.speed / 3600.0)

    def _finish(self) -> None:
        for order in list(self._orders.values()):
            outcome = self._bench.outcomes.get(order.sample)
            if outcome is not None:
                result = self._result(order, outcome)
                self._write(result)
                del self._orders[order.key]

    def _write(self, result: Result) -> None:
        write_whole(self._folder / "results" / f"{result.key}.json", result.model_dump_json())

    def _result(self, order: Order, outcome: BenchOutcome) -> Result:
        return Result(
            key=order.key,
            sample=order.sample,
            state=outcome.state,
            reason=outcome.reason,
            dosed_mg=outcome.dosed_mg,
            pattern=outcome.pattern,
            hours=self._hours(order, time.time()),
            trace=self._traced(order),
        )

    def _tell(self) -> None:
        now = time.time()
        if now - self._told_s < TELL_S:
            return
        self._told_s = now
        told = Told(
            at_s=now,
            instruments=self._bench.heartbeats(),
            questions=self._bench.questions(),
            stop=self._bench.stop(),
            waiting={k: v for k, v in self._bench.refusals.items() if v},
        )
        write_whole(self._folder / "state.json", told.model_dump_json())


def main(arguments: list[str] | None = None) -> int:
    """Run until no order is open; a second station of the same folder ends at once."""
    parser = argparse.ArgumentParser(prog="python -m lodestone.tools.lab.station")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args(arguments).folder
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with open(folder / "lock", "ab") as lock:
        if not _locked(lock.fileno()):
            return 0
        told = Station.model_validate_json((folder / "station.json").read_bytes()[:MAX_FILE_BYTES])
        try:
            site = read_site(Path(told.site))
            twin = _twin(site, Path(told.site))
            try:
                StationProcess(folder, site).run()
            finally:
                if twin is not None:
                    twin.stop()
        except LodestoneError as error:
            print(error, file=sys.stderr)
            return error.exit_code
    return 0


def _locked(descriptor: int) -> bool:
    """Whether the folder is ours. Who only looks whether somebody is here holds the lock for an instant: it is tried
    again before another station is taken for the reason."""
    deadline = time.monotonic() + LOCKING_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline:
                return False
            time.sleep(PAUSE_S)
        else:
            return True


def _twin(site: Site, folder: Path) -> Twin | None:
    """A twin that nobody has started is started here, and ends with the station."""
    if not site.simulated:
        return None
    first: Any = RemoteInstrument(site.addresses[0], DEADLINE_S, handshake_s=HANDSHAKE_S)
    try:
        first.describe()
    except LabError:
        return start(folder)
    return None


if __name__ == "__main__":
    sys.exit(main())
