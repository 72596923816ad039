"""The state of the laboratory as its journal tells it: crucibles, furnaces, commands, questions, the emergency stop.

Only `apply` changes it, one event at a time, so that reading the journal again gives the same state. What is not here:
which event may happen (`guards.py`) and when (`laboratory.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ...core.synthesis import Atmosphere, Pattern
from ..instrument import ARCHIVE, CommandStatus, Crucible, Question, State, Stop
from .process import Contents
from .thermal import COLD, Run, temperature_k

RACK = tuple(f"rack_{n}" for n in range(1, 9))
BALANCE, MILL, GONIOMETER = "balance", "mill", "goniometer"
FURNACES = ("furnace_1", "furnace_2")
PLACES = (*RACK, BALANCE, MILL, GONIOMETER, *FURNACES)
INSTRUMENTS = ("dosing", "mixing", *FURNACES, "transport", "diffractometer")


@dataclass
class Vessel:
    """A crucible: where it truly is, and whether the controller knows."""

    crucible: Crucible
    place: str
    known: bool = True
    contents: Contents = field(default_factory=Contents)
    dosed: tuple[str, ...] = ()
    firings: int = 0


@dataclass
class Chamber:
    """A furnace. `sensor` is a fault of the first of its two thermocouples."""

    door: Literal["open", "closed"] = "closed"
    atmosphere: Atmosphere = "air"
    run: Run = COLD
    sensor: dict[str, Any] | None = None

    def true_k(self, at_s: float) -> float:
        """The temperature of the crucible."""
        return temperature_k(self.run, at_s)

    def thermocouples_k(self, at_s: float) -> tuple[float, float]:
        """What the two sensors say."""
        truth = self.true_k(at_s)
        if self.sensor is None or at_s < self.sensor["since_s"]:
            return truth, truth
        if self.sensor["fault"] == "stuck":
            return float(self.sensor["value_k"]), truth
        return truth + float(self.sensor["rate_k_per_s"]) * (at_s - self.sensor["since_s"]), truth


@dataclass
class Record:
    """One command that was accepted, or refused."""

    key: str
    content: str
    instrument: str
    name: str
    parameters: dict[str, Any]
    began_s: float
    ends_s: float
    state: State = "running"
    result: dict[str, Any] = field(default_factory=dict)
    pattern: Pattern | None = None
    reason: str = ""
    refused: bool = False
    question: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def status(self) -> CommandStatus:
        """As the instrument tells it."""
        return CommandStatus(
            key=self.key,
            state=self.state,
            result=self.result,
            pattern=self.pattern,
            reason=self.reason,
            refused=self.refused,
            question=self.question,
        )


@dataclass
class World:
    """Everything."""

    vessels: dict[str, Vessel] = field(default_factory=dict)
    chambers: dict[str, Chamber] = field(default_factory=lambda: {name: Chamber() for name in FURNACES})
    records: dict[str, Record] = field(default_factory=dict)
    busy: dict[str, str] = field(default_factory=dict)
    """Instrument to the key of its running command."""
    questions: dict[str, Question] = field(default_factory=dict)
    stop: Stop | None = None
    boots: int = 0
    at_s: float = 0.0
    """Time of the last event."""

    def at(self, place: str) -> str | None:
        """The sample that truly stands at a place."""
        return next((name for name, vessel in self.vessels.items() if vessel.place == place), None)

    def present(self) -> dict[str, Vessel]:
        """Samples that are not archived."""
        return {name: vessel for name, vessel in self.vessels.items() if vessel.place != ARCHIVE}

    def moving(self) -> Record | None:
        """The transport's running command."""
        key = self.busy.get("transport")
        return self.records[key] if key else None


def apply(world: World, event: dict[str, Any]) -> None:
    """Change the state by one event."""
    data = event["data"]
    world.at_s = max(world.at_s, float(event["at_s"]))
    _KINDS[event["kind"]](world, data, float(event["at_s"]))
    if "by" in data:
        _by(world, data["by"], float(event["at_s"]))
    for effect in data.get("effects", ()):
        _EFFECTS[effect["op"]](world, effect)


