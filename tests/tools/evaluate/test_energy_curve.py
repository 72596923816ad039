"""The bulk modulus against an independent fit, known functions, and its own invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lodestone.tools.evaluate.base import CalculationFailed
from lodestone.tools.evaluate.elastic import N_VOLUMES, birch_murnaghan, scan_volumes

EV_A3_PER_GPA = 1 / 160.21766208


def _birch(volumes: np.ndarray, v0: float, b0_gpa: float, b1: float, e0: float) -> np.ndarray:
    """Third-order Birch-Murnaghan energies in the textbook form."""
    b0 = b0_gpa * EV_A3_PER_GPA
    eta = (v0 / volumes) ** (2 / 3)
    return e0 + 9 * v0 * b0 / 16 * ((eta - 1) ** 3 * b1 + (eta - 1) ** 2 * (6 - 4 * eta))


@settings(max_examples=80, deadline=None)
@example(v0=10.0, b0=1.0, b1=4.0, e0=0.0, shift=0.0)
@example(v0=10.0, b0=1.0, b1=4.0, e0=0.0, shift=0.01953125)
@given(
    v0=st.floats(10, 2000),
    b0=st.floats(1, 500),
    b1=st.floats(3, 6),
    e0=st.floats(-500, 0),
    shift=st.floats(-0.03, 0.03),
)
def test_a_curve_of_the_textbook_form_gives_back_its_modulus(
    v0: float, b0: float, b1: float, e0: float, shift: float
) -> None:
    volumes = v0 * (1 + shift + np.linspace(-0.06, 0.06, N_VOLUMES))
    fit = birch_murnaghan(volumes, _birch(volumes, v0, b0, b1, e0))
    assert fit.bulk_modulus == pytest.approx(b0, rel=1e-3)
    assert fit.volume == pytest.approx(v0, rel=1e-4)
    assert fit.derivative == pytest.approx(b1, abs=0.02)
    assert fit.residual < 1e-6


def test_the_fit_agrees_with_pymatgen_on_a_noisy_curve() -> None:
    from pymatgen.analysis.eos import EOS

    volumes = 40.0 * np.linspace(0.94, 1.06, 7)
    energies = _birch(volumes, 40.5, 95.0, 4.2, -10.0) + np.random.default_rng(1).normal(0, 2e-4, 7)
    theirs = EOS("birch_murnaghan").fit(volumes, energies)
    ours = birch_murnaghan(volumes, energies)
    assert ours.bulk_modulus == pytest.approx(float(theirs.b0_GPa), rel=2e-3)
    assert ours.volume == pytest.approx(float(theirs.v0), rel=1e-4)
    assert ours.derivative == pytest.approx(float(theirs.b1), rel=0.01)
    assert 1e-5 < ours.residual < 1e-3


def test_the_deviations_of_the_fit_are_those_of_many_noisy_curves() -> None:
    volumes, rng = 40.0 * np.linspace(0.94, 1.06, 9), np.random.default_rng(2)
    clean = _birch(volumes, 40.3, 95.0, 4.5, -10.0)
    fits = [birch_murnaghan(volumes, clean + rng.normal(0, 1e-4, 9)) for _ in range(400)]
    for name in ("bulk_modulus", "volume", "derivative"):
        scatter = float(np.std([getattr(fit, name) for fit in fits]))
        told = float(np.sqrt(np.mean([getattr(fit, f"{name}_std") ** 2 for fit in fits])))
        assert told == pytest.approx(scatter, rel=0.15), name


def test_the_modulus_does_not_depend_on_the_size_of_the_cell_or_the_zero_of_energy() -> None:
    volumes = 40.0 * np.linspace(0.94, 1.06, 7)
    energies = _birch(volumes, 40.0, 150.0, 4.5, -10.0)
    one = birch_murnaghan(volumes, energies)
    four = birch_murnaghan(4 * volumes, 4 * energies + 1000.0)
    assert four.bulk_modulus == pytest.approx(one.bulk_modulus, rel=1e-6)
    assert four.derivative == pytest.approx(one.derivative, rel=1e-6)
    assert four.values(4)["equilibrium_volume_per_atom"].value == pytest.approx(one.volume)


def test_a_curve_without_a_minimum_is_a_failure_with_a_reason() -> None:
    volumes = np.linspace(30, 40, 7)
    with pytest.raises(CalculationFailed, match="no minimum"):
        birch_murnaghan(volumes, 5.0 - 0.1 * volumes)


@pytest.mark.parametrize("at", [0.92, 1.0, 1.09])
def test_a_scan_follows_a_minimum_off_centre_and_asks_for_each_volume_once(at: float) -> None:
    asked: list[float] = []

    def energy_at(ratio: float) -> float:
        asked.append(ratio)
        return float((ratio - at) ** 2)

    ratios, energies = scan_volumes(energy_at)
    assert len(ratios) == N_VOLUMES
    assert len(set(asked)) == len(asked)
    assert ratios[0] < at < ratios[-1]
    assert 2 <= int(np.argmin(energies)) <= N_VOLUMES - 3


def test_a_scan_gives_up_on_a_slope() -> None:
    with pytest.raises(CalculationFailed, match="no energy minimum"):
        scan_volumes(lambda ratio: -ratio)


def test_a_curve_that_is_no_equation_of_state_gives_a_reason_and_no_number() -> None:
    volumes = 40.0 * np.linspace(0.94, 1.06, 7)
    clean = _birch(volumes, 40.0, 95.0, 4.2, -10.0)
    scattered = clean + 0.3 * np.ptp(clean) * np.array([1, -1, 1, -1, 1, -1, 1])
    with pytest.raises(CalculationFailed, match=r"meV off the equation of state") as caught:
        birch_murnaghan(volumes, scattered)
    assert caught.value.kind == "output"
    for slope in (-2.0, 18.0):
        with pytest.raises(CalculationFailed, match=rf"derivative by pressure is {slope:.0f}") as caught:
            birch_murnaghan(volumes, _birch(volumes, 40.0, 95.0, slope, -10.0))
        assert caught.value.kind == "output"
    with pytest.raises(CalculationFailed, match="not a finite number"):
        birch_murnaghan(volumes, np.where(volumes == volumes[3], np.nan, clean))
    with pytest.raises(CalculationFailed, match="no minimum inside the sampled volumes") as caught:
        birch_murnaghan(volumes, _birch(volumes, 46.0, 95.0, 4.2, -10.0))
    assert caught.value.kind == "output"


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31 - 1), noise=st.floats(0, 2.0))
def test_no_noise_yields_a_derivative_that_no_solid_has(seed: int, noise: float) -> None:
    """Noise up to twice the range of the energies: the fit is refused, or what it says is a solid's."""
    volumes = 40.0 * np.linspace(0.94, 1.06, 7)
    clean = _birch(volumes, 40.0, 95.0, 4.2, -10.0)
    energies = clean + noise * np.ptp(clean) * np.random.default_rng(seed).standard_normal(7)
    try:
        fit = birch_murnaghan(volumes, energies)
    except CalculationFailed:
        return
    assert 1.0 <= fit.derivative <= 10.0
    assert fit.bulk_modulus > 0.0
    assert volumes[0] <= fit.volume <= volumes[-1]
    assert fit.residual <= 0.05 * np.ptp(energies)
