"""Elemental references: what is tried, what is chosen and kept, and formation energies that follow."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from lodestone.tools.core.errors import ToolError
from lodestone.tools.core.structure import from_ase, volume
from lodestone.tools.core.types import Crystal, Failure, Relaxation
from lodestone.tools.evaluate import references
from lodestone.tools.evaluate.references import (
    Reference,
    find_reference,
    lowest_reference,
    reference_crystals,
    reference_structures,
    references_table,
    shipped_references,
    volume_per_atom,
)

COMMON = "H Li Be B C N O F Na Mg Al Si P S Cl K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Rb Sr Y Zr Nb Mo Ru Rh "
COMMON += "Pd Ag Cd In Sn Sb Te I Cs Ba La Ce Pr Nd Sm Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi"


class Counting:
    """A potential whose energy is the volume per atom, with a sign; counts what it relaxed."""

    name = "toy-1"

    def __init__(self, sign: float = 1.0, fails: bool = False) -> None:
        self.sign, self.fails, self.relaxed = sign, fails, 0

    def energies(self, crystals: Sequence[Crystal]) -> list[float]:
        return [self.sign * volume(c) / len(c) for c in crystals]

    def relax(self, crystals, progress=None) -> list[Relaxation]:
        self.relaxed += len(crystals)
        failure = Failure(stage="relax", reason="toy refuses") if self.fails else None
        return [
            Relaxation(
                candidate_id=name,
                crystal=crystal,
                energy_per_atom=self.energies([crystal])[0],
                fmax=0.0,
                stress_max_gpa=0.0,
                steps=1,
                converged=not self.fails,
                potential=self.name,
                failure=failure,
            )
            for name, crystal in crystals
        ]


@pytest.mark.parametrize(
    ("symbol", "first"),
    [
        ("Na", "bcc"),
        ("Mg", "hcp"),
        ("Cu", "fcc"),
        ("Si", "diamond"),
        ("O", "alpha-oxygen"),
        ("N", "alpha-nitrogen"),
        ("S", "sulphur"),
        ("Cl", "iodine"),
        ("Mn", "alpha-manganese"),
        ("Ga", "gallium"),
        ("U", "alpha-uranium"),
    ],
)
def test_the_known_ground_state_is_tried_first(symbol, first):
    structures = reference_structures(symbol)
    assert structures[0][0] == first
    assert all(set(crystal.species) == {symbol} for _, crystal in structures)


@pytest.mark.parametrize("symbol", COMMON.split())
def test_every_common_element_has_structures_of_its_own_density(symbol):
    crystals = reference_crystals(symbol)
    assert 1 <= len(crystals) <= 7
    for crystal in crystals:
        assert len(crystal) <= 34
        assert 0.5 < volume(crystal) / len(crystal) / volume_per_atom(symbol) < 1.5


def test_limit_bounds_the_number_of_relaxations():
    assert len(reference_crystals("Fe", limit=3)) == 3
    assert reference_structures("Fe", limit=3) == reference_structures("Fe", limit=7)[:3]


@pytest.mark.parametrize("bad", ["Xx", "", "na", "D"])
def test_unknown_symbols_are_refused(bad):
    with pytest.raises(ToolError, match="not a chemical element"):
        reference_crystals(bad)


def test_the_lowest_structure_is_chosen():
    energies = [volume(c) / len(c) for c in reference_crystals("Na")]
    assert lowest_reference("Na", Counting())[1] == pytest.approx(min(energies))
    assert lowest_reference("Na", Counting(-1.0))[1] == pytest.approx(-max(energies))


def test_a_cached_reference_costs_nothing_and_is_exact(tmp_path):
    potential = Counting()
    first = find_reference("K", potential, tmp_path)
    spent = potential.relaxed
    assert spent > 1
    assert find_reference("K", potential, tmp_path) == first
    assert potential.relaxed == spent
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"symbol": "K"}', "\xff\xfe", "x" * 300_000])
def test_a_damaged_cache_is_computed_again(tmp_path, damage):
    potential = Counting()
    first = find_reference("K", potential, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text(damage, encoding="latin-1")
    assert find_reference("K", potential, tmp_path) == first
    assert Reference.model_validate_json(path.read_text()) == first


def test_another_elements_cache_is_not_believed(tmp_path):
    potential = Counting()
    find_reference("K", potential, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text(find_reference("Rb", potential).canonical_json())
    assert find_reference("K", potential, tmp_path).symbol == "K"


def test_another_potential_has_another_cache(tmp_path):
    find_reference("K", Counting(), tmp_path)
    other = Counting(-1.0)
    other.name = "toy-2"
    assert find_reference("K", other, tmp_path).energy_per_atom < 0


def test_an_unwritable_cache_says_so(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ToolError, match="writable"):
        find_reference("K", Counting(), blocked)


def test_no_relaxed_structure_is_an_error_with_the_reasons():
    with pytest.raises(ToolError, match="toy refuses"):
        find_reference("K", Counting(fails=True))


def test_the_shipped_table_is_whole_and_only_for_its_potential():
    table = shipped_references("chgnet-0.3.0")
    assert set(COMMON.split()) <= set(table)
    assert all(set(row.crystal.species) == {symbol} for symbol, row in table.items())
    assert shipped_references("chgnet-0.2.0") == {}


def test_a_table_with_a_changed_number_is_refused(tmp_path, monkeypatch):
    row = find_reference("K", Counting())
    good = tmp_path / "references_toy-1.json"
    good.write_text(references_table("toy-1", [row]))
    monkeypatch.setattr(references.resources, "files", lambda _: tmp_path)
    shipped_references.cache_clear()
    assert shipped_references("toy-1") == {"K": row}
    changed = json.loads(good.read_text())
    changed["references"][0]["energy_per_atom"] += 0.1
    good.write_text(json.dumps(changed))
    shipped_references.cache_clear()
    with pytest.raises(ToolError, match="damaged"):
        shipped_references("toy-1")
    shipped_references.cache_clear()


KNOWN_FORMATION_ENERGIES = [
    # Materials Project (PBE, MP2020 corrections), rounded to 0.05 eV/atom.
    ("NaCl", "rocksalt", {"a": 5.65}, -2.10),
    ("CsCl", "cesiumchloride", {"a": 4.12}, -2.15),
    ("MgO", "rocksalt", {"a": 4.21}, -3.05),
    ("ZnS", "zincblende", {"a": 5.41}, -0.95),
    ("AlN", "wurtzite", {"a": 3.11, "c": 4.98}, -1.55),
    ("SiC", "zincblende", {"a": 4.36}, -0.25),
    ("CaF2", "fluorite", {"a": 5.46}, -4.20),
    ("Li2O", "fluorite", {"a": 4.62}, -2.05),
    ("NiAl", "cesiumchloride", {"a": 2.88}, -0.65),
]


def _compound(formula: str, structure: str, cell: dict[str, float]) -> Crystal:
    from ase.build import bulk

    # ASE builds fluorite as cation, then two anions; the oxide of lithium is its inverse.
    return from_ase(bulk("OLi2" if formula == "Li2O" else formula, structure, **cell))


def test_shipped_references_give_known_formation_energies():
    from lodestone.tools.relax.chgnet import ChgnetPotential

    table = shipped_references("chgnet-0.3.0")
    crystals = [_compound(formula, structure, cell) for formula, structure, cell, _ in KNOWN_FORMATION_ENERGIES]
    results = ChgnetPotential(device="cpu").relax(
        [(row[0], c) for row, c in zip(KNOWN_FORMATION_ENERGIES, crystals, strict=True)]
    )
    for result, (formula, _, _, expected) in zip(results, KNOWN_FORMATION_ENERGIES, strict=True):
        species = result.crystal.species
        elements = sum(table[s].energy_per_atom for s in species) / len(species)
        assert result.converged, formula
        assert result.energy_per_atom - elements == pytest.approx(expected, abs=0.25), formula
