"""Composition features are Magpie's statistics: weighted by fraction, blind to the size of the formula unit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core.periodic_table import Element

from lodestone.surrogate.composition import (
    COMPOSITION_FEATURES,
    ELEMENT_PROPERTIES,
    LAST_ELEMENT,
    composition_features,
)
from lodestone.tools.core.errors import ToolError

SYMBOLS = [Element.from_Z(z).symbol for z in range(1, LAST_ELEMENT + 1)]
COLUMN = {name: i for i, name in enumerate(COMPOSITION_FEATURES)}


def test_every_element_up_to_lawrencium_has_finite_features_of_order_one() -> None:
    rows = composition_features([{s: 1.0} for s in SYMBOLS])
    assert rows.shape == (103, len(COMPOSITION_FEATURES))
    assert rows.dtype == torch.float64
    assert bool(rows.isfinite().all())
    for name in ELEMENT_PROPERTIES:
        column = rows[:, COLUMN[f"{name}_mean"]]
        assert abs(float(column.mean())) < 1e-9
        assert float(column.std(correction=0)) == pytest.approx(1.0)


def test_elemental_differences_follow_published_values() -> None:
    """Ratios of differences survive standardisation: Pauling's F 3.98, O 3.44, Na 0.93, Cl 3.16."""
    rows = composition_features([{s: 1.0} for s in ("F", "O", "Na", "Cl")])[:, COLUMN["electronegativity_mean"]]
    f, o, na, cl = rows.tolist()
    assert (cl - na) / (f - o) == pytest.approx((3.16 - 0.93) / (3.98 - 3.44))
    mass = composition_features([{s: 1.0} for s in ("H", "C", "O")])[:, COLUMN["atomic_mass_mean"]].tolist()
    assert (mass[2] - mass[0]) / (mass[1] - mass[0]) == pytest.approx((15.999 - 1.008) / (12.011 - 1.008), rel=1e-3)


@pytest.mark.parametrize(
    ("symbol", "expected"),
    [("H", 1), ("He", 2), ("Na", 1), ("Al", 3), ("Cl", 7), ("Fe", 8), ("Zn", 12), ("Ga", 3), ("La", 3), ("Hf", 4),
     ("Pb", 4), ("U", 6)],
)  # fmt: skip
def test_valence_electrons_are_those_of_the_textbook(symbol: str, expected: int) -> None:
    column = composition_features([{"H": 1.0}, {"He": 1.0}, {symbol: 1.0}])[:, COLUMN["valence_electrons_mean"]]
    unit = float(column[1] - column[0])
    assert 1 + float(column[2] - column[0]) / unit == pytest.approx(expected)


def test_statistics_of_a_binary_follow_from_its_elements() -> None:
    na, cl, mix = composition_features([{"Na": 2.0}, {"Cl": 1.0}, {"Na": 1.0, "Cl": 3.0}])
    for name in ELEMENT_PROPERTIES:
        a, b = float(na[COLUMN[f"{name}_mean"]]), float(cl[COLUMN[f"{name}_mean"]])
        assert float(mix[COLUMN[f"{name}_mean"]]) == pytest.approx(0.25 * a + 0.75 * b)
        assert float(mix[COLUMN[f"{name}_min"]]) == pytest.approx(min(a, b))
        assert float(mix[COLUMN[f"{name}_max"]]) == pytest.approx(max(a, b))
        assert float(mix[COLUMN[f"{name}_range"]]) == pytest.approx(abs(a - b))
        assert float(mix[COLUMN[f"{name}_std"]]) == pytest.approx(abs(a - b) * (0.25 * 0.75) ** 0.5)


@given(
    st.dictionaries(st.sampled_from(SYMBOLS), st.integers(1, 12), min_size=1, max_size=5),
    st.sampled_from([0.5, 2.0, 3.0, 7.0]),
)
def test_a_larger_formula_unit_or_another_order_changes_nothing(amounts: dict[str, int], factor: float) -> None:
    other = {s: factor * amounts[s] for s in reversed(list(amounts))}
    first, second = composition_features([{s: float(v) for s, v in amounts.items()}, other])
    assert torch.allclose(first, second, atol=1e-7)


@pytest.mark.parametrize("amounts", [{}, {"Na": 0.0}, {"Na": -1.0}, {"Na": float("nan")}, {"Xx": 1.0}, {"Rf": 1.0}])
def test_what_is_not_a_composition_is_refused(amounts: dict[str, float]) -> None:
    with pytest.raises(ToolError):
        composition_features([amounts])
