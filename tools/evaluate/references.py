"""Elemental references: plausible ground-state structures of each element, and the lowest of them by one potential.

What lives here: which structures to try, the choice, its cache, and the shipped table for CHGNet. The potential is an
argument. Which compounds compete is not decided here (`hull.py`, `materials_project.py`).

Structures come from ASE's table of reference states where the element is bcc, fcc, hcp, diamond, simple cubic or
rhombohedral, and from the unary AFLOW prototypes that pymatgen ships (Mehl et al., Comput. Mater. Sci. 136, S1
(2017)), rescaled to the element's molar volume. A later revision of the list shows in `REFERENCE_VERSION`.
"""

from __future__ import annotations

import gzip
import json
import os
import tempfile
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from ..core.errors import ToolError
from ..core.protocols import Potential
from ..core.structure import from_ase, from_pymatgen
from ..core.types import Crystal, Frozen, canonical_json, sha256

if TYPE_CHECKING:
    from pymatgen.core import Structure

REFERENCE_VERSION = 2
"""Part of every cache key; raise it when the structures tried for any element change."""

MAX_PROTOTYPE_ATOMS = 34
"""Atoms in the primitive cell of the largest prototype tried: alpha sulphur has 32, alpha manganese 29."""

MAX_CACHE_BYTES = 200_000

AVOGADRO = 6.02214076e23

SOLID_VOLUMES = {"H": 11.6, "N": 22.6, "O": 17.4, "F": 16.0, "He": 18.0}
"""Å³/atom of the solid, for elements whose tabulated molar volume is that of the liquid (Villars' and Donohue's
compilations of the low-temperature structures)."""

PROTOTYPES = {
    "fcc": "A_cF4_225_a:Copper",
    "bcc": "A_cI2_229_a:Tungsten",
    "hcp": "A_hP2_194_c:Magnesium",
    "dhcp": "A_hP4_194_ac:alpha La",
    "samarium": "A_hR3_166_ac:alpha Samarium",
    "diamond": "A_cF8_227_a:diamond",
    "graphite": "A_hP4_186_ab:graphite",
    "graphite-abc": "A_hR2_166_c:rhombohedral graphite",
    "graphite-flat": "A_hP4_194_bc:Graphite",
    "lonsdaleite": "A_hP4_194_f:Lonsdaleite",
    "white-tin": "A_tI4_141_a:beta Sn",
    "simple-cubic": "A_cP1_221_a:alpha Po",
    "arsenic": "A_hR2_166_c:alpha As",
    "black-phosphorus": "A_oC8_64_f:black P",
    "selenium": "A_hP3_152_a:alpha Selenium",
    "sulphur": "A_oF128_70_4h:alpha",
    "beta-selenium": "A_mP32_14_8e:beta Selenium",
    "iodine": "A_oC8_64_f:",
    "gallium": "A_oC8_64_f:alpha",
    "indium": "A_tI2_139_a:Indium",
    "protactinium": "A_tI2_139_a:Protactinium",
    "mercury": "A_hR1_166_a:alpha",
    "alpha-boron": "A_hR12_166_2h:alpha boron",
    "alpha-manganese": "A_cI58_217_ac2g:alpha",
    "beta-manganese": "A_cP20_213_cd:beta",
    "alpha-uranium": "A_oC4_63_c:alpha U",
    "alpha-neptunium": "A_oP8_62_2c:alpha Np",
    "alpha-plutonium": "A_mP16_11_8e:alpha Pu",
    "alpha-nitrogen": "A_cP8_205_c:Cubic alpha N2",
    "alpha-nitrogen-p213": "A_cP8_198_2a:",
    "gamma-nitrogen": "A_tP4_136_f:gamma nitrogen",
    "alpha-oxygen": "A_mC4_12_i:alpha oxygen",
    "beta-oxygen": "A_hR2_166_c:beta oxygen",
    "lithium-ci16": "A_cI16_220_c:High pressure (38.9 GPa) phase of lithium",
}
"""Short name to the AFLOW label and mineral name of a unary prototype in pymatgen's file."""