def _by(world: World, data: dict[str, Any], at_s: float) -> None:
    """The command that the event itself carried out, where it takes no time."""
    record = _record(data, at_s)
    record.state = "done"
    world.records[record.key] = record


def _boot(world: World, data: dict[str, Any], _at_s: float) -> None:
    world.boots = data["boots"]


def _accepted(world: World, data: dict[str, Any], at_s: float) -> None:
    record = _record(data, at_s)
    world.records[record.key] = record
    world.busy[record.instrument] = record.key


def _refused(world: World, data: dict[str, Any], at_s: float) -> None:
    record = _record(data, at_s)
    record.state, record.reason, record.refused = "failed", data["reason"], True
    world.records[record.key] = record


def _record(data: dict[str, Any], at_s: float) -> Record:
    return Record(
        key=data["key"],
        content=data["content"],
        instrument=data["instrument"],
        name=data["name"],
        parameters=data["parameters"],
        began_s=at_s,
        ends_s=float(data.get("ends_s", at_s)),
        extra=data.get("extra", {}),
    )


def _settled(world: World, data: dict[str, Any], _at_s: float) -> None:
    record = world.records[data["key"]]
    record.state, record.reason = data["state"], data.get("reason", "")
    record.result = data.get("result", {})
    if data.get("pattern"):
        record.pattern = Pattern.model_validate(data["pattern"])
    record.question = ""
    if world.busy.get(record.instrument) == record.key:
        del world.busy[record.instrument]
    world.questions.pop(data.get("question", ""), None)


def _doubted(world: World, data: dict[str, Any], _at_s: float) -> None:
    record = world.records[data["key"]]
    question = Question.model_validate(data["question"])
    record.state, record.reason, record.question = "cannot_know", data["reason"], question.id
    record.extra = {**record.extra, **data["extra"]}
    world.questions[question.id] = question
    world.busy.pop(record.instrument, None)


def _stopped(world: World, data: dict[str, Any], _at_s: float) -> None:
    world.stop = Stop(nonce=data["nonce"], reason=data["reason"])


def _cleared(world: World, _data: dict[str, Any], _at_s: float) -> None:
    world.stop = None


def _safe(_world: World, _data: dict[str, Any], _at_s: float) -> None:
    """What it changes is in its effects."""


def _new(world: World, effect: dict[str, Any]) -> None:
    world.vessels[effect["sample"]] = Vessel(crucible=effect["crucible"], place=effect["place"])


def _place(world: World, effect: dict[str, Any]) -> None:
    vessel = world.vessels[effect["sample"]]
    vessel.place, vessel.known = effect["place"], effect.get("known", True)


def _contents(world: World, effect: dict[str, Any]) -> None:
    vessel = world.vessels[effect["sample"]]
    vessel.contents = Contents.model_validate(effect["contents"])
    vessel.dosed = tuple(effect.get("dosed", vessel.dosed))
    vessel.firings += int(effect.get("fired", 0))


def _chamber(world: World, effect: dict[str, Any]) -> None:
    chamber = world.chambers[effect["furnace"]]
    if "door" in effect:
        chamber.door = effect["door"]
    if "atmosphere" in effect:
        chamber.atmosphere = effect["atmosphere"]
    if "run" in effect:
        chamber.run = Run.model_validate(effect["run"])
    if "sensor" in effect:
        chamber.sensor = effect["sensor"]


_KINDS = {
    "boot": _boot,
    "accepted": _accepted,
    "refused": _refused,
    "settled": _settled,
    "doubted": _doubted,
    "stopped": _stopped,
    "cleared": _cleared,
    "safe": _safe,
}
_EFFECTS = {"new": _new, "place": _place, "contents": _contents, "chamber": _chamber}
