"""Which crystals a goal asks for: compositions, stoichiometries, structure types."""

from __future__ import annotations

import numpy as np
import pytest

from lodestone.tools.core.eligibility import (
    CENTROSYMMETRIC,
    CRYSTAL_SYSTEMS,
    amounts_of,
    composition_misfit,
    structure_misfit,
    wished_groups,
)
from lodestone.tools.core.prototypes import STRUCTURE_TYPES
from lodestone.tools.core.stoichiometry import fits_pattern, parse_pattern, sites_of
from lodestone.tools.core.types import ChemicalSpace, Objective, Recognition, StructureWish


@pytest.mark.parametrize(
    ("pattern", "amounts", "fits"),
    [
        ("ABX3", {"Ca": 1, "Ti": 1, "O": 3}, True),
        ("ABX3", {"Ca": 2, "Ti": 2, "O": 6}, True),
        ("ABX3", {"Mg": 1, "Al": 2, "O": 4}, False),
        ("ABX3", {"Na": 1, "Cl": 1}, False),
        ("AB2O4", {"Mg": 1, "Al": 2, "O": 4}, True),
        ("AB2O4", {"Mg": 1, "Al": 2, "S": 4}, False),
        ("AB2O4", {"O": 1, "Al": 2, "Mg": 4}, False),
        ("A2BX4", {"K": 2, "Ni": 1, "F": 4}, True),
        ("M3AX2", {"Ti": 3, "Si": 1, "C": 2}, True),
        ("ABC", {"Ti": 1, "Ni": 1, "Sn": 1}, True),
    ],
)
def test_stoichiometries(pattern: str, amounts: dict[str, int], fits: bool) -> None:
    assert fits_pattern(pattern, amounts) is fits


@pytest.mark.parametrize("text", ["NaCl", "BN", "CO2", "SrTiO3", "GaAs", "A", "AA2", "abx3", "ABX333", ""])
def test_what_is_no_stoichiometry(text: str) -> None:
    assert parse_pattern(text) is None


def test_in_a_spinel_o_is_oxygen_and_b_a_site() -> None:
    assert sites_of(parse_pattern("AB2O4") or ()) == ("A", "B")


def recognised(**facts: object) -> Recognition:
    return Recognition.model_validate(
        {
            "candidate_id": "x", "space_group": 225, "space_group_symbol": "Fm-3m", "symprec": 0.01,
            "crystal_system": "cubic", "prototype": "AB_cF8_225_a_b", "dimensionality": 3, **facts,
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wish", "fits"),
    [
        ({}, True),
        ({"prototypes": ("rocksalt",)}, True),
        ({"prototypes": ("wurtzite", "rocksalt")}, True),
        ({"prototypes": ("zincblende",)}, False),
        ({"space_groups": (221, 225)}, True),
        ({"space_groups": (221,)}, False),
        ({"crystal_systems": ("cubic",)}, True),
        ({"crystal_systems": ("tetragonal",)}, False),
        ({"dimensionality": (2,)}, False),
        ({"centrosymmetric": True}, True),
        ({"centrosymmetric": False}, False),
        ({"crystal_systems": ("cubic",), "dimensionality": (2,)}, False),
    ],
)
def test_rocksalt_fits_what_it_is(wish: dict[str, object], fits: bool) -> None:
    reason = structure_misfit(StructureWish.model_validate(wish), recognised(), {"Na": 1, "Cl": 1})
    assert (reason == "") is fits


def test_a_type_without_a_prototype_is_told_by_formula_and_group() -> None:
    garnet = StructureWish(prototypes=("garnet",))
    grossular = amounts_of(["Ca"] * 12 + ["Al"] * 8 + ["Si"] * 12 + ["O"] * 48)
    assert grossular == {"Al": 2, "Ca": 3, "O": 12, "Si": 3}
    assert structure_misfit(garnet, recognised(space_group=230, prototype=""), grossular) == ""
    assert structure_misfit(garnet, recognised(space_group=62, prototype=""), grossular)


def test_every_structure_type_is_consistent() -> None:
    for name, kind in STRUCTURE_TYPES.items():
        pieces = parse_pattern(kind.formula) or (("A", 1),)
        assert tuple(sorted(n for _, n in pieces)) == kind.counts, name
        assert wished_groups(StructureWish(prototypes=(name,))) == frozenset(kind.groups), name


def test_labels_of_structure_types_are_prototypes_that_exist() -> None:
    from lodestone.tools.generate.aflow import prototypes

    known = {p.label: p for p in prototypes()}
    for name, kind in STRUCTURE_TYPES.items():
        for label in kind.labels:
            assert known[label].signature == kind.counts, name


def test_inversion_centres_are_those_of_the_tables() -> None:
    import spglib

    assert len(CENTROSYMMETRIC) == 92
    assert [last for _, last in CRYSTAL_SYSTEMS.values()] == [2, 15, 74, 142, 167, 194, 230]
    seen = set()
    for hall in range(1, 531):
        group = spglib.get_spacegroup_type(hall).number
        rotations = spglib.get_symmetry_from_database(hall)["rotations"]
        seen.add(group)
        assert any((r == -np.eye(3, dtype=int)).all() for r in rotations) is (group in CENTROSYMMETRIC), group
    assert len(seen) == 230


def test_one_of_a_group_has_to_be_in() -> None:
    space = ChemicalSpace(required=("Li",), allowed=("Br", "Cl", "Li", "Y"), any_of=(("Br", "Cl"),), n_elements=(2, 3))
    assert composition_misfit(space, {"Li": 1, "Cl": 1}, "LiCl") == ""
    assert "Br, Cl" in composition_misfit(space, {"Li": 1, "Y": 1}, "LiY")


@pytest.mark.parametrize(
    ("objective", "value", "loss"),
    [
        (Objective(property="density", direction="minimise"), 3.0, 3.0),
        (Objective(property="density", direction="maximise"), 3.0, -3.0),
        (Objective(property="density", direction="target", target=2.0), 3.0, 1.0),
        (Objective(property="density", direction="range", lower=1.0, upper=2.0), 3.0, 1.0),
        (Objective(property="density", direction="range", lower=1.0, upper=2.0), 1.5, 0.0),
        (Objective(property="density", direction="range", lower=1.0, upper=2.0), 0.5, 0.5),
    ],
)
def test_losses(objective: Objective, value: float, loss: float) -> None:
    assert objective.loss(value) == loss
