"""Evaluated crystals as files that other programs read: CIF, POSCAR, extended xyz, ASE database, JSON.

Every measured crystal is exported, best first, with its properties and the method that measured them; failed
evaluations have no values and are left out. The files are written whole or not at all.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from ...tools.core.errors import ConfigError
from ...tools.core.structure import to_ase, to_pymatgen, write_cif
from ...tools.core.types import canonical_json
from ..files import write_bytes
from ..record import CampaignRecord, EvaluatedCrystal
from .names import crystal_stem
from .ranking import ranked
from .results import make_results

if TYPE_CHECKING:
    from ase import Atoms

EXPORT_SCHEMA = "lodestone-crystals"
EXPORT_SCHEMA_VERSION = 1


def export(record: CampaignRecord, fmt: str, directory: Path) -> list[Path]:
    """Write the measured crystals of a campaign.

    Args:
        record: the campaign.
        fmt: one of `FORMATS`. `cif` and `poscar` give a file a crystal (`001_NaCl_225_<id>.cif`), `extxyz`, `db`
            (ASE, SQLite) and `json` one file with all.
        directory: made where missing.

    Returns:
        The files written, best crystal first; empty where nothing was measured.

    Raises:
        ConfigError: no such format.
        LedgerError: the folder cannot be written.
    """
    writer = FORMATS.get(fmt.lower())
    if writer is None:
        raise ConfigError(f"Unknown export format '{fmt}'.", f"Known: {', '.join(FORMATS)}.")
    rows = list(enumerate(ranked(record), 1))
    return writer(record, rows, directory) if rows else []


_Rows = list[tuple[int, EvaluatedCrystal]]


def metadata(rank: int, crystal: EvaluatedCrystal) -> dict[str, str | int | float | bool]:
    """One flat row of a crystal's properties; units are in the keys' companions `<name>_unit`."""
    row: dict[str, str | int | float | bool] = {
        "rank": rank,
        "candidate_id": crystal.candidate_id,
        "reduced_formula": crystal.formula,
        "space_group": crystal.space_group,
        "space_group_symbol": crystal.space_group_symbol,
        "prototype": crystal.prototype,
        "generator": crystal.generator,
        "round": crystal.round,
        "meets_goal": crystal.meets_goal,
        "method": crystal.method,
        "evaluator": crystal.evaluator,
    }
    for name, quantity in sorted(crystal.values.items()):
        row[name] = quantity.value
        row[f"{name}_unit"] = quantity.unit
        if quantity.std is not None:
            row[f"{name}_std"] = quantity.std
    return row


def _write_cifs(_record: CampaignRecord, rows: _Rows, directory: Path) -> list[Path]:
    out = []
    for rank, crystal in rows:
        head = "".join(f"# {key}: {_one_line(value)}\n" for key, value in metadata(rank, crystal).items())
        out.append(_write(directory / f"{crystal_stem(rank, crystal)}.cif", head + write_cif(crystal.crystal)))
    return out


def _write_poscars(_record: CampaignRecord, rows: _Rows, directory: Path) -> list[Path]:
    from pymatgen.io.vasp import Poscar

    out = []
    for rank, crystal in rows:
        # POSCAR has one free line: the properties go there as JSON.
        comment = canonical_json(metadata(rank, crystal))
        structure = to_pymatgen(crystal.crystal).get_sorted_structure()
        text = Poscar(structure, comment=_one_line(comment)).get_str(significant_figures=12)
        out.append(_write(directory / f"{crystal_stem(rank, crystal)}.vasp", text))
    return out


def _write_extxyz(_record: CampaignRecord, rows: _Rows, directory: Path) -> list[Path]:
    from ase.io import write

    frames = [_atoms(rank, crystal) for rank, crystal in rows]
    buffer = StringIO()
    write(buffer, frames, format="extxyz")
    return [_write(directory / "crystals.extxyz", buffer.getvalue())]


def _write_database(_record: CampaignRecord, rows: _Rows, directory: Path) -> list[Path]:
    from ase.db import connect

    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "crystals.db"
        with connect(path, type="db", append=False, use_lock_file=False) as database:
            for rank, crystal in rows:
                database.write(to_ase(crystal.crystal), data=metadata(rank, crystal), **_columns(rank, crystal))
        content = path.read_bytes()
    return [_write(directory / "crystals.db", content)]


def _write_json(record: CampaignRecord, _rows: _Rows, directory: Path) -> list[Path]:
    results = make_results(record).model_dump(mode="json")
    content = {
        "schema_name": EXPORT_SCHEMA,
        "schema_version": EXPORT_SCHEMA_VERSION,
        "goal": results["goal"]["text"],
        "hull_statement": results["hull_statement"],
        "crystals": [{key: value for key, value in row.items() if key != "cif"} for row in results["crystals"]],
    }
    return [_write(directory / "crystals.json", canonical_json(content) + "\n")]


def _atoms(rank: int, crystal: EvaluatedCrystal) -> Atoms:
    atoms = to_ase(crystal.crystal)
    atoms.info.update({key: _one_line(value) for key, value in metadata(rank, crystal).items() if value != ""})
    return atoms


def _columns(rank: int, crystal: EvaluatedCrystal) -> dict[str, str | int | float | bool]:
    """Key-value pairs that ASE's database accepts: no reserved names, no empty text, no text that reads as a number."""
    row = metadata(rank, crystal)
    return {
        key: value
        for key, value in row.items()
        if not isinstance(value, str) or (value and key not in {"candidate_id"} and not value.isdigit())
    }


def _write(path: Path, content: str | bytes) -> Path:
    write_bytes(path, content.encode() if isinstance(content, str) else content)
    return path


def _one_line(value: str | int | float | bool) -> str | int | float | bool:
    """Text without line ends, so that data cannot start a new line of a file."""
    return " ".join(value.split()) if isinstance(value, str) else value


FORMATS: dict[str, Callable[[CampaignRecord, _Rows, Path], list[Path]]] = {
    "cif": _write_cifs,
    "poscar": _write_poscars,
    "extxyz": _write_extxyz,
    "db": _write_database,
    "json": _write_json,
}
"""Export formats by name."""
