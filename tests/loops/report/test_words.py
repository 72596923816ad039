"""What the report says was asked for."""

from __future__ import annotations

import pytest

from lodestone.agent.goal import parse_goal
from lodestone.loops.report.words import objective_text, space_text


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ("Na-Cl", ["with Cl, Na", "2 elements"]),
        (
            "lead-free halide perovskites ABX3",
            ["stoichiometry ABX3", "one of Br, Cl, F, I", "without Pb", "perovskite"],
        ),
        ("cubic Ni-Al, space group 221", ["crystal system: cubic", "space group: 221"]),
        ("layered, noncentrosymmetric chalcogenides of tin", ["bonded units: layers", "inversion centre: no"]),
        ("new, synthesizable Ca-N", ["known crystals do not count", "expected to be made"]),
    ],
)
def test_chemistry_and_structure_are_said(request_: str, says: list[str]) -> None:
    text = space_text(parse_goal(request_).goal)
    for words in says:
        assert words in text


def test_a_range_is_said_with_both_ends_and_its_weight() -> None:
    goal = parse_goal("bulk modulus between 150 and 200 GPa in Ti-Al-N, twice as important as a low density").goal
    assert objective_text(goal.objectives[0]) == "bring bulk modulus between 150.0 and 200.0 GPa (weight 2)"
    assert objective_text(goal.objectives[1]) == "minimise density"
