"""What the embedding must not see: orientation, origin, order, size, cell, elements. And what it must."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Structure
from scipy.spatial.transform import Rotation
from scipy.special import eval_legendre

from lodestone.tools.core.structure import from_pymatgen, to_pymatgen
from lodestone.tools.core.types import Crystal
from lodestone.tools.recognise.graph import CUTOFF, crystal_graph
from lodestone.tools.recognise.network import spherical_harmonics

EMBEDDING_TOLERANCE = 2e-4
"""Components are of order 1 (layer norm); float32 through three layers leaves a few 1e-5."""

NAMES = ("rocksalt NaCl", "wurtzite AlN", "perovskite SrTiO3", "rutile MgF2", "molybdenite MoS2")


def _rotated(structure: Structure) -> Structure:
    turn = Rotation.random(random_state=4).as_matrix()
    return Structure(structure.lattice.matrix @ turn.T, structure.species, structure.frac_coords)


def _mirrored(structure: Structure) -> Structure:
    return Structure(structure.lattice.matrix * [1, 1, -1], structure.species, structure.frac_coords)


def _moved(structure: Structure) -> Structure:
    return Structure(structure.lattice, structure.species, structure.frac_coords + np.array([0.31, 0.77, 0.05]))


def _reordered(structure: Structure) -> Structure:
    order = np.random.default_rng(2).permutation(len(structure))
    return Structure.from_sites([structure[i] for i in order])


def _supercell(structure: Structure) -> Structure:
    return structure * [[2, 0, 0], [1, 1, 0], [0, 1, 2]]


def _scaled(structure: Structure) -> Structure:
    return Structure(structure.lattice.matrix * 1.7, structure.species, structure.frac_coords)


def _renamed(structure: Structure) -> Structure:
    symbols = sorted({str(s) for s in structure.species})
    others = dict(zip(symbols, ["U", "Xe", "H"], strict=False))
    return Structure(structure.lattice, [others[str(s)] for s in structure.species], structure.frac_coords)


@pytest.mark.parametrize(
    "change", [_rotated, _mirrored, _moved, _reordered, _supercell, _scaled, _renamed], ids=lambda f: f.__name__[1:]
)
def test_embedding_is_blind_to(change, crystals, recogniser, shake_structure):
    before = [to_pymatgen(shake_structure(crystals[n][0], 0.04, 7)) for n in NAMES]
    both = recogniser.embed([from_pymatgen(s) for s in before + [change(s) for s in before]])
    assert (both[: len(NAMES)] - both[len(NAMES) :]).abs().max() < EMBEDDING_TOLERANCE


def test_embedding_of_a_crystal_does_not_depend_on_its_batch(crystals, recogniser):
    many = [from_pymatgen(crystals[n][0]) for n in NAMES]
    alone = torch.cat([recogniser.embed([c]) for c in many])
    assert (recogniser.embed(many) - alone).abs().max() < EMBEDDING_TOLERANCE


def test_embedding_tells_prototypes_apart(crystals, recogniser):
    embeddings = recogniser.embed([from_pymatgen(s[0]) for s in crystals.values()])
    distances = torch.cdist(embeddings, embeddings) + 10 * torch.eye(len(embeddings))
    assert distances.min() > 1.0


def test_embedding_changes_smoothly_with_displacement(crystals, recogniser):
    structure = crystals["rutile MgF2"][0]
    crystal = from_pymatgen(structure)
    moved = structure.copy()
    moved.translate_sites([0], [0.001, 0.0007, 0.0])
    near = (recogniser.embed([crystal]) - recogniser.embed([from_pymatgen(moved)])).norm()
    assert 0 < near < 0.2


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_harmonics_obey_the_addition_theorem(seed):
    vectors = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 8, 3)))
    u, v = vectors / vectors.norm(dim=-1, keepdim=True)
    products = spherical_harmonics(u, 6) * spherical_harmonics(v, 6)
    for l, part in enumerate(products.split([2 * l + 1 for l in range(7)], dim=1)):  # noqa: E741
        expected = eval_legendre(l, (u * v).sum(1).numpy())
        assert np.allclose(part.sum(1).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_graph_has_the_neighbours_that_pymatgen_finds(name, crystals):
    structure = crystals[name][0]
    graph = crystal_graph(from_pymatgen(structure))
    unit = (structure.volume / len(structure)) ** (1 / 3)
    centres, _, _, distances = structure.get_neighbor_list(CUTOFF * unit)
    assert len(graph.centres) == len(centres)
    assert np.allclose(np.sort(np.linalg.norm(graph.vectors, axis=1)), np.sort(distances) / unit, atol=1e-5)


def test_graph_refuses_what_is_no_crystal():
    flat = Crystal(lattice=((3, 0, 0), (0, 3, 0), (3, 3, 0)), species=("Na",), frac_coords=((0, 0, 0),))
    with pytest.raises(ValueError, match="flat"):
        crystal_graph(flat)
    clump = Crystal(
        lattice=((90, 0, 0), (0, 90, 0), (0, 0, 90)),
        species=("C",) * 200,
        frac_coords=tuple((0.01 * (i % 6), 0.01 * (i // 6 % 6), 0.01 * (i // 36)) for i in range(200)),
    )
    assert len(crystal_graph(clump).centres) <= 200 * 199