_METAL = ("fcc", "hcp", "bcc", "dhcp", "samarium", "protactinium", "alpha-uranium")
_KNOWN: dict[str, tuple[str, ...]] = {
    "H": ("alpha-nitrogen", "gamma-nitrogen", "iodine", "alpha-oxygen", "beta-oxygen"),
    "B": ("alpha-boron",),
    "C": ("graphite-abc", "graphite", "diamond", "graphite-flat", "lonsdaleite"),
    "N": ("alpha-nitrogen", "alpha-nitrogen-p213", "gamma-nitrogen", "alpha-oxygen"),
    "O": ("alpha-oxygen", "beta-oxygen", "gamma-nitrogen", "alpha-nitrogen", "iodine"),
    "F": ("iodine", "alpha-oxygen", "beta-oxygen", "gamma-nitrogen", "alpha-nitrogen"),
    "Cl": ("iodine", "alpha-oxygen", "gamma-nitrogen", "alpha-nitrogen"),
    "Br": ("iodine", "alpha-oxygen", "gamma-nitrogen", "alpha-nitrogen"),
    "I": ("iodine", "alpha-oxygen", "gamma-nitrogen", "alpha-nitrogen"),
    "P": ("black-phosphorus", "arsenic", "simple-cubic"),
    "As": ("arsenic", "black-phosphorus", "simple-cubic"),
    "Sb": ("arsenic", "black-phosphorus", "simple-cubic"),
    "Bi": ("arsenic", "black-phosphorus", "simple-cubic", "bcc"),
    "S": ("sulphur", "selenium", "beta-selenium"),
    "Se": ("selenium", "beta-selenium", "sulphur", "arsenic"),
    "Te": ("selenium", "arsenic", "simple-cubic"),
    "Po": ("simple-cubic", "arsenic", "mercury"),
    "Si": ("diamond", "lonsdaleite", "white-tin", "fcc"),
    "Ge": ("diamond", "lonsdaleite", "white-tin", "fcc"),
    "Sn": ("diamond", "white-tin", "lonsdaleite", "fcc"),
    "Ga": ("gallium", "indium", "fcc", "iodine", "bcc"),
    "In": ("indium", "fcc", "hcp", "bcc"),
    "Hg": ("mercury", "protactinium", "fcc", "hcp"),
    "Mn": ("alpha-manganese", "beta-manganese", "fcc", "hcp", "bcc"),
    "La": ("dhcp", "fcc", "hcp", "bcc"),
    "Ce": ("fcc", "dhcp", "hcp", "bcc"),
    "Pr": ("dhcp", "fcc", "samarium", "hcp", "bcc"),
    "Nd": ("dhcp", "fcc", "samarium", "hcp", "bcc"),
    "Pm": ("dhcp", "fcc", "samarium", "hcp", "bcc"),
    "Sm": ("samarium", "dhcp", "hcp", "fcc", "bcc"),
    "Eu": ("bcc", "fcc", "hcp", "dhcp"),
    "Pa": ("protactinium", "bcc", "fcc", "hcp"),
    "U": ("alpha-uranium", "bcc", "fcc", "hcp"),
    "Np": ("alpha-neptunium", "alpha-uranium", "bcc", "fcc"),
    "Pu": ("alpha-plutonium", "alpha-neptunium", "alpha-uranium", "bcc", "fcc"),
    "Li": ("bcc", "samarium", "hcp", "fcc", "lithium-ci16"),
    "Na": ("bcc", "samarium", "hcp", "fcc", "lithium-ci16"),
}
"""The known ground state first, then close competitors."""


NEARLY_LOWEST = 0.005
"""eV/atom; of the structures this close to the lowest, the one with the fewest atoms is the reference."""


class Reference(Frozen):
    """The lowest structure found for an element, or a smaller cell within `NEARLY_LOWEST` of it."""

    symbol: str
    crystal: Crystal
    energy_per_atom: float
    """eV/atom."""
    structure: str
    """Short name of the structure that it was relaxed from; what it became may have another symmetry."""


