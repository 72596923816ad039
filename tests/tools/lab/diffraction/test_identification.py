"""Phase identification: what is in a powder, how much, and what cannot be said."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.identification_world import draw
from lodestone.tools.core.errors import ToolError
from lodestone.tools.core.structure import from_pymatgen, to_pymatgen
from lodestone.tools.core.synthesis import Identification, Pattern, Phase
from lodestone.tools.lab.diffraction.identify import identify
from lodestone.tools.lab.diffraction.measured import prepare
from lodestone.tools.lab.diffraction.profile import SINGLE_LINE
from lodestone.tools.lab.diffraction.refine import refine, start
from lodestone.tools.lab.diffraction.reflections import reflections
from lodestone.tools.lab.diffraction.simulate import Background, Measurement, Optics, Specimen, State, simulate
from lodestone.tools.lab.known_phases import library

OPTICS = Optics()
SMOOTH = Background((0.03, -0.01, 0.005))
USUAL = Measurement()
PHASES = {p.id: p for p in library()}
CANDIDATES = [
    PHASES[name]
    for name in (
        "Si-diamond",
        "Al2O3-corundum",
        "CeO2-fluorite",
        "TiO2-rutile",
        "TiO2-anatase",
        "SrTiO3-perovskite",
        "BaTiO3-P4mm",
        "ZnO-wurtzite",
        "MgO-rocksalt",
        "NaCl-rocksalt",
        "KCl-rocksalt",
        "CaCO3-calcite",
        "SiO2-quartz",
        "ZrO2-baddeleyite",
        "CuO-tenorite",
        "MgAl2O4-spinel",
        "CaTiO3-GdFeO3",
        "Zn-hcp",
    )
]


def measure(
    parts: dict[str, float],
    cell_change: float = 0.0,
    texture: float = 1.0,
    optics: Optics = OPTICS,
    background: Background = SMOOTH,
    measurement: Measurement = USUAL,
    seed: int = 0,
) -> Pattern:
    """A noisy pattern of phases by weight fraction."""
    states = [State(w, (cell_change,), texture_ratio=texture) for w in parts.values()]
    rng = np.random.default_rng(seed)
    return simulate(Specimen([PHASES[n] for n in parts], states), optics, background, measurement, rng)


def names(result: Identification) -> set[str]:
    """Ids of the phases that were found."""
    return {f.phase_id for f in result.phases}


def test_a_pure_phase_is_named_and_nothing_is_left_over() -> None:
    result = identify(measure({"Al2O3-corundum": 1.0}), CANDIDATES)
    assert names(result) == {"Al2O3-corundum"}
    assert result.phases[0].weight_fraction == pytest.approx(1.0)
    assert result.phases[0].probability > 0.9
    assert result.unknown_probability < 0.2
    assert result.unexplained_peaks_deg == ()
    assert result.r_wp < 0.1


def test_half_and_half_comes_back_as_half_and_half() -> None:
    result = identify(measure({"ZnO-wurtzite": 0.5, "Al2O3-corundum": 0.5}), CANDIDATES)
    assert names(result) == {"ZnO-wurtzite", "Al2O3-corundum"}
    for phase in result.phases:
        assert phase.weight_fraction == pytest.approx(0.5, abs=0.04)
        assert abs(phase.weight_fraction - 0.5) < 3.0 * phase.uncertainty
        assert phase.uncertainty < 0.05
    assert sum(p.weight_fraction for p in result.phases) == pytest.approx(1.0)


@pytest.mark.parametrize("change", [-0.01, 0.01])
def test_a_cell_one_per_cent_off_is_found_and_measured(change: float) -> None:
    result = identify(measure({"SrTiO3-perovskite": 1.0}, change, optics=Optics(zero_deg=0.04)), CANDIDATES)
    assert names(result) == {"SrTiO3-perovskite"}
    assert result.phases[0].cell_change == pytest.approx(change, abs=1.5e-3)


def test_axes_may_change_apart() -> None:
    sample = Specimen([PHASES["CaTiO3-GdFeO3"]], [State(1.0, (0.01, -0.009, 0.004))])
    pattern = simulate(sample, rng=np.random.default_rng(4))
    result = identify(pattern, CANDIDATES)
    assert names(result) == {"CaTiO3-GdFeO3"}
    assert result.phases[0].cell_change == pytest.approx(0.005 / 3, abs=1.5e-3)


def test_a_five_per_cent_impurity_is_found() -> None:
    result = identify(measure({"BaTiO3-P4mm": 0.95, "TiO2-rutile": 0.05}), CANDIDATES)
    assert names(result) == {"BaTiO3-P4mm", "TiO2-rutile"}
    assert result.phases[-1].weight_fraction == pytest.approx(0.05, abs=0.02)


def test_a_phase_that_is_no_candidate_is_reported_as_unknown() -> None:
    others = [p for p in CANDIDATES if p.id != "CaCO3-calcite"]
    alone = identify(measure({"CaCO3-calcite": 1.0}), others)
    assert alone.unknown_probability > 0.9
    beside = identify(measure({"CaCO3-calcite": 0.4, "MgO-rocksalt": 0.6}), others)
    assert "MgO-rocksalt" in names(beside)
    assert beside.unknown_probability > 0.9
    strongest = 29.4  # calcite 104
    assert min(abs(a - strongest) for a in beside.unexplained_peaks_deg) < 0.15


def test_the_order_of_the_candidates_does_not_matter() -> None:
    pattern = measure({"TiO2-rutile": 0.5, "TiO2-anatase": 0.5})
    assert identify(pattern, CANDIDATES) == identify(pattern, CANDIDATES[::-1])


def test_the_choice_of_cell_does_not_matter() -> None:
    pattern = measure({"MgO-rocksalt": 0.6, "SiO2-quartz": 0.4})
    other = []
    for phase in CANDIDATES:
        structure = to_pymatgen(phase.crystal)
        structure = structure * (1, 1, 2) if len(structure) < 20 else structure.get_primitive_structure()
        other.append(phase.model_copy(update={"crystal": from_pymatgen(structure)}))
    mine, theirs = identify(pattern, CANDIDATES), identify(pattern, other)
    assert names(mine) == names(theirs) == {"MgO-rocksalt", "SiO2-quartz"}
    for a, b in zip(mine.phases, theirs.phases, strict=True):
        assert a.weight_fraction == pytest.approx(b.weight_fraction, abs=1e-3)


@pytest.mark.parametrize("factor", [0.001, 37.0])
def test_the_unit_of_intensity_does_not_matter(factor: float) -> None:
    pattern = measure({"ZnO-wurtzite": 0.7, "CeO2-fluorite": 0.3})
    scaled = pattern.model_copy(update={"counts": tuple(c * factor for c in pattern.counts)})
    mine, theirs = identify(pattern, CANDIDATES), identify(scaled, CANDIDATES)
    assert names(mine) == names(theirs) == {"ZnO-wurtzite", "CeO2-fluorite"}
    for a, b in zip(mine.phases, theirs.phases, strict=True):
        assert a.weight_fraction == pytest.approx(b.weight_fraction, abs=0.01)


def test_elements_of_the_precursors_narrow_the_candidates() -> None:
    pattern = measure({"MgO-rocksalt": 1.0})
    assert names(identify(pattern, CANDIDATES, elements={"Mg", "O", "Al"})) == {"MgO-rocksalt"}
    assert "MgO-rocksalt" not in names(identify(pattern, CANDIDATES, elements={"Na", "Cl"}))


def test_twins_among_the_candidates_share_the_probability() -> None:
    twin = PHASES["ZnO-wurtzite"].model_copy(update={"id": "ZnO-again"})
    result = identify(measure({"ZnO-wurtzite": 1.0}), [*CANDIDATES, twin])
    assert len(result.phases) == 1
    assert result.phases[0].formula == "ZnO"
    assert 0.3 < result.phases[0].probability <= 0.5


def test_another_wavelength_and_a_doublet_are_read_as_well() -> None:
    for wavelength, pair in ((0.7093, False), (1.7890, True), (1.5405929, True)):
        optics = Optics(wavelength_a=wavelength, k_alpha_2=pair)
        pattern = measure({"CeO2-fluorite": 0.5, "Al2O3-corundum": 0.5}, 0.004, optics=optics)
        result = identify(pattern, CANDIDATES)
        assert names(result) == {"CeO2-fluorite", "Al2O3-corundum"}, wavelength
        assert result.unknown_probability < 0.5


def test_a_strongly_textured_plate_is_still_named() -> None:
    sample = Specimen([PHASES["Zn-hcp"]], [State(texture_ratio=0.5)])
    assert names(identify(simulate(sample, rng=np.random.default_rng(1)), CANDIDATES)) == {"Zn-hcp"}


def test_a_short_range_and_saturated_peaks_still_name_the_phases() -> None:
    short = Measurement(start_deg=25.0, stop_deg=50.0)
    assert names(identify(measure({"ZnO-wurtzite": 1.0}, measurement=short), CANDIDATES)) == {"ZnO-wurtzite"}
    cut = Measurement(saturation=4000.0)
    result = identify(measure({"SrTiO3-perovskite": 0.7, "TiO2-rutile": 0.3}, measurement=cut), CANDIDATES)
    assert names(result) == {"SrTiO3-perovskite", "TiO2-rutile"}


def test_candidates_without_a_peak_in_the_range_are_passed_over() -> None:
    narrow = Measurement(start_deg=26.0, stop_deg=30.0)
    result = identify(measure({"Si-diamond": 1.0}, measurement=narrow), [PHASES["Si-diamond"], PHASES["MgO-rocksalt"]])
    assert names(result) == {"Si-diamond"}


def test_no_candidates_leave_all_peaks_unexplained() -> None:
    result = identify(measure({"Si-diamond": 1.0}), [])
    assert result.phases == ()
    assert result.unknown_probability > 0.9
    assert any(abs(a - 28.44) < 0.05 for a in result.unexplained_peaks_deg)


def test_background_alone_holds_no_phase_and_no_unknown() -> None:
    rng = np.random.default_rng(5)
    angles = np.arange(10.0, 90.0, 0.02)
    for counts in (np.full(len(angles), 100.0), rng.poisson(100.0 - 0.5 * angles).astype(float)):
        result = identify(Pattern(two_theta_deg=tuple(angles), counts=tuple(counts)), CANDIDATES)
        assert result.phases == ()
        assert result.unknown_probability < 0.3
        assert result.amorphous_fraction is None


def test_a_single_peak_that_belongs_to_nothing_is_an_unknown() -> None:
    rng = np.random.default_rng(6)
    angles = np.arange(10.0, 90.0, 0.02)
    counts = rng.poisson(50.0 + 3000.0 * np.exp(-(((angles - 15.3) / 0.08) ** 2))).astype(float)
    result = identify(Pattern(two_theta_deg=tuple(angles), counts=tuple(counts)), CANDIDATES)
    assert result.unknown_probability > 0.8
    assert any(abs(a - 15.3) < 0.05 for a in result.unexplained_peaks_deg)


def test_dark_short_and_wrong_input_are_refused_with_a_remedy() -> None:
    angles = tuple(10.0 + 0.02 * i for i in range(1000))
    with pytest.raises(ToolError, match="no counts"):
        identify(Pattern(two_theta_deg=angles, counts=(0.0,) * 1000), CANDIDATES)
    with pytest.raises(ToolError, match="20 points"):
        identify(Pattern(two_theta_deg=angles[:20], counts=(5.0,) * 20), CANDIDATES)
    with pytest.raises(ToolError, match="same id"):
        identify(Pattern(two_theta_deg=angles, counts=(5.0,) * 1000), [CANDIDATES[0], CANDIDATES[0]])
    with pytest.raises(ValueError, match="finite"):
        Pattern(two_theta_deg=angles, counts=(float("nan"),) * 1000)


def test_a_pattern_of_fifty_thousand_points_is_read() -> None:
    fine = Measurement(start_deg=10.0, stop_deg=90.0, step_deg=0.00161, peak_counts=1000.0)
    result = identify(measure({"TiO2-anatase": 1.0}, measurement=fine), CANDIDATES)
    assert names(result) == {"TiO2-anatase"}


def test_glass_is_told_by_its_halo() -> None:
    halo = Background((0.02,), amorphous_fraction=0.3, hump_deg=24.0, hump_width_deg=9.0)
    result = identify(measure({"Al2O3-corundum": 1.0}, background=halo), CANDIDATES)
    assert names(result) == {"Al2O3-corundum"}
    assert result.amorphous_fraction == pytest.approx(0.3, abs=0.08)
    assert identify(measure({"Al2O3-corundum": 1.0}), CANDIDATES).amorphous_fraction is None


def test_steps_of_the_fit_follow_its_derivatives() -> None:
    phase = PHASES["TiO2-rutile"]
    data = prepare(measure({"TiO2-rutile": 1.0}, 0.003))
    found = reflections(phase.crystal, 0.95)
    width = np.log([0.9 * data.width_deg, 0.4 * data.width_deg])
    splines = np.full(data.basis.shape[1], 300.0)
    trial = start(0, found, np.zeros(2), 1e5, width)
    fit = refine(data, [trial], np.zeros(2), splines, width, SINGLE_LINE, steps=30)
    edges = (1.0 + fit.trials[0].metric) ** -0.5 - 1.0
    assert edges == pytest.approx([0.003, 0.003], abs=5e-4)
    assert np.mean((data.counts - fit.model) ** 2 / data.variance) < 1.3


def test_mixtures_of_the_whole_library_are_read_by_their_elements() -> None:
    rng = np.random.default_rng(2026)
    phases: list[Phase] = list(library())
    right = 0
    for k in range(8):
        sample = draw(phases, 1 + k % 2, rng)
        result = identify(sample.pattern, phases, sample.elements)
        right += names(result) == {p.id for p in sample.truth}
    assert right >= 7
