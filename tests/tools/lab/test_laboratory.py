"""What the twin's controller promises: once a key, doubts to a person, safe without anybody."""

from pathlib import Path

import pytest

from benchmarks.lab_scene import APPROVED, PEOPLE, PERSON, STRANGER, Scene, heat
from lodestone.tools.lab.approval import answer_subject, approve, clear_subject
from lodestone.tools.lab.instrument import Command, CommandStatus, key_of
from lodestone.tools.lab.twin.audit import audit
from lodestone.tools.lab.twin.clock import ByHand
from lodestone.tools.lab.twin.faults import Faults
from lodestone.tools.lab.twin.guards import LABORATORY, Guards
from lodestone.tools.lab.twin.journal import read
from lodestone.tools.lab.twin.laboratory import Laboratory
from lodestone.tools.lab.twin.operations import Operations
from lodestone.tools.lab.twin.process import Background, Inert
from lodestone.tools.lab.twin.world import World, apply

POWDERS = {"BaCO3": 1000.0, "TiO2": 400.0}


class CrashError(Exception):
    """Stands for SIGKILL where the test goes on."""


def again(scene: Scene, faults: Faults | None = None) -> None:
    """The same laboratory after a power loss."""
    scene.laboratory.close()

    def crash() -> None:
        raise CrashError

    scene.laboratory = Laboratory(
        scene.journal,
        Guards({a.template.name: a.template for a in APPROVED}, PEOPLE),
        Operations(Inert(), Background(), 0),
        scene.clock,
        faults or Faults(),
        crash=crash,
    )


def signed(scene: Scene, instrument: str, answer: str, key=PERSON) -> CommandStatus:
    (question,) = scene.laboratory.world.questions.values()
    approval = approve(key, "Ada", answer_subject(question.id, answer))
    command = Command(
        key=key_of(question.id, answer, approval.signature),
        name="answer",
        parameters={"question": question.id, "answer": answer, "person": "Ada", "signature": approval.signature},
        issued_at_s=scene.clock.wall_s(),
    )
    return scene.laboratory.submit(instrument, command)


def loaded(scene: Scene) -> None:
    scene.sample("a", "rack_1", powders=POWDERS)
    scene.load("a", "rack_1", "furnace_1")


def clean(scene: Scene) -> None:
    found = audit(read(scene.journal))
    assert not found.unsafe
    assert not found.twice


def test_the_same_key_again_returns_the_first_result_and_doses_once(scene: Scene) -> None:
    scene.sample("a", "rack_1")
    scene.do("transport", "move", sample="a", source="rack_1", destination="balance")
    command = Command(
        key="dose-of-a", name="dose", parameters={"sample": "a", "formula": "TiO2", "mass_mg": 400.0},
        issued_at_s=scene.clock.wall_s(),
    )  # fmt: skip
    first = scene.laboratory.submit("dosing", command)
    assert first.state == "running"
    scene.clock.turn(1000.0)
    done = scene.laboratory.submit("dosing", command)
    late = scene.laboratory.submit("dosing", command.model_copy(update={"issued_at_s": 0.0}))
    assert done.state == late.state == "done"
    assert done == late == scene.laboratory.lookup("dosing", "dose-of-a")
    mass = scene.laboratory.world.vessels["a"].contents.masses_g["TiO2"]
    assert mass == pytest.approx(0.4, abs=0.01)


def test_a_key_that_stands_for_something_else_is_refused(scene: Scene) -> None:
    status = scene.do("transport", "take_crucible", sample="a", crucible="alumina", destination="rack_1")
    other = Command(
        key=status.key, name="take_crucible", issued_at_s=scene.clock.wall_s(),
        parameters={"sample": "b", "crucible": "alumina", "destination": "rack_2"},
    )  # fmt: skip
    assert "another command" in scene.laboratory.submit("transport", other).reason
    assert "another command" in scene.laboratory.submit("mixing", other).reason
    assert "b" not in scene.laboratory.world.vessels


