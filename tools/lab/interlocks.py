"""The driver's interlocks: what Lodestone does not even ask of an instrument, from what all instruments report.

Written independently of the twin's (`twin/guards.py`): rules here are over compositions and over the whole laboratory,
where the twin's are over names of compounds and over its own sensors. What is not here: bounds of single parameters as
the feature definitions have them (the driver compares those as well).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from .approval import Approval, answer_subject, clear_subject, why_not
from .compounds import clash, dangers
from .instrument import ARCHIVE, MAX_COMMAND_AGE_S, Bound, Command, Description, FurnaceSeen, Heartbeat, SampleSeen
from .templates import TemplateBook

COLD_K = 323.0
"""A door opens below it."""
AGREEMENT_K = 20.0
LOWEST_FIRING_K = 600.0
"""Below it a firing makes no compound: a number of degrees Celsius, or a slip."""
CELSIUS_ZERO_K = 273.15
LABORATORY = "laboratory"


@dataclass(frozen=True)
class View:
    """What is known before a command is sent."""

    seen: Mapping[str, Heartbeat]
    """Instrument to its last sign of life."""
    declared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Sample to the powders that its recipe puts into it, where a recipe is known."""

    def sample(self, name: str) -> SampleSeen | None:
        """A sample as the transport system has it."""
        transport = self.seen.get("transport")
        return next((s for s in transport.samples if s.sample == name), None) if transport else None

    def at(self, place: str) -> str | None:
        """Which sample stands at a place."""
        transport = self.seen.get("transport")
        return next((s.sample for s in transport.samples if s.place == place), None) if transport else None

    def furnace(self, name: str) -> FurnaceSeen | None:
        """What a furnace's sensors say."""
        beat = self.seen.get(name)
        return beat.furnace if beat else None


class Interlocks:
    """Says no before anything is sent.

    Args:
        templates: the approved ones.
        people: name to public key in hex.
    """

    def __init__(self, templates: TemplateBook, people: Mapping[str, str]) -> None:
        self._templates = templates
        self._people = dict(people)

    def why_refused(
        self, who: Description, bounds: Mapping[str, tuple[Bound, ...]], command: Command, view: View, now_s: float
    ) -> str:
        """Why a command is not sent; empty when it may be.

        Args:
            who: the instrument.
            bounds: its limits, by command.
            command: what shall be done.
            view: what is known.
            now_s: seconds since 1970.
        """
        if command.name not in bounds:
            return f"{who.name} offers no '{command.name}'"
        reasons = list(_out_of_bounds(command, bounds[command.name]))
        if reasons:
            return "; ".join(reasons)
        if not -MAX_COMMAND_AGE_S <= now_s - command.issued_at_s <= MAX_COMMAND_AGE_S:
            return f"issued {now_s - command.issued_at_s:.0f} s ago: the laboratory may have changed since"
        if command.name == "emergency_stop":
            return ""
        own = view.seen.get(who.name)
        if own is None:
            return f"{who.name} gave no sign of life"
        if command.name in ("clear_stop", "answer"):
            return self._signed(command, own)
        if any(beat.stop for beat in view.seen.values()):
            return "an emergency stop is latched; a person has to clear it"
        if own.questions:
            return f"{who.name} has a question for a person: {own.questions[0].text}"
        if own.busy_with and own.busy_with != command.key:
            return f"{who.name} works on {own.busy_with}"
        if command.name == "heat":
            return self._firing(who, command, view)
        return _CHECKS[command.name](who, command, view)

    def _signed(self, command: Command, own: Heartbeat) -> str:
        p = {name: str(value) for name, value in command.parameters.items()}
        if command.name == "clear_stop":
            if own.stop is None or own.stop.nonce != p["nonce"]:
                return f"stop {p['nonce']} is not the one that is latched"
            subject = clear_subject(LABORATORY, p["nonce"])
        else:
            asked = next((q for q in own.questions if q.id == p["question"]), None)
            if asked is None or p["answer"] not in asked.options:
                return f"'{p['answer']}' answers no open question '{p['question']}'"
            subject = answer_subject(p["question"], p["answer"])
        try:
            approval = Approval(person=p["person"], subject=subject, signature=p["signature"])
        except ValueError:
            return "that is no signature"
        return why_not(approval, subject, self._people)

    def _firing(self, who: Description, command: Command, view: View) -> str:
        p = command.parameters
        sample, furnace = view.sample(str(p["sample"])), view.furnace(who.name)
        kelvin, celsius, gas = float(p["temperature_k"]), float(p["temperature_c"]), str(p["atmosphere"])
        if sample is None or sample.place != who.place:
            return f"{p['sample']} is not in {who.name}"
        if furnace is None or furnace.door != "closed":
            return f"{who.name} is not closed"
        if furnace.atmosphere != gas:
            return f"{who.name} holds {furnace.atmosphere}; asked for is {gas}"
        if not math.isclose(kelvin - celsius, CELSIUS_ZERO_K, abs_tol=0.1):
            return f"{kelvin:g} K and {celsius:g} °C are two temperatures"
        if kelvin < LOWEST_FIRING_K:
            return f"{kelvin:g} K makes no compound: was it meant in °C?"
        if spread(furnace) > AGREEMENT_K:
            return f"the thermocouples of {who.name} are {spread(furnace):.0f} K apart"
        template = self._templates.get(str(p["template"]))
        if template is None:
            return f"no approved template '{p['template']}'"
        for name in ("temperature_k", "ramp_k_per_min", "hold_h"):
            low, high = getattr(template, name)
            if not low <= float(p[name]) <= high:
                return f"'{template.name}' allows {name} from {low:g} to {high:g}, not {float(p[name]):g}"
        if gas not in template.atmospheres:
            return f"'{template.name}' is not fired in {gas}"
        if sample.crucible not in template.crucibles:
            return f"'{template.name}' is not fired in {sample.crucible}"
        declared = view.declared.get(sample.sample)
        if declared is not None and set(declared) != set(sample.formulas):
            return f"{sample.sample} holds {sorted(sample.formulas)}, its recipe says {sorted(declared)}"
        if not sample.formulas:
            return f"nothing is in {sample.sample}"
        return "; ".join(dangers(sample.formulas, sample.crucible, gas, kelvin))


