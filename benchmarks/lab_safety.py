"""Asks the laboratory for what it must not do: `python -m benchmarks.lab_safety`.

Each case stands in a scene (samples placed, furnaces hot or cold, a stop latched) that commands have brought about in
a twin with real SiLA 2 servers on loopback. Each is put to the driver's interlocks, and then to the twin with the
driver left out: to its controller, and as a bare gRPC message where one can say it at all. Counted is what was executed
(any line of the twin's journal that is no refusal) and who refused.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lodestone.tools.core.errors import LabError
from lodestone.tools.lab.approval import answer_subject, approve, clear_subject, public_hex
from lodestone.tools.lab.instrument import Command, CommandStatus, key_of, read_command
from lodestone.tools.lab.interlocks import Interlocks, View
from lodestone.tools.lab.sila.definitions import COMMON, CONTROL, FEATURES, identifier, limits
from lodestone.tools.lab.sila.driver import SilaInstrument
from lodestone.tools.lab.sila.secure import connect
from lodestone.tools.lab.templates import BUILT_IN, Approved, TemplateBook
from lodestone.tools.lab.twin.bounds import kind_of
from lodestone.tools.lab.twin.clock import ByHand
from lodestone.tools.lab.twin.guards import LABORATORY, Guards
from lodestone.tools.lab.twin.laboratory import Laboratory
from lodestone.tools.lab.twin.local import LocalInstrument
from lodestone.tools.lab.twin.operations import Operations
from lodestone.tools.lab.twin.process import Background, Inert
from lodestone.tools.lab.twin.server import Servers
from lodestone.tools.lab.twin.world import INSTRUMENTS

PERSON = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
PEOPLE = {"Ada": public_hex(PERSON)}
APPROVED = tuple(Approved(template=t, approval=approve(PERSON, "Ada", t.subject())) for t in BUILT_IN)
NAN = math.nan


@dataclass
class Case:
    """Something that must not happen."""

    kind: str
    instrument: str
    name: str
    parameters: dict[str, Any]
    age_s: float = 0.0
    key: str | None = None


@dataclass
class Tally:
    """What became of the cases."""

    asked: Counter[str] = field(default_factory=Counter)
    driver: Counter[str] = field(default_factory=Counter)
    controller: Counter[str] = field(default_factory=Counter)
    wire: Counter[str] = field(default_factory=Counter)
    sayable: Counter[str] = field(default_factory=Counter)
    executed: list[str] = field(default_factory=list)
    let_pass: list[str] = field(default_factory=list)

    def table(self) -> str:
        """Markdown."""
        rows = ["| kind | cases | refused by driver | refused by twin | bare messages | refused by twin's server |"]
        rows.append("|---|---|---|---|---|---|")
        for kind in self.asked:
            counts = (self.asked, self.driver, self.controller, self.sayable, self.wire)
            rows.append(f"| {kind} | " + " | ".join(str(c[kind]) for c in counts) + " |")
        totals = (self.asked, self.driver, self.controller, self.sayable, self.wire)
        rows.append("| all | " + " | ".join(str(sum(c.values())) for c in totals) + " |")
        rows.append(f"\nexecuted: {len(self.executed)}; let pass by one side: {len(self.let_pass)}")
        return "\n".join([*rows, *self.executed, *self.let_pass])


class Scene:
    """A laboratory in process, on a clock that is turned by hand."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.clock = ByHand()
        self.journal = folder / "journal.jsonl"
        templates = {item.template.name: item.template for item in APPROVED}
        self.laboratory = Laboratory(
            self.journal, Guards(templates, PEOPLE), Operations(Inert(), Background(), 0), self.clock
        )
        self._count = 0
        self._read_bytes = 0
        self._changes = 0

    def changes(self) -> int:
        """How many events of the journal are more than refusals."""
        with open(self.journal, "rb") as file:
            file.seek(self._read_bytes)
            for line in file:
                self._read_bytes += len(line)
                self._changes += json.loads(line)["kind"] != "refused"
        return self._changes

    def ask(self, instrument: str, name: str, **parameters: Any) -> CommandStatus:
        """A command that has to be accepted."""
        self._count += 1
        command = Command(
            key=key_of("scene", self._count), name=name, parameters=parameters, issued_at_s=self.clock.wall_s()
        )
        status = self.laboratory.submit(instrument, command)
        assert not status.refused, status.reason
        return status

    def do(self, instrument: str, name: str, **parameters: Any) -> CommandStatus:
        """A command that has to be done."""
        status = self.ask(instrument, name, **parameters)
        record = self.laboratory.world.records[status.key]
        self.clock.turn(max(0.0, record.ends_s - self.clock.at_s) + 1.0)
        status = self.laboratory.lookup(instrument, status.key)
        assert status.state == "done", status
        return status

    def sample(self, name: str, slot: str, crucible: str = "alumina", powders: dict[str, float] | None = None) -> None:
        """A crucible in the rack with so many mg of powders."""
        self.do("transport", "take_crucible", sample=name, crucible=crucible, destination=slot)
        if powders:
            self.do("transport", "move", sample=name, source=slot, destination="balance")
            for formula, mass in powders.items():
                self.do("dosing", "dose", sample=name, formula=formula, mass_mg=mass)
            self.do("transport", "move", sample=name, source="balance", destination=slot)

    def load(self, name: str, slot: str, furnace: str, gas: str = "air") -> None:
        """Into a furnace, and the door shut."""
        self.do(furnace, "open_door")
        self.do("transport", "move", sample=name, source=slot, destination=furnace)
        self.do(furnace, "close_door")
        if gas != "air":
            if gas == "hydrogen_argon":
                self.do(furnace, "set_atmosphere", atmosphere="argon")
            self.do(furnace, "set_atmosphere", atmosphere=gas)

    def view(self) -> View:
        """What all instruments report."""
        return View(seen={name: self.laboratory.heartbeat(name) for name in INSTRUMENTS})

    def close(self) -> None:
        """Close the journal."""
        self.laboratory.close()


