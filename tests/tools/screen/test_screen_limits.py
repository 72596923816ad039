"""Screens at their limits: odd cells end in a verdict, charges and known crystals count only where they are asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

import lodestone.tools.screen.novelty as novelty
from lodestone.tools.core.errors import ToolError
from lodestone.tools.core.structure import from_pymatgen, make_candidate, reduced_formula, write_cif
from lodestone.tools.core.types import Candidate, ChemicalSpace, Crystal, Provenance
from lodestone.tools.screen.chemistry import ChemistryScreen
from lodestone.tools.screen.duplicates import DuplicateIndex
from lodestone.tools.screen.geometry import GeometryScreen
from lodestone.tools.screen.novelty import NoveltyScreen, known_crystals


def halite(a: float = 5.64) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def candidate(crystal: Crystal) -> Candidate:
    return Candidate(id="x", crystal=crystal, formula=reduced_formula(crystal), provenance=Provenance(generator="test"))


def pair(lattice: list[list[float]], second: tuple[float, float, float] = (0.5, 0.5, 0.5)) -> Candidate:
    crystal = Crystal(lattice=lattice, species=("Na", "Cl"), frac_coords=((0, 0, 0), second))  # type: ignore[arg-type]
    return candidate(crystal)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("shear", [4e2, 4e4, 4e6])
def test_a_sheared_choice_of_cell_neither_hangs_nor_changes_the_verdict(shear: float) -> None:
    lattice = [[4, 0, 0], [shear, 4, 0], [shear / 4, 0.075 * shear, 4]]
    assert GeometryScreen().check(pair(lattice)).passed


@pytest.mark.parametrize(
    ("lattice", "second", "words"),
    [
        ([[1, 0, 0], [2, 0, 0], [0, 0, 3]], (0.5, 0.5, 0.5), "volume of 0.0 Å³/atom"),
        ([[4, 0, 0], [0, 4, 0], [0, 0, 4]], (0.0, 0.0, 0.0), "Na-Cl distance of 0.00 Å"),
        ([[4, 0, 0], [0, 4, 0], [0, 0, 4]], (1.0, 1.0, 1.0), "Na-Cl distance of 0.00 Å"),
    ],
    ids=["flat", "one on the other", "one on the other's image"],
)
def test_degenerate_crystals_get_a_reason(
    lattice: list[list[float]], second: tuple[float, float, float], words: str
) -> None:
    verdict = GeometryScreen().check(pair(lattice, second))
    assert not verdict.passed
    assert words in verdict.reason


@settings(max_examples=40, deadline=None)
@given(distance=st.floats(0.3, 3.9))
def test_the_shortest_distance_decides(distance: float) -> None:
    # Sum of the covalent radii of Na and Cl (Cordero 2008): 1.66 + 1.02 Å; the default factor is 0.6.
    limit = 0.6 * (1.66 + 1.02)
    verdict = GeometryScreen().check(pair([[8, 0, 0], [0, 3.5, 0], [0, 0, 3.5]], (distance / 8, 0.0, 0.0)))
    assert verdict.passed == (distance >= limit)
    assert verdict.passed or f"{distance:.2f} Å is below {limit:.2f} Å" in verdict.reason


@pytest.mark.parametrize(
    ("formula", "passes"), [(("Na", "Cl"), True), (("Ni", "Al"), True), (("Na", "Cl", "Cl", "Cl"), False)]
)
def test_charges_count_only_where_asked_and_alloys_pass(formula: tuple[str, ...], passes: bool) -> None:
    space = ChemicalSpace(allowed=("Al", "Cl", "Na", "Ni"))
    sites = tuple((i / len(formula), 0.0, 0.0) for i in range(len(formula)))
    made = candidate(Crystal(lattice=((9, 0, 0), (0, 4, 0), (0, 0, 4)), species=formula, frac_coords=sites))
    assert ChemistryScreen(space).check(made).passed
    verdict = ChemistryScreen(space, neutral=True).check(made)
    assert verdict.passed == passes
    assert passes or "NaCl3 is not neutral" in verdict.reason


@settings(max_examples=20, deadline=None)
@given(
    axis=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda v: np.linalg.norm(v) > 0.1),
    angle=st.floats(0.0, 6.28),
    order=st.permutations(range(8)),
    cells=st.sampled_from(((1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2))),
)
def test_rotation_order_and_supercell_do_not_make_a_new_crystal(
    axis: tuple[float, float, float], angle: float, order: list[int], cells: tuple[int, int, int]
) -> None:
    k = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -k[2], k[1]], [k[2], 0, -k[0]], [-k[1], k[0], 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    base = halite()
    index = DuplicateIndex()
    index.add("halite", from_pymatgen(base))
    moved = Structure(
        Lattice(base.lattice.matrix @ turn.T), [base.species[i] for i in order], [base.frac_coords[i] for i in order]
    )
    assert index.find(from_pymatgen(moved * cells)) == "halite"


def test_novelty_can_also_ask_for_known_crystals() -> None:
    known = [("halite", from_pymatgen(halite()))]
    same = make_candidate(from_pymatgen(halite()), Provenance(generator="test"))
    blende = Structure.from_spacegroup("F-43m", Lattice.cubic(6.2), ["Na", "Cl"], [[0, 0, 0], [0.25, 0.25, 0.25]])
    other = candidate(from_pymatgen(blende))
    assert not NoveltyScreen(known).check(same).passed
    assert NoveltyScreen(known, reject="new").check(same).passed
    assert "none of the 1 known" in NoveltyScreen(known, reject="new").check(other).reason


def test_too_many_known_files_are_refused_rather_than_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.cif", "b.CIF"):
        (tmp_path / name).write_text(write_cif(from_pymatgen(halite())))
    assert [name for name, _ in known_crystals(tmp_path)] == ["a.cif", "b.CIF"]
    monkeypatch.setattr(novelty, "MAX_FILES", 1)
    with pytest.raises(ToolError, match="2 CIF files; at most 1"):
        known_crystals(tmp_path)