def _out_of_bounds(command: Command, bounds: tuple[Bound, ...]) -> Iterator[str]:
    expected = {bound.name for bound in bounds}
    for extra in sorted(set(command.parameters) - expected):
        yield f"{command.name} takes no {extra}"
    for bound in bounds:
        value = command.parameters.get(bound.name)
        if value is None:
            yield f"{bound.name} is missing"
        elif bound.minimum is not None or bound.maximum is not None:
            low, high = bound.minimum or 0.0, math.inf if bound.maximum is None else bound.maximum
            if isinstance(value, bool | str) or not low <= value <= high:
                yield f"{bound.name} is {value}; {low:g} to {high:g} {bound.unit} are possible"
        elif not isinstance(value, str):
            yield f"{bound.name} is no text"
        elif (bound.choices and value not in bound.choices) or (
            bound.pattern and not re.fullmatch(bound.pattern, value)
        ):
            yield f"{bound.name} is {value!r:.60}, which it cannot be"


def spread(furnace: FurnaceSeen) -> float:
    """How far a furnace's thermocouples are apart, K."""
    return max(furnace.thermocouples_k) - min(furnace.thermocouples_k)


def _stands(who: Description, command: Command, view: View) -> str:
    sample = view.sample(str(command.parameters["sample"]))
    if sample is None or sample.place != who.place:
        return f"{command.parameters['sample']} does not stand at {who.place}"
    return ""


def _dose(who: Description, command: Command, view: View) -> str:
    sample = view.sample(str(command.parameters["sample"]))
    declared = view.declared.get(str(command.parameters["sample"]))
    formula = str(command.parameters["formula"])
    if declared is not None and formula not in declared:
        return f"the recipe of {command.parameters['sample']} has no {formula}"
    return _stands(who, command, view) or clash(formula, sample.formulas if sample else ())


