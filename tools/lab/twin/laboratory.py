"""The controller of the twin: accepts, refuses, settles and doubts commands, each event on the disk first.

What is not here: the wire (`server.py`), what may run (`guards.py`), what a command does (`operations.py`).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field

from ...core.types import Frozen, sha256
from ..instrument import (
    MAX_COMMAND_AGE_S,
    Command,
    CommandStatus,
    FurnaceSeen,
    Heartbeat,
    Question,
    SampleSeen,
    Stop,
    refusal,
)
from .clock import Clock
from .faults import FaultKind, Faults
from .guards import DISAGREEMENT_K, Guards
from .journal import Journal
from .operations import Doubt, Ended, Operations, safe_effects
from .thermal import heated_until
from .world import Record, World, apply

LOOKS = 64
"""At how many moments the thermocouples are compared between two visits of the controller."""
IMMEDIATE = ("emergency_stop", "clear_stop", "answer")


class Rules(Frozen):
    """How the controller watches."""

    watchdog_s: float = Field(default=20.0, gt=0.0)
    """Wall time without a heartbeat after which heating ends."""


NO_FAULTS = Faults()
USUAL = Rules()


def die() -> None:
    """End this process as a power cut would."""
    os.kill(os.getpid(), signal.SIGKILL)


class Laboratory:
    """All instruments and what stands in them.

    Args:
        journal: file of events; the state is rebuilt from it.
        guards: the interlocks.
        operations: the machines' work.
        clock: laboratory time.
        faults: what goes wrong.
        rules: how it is watched.
        crash: what a crash does; SIGKILL unless a test says otherwise.
    """

    def __init__(
        self,
        journal: Path,
        guards: Guards,
        operations: Operations,
        clock: Clock,
        faults: Faults = NO_FAULTS,
        rules: Rules = USUAL,
        crash: Callable[[], None] = die,
    ) -> None:
        self._lock = threading.RLock()
        self._journal = Journal(journal)
        self._guards, self._operations, self._clock = guards, operations, clock
        self._faults, self._rules, self._crash = faults, rules, crash
        self._reply_faults: dict[str, FaultKind] = {}
        self._doomed: set[str] = set()
        self.world = World()
        for event in self._journal.replay():
            apply(self.world, event)
        self._compared_s = self.world.at_s
        self._beat_s = clock.wall_s()
        self._boot()

    def close(self) -> None:
        """Close the journal."""
        with self._lock:
            self._journal.close()

    # --- the protocol ---------------------------------------------------------------------------

    def submit(self, instrument: str, command: Command) -> CommandStatus:
        """Start a command of an instrument, or say why not, or what became of its key."""
        with self._lock:
            now = self._advance()
            known = self.world.records.get(command.key)
            if known is not None and not known.refused:
                if known.instrument != instrument or known.content != command.content():
                    return refusal(command.key, f"the key stands for another command, {known.name}")
                return known.status()
            age = self._clock.wall_s() - command.issued_at_s
            if abs(age) > MAX_COMMAND_AGE_S:
                return refusal(
                    command.key, f"the command was issued {age:.0f} s ago, allowed are {MAX_COMMAND_AGE_S:g} s"
                )
            why = self._guards.why_refused(self.world, instrument, command.name, command.parameters, now)
            about = self._about(instrument, command)
            if why:
                if known is None or known.reason != why:
                    self._write("refused", now, about | {"reason": why})
                return refusal(command.key, why)
            if command.name in IMMEDIATE:
                self._immediate(command, about, now)
            else:
                self._start(command, about, now)
            self._advance()
            return self.world.records[command.key].status()

    def lookup(self, instrument: str, key: str) -> CommandStatus:
        """What became of a key."""
        with self._lock:
            self._advance()
            record = self.world.records.get(key)
            if record is None or record.instrument != instrument:
                return CommandStatus(key=key, state="never_seen")
            return record.status()

    def abort(self, instrument: str, key: str) -> CommandStatus:
        """Break a running command off."""
        with self._lock:
            now = self._advance()
            record = self.world.records.get(key)
            if record is not None and record.instrument == instrument and record.state == "running":
                self._interrupt(record, now, watched=True, why="aborted")
            return self.lookup(instrument, key)

    def safe_state(self, reason: str) -> None:
        """Power off and inert gas, everywhere."""
        with self._lock:
            self._safe(self._advance(), reason)

    def heartbeat(self, instrument: str) -> Heartbeat:
        """Note that somebody watches, and say what the instrument sees."""
        with self._lock:
            self._beat_s = self._clock.wall_s()
            now = self._advance()
            world = self.world
            chamber = world.chambers.get(instrument)
            seen = None
            if chamber is not None:
                seen = FurnaceSeen(
                    thermocouples_k=chamber.thermocouples_k(now),
                    door="unknown" if self._door_moves(instrument) else chamber.door,
                    atmosphere=chamber.atmosphere,
                    heating=heated_until(chamber.run, now) is not None,
                )
            samples: tuple[SampleSeen, ...] = ()
            if instrument == "transport":
                samples = tuple(
                    SampleSeen(
                        sample=name,
                        place=vessel.place if vessel.known else "",
                        crucible=vessel.crucible,
                        formulas=vessel.dosed,
                    )
                    for name, vessel in sorted(world.present().items())
                )
            return Heartbeat(
                instrument=instrument,
                at_s=self._clock.wall_s(),
                boots=world.boots,
                busy_with=world.busy.get(instrument, ""),
                stop=world.stop,
                questions=tuple(q for q in world.questions.values() if q.instrument == instrument),
                furnace=seen,
                samples=samples,
            )

    def reply_fault(self, key: str) -> FaultKind | None:
        """What goes wrong with the reply to a submission, once."""
        with self._lock:
            return self._reply_faults.pop(key, None)

    def tick(self) -> None:
        """Let time do its work: to be called a few times a second, whoever asks or not."""
        with self._lock:
            now = self._advance()
            silent = self._clock.wall_s() - self._beat_s
            if silent > self._rules.watchdog_s and any(
                heated_until(chamber.run, now) is not None for chamber in self.world.chambers.values()
            ):
                self._safe(now, f"no heartbeat for {silent:.0f} s")

    # --- inside ---------------------------------------------------------------------------------

    def _write(self, kind: str, at_s: float, data: dict[str, Any]) -> None:
        apply(self.world, self._journal.append(kind, max(at_s, self.world.at_s), data))

    def _about(self, instrument: str, command: Command) -> dict[str, Any]:
        return {
            "key": command.key,
            "content": command.content(),
            "instrument": instrument,
            "name": command.name,
            "parameters": _plain(command.parameters),
        }

    def _boot(self) -> None:
        now = max(self._clock.now_s(), self.world.at_s)
        self._write("boot", now, {"boots": self.world.boots + 1})
        for record in [r for r in self.world.records.values() if r.state == "running"]:
            self._interrupt(record, now, watched=False, why="the laboratory was down")
        self._safe(now, "start")
        self._compared_s = now

    def _start(self, command: Command, about: dict[str, Any], now: float) -> None:
        fault = self._faults.draw(command.key, command.name, self.world.boots)
        if fault == "crash_before":
            self._crash()
        record = Record(
            key=command.key,
            content=about["content"],
            instrument=about["instrument"],
            name=command.name,
            parameters=command.parameters,
            began_s=now,
            ends_s=now,
        )
        begun = self._operations.begin(self.world, record, now, fault)
        planned = {"ends_s": begun.ends_s, "effects": begun.effects, "extra": begun.extra, "fault": fault}
        self._write("accepted", now, about | planned)
        if fault == "power_loss":
            self._journal.tear()
        if fault in ("crash_after", "power_loss"):
            self._crash()
        elif fault == "crash_at_end":
            self._doomed.add(command.key)
        elif fault in ("lost_acknowledgement", "duplicated_reply"):
            self._reply_faults[command.key] = fault

    def _immediate(self, command: Command, about: dict[str, Any], now: float) -> None:
        p = command.parameters
        if command.name == "emergency_stop":
            self._stop(now, str(p["reason"]), about)
        elif command.name == "clear_stop":
            repaired = [{"op": "chamber", "furnace": name, "sensor": None} for name in self.world.chambers]
            self._write("cleared", now, {"by": about, "effects": repaired})
        else:
            question = self.world.questions[str(p["question"])]
            record = self.world.records[question.key]
            ended = self._operations.answered(record, question.sample, str(p["answer"]))
            self._settle(record, ended, now, {"by": about, "question": question.id})

    def _advance(self) -> float:
        """Settle what is over, compare the thermocouples, and return the time."""
        now = max(self._clock.now_s(), self.world.at_s)
        broken_s = self._disagreement(now)
        self._settle_until(now if broken_s is None else broken_s)
        self._compared_s = now
        if broken_s is not None:
            furnaces = ", ".join(n for n, c in self.world.chambers.items() if c.sensor is not None)
            self._stop(broken_s, f"the thermocouples of {furnaces} disagree", None)
            self._settle_until(now)
        return now

    def _settle_until(self, now: float) -> None:
        running = [self.world.records[key] for key in self.world.busy.values()]
        for record in sorted((r for r in running if r.ends_s <= now), key=lambda r: r.ends_s):
            if record.key in self._doomed:
                self._crash()
            self._settle(record, self._operations.end(self.world, record), record.ends_s, {})

    def _disagreement(self, now: float) -> float | None:
        """When the thermocouples of a furnace first disagreed since the last look; None when they did not."""
        if self.world.stop is not None:
            return None
        for chamber in self.world.chambers.values():
            if chamber.sensor is None:
                continue
            for i in range(LOOKS + 1):
                at_s = self._compared_s + (now - self._compared_s) * i / LOOKS
                first, second = chamber.thermocouples_k(at_s)
                if abs(first - second) > DISAGREEMENT_K:
                    return at_s
        return None

    def _settle(self, record: Record, ended: Ended, at_s: float, more: dict[str, Any]) -> None:
        data = {
            "key": record.key,
            "state": "done" if ended.ok else "failed",
            "result": ended.result,
            "reason": ended.reason,
            "effects": ended.effects,
        }
        if ended.pattern is not None:
            data["pattern"] = ended.pattern
        self._write("settled", at_s, data | more)

    def _interrupt(self, record: Record, at_s: float, *, watched: bool, why: str) -> None:
        end = self._operations.interrupt(self.world, record, at_s, watched=watched, why=why)
        if isinstance(end, Ended):
            self._settle(record, end, at_s, {})
            return
        assert isinstance(end, Doubt)
        question = Question(
            id="q" + sha256(record.key + record.content)[:15],
            instrument=record.instrument,
            key=record.key,
            command=record.name,
            sample=end.sample,
            text=end.text,
            options=end.options,
        )
        data = {"key": record.key, "question": question.model_dump(mode="json"), "reason": f"{why}: {end.text}"}
        self._write("doubted", at_s, data | {"effects": end.effects, "extra": end.extra})

    def _safe(self, at_s: float, reason: str) -> None:
        for key in list(self.world.busy.values()):
            record = self.world.records[key]
            if record.name == "heat":
                self._interrupt(record, at_s, watched=True, why=reason)
        self._write("safe", at_s, {"reason": reason, "effects": safe_effects(self.world, at_s)})

    def _stop(self, at_s: float, reason: str, by: dict[str, Any] | None) -> None:
        if self.world.stop is None:
            nonce = "s" + sha256(f"{self.world.boots}:{at_s}:{reason}")[:15]
            data: dict[str, Any] = Stop(nonce=nonce, reason=reason).model_dump()
        else:
            data = self.world.stop.model_dump()
        self._write("stopped", at_s, data if by is None else data | {"by": by})
        for key in list(self.world.busy.values()):
            self._interrupt(self.world.records[key], at_s, watched=True, why=f"emergency stop: {reason}")
        self._write("safe", at_s, {"reason": reason, "effects": safe_effects(self.world, at_s)})

    def _door_moves(self, furnace: str) -> bool:
        key = self.world.busy.get(furnace)
        return key is not None and self.world.records[key].name in ("open_door", "close_door")


def _plain(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters as they may be written down: what is not finite becomes text."""
    return {k: v if not isinstance(v, float) or abs(v) < float("inf") else str(v) for k, v in parameters.items()}
