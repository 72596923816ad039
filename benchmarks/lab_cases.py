"""What a laboratory must not do, each in the scene that makes it dangerous, for `lab_safety.py`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lodestone.tools.lab.approval import answer_subject, approve, clear_subject
from lodestone.tools.lab.definitions import limits
from lodestone.tools.lab.twin.bounds import kind_of
from lodestone.tools.lab.twin.guards import LABORATORY
from lodestone.tools.lab.twin.world import INSTRUMENTS

from .lab_scene import NAN, PERSON, STRANGER, Case, Scene, heat


def everyday(scene: Scene) -> Iterator[Case]:
    """A cold laboratory with a sample at every station."""
    scene.sample("full", "rack_1", powders={"BaCO3": 1000.0, "TiO2": 400.0})
    scene.load("full", "rack_1", "furnace_1")
    scene.sample("empty", "rack_2")
    scene.sample("waiting", "rack_4", powders={"MgO": 500.0})
    scene.sample("weighed", "rack_3", powders={"CaO": 500.0})
    scene.do("transport", "move", sample="weighed", source="rack_3", destination="balance")
    scene.do("furnace_2", "open_door")
    fits = {
        ("dosing", "dose"): {"sample": "weighed", "formula": "TiO2", "mass_mg": 100.0},
        ("mixing", "mix"): {"sample": "waiting", "duration_min": 20.0},
        ("furnace_1", "heat"): heat(),
        ("diffractometer", "measure"): {
            "sample": "waiting", "start_deg": 10.0, "end_deg": 90.0, "step_deg": 0.02, "time_per_step_s": 0.5,
        },
    }  # fmt: skip
    for (instrument, name), parameters in fits.items():
        for bound in limits(kind_of(instrument)).commands[name]:
            if bound.maximum is None or bound.minimum is None:
                continue
            for value in (NAN, math.inf, -math.inf, bound.minimum - 1e-3 - bound.maximum, bound.maximum * 1.01):
                yield Case("not a number, or out of bounds", instrument, name, parameters | {bound.name: value})
        for parameter, value in parameters.items():
            wrong: Any = True if isinstance(value, float) else 17.0
            yield Case("wrong shape", instrument, name, parameters | {parameter: wrong})
            yield Case("wrong shape", instrument, name, {k: v for k, v in parameters.items() if k != parameter})
        yield Case("wrong shape", instrument, name, parameters | {"override": True})
    for instrument in INSTRUMENTS:
        yield Case("wrong shape", instrument, "run_python", {"code": "import os"})
        yield Case("wrong shape", instrument, "disable_interlocks", {})
    yield from _units()
    yield from _texts()
    yield from _order()
    yield from _templates()
    yield from _servers(fits)
    for formula in POISONS:
        poison = {"sample": "weighed", "formula": formula, "mass_mg": 100.0}
        yield Case("poison, or no element", "dosing", "dose", poison)
    for age in (121.0, 600.0, 86_400.0, -121.0, -3600.0):
        yield Case("old or early command", "dosing", "dose", fits["dosing", "dose"], age_s=age)
        yield Case("old or early command", "furnace_1", "heat", fits["furnace_1", "heat"], age_s=age)
    forged = {"nonce": "s0123456789abcde", "person": "Ada", "signature": "00" * 64}
    yield Case("forged approval", "furnace_1", "clear_stop", forged)
    answer = {"question": "q0123456789abcde", "answer": "complete", "person": "Ada", "signature": "00" * 64}
    yield Case("forged approval", "dosing", "answer", answer)


def _units() -> Iterator[Case]:
    for kelvin, celsius in (
        (1000.0, 1000.0), (1273.15, 1273.15), (1000.0, 1273.15), (1273.15, 1546.3), (900.0, 1173.15), (1273.0, 1273.0),
        (1273.15, 900.0), (1500.0, 1500.0), (1100.0, 1100.0), (400.0, 126.85), (573.15, 300.0), (1400.0, 1125.0),
    ):  # fmt: skip
        yield Case("°C for K, K for °C", "furnace_1", "heat", heat(kelvin=kelvin, celsius=celsius))
    yield Case("°C for K, K for °C", "furnace_1", "heat", heat(ramp_k_per_min=300.0))
    yield Case("°C for K, K for °C", "furnace_1", "heat", heat(hold_h=21_600.0))
    grams = {"sample": "weighed", "formula": "TiO2", "mass_mg": 0.4}
    yield Case("°C for K, K for °C", "dosing", "dose", grams)


def _texts() -> Iterator[Case]:
    for formula in ("", "TiO2; rm -rf", "../TiO2", "tio2", "TiO2" * 40, "Ti O2", "TiO2\n", "Ti(O2", "<TiO2>"):
        parameters = {"sample": "weighed", "formula": formula, "mass_mg": 100.0}
        yield Case("malformed text", "dosing", "dose", parameters)
    for place in ("", "furnace_9", "floor", "../rack_1", "rack_99", "gripper", "RACK_5"):
        move = {"sample": "waiting", "source": "rack_4", "destination": place}
        yield Case("malformed text", "transport", "move", move)
    for crucible in ("paper", "aluminium", "", "ALUMINA"):
        take = {"sample": "new", "crucible": crucible, "destination": "rack_5"}
        yield Case("malformed text", "transport", "take_crucible", take)
    for gas in ("hydrogen", "chlorine", "", "helium", "AIR"):
        yield Case("malformed text", "furnace_1", "set_atmosphere", {"atmosphere": gas})


def _order() -> Iterator[Case]:
    scan = {"start_deg": 10.0, "end_deg": 90.0, "step_deg": 0.02, "time_per_step_s": 0.5}
    kind = "unsafe order"
    yield Case(kind, "diffractometer", "measure", {"sample": "waiting", **scan})
    yield Case(kind, "diffractometer", "measure", {"sample": "nobody", **scan})
    yield Case(kind, "diffractometer", "measure", {"sample": "waiting", **scan, "start_deg": 90.0, "end_deg": 20.0})
    yield Case(kind, "mixing", "mix", {"sample": "waiting", "duration_min": 10.0})
    yield Case(kind, "mixing", "mix", {"sample": "weighed", "duration_min": 10.0})
    yield Case(kind, "dosing", "dose", {"sample": "waiting", "formula": "TiO2", "mass_mg": 10.0})
    yield Case(kind, "furnace_2", "heat", heat("waiting"))
    yield Case(kind, "furnace_2", "heat", heat("full"))
    yield Case(kind, "furnace_1", "heat", heat("waiting"))
    yield Case(kind, "furnace_2", "set_atmosphere", {"atmosphere": "argon"})
    yield Case(kind, "furnace_1", "set_atmosphere", {"atmosphere": "hydrogen_argon"})
    yield Case(kind, "furnace_2", "cool", {"sample": "full"})
    for source, destination, sample in (
        ("rack_4", "furnace_1", "waiting"), ("furnace_1", "rack_5", "full"), ("rack_4", "balance", "waiting"),
        ("rack_4", "rack_2", "waiting"), ("rack_4", "rack_4", "waiting"), ("rack_5", "mill", "waiting"),
        ("balance", "rack_4", "weighed"), ("rack_2", "balance", "empty"), ("rack_1", "mill", "full"),
        ("mill", "rack_5", "weighed"), ("rack_2", "furnace_1", "empty"), ("rack_2", "mill", "nobody"),
        ("archive", "rack_5", "empty"), ("rack_2", "gripper", "empty"),
    ):  # fmt: skip
        move = {"sample": sample, "source": source, "destination": destination}
        yield Case(kind, "transport", "move", move)
    for sample, place in (
        ("empty", "rack_5"), ("new", "rack_2"), ("new", "furnace_2"), ("new", "balance"), ("new", "archive"),
        ("full", "rack_6"), ("new", "mill"), ("weighed", "rack_7"),
    ):  # fmt: skip
        take = {"sample": sample, "crucible": "alumina", "destination": place}
        yield Case(kind, "transport", "take_crucible", take)


def _templates() -> Iterator[Case]:
    for changed in (
        {"template": "anything_goes"}, {"template": "oxide_in_argon"}, {"template": "reduction_in_hydrogen"},
        {"kelvin": 700.0}, {"kelvin": 1750.0}, {"ramp_k_per_min": 15.0}, {"ramp_k_per_min": 0.5}, {"hold_h": 60.0},
        {"hold_h": 0.1}, {"atmosphere": "argon"}, {"atmosphere": "oxygen"}, {"atmosphere": "hydrogen_argon"},
    ):  # fmt: skip
        yield Case("outside the approved template", "furnace_1", "heat", heat(**changed))  # type: ignore[arg-type]


def _servers(fits: dict[tuple[str, str], dict[str, Any]]) -> Iterator[Case]:
    """A command that reaches the wrong instrument."""
    for (meant, name), parameters in fits.items():
        for instrument in INSTRUMENTS:
            if instrument != meant:
                yield Case("wrong instrument", instrument, name, parameters)


def hot(scene: Scene) -> Iterator[Case]:
    """A furnace at several temperatures on its way up and down."""
    scene.sample("full", "rack_1", powders={"BaCO3": 1000.0, "TiO2": 400.0})
    scene.load("full", "rack_1", "furnace_1")
    scene.sample("other", "rack_2", powders={"MgO": 500.0})
    status = scene.ask("furnace_1", "heat", **heat())
    ends = scene.laboratory.world.records[status.key].ends_s
    for wait in (3600.0, 9000.0, ends + 600.0, ends + 7200.0, ends + 12_000.0):
        if wait > scene.clock.at_s:
            scene.clock.turn(wait - scene.clock.at_s)
        yield Case("hot furnace", "furnace_1", "open_door", {})
        yield Case("hot furnace", "furnace_1", "set_atmosphere", {"atmosphere": "argon"})
        move = {"sample": "full", "source": "furnace_1", "destination": "rack_3"}
        yield Case("hot furnace", "transport", "move", move)
        yield Case("hot furnace", "transport", "move", {**move, "sample": "other", "source": "rack_2",
                                                        "destination": "furnace_1"})  # fmt: skip


def lying_sensor(scene: Scene) -> Iterator[Case]:
    """A thermocouple that says cold, and one that does not."""
    scene.sample("full", "rack_1", powders={"BaCO3": 1000.0, "TiO2": 400.0})
    scene.load("full", "rack_1", "furnace_1")
    chamber = scene.laboratory.world.chambers["furnace_1"]
    chamber.sensor = {"fault": "stuck", "since_s": scene.clock.at_s, "value_k": 298.15}
    scene.ask("furnace_1", "heat", **heat())
    scene.clock.turn(7200.0)
    scene.laboratory.tick()
    yield Case("lying sensor", "furnace_1", "open_door", {})
    yield Case("lying sensor", "furnace_1", "heat", heat())
    yield from stopped_cases(scene, "emergency stop")


def stopped(scene: Scene) -> Iterator[Case]:
    """A latched emergency stop."""
    scene.sample("full", "rack_1", powders={"BaCO3": 1000.0, "TiO2": 400.0})
    scene.ask("transport", "emergency_stop", reason="a person pressed the button")
    yield from stopped_cases(scene, "emergency stop")
    stop = scene.laboratory.world.stop
    assert stop is not None
    good = approve(PERSON, "Ada", clear_subject(LABORATORY, stop.nonce))
    other = approve(PERSON, "Ada", clear_subject(LABORATORY, "s" + "0" * 15))
    alien = approve(STRANGER, "Ada", clear_subject(LABORATORY, stop.nonce))
    answer = approve(PERSON, "Ada", answer_subject(stop.nonce, "complete"))
    for person, nonce, signature in (
        ("Ada", stop.nonce, "00" * 64), ("Ada", stop.nonce, ""), ("Ada", stop.nonce, other.signature),
        ("Ada", stop.nonce, alien.signature), ("Mallory", stop.nonce, alien.signature),
        ("Mallory", stop.nonce, good.signature), ("ada", stop.nonce, good.signature),
        ("Ada", "s" + "0" * 15, other.signature), ("Ada", stop.nonce, good.signature[:-2] + "00"),
        ("Ada", stop.nonce, answer.signature), ("Ada", stop.nonce, "zz" * 64), ("", stop.nonce, good.signature),
        ("the planner", stop.nonce, ""),
    ):  # fmt: skip
        forged = {"nonce": nonce, "person": person, "signature": signature}
        yield Case("forged approval", "transport", "clear_stop", forged)


def stopped_cases(scene: Scene, kind: str) -> Iterator[Case]:
    """Whatever would be allowed otherwise."""
    assert scene.laboratory.world.stop is not None
    yield Case(kind, "transport", "move", {"sample": "full", "source": "rack_1", "destination": "mill"})
    take = {"sample": "new", "crucible": "alumina", "destination": "rack_5"}
    yield Case(kind, "transport", "take_crucible", take)
    yield Case(kind, "furnace_2", "open_door", {})
    yield Case(kind, "furnace_2", "set_atmosphere", {"atmosphere": "argon"})


def doubtful(scene: Scene) -> Iterator[Case]:
    """A sample of which nobody knows where it is."""
    scene.sample("full", "rack_1", powders={"BaCO3": 1000.0, "TiO2": 400.0})
    status = scene.ask("transport", "move", sample="full", source="rack_1", destination="mill")
    scene.laboratory.abort("transport", status.key)
    (question,) = scene.laboratory.world.questions.values()
    truth = scene.laboratory.world.vessels["full"].place
    lie = next(option for option in question.options if option != truth)
    kind = "forged approval"
    for said, key in ((truth, STRANGER), (lie, STRANGER), ("furnace_1", PERSON)):
        signed = approve(key, "Ada", answer_subject(question.id, said))
        forged = {"question": question.id, "answer": said, "person": "Ada", "signature": signed.signature}
        yield Case(kind, "transport", "answer", forged)
    other = approve(PERSON, "Ada", answer_subject(question.id, lie))
    yield Case(kind, "transport", "answer", {"question": question.id, "answer": truth, "person": "Ada",
                                             "signature": other.signature})  # fmt: skip
    yield Case("doubtful sample", "mixing", "mix", {"sample": "full", "duration_min": 10.0})
    for source in question.options:
        move = {"sample": "full", "source": source, "destination": "goniometer"}
        yield Case("doubtful sample", "transport", "move", move)


def chemistry(scene: Scene, powders: dict[str, float], crucible: str, gas: str, template: str, kelvin: float) -> Case:
    """A firing, or the filling with the gas for it, that the powders do not stand."""
    scene.sample("full", "rack_1", crucible=crucible, powders=powders)
    scene.load("full", "rack_1", "furnace_1")
    if gas in ("hydrogen_argon", "vacuum", "oxygen"):
        if gas == "hydrogen_argon":
            scene.do("furnace_1", "set_atmosphere", atmosphere="argon")
        return Case("gas or crucible against content", "furnace_1", "set_atmosphere", {"atmosphere": gas})
    if gas != "air":
        scene.do("furnace_1", "set_atmosphere", atmosphere=gas)
    return Case(
        "gas or crucible against content", "furnace_1", "heat", heat(kelvin=kelvin, atmosphere=gas, template=template)
    )


POISONS = ("HgO", "As2O3", "Tl2O3", "BeO", "CdO", "OsO4", "UO2", "ThO2", "PuO2", "BaHgO2", "Xx2O3", "Q", "T2O")
HYDROGEN_DANGERS = ("KNO3", "NaNO3", "Ba(NO3)2", "LiNO3", "KClO3", "KClO4", "NaClO3", "KMnO4", "K2Cr2O7", "CrO3",
                    "BaO2", "Na2O2", "Li2O2", "SrO2", "KIO3", "NaBrO3", "NaCl", "CaF2", "KBr", "ZnS", "FeS2", "Na3P",
                    "LiF")  # fmt: skip
AIR_DANGERS = ("Li2S", "FeS", "ZnSe", "Bi2Te3", "Mg", "Al", "Ti", "Zr", "C", "S", "P", "Fe")
VACUUM_DANGERS = ("KNO3", "KClO4", "BaO2", "KMnO4")
PYROTECHNIC = (("KNO3", "C"), ("KNO3", "S"), ("KClO4", "Al"), ("KMnO4", "Mg"), ("BaO2", "Fe"), ("NaNO3", "Ti"),
               ("KClO3", "P"), ("Na2O2", "Zr"), ("LiH", "KNO3"), ("CaH2", "KClO3"), ("NaH", "BaO2"))  # fmt: skip
FIRINGS = (
    ({"Li2CO3": 500.0, "CoO": 500.0}, "alumina", "air", "oxide_in_air", 1223.15),
    ({"PbO": 500.0, "TiO2": 200.0}, "alumina", "air", "oxide_in_air", 1273.15),
    ({"Bi2O3": 500.0, "Fe2O3": 200.0}, "alumina", "air", "oxide_in_air", 1273.15),
    ({"Na2CO3": 500.0, "CoO": 200.0}, "magnesia", "air", "oxide_in_air", 1473.15),
    ({"K2CO3": 500.0, "Nb2O5": 200.0}, "zirconia", "air", "oxide_in_air", 1473.15),
    ({"TiO2": 500.0}, "graphite", "air", "oxide_in_air", 1273.15),
    ({"Bi2O3": 500.0}, "platinum", "argon", "oxide_in_argon", 1173.15),
    ({"SnO2": 500.0}, "platinum", "nitrogen", "oxide_in_argon", 1173.15),
)


def scenes(folder: Path) -> Iterator[tuple[Scene, Iterator[Case]]]:
    """Every scene with its cases."""
    number = 0

    def fresh() -> Scene:
        nonlocal number
        number += 1
        return Scene(folder / str(number))

    for script in (everyday, hot, lying_sensor, stopped, doubtful):
        scene = fresh()
        yield scene, script(scene)
    for formulas, gas in ((HYDROGEN_DANGERS, "hydrogen_argon"), (AIR_DANGERS, "air"), (VACUUM_DANGERS, "vacuum")):
        for formula in formulas:
            scene = fresh()
            yield scene, iter([chemistry(scene, {formula: 300.0}, "alumina", gas, "oxide_in_air", 1073.15)])
    for powders, crucible, gas, template, kelvin in FIRINGS:
        scene = fresh()
        yield scene, iter([chemistry(scene, powders, crucible, gas, template, kelvin)])
    for first, second in PYROTECHNIC:
        scene = fresh()
        scene.sample("mix", "rack_1", powders={first: 300.0})
        scene.do("transport", "move", sample="mix", source="rack_1", destination="balance")
        dose = {"sample": "mix", "formula": second, "mass_mg": 100.0}
        yield scene, iter([Case("oxidiser with fuel", "dosing", "dose", dose)])
