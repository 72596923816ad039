"""Textbook crystals with published lattice parameters (Å), built without the project's own generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from lodestone.tools.core.structure import from_pymatgen
from lodestone.tools.core.types import Crystal
from lodestone.tools.recognise.recogniser import CrystalRecogniser


def textbook() -> dict[str, tuple[Structure, int, str, int]]:
    """Name to structure, space group, AFLOW label and dimensionality."""
    make, cubic, hexagonal = Structure.from_spacegroup, Lattice.cubic, Lattice.hexagonal
    third, quarter, half = [1 / 3, 2 / 3, 0.25], [0.25] * 3, [0.5] * 3
    origin = [0.0, 0.0, 0.0]
    return {
        "rocksalt NaCl": (make(225, cubic(5.640), ["Na", "Cl"], [origin, half]), 225, "AB_cF8_225_a_b", 3),
        "zincblende ZnS": (make(216, cubic(5.409), ["Zn", "S"], [origin, quarter]), 216, "AB_cF8_216_c_a", 3),
        "wurtzite AlN": (
            make(186, hexagonal(3.112, 4.982), ["Al", "N"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.382]]),
            186,
            "AB_hP4_186_b_b",
            3,
        ),
        "perovskite SrTiO3": (
            make(221, cubic(3.905), ["Sr", "Ti", "O"], [origin, half, [0.5, 0.5, 0]]),
            221,
            "AB3C_cP5_221_a_c_b",
            3,
        ),
        "fluorite CaF2": (make(225, cubic(5.463), ["Ca", "F"], [origin, quarter]), 225, "AB2_cF12_225_a_c", 3),
        "CsCl": (make(221, cubic(4.123), ["Cs", "Cl"], [origin, half]), 221, "AB_cP2_221_b_a", 3),
        "hcp Mg": (make(194, hexagonal(3.209, 5.211), ["Mg"], [third]), 194, "A_hP2_194_c", 3),
        "rutile MgF2": (
            make(136, Lattice.tetragonal(4.628, 3.045), ["Mg", "F"], [origin, [0.303, 0.303, 0]]),
            136,
            "A2B_tP6_136_f_a",
            3,
        ),
        "molybdenite MoS2": (
            make(194, hexagonal(3.160, 12.294), ["Mo", "S"], [third, [1 / 3, 2 / 3, 0.621]]),
            194,
            "AB2_hP6_194_c_f",
            2,
        ),
        "graphite": (make(194, hexagonal(2.464, 6.711), ["C", "C"], [[0, 0, 0.25], third]), 194, "A_hP4_194_bc", 2),
    }


def shaken(structure: Structure, noise: float, seed: int) -> Crystal:
    """A supercell of 16 atoms or more, each displaced by `noise` (rms) of the nearest-neighbour distance."""
    cell = structure.get_primitive_structure()
    while len(cell) < 16:
        cell = cell * [2 if length == min(cell.lattice.abc) else 1 for length in cell.lattice.abc]
    nearest = np.mean([min(n.nn_distance for n in near) for near in cell.get_all_neighbors(4.0)])
    steps = np.random.default_rng(seed).normal(scale=noise * nearest / np.sqrt(3), size=(len(cell), 3))
    return from_pymatgen(Structure(cell.lattice, cell.species, cell.cart_coords + steps, coords_are_cartesian=True))


@pytest.fixture(scope="session")
def recogniser() -> CrystalRecogniser:
    """The weights that ship."""
    return CrystalRecogniser()


@pytest.fixture(scope="session")
def crystals() -> dict[str, tuple[Structure, int, str, int]]:
    """See `textbook`."""
    return textbook()


@pytest.fixture(scope="session")
def shake_structure() -> Callable[[Structure, float, int], Crystal]:
    """See `shaken`."""
    return shaken
