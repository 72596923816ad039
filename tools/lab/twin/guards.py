"""The twin's interlocks: what the machines refuse, whoever asks, from what their own sensors and records say.

Written independently of the driver's (`lab/interlocks.py`): a mistake in one is caught by the other. Each rule returns
a reason, or nothing. What is not here: bounds of single parameters (`bounds.py`), hazards of materials (`hazards.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..approval import Approval, answer_subject, clear_subject, why_not
from ..instrument import ARCHIVE, GRIPPER
from ..templates import Template
from .bounds import why_malformed
from .hazards import why_not_heated, why_not_together
from .world import BALANCE, FURNACES, GONIOMETER, MILL, PLACES, RACK, World

DOOR_K = 323.15
"""Above it the door stays shut: 50 °C."""
DISAGREEMENT_K = 25.0
"""Thermocouples further apart than this cannot both be right."""
CRUCIBLE_HOLDS_MG = 12_000.0
NITRATES_MG = 5_000.0
MAX_POINTS = 20_000
LABORATORY = "laboratory"
"""The emergency stop is one for all instruments."""

Parameters = dict[str, Any]


class Guards:
    """Says no.

    Args:
        templates: approved ones, by name.
        people: name to public key in hex; they alone clear stops and answer questions.
    """

    def __init__(self, templates: Mapping[str, Template], people: Mapping[str, str]) -> None:
        self._templates = dict(templates)
        self._people = dict(people)

    def why_refused(self, world: World, instrument: str, name: str, parameters: Parameters, at_s: float) -> str:
        """Why a command is refused now; empty when it may run."""
        why = why_malformed(instrument, name, parameters)
        if why or name == "emergency_stop":
            return why
        if name == "clear_stop":
            return self._clearing(world, parameters)
        if name == "answer":
            return self._answering(world, instrument, parameters, at_s)
        if world.stop is not None:
            return f"emergency stop {world.stop.nonce} is latched: {world.stop.reason}"
        open_here = [q for q in world.questions.values() if q.instrument == instrument]
        if open_here:
            return f"question {open_here[0].id} waits for a person: {open_here[0].text}"
        if instrument in world.busy:
            return f"{instrument} is busy with {world.busy[instrument]}"
        if name == "heat":
            return self._heating(world, instrument, parameters, at_s)
        return _RULES[name](world, instrument, parameters, at_s)

    def _clearing(self, world: World, p: Parameters) -> str:
        if world.stop is None:
            return "no emergency stop is latched"
        return self._unsigned(p, clear_subject(LABORATORY, world.stop.nonce))

    def _answering(self, world: World, instrument: str, p: Parameters, at_s: float) -> str:
        question = world.questions.get(p["question"])
        if question is None or question.instrument != instrument:
            return f"{instrument} has no open question '{p['question']}'"
        if p["answer"] not in question.options:
            return f"'{p['answer']}' is none of {', '.join(question.options)}"
        why = self._unsigned(p, answer_subject(question.id, p["answer"]))
        if why:
            return why
        vessel = world.vessels[question.sample]
        if p["answer"] in PLACES and vessel.place != p["answer"]:
            return f"the barcode reader at {p['answer']} does not see {question.sample}"
        if p["answer"] == "complete" and not world.records[question.key].extra.get("complete"):
            return f"the balance contradicts it: {question.command} of {question.sample} was not completed"
        if p["answer"] == "discard" and vessel.place in FURNACES and _hot(world, vessel.place, at_s):
            return f"{vessel.place} is too hot to take {question.sample} out"
        return ""

    def _unsigned(self, p: Parameters, subject: str) -> str:
        try:
            approval = Approval(person=p["person"], subject=subject, signature=p["signature"])
        except ValueError:
            return "the approval is malformed"
        return why_not(approval, subject, self._people)

    def _heating(self, world: World, furnace: str, p: Parameters, at_s: float) -> str:
        chamber = world.chambers[furnace]
        why = _at(world, p["sample"], furnace)
        if why:
            return why
        vessel = world.vessels[p["sample"]]
        if chamber.door != "closed":
            return f"the door of {furnace} is open"
        if chamber.atmosphere != p["atmosphere"]:
            return f"{furnace} is filled with {chamber.atmosphere}, not with {p['atmosphere']}"
        if not vessel.dosed:
            return f"{p['sample']} is empty"
        if abs(p["temperature_k"] - 273.15 - p["temperature_c"]) > 0.5:
            return f"{p['temperature_k']:g} K is not {p['temperature_c']:g} °C"
        if _disagree(world, furnace, at_s):
            return f"the thermocouples of {furnace} disagree"
        template = self._templates.get(p["template"])
        if template is None:
            return f"template '{p['template']}' is not approved here"
        for quantity in ("temperature_k", "ramp_k_per_min", "hold_h"):
            low, high = getattr(template, quantity)
            if p[quantity] < low or p[quantity] > high:
                return f"{quantity} {p[quantity]:g} is outside {low:g} to {high:g} of '{template.name}'"
        if p["atmosphere"] not in template.atmospheres or vessel.crucible not in template.crucibles:
            return f"'{template.name}' does not allow {p['atmosphere']} with {vessel.crucible}"
        return why_not_heated(vessel.dosed, vessel.crucible, p["atmosphere"], p["temperature_k"])


def _hot(world: World, furnace: str, at_s: float) -> bool:
    return max(world.chambers[furnace].thermocouples_k(at_s)) > DOOR_K


def _disagree(world: World, furnace: str, at_s: float) -> bool:
    first, second = world.chambers[furnace].thermocouples_k(at_s)
    return abs(first - second) > DISAGREEMENT_K


def _at(world: World, sample: str, place: str) -> str:
    """Why a sample is not known to be at a place."""
    vessel = world.vessels.get(sample)
    if vessel is None:
        return f"there is no sample {sample}"
    if not vessel.known:
        return f"nobody knows where {sample} is"
    return "" if vessel.place == place else f"{sample} is at {vessel.place}, not at {place}"


def _handled(world: World, furnace: str) -> bool:
    """Whether the transport has, or may have, its arm in a furnace."""
    record = world.moving()
    if record is not None and furnace in record.parameters.values():
        return True
    return any(q.instrument == "transport" and furnace in q.options for q in world.questions.values())


def _open_door(world: World, furnace: str, _p: Parameters, at_s: float) -> str:
    chamber = world.chambers[furnace]
    if _disagree(world, furnace, at_s):
        return f"the thermocouples of {furnace} disagree: nobody knows how hot it is"
    if _hot(world, furnace, at_s):
        hottest = max(chamber.thermocouples_k(at_s))
        return f"{furnace} is at {hottest:.0f} K; the door opens below {DOOR_K:.0f} K"
    if chamber.atmosphere in ("hydrogen_argon", "vacuum"):
        return f"{furnace} holds {chamber.atmosphere}: purge it first"
    return ""


def _close_door(world: World, furnace: str, _p: Parameters, _at_s: float) -> str:
    return f"the arm may be in {furnace}" if _handled(world, furnace) else ""


def _set_atmosphere(world: World, furnace: str, p: Parameters, at_s: float) -> str:
    chamber = world.chambers[furnace]
    old, new = chamber.atmosphere, p["atmosphere"]
    if chamber.door != "closed":
        return f"the door of {furnace} is open"
    if _hot(world, furnace, at_s):
        return f"{furnace} is hot: its gas is changed below {DOOR_K:.0f} K"
    if {old, new} & {"hydrogen_argon"} and {old, new} & {"air", "oxygen"}:
        return f"from {old} to {new} without an inert gas between would be explosive"
    sample = world.at(furnace)
    if sample is None:
        return ""
    vessel = world.vessels[sample]
    if new not in ("argon", "nitrogen"):
        return why_not_heated(vessel.dosed, vessel.crucible, new, 298.15)
    return ""


def _cool(world: World, furnace: str, p: Parameters, _at_s: float) -> str:
    return _at(world, p["sample"], furnace)


def _dose(world: World, _instrument: str, p: Parameters, _at_s: float) -> str:
    why = _at(world, p["sample"], BALANCE)
    if why:
        return why
    vessel = world.vessels[p["sample"]]
    if vessel.firings:
        return f"{p['sample']} was fired: nothing is added to a product"
    if sum(vessel.contents.masses_g.values()) * 1000.0 + p["mass_mg"] > CRUCIBLE_HOLDS_MG:
        return f"the crucible holds {CRUCIBLE_HOLDS_MG:g} mg"
    nitrates = sum(m for f, m in vessel.contents.masses_g.items() if "NO3" in f) * 1000.0
    if "NO3" in p["formula"] and nitrates + p["mass_mg"] > NITRATES_MG:
        return f"more than {NITRATES_MG:g} mg of nitrates give off too much nitrogen dioxide"
    return why_not_together(p["formula"], vessel.dosed)


def _mix(world: World, _instrument: str, p: Parameters, _at_s: float) -> str:
    why = _at(world, p["sample"], MILL)
    return why or ("" if world.vessels[p["sample"]].dosed else f"{p['sample']} is empty")


def _measure(world: World, _instrument: str, p: Parameters, _at_s: float) -> str:
    if p["end_deg"] <= p["start_deg"]:
        return f"the angles end at {p['end_deg']:g} before they start at {p['start_deg']:g} degrees"
    points = (p["end_deg"] - p["start_deg"]) / p["step_deg"] + 1
    if points > MAX_POINTS or points < 2:
        return f"{points:.0f} points; allowed are 2 to {MAX_POINTS}"
    return _at(world, p["sample"], GONIOMETER)


def _take_crucible(world: World, _instrument: str, p: Parameters, _at_s: float) -> str:
    if p["sample"] in world.vessels:
        return f"{p['sample']} exists already"
    if p["destination"] not in RACK:
        return f"crucibles are put into the rack, not to {p['destination']}"
    return _free(world, p["destination"])


def _free(world: World, place: str) -> str:
    if world.at(GRIPPER) is not None:
        return f"the gripper holds {world.at(GRIPPER)}"
    occupant = world.at(place)
    return f"{place} holds {occupant}" if occupant else ""


def _move(world: World, _instrument: str, p: Parameters, at_s: float) -> str:
    source, destination = p["source"], p["destination"]
    if source not in PLACES or destination not in (*PLACES, ARCHIVE):
        return f"there is no way from '{source}' to '{destination}'"
    if source == destination:
        return f"{source} is where it is already"
    why = _at(world, p["sample"], source) or ("" if destination == ARCHIVE else _free(world, destination))
    if why:
        return why
    if world.at(GRIPPER) is not None:
        return f"the gripper holds {world.at(GRIPPER)}"
    for furnace in {source, destination} & set(FURNACES):
        if world.chambers[furnace].door != "open" or furnace in world.busy:
            return f"the door of {furnace} is not open"
        if _hot(world, furnace, at_s):
            return f"{furnace} is hot"
    for instrument, place in (("dosing", BALANCE), ("mixing", MILL), ("diffractometer", GONIOMETER)):
        if place in (source, destination) and instrument in world.busy:
            return f"{instrument} is at work"
    for question in world.questions.values():
        if question.sample == p["sample"]:
            return f"question {question.id} about {p['sample']} waits for a person"
    return ""


_RULES: dict[str, Callable[[World, str, Parameters, float], str]] = {
    "open_door": _open_door,
    "close_door": _close_door,
    "set_atmosphere": _set_atmosphere,
    "cool": _cool,
    "dose": _dose,
    "mix": _mix,
    "measure": _measure,
    "take_crucible": _take_crucible,
    "move": _move,
}
