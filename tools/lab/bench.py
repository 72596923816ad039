"""Runs recipes through the instruments, several samples at a time, so that either side may be killed at any moment.

The bench remembers nothing but which jobs there are: what was done, it asks the instruments, by keys that follow from
the job. What only a person can know waits for that person and is never guessed. What is not here: which recipe to run
(`recipes/`), and what the pattern says (`diffraction/`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal

from ..core.errors import LabError
from ..core.synthesis import Pattern
from ..core.types import Frozen
from .approval import Approval
from .instrument import (
    ARCHIVE,
    Command,
    CommandStatus,
    Description,
    Heartbeat,
    Instrument,
    Limits,
    Question,
    Stop,
    key_of,
    refusal,
)
from .interlocks import Interlocks, View
from .steps import AGAIN, Job, Step, disposal_of, steps_of

MAX_ATTEMPTS = 6
MAX_REFILLS = 20
MAX_JOB_BYTES = 256 * 1024


class Outcome(Frozen):
    """What became of a job."""

    sample: str
    state: Literal["done", "failed"]
    reason: str = ""
    pattern: Pattern | None = None
    dosed_mg: dict[str, float] = {}


class _Course:
    """How far a job is; all of it can be found out again from the instruments."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.steps = steps_of(job)
        self.cursor = 0
        self.attempt = 0
        self.since_s: float | None = None
        """When the present step was first tried (monotonic)."""
        self.pattern: Pattern | None = None
        self.dosed: dict[str, float] = {}
        self.failed = ""

    def forward(self) -> None:
        self.cursor, self.attempt, self.since_s = self.cursor + 1, 0, None

    def turn_to(self, steps: tuple[Step, ...]) -> None:
        self.steps, self.cursor, self.attempt, self.since_s = steps, 0, 0, None

    def again(self) -> None:
        self.attempt, self.since_s = self.attempt + 1, None

    @property
    def step(self) -> Step | None:
        return self.steps[self.cursor] if self.cursor < len(self.steps) else None


