"""A model's reasons keep only numbers that it was shown."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lodestone.agent.tracing import STRUCK, Numbers, strike_out

SEEN = '{"evaluations_left": 14, "near_hull": 23, "calibration": 0.8642, "energy_above_hull": 0.01234, "best": -3.668}'


@pytest.mark.parametrize(
    "words",
    [
        "14 evaluations are left",
        "23 of the crystals lie near the hull",
        "0.86 of the values held",
        "86 % of the values held",
        "86.4% held",
        "the best lies 0.012 eV/atom above the hull",
        "the best lies 12 meV/atom above the hull, 12.3 to be exact",
        "an energy of -3.67 or −3.668 eV/atom",
        "two of 3 generators, 1 round",
        "SrTiO3 and Li3PS4 in Fm-3m, candidate 1a2b3c4d",
    ],
)
def test_numbers_that_were_shown_stay(words: str) -> None:
    assert strike_out(words, Numbers([SEEN])) == (words, 0)


@pytest.mark.parametrize("number", ["0.05", "15", "92 %", "-4.1", "1e9", "0.87", "13.4", "1000000", "0,05"])
def test_numbers_that_were_not_shown_go(number: str) -> None:
    words, struck = strike_out(f"because {number} was measured", Numbers([SEEN]))
    assert struck == 1
    assert words == f"because {STRUCK} was measured"


def test_what_a_tool_answered_counts() -> None:
    numbers = Numbers([SEEN])
    assert not numbers.has("0.0421")
    numbers.add('[{"formula": "Li3PS4", "value": 0.0421}]')
    assert numbers.has("0.0421")
    assert numbers.has("42")


@given(st.floats(-1e6, 1e6, allow_nan=False), st.integers(0, 6))
def test_any_number_is_recognised_at_any_precision(value: float, digits: int) -> None:
    assert Numbers([repr(value)]).has(f"{value:.{digits}f}")


@given(st.text(max_size=200))
def test_any_text_is_survived(words: str) -> None:
    out, struck = strike_out(words, Numbers(["1", "inf", "1e999"]))
    assert struck == out.count(STRUCK) - words.count(STRUCK)
    assert math.isfinite(len(out))
