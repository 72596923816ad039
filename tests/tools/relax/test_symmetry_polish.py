"""Symmetry that a relaxation almost reached is made exact, and only if the energy agrees."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from lodestone.tools.core.structure import from_pymatgen, to_pymatgen
from lodestone.tools.relax.chgnet import ChgnetPotential
from lodestone.tools.relax.elastic import bulk_modulus
from lodestone.tools.relax.symmetrise import idealised, polish

ROCKSALT = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.69), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture(scope="module")
def potential() -> ChgnetPotential:
    return ChgnetPotential()


def group(crystal: object, symprec: float = 1e-3) -> int:
    return int(SpacegroupAnalyzer(to_pymatgen(crystal), symprec=symprec).get_space_group_number())  # type: ignore[arg-type]


def test_a_shaken_rocksalt_becomes_rocksalt_again() -> None:
    shaken = ROCKSALT.copy()
    shaken.perturb(0.08, seed=2)
    ideal = idealised(from_pymatgen(shaken), 0.3)
    assert ideal is not None
    assert group(ideal) == 225
    assert len(ideal) == 2


def test_a_symmetric_crystal_is_left_alone() -> None:
    assert idealised(from_pymatgen(ROCKSALT.get_primitive_structure()), 0.3) is None


def test_polishing_keeps_or_lowers_the_energy(potential: ChgnetPotential) -> None:
    shaken = ROCKSALT.get_primitive_structure()
    shaken.perturb(0.15, seed=3)
    shaken.apply_strain([0.02, -0.01, 0.01])
    raw = potential.relax([("a", from_pymatgen(shaken))])
    polished = polish(potential, raw)
    assert polished[0].candidate_id == "a"
    assert polished[0].energy_per_atom <= raw[0].energy_per_atom + 0.001
    assert group(polished[0].crystal, 0.01) == 225


def test_a_real_distortion_is_not_ironed_out(potential: ChgnetPotential) -> None:
    """Wurtzite AlN is 0.02 Å-wise close to no cubic cell; its hexagonal symmetry must stay."""
    wurtzite = Structure.from_spacegroup(
        "P6_3mc", Lattice.hexagonal(3.13, 5.02), ["Al", "N"], [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.382]]
    )
    polished = polish(potential, potential.relax([("w", from_pymatgen(wurtzite))]))
    assert group(polished[0].crystal, 0.01) == 186


def test_bulk_modulus_of_rocksalt_mgo(potential: ChgnetPotential) -> None:
    mgo = Structure.from_spacegroup("Fm-3m", Lattice.cubic(4.22), ["Mg", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    relaxed = potential.relax([("m", from_pymatgen(mgo.get_primitive_structure()))])[0]
    value = bulk_modulus(potential, relaxed.crystal)
    assert value == pytest.approx(160, rel=0.25)  # experiment 160 GPa, PBE 150


def test_a_compressed_crystal_has_no_bulk_modulus(potential: ChgnetPotential) -> None:
    assert bulk_modulus(potential, from_pymatgen(Structure(Lattice.cubic(2.2), ["Cu"], [[0, 0, 0]]))) is None
