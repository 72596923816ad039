"""What must not happen is refused twice: by the driver before it is sent, and by the twin with the driver left out."""

import logging
from pathlib import Path

import pytest

from benchmarks.lab_cases import doubtful, hot, stopped
from benchmarks.lab_safety import Tally, measure, put
from benchmarks.lab_scene import APPROVED, PEOPLE, Case, Relay, Scene, Wire
from lodestone.tools.lab.instrument import Command, read_command
from lodestone.tools.lab.interlocks import Interlocks, View
from lodestone.tools.lab.templates import TemplateBook
from lodestone.tools.lab.twin.local import LocalInstrument, instruments


def test_every_adversarial_command_is_refused_by_both_and_nothing_runs(tmp_path: Path) -> None:
    tally = measure(tmp_path, over_the_wire=False)
    assert tally.executed == []
    assert tally.let_pass == []
    assert sum(tally.asked.values()) >= 200
    assert tally.asked == tally.driver == tally.controller


def test_bare_messages_to_the_servers_are_refused_as_well(tmp_path: Path) -> None:
    logging.getLogger().addHandler(logging.NullHandler())
    tally, relay = Tally(), Relay()
    relay.scene = Scene(tmp_path / "first")
    wire = Wire(tmp_path, relay)
    interlocks = Interlocks(TemplateBook(APPROVED, PEOPLE), PEOPLE)
    for script in (hot, stopped, doubtful):
        scene = Scene(tmp_path / script.__name__)
        relay.scene = scene
        for number, case in enumerate(script(scene)):
            put(case, number, scene, wire, interlocks, tally)
        scene.close()
    wire.close()
    assert tally.executed == []
    assert tally.let_pass == []
    assert tally.sayable == tally.asked == tally.wire
    assert sum(tally.wire.values()) >= 40


def test_what_is_safe_passes_both(scene: Scene) -> None:
    """The other half: interlocks that refuse everything would pass the tests above."""
    scene.sample("a", "rack_1", powders={"BaCO3": 500.0})
    interlocks = Interlocks(TemplateBook(APPROVED, PEOPLE), PEOPLE)
    for instrument, name, parameters in (
        ("transport", "move", {"sample": "a", "source": "rack_1", "destination": "mill"}),
        ("mixing", "mix", {"sample": "a", "duration_min": 10.0}),
        ("furnace_1", "open_door", {}),
        ("transport", "move", {"sample": "a", "source": "mill", "destination": "furnace_1"}),
        ("furnace_1", "close_door", {}),
        ("furnace_1", "set_atmosphere", {"atmosphere": "argon"}),
        ("furnace_1", "set_atmosphere", {"atmosphere": "hydrogen_argon"}),
    ):
        one = LocalInstrument(scene.laboratory, instrument)
        view = View(seen={n: i.heartbeat() for n, i in instruments(scene.laboratory).items()})
        command = Command(key="a-key-for-it", name=name, parameters=parameters, issued_at_s=scene.clock.wall_s())
        bounds = one.limits().commands
        assert not interlocks.why_refused(one.describe(), bounds, command, view, scene.clock.wall_s())
        scene.do(instrument, name, **parameters)


def test_a_sample_that_holds_something_else_than_its_recipe_says_is_not_fired(scene: Scene) -> None:
    from benchmarks.lab_scene import heat

    scene.sample("a", "rack_1", powders={"BaCO3": 500.0})
    scene.load("a", "rack_1", "furnace_1")
    one = LocalInstrument(scene.laboratory, "furnace_1")
    seen = {n: i.heartbeat() for n, i in instruments(scene.laboratory).items()}
    command = Command(key="a-key-for-it", name="heat", parameters=heat("a"), issued_at_s=scene.clock.wall_s())
    interlocks = Interlocks(TemplateBook(APPROVED, PEOPLE), PEOPLE)
    for declared, refused in ((("BaCO3",), False), (("BaCO3", "TiO2"), True), (("SrCO3",), True)):
        view = View(seen=seen, declared={"a": declared})
        why = interlocks.why_refused(one.describe(), one.limits().commands, command, view, scene.clock.wall_s())
        assert bool(why) is refused


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "x" * 600, None, [1.0]])
def test_a_command_of_no_number_is_none(value: object) -> None:
    found = read_command("a-key-for-it", "dose", {"mass_mg": value}, 0.0)
    assert not isinstance(found, Command)
    assert found.refused
    assert "mass_mg" in found.reason
    assert isinstance(read_command("a-key-for-it", "dose", {"mass_mg": 1.0}, 0.0), Command)
    assert Case("kind", "dosing", "dose", {}).age_s == 0.0