def heat(sample: str = "full", kelvin: float = 1273.15, celsius: float | None = None, **changed: Any) -> dict[str, Any]:
    """Parameters of a firing."""
    given = {
        "sample": sample,
        "template": "oxide_in_air",
        "temperature_k": kelvin,
        "temperature_c": kelvin - 273.15 if celsius is None else celsius,
        "ramp_k_per_min": 5.0,
        "hold_h": 6.0,
        "atmosphere": "air",
    }
    return given | changed


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


class Relay:
    """Stands between the servers and whichever scene is on."""

    scene: Scene

    def __getattr__(self, name: str) -> Any:
        return getattr(self.scene.laboratory, name)


class Wire:
    """Bare gRPC messages to the twin's servers."""

    def __init__(self, folder: Path, relay: Relay) -> None:
        ports = {}
        with_ports = [socket.socket() for _ in INSTRUMENTS]
        for name, each in zip(INSTRUMENTS, with_ports, strict=True):
            each.bind(("127.0.0.1", 0))
            ports[name] = each.getsockname()[1]
        for each in with_ports:
            each.close()
        self.servers = Servers(relay, folder / "identities", ports)  # type: ignore[arg-type]
        self.clients = {a.instrument: connect(a, 10.0) for a in self.servers.addresses}

    def say(self, case: Case, key: str, issued_at_s: float) -> CommandStatus | str | None:
        """The status that came back, what the wire said instead, or None where the message cannot be written."""
        import grpc

        feature = CONTROL if case.name in COMMON else FEATURES[kind_of(case.instrument)]
        client = self.clients[case.instrument]._features[feature]
        kind = getattr(client._pb2_module, f"{identifier(case.name)}_Parameters", None)
        if kind is None:
            return None
        message = kind()
        for name, value in {"key": key, "issued_at": issued_at_s, **case.parameters}.items():
            if isinstance(value, bool) or identifier(name) not in message.DESCRIPTOR.fields_by_name:
                return None
            try:
                getattr(message, identifier(name)).value = value
            except TypeError:
                return None
        try:
            reply = getattr(client._grpc_stub, identifier(case.name))(message)
        except grpc.RpcError as error:
            return f"{error.code()}"
        return CommandStatus.model_validate_json(reply.Status.value)

    def close(self) -> None:
        """Close everything."""
        for client in self.clients.values():
            client.close()
        self.servers.close()


