"""What a table's columns are is found from its rows, whatever their order and units."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lodestone.surrogate.tables import Space, Survey
from lodestone.tools.core.errors import ToolError

MIXTURE = [(1.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.2, 0.3, 0.5), (0.0, 0.0, 1.0)]


def test_shares_of_one_total_are_found_and_get_a_second_encoding() -> None:
    space = Survey(["Fe", "Ni", "Co"]).add(MIXTURE).space()
    assert space.mixtures == (("Fe", "Ni", "Co"),)
    assert space.encodings == ("plain", "root")


def test_a_trace_of_a_component_is_far_from_none_in_the_root_encoding() -> None:
    space = Survey(["a", "b"]).add([(0.0, 1.0), (0.01, 0.99), (0.5, 0.5), (1.0, 0.0)]).space()
    plain, root = (space.encode([(0.0, 1.0), (0.01, 0.99)], e) for e in ("plain", "root"))
    assert torch.dist(root[0], root[1]) > 5 * torch.dist(plain[0], plain[1])


def test_decades_are_found_and_equal_ratios_are_equally_far() -> None:
    space = Survey(["p"]).add([(10.0**k,) for k in range(-4, 3)]).space()
    steps = space.encode([(1e-4,), (1e-3,), (1e-2,)]).flatten().diff()
    assert steps[0] == pytest.approx(float(steps[1]))


def test_two_texts_are_one_apart() -> None:
    space = Survey(["salt"]).add([("NaCl",), ("KCl",), ("LiCl",)]).space()
    a, b = space.encode([("NaCl",), ("LiCl",)])
    assert torch.dist(a, b) == pytest.approx(1.0)


def test_a_missing_number_takes_the_median_and_says_so() -> None:
    space = Survey(["T"]).add([(300.0,), (400.0,), (900.0,), (None,)]).space()
    row = space.encode([(None,)])[0]
    assert row.tolist() == pytest.approx([(400 - 300) / 600, 1.0])
    assert any("missing" in note for note in space.notes)


@pytest.mark.parametrize(
    ("names", "rows", "word"),
    [
        (["a", "a"], [(1.0, 2.0)], "two columns"),
        (["a"], [], "no rows"),
        (["a", "b"], [(1.0,)], "cells"),
        (["a"], [(math.nan,)], "nan"),
        (["a"], [(1.0,), ("x",)], "numbers and text"),
        (["a"], [(f"name {i}",) for i in range(300)], "different texts"),
    ],
)
def test_what_is_no_table_is_refused_by_name(names: list[str], rows: list[tuple[object, ...]], word: str) -> None:
    with pytest.raises(ToolError) as caught:
        Survey(names).add(rows).space()  # type: ignore[arg-type]
    assert word in str(caught.value).lower()


def test_a_space_survives_json() -> None:
    space = Survey(["a", "b", "salt"]).add([(0.3, 0.7, "x"), (0.6, 0.4, "y"), (1.0, 0.0, "x")]).space()
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(st.floats(-1e6, -1.0), st.sampled_from("xyz")), min_size=2, max_size=12),
    factor=st.floats(1e-3, 1e3),
    shift=st.floats(-1e3, 0.0),
)
def test_numbers_are_scaled_to_the_unit_interval_whatever_their_unit(
    rows: list[tuple[float, str]], factor: float, shift: float
) -> None:
    def encoded(table: list[tuple[float, str]]) -> torch.Tensor:
        return Survey(["a", "b"]).add(table).space().encode(table)

    here = encoded(rows)
    assert bool(here.isfinite().all())
    assert float(here.min()) >= -1e-9
    assert float(here.max()) <= 1 + 1e-9
    spread = max(a for a, _ in rows) - min(a for a, _ in rows)
    if spread > 1e-3 * max(abs(a) for a, _ in rows) and factor * spread > 1e-3 * abs(shift):
        assert torch.allclose(here, encoded([(factor * a + shift, b) for a, b in rows]), atol=1e-6)
