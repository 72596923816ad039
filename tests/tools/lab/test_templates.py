"""Whatever a planner says fills bounded fields of an approved template, and nothing else."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.lab_scene import APPROVED, PEOPLE, PERSON, STRANGER
from lodestone.tools.core.errors import LabError
from lodestone.tools.core.synthesis import Recipe
from lodestone.tools.lab.approval import approve
from lodestone.tools.lab.templates import BUILT_IN, OXIDE_IN_AIR, Approved, TemplateBook

BOOK = TemplateBook(APPROVED, PEOPLE)
FIELDS: dict[str, Any] = {
    "template": "oxide_in_air",
    "target": "BaTiO3",
    "powders": [{"formula": "BaCO3", "mass_g": 1.0}, {"formula": "TiO2", "mass_g": 0.4}],
    "temperature_k": 1373.15,
    "hold_h": 8.0,
    "ramp_k_per_min": 5.0,
    "atmosphere": "air",
    "mill_min": 20.0,
}


def test_fields_within_the_template_make_a_recipe() -> None:
    recipe = BOOK.fill(FIELDS)
    assert isinstance(recipe, Recipe)
    assert BOOK.why_not(recipe, "alumina") == ()
    assert "graphite" in BOOK.why_not(recipe, "graphite")[0]


@pytest.mark.parametrize(
    "said",
    [
        {"temperature_k": 1100.0 - 273.15},
        {"temperature_k": math.nan},
        {"temperature_c": 1100.0},
        {"temperature_k": "1373.15; open_door"},
        {"hold_h": 480.0},
        {"ramp_k_per_min": 300.0},
        {"atmosphere": "hydrogen_argon"},
        {"atmosphere": "chlorine"},
        {"template": "anything_goes"},
        {"regrinds": 40},
        {"powders": [{"formula": "BaS", "mass_g": 1.0}]},
        {"powders": [{"formula": "BaCO3", "mass_g": 400.0}]},
        {"powders": [{"formula": "BaCO3", "mass_g": 4.0}] * 3},
        {"powders": [{"formula": "flour", "mass_g": 1.0}]},
        {"powders": []},
        {"skip_interlocks": True},
        {"door": "open"},
    ],
)
def test_anything_else_is_refused_with_a_reason(said: dict[str, Any]) -> None:
    reasons = BOOK.fill(FIELDS | said)
    assert isinstance(reasons, tuple)
    assert reasons
    assert all(reasons)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*FIELDS, "regrinds", "exec", "temperature_c"]),
        st.one_of(st.none(), st.booleans(), st.floats(), st.integers(-5, 10**9), st.text(max_size=20)),
        max_size=4,
    )
)
def test_no_words_of_a_planner_leave_the_bounds(said: dict[str, Any]) -> None:
    recipe = BOOK.fill(FIELDS | said)
    if isinstance(recipe, Recipe):
        assert OXIDE_IN_AIR.temperature_k[0] <= recipe.temperature_k <= OXIDE_IN_AIR.temperature_k[1]
        assert OXIDE_IN_AIR.hold_h[0] <= recipe.hold_h <= OXIDE_IN_AIR.hold_h[1]
        assert recipe.atmosphere in OXIDE_IN_AIR.atmospheres
        assert recipe.regrinds <= OXIDE_IN_AIR.regrinds


def test_a_template_that_was_changed_after_its_approval_does_not_count() -> None:
    approval = approve(PERSON, "Ada", OXIDE_IN_AIR.subject())
    hotter = OXIDE_IN_AIR.model_copy(update={"temperature_k": (873.15, 1773.15)})
    with pytest.raises(LabError, match="not approved"):
        TemplateBook((Approved(template=hotter, approval=approval),), PEOPLE)


def test_a_template_that_a_stranger_signed_does_not_count() -> None:
    forged = approve(STRANGER, "Ada", OXIDE_IN_AIR.subject())
    with pytest.raises(LabError, match="signature"):
        TemplateBook((Approved(template=OXIDE_IN_AIR, approval=forged),), PEOPLE)


def test_built_in_templates_keep_their_digest_over_a_round_trip() -> None:
    for template in BUILT_IN:
        assert type(template).model_validate_json(template.model_dump_json()).digest() == template.digest()
