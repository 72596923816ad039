"""The crystals that train and test the network are what they are labelled as."""

from __future__ import annotations

import numpy as np
import pytest

from lodestone.tools.core.structure import to_pymatgen
from lodestone.tools.recognise.symmetry import CRYSTAL_SYSTEMS, symmetry
from lodestone.tools.recognise.synthetic import (
    OTHER,
    Shake,
    aflow_parents,
    decorate,
    mean_nearest_distance,
    random_parents,
    shake,
)


@pytest.fixture(scope="module")
def parents():
    return aflow_parents()


def test_undisturbed_copies_have_the_space_group_of_their_label(parents):
    rng = np.random.default_rng(0)
    for parent in parents[::4]:
        crystal = decorate(*shake(parent, rng, Shake(min_atoms=8)), rng)
        assert symmetry(crystal, 0.02).number == parent.number == int(parent.label.split("_")[2])


def test_changed_axes_keep_the_crystal_system(parents):
    rng = np.random.default_rng(1)
    for parent in parents[::7]:
        crystal = decorate(*shake(parent, rng, Shake(axes=0.03)), rng)
        assert symmetry(crystal, 1e-3).crystal_system == parent.system


def test_random_crystals_cover_the_seven_systems_with_their_own_symmetry():
    rng = np.random.default_rng(2)
    made = random_parents(28, rng)
    assert {p.system for p in made} == set(CRYSTAL_SYSTEMS)
    assert {p.label for p in made} == {OTHER}
    assert [symmetry(decorate(*shake(p, rng, Shake()), rng), 1e-3).number for p in made] == [p.number for p in made]


def test_noise_is_the_root_mean_square_displacement_over_the_nearest_neighbour_distance(parents):
    (parent,) = [p for p in parents if p.label == "AB_cF8_225_a_b"]
    ratios = []
    for seed in range(40):
        quiet, loud = (
            shake(parent, np.random.default_rng(seed), Shake(noise=noise, min_atoms=24)) for noise in (1e-9, 0.05)
        )
        frac = quiet[1] @ np.linalg.inv(quiet[0])
        ratios.append(np.mean(np.sum((loud[1] - quiet[1]) ** 2, axis=1)) / mean_nearest_distance(quiet[0], frac) ** 2)
    assert np.sqrt(np.mean(ratios)) == pytest.approx(0.05, rel=0.05)


def test_decoration_gives_each_kind_its_own_element_at_touching_distance(parents):
    rng = np.random.default_rng(3)
    for parent in parents[::10]:
        structure = to_pymatgen(decorate(*shake(parent, rng, Shake()), rng))
        assert len(structure.elements) == len(set(parent.kinds.tolist()))
        nearest = min(n.nn_distance for near in structure.get_all_neighbors(7.0) for n in near)
        assert 0.5 < nearest < 6.0


def test_same_seed_gives_the_same_crystal(parents):
    how = Shake(noise=0.05, strain=0.01, axes=0.03, min_atoms=8)
    first, second = (shake(parents[20], np.random.default_rng(9), how)[1] for _ in range(2))
    assert np.array_equal(first, second)
