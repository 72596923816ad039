"""Certificates of the twin's servers: one self-signed certificate an instrument, with the server's UUID inside it.

The extension is the one of SiLA 2, Part B ("Mapping Specification"): OID 1.3.6.1.4.1.58583. What is not here: how a
driver checks it (`address.py`).
"""

from __future__ import annotations

import datetime as dt
import os
import secrets
import uuid
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ...core.types import Frozen
from ..address import Protocol
from ..opcua.nodes import server_uri

UUID_OID = x509.ObjectIdentifier("1.3.6.1.4.1.58583")
VALID_DAYS = 365


class Identity(Frozen):
    """Who a server is."""

    server_id: str
    certificate_pem: str
    private_key_pem: str
    token: str
    """What a client has to show with every call."""

    def fingerprint(self) -> str:
        """sha256 of the certificate, in hex: what a driver pins."""
        return x509.load_pem_x509_certificate(self.certificate_pem.encode()).fingerprint(hashes.SHA256()).hex()


def create(address: str = "127.0.0.1", protocol: Protocol = "sila2") -> Identity:
    """A new identity, self-signed, for one IPv4 address: a P-256 key, for OPC UA's Basic256Sha256 an RSA key."""
    server_id = str(uuid.uuid4())
    key = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        if protocol == "opcua"
        else ec.generate_private_key(ec.SECP256R1())
    )
    names = [x509.IPAddress(IPv4Address(address)), x509.UniformResourceIdentifier(server_uri(server_id))]
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "SiLA2")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.UnrecognizedExtension(UUID_OID, server_id.encode()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Identity(
        server_id=server_id,
        certificate_pem=certificate.public_bytes(serialization.Encoding.PEM).decode(),
        private_key_pem=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
        token=secrets.token_urlsafe(32),
    )


def keep(path: Path, address: str = "127.0.0.1", protocol: Protocol = "sila2") -> Identity:
    """The identity in a file that only its owner reads; made when missing."""
    if path.exists():
        return Identity.model_validate_json(path.read_text(encoding="utf-8"))
    identity = create(address, protocol)
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(identity.model_dump_json())
        file.flush()
        os.fsync(file.fileno())
    return identity
