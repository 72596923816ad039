"""Where an instrument is, who it has to be, and the look at its certificate before a word is said.

What is not here: what is said then (`remote.py`, and one wire a protocol).
"""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import ssl
from typing import Literal

from pydantic import Field

from ..core.errors import LabError
from ..core.types import Frozen
from .instrument import Name

Protocol = Literal["sila2", "opcua", "http"]
WIRES: dict[Protocol, str] = {"sila2": "SiLA 2", "opcua": "OPC UA", "http": "HTTP"}
"""Their names for people."""


class Address(Frozen):
    """Where a server is, and who it has to be."""

    instrument: Name
    protocol: Protocol = "sila2"
    host: str = "127.0.0.1"
    port: int = Field(ge=1, le=65535)
    server_id: str
    """UUID, as in the certificate."""
    certificate_pem: str
    """The only certificate that the driver trusts."""
    fingerprint: str
    """sha256 of the certificate in hex; a second, short form of the same pin, for people to compare."""
    token: str = Field(default="", max_length=512, repr=False)
    """Shown with every call where the server asks for one: `authorization: Bearer …`, in OPC UA the password."""

    @property
    def place(self) -> str:
        """For messages."""
        return f"{self.host}:{self.port}"


def check_host(address: Address) -> None:
    """Refuse addresses outside this machine. Raises LabError."""
    try:
        here = ipaddress.ip_address(address.host).is_loopback
    except ValueError:
        here = False
    if not here:
        raise LabError(f"{address.host} is not this machine", "Allow remote instruments in the settings.")


def check_tls(address: Address, deadline_s: float, *protocols: str) -> None:
    """Compare the certificate that a TLS server shows with the pinned one, before a word is said.

    The wire trusts the pinned certificate alone as well; this look tells a foreign server from one that is down.

    Args:
        address: with the pins.
        deadline_s: of connecting and of the handshake, each.
        protocols: that the connection is for (ALPN).

    Raises:
        LabError: no answer, or another certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(list(protocols))
    try:
        with (
            socket.create_connection((address.host, address.port), timeout=deadline_s) as plain,
            context.wrap_socket(plain) as wrapped,
        ):
            shown = wrapped.getpeercert(binary_form=True)
    except OSError as error:
        raise LabError(
            f"{address.instrument} at {address.place} does not answer: {error}", "Is it switched on?"
        ) from error
    check_certificate(address, shown or b"")


def check_certificate(address: Address, shown: bytes) -> None:
    """Compare a certificate (DER) with the pinned one. Raises LabError where it is another."""
    fingerprint = hashlib.sha256(shown).hexdigest()
    pinned = hashlib.sha256(ssl.PEM_cert_to_DER_cert(address.certificate_pem)).hexdigest()
    if fingerprint != address.fingerprint or pinned != address.fingerprint:
        raise LabError(
            f"the server at {address.place} shows the certificate {fingerprint[:16]}…, "
            f"pinned for {address.instrument} is {address.fingerprint[:16]}…",
            "Find out who answers there before anything is moved.",
        )
