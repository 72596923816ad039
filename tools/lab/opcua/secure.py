"""A session with exactly one OPC UA server: certificate pinned, channel encrypted to it, the token as the password.

What is not here: what is said over it (`wire.py`).
"""

from __future__ import annotations

import datetime as dt
import logging
from functools import cache
from typing import TYPE_CHECKING

from ...core.errors import LabError
from ..address import Address, check_certificate
from .nodes import DRIVER_URI, USER, endpoint

if TYPE_CHECKING:
    from asyncua import Client

VALID_DAYS = 365


async def open_session(address: Address, deadline_s: float) -> Client:
    """A session, or why this is not the server that was asked for.

    Args:
        address: with the pins.
        deadline_s: of every request.

    Raises:
        LabError: another certificate, or the token is not taken.
        OSError, asyncua.ua.UaError: it does not answer, or is no OPC UA server.
    """
    from asyncua import Client, ua
    from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
    from asyncua.crypto.uacrypto import CertProperties

    logging.getLogger("asyncua").setLevel(logging.CRITICAL)  # what it warns of is raised here, and more clearly
    url = endpoint(address.host, address.port, address.instrument)
    for shown in await Client(url, timeout=deadline_s).connect_and_get_server_endpoints():
        check_certificate(address, shown.ServerCertificate or b"")
    certificate, key = _driver()
    client = Client(url, timeout=deadline_s)
    client.application_uri = DRIVER_URI
    await client.set_security(
        SecurityPolicyBasic256Sha256,
        CertProperties(certificate, "pem"),
        CertProperties(key, "pem"),
        server_certificate=CertProperties(address.certificate_pem.encode(), "pem"),
        mode=ua.MessageSecurityMode.SignAndEncrypt,
    )
    client.set_user(USER)
    client.set_password(address.token)
    try:
        await client.connect()
    except (ua.uaerrors.BadUserAccessDenied, ua.uaerrors.BadIdentityTokenRejected) as error:
        raise LabError(
            f"{address.instrument} at {address.place} does not take the token",
            "Give the one of the server in `addresses`.",
        ) from error
    return client


@cache
def _driver() -> tuple[bytes, bytes]:
    """Certificate and key of this process. The token says who the driver is; these are for the channel only."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import NameOID

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Lodestone")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(DRIVER_URI)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM), private
