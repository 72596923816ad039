"""Random histories of driver, twin, crashes and people: interlocks hold, samples stay, keys run once."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from benchmarks.lab_scene import APPROVED, PEOPLE, PERSON, Scene, heat
from lodestone.tools.lab.approval import answer_subject, approve, clear_subject
from lodestone.tools.lab.instrument import ARCHIVE, GRIPPER, Command, CommandStatus, key_of
from lodestone.tools.lab.interlocks import Interlocks, View
from lodestone.tools.lab.templates import TemplateBook
from lodestone.tools.lab.twin.audit import audit
from lodestone.tools.lab.twin.faults import Faults
from lodestone.tools.lab.twin.guards import DOOR_K, LABORATORY, Guards
from lodestone.tools.lab.twin.journal import read
from lodestone.tools.lab.twin.laboratory import Laboratory
from lodestone.tools.lab.twin.local import instruments
from lodestone.tools.lab.twin.operations import Operations
from lodestone.tools.lab.twin.process import Background, Inert
from lodestone.tools.lab.twin.world import FURNACES, PLACES, World, apply

SAMPLES = st.sampled_from(["a", "b", "c"])
EVERYWHERE = st.sampled_from([*PLACES[:3], "balance", "mill", "goniometer", *FURNACES, ARCHIVE, "floor"])
GASES = st.sampled_from(["air", "oxygen", "argon", "hydrogen_argon", "vacuum"])
FURNACE = st.sampled_from(FURNACES)
FAULTS = Faults(
    rate=0.2, kinds=("stuck_sensor", "drift", "door_jam", "crash_after", "crash_at_end", "power_loss"), seed=3
)


class CrashError(Exception):
    """Stands for SIGKILL."""


def crash() -> None:
    raise CrashError


class Histories(RuleBasedStateMachine):
    """Half of what is asked passes the driver's interlocks first; the other half goes round them."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.scene = Scene(Path(self.folder.name))
        self.count = 0
        self.statuses: dict[str, tuple[str, Command, CommandStatus]] = {}
        self.interlocks = Interlocks(TemplateBook(APPROVED, PEOPLE), PEOPLE)
        self.restart()
        self.scene.sample("a", "rack_1", powders={"BaCO3": 500.0})
        self.scene.sample("b", "rack_2", crucible="graphite", powders={"TiO2": 500.0})
        self.scene.load("a", "rack_1", "furnace_1")
        self.faulty = True
        self.restart()

    def teardown(self) -> None:
        if hasattr(self, "scene"):
            self.scene.close()
            self.folder.cleanup()

    def restart(self) -> None:
        self.scene.laboratory.close()
        self.scene.laboratory = Laboratory(
            self.scene.journal,
            Guards({a.template.name: a.template for a in APPROVED}, PEOPLE),
            Operations(Inert(), Background(), 0),
            self.scene.clock,
            FAULTS if getattr(self, "faulty", False) else Faults(),
            crash=crash,
        )

    def ask(self, instrument: str, name: str, direct: bool, **parameters) -> None:
        """Through the driver's interlocks, or round them; a crash is followed by a start."""
        self.count += 1
        command = Command(
            key=key_of("history", self.count), name=name, parameters=parameters,
            issued_at_s=self.scene.clock.wall_s(),
        )  # fmt: skip
        try:
            driver = instruments(self.scene.laboratory)
            view = View(seen={other: one.heartbeat() for other, one in driver.items()})
            one = driver[instrument]
            why = self.interlocks.why_refused(
                one.describe(), one.limits().commands, command, view, self.scene.clock.wall_s()
            )
            if direct or not why:
                status = one.submit(command)
                self.statuses[command.key] = (instrument, command, status)
        except CrashError:
            self.restart()

    @rule(furnace=FURNACE, name=st.sampled_from(["open_door", "close_door"]), direct=st.booleans())
    def door(self, furnace: str, name: str, direct: bool) -> None:
        self.ask(furnace, name, direct)

    @rule(furnace=FURNACE, gas=GASES, direct=st.booleans())
    def fill(self, furnace: str, gas: str, direct: bool) -> None:
        self.ask(furnace, "set_atmosphere", direct, atmosphere=gas)

    @rule(furnace=FURNACE, sample=SAMPLES, kelvin=st.sampled_from([900.0, 1200.0, 1600.0, 1800.0]), gas=GASES,
          direct=st.booleans(), template=st.sampled_from(["oxide_in_air", "oxide_in_argon"]))  # fmt: skip
    def fire(self, furnace: str, sample: str, kelvin: float, gas: str, direct: bool, template: str) -> None:
        self.ask(furnace, "heat", direct, **heat(sample, kelvin=kelvin, atmosphere=gas, template=template))

    @rule(
        furnace=FURNACE,
        kelvin=st.sampled_from([1000.0, 1200.0]),
        direct=st.booleans(),
        then_s=st.sampled_from([0.0, 9000.0, 40_000.0, 60_000.0]),
    )
    def fire_what_is_inside_and_reach_for_it(self, furnace: str, kelvin: float, direct: bool, then_s: float) -> None:
        world = self.scene.laboratory.world
        gas = world.chambers[furnace].atmosphere
        template = {"argon": "oxide_in_argon", "hydrogen_argon": "reduction_in_hydrogen"}.get(gas, "oxide_in_air")
        inside = world.at(furnace) or "a"
        self.ask(furnace, "heat", direct, **heat(inside, kelvin=kelvin, atmosphere=gas, template=template))
        if then_s:
            self.wait(then_s)
            self.ask(furnace, "open_door", direct)
            self.wait(60.0)

    @rule(furnace=FURNACE, sample=SAMPLES)
    def load(self, furnace: str, sample: str) -> None:
        for instrument, name in ((furnace, "open_door"), ("transport", "move"), (furnace, "close_door")):
            vessel = self.scene.laboratory.world.vessels.get(sample)
            place = vessel.place if vessel else "rack_1"
            move = {"sample": sample, "source": place, "destination": furnace}
            self.ask(instrument, name, False, **(move if name == "move" else {}))
            self.wait(60.0)

    @rule(mover=SAMPLES, there=SAMPLES, direct=st.booleans())
    def move_onto_another(self, mover: str, there: str, direct: bool) -> None:
        vessels = self.scene.laboratory.world.vessels
        if mover in vessels and there in vessels:
            source, destination = vessels[mover].place, vessels[there].place
            self.ask("transport", "move", direct, sample=mover, source=source, destination=destination)

    @rule(sample=SAMPLES, source=EVERYWHERE, destination=EVERYWHERE, direct=st.booleans())
    def move(self, sample: str, source: str, destination: str, direct: bool) -> None:
        self.ask("transport", "move", direct, sample=sample, source=source, destination=destination)

    @rule(sample=SAMPLES, destination=EVERYWHERE, direct=st.booleans())
    def move_from_where_it_is(self, sample: str, destination: str, direct: bool) -> None:
        vessel = self.scene.laboratory.world.vessels.get(sample)
        if vessel is not None:
            self.ask("transport", "move", direct, sample=sample, source=vessel.place, destination=destination)

    @rule(sample=SAMPLES, place=EVERYWHERE, direct=st.booleans())
    def take(self, sample: str, place: str, direct: bool) -> None:
        self.ask("transport", "take_crucible", direct, sample=sample, crucible="alumina", destination=place)

    @rule(sample=SAMPLES, formula=st.sampled_from(["BaCO3", "KNO3", "C", "Li2CO3", "HgO"]), direct=st.booleans())
    def dose(self, sample: str, formula: str, direct: bool) -> None:
        self.ask("dosing", "dose", direct, sample=sample, formula=formula, mass_mg=100.0)

    @rule(seconds=st.sampled_from([1.0, 40.0, 1000.0, 20_000.0, 60_000.0]))
    def wait(self, seconds: float) -> None:
        self.scene.clock.turn(seconds)
        try:
            self.scene.laboratory.tick()
        except CrashError:
            self.restart()

    @rule(how_likely=st.integers(0, 3))
    def power_loss(self, how_likely: int) -> None:
        if not how_likely:
            self.restart()

    @rule(how_likely=st.integers(0, 5))
    def button(self, how_likely: int) -> None:
        if how_likely:
            return
        self.ask("transport", "emergency_stop", True, reason="a person pressed the button")

    @rule(honest=st.sampled_from([True, True, True, False]))
    def person(self, honest: bool) -> None:
        world = self.scene.laboratory.world
        if world.stop is not None:
            nonce = world.stop.nonce if honest else "s" + "0" * 15
            signature = approve(PERSON, "Ada", clear_subject(LABORATORY, nonce)).signature
            said = {"nonce": world.stop.nonce, "person": "Ada", "signature": signature}
            boots = world.boots
            self.ask("transport", "clear_stop", True, **said)
            after = self.scene.laboratory.world
            assert after.boots != boots or (after.stop is None) is honest
        for question in list(world.questions.values()):
            place = world.vessels[question.sample].place
            answer = place if place in question.options else "discard"
            if answer not in question.options:
                continue
            signature = approve(PERSON, "Ada", answer_subject(question.id, answer)).signature
            said = {"question": question.id, "answer": answer, "person": "Ada", "signature": signature}
            self.ask(question.instrument, "answer", True, **said)

    @rule(data=st.data())
    def resend(self, data: st.DataObject) -> None:
        """An old command again: the same key never acts twice."""
        if not self.statuses:
            return
        instrument, command, _ = self.statuses[data.draw(st.sampled_from(sorted(self.statuses)))]
        record = self.scene.laboratory.world.records.get(command.key)
        if record is None or record.refused:
            return
        accepted = self.accepted(command.key)
        try:
            again = self.scene.laboratory.submit(instrument, command)
        except CrashError:
            self.restart()
            return
        assert again.key == command.key
        assert self.accepted(command.key) == accepted

    def accepted(self, key: str) -> int:
        return sum(e["kind"] == "accepted" and e["data"]["key"] == key for e in read(self.scene.journal))

    @invariant()
    def every_interlock_holds(self) -> None:
        if not hasattr(self, "scene"):
            return
        world = self.scene.laboratory.world
        found = audit(read(self.scene.journal), dict.fromkeys("abc", 99))
        assert not found.unsafe
        assert not [t for t in found.twice if "dose" not in t]
        standing = [v.place for v in world.vessels.values() if v.place != ARCHIVE]
        assert len(standing) == len(set(standing))
        assert set(standing) <= {*PLACES, GRIPPER}
        for chamber in world.chambers.values():
            if chamber.door == "open":
                assert chamber.true_k(world.at_s) <= DOOR_K + 0.1
                assert chamber.atmosphere not in ("hydrogen_argon", "vacuum")

    @invariant()
    def the_journal_tells_the_state(self) -> None:
        if not hasattr(self, "scene"):
            return
        replayed = World()
        for event in read(self.scene.journal):
            apply(replayed, event)
        assert replayed == self.scene.laboratory.world


Histories.TestCase.settings = settings(
    max_examples=12, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestHistories = Histories.TestCase
