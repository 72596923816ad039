"""Collinear magnetic orders: the textbook's number of them, whatever the order of the sites; the lowest one counts."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.spacegroup import crystal as from_spacegroup
from hypothesis import given, settings
from hypothesis import strategies as st

from lodestone.tools.core.structure import from_ase, volume
from lodestone.tools.core.types import Crystal, EvaluationRequest, FailureKind, JobStatus
from lodestone.tools.evaluate.base import CalculationFailed
from lodestone.tools.evaluate.cost import predict
from lodestone.tools.evaluate.electrons import idealise
from lodestone.tools.evaluate.magnetism import (
    FERROMAGNETIC,
    MAX_MAGNETIC_SITES,
    MagneticOrder,
    lowest_order,
    magnetic_orders,
)
from lodestone.tools.evaluate.registry import create_evaluator

CHROMIA = from_spacegroup(
    ["Cr", "O"], [(0, 0, 0.3475), (0.3056, 0, 0.25)], spacegroup=167, cellpar=[4.96, 4.96, 13.6, 90, 90, 120]
)


def _orders(atoms: Atoms, at_most: int = 8) -> tuple[MagneticOrder, ...]:
    return magnetic_orders(idealise(from_ase(atoms), 0.01), (), at_most)


@pytest.mark.parametrize(
    ("atoms", "count"),
    [
        # One magnetic atom: ferromagnetic, and the stars of half reciprocal lattice vectors. Of the seven halves, X (3)
        # and L (4) in fcc, H (1) and N (6) in bcc, X (3), M (3) and R (1) in simple cubic crystals.
        (bulk("Ni", "fcc", a=3.52), 3),
        (bulk("NiO", "rocksalt", a=4.17), 3),
        (bulk("Cr", "bcc", a=2.88), 3),
        (bulk("Cr", "bcc", a=2.88, cubic=True), 3),
        (bulk("Fe", "sc", a=2.6), 4),
        # Two atoms that symmetry exchanges: parallel or not.
        (bulk("Co", "hcp", a=2.51, c=4.07), 2),
        # Corundum: + - - +, + - + -, + + - - and one of four against the others.
        (CHROMIA, 5),
        (bulk("NaCl", "rocksalt", a=5.64), 1),
    ],
)
def test_there_are_as_many_orders_as_the_textbook_says(atoms: Atoms, count: int) -> None:
    found = _orders(atoms)
    assert len(found) == count
    assert found[0].name == (FERROMAGNETIC if count > 1 else "without spin")
    assert all(m >= 0 for m in found[0].moments)


def test_antiferromagnets_have_no_moment_and_double_the_cell_where_they_must() -> None:
    ferro, *others = _orders(bulk("NiO", "rocksalt", a=4.17))
    for order in others:
        assert sum(order.moments) == 0.0
        assert len(order.crystal) == 2 * len(ferro.crystal)
        assert volume(order.crystal) == pytest.approx(2 * volume(ferro.crystal))
        assert sorted(order.crystal.species) == ["Ni", "Ni", "O", "O"]
        assert [m for m, el in zip(order.moments, order.crystal.species, strict=True) if el == "O"] == [0.0, 0.0]
        again = idealise(order.crystal, 0.01)
        assert len(again) == 2, "without moments it is the same crystal"


def test_chromium_of_two_sublattices_is_the_cubic_cell_with_opposite_neighbours() -> None:
    found = _orders(bulk("Cr", "bcc", a=2.88))[1]
    lengths = np.linalg.norm(found.crystal.lattice, axis=1)
    assert lengths == pytest.approx([2.88] * 3)
    between = np.subtract(*np.array(found.crystal.frac_coords)) % 1.0
    assert between == pytest.approx([0.5] * 3)
    assert found.moments == (4.0, -4.0)


def test_antiparallel_neighbours_come_first_and_the_number_is_kept_to() -> None:
    assert [o.name.split(", ")[-1] for o in _orders(bulk("Fe", "sc", a=2.6))[1:]] == [
        "q = (1/2 1/2 1/2)",  # G: all six neighbours
        "q = (0 1/2 1/2)",  # C: four
        "q = (0 0 1/2)",  # A: two
    ]
    assert len(_orders(CHROMIA, 2)) == 2
    assert len(_orders(CHROMIA, 1)) == 1


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31 - 1))
def test_orders_do_not_depend_on_the_order_of_the_sites_nor_on_the_cell(seed: int) -> None:
    rng = np.random.default_rng(seed)
    atoms = CHROMIA[rng.permutation(len(CHROMIA))]
    atoms.positions += rng.uniform(-3, 3, 3)
    found = _orders(atoms)
    assert [_neighbours(order) for order in found] == [_neighbours(order) for order in _orders(CHROMIA)]


def _neighbours(order: MagneticOrder) -> tuple[tuple[float, int], ...]:
    """Distances of magnetic pairs and whether they are parallel: what tells orders of one crystal apart."""
    from ase.neighborlist import neighbor_list

    atoms = Atoms(order.crystal.species, scaled_positions=order.crystal.frac_coords, cell=order.crystal.lattice, pbc=1)
    first, second, distances = neighbor_list("ijd", atoms, 4.0)
    pairs = [
        (round(float(d), 2), int(np.sign(order.moments[i] * order.moments[j])))
        for i, j, d in zip(first, second, distances, strict=True)
        if order.moments[i] and order.moments[j]
    ]
    return tuple(sorted(pairs))


def test_a_cell_with_too_many_magnetic_sites_starts_ferromagnetic() -> None:
    places = np.random.default_rng(3).uniform(0, 1, (MAX_MAGNETIC_SITES + 1, 3))
    many = Crystal(
        lattice=((9.0, 0, 0), (0, 9.5, 0), (0, 0, 10.0)),
        species=("Mn",) * len(places),
        frac_coords=tuple(map(tuple, places)),
    )
    assert [order.name for order in magnetic_orders(many, (), 8)] == [FERROMAGNETIC]


def _answers(energies: dict[str, float | CalculationFailed]) -> object:
    def run(number: int, order: MagneticOrder) -> Atoms:
        atoms = Atoms(order.crystal.species, scaled_positions=order.crystal.frac_coords, cell=order.crystal.lattice)
        answer = list(energies.values())[number]
        if isinstance(answer, CalculationFailed):
            raise answer
        atoms.calc = SinglePointCalculator(
            atoms, energy=answer * len(atoms), magmom=sum(order.moments), magmoms=np.array(order.moments)
        )
        return atoms

    return run


def _nothing(_: FailureKind) -> bool:
    return False


def test_the_lowest_energy_per_atom_counts_and_all_are_written_down(tmp_path: Path) -> None:
    orders = _orders(bulk("Cr", "bcc", a=2.88), 2)
    found = lowest_order(orders, _answers({"ferro": -1.0, "antiferro": -1.1}), _nothing, tmp_path)  # type: ignore[arg-type]
    assert found.order is orders[1]
    assert found.values["magnetic_order_energy"].value == pytest.approx(-0.1)
    assert found.values["magnetic_orders"].value == 2.0
    table = (tmp_path / found.artefacts["magnetic orders"]).read_text()
    assert "-1.000000" in table
    assert "-1.100000" in table


def test_an_order_that_fails_is_climbed_for_or_said(tmp_path: Path) -> None:
    orders = _orders(bulk("Cr", "bcc", a=2.88), 2)
    stuck = CalculationFailed("SCF not converged in 200 iterations", "scf")
    run = _answers({"ferro": -1.0, "antiferro": stuck})
    with pytest.raises(CalculationFailed, match="not converged"):
        lowest_order(orders, run, lambda kind: kind == "scf", tmp_path)  # type: ignore[arg-type]
    found = lowest_order(orders, run, _nothing, tmp_path)  # type: ignore[arg-type]
    assert found.order is orders[0]
    assert found.failure == "1 of 2 magnetic orders failed: SCF not converged in 200 iterations"
    assert found.kind == "scf"
    with pytest.raises(CalculationFailed, match="not converged"):
        lowest_order(orders, _answers({"ferro": stuck, "antiferro": stuck}), _nothing, tmp_path)  # type: ignore[arg-type]


def test_orders_are_a_choice_that_shows_in_method_key_and_cost(tmp_path: Path) -> None:
    request = EvaluationRequest(
        candidate_id="NiO", crystal=from_ase(bulk("NiO", "rocksalt", a=4.17)), properties=("band_gap",)
    )
    plain = create_evaluator("gpaw", tmp_path, {"protocol": "moderate"})
    three = create_evaluator("gpaw", tmp_path, {"protocol": "moderate", "magnetic_orders": 3})
    assert "lowest of up to 3 collinear magnetic orders" in three.method
    assert "magnetic" not in plain.method
    assert plain.key(request) != three.key(request)
    one, all_three = (predict(e, request, []) for e in (plain, three))
    assert one is not None
    assert all_three is not None
    assert all_three.core_s > 4 * one.core_s, "two of the three have twice the atoms"
    fast = create_evaluator("gpaw", tmp_path, {"magnetic_orders": 3})
    assert fast.key(request) == create_evaluator("gpaw", tmp_path).key(request), "the fast protocol takes one"


def test_pw_gets_a_species_and_a_u_for_each_sublattice(tmp_path: Path) -> None:
    from lodestone.tools.evaluate.espresso import _hubbard_input
    from lodestone.tools.evaluate.hubbard import MP_VALUES

    order = _orders(bulk("NiO", "rocksalt", a=4.17))[1]
    atoms = Atoms(order.crystal.species, scaled_positions=order.crystal.frac_coords, cell=order.crystal.lattice)
    atoms.set_initial_magnetic_moments(order.moments)
    card = _hubbard_input({"Ni": MP_VALUES["Ni"]}, atoms, {}, "7.2")
    assert card == ["HUBBARD (atomic)", "U Ni-3d 6.2", "U Ni1-3d 6.2"]
    system: dict[str, object] = {}
    assert _hubbard_input({"Ni": MP_VALUES["Ni"]}, atoms, system, "6.7") == []
    assert [name for name in system if name.startswith("hubbard_u")] == ["hubbard_u(1)", "hubbard_u(3)"]


@pytest.mark.parametrize(("name", "a", "spacing"), [("Cr", 2.88, 0.5), ("Fe", 2.83, 0.7)])
def test_iron_stays_ferromagnetic_and_chromium_does_not(tmp_path: Path, name: str, a: float, spacing: float) -> None:
    """PBE: bcc iron is ferromagnetic; chromium of two sublattices lies below the non-magnetic metal that a
    ferromagnetic start ends in (R. Hafner et al., Phys. Rev. B 65, 184432 (2002))."""
    if importlib.util.find_spec("gpaw") is None:
        pytest.skip("GPAW is not installed")
    settings = {"threads": 1, "protocol": "moderate", "cutoff_ev": 350.0, "kspacing": spacing, "magnetic_orders": 2}
    evaluator = create_evaluator("gpaw", tmp_path, settings)
    crystal = from_ase(bulk(name, "bcc", a=a, cubic=True))
    request = EvaluationRequest(candidate_id=name, crystal=crystal, properties=("magnetization",))
    key = evaluator.key(request)
    evaluator.submit([(key, request)])
    deadline = time.monotonic() + 500
    while evaluator.lookup(key) is JobStatus.RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    found = evaluator.harvest(key)
    assert found.failure is None
    values = {quantity: value.value for quantity, value in found.values.items()}
    assert values["magnetic_orders"] == 2.0
    assert len((tmp_path / found.artefacts["magnetic orders"]).read_text().splitlines()) == 3
    if name == "Fe":
        assert values["magnetic_order_energy"] == 0.0
        assert values["magnetization_per_atom"] == pytest.approx(2.2, abs=0.3)
    else:
        assert values["magnetic_order_energy"] < -0.005
        assert values["magnetization_per_atom"] == pytest.approx(0.0, abs=0.01)
        assert values["magnetic_moment_max"] > 0.5
