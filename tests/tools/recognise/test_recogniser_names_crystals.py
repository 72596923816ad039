"""Textbook crystals get their names, ideal and shaken, from the weights that ship."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from lodestone.tools.core.protocols import Recogniser
from lodestone.tools.core.structure import from_pymatgen
from lodestone.tools.core.types import Crystal
from lodestone.tools.recognise.dimensionality import dimensionality
from lodestone.tools.recognise.prototypes import has_formula_of, match_prototype
from lodestone.tools.recognise.symmetry import crystal_system, symmetry

SIX = ("rocksalt NaCl", "zincblende ZnS", "wurtzite AlN", "perovskite SrTiO3", "fluorite CaF2", "CsCl")
ALL = (*SIX, "hcp Mg", "rutile MgF2", "molybdenite MoS2", "graphite")

FLAT = Crystal(lattice=((3, 0, 0), (0, 3, 0), (3, 3, 1e-9)), species=("Na", "Cl"), frac_coords=((0, 0, 0), (0.5, 0, 0)))
SAME_PLACE = Crystal(
    lattice=((3, 0, 0), (0, 3, 0), (0, 0, 3)), species=("Na", "Cl"), frac_coords=((0, 0, 0), (0, 0, 0))
)


@pytest.mark.parametrize("name", ALL)
def test_space_group_prototype_and_dimensionality_of_textbook_crystals(name, crystals):
    structure, number, label, dimension = crystals[name]
    crystal = from_pymatgen(structure)
    found = symmetry(crystal)
    assert (found.number, found.crystal_system, found.failure) == (number, crystal_system(number), "")
    assert match_prototype(crystal) == label
    assert dimensionality(crystal) == dimension


def test_symbols_are_those_of_the_international_tables(crystals):
    symbols = [symmetry(from_pymatgen(crystals[n][0])).symbol for n in ("rocksalt NaCl", "zincblende ZnS", "graphite")]
    assert symbols == ["Fm-3m", "F-43m", "P6_3/mmc"]


def test_crystal_systems_change_at_the_groups_of_the_international_tables():
    starts = {1: "triclinic", 3: "monoclinic", 16: "orthorhombic", 75: "tetragonal", 143: "trigonal", 168: "hexagonal"}
    found, last = {}, ""
    for number in range(1, 231):
        if crystal_system(number) != last:
            last = found[number] = crystal_system(number)
    assert found == {**starts, 195: "cubic"}


def test_molecules_and_chains_have_fewer_dimensions():
    from pymatgen.core import Lattice, Structure

    iodine = Structure.from_spacegroup(64, Lattice.orthorhombic(7.27, 4.79, 9.79), ["I"], [[0, 0.1543, 0.1174]])
    selenium = Structure.from_spacegroup(152, Lattice.hexagonal(4.37, 4.95), ["Se"], [[0.2254, 0, 1 / 3]])
    assert dimensionality(from_pymatgen(iodine)) == 0
    assert dimensionality(from_pymatgen(selenium)) == 1


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_network_names_the_six_textbook_prototypes_ideal_and_shaken(noise, crystals, recogniser, shake_structure):
    shaken = [shake_structure(crystals[n][0], noise, seed) for n in SIX for seed in range(3)]
    for index, reading in enumerate(recogniser.read(shaken)):
        _, number, label, _ = crystals[SIX[index // 3]]
        assert max(reading.prototypes, key=reading.prototypes.get) == label
        assert reading.system == crystal_system(number)
        assert reading.prototypes[label] > 0.8


def test_shaken_crystal_keeps_its_prototype_where_symmetry_is_lost(crystals, recogniser, shake_structure):
    crystal = shake_structure(crystals["molybdenite MoS2"][0], 0.06, 1)
    (found,) = recogniser.recognise([("a", crystal)])
    assert found.space_group == 1
    assert found.network_crystal_system == "hexagonal"
    assert found.prototype == "AB2_hP6_194_c_f"
    assert found.dimensionality == 2


def test_crystal_of_no_known_prototype_gets_no_label(recogniser):
    rng = np.random.default_rng(5)
    coords = tuple(tuple(float(v) for v in row) for row in _spread(rng, 9))
    crystal = Crystal(
        lattice=((6, 0, 0), (0.7, 6.5, 0), (0.4, -0.5, 7)),
        species=tuple("KKVVOOOOO"),
        frac_coords=coords,
    )
    (found,) = recogniser.recognise([("a", crystal)])
    assert found.prototype == ""
    assert found.prototype_confidence == 0.0


def test_label_tells_its_formula(crystals):
    perovskite = from_pymatgen(crystals["perovskite SrTiO3"][0])
    assert has_formula_of(perovskite, "AB3C_cP5_221_a_c_b")
    assert not has_formula_of(perovskite, "AB2_cF12_225_a_c")


def test_recognitions_come_in_order_with_model_tolerance_and_embedding(crystals, recogniser):
    assert isinstance(recogniser, Recogniser)
    names = ["CsCl", "graphite", "rocksalt NaCl"]
    found = recogniser.recognise([(n, from_pymatgen(crystals[n][0])) for n in names])
    assert [f.candidate_id for f in found] == names
    assert [f.space_group for f in found] == [221, 194, 225]
    assert {f.model for f in found} == {recogniser.name}
    assert recogniser.name.endswith(recogniser.card.sha256[:8])
    assert {f.symprec for f in found} == {0.01}
    assert {len(f.embedding) for f in found} == {recogniser.embedding_size}
    assert recogniser.recognise([]) == []


@pytest.mark.parametrize("broken", [FLAT, SAME_PLACE], ids=["flat", "same place"])
def test_broken_crystal_is_data_and_does_not_disturb_its_neighbours(broken, crystals, recogniser, caplog):
    good = from_pymatgen(crystals["CsCl"][0])
    with caplog.at_level(logging.INFO):
        found = recogniser.recognise([("bad", broken), ("good", good)])
    assert found[0].network_confidence == 0.0
    assert not any(found[0].embedding)
    assert found[0].network_crystal_system == ""
    assert found[1] == recogniser.recognise([("good", good)])[0]
    assert "prototype of bad" in caplog.text or "symmetry of bad" in caplog.text


def test_unknown_element_gives_p1_with_the_reason(crystals):
    nonsense = from_pymatgen(crystals["CsCl"][0]).model_copy(update={"species": ("Qq", "Cl")})
    found = symmetry(nonsense)
    assert found.number == 1
    assert "Qq" in found.failure


def test_symmetry_of_an_oblong_supercell_prints_nothing(crystals, capfd):
    crystal = from_pymatgen(crystals["rocksalt NaCl"][0].get_primitive_structure() * (1, 1, 3))
    assert symmetry(crystal).number == 225
    assert capfd.readouterr() == ("", "")


def _spread(rng: np.random.Generator, n: int) -> np.ndarray:
    """n points of the unit cell that keep a distance."""
    points = [rng.random(3)]
    while len(points) < n:
        new = rng.random(3)
        delta = np.array(points) - new
        if np.linalg.norm(delta - np.round(delta), axis=1).min() > 0.3:
            points.append(new)
    return np.array(points)
