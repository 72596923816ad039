"""What each command does: how long it takes, what changes at its start and at its end, and what an interruption leaves.

Changes are lists of effects, plain JSON that goes into the journal and that `world.apply` carries out. What is not
here: whether the command may run (`guards.py`).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from ..instrument import ARCHIVE, GRIPPER
from .process import Chemistry, Diffraction, Heat, steps
from .thermal import cold_at, power_off, programme, temperature_k
from .world import Record, World

Effects = list[dict[str, Any]]

DOOR_S, MOVE_S, DOSE_S, PURGE_S = 20.0, 30.0, 90.0, 900.0
COLD_K = 318.15
"""Where cooling ends: below the temperature at which the door opens."""
DOSE_SPREAD_MG = 0.3
"""Standard deviation of a dosed mass beside 0.1 % of it."""
DOSE_TOLERANCE = 0.01
PIECES = 24
"""Into which a firing is cut for the chemistry."""


@dataclass
class Begun:
    """A command that starts."""

    ends_s: float
    effects: Effects = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass
class Ended:
    """A command that is over."""

    ok: bool
    effects: Effects = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    pattern: dict[str, Any] | None = None


@dataclass
class Doubt:
    """A command of which only a person can say what became of it."""

    reason: str
    sample: str
    text: str
    options: tuple[str, ...]
    effects: Effects
    extra: dict[str, Any]


class Operations:
    """The machines' work.

    Args:
        chemistry: what heat makes of powders.
        diffraction: what the diffractometer counts.
        seed: of all chance in the machines.
    """

    def __init__(self, chemistry: Chemistry, diffraction: Diffraction, seed: int) -> None:
        self._chemistry = chemistry
        self._diffraction = diffraction
        self._seed = seed

    def chance(self, key: str, what: str) -> random.Random:
        """Chance that is the same whenever the same key is asked about."""
        return random.Random(f"{self._seed}:{key}:{what}")

    def begin(self, world: World, record: Record, at_s: float, fault: str | None) -> Begun:
        """Start an accepted command."""
        p, furnace = record.parameters, record.instrument
        match record.name:
            case "take_crucible":
                new = {"op": "new", "sample": p["sample"], "crucible": p["crucible"], "place": GRIPPER}
                return Begun(at_s + MOVE_S, [new])
            case "move":
                return Begun(at_s + MOVE_S, [{"op": "place", "sample": p["sample"], "place": GRIPPER}])
            case "dose":
                draw = self.chance(record.key, "dose")
                mass = max(0.0, draw.gauss(p["mass_mg"], DOSE_SPREAD_MG + 0.001 * p["mass_mg"]))
                if fault == "drift":
                    mass *= 1.0 + draw.choice((-1.0, 1.0)) * draw.uniform(0.02, 0.1)
                return Begun(at_s + DOSE_S, extra={"mass_mg": mass})
            case "mix":
                return Begun(at_s + 60.0 * p["duration_min"])
            case "measure":
                points = len(steps(p["start_deg"], p["end_deg"], p["step_deg"]))
                return Begun(at_s + points * p["time_per_step_s"])
            case "open_door" | "close_door":
                return Begun(at_s + DOOR_S, extra={"jammed": fault == "door_jam"})
            case "set_atmosphere":
                return Begun(at_s + PURGE_S)
            case "cool":
                return Begun(cold_at(world.chambers[furnace].run, at_s, COLD_K))
            case "heat":
                return self._begin_heat(world, record, at_s, fault)
        raise AssertionError(record.name)

    def _begin_heat(self, world: World, record: Record, at_s: float, fault: str | None) -> Begun:
        p, chamber = record.parameters, world.chambers[record.instrument]
        run, ends = programme(chamber.run, at_s, p["temperature_k"], p["ramp_k_per_min"] / 60.0, p["hold_h"] * 3600.0)
        change: dict[str, Any] = {"op": "chamber", "furnace": record.instrument, "run": run.model_dump(mode="json")}
        if fault == "stuck_sensor":
            change["sensor"] = {"fault": "stuck", "since_s": at_s, "value_k": chamber.true_k(at_s)}
        elif fault == "drift":
            change["sensor"] = {"fault": "drift", "since_s": at_s, "rate_k_per_s": -0.01}
        return Begun(ends, [change])

    def end(self, world: World, record: Record) -> Ended:
        """Finish a command whose time has come."""
        p, instrument = record.parameters, record.instrument
        match record.name:
            case "take_crucible" | "move":
                arrived = {"op": "place", "sample": p["sample"], "place": p["destination"]}
                return Ended(True, [arrived], {"place": p["destination"]})
            case "dose":
                return self._dosed(world, record)
            case "mix":
                vessel = world.vessels[p["sample"]]
                milled = vessel.contents.milled_min + p["duration_min"]
                contents = vessel.contents.model_copy(update={"milled_min": milled})
                return Ended(True, [_contents(p["sample"], contents)], {"milled_min": milled})
            case "measure":
                vessel = world.vessels[p["sample"]]
                seed = self.chance(record.key, "counts").getrandbits(32)
                pattern = self._diffraction.measure(
                    vessel.contents, p["start_deg"], p["end_deg"], p["step_deg"], p["time_per_step_s"], seed
                )
                return Ended(True, result={"points": len(pattern.counts)}, pattern=pattern.model_dump(mode="json"))
            case "open_door" | "close_door":
                wanted = "open" if record.name == "open_door" else "closed"
                if record.extra.get("jammed"):
                    return Ended(False, reason=f"the door of {instrument} did not move: it is jammed")
                change: dict[str, Any] = {"op": "chamber", "furnace": instrument, "door": wanted}
                if wanted == "open":
                    change["atmosphere"] = "air"
                return Ended(True, [change], {"door": wanted})
            case "set_atmosphere":
                gas = p["atmosphere"]
                filled = {"op": "chamber", "furnace": instrument, "atmosphere": gas}
                return Ended(True, [filled], {"atmosphere": gas})
            case "cool":
                reading = max(world.chambers[instrument].thermocouples_k(record.ends_s))
                return Ended(True, result={"temperature_k": reading})
            case "heat":
                effects = self._fired(world, record, record.ends_s)
                return Ended(True, effects, {"temperature_k": p["temperature_k"], "hold_h": p["hold_h"]})
        raise AssertionError(record.name)

    def _dosed(self, world: World, record: Record) -> Ended:
        p, mass = record.parameters, record.extra["mass_mg"]
        effects = [self._added(world, record, 1.0)]
        off = abs(mass - p["mass_mg"])
        if off > max(2.0, DOSE_TOLERANCE * p["mass_mg"]):
            reason = f"{mass:.1f} mg of {p['formula']} were dosed, {p['mass_mg']:.1f} mg were asked for"
            return Ended(False, effects, reason=reason)
        return Ended(True, effects, {"mass_mg": round(mass, 3)})

    def _added(self, world: World, record: Record, share: float) -> dict[str, Any]:
        p = record.parameters
        vessel = world.vessels[p["sample"]]
        masses = dict(vessel.contents.masses_g)
        masses[p["formula"]] = masses.get(p["formula"], 0.0) + share * record.extra["mass_mg"] / 1000.0
        contents = vessel.contents.model_copy(update={"masses_g": masses})
        dosed = tuple(dict.fromkeys((*vessel.dosed, p["formula"])))
        return _contents(p["sample"], contents) | {"dosed": dosed}

    def _fired(self, world: World, record: Record, until_s: float) -> Effects:
        """What the crucible holds after its programme, or after the part of it that ran."""
        sample = record.parameters["sample"]
        run, began = world.chambers[record.instrument].run, record.began_s
        length = max(0.0, until_s - began)
        pieces = [
            Heat(
                temperature_k=temperature_k(run, began + (i + 0.5) * length / PIECES),
                duration_h=length / PIECES / 3600.0,
                atmosphere=record.parameters["atmosphere"],
            )
            for i in range(PIECES)
        ]
        contents = self._chemistry.heat(world.vessels[sample].contents, pieces)
        return [_contents(sample, contents) | {"fired": 1}]

    def interrupt(self, world: World, record: Record, at_s: float, *, watched: bool, why: str) -> Ended | Doubt:
        """End a command before its time.

        Args:
            world: the state.
            record: the running command.
            at_s: now.
            watched: whether the controller was alive all the time, so that it knows how far a firing came.
            why: what happened, in words.
        """
        p, instrument = record.parameters, record.instrument
        lucky = self.chance(record.key, "interrupted").random() < 0.5
        match record.name:
            case "move" | "take_crucible":
                return self._dropped(record, lucky, why)
            case "dose":
                added = [self._added(world, record, 1.0 if lucky else self.chance(record.key, "part").random())]
                text = f"dosing {p['formula']} into {p['sample']} was interrupted: weigh it"
                result = {"mass_mg": round(record.extra["mass_mg"], 3)}
                extra = {"complete": lucky, "result": result}
                return Doubt(why, p["sample"], text, ("complete", "discard"), added, extra)
            case "heat":
                finished = at_s >= record.ends_s
                effects = self._fired(world, record, min(at_s, record.ends_s))
                effects.append(_cut(world, instrument, at_s))
                if watched:
                    return Ended(False, effects, reason=f"the firing of {p['sample']} was broken off: {why}")
                text = f"nobody watched the firing of {p['sample']}: look at the furnace's own log"
                result = {"temperature_k": p["temperature_k"], "hold_h": p["hold_h"]}
                extra = {"complete": finished, "result": result}
                return Doubt(why, p["sample"], text, ("complete", "discard"), effects, extra)
            case "open_door" | "close_door":
                wanted = "open" if record.name == "open_door" else "closed"
                before = world.chambers[instrument].door
                door = wanted if lucky and not record.extra.get("jammed") else before
                change: dict[str, Any] = {"op": "chamber", "furnace": instrument, "door": door}
                if door == "open":
                    change["atmosphere"] = "air"
                return Ended(False, [change], reason=f"{why}; the door of {instrument} is {door}")
            case "set_atmosphere":
                inert = {"op": "chamber", "furnace": instrument, "atmosphere": "argon"}
                return Ended(False, [inert], reason=f"{why}; {instrument} was purged with argon")
        return Ended(False, reason=f"{why}; nothing changed")

    def _dropped(self, record: Record, lucky: bool, why: str) -> Doubt:
        p = record.parameters
        if record.name == "take_crucible":
            options, truth = (p["destination"], "discard"), p["destination"] if lucky else GRIPPER
        else:
            options = (p["source"], p["destination"])
            truth = p["destination"] if lucky else p["source"]
        effects: Effects = [{"op": "place", "sample": p["sample"], "place": truth, "known": False}]
        text = f"{record.name} of {p['sample']} was interrupted: where is it?"
        return Doubt(why, p["sample"], text, options, effects, {})

    def answered(self, record: Record, sample: str, answer: str) -> Ended:
        """What a person's answer makes of a doubtful command."""
        if answer == "discard":
            gone = {"op": "place", "sample": sample, "place": ARCHIVE}
            return Ended(False, [gone], reason=f"a person discarded {sample}")
        if answer == "complete":
            return Ended(True, result=record.extra.get("result", {}))
        found = {"op": "place", "sample": sample, "place": answer}
        if answer == record.parameters["destination"]:
            return Ended(True, [found], {"place": answer})
        return Ended(False, [found], reason=f"a person found {sample} at {answer}")


def _contents(sample: str, contents: Any) -> dict[str, Any]:
    return {"op": "contents", "sample": sample, "contents": contents.model_dump(mode="json")}


def _cut(world: World, furnace: str, at_s: float) -> dict[str, Any]:
    run = power_off(world.chambers[furnace].run, at_s)
    return {"op": "chamber", "furnace": furnace, "run": run.model_dump(mode="json")}


def safe_effects(world: World, at_s: float) -> Effects:
    """Power off everywhere, and hydrogen replaced by argon."""
    effects: Effects = []
    for name, chamber in world.chambers.items():
        change = _cut(world, name, at_s)
        if chamber.atmosphere == "hydrogen_argon":
            change["atmosphere"] = "argon"
        effects.append(change)
    return effects
