"""Reads a twin's whole journal and names what must never have happened: its own book-keeping, not the controller's.

What is not here: the chain of hashes, which reading checks (`journal.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ..instrument import ARCHIVE
from .thermal import COLD, Run, temperature_k

DOOR_K = 323.2
HOTTEST_K = 1773.2
STEEPEST_K_PER_S = 20.0 / 60.0 + 1e-6
_AIR = ("air", "oxygen")
_SEALED = ("hydrogen_argon", "vacuum")


class Findings:
    """What an audit found.

    Attributes:
        unsafe: states that must never be.
        twice: keys or doses that ran a second time.
        places: sample to where it is.
        doubted: questions that were asked.
        answered: questions that a person answered.
        faults: faults that the twin made, by kind.
        boots: how often it started.
    """

    def __init__(self) -> None:
        self.unsafe: list[str] = []
        self.twice: list[str] = []
        self.places: dict[str, str] = {}
        self.doubted: set[str] = set()
        self.answered: set[str] = set()
        self.faults: Counter[str] = Counter()
        self.commands = 0
        self.boots = 0
        self.stops = 0


def audit(events: Iterable[Mapping[str, Any]], firings: Mapping[str, int] | None = None) -> Findings:
    """Go through a journal from its beginning.

    Args:
        events: in order.
        firings: how often each sample is meant to be fired; once where it is not named.
    """
    return _Auditor(firings or {}).go(events)


class _Auditor:
    def __init__(self, firings: Mapping[str, int]) -> None:
        self._found = Findings()
        self._firings = firings
        self._accepted: set[str] = set()
        self._settled: Counter[str] = Counter()
        self._doubted: set[str] = set()
        self._acts: Counter[tuple[str, ...]] = Counter()
        self._runs: dict[str, Run] = {}
        self._doors: dict[str, str] = {}
        self._gases: dict[str, str] = {}
        self._last_s = 0.0

    def go(self, events: Iterable[Mapping[str, Any]]) -> Findings:
        for event in events:
            kind, data, at_s = event["kind"], event["data"], float(event["at_s"])
            if at_s < self._last_s:
                self._bad(event, "time goes back")
            self._last_s = at_s
            if kind == "accepted":
                self._on_accepted(event, data)
            elif kind == "settled":
                self._on_settled(event, data)
            elif kind == "doubted":
                self._doubted.add(data["key"])
                self._found.doubted.add(data["question"]["id"])
            elif kind == "boot":
                self._found.boots += 1
            elif kind == "stopped":
                self._found.stops += 1
            for effect in data.get("effects", ()):
                self._on_effect(event, effect, at_s)
            self._one_sample_a_place(event)
        return self._found

    def _bad(self, event: Mapping[str, Any], what: str) -> None:
        self._found.unsafe.append(f"event {event['n']}: {what}")

    def _on_accepted(self, event: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        found = self._found
        found.commands += 1
        if data.get("fault"):
            found.faults[data["fault"]] += 1
        if data["key"] in self._accepted:
            found.twice.append(f"event {event['n']}: key {data['key']} again")
        self._accepted.add(data["key"])
        p = data["parameters"]
        if data["name"] == "dose":
            self._once(event, ("dose", p["sample"], p["formula"]), 1)
        elif data["name"] == "heat":
            self._once(event, ("heat", p["sample"]), self._firings.get(p["sample"], 1))
            if self._doors.get(data["instrument"], "closed") != "closed":
                self._bad(event, f"{data['instrument']} is heated with its door open")
            if found.places.get(p["sample"]) != data["instrument"]:
                self._bad(event, f"{data['instrument']} is heated for a sample that is elsewhere")
            if self._gases.get(data["instrument"], "air") != p["atmosphere"]:
                self._bad(event, f"{data['instrument']} is heated in another gas than was asked for")
        elif data["name"] == "move":
            for furnace in {p["source"], p["destination"]} & set(self._doors):
                if self._doors[furnace] != "open":
                    self._bad(event, f"the arm runs into the door of {furnace}")

    def _once(self, event: Mapping[str, Any], act: tuple[str, ...], allowed: int) -> None:
        self._acts[act] += 1
        if self._acts[act] > allowed:
            self._found.twice.append(f"event {event['n']}: {' '.join(act)} for the {self._acts[act]}th time")

    def _on_settled(self, event: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        key = data["key"]
        self._settled[key] += 1
        if key not in self._accepted:
            self._bad(event, f"{key} is over and never began")
        if self._settled[key] > 1:
            self._found.twice.append(f"event {event['n']}: {key} ended twice")
        if key in self._doubted:
            if "by" in data and data["by"]["parameters"].get("signature"):
                self._found.answered.add(data["question"])
            else:
                self._bad(event, f"a doubt about {key} ended without a person")

    def _on_effect(self, event: Mapping[str, Any], effect: Mapping[str, Any], at_s: float) -> None:
        if effect["op"] in ("new", "place"):
            if effect["op"] == "new" and effect["sample"] in self._found.places:
                self._bad(event, f"{effect['sample']} is made twice")
            if effect["op"] == "place" and effect["sample"] not in self._found.places:
                self._bad(event, f"{effect['sample']} comes from nowhere")
            self._found.places[effect["sample"]] = effect["place"]
        elif effect["op"] == "chamber":
            self._on_chamber(event, effect, at_s)

    def _on_chamber(self, event: Mapping[str, Any], effect: Mapping[str, Any], at_s: float) -> None:
        name = effect["furnace"]
        gas = self._gases.get(name, "air")
        if "run" in effect:
            run = Run.model_validate(effect["run"])
            self._runs[name] = run
            for segment in run.segments:
                if abs(segment.rate_k_per_s) > STEEPEST_K_PER_S or (segment.set_point_k or 0.0) > HOTTEST_K:
                    self._bad(event, f"{name} is driven beyond its limits")
        true_k = temperature_k(self._runs.get(name, COLD), at_s)
        if effect.get("door") == "open" and self._doors.get(name) != "open":
            if true_k > DOOR_K:
                self._bad(event, f"the door of {name} opens at {true_k:.0f} K")
            if gas in _SEALED:
                self._bad(event, f"the door of {name} opens with {gas} inside")
        if "door" in effect:
            self._doors[name] = effect["door"]
        if "atmosphere" in effect:
            new = effect["atmosphere"]
            if {gas, new} & {"hydrogen_argon"} and {gas, new} & set(_AIR):
                self._bad(event, f"{name} goes from {gas} to {new}")
            self._gases[name] = new

    def _one_sample_a_place(self, event: Mapping[str, Any]) -> None:
        standing = [place for place in self._found.places.values() if place != ARCHIVE]
        if len(standing) != len(set(standing)):
            self._bad(event, f"two samples at one place: {sorted(standing)}")