def test_a_hot_door_stays_shut_until_it_is_cold(scene: Scene) -> None:
    loaded(scene)
    scene.do("furnace_1", "heat", **heat("a"))
    command = Command(key="open-door-1", name="open_door", issued_at_s=scene.clock.wall_s())
    refused = scene.laboratory.submit("furnace_1", command)
    assert refused.refused
    assert "1273 K" in refused.reason or "127" in refused.reason
    scene.do("furnace_1", "cool", sample="a")
    scene.do("furnace_1", "open_door")
    clean(scene)


def test_state_after_power_loss_is_that_of_the_journal(scene: Scene) -> None:
    loaded(scene)
    scene.do("furnace_1", "heat", **heat("a"))
    before = scene.laboratory.world
    again(scene)
    after = scene.laboratory.world
    assert after.vessels == before.vessels
    assert after.records.keys() == before.records.keys()
    assert after.boots == before.boots + 1
    replayed = World()
    for event in read(scene.journal):
        apply(replayed, event)
    assert replayed == after


@pytest.mark.parametrize("name", ["move", "dose", "heat"])
def test_what_a_power_loss_leaves_in_doubt_waits_for_a_person(scene: Scene, name: str) -> None:
    scene.sample("a", "rack_1", powders={"TiO2": 400.0})
    if name == "move":
        status = scene.ask("transport", "move", sample="a", source="rack_1", destination="mill")
    elif name == "dose":
        scene.do("transport", "move", sample="a", source="rack_1", destination="balance")
        status = scene.ask("dosing", "dose", sample="a", formula="BaCO3", mass_mg=500.0)
    else:
        scene.load("a", "rack_1", "furnace_1")
        status = scene.ask("furnace_1", "heat", **heat("a"))
    again(scene)
    world = scene.laboratory.world
    (question,) = world.questions.values()
    doubt = scene.laboratory.lookup(question.instrument, status.key)
    assert doubt.state == "cannot_know"
    assert doubt.question == question.id
    assert signed(scene, question.instrument, question.options[0], STRANGER).refused
    again(scene)
    assert scene.laboratory.lookup(question.instrument, status.key) == doubt
    truth = world.vessels["a"].place if name == "move" else "discard"
    assert signed(scene, question.instrument, truth).state == "done"
    assert scene.laboratory.lookup(question.instrument, status.key).state in ("done", "failed")
    assert not scene.laboratory.world.questions
    clean(scene)


def test_a_person_who_errs_about_a_place_is_corrected_by_the_barcode(scene: Scene) -> None:
    scene.sample("a", "rack_1")
    status = scene.ask("transport", "move", sample="a", source="rack_1", destination="mill")
    scene.laboratory.abort("transport", status.key)
    truth = scene.laboratory.world.vessels["a"].place
    lie = "mill" if truth == "rack_1" else "rack_1"
    assert "barcode" in signed(scene, "transport", lie).reason
    assert signed(scene, "transport", truth).state == "done"


