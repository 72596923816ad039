"""What a person has signed: clearing an emergency stop, answering a question, approving a template.

Ed25519 (RFC 8032) over the canonical JSON of what is approved. The private key belongs to the person and never to
Lodestone; instruments and driver hold public keys alone. What is not here: what an approval permits.
"""

from __future__ import annotations

from typing import Annotated

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field

from ..core.types import Frozen, canonical_json

Hex = Annotated[str, Field(pattern=r"^[0-9a-f]*$", max_length=128)]


class Approval(Frozen):
    """A person's signature under one subject."""

    person: Annotated[str, Field(pattern=r"^[A-Za-z0-9._ -]{1,64}$")]
    subject: Annotated[str, Field(min_length=1, max_length=512)]
    """What is approved, with a number that is used once: an approval of yesterday approves nothing today."""
    signature: Hex


def _message(person: str, subject: str) -> bytes:
    return canonical_json({"lodestone": "approval", "person": person, "subject": subject}).encode()


def approve(key: Ed25519PrivateKey, person: str, subject: str) -> Approval:
    """Sign a subject with a person's key."""
    return Approval(person=person, subject=subject, signature=key.sign(_message(person, subject)).hex())


def why_not(approval: Approval, subject: str, people: dict[str, str]) -> str:
    """Why an approval does not hold; empty when it does.

    Args:
        approval: what came in.
        subject: what has to be approved.
        people: name to Ed25519 public key, 32 bytes in hex.
    """
    if approval.subject != subject:
        return f"the approval is for '{approval.subject}', not for '{subject}'"
    public = people.get(approval.person)
    if public is None:
        return f"nobody knows a key of '{approval.person}'"
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(
            bytes.fromhex(approval.signature), _message(approval.person, subject)
        )
    except (InvalidSignature, ValueError):
        return f"the signature is not that of {approval.person}"
    return ""


def public_hex(key: Ed25519PrivateKey) -> str:
    """The public half of a key, 32 bytes in hex."""
    return key.public_key().public_bytes_raw().hex()


def clear_subject(instrument: str, nonce: str) -> str:
    """What a person signs to clear an emergency stop."""
    return f"clear stop {nonce} of {instrument}"


def answer_subject(question: str, answer: str) -> str:
    """What a person signs to answer a question."""
    return f"answer {question}: {answer}"
