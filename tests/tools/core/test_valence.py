"""Counting electrons: neutral salts, metals, and which formulas can have a gap."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lodestone.tools.core.valence import charge_imbalance, has_odd_electrons, oxidation_states


@pytest.mark.parametrize(
    "amounts",
    [{"Na": 1, "Cl": 1}, {"Ba": 1, "Ti": 1, "O": 3}, {"Li": 3, "P": 1, "S": 4}, {"Al": 2, "O": 3}, {"Ga": 1, "As": 1}],
)
def test_salts_and_semiconductors_are_neutral(amounts: dict[str, float]) -> None:
    assert charge_imbalance(amounts) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize(
    ("amounts", "left"),
    [
        ({"Na": 2, "Cl": 1}, 1 / 3),  # one electron too many
        ({"Ca": 1, "F": 1}, 1 / 2),
        ({"Ca": 1, "Mg": 1}, 2.0),  # both only give
    ],
)
def test_what_is_left_over_is_counted_an_atom(amounts: dict[str, float], left: float) -> None:
    assert charge_imbalance(amounts) == pytest.approx(left, abs=1e-5)


@given(
    st.dictionaries(st.sampled_from(["Li", "Fe", "Ti", "O", "S", "Cl", "N"]), st.integers(1, 6), min_size=1),
    st.integers(2, 9),
)
def test_only_ratios_matter(amounts: dict[str, float], factor: int) -> None:
    many = {s: factor * a for s, a in reversed(amounts.items())}
    assert charge_imbalance(many) == pytest.approx(charge_imbalance(amounts), abs=1e-5)
    assert has_odd_electrons(many) == has_odd_electrons(amounts)


def test_parity_of_electrons() -> None:
    assert has_odd_electrons({"Na": 1.0, "Cl": 1.0}) == 0.0  # 28: an insulator
    assert has_odd_electrons({"Al": 1.0}) == 1.0  # 13: a metal
    assert has_odd_electrons({"Si": 2.0}) == 0.0
    assert math.isnan(has_odd_electrons({"Li": 0.5, "Co": 1.0, "O": 2.0}))


def test_elements_take_their_common_states() -> None:
    assert oxidation_states("Na") == (1,)
    assert {2, 3} <= set(oxidation_states("Fe"))
    assert 0 not in oxidation_states("Fe")