def test_nobody_watching_ends_the_heating(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    loaded(scene)
    status = scene.ask("furnace_1", "heat", **heat("a"))
    scene.clock.turn(10.0)
    scene.laboratory.heartbeat("furnace_1")
    scene.clock.turn(15.0)
    scene.laboratory.tick()
    assert scene.laboratory.lookup("furnace_1", status.key).state == "running"
    scene.clock.turn(15.0)
    scene.laboratory.tick()
    ended = scene.laboratory.lookup("furnace_1", status.key)
    assert ended.state == "failed"
    assert "heartbeat" in ended.reason
    assert not scene.laboratory.heartbeat("furnace_1").furnace.heating
    assert scene.laboratory.world.stop is None
    scene.close()


def test_an_emergency_stop_latches_over_restarts_until_the_right_signature(scene: Scene) -> None:
    loaded(scene)
    status = scene.ask("furnace_1", "heat", **heat("a"))
    scene.clock.turn(3000.0)
    scene.ask("transport", "emergency_stop", reason="smoke")
    assert scene.laboratory.lookup("furnace_1", status.key).state == "failed"
    again(scene)
    stop = scene.laboratory.world.stop
    assert stop is not None
    assert not scene.laboratory.heartbeat("furnace_1").furnace.heating
    for key, accepted in ((STRANGER, False), (PERSON, True)):
        approval = approve(key, "Ada", clear_subject(LABORATORY, stop.nonce))
        said = {"nonce": stop.nonce, "person": "Ada", "signature": approval.signature}
        command = Command(
            key=key_of(approval.signature), name="clear_stop", parameters=said, issued_at_s=scene.clock.wall_s()
        )
        assert scene.laboratory.submit("transport", command).refused is not accepted
    assert scene.laboratory.world.stop is None
    replayed = command.model_copy(update={"key": "another-key"})
    scene.ask("transport", "emergency_stop", reason="smoke again")
    assert scene.laboratory.submit("transport", replayed).refused
    clean(scene)


@pytest.mark.parametrize("fault", ["stuck_sensor", "drift"])
def test_thermocouples_that_disagree_stop_everything(scene: Scene, fault: str) -> None:
    loaded(scene)
    again(scene, Faults(rate=1.0, kinds=(fault,)))
    status = scene.ask("furnace_1", "heat", **heat("a"))
    scene.clock.turn(24 * 3600.0)
    assert scene.laboratory.lookup("furnace_1", status.key).state == "failed"
    stop = scene.laboratory.world.stop
    assert stop is not None
    assert "thermocouples" in stop.reason
    (event,) = [e for e in read(scene.journal) if e["kind"] == "stopped"]
    assert event["at_s"] < scene.laboratory.world.records[status.key].ends_s
    clean(scene)


def test_a_jammed_door_is_known_not_to_have_moved(scene: Scene) -> None:
    again(scene, Faults(rate=1.0, kinds=("door_jam",)))
    status = scene.ask("furnace_1", "open_door")
    scene.clock.turn(60.0)
    ended = scene.laboratory.lookup("furnace_1", status.key)
    assert ended.state == "failed"
    assert "jammed" in ended.reason
    assert scene.laboratory.heartbeat("furnace_1").furnace.door == "closed"


@pytest.mark.parametrize("fault", ["crash_before", "crash_after", "crash_at_end", "power_loss"])
def test_a_crash_at_any_moment_runs_nothing_twice(scene: Scene, fault: str) -> None:
    scene.sample("a", "rack_1")
    scene.do("transport", "move", sample="a", source="rack_1", destination="balance")
    again(scene, Faults(rate=1.0, kinds=(fault,)))
    command = Command(
        key="dose-of-a", name="dose", parameters={"sample": "a", "formula": "TiO2", "mass_mg": 400.0},
        issued_at_s=scene.clock.wall_s(),
    )  # fmt: skip
    try:
        scene.laboratory.submit("dosing", command)
        scene.clock.turn(1000.0)
        scene.laboratory.tick()
        crashed = False
    except CrashError:
        crashed = True
    assert crashed
    again(scene)
    seen = scene.laboratory.lookup("dosing", "dose-of-a")
    assert seen.state == ("never_seen" if fault == "crash_before" else "cannot_know")
    status = scene.laboratory.submit("dosing", command.model_copy(update={"issued_at_s": scene.clock.wall_s()}))
    assert status.state == ("running" if fault == "crash_before" else "cannot_know")
    clean(scene)


def test_firing_inert_contents_keeps_their_mass(scene: Scene) -> None:
    loaded(scene)
    before = scene.laboratory.world.vessels["a"].contents.masses_g
    scene.do("furnace_1", "heat", **heat("a"))
    vessel = scene.laboratory.world.vessels["a"]
    assert vessel.contents.masses_g == before
    assert vessel.firings == 1


def test_the_clock_by_hand_stands_still() -> None:
    clock = ByHand(5.0)
    assert clock.now_s() == clock.now_s() == 5.0