class Bench:
    """Brings jobs to their end.

    Args:
        folder: which jobs there are, and their outcomes.
        instruments: by name.
        interlocks: the driver's own.
        patience_s: wall time after which a step that does not come to an end is given up, s.
        clock: seconds since 1970, for commands.
    """

    def __init__(
        self,
        folder: Path,
        instruments: Mapping[str, Instrument],
        interlocks: Interlocks,
        patience_s: float = 86_400.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder, self._instruments, self._interlocks = folder, dict(instruments), interlocks
        self._patience_s, self._clock = patience_s, clock
        self._who: dict[str, Description] = {}
        self._limits: dict[str, Limits] = {}
        self._seen: dict[str, Heartbeat] = {}
        self._courses: dict[str, _Course] = {}
        self._held: dict[str, str] = {}
        self._recovered = False
        self.outcomes: dict[str, Outcome] = {}
        self.refusals: dict[str, str] = {}
        """Sample to the last reason why its next step was not done yet."""
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob("*.job.json")):
            self._take_up(Job.model_validate_json(path.read_bytes()[:MAX_JOB_BYTES]))

    # --- what the owner calls -------------------------------------------------------------------

    def add(self, job: Job) -> None:
        """Take a job on; it is on the disk when this returns. The same job again changes nothing.

        Raises:
            LabError: its sample has another job, or its slot is taken.
        """
        path = self._folder / f"{job.sample}.job.json"
        if path.exists():
            if Job.model_validate_json(path.read_bytes()[:MAX_JOB_BYTES]) != job:
                raise LabError(f"sample {job.sample} has another job", "Give every job its own sample name.")
            return
        other = next((c.job.sample for c in self._courses.values() if c.job.slot == job.slot), None)
        if other is not None:
            raise LabError(f"{job.slot} belongs to {other}", "Take a free slot of the rack.")
        write_whole(path, job.model_dump_json())
        self._take_up(job)

    @property
    def open_jobs(self) -> tuple[Job, ...]:
        """Jobs without an outcome."""
        return tuple(course.job for course in self._courses.values())

    def questions(self) -> tuple[Question, ...]:
        """What waits for a person."""
        return tuple(q for beat in self._seen.values() for q in beat.questions)

    def heartbeats(self) -> tuple[Heartbeat, ...]:
        """The last sign of life of every instrument that answers."""
        return tuple(self._seen.values())

    def seen(self, instrument: str) -> Heartbeat | None:
        """The last sign of life of one."""
        return self._seen.get(instrument)

    def places(self) -> dict[str, str]:
        """Sample to where it stands, of those that are not archived."""
        beat = self._seen.get("transport")
        return {s.sample: s.place for s in beat.samples} if beat else {}

    def stop(self) -> Stop | None:
        """The emergency stop that is latched, if one is."""
        return next((beat.stop for beat in self._seen.values() if beat.stop), None)

    def round(self) -> None:
        """Look at every instrument and take every job as far as it goes without waiting.

        An instrument that does not answer holds up its jobs only; it is asked again in the next round.
        """
        for name in self._instruments:
            self._look(name)
        if len(self._who) < len(self._instruments):
            return
        if not self._recovered:
            found = [self._find_again(course) for course in self._courses.values()]
            self._recovered = all(found)
            return
        for course in list(self._courses.values()):
            self._walk(course)

    def answer(self, question: Question, answer: str, approval: Approval) -> CommandStatus:
        """Hand a person's signed answer to the instrument that asked."""
        said = {"question": question.id, "answer": answer, "person": approval.person, "signature": approval.signature}
        return self._by_hand(question.instrument, "answer", said)

    def clear(self, instrument: str, approval: Approval) -> CommandStatus:
        """Hand a person's signed clearance of the emergency stop to an instrument."""
        stop = self.stop()
        nonce = stop.nonce if stop else ""
        said = {"nonce": nonce, "person": approval.person, "signature": approval.signature}
        return self._by_hand(instrument, "clear_stop", said)

    def run(self, deadline_s: float, poll_s: float = 0.05) -> None:
        """Rounds until every job has its outcome, a person is needed, or the deadline is over."""
        end = time.monotonic() + deadline_s
        while self._courses and time.monotonic() < end:
            self.round()
            if self.questions() or self.stop():
                return
            time.sleep(poll_s)

    # --- inside ---------------------------------------------------------------------------------

    def _take_up(self, job: Job) -> None:
        path = self._folder / f"{job.sample}.outcome.json"
        if path.exists():
            self.outcomes[job.sample] = Outcome.model_validate_json(path.read_bytes())
        else:
            self._courses[job.sample] = _Course(job)

    def _look(self, name: str) -> bool:
        instrument = self._instruments[name]
        try:
            if name not in self._who:
                who, bounds = instrument.describe(), instrument.limits()
                self._who[name], self._limits[name] = who, bounds
            self._seen[name] = instrument.heartbeat()
        except LabError as error:
            self._seen.pop(name, None)
            self.refusals[name] = str(error)
            return False
        return True

    def _find_again(self, course: _Course) -> bool:
        """Take a job to where it was, by questions alone, so that every station is held before one is given away.

        Returns:
            Whether the instruments could say.
        """
        while (step := course.step) is not None:
            status = self._instruments[step.instrument].lookup(step.key(course.job, course.attempt))
            if status.state == "cannot_know" and not status.question:
                return False
            if status.state == "never_seen" or not self._judge(course, step, status):
                before = course.steps[course.cursor - 1] if course.cursor else None
                inside = before is not None and before.station == step.station
                if inside or status.state != "never_seen":
                    self._hold(course, step)
                return True
        return True

    def _walk(self, course: _Course) -> None:
        """Take one job on until it has to wait."""
        while course.step is not None:
            if not self._one(course, course.step):
                return
        sample = course.job.sample
        if course.failed:
            self._finish(Outcome(sample=sample, state="failed", reason=course.failed, dosed_mg=course.dosed))
        else:
            self._finish(Outcome(sample=sample, state="done", pattern=course.pattern, dosed_mg=course.dosed))

    def _one(self, course: _Course, step: Step) -> bool:
        """Whether the job came a step further."""
        key = step.key(course.job, course.attempt)
        status = self._instruments[step.instrument].lookup(key)
        if status.state == "never_seen" or status.refused:
            if not self._may_hold(course, step):
                return False
            self._hold(course, step)
            if step.command == "heat" and not self._filled(course, step):
                return False
            status = self._send(course, step, key)
            self._look(step.instrument)
            self._look("transport")
        if course.since_s is None:
            course.since_s = time.monotonic()
        if self._judge(course, step, status):
            return True
        self.refusals[course.job.sample] = status.reason
        if time.monotonic() - course.since_s > self._patience_s:
            raise LabError(
                f"{step.command} of {course.job.sample} did not come to an end in {self._patience_s:g} s: "
                f"{status.reason or status.state}",
                "Look at the instrument, then start the bench again: it goes on from there.",
            )
        return False

    def _judge(self, course: _Course, step: Step, status: CommandStatus) -> bool:
        """Whether what is known of a step brings the job on."""
        if status.state == "done":
            self._note(course, step, status)
            self._release(course, step)
            course.forward()
            return True
        if status.state == "failed" and not status.refused:
            return self._failed(course, step, status)
        return False

    def _filled(self, course: _Course, step: Step) -> bool:
        """Whether the furnace holds the gas that a firing needs; if not, it is filled again.

        A safe state puts argon in the place of hydrogen, also after the job had filled the furnace.
        """
        beat = self._seen.get(step.instrument)
        wanted = step.parameters["atmosphere"]
        if beat is None or beat.furnace is None or beat.furnace.atmosphere == wanted:
            return True
        for number in range(MAX_REFILLS):
            key = key_of(course.job.recipe.digest(), course.job.sample, step.number, "refill", number)
            state = self._instruments[step.instrument].lookup(key).state
            if state == "never_seen":
                refill = Command(
                    key=key, name="set_atmosphere", parameters={"atmosphere": wanted}, issued_at_s=self._clock()
                )
                status = self._checked(step.instrument, refill, {})
                self.refusals[course.job.sample] = status.reason
                return False
            if state in ("running", "cannot_know"):
                return False
        self.refusals[course.job.sample] = f"{step.instrument} lost its gas {MAX_REFILLS} times"
        return False

    def _by_hand(self, instrument: str, name: str, said: Mapping[str, str]) -> CommandStatus:
        """A command that a person signed: its key follows from the signature."""
        command = Command(
            key=key_of(instrument, name, *said.values()), name=name, parameters=dict(said), issued_at_s=self._clock()
        )
        self._look(instrument)
        if instrument not in self._who:
            return CommandStatus(key=command.key, state="cannot_know", reason=f"{instrument} does not answer")
        status = self._checked(instrument, command, {})
        for name in self._instruments:
            self._look(name)
        return status

    def _checked(self, instrument: str, command: Command, declared: Mapping[str, tuple[str, ...]]) -> CommandStatus:
        """Send what the interlocks let pass."""
        view = View(seen=self._seen, declared=declared)
        bounds = self._limits[instrument].commands
        why = self._interlocks.why_refused(self._who[instrument], bounds, command, view, self._clock())
        return refusal(command.key, why) if why else self._instruments[instrument].submit(command)

    def _send(self, course: _Course, step: Step, key: str) -> CommandStatus:
        command = Command(key=key, name=step.command, parameters=step.parameters, issued_at_s=self._clock())
        declared = {course.job.sample: tuple(powder.formula for powder in course.job.recipe.powders)}
        return self._checked(step.instrument, command, declared)

    def _failed(self, course: _Course, step: Step, status: CommandStatus) -> bool:
        """Try again what may be tried again; otherwise take the sample away. False while nobody knows where it is."""
        place = self._place(course.job.sample)
        if not place:
            return False
        gone = place == ARCHIVE
        if step.command in AGAIN and course.attempt + 1 < MAX_ATTEMPTS and not gone:
            course.again()
            return True
        stuck = bool(course.failed)
        course.failed = course.failed or f"{step.command}: {status.reason}"
        self._let_go(course)
        if place not in (ARCHIVE, course.job.slot):
            self._held[place] = course.job.sample
        if gone or stuck:
            if not gone:
                course.failed += f"; a person has to take the sample from {place}"
            course.turn_to(())
            return True
        furnace = self._seen.get(course.job.furnace)
        door_open = bool(furnace and furnace.furnace and furnace.furnace.door == "open")
        course.turn_to(disposal_of(course.job, place, door_open))
        return True

    def _place(self, sample: str) -> str:
        """Where a sample is; the archive where the transport system has it no more."""
        self._look("transport")
        beat = self._seen.get("transport")
        found = next((s.place for s in beat.samples if s.sample == sample), None) if beat else ""
        return ARCHIVE if found is None else found

    def _note(self, course: _Course, step: Step, status: CommandStatus) -> None:
        if step.command == "measure":
            course.pattern = status.pattern
        elif step.command == "dose":
            course.dosed[str(step.parameters["formula"])] = float(status.result["mass_mg"])

    def _may_hold(self, course: _Course, step: Step) -> bool:
        return not step.station or self._held.get(step.station, course.job.sample) == course.job.sample

    def _hold(self, course: _Course, step: Step) -> None:
        if step.station:
            self._held[step.station] = course.job.sample

    def _release(self, course: _Course, step: Step) -> None:
        after = course.steps[course.cursor + 1] if course.cursor + 1 < len(course.steps) else None
        over = after is None or after.station != step.station
        if over and self._held.get(step.station) == course.job.sample:
            del self._held[step.station]

    def _let_go(self, course: _Course) -> None:
        self._held = {station: sample for station, sample in self._held.items() if sample != course.job.sample}

    def _finish(self, outcome: Outcome) -> None:
        write_whole(self._folder / f"{outcome.sample}.outcome.json", outcome.model_dump_json())
        course = self._courses.pop(outcome.sample)
        self._let_go(course)
        self.outcomes[outcome.sample] = outcome


def free_slots(jobs: Iterable[Job], slots: Iterable[str]) -> tuple[str, ...]:
    """Slots of the rack that no open job has."""
    taken = {job.slot for job in jobs}
    return tuple(slot for slot in slots if slot not in taken)


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all, and on the disk."""
    temporary = path.with_suffix(".new")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
