"""Gaps, density of states and moments, on levels whose answer is known by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointDFTCalculator, SinglePointKPoint
from hypothesis import given, settings
from hypothesis import strategies as st

from lodestone.tools.evaluate.spectrum import band_gaps, read_spectrum

METAL, INSULATOR = [[-1.0, 0.5], [-0.5, -0.1]], [[-2.0, 3.0], [-1.0, 2.5]]


def _fundamental(eigenvalues: object, level: float) -> float | None:
    gaps = band_gaps(eigenvalues, level)  # type: ignore[arg-type]
    return None if gaps is None else gaps.fundamental


def _run(eigenvalues: np.ndarray, weights: list[float], **results: object) -> Atoms:
    """An atom whose calculator holds levels (spins x k-points x bands), Fermi level 0."""
    atoms = Atoms("Si", cell=[3, 3, 3], pbc=True)
    atoms.calc = SinglePointDFTCalculator(atoms, efermi=0.0, **results)
    atoms.calc.kpts = [
        SinglePointKPoint(weight, s, k, eps_n=np.array(levels))
        for s, spin in enumerate(eigenvalues)
        for k, (weight, levels) in enumerate(zip(weights, spin, strict=True))
    ]
    for point in atoms.calc.kpts:
        point.weight = weights[point.k]
    return atoms


def test_the_direct_gap_is_between_levels_of_one_k_point() -> None:
    gaps = band_gaps([INSULATOR], 0.0)
    assert gaps is not None
    assert gaps.fundamental == pytest.approx(3.5)  # from -1.0 at the second point to 2.5 at the second
    assert gaps.direct == pytest.approx(3.5)
    gaps = band_gaps([[[-1.0, 3.0], [-2.0, 2.0]]], 0.0)
    assert gaps is not None
    assert gaps.fundamental == pytest.approx(3.0)
    assert gaps.direct == pytest.approx(4.0)
    assert band_gaps([METAL], 0.0) == (0.0, 0.0)


def test_gap_is_indirect_and_zero_where_a_band_crosses_the_fermi_level() -> None:
    assert _fundamental([INSULATOR], 0.0) == pytest.approx(3.5)
    assert _fundamental([METAL], 0.0) == 0.0
    assert _fundamental([[[-2.0], [-1.0]]], 0.0) is None, "no empty band"


def test_gap_of_two_spins_is_between_the_highest_and_lowest_of_both() -> None:
    assert _fundamental([INSULATOR, [[-3.0, 1.0], [-0.5, 2.0]]], 0.0) == pytest.approx(1.5)
    assert _fundamental([INSULATOR, METAL], 0.0) == 0.0, "a half metal conducts"
    overlapping = [[[-2.0, 3.0], [-1.0, 2.5]], [[-2.0, 3.0], [-1.0, 2.0]]]
    assert _fundamental(overlapping, 0.0) == pytest.approx(3.0)


@settings(max_examples=50, deadline=None)
@given(shift=st.floats(-50, 50), seed=st.integers(0, 100))
def test_gap_does_not_depend_on_the_zero_of_energy_or_the_order_of_bands(shift: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bands = np.concatenate([rng.uniform(-5, -1, (2, 4, 3)), rng.uniform(1, 5, (2, 4, 2))], axis=2)
    gap = _fundamental(bands, 0.0)
    assert gap is not None
    assert gap >= 2.0
    assert _fundamental(rng.permuted(bands, axis=2) + shift, shift) == pytest.approx(gap, abs=1e-9)


@pytest.mark.parametrize("weights", [[0.25, 0.75], [0.5, 1.5]])  # as GPAW and as pw.x give them
def test_a_density_of_states_holds_two_electrons_a_band(tmp_path: Path, weights: list[float]) -> None:
    levels = np.array([[[-3.0, -1.0, 2.0], [-2.5, -1.5, 3.0]]])
    values, files, failure = read_spectrum(_run(levels, weights), ("density_of_states", "band_gap"), tmp_path)
    assert failure == ""
    assert values["band_gap"].value == pytest.approx(3.0)
    table = np.genfromtxt(tmp_path / files["density of states"], delimiter=",", skip_header=1)
    energies, states = table.T
    step = energies[1] - energies[0]
    assert float(states.sum() * step) == pytest.approx(6.0, rel=0.01)
    assert float(states[energies < 0.5].sum() * step) == pytest.approx(4.0, rel=0.01)
    assert "(eV)" in (tmp_path / "dos.csv").read_text().splitlines()[0]


def test_moments_are_told_in_all_and_for_each_atom(tmp_path: Path) -> None:
    levels = np.array([[[-3.0, 2.0]], [[-2.0, 3.0]]])
    run = _run(levels, [1.0], magmom=2.0, magmoms=np.array([1.8]))
    values, files, _ = read_spectrum(run, (), tmp_path)
    assert values["magnetization"].value == 2.0
    assert values["magnetic_moment_max"].value == 1.8
    assert (tmp_path / files["magnetic moments"]).read_text().splitlines()[1] == "0,Si,1.8000"


def test_no_empty_band_is_said_in_words(tmp_path: Path) -> None:
    _, _, failure = read_spectrum(_run(np.array([[[-3.0], [-2.0]]]), [0.5, 0.5]), ("band_gap",), tmp_path)
    assert "no empty band" in failure
