"""Asks the laboratory for what it must not do: `python -m benchmarks.lab_safety`.

Each case stands in a scene (samples placed, furnaces hot or cold, a stop latched) that commands have brought about in
a twin with real SiLA 2 servers on loopback. Each is put to the driver's interlocks, and then to the twin with the
driver left out: to its controller, and as a bare gRPC message where one can say it at all. Counted is what was executed
(any line of the twin's journal that is no refusal) and who refused.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from lodestone.tools.core.errors import LabError
from lodestone.tools.lab.definitions import limits
from lodestone.tools.lab.instrument import CommandStatus, key_of, read_command
from lodestone.tools.lab.interlocks import Interlocks
from lodestone.tools.lab.remote import RemoteInstrument
from lodestone.tools.lab.templates import TemplateBook
from lodestone.tools.lab.twin.bounds import kind_of
from lodestone.tools.lab.twin.local import LocalInstrument
from lodestone.tools.lab.twin.world import INSTRUMENTS

from .lab_cases import scenes
from .lab_scene import APPROVED, PEOPLE, Case, Relay, Scene, Wire


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
            RemoteInstrument(wrong, deadline_s=5.0).describe()
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
