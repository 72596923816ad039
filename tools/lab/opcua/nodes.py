"""Names of nodes, which both sides know: a driver calls methods by them and never browses.

What is not here: who may call them.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from ..definitions import ENVELOPE, limits
from ..definitions import identifier as name_of

if TYPE_CHECKING:
    from asyncua import ua

NAMESPACE = "urn:lodestone:instrument:1"
DRIVER_URI = "urn:lodestone:driver"
USER = "lodestone"
LIMITS, DESCRIPTION = "Limits", "Description"
"""Properties, JSON."""
STATUS = "Status"
"""Output of every command, of `Lookup` and of `Abort`; JSON."""


def server_uri(server_id: str) -> str:
    """Application URI of an instrument's server; also in its certificate."""
    return f"urn:lodestone:instrument:{server_id}"


def endpoint(host: str, port: int, instrument: str) -> str:
    """Where it listens."""
    return f"opc.tcp://{host}:{port}/{instrument}"


def node(namespace: int, instrument: str, name: str = "") -> ua.NodeId:
    """Identifier of an instrument's object, or of a method or property of it, in a server's number of the namespace."""
    from asyncua import ua

    return ua.NodeId(ua.String(f"{instrument}.{name}" if name else instrument), ua.Int16(namespace))


@cache
def quantities(kind: str, command: str) -> frozenset[str]:
    """Arguments of a command that are `Double`; the others are `String`."""
    bounds = limits(kind).commands[command]
    numbers = {b.name for b in bounds if b.minimum is not None or b.maximum is not None}
    return frozenset(numbers | {ENVELOPE[1]})


__all__ = [
    "DESCRIPTION", "DRIVER_URI", "LIMITS", "NAMESPACE", "STATUS", "USER", "endpoint", "name_of", "node", "quantities",
    "server_uri",
]  # fmt: skip