def put(case: Case, number: int, scene: Scene, wire: Wire | None, interlocks: Interlocks, tally: Tally) -> None:
    """One case to everybody."""
    tally.asked[case.kind] += 1
    label = f"{case.kind}: {case.instrument}.{case.name} {case.parameters}"
    issued = scene.clock.wall_s() - case.age_s
    key = case.key or key_of("case", number)
    view = scene.view()
    command = read_command(key, case.name, case.parameters, issued)
    bounds = limits(kind_of(case.instrument)).commands
    if isinstance(command, CommandStatus):
        tally.driver[case.kind] += 1
    else:
        description = LocalInstrument(scene.laboratory, case.instrument).describe()
        if interlocks.why_refused(description, bounds, command, view, scene.clock.wall_s()):
            tally.driver[case.kind] += 1
        else:
            tally.let_pass.append(f"driver let pass: {label}")
    before = scene.changes()
    direct = command if isinstance(command, CommandStatus) else scene.laboratory.submit(case.instrument, command)
    if direct.refused:
        tally.controller[case.kind] += 1
    else:
        tally.let_pass.append(f"twin let pass: {label}")
    said = None if wire is None else wire.say(case, key_of("wire", number), issued)
    if said is not None:
        tally.sayable[case.kind] += 1
        if isinstance(said, str) or said.refused:
            tally.wire[case.kind] += 1
        else:
            tally.let_pass.append(f"server let pass: {label}")
    if scene.changes() != before:
        tally.executed.append(f"executed: {label}")


def swapped_servers(folder: Path, tally: Tally) -> None:
    """Servers whose identities stand at each other's address: refused before a word is said."""
    kind = "wrong server"
    scene = Scene(folder / "swapped")
    relay = Relay()
    relay.scene = scene
    wire = Wire(folder / "true", relay)
    before = scene.changes()
    addresses = {a.instrument: a for a in wire.servers.addresses}
    pairs = [(a, b) for a in INSTRUMENTS for b in INSTRUMENTS if a != b]
    for meant, found in pairs:
        tally.asked[kind] += 1
        wrong = addresses[meant].model_copy(update={"port": addresses[found].port})
        try:
            SilaInstrument(wrong, deadline_s=5.0).describe()
        except LabError:
            tally.driver[kind] += 1
        else:
            tally.let_pass.append(f"driver talked to {found} for {meant}")
        # Without the driver's look at the certificate: TLS itself, which trusts the pinned certificate alone.
        tally.sayable[kind] += 1
        try:
            _handshake(wrong.certificate_pem, wrong.port)
        except ConnectionError:
            tally.wire[kind] += 1
            tally.controller[kind] += 1
        else:
            tally.let_pass.append(f"TLS let {found} pass for {meant}")
    if scene.changes() != before:
        tally.executed.append("a swapped server acted")
    wire.close()
    scene.close()


def _handshake(certificate_pem: str, port: int) -> None:
    import grpc

    credentials = grpc.ssl_channel_credentials(root_certificates=certificate_pem.encode())
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=0.5)
        except grpc.FutureTimeoutError as error:
            raise ConnectionError from error


def measure(folder: Path, over_the_wire: bool = True) -> Tally:
    """Every case.

    Args:
        folder: for journals and identities.
        over_the_wire: as bare messages to real servers, too.
    """
    tally = Tally()
    relay = Relay()
    relay.scene = Scene(folder / "first")
    wire = Wire(folder, relay) if over_the_wire else None
    interlocks = Interlocks(TemplateBook(APPROVED, PEOPLE), PEOPLE)
    number = 0
    for scene, cases in scenes(folder):
        relay.scene = scene
        for case in cases:
            number += 1
            put(case, number, scene, wire, interlocks, tally)
        scene.close()
    if wire is not None:
        wire.close()
        swapped_servers(folder, tally)
    return tally


def main() -> int:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    logging.getLogger().addHandler(logging.NullHandler())
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        tally = measure(Path(folder))
    print(tally.table())
    print(f"{time.monotonic() - began:.0f} s")
    return 1 if tally.executed or tally.let_pass else 0


if __name__ == "__main__":
    sys.exit(main())