def _mix(who: Description, command: Command, view: View) -> str:
    sample = view.sample(str(command.parameters["sample"]))
    return _stands(who, command, view) or ("" if sample and sample.formulas else "an empty crucible is not ground")


def _measure(who: Description, command: Command, view: View) -> str:
    start, end, step = (float(command.parameters[n]) for n in ("start_deg", "end_deg", "step_deg"))
    if not 2.0 <= (end - start) / step + 1.0 <= 20_000.0:
        return f"{start:g} to {end:g} degrees in steps of {step:g} is no scan"
    return _stands(who, command, view)


def _open_door(who: Description, _command: Command, view: View) -> str:
    furnace = view.furnace(who.name)
    if furnace is None:
        return f"{who.name} shows no temperature"
    if spread(furnace) > AGREEMENT_K:
        return f"the thermocouples of {who.name} are {spread(furnace):.0f} K apart"
    if max(furnace.thermocouples_k) >= COLD_K or furnace.heating:
        return f"{who.name} is not cold: {max(furnace.thermocouples_k):.0f} K"
    return f"{who.name} holds {furnace.atmosphere}" if furnace.atmosphere in ("vacuum", "hydrogen_argon") else ""


def _close_door(who: Description, _command: Command, view: View) -> str:
    transport = view.seen.get("transport")
    if transport is None:
        return "nobody knows where the arm is"
    if transport.busy_with or any(who.place in q.options for q in transport.questions):
        return f"the arm moves, perhaps in {who.name}"
    return ""


def _set_atmosphere(who: Description, command: Command, view: View) -> str:
    furnace = view.furnace(who.name)
    gas = str(command.parameters["atmosphere"])
    if furnace is None or furnace.door != "closed":
        return f"{who.name} is not closed"
    if furnace.heating or max(furnace.thermocouples_k) >= COLD_K:
        return f"{who.name} is hot"
    pair = {furnace.atmosphere, gas}
    if "hydrogen_argon" in pair and pair & {"air", "oxygen"}:
        return f"{furnace.atmosphere} and {gas} never meet: argon between"
    inside = view.at(who.place)
    sample = view.sample(inside) if inside else None
    if sample and gas in ("hydrogen_argon", "vacuum", "oxygen"):
        return "; ".join(dangers(sample.formulas, sample.crucible, gas, 298.15))
    return ""


def _move(_who: Description, command: Command, view: View) -> str:
    p = {name: str(value) for name, value in command.parameters.items()}
    sample = view.sample(p["sample"])
    if sample is None or sample.place != p["source"]:
        return f"{p['sample']} is not at {p['source']}"
    if p["source"] == p["destination"]:
        return "that is no move"
    known = _places(view)
    if p["destination"] not in known | {ARCHIVE}:
        return f"there is no place '{p['destination']}'"
    if p["destination"] != ARCHIVE and view.at(p["destination"]):
        return f"{view.at(p['destination'])} stands at {p['destination']}"
    for end in (p["source"], p["destination"]):
        furnace = view.furnace(end)
        if furnace and (furnace.door != "open" or max(furnace.thermocouples_k) >= COLD_K):
            return f"{end} is not open and cold"
    return ""


def _take_crucible(_who: Description, command: Command, view: View) -> str:
    p = {name: str(value) for name, value in command.parameters.items()}
    if view.sample(p["sample"]) is not None:
        return f"there is a {p['sample']} already"
    if not re.fullmatch(r"rack_[1-8]", p["destination"]):
        return f"new crucibles go to the rack, not to '{p['destination']}'"
    return f"{view.at(p['destination'])} stands there" if view.at(p["destination"]) else ""


def _places(view: View) -> set[str]:
    furnaces = {name for name, beat in view.seen.items() if beat.furnace is not None}
    return {"balance", "mill", "goniometer", *(f"rack_{n}" for n in range(1, 9))} | furnaces


_CHECKS: dict[str, Callable[[Description, Command, View], str]] = {
    "dose": _dose,
    "mix": _mix,
    "measure": _measure,
    "open_door": _open_door,
    "close_door": _close_door,
    "set_atmosphere": _set_atmosphere,
    "cool": _stands,
    "move": _move,
    "take_crucible": _take_crucible,
}
