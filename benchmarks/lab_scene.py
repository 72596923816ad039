"""A laboratory in process and its real servers, for what asks them for things: a scene, and bare messages to it.

Tests use it as well. What is not here: what must not happen (`lab_cases.py`) and who refuses it (`lab_safety.py`).
"""

from __future__ import annotations

import json
import math
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from lodestone.tools.lab.address import Protocol
from lodestone.tools.lab.approval import approve, public_hex
from lodestone.tools.lab.definitions import COMMON, CONTROL, FEATURES, identifier
from lodestone.tools.lab.instrument import Command, CommandStatus, key_of
from lodestone.tools.lab.interlocks import View
from lodestone.tools.lab.sila.secure import connect
from lodestone.tools.lab.templates import BUILT_IN, Approved
from lodestone.tools.lab.twin.bounds import kind_of
from lodestone.tools.lab.twin.clock import ByHand
from lodestone.tools.lab.twin.guards import Guards
from lodestone.tools.lab.twin.laboratory import Laboratory
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


class Relay:
    """Stands between the servers and whichever scene is on."""

    scene: Scene

    def __getattr__(self, name: str) -> Any:
        return getattr(self.scene.laboratory, name)


def serve(folder: Path, relay: Relay, protocol: Protocol = "sila2", speaking: tuple[str, ...] = INSTRUMENTS) -> Servers:
    """The twin's servers on free ports; all that are named speak one protocol, the others SiLA 2."""
    ports = {}
    with_ports = [socket.socket() for _ in INSTRUMENTS]
    for name, each in zip(INSTRUMENTS, with_ports, strict=True):
        each.bind(("127.0.0.1", 0))
        ports[name] = each.getsockname()[1]
    for each in with_ports:
        each.close()
    protocols = dict.fromkeys(speaking, protocol)
    return Servers(relay, folder / "identities", ports, protocols=protocols)  # type: ignore[arg-type]


class Wire:
    """Bare gRPC messages to the twin's servers."""

    def __init__(self, folder: Path, relay: Relay) -> None:
        self.servers = serve(folder, relay)
        self.clients = {a.instrument: connect(a, 10.0, 10.0) for a in self.servers.addresses}

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
