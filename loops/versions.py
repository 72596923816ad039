"""Versions of a campaign's potential: the one in force, its file, its record of errors, and how to change over.

Every version that was ever accepted stays on disk, and the ledger says which one is in force; `original` is the one
that the campaign began with. What is not here: making a version (`flywheel.py`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from ..tools.core.errors import LedgerError
from ..tools.core.types import Crystal, Frozen
from .ledger import Ledger

if TYPE_CHECKING:
    from ..tools.core.protocols import Potential
    from ..tools.relax.doubt import ErrorRecord
    from .wiring import Parts

ORIGINAL = "original"


class Version(Frozen):
    """One version of the potential."""

    name: str
    """`v00003-1a2b3c4d`: the round after which it was made, and its checksum; or `original`."""
    round: int
    file: str = ""
    """Of the weights, inside the campaign's directory; empty for the original."""
    sha256: str = ""

    @classmethod
    def made(cls, round_number: int, weights: bytes) -> Version:
        """A version from the bytes of its file."""
        checksum = hashlib.sha256(weights).hexdigest()
        name = f"v{round_number:05d}-{checksum[:8]}"
        return cls(name=name, round=round_number, file=f"models/potential-{name}.safetensors", sha256=checksum)


FIRST = Version(name=ORIGINAL, round=0)


def active(ledger: Ledger) -> Version:
    """The version in force."""
    stored = ledger.meta("active_potential")
    return FIRST if stored is None else Version.model_validate(stored)


def versions(ledger: Ledger) -> list[Version]:
    """Every version that was ever in force, in the order in which it first was; the original first."""
    found = {ORIGINAL: FIRST}
    for event in ledger.events("potential"):
        version = Version.model_validate({k: event[k] for k in ("name", "file", "sha256")} | {"round": event["made"]})
        found.setdefault(version.name, version)
    return list(found.values())


def weights_of(directory: Path, version: Version, model: str) -> Path | None:
    """The file of a version's weights; of the original that of `[relax] model`, None for the one in the wheel.

    Raises:
        LedgerError: it is missing or is not the file that was written.
    """
    if not version.file:
        return Path(model).expanduser() if model else None
    path = directory / version.file
    try:
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        checksum = error.strerror or "cannot be read"
    if checksum != version.sha256:
        raise LedgerError(
            f"{path} does not hold version {version.name} of the potential any more ({checksum[:40]}).",
            f"Restore the file, or go back: `lodestone potential {directory} --use {ORIGINAL}`.",
        )
    return path


def equip(directory: Path, ledger: Ledger, parts: Parts) -> None:
    """Have the campaign relax with the version in force."""
    version = active(ledger)
    if version.file:
        parts.exchange(weights_of(directory, version, parts.settings.relax.model))


def held(ledger: Ledger) -> bool:
    """Whether a person has fixed the version, so that nothing is learned."""
    return bool(ledger.meta("potential_held", False))


def hold(ledger: Ledger, fixed: bool) -> None:
    """Fix the version in force, or let the campaign learn again."""
    ledger.set_meta("potential_held", fixed, "potential held")


def change_over(ledger: Ledger, potential: Potential, version: Version, round_number: int) -> int:
    """Put a version into force, after it has looked at every crystal of the pool and at the elements.

    Args:
        ledger: of the campaign.
        potential: the version, loaded.
        version: what it is.
        round_number: after which it is in force.

    Geometries stay as they were relaxed; the energies, and with them hulls and the surrogate's cheap predictions, are
    those of the new version, so that all crystals are compared on one scale. Returns how many were looked at.
    """
    crystals: dict[str, Crystal] = {
        row.candidate.id: row.relaxation.crystal
        for row in ledger.candidates()
        if row.relaxation is not None and row.recognition is not None and row.failure is None
    }
    for reference in ledger.meta("references", []):
        crystals[f"reference-{reference['symbol']}"] = Crystal.model_validate(reference["crystal"])
    energies = dict(zip(crystals, potential.energies(list(crystals.values())), strict=True))
    ledger.activate(round_number, version.model_dump(mode="json"), energies)
    return len(energies)


def error_record(directory: Path, ledger: Ledger, version: Version, before: int) -> ErrorRecord:
    """What labels of rounds before this one have shown of a version; empty where there is none.

    Raises:
        LedgerError: its file is missing or is not the one that was written.
    """
    from ..tools.relax.doubt import ErrorRecord

    kept = [e for e in ledger.events("error record") if e["version"] == version.name and e["round"] < before]
    if not kept:
        return ErrorRecord()
    path = directory / kept[-1]["file"]
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LedgerError(f"Cannot read {path}: {error.strerror}.", "Restore the file from a backup.") from error
    if hashlib.sha256(data).hexdigest() != kept[-1]["sha256"]:
        raise LedgerError(f"{path} is not the file that was written.", "Restore it from a backup.")
    return ErrorRecord.from_bytes(data)
