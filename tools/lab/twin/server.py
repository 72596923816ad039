"""The twin's servers: one an instrument, each with its own protocol, port, certificate and UUID, over one laboratory.

What is not here: rules and state (`laboratory.py`), and the protocols themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from ..address import Address, Protocol
from .desk import Desk
from .identity import keep
from .laboratory import Laboratory
from .opcua import OpcuaService
from .sila import SilaService
from .web import WebService
from .world import INSTRUMENTS

SERVICES: dict[Protocol, type[SilaService | OpcuaService | WebService]] = {
    "sila2": SilaService,
    "opcua": OpcuaService,
    "http": WebService,
}


class Servers:
    """All servers of a twin.

    Args:
        laboratory: the controller.
        folder: where the identities are kept.
        ports: instrument to port.
        host: IPv4 address to listen on.
        swapped: two instruments whose identities stand at each other's address, as after a wrong cable.
        protocols: instrument to protocol; SiLA 2 where nothing is said.
    """

    def __init__(
        self,
        laboratory: Laboratory,
        folder: Path,
        ports: dict[str, int],
        host: str = "127.0.0.1",
        swapped: tuple[str, str] | None = None,
        protocols: Mapping[str, Protocol] | None = None,
    ) -> None:
        self._laboratory = laboratory
        self._end = threading.Event()
        folder.mkdir(parents=True, exist_ok=True)
        spoken: dict[str, Protocol] = {name: (protocols or {}).get(name, "sila2") for name in INSTRUMENTS}
        identities = {name: keep(folder / f"{name}.json", host, spoken[name]) for name in INSTRUMENTS}
        self.addresses = tuple(
            Address(
                instrument=name,
                protocol=spoken[name],
                host=host,
                port=ports[name],
                server_id=identities[name].server_id,
                certificate_pem=identities[name].certificate_pem,
                fingerprint=identities[name].fingerprint(),
                token=identities[name].token,
            )
            for name in INSTRUMENTS
        )
        behind = {name: name for name in INSTRUMENTS}
        if swapped is not None:
            behind[swapped[0]], behind[swapped[1]] = swapped[1], swapped[0]
        self._services = [
            SERVICES[spoken[name]](
                Desk(laboratory, behind[name], identities[behind[name]]), identities[behind[name]], host, ports[name]
            )
            for name in INSTRUMENTS
        ]

    def run(self, lifetime_s: float | None = None, tick_s: float = 0.05) -> None:
        """Let time pass until `stop` is called, or the lifetime is over."""
        waited = 0.0
        while not self._end.wait(tick_s):
            self._laboratory.tick()
            waited += tick_s
            if lifetime_s is not None and waited > lifetime_s:
                return

    def stop(self) -> None:
        """End `run`."""
        self._end.set()

    def close(self) -> None:
        """Stop listening."""
        for service in self._services:
            service.close()
