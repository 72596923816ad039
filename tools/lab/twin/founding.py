"""Founds a twin: its person with a key, its approved templates, its shelf, and what its literature knows.

The energies that recipes are ranked by are those of the twin's truth with the errors of a computed hull, so that a
planner knows here what it would know of a real laboratory. What is not here: the process itself (`twin.start`).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ...core.errors import LabError
from ...core.synthesis import Phase
from ..approval import approve, public_hex
from ..known_phases import library
from ..recipes.energies import Compound, volume_per_atom
from ..recipes.formulas import atom_count, same_ratios
from ..recipes.gases import KJ_PER_EV
from ..site import FILE, Site
from ..templates import BUILT_IN, Approved
from . import Twin, addresses, start
from .chemistry_data import solids
from .chemistry_kinetics import hidden
from .world import FURNACES, RACK

PERSON = "operator"
KEY_FILE = "operator.pem"
"""The private key of the twin's person: whoever reads it may answer and clear. Lodestone's own processes never do."""
PHASES_FILE = "phases.json"
ENERGY_ERROR_EV = 0.025
"""Per atom; deviation of computed formation energies of oxides (Hautier et al., Phys. Rev. B 85, 155208 (2012))."""
SPEED = 20_000.0
"""A firing of a day in four seconds."""
NOT_POWDERS = frozenset({"Fe", "HPO3"})


def found(folder: Path, seed: int = 0, speed: float = SPEED, **settings: Any) -> Twin:
    """Start the twin of a folder; one that is new is founded first.

    Raises:
        LabError: it does not come up, or the folder cannot be written.
    """
    if (folder / FILE).exists():
        return start(folder)
    if (folder / "twin.json").exists():
        raise LabError(f"The founding of the twin in {folder} was cut off.", "Nothing was made there: remove it.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        key = _person(folder / KEY_FILE)
        people = {PERSON: public_hex(key)}
        approved = tuple(Approved(template=t, approval=approve(key, PERSON, t.subject())) for t in BUILT_IN)
        known = structures()
        diffracting = {p.formula: p.model_dump(mode="json") for p in reversed(known)}
        (folder / PHASES_FILE).write_text(json.dumps(list(diffracting.values())), encoding="utf-8")
        twin = start(
            folder, seed, speed, people=people, templates=approved, chemistry="solid_state", phases_file=PHASES_FILE,
            **settings,
        )  # fmt: skip
        site = Site(
            name=f"twin {seed}",
            simulated=True,
            speed=speed,
            addresses=addresses(folder),
            people=people,
            templates=approved,
            shelf=shelf(known),
            slots=RACK[:6],
            furnaces=FURNACES,
            crucibles=("alumina", "zirconia", "magnesia"),
            phases=known,
            compounds=literature(seed),
        )
        temporary = folder / f"{FILE}.new"
        temporary.touch(mode=0o600)  # it holds the tokens
        temporary.write_text(site.model_dump_json(indent=1), encoding="utf-8")
        os.replace(temporary, folder / FILE)
    except OSError as error:
        raise LabError(f"Cannot found a twin in {folder}: {error.strerror}.", "Give a folder to write in.") from error
    return twin


def structures() -> tuple[Phase, ...]:
    """Known crystals of the twin's solids, under the names that it uses; the usual form of each first."""
    names = {same_ratios(name): name for name in solids()}
    found = []
    for phase in library():
        name = names.get(same_ratios(phase.formula))
        if name is not None:
            kind = phase.id.rsplit("-", 1)[1]
            found.append(phase.model_copy(update={"formula": name, "id": f"{name}-{kind}"}))
    return tuple(found)


def shelf(known: tuple[Phase, ...]) -> tuple[str, ...]:
    """Powders whose remains a diffractometer can tell: simple compounds with a known crystal."""
    seen = {p.formula for p in known}
    return tuple(
        name
        for name in solids()
        if name in seen and name not in NOT_POWDERS and len({s for s, _ in same_ratios(name)} - set("OCHN")) == 1
    )


def literature(seed: int) -> tuple[Compound, ...]:
    """What a planner knows of every solid: energies with the errors of a computed hull, and densities."""
    return tuple(
        Compound(
            formula=name,
            formation_energy_ev_per_atom=solid.enthalpy_kj_per_mol / KJ_PER_EV / atom_count(name)
            + ENERGY_ERROR_EV * float(hidden(seed, "what a planner is told", name).normal()),
            volume_a3_per_atom=volume_per_atom(name, solid.density_g_cm3),
        )
        for name, solid in solids().items()
    )


def _person(path: Path) -> Ed25519PrivateKey:
    """A new private key, in a file that only its owner reads."""
    key = Ed25519PrivateKey.generate()
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key