def reference_structures(symbol: str, limit: int = 7) -> list[tuple[str, Crystal]]:
    """Structures worth trying as the ground state of an element, likeliest first, each with its name.

    Args:
        symbol: chemical symbol.
        limit: at most so many.

    Raises:
        ToolError: for an unknown symbol, or an element that forms no solid known here.
    """
    from pymatgen.core import Element

    if not Element.is_valid_symbol(symbol) or symbol in {"D", "T"}:
        raise ToolError(f"'{symbol}' is not a chemical element.", "Give a symbol such as Na.")
    names = list(_KNOWN.get(symbol, _METAL))
    found: list[tuple[str, Crystal]] = []
    if (tabulated := _tabulated(symbol)) is not None:
        kind, crystal = tabulated
        names = [name for name in names if name != kind]
        found.append((kind, crystal))
    found += [(name, _scaled_prototype(name, symbol)) for name in names]
    # Elements with an explicit list know their ground state better than ASE's room-temperature table does.
    if symbol in _KNOWN:
        order = {name: index for index, name in enumerate(_KNOWN[symbol])}
        found.sort(key=lambda pair: order.get(pair[0], len(order)))
    return found[: max(1, limit)]


def reference_crystals(symbol: str, limit: int = 7) -> list[Crystal]:
    """`reference_structures` without the names."""
    return [crystal for _, crystal in reference_structures(symbol, limit)]


def find_reference(symbol: str, potential: Potential, cache_dir: Path | None = None, limit: int = 7) -> Reference:
    """Relax the plausible structures of an element with a potential and keep the lowest.

    A table shipped for the potential, then the cache, answer first; a damaged cache file is computed again.

    Args:
        symbol: chemical symbol.
        potential: relaxes the list; its name is part of the cache key.
        cache_dir: directory of one JSON file per element and potential; None keeps nothing.
        limit: structures to try at most.

    Raises:
        ToolError: when no structure relaxes.
    """
    if (shipped := shipped_references(potential.name).get(symbol)) is not None:
        return shipped
    path = None
    if cache_dir is not None:
        key = sha256(canonical_json([symbol, potential.name, REFERENCE_VERSION, limit]))[:16]
        path = cache_dir / f"reference-{symbol}-{key}.json"
        if (cached := _read_cache(path, symbol)) is not None:
            return cached
    reference = compute_reference(symbol, potential, limit)
    if path is not None:
        _write_atomically(path, reference.canonical_json())
    return reference


def lowest_reference(symbol: str, potential: Potential, cache_dir: Path | None = None) -> tuple[Crystal, float]:
    """The lowest structure of an element by a potential, and its energy in eV/atom; see `find_reference`."""
    reference = find_reference(symbol, potential, cache_dir)
    return reference.crystal, reference.energy_per_atom


def compute_reference(symbol: str, potential: Potential, limit: int = 7) -> Reference:
    """`find_reference` without table and cache."""
    structures = reference_structures(symbol, limit)
    results = potential.relax(structures)
    ended = [
        (r.energy_per_atom, name, r.crystal) for (name, _), r in zip(structures, results, strict=True) if r.converged
    ]
    if not ended:
        reasons = "; ".join(f"{r.candidate_id}: {r.failure.reason}" for r in results if r.failure)
        raise ToolError(
            f"No structure of {symbol} relaxes with {potential.name} ({reasons}).",
            f"Leave {symbol} out of the chemical space, or choose another potential.",
        )
    lowest = min(ended, key=lambda row: row[0])[0]
    # The evaluator pays for each atom, with DFT by its cube: 3 atoms of chain sulphur instead of 32 of another form.
    near = [row for row in ended if row[0] <= lowest + NEARLY_LOWEST]
    energy, name, crystal = min(near, key=lambda row: (len(row[2]), row[0]))
    return Reference(symbol=symbol, crystal=crystal, energy_per_atom=energy, structure=name)


