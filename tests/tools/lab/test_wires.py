"""Driver and twin over real sockets on loopback, every protocol: deadlines, lost replies, foreign servers, SIGKILL."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.lab_scene import APPROVED, PEOPLE, PERSON, Relay, Scene, serve
from lodestone.tools.core.errors import LabError
from lodestone.tools.lab import twin
from lodestone.tools.lab.address import Address
from lodestone.tools.lab.approval import answer_subject, approve
from lodestone.tools.lab.definitions import FEATURES, definition, identifier, limits, snake
from lodestone.tools.lab.instrument import Command, CommandStatus, key_of
from lodestone.tools.lab.remote import RemoteInstrument, reachable
from lodestone.tools.lab.twin.faults import Faults
from lodestone.tools.lab.twin.server import Servers
from lodestone.tools.lab.twin.world import INSTRUMENTS


class Served:
    """A laboratory on a clock that is turned by hand, behind real servers."""

    def __init__(self, servers: Servers, relay: Relay) -> None:
        self.relay = relay
        self.addresses = {a.instrument: a for a in servers.addresses}

    def instrument(self, name: str, deadline_s: float = 5.0) -> RemoteInstrument:
        return RemoteInstrument(self.addresses[name], deadline_s)

    def command(self, key: str, name: str, **parameters) -> Command:
        issued = self.relay.scene.clock.wall_s()
        return Command(key=key, name=name, parameters=parameters, issued_at_s=issued)


# An OPC UA server takes two seconds to fill its address space.
SPEAKING = {"sila2": INSTRUMENTS, "opcua": ("dosing", "transport", "furnace_1", "furnace_2"), "http": INSTRUMENTS}


@pytest.fixture(scope="module", params=["sila2", "opcua", "http"])
def servers(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("servers")
    relay = Relay()
    relay.scene = Scene(folder / "first")
    servers = serve(folder, relay, request.param, SPEAKING[request.param])
    yield Served(servers, relay)
    servers.close()


@pytest.fixture
def served(servers: Served, scene: Scene) -> Served:
    servers.relay.scene = scene
    return servers


def faulty(scene: Scene, kind: str) -> None:
    scene.laboratory._faults = Faults(rate=1.0, kinds=(kind,))  # type: ignore[arg-type]


def test_every_instrument_describes_itself_and_its_bounds(served: Served) -> None:
    for name, address in served.addresses.items():
        instrument = served.instrument(name)
        description = instrument.describe()
        assert (description.name, description.server_id) == (name, address.server_id)
        assert "emergency_stop" in instrument.limits().commands
        assert instrument.heartbeat().instrument == name
        instrument.close()


def test_bounds_carry_their_units(served: Served) -> None:
    bounds = {b.name: b for b in limits("furnace").commands["heat"]}
    assert (bounds["temperature_k"].unit, bounds["temperature_c"].unit) == ("K", "°C")
    assert bounds["temperature_k"].maximum == 1773.15
    assert bounds["ramp_k_per_min"].unit == "K/min"
    for feature in FEATURES.values():
        assert "org.lodestone" in definition(feature)
    for name in ("temperature_k", "ramp_k_per_min", "sample"):
        assert snake(identifier(name)) == name


def test_a_lost_acknowledgement_is_looked_up_and_the_command_ran_once(served: Served, scene: Scene) -> None:
    faulty(scene, "lost_acknowledgement")
    instrument = served.instrument("transport", deadline_s=0.7)
    instrument.describe()
    command = served.command("take-a-01", "take_crucible", sample="a", crucible="alumina", destination="rack_1")
    began = time.monotonic()
    status = instrument.submit(command)
    assert time.monotonic() - began < 5.0
    assert status.state == "running"
    scene.clock.turn(100.0)
    assert instrument.submit(command).state == "done"
    assert list(scene.laboratory.world.vessels) == ["a"]
    instrument.close()


def test_the_reply_to_another_command_is_not_taken_for_ones_own(served: Served, scene: Scene) -> None:
    instrument = served.instrument("transport")
    first = served.command("take-a-01", "take_crucible", sample="a", crucible="alumina", destination="rack_1")
    instrument.submit(first)
    scene.clock.turn(100.0)
    assert instrument.lookup(first.key).state == "done"
    faulty(scene, "duplicated_reply")
    second = served.command("take-b-01", "take_crucible", sample="b", crucible="alumina", destination="rack_2")
    status = instrument.submit(second)
    assert status == CommandStatus(key=second.key, state="running")
    instrument.close()


def test_a_value_outside_the_definition_is_refused_with_a_reason(served: Served) -> None:
    instrument = served.instrument("dosing")
    command = served.command("dose-a-01", "dose", sample="a", formula="TiO2", mass_mg=9e9)
    status = instrument.submit(command)
    assert status.refused
    assert re.search(r"9000000000|9e\+09", status.reason)
    assert instrument.submit(served.command("dose-a-02", "dose", sample="a", mass=1.0)).refused
    seen = instrument.lookup("dose-a-01")
    assert seen.state == "never_seen" or seen.refused
    instrument.close()


def test_a_server_at_the_wrong_address_is_refused_before_a_word(served: Served) -> None:
    wrong = served.addresses["furnace_1"].model_copy(update={"port": served.addresses["furnace_2"].port})
    with pytest.raises(LabError, match="certificate"):
        RemoteInstrument(wrong, 5.0).describe()
    with pytest.raises(LabError, match="certificate"):
        RemoteInstrument(served.addresses["mixing"].model_copy(update={"fingerprint": "0" * 64}), 5.0).describe()
    other_id = served.addresses["mixing"].model_copy(update={"server_id": served.addresses["dosing"].server_id})
    with pytest.raises(LabError, match="not"):
        RemoteInstrument(other_id, 5.0).describe()


def test_another_machine_is_refused_unless_it_was_allowed(served: Served) -> None:
    remote = served.addresses["mixing"].model_copy(update={"host": "192.0.2.1"})
    with pytest.raises(LabError, match="not this machine"):
        RemoteInstrument(remote, 0.2).describe()


def test_a_server_that_accepts_and_never_speaks_costs_no_more_than_the_deadline(served: Served) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        silent = served.addresses["mixing"].model_copy(update={"port": listening.getsockname()[1]})
        began = time.monotonic()
        with pytest.raises(LabError, match="does not answer"):
            RemoteInstrument(silent, 0.5).describe()
        status = RemoteInstrument(silent, 0.5).lookup("some-key-1")
        assert time.monotonic() - began < 4.0
    assert status.state == "cannot_know"
    assert not status.question
    assert not status.settled


def test_abort_and_safe_state_end_a_firing(served: Served, scene: Scene) -> None:
    from benchmarks.lab_scene import heat

    scene.sample("a", "rack_1", powders={"BaCO3": 500.0})
    scene.load("a", "rack_1", "furnace_1")
    furnace = served.instrument("furnace_1")
    assert furnace.submit(served.command("heat-a-01", "heat", **heat("a"))).state == "running"
    assert furnace.heartbeat().furnace.heating
    scene.clock.turn(3000.0)
    assert furnace.abort("heat-a-01").state == "failed"
    furnace.safe_state("an exercise")
    assert not furnace.heartbeat().furnace.heating
    furnace.close()


def test_sigkill_in_the_middle_is_a_doubt_that_a_person_settles(tmp_path: Path) -> None:
    settings = {"people": PEOPLE, "templates": APPROVED, "lifetime_s": 120.0}
    running = twin.start(tmp_path, speed=1.0, **settings)
    transport = RemoteInstrument({a.instrument: a for a in running.addresses}["transport"], 3.0)
    try:
        take = {"sample": "a", "crucible": "alumina", "destination": "rack_1"}
        command = Command(key="take-a-01", name="take_crucible", parameters=take, issued_at_s=time.time())
        assert transport.submit(command).state == "running"
        with pytest.raises(LabError, match="did not come up"):
            twin.start(tmp_path)
        running.kill()
        assert transport.lookup("take-a-01").state == "cannot_know"
        running = twin.start(tmp_path)
        assert reachable(transport, 10.0)
        doubt = transport.lookup("take-a-01")
        assert (doubt.state, bool(doubt.question)) == ("cannot_know", True)
        assert transport.submit(command).state == "cannot_know"
        assert transport.heartbeat().boots == 2
        signed = approve(PERSON, "Ada", answer_subject(doubt.question, "discard"))
        said = {"question": doubt.question, "answer": "discard", "person": "Ada", "signature": signed.signature}
        answer = Command(key=key_of(*said.values()), name="answer", parameters=said, issued_at_s=time.time())
        assert transport.submit(answer).state == "done"
        assert transport.lookup("take-a-01").state == "failed"
    finally:
        transport.close()
        running.stop()
    assert not running.alive


def test_no_thread_of_the_driver_outlives_it(served: Served) -> None:
    instrument = served.instrument("mixing")
    instrument.heartbeat()
    before = threading.active_count()
    for n in range(20):
        instrument.lookup(f"some-key-{n}")
    assert threading.active_count() <= before + 1
    instrument.close()


def test_an_address_survives_its_file(served: Served) -> None:
    for address in served.addresses.values():
        assert Address.model_validate_json(address.model_dump_json()) == address


@pytest.mark.parametrize("token", ["", "x" * 43, "päss"])
def test_nobody_without_the_token_is_answered(served: Served, token: str) -> None:
    address = served.addresses["furnace_1"]
    with pytest.raises(LabError, match=r"no SiLA server of ours|token"):
        RemoteInstrument(address.model_copy(update={"token": token}), 5.0).describe()
    assert served.instrument("furnace_1").describe().name == "furnace_1"
    assert address.token not in repr(address)
