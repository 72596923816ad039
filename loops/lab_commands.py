"""What `lodestone lab …` does: start a twin, look at a laboratory, and bring a person's signed words to it."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from ..tools.core.errors import LabError
from ..tools.lab.address import WIRES, Protocol
from ..tools.lab.approval import Approval, answer_subject, approve, clear_subject, public_hex
from ..tools.lab.instrument import Command, Heartbeat, key_of
from ..tools.lab.interlocks import LABORATORY
from ..tools.lab.remote import RemoteInstrument
from ..tools.lab.site import FILE, Site, read_site
from .commands import print_json

DEADLINE_S, HANDSHAKE_S = 5.0, 15.0


def run(options: argparse.Namespace) -> int:
    """Dispatch to one of them."""
    return {
        "twin": _twin, "status": _status, "answer": _answer, "stop": _stop, "clear": _clear, "key": _key,
    }[options.action](options)  # fmt: skip


def _twin(options: argparse.Namespace) -> int:
    """Found or start a twin and serve until Ctrl-C."""
    from ..tools.lab.twin.founding import KEY_FILE, PERSON, found

    if options.protocol and (options.directory / FILE).exists():
        raise LabError(
            f"The twin in {options.directory} is founded, and what its instruments speak with it.",
            "Start it without --protocol, or found another in a new folder.",
        )
    twin = found(options.directory, options.seed, options.speed, protocols=_protocols(options.protocol))
    try:
        site = read_site(options.directory)
        if options.json:
            print_json({"site": str(options.directory / FILE), "process": twin.process.pid})
        else:
            print(f"{site.name}: {len(site.addresses)} instruments, time runs {site.speed:g} times as fast")
            for a in site.addresses:
                where = f"{WIRES[a.protocol]:<7} {a.host}:{a.port}"
                print(f"  {a.instrument:<15} {where}  certificate {a.fingerprint[:16]}…")
            print(f"Answers and clearances are signed by {PERSON} with {options.directory / KEY_FILE}.")
            print(f"Use it: [laboratory] directory = {json.dumps(str(options.directory.resolve()))}. Ctrl-C ends it.")
        twin.process.wait()
    except KeyboardInterrupt:
        pass  # that is how it is ended
    finally:
        twin.stop()
    return 0


def _protocols(words: Sequence[str]) -> dict[str, Protocol]:
    """What instruments shall speak: `http` of all of them, `furnace_1=opcua` of one; later words win."""
    from ..tools.lab.twin.world import INSTRUMENTS

    said: dict[str, Protocol] = {}
    for word in words:
        name, one, last = word.rpartition("=")
        protocol = next((p for p in WIRES if p == last), None)
        if protocol is None or (one and name not in INSTRUMENTS):
            raise LabError(
                f"'{word}' is no protocol of an instrument.",
                f"Say {', '.join(WIRES)}, or INSTRUMENT=PROTOCOL for one of {', '.join(INSTRUMENTS)}.",
            )
        said |= dict.fromkeys([name] if one else INSTRUMENTS, protocol)
    return said


def _status(options: argparse.Namespace) -> int:
    """What every instrument says of itself."""
    site = read_site(site_folder(options.directory))
    beats = _beats(site)
    if options.json:
        print_json({name: None if b is None else b.model_dump(mode="json") for name, b in beats.items()})
        return 0
    for name, beat in beats.items():
        if beat is None:
            print(f"{name:<15} does not answer")
            continue
        words = ["busy" if beat.busy_with else "free"]
        if beat.furnace is not None:
            words.append(f"{max(beat.furnace.thermocouples_k):.0f} K, {beat.furnace.atmosphere}, {beat.furnace.door}")
        words += [f"{s.sample} at {s.place or 'an unknown place'}" for s in beat.samples]
        words += [f"asks ({q.id}): {q.text} ({' or '.join(q.options)})" for q in beat.questions]
        print(f"{name:<15} {'; '.join(words)}")
    if stop := next((b.stop for b in beats.values() if b is not None and b.stop), None):
        print(f"Emergency stop: {stop.reason}")
    return 0


def _answer(options: argparse.Namespace) -> int:
    """Sign an answer and bring it to the instrument that asked."""
    site = read_site(site_folder(options.directory))
    asked = [q for b in _all_beats(site, options.directory).values() for q in b.questions]
    question = next((q for q in asked if q.id == options.question), None)
    if question is None:
        known = "; ".join(f"{q.id}: {q.text}" for q in asked) or "nothing is asked"
        raise LabError(f"No instrument asks '{options.question}'.", f"Open questions: {known}.")
    if options.answer not in question.options:
        raise LabError(f"'{options.answer}' is no answer to: {question.text}", f"Say {' or '.join(question.options)}.")
    approval = _signed(options, site, answer_subject(question.id, options.answer))
    said = {"question": question.id, "answer": options.answer}
    return _bring(options, site, question.instrument, "answer", said, approval)


def _stop(options: argparse.Namespace) -> int:
    """Latch the emergency stop. Nobody has to sign for that."""
    site = read_site(site_folder(options.directory))
    return _bring(options, site, "transport", "emergency_stop", {"reason": options.reason[:200]}, None)


def _clear(options: argparse.Namespace) -> int:
    """Sign the clearance of the emergency stop."""
    site = read_site(site_folder(options.directory))
    stop = next((b.stop for b in _all_beats(site, options.directory).values() if b.stop), None)
    if stop is None:
        raise LabError("No emergency stop is latched.", "`lodestone lab status` shows what the instruments say.")
    approval = _signed(options, site, clear_subject(LABORATORY, stop.nonce))
    return _bring(options, site, "transport", "clear_stop", {"nonce": stop.nonce}, approval)


def _key(options: argparse.Namespace) -> int:
    """Make a person's key: the private half into a file, the public half for `site.json`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    try:
        descriptor = os.open(options.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise LabError(f"Cannot write {options.file}: {error.strerror}.", "Keys are never written over.") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    if options.json:
        print_json({"public_key": public_hex(key)})
    else:
        print(public_hex(key))
    return 0


def site_folder(directory: Path) -> Path:
    """The laboratory that a folder is, or that a campaign in it uses."""
    told = directory / "jobs" / "lab" / "station.json"
    if not (directory / FILE).exists() and told.exists():
        from ..tools.lab.station import Station

        return Path(Station.model_validate_json(told.read_bytes()).site)
    return directory


def _instrument(site: Site, name: str) -> RemoteInstrument:
    address = next(a for a in site.addresses if a.instrument == name)
    return RemoteInstrument(address, DEADLINE_S, handshake_s=HANDSHAKE_S, loopback_only=site.simulated)


def _beats(site: Site) -> dict[str, Heartbeat | None]:
    found: dict[str, Heartbeat | None] = {}
    for address in site.addresses:
        try:
            found[address.instrument] = _instrument(site, address.instrument).heartbeat()
        except LabError:
            found[address.instrument] = None
    return found


def _all_beats(site: Site, directory: Path) -> dict[str, Heartbeat]:
    """Of every instrument. Raises LabError where one is silent: what it would ask nobody knows then."""
    beats = _beats(site)
    silent = [name for name, beat in beats.items() if beat is None]
    if silent:
        raise LabError(
            f"{', '.join(silent)} of {site.name} does not answer.",
            f"A twin inside a campaign runs while the campaign does: `lodestone resume {directory}`, then say it again."
            if site.simulated
            else "Look whether it runs.",
        )
    return {name: beat for name, beat in beats.items() if beat is not None}


def _signed(options: argparse.Namespace, site: Site, subject: str) -> Approval:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if options.person not in site.people:
        raise LabError(
            f"{site.name} knows nobody called '{options.person}'.", f"Known: {', '.join(sorted(site.people))}."
        )
    wrong = LabError(f"{options.key} is no Ed25519 key without a password.", "`lodestone lab key` makes one.")
    try:
        key = load_pem_private_key(options.key.read_bytes()[:10_000], None)
    except (OSError, ValueError, TypeError) as error:
        raise wrong from error
    if not isinstance(key, Ed25519PrivateKey):
        raise wrong
    return approve(key, options.person, subject)


def _bring(
    options: argparse.Namespace, site: Site, instrument: str, name: str, said: dict[str, str], approval: Approval | None
) -> int:
    signed = {} if approval is None else {"person": approval.person, "signature": approval.signature}
    parameters = {**said, **signed}
    command = Command(
        key=key_of(instrument, name, time.time_ns(), *parameters.values()),
        name=name,
        parameters=dict(parameters),
        issued_at_s=time.time(),
    )
    status = _instrument(site, instrument).submit(command)
    if status.state != "done":
        raise LabError(f"{instrument} did not take it: {status.reason or status.state}.", "Look, and say it again.")
    if options.json:
        print_json(status.model_dump(mode="json"))
    else:
        print("Stopped." if approval is None else "Done. The work goes on.")
    return 0
