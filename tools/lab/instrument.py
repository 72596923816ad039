"""One protocol for every instrument, and the nouns that travel: commands with an idempotency key, and their fate.

What is not here: wires (`sila/`), rules of safety (`interlocks.py`), and the order of a synthesis (`bench.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, ValidationError, model_validator

from ..core.synthesis import Atmosphere, Pattern
from ..core.types import Frozen, canonical_json, sha256

MAX_PARAMETERS = 16
MAX_COMMAND_AGE_S = 120.0
"""A command that was never seen and is older than this was meant for a laboratory that may have changed since: it is
refused. Long enough for a resent message, short against any operation by hand."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{8,128}$")]
Sample = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Place = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Text = Annotated[str, Field(max_length=512)]
Value = bool | int | float | Text
State = Literal["never_seen", "running", "done", "failed", "cannot_know"]
CRUCIBLES = ("alumina", "zirconia", "magnesia", "platinum", "graphite")
Crucible = Literal["alumina", "zirconia", "magnesia", "platinum", "graphite"]
UNREADABLE = "unreadable"
"""Stands for a key that is none."""
GRIPPER = "gripper"
ARCHIVE = "archive"
"""The one place that holds any number of samples: closed vials, out of the robots' reach."""


class Command(Frozen):
    """Something that an instrument shall do once, however often it is told."""

    key: Key
    """Idempotency key: the same key again returns the first's result and never acts twice."""
    name: Name
    parameters: dict[Name, Value] = Field(default={}, max_length=MAX_PARAMETERS)
    """Quantities carry their unit in the name: `temperature_k`, `mass_mg`, `hold_h`."""
    issued_at_s: Annotated[float, Field(ge=0.0)]
    """Seconds since 1970 by the sender's clock; not part of what the key stands for."""

    def content(self) -> str:
        """sha256 of what shall be done: equal for a command that is sent again."""
        return sha256(canonical_json({"name": self.name, "parameters": self.parameters}))


class CommandStatus(Frozen):
    """What an instrument knows of one key."""

    key: Key
    state: State
    result: dict[str, Value] = {}
    """Of a command that is done: what came of it, units in the names."""
    pattern: Pattern | None = None
    """Of a measurement that is done."""
    reason: str = ""
    """Why it failed, or why nobody can know."""
    refused: bool = False
    """Of a failed command: an interlock said no before anything moved."""
    question: str = ""
    """Of `cannot_know`: the number of the question that a person has to answer; empty where the instrument did not
    answer, so that asking again may help."""

    @model_validator(mode="after")
    def _consistent(self) -> CommandStatus:
        if self.refused and self.state != "failed":
            raise ValueError(f"a command cannot be refused and {self.state}")
        if self.state in ("failed", "cannot_know") and not self.reason:
            raise ValueError(f"{self.state} needs a reason")
        return self

    @property
    def settled(self) -> bool:
        """Whether asking again cannot change the answer without a person."""
        return self.state in ("done", "failed") or bool(self.question)


def refusal(key: str, reason: str) -> CommandStatus:
    """A command that an interlock stopped before anything moved."""
    return CommandStatus(key=key, state="failed", reason=reason, refused=True)


def read_command(key: str, name: str, parameters: Mapping[str, Any], issued_at_s: float) -> Command | CommandStatus:
    """A command from what somebody said, or its refusal: not finite, not of a type, too long, no key."""
    try:
        return Command(key=key, name=name, parameters=dict(parameters), issued_at_s=issued_at_s)
    except ValidationError as error:
        problems = error.errors()
        said = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in problems[:3])
        return refusal(UNREADABLE if any(e["loc"][0] == "key" for e in problems) else key, f"malformed: {said}")


class Bound(Frozen):
    """What one parameter may be."""

    name: Name
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""
    """Regular expression of a text without choices."""


class Limits(Frozen):
    """Every command of an instrument and the bounds of its parameters; what is not named is not accepted."""

    commands: dict[Name, tuple[Bound, ...]]


class Description(Frozen):
    """Which instrument this is."""

    name: Name
    kind: Literal["dosing", "mixing", "furnace", "transport", "diffractometer"]
    server_id: str
    """UUID that the server's certificate names."""
    version: str
    place: str = ""
    """Where a sample stands while this instrument works on it."""


class Stop(Frozen):
    """An emergency stop that is latched: only a person clears it, with a signature over this number."""

    nonce: str
    reason: str


class Question(Frozen):
    """Something that only a person can see."""

    id: str
    instrument: Name
    key: Key
    command: Name
    sample: str
    text: str
    options: tuple[str, ...]


class SampleSeen(Frozen):
    """A sample as the transport system has it on record."""

    sample: Sample
    place: str
    """Empty while a person has to say where it is."""
    crucible: Crucible
    formulas: tuple[str, ...] = ()
    """Of what was dosed into it."""


class FurnaceSeen(Frozen):
    """A furnace as its sensors have it."""

    thermocouples_k: tuple[float, ...]
    door: Literal["open", "closed", "unknown"]
    atmosphere: Atmosphere
    heating: bool


class Heartbeat(Frozen):
    """A sign of life, with what the instrument sees."""

    instrument: Name
    at_s: float
    """Seconds since 1970 by the instrument's clock."""
    boots: int
    """How often it has started: a larger number than last time says that it was down."""
    busy_with: str = ""
    """Key of the running command."""
    stop: Stop | None = None
    questions: tuple[Question, ...] = ()
    furnace: FurnaceSeen | None = None
    samples: tuple[SampleSeen, ...] = ()
    """Of the transport system: every sample that is not archived."""


class Instrument(Protocol):
    """An instrument of any make. No method waits longer than its deadline; expected failures are data."""

    def describe(self) -> Description:
        """Say which instrument this is.

        Raises:
            LabError: it cannot be reached, or it is not the one that was asked for.
        """
        ...

    def limits(self) -> Limits:
        """Say what may be asked of it, from its own feature definitions."""
        ...

    def submit(self, command: Command) -> CommandStatus:
        """Start a command and return at once. A known key returns what became of it and starts nothing."""
        ...

    def lookup(self, key: str) -> CommandStatus:
        """Say what became of a key."""
        ...

    def abort(self, key: str) -> CommandStatus:
        """Stop a running command as safely as the instrument can."""
        ...

    def safe_state(self, reason: str) -> None:
        """Heaters off, movements ended, gas inert. Never refused, and needs nobody to clear it.

        Raises:
            LabError: the instrument cannot be reached.
        """
        ...

    def heartbeat(self) -> Heartbeat:
        """Exchange signs of life; an instrument that has heard none for a while goes to its safe state.

        Raises:
            LabError: it cannot be reached.
        """
        ...


def key_of(*parts: str | int) -> str:
    """An idempotency key: the same for the same recipe, sample, step and attempt."""
    return sha256(canonical_json(list(parts)))[:40]
