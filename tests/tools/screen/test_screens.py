"""What the screens promise: each rejection with its numbers, and sameness that ignores how a crystal is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from lodestone.tools.core.structure import fingerprint, from_pymatgen, make_candidate, write_cif
from lodestone.tools.core.types import Candidate, ChemicalSpace, Crystal, Provenance
from lodestone.tools.screen.chemistry import ChemistryScreen
from lodestone.tools.screen.duplicates import DuplicateIndex, match_known
from lodestone.tools.screen.geometry import GeometryScreen
from lodestone.tools.screen.novelty import NoveltyScreen, known_crystals


def rocksalt(a: float = 5.64, first: str = "Na", second: str = "Cl") -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [first, second], [[0, 0, 0], [0.5, 0.5, 0.5]])


def wurtzite() -> Structure:
    return Structure.from_spacegroup(
        "P6_3mc", Lattice.hexagonal(3.11, 4.98), ["Al", "N"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.382]]
    )


def candidate(structure: Structure) -> Candidate:
    return make_candidate(from_pymatgen(structure), Provenance(generator="test"))


def rewritten(structure: Structure, how: str) -> Crystal:
    """The same crystal, written in another way."""
    changed = structure.copy()
    if how == "permuted":
        changed = Structure.from_sites(list(reversed(list(changed))))
    elif how == "supercell":
        changed = changed * (2, 1, 1)
    elif how == "primitive":
        changed = changed.get_primitive_structure()
    elif how == "shifted":
        changed.translate_sites(list(range(len(changed))), [0.13, 0.27, 0.41])
    elif how == "rotated":
        angle = 0.7
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        changed = Structure(Lattice(changed.lattice.matrix @ turn.T), changed.species, changed.frac_coords)
    return from_pymatgen(changed)


WAYS = ["permuted", "supercell", "primitive", "shifted", "rotated"]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("structure", [rocksalt(), wurtzite()], ids=["rocksalt", "wurtzite"])
def test_a_crystal_is_known_however_it_is_written(structure: Structure, how: str) -> None:
    assert fingerprint(rewritten(structure, how)) == fingerprint(from_pymatgen(structure))
    index = DuplicateIndex()
    index.add("first", from_pymatgen(structure))
    assert index.find(rewritten(structure, how)) == "first"


def test_a_shaken_copy_is_the_same_and_another_structure_is_not() -> None:
    index = DuplicateIndex()
    index.add("rocksalt", from_pymatgen(rocksalt()))
    shaken = rocksalt()
    shaken.perturb(0.05, seed=1)
    assert index.find(from_pymatgen(shaken)) == "rocksalt"
    blende = Structure.from_spacegroup("F-43m", Lattice.cubic(6.2), ["Na", "Cl"], [[0, 0, 0], [0.25, 0.25, 0.25]])
    assert index.find(from_pymatgen(blende)) is None
    assert index.find(from_pymatgen(rocksalt(first="K"))) is None


def test_a_higher_minimum_of_the_same_shape_does_not_hide_a_lower_one() -> None:
    index = DuplicateIndex()
    index.add("higher", from_pymatgen(wurtzite()), -7.50)
    assert index.find(from_pymatgen(wurtzite()), -7.5005) == "higher"
    assert index.find(from_pymatgen(wurtzite()), -7.60) is None


def test_the_same_topology_at_another_volume_is_another_crystal() -> None:
    index = DuplicateIndex()
    index.add("relaxed", from_pymatgen(rocksalt(5.64)))
    assert index.find(from_pymatgen(rocksalt(6.3))) is None


@pytest.mark.parametrize(
    ("structure", "words"),
    [
        (Structure(Lattice.cubic(4.5), ["Na", "Cl"], [[0, 0, 0], [0.3, 0, 0]]), "distance"),
        (rocksalt(2.0), "volume"),
        (rocksalt(12.0), "volume"),
        (Structure(Lattice.orthorhombic(2.0, 2.8, 20.0), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]), "edges"),
    ],
    ids=["colliding", "crushed", "empty", "needle"],
)
def test_what_is_no_solid_is_rejected_with_its_numbers(structure: Structure, words: str) -> None:
    verdict = GeometryScreen().check(candidate(structure))
    assert not verdict.passed
    assert words in verdict.reason
    assert any(c.isdigit() for c in verdict.reason)


@pytest.mark.parametrize("structure", [rocksalt(), wurtzite(), rocksalt(4.21, "Mg", "O")])
def test_known_crystals_pass(structure: Structure) -> None:
    assert GeometryScreen().check(candidate(structure)).passed


def test_too_many_atoms_are_rejected() -> None:
    verdict = GeometryScreen(max_atoms=4).check(candidate(rocksalt()))
    assert "8 atoms" in verdict.reason


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (ChemicalSpace(allowed=("Cl", "K")), "holds Na"),
        (ChemicalSpace(required=("Br",), allowed=("Br", "Cl", "Na")), "lacks Br"),
        (ChemicalSpace(allowed=("Br", "Cl", "Na"), n_elements=(3, 3)), "2 elements"),
        (ChemicalSpace(allowed=("Cl", "Na"), formula="Na2Cl"), "is NaCl"),
        (ChemicalSpace(allowed=("Cl", "Na"), max_atoms=4), "8 atoms"),
        (ChemicalSpace(allowed=("Cl", "Na")), ""),
    ],
)
def test_the_chemical_space_is_kept(space: ChemicalSpace, words: str) -> None:
    verdict = ChemistryScreen(space).check(candidate(rocksalt()))
    assert verdict.passed == (not words)
    assert words in verdict.reason


def test_novelty_names_the_known_crystal(tmp_path: Path) -> None:
    (tmp_path / "halite.cif").write_text(write_cif(from_pymatgen(rocksalt())))
    screen = NoveltyScreen(known_crystals(tmp_path))
    assert "halite.cif" in screen.check(candidate(rocksalt() * (2, 1, 1))).reason
    assert screen.check(candidate(wurtzite())).passed
    assert match_known(from_pymatgen(wurtzite()), known_crystals(tmp_path)) is None