@cache
def shipped_references(potential_name: str) -> dict[str, Reference]:
    """The table computed beforehand for a potential (`python -m benchmarks.make_references`), empty where none is.

    Raises:
        ToolError: when the file does not match its own checksum.
    """
    file = resources.files(__package__).joinpath(f"references_{potential_name}.json")
    if not file.is_file():
        return {}
    table = json.loads(file.read_text(encoding="utf-8"))
    if table.get("potential") != potential_name or table.get("version") != REFERENCE_VERSION:
        return {}
    if sha256(canonical_json(table["references"])) != table["sha256"]:
        raise ToolError(f"The shipped table {file.name} is damaged.", "Reinstall lodestone.")
    rows = [Reference.model_validate_json(json.dumps(row)) for row in table["references"]]
    return {row.symbol: row for row in rows}


def references_table(potential_name: str, references: list[Reference]) -> str:
    """The text of a shipped table: one row an element, with a checksum over all rows."""
    rows = [reference.model_dump(mode="json") for reference in sorted(references, key=lambda r: r.symbol)]
    table: dict[str, Any] = {
        "potential": potential_name,
        "version": REFERENCE_VERSION,
        "made_by": "python -m benchmarks.make_references",
        "sha256": sha256(canonical_json(rows)),
        "references": rows,
    }
    return json.dumps(table, indent=1, sort_keys=True, allow_nan=False) + "\n"


def volume_per_atom(symbol: str) -> float:
    """Å³/atom of the element as a solid, from molar volumes (pymatgen), or 20 where none is tabulated."""
    from pymatgen.core import Element

    if symbol in SOLID_VOLUMES:
        return SOLID_VOLUMES[symbol]
    molar = Element(symbol).data.get("Molar volume")
    try:
        cm3 = float(str(molar).split()[0])
    except ValueError:
        return 20.0
    return cm3 * 1e24 / AVOGADRO


def _tabulated(symbol: str) -> tuple[str, Crystal] | None:
    """ASE's reference state as (short name, crystal) where ASE knows how to build it."""
    from ase.build import bulk
    from ase.data import atomic_numbers, reference_states

    state = reference_states[atomic_numbers[symbol]]
    kinds = {"fcc": "fcc", "bcc": "bcc", "hcp": "hcp", "diamond": "diamond", "sc": "simple-cubic"}
    if state is None or state["symmetry"] not in kinds:
        return None
    try:
        return kinds[state["symmetry"]], from_ase(bulk(symbol))
    except ValueError:  # selenium and tellurium stand there as hcp, but need a basis that ASE does not have
        return None


@cache
def _prototypes() -> dict[str, Structure]:
    """The unary prototypes of pymatgen's AFLOW file, by `label:mineral`."""
    from pymatgen.core import Structure

    file = resources.files("pymatgen.analysis.prototypes").joinpath("aflow_prototypes.json.gz")
    entries = json.loads(gzip.decompress(file.read_bytes()))
    found: dict[str, Structure] = {}
    for entry in entries:
        data = entry["snl"]
        if len({species["element"] for site in data["sites"] for species in site["species"]}) > 1:
            continue
        structure = Structure(
            np.array(data["lattice"]["matrix"]),
            [site["species"][0]["element"] for site in data["sites"]],
            np.array([site["abc"] for site in data["sites"]]),
        )
        if len(structure) <= MAX_PROTOTYPE_ATOMS:
            tags = entry["tags"]
            found[f"{tags['aflow']}:{tags['mineral']}"] = structure
    return found


def _scaled_prototype(name: str, symbol: str) -> Crystal:
    structure = _prototypes()[PROTOTYPES[name]].copy()
    structure.replace_species({str(s): symbol for s in structure.symbol_set})
    structure.scale_lattice(volume_per_atom(symbol) * len(structure))
    return from_pymatgen(structure)


def _read_cache(path: Path, symbol: str) -> Reference | None:
    """The cached reference, or None where there is none that can be trusted."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_CACHE_BYTES:
            return None
        reference = Reference.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError):
        return None
    return reference if reference.symbol == symbol and set(reference.crystal.species) == {symbol} else None


def _write_atomically(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(temporary).replace(path)
    except OSError as error:
        raise ToolError(f"Cannot write the reference cache {path}: {error}", "Choose a writable directory.") from error
