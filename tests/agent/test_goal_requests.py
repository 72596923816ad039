"""What ordinary requests mean: phrases with the goal that each must give, and phrases that must be refused."""

from __future__ import annotations

from typing import Any

import pytest

from lodestone.agent.describe import describe
from lodestone.agent.goal import STABLE, GoalDefaults, parse_goal
from lodestone.agent.overrides import apply_overrides
from lodestone.tools.core.elements import ELEMENT_CLASSES
from lodestone.tools.core.errors import GoalError

EXAMPLE = "find a stable, non-toxic Li–P–S solid electrolyte with a gap above 2 eV; 60 DFT runs, 3 days"

LOW_HULL = ("energy_above_hull", "minimise", None)

CHEMISTRY: list[tuple[str, dict[str, Any]]] = [
    ("Li-P-S", {"required": "Li P S", "allowed": "Li P S", "n": (3, 3)}),
    ("Li–P–S", {"required": "Li P S", "allowed": "Li P S"}),
    ("Na Cl system", {"required": "Na Cl", "allowed": "Na Cl"}),
    ("In the Sr-Ti-O system, please", {"required": "Sr Ti O", "allowed": "Sr Ti O"}),
    ("lithium-phosphorus-sulfur", {"required": "Li P S", "allowed": "Li P S"}),
    ("Li2S-P2S5 glasses", {"required": "Li P S", "allowed": "Li P S", "formula": None}),
    ("NaCl", {"formula": "NaCl", "n": (2, 2)}),
    ("SrTiO₃", {"formula": "SrTiO3", "required": "Sr Ti O"}),
    ("Ca(OH)2", {"required": "Ca O H", "n": (3, 3)}),
    ("Li7La3Zr2O12", {"formula": "Li7La3Zr2O12", "max_atoms": 24}),
    ("2D MoS2", {"formula": "MoS2", "unused": (), "wall_hours": 24.0}),
    ("4H-SiC", {"formula": "SiC", "unused": ("4H",), "wall_hours": 24.0}),
    ("I want Ga-In-N. As before. No idea", {"required": "Ga In N", "allowed": "Ga In N"}),
    ("He said Be careful: At 20 runs, Zn-S", {"required": "Zn S", "allowed": "Zn S"}),
    ("Ga, In and N", {"required": "Ga In N"}),
    ("compounds containing In, As and I", {"required": "As I In"}),
    ("silicon", {"required": "Si", "allowed": "Si", "n": (1, 1)}),
    ("lithium sulfide", {"required": "Li S", "allowed": "Li S"}),
    ("titanium nitride, Fe-free", {"required": "N Ti", "allowed": "N Ti", "excluded": "Fe"}),
    ("ternary oxides containing Ti", {"required": "O Ti", "n": (3, 3)}),
    ("oxides of Ti", {"required": "O Ti"}),
    ("Al-Ni and 300 K", {"required": "Al Ni", "unused": ("300 K",)}),
    ("cobalt-free Li-Ni-O", {"required": "Li Ni O", "excluded": "Co"}),
    ("lead- and cadmium-free Zn-S", {"excluded": "Cd Pb"}),
    ("Sn-S without lead, cadmium or Hg", {"excluded": "Cd Hg Pb"}),
    ("No lead, no cadmium: Sn-S", {"required": "S Sn", "excluded": "Cd Pb"}),
    ("only Li, P and S", {"required": "", "allowed": "Li P S"}),
    ("binary compounds in the Sr-Ti-O system", {"required": "", "allowed": "O Sr Ti", "n": (2, 2)}),
    ("only Li, P, S, O, up to 3 elements", {"allowed": "Li O P S", "n": (1, 3)}),
    ("only Li, P, S, O, binary or ternary", {"n": (2, 3)}),
    ("any elements, between 2 and 4 elements", {"n": (2, 4)}),
    ("like NaCl but Mg-O", {"required": "Mg O", "unused": ("like NaCl",)}),
    ("zinc blende Ga-As", {"required": "As Ga", "unused": ()}),
    ("transition metal nitrides", {"required": "N"}),
]


@pytest.mark.parametrize(("text", "expected"), CHEMISTRY, ids=[text for text, _ in CHEMISTRY])
def test_chemistry_of_a_request_is_read_as_a_chemist_would(text: str, expected: dict[str, Any]) -> None:
    understanding = parse_goal(text)
    space = understanding.goal.space
    for name in ("required", "allowed", "excluded"):
        if name in expected:
            assert set(getattr(space, name)) == set(expected[name].split())
    if "formula" in expected:
        assert space.formula == expected["formula"]
    if "n" in expected:
        assert space.n_elements == expected["n"]
    if "max_atoms" in expected:
        assert space.max_atoms == expected["max_atoms"]
    if "unused" in expected:
        assert understanding.unused == expected["unused"]
    if "wall_hours" in expected:
        assert understanding.goal.budget.wall_hours == expected["wall_hours"]


PROPERTIES: list[tuple[str, list[tuple[str, str, float | None]], dict[str, tuple[float | None, float | None]]]] = [
    ("gap above 2 eV", [LOW_HULL], {"band_gap": (2.0, None)}),
    ("a band gap of at least 2 eV", [LOW_HULL], {"band_gap": (2.0, None)}),
    ("band gap between 1 and 2 eV", [LOW_HULL], {"band_gap": (1.0, 2.0)}),
    ("band gap 1.5-2.5 eV", [LOW_HULL], {"band_gap": (1.5, 2.5)}),
    ("bandgap from 500 meV to 2 eV", [LOW_HULL], {"band_gap": (0.5, 2.0)}),
    ("1 < gap < 3 eV", [LOW_HULL], {"band_gap": (1.0, 3.0)}),
    ("gap above 1 and below 3 eV", [LOW_HULL], {"band_gap": (1.0, 3.0)}),
    ("a gap of 2 ± 0.5 eV", [LOW_HULL], {"band_gap": (1.5, 2.5)}),
    ("more than 2 eV band gap", [LOW_HULL], {"band_gap": (2.0, None)}),
    ("a 2 eV band gap", [("band_gap", "target", 2.0)], {}),
    ("wide-gap", [("band_gap", "maximise", None)], {}),
    ("density below 3 g/cm3", [LOW_HULL], {"density": (None, 3.0)}),
    ("density less than 3000 kg/m³", [LOW_HULL], {"density": (None, 3.0)}),
    ("density of 4 g/cc", [("density", "target", 4.0)], {}),
    ("bulk modulus > 200 GPa", [LOW_HULL], {"bulk_modulus": (200.0, None)}),
    ("bulk modulus ≥ 2 Mbar", [LOW_HULL], {"bulk_modulus": (200.0, None)}),
    ("volume per atom under 12 Å³/atom", [LOW_HULL], {"volume_per_atom": (None, 12.0)}),
    ("within 25 meV/atom of the hull", [LOW_HULL], {"energy_above_hull": (None, 0.025)}),
    ("at most 50 meV per atom above the convex hull", [LOW_HULL], {"energy_above_hull": (None, 0.05)}),
    ("energy above hull < 0.05 eV/atom", [LOW_HULL], {"energy_above_hull": (None, 0.05)}),
    ("formation energy below -1 eV/atom", [LOW_HULL], {"formation_energy": (None, -1.0)}),
    ("maximise the bulk modulus", [("bulk_modulus", "maximise", None)], {}),
    ("highest possible bulk modulus", [("bulk_modulus", "maximise", None)], {}),
    ("gap as large as possible", [("band_gap", "maximise", None)], {}),
    ("lowest formation energy", [("formation_energy", "minimise", None)], {}),
    ("maximise stability", [LOW_HULL], {}),
    ("stable", [LOW_HULL], {"energy_above_hull": (None, STABLE)}),
    ("stable, within 5 meV/atom of the hull", [LOW_HULL], {"energy_above_hull": (None, 0.005)}),
    ("ground state", [LOW_HULL], {}),
    ("most stable, gap > 1 eV", [LOW_HULL], {"band_gap": (1.0, None)}),
    (
        "minimise density, maximise bulk modulus",
        [("density", "minimise", None), ("bulk_modulus", "maximise", None)],
        {},
    ),
]


@pytest.mark.parametrize(("words", "objectives", "bounds"), PROPERTIES, ids=[row[0] for row in PROPERTIES])
def test_property_targets_are_read_in_any_usual_wording_and_unit(
    words: str,
    objectives: list[tuple[str, str, float | None]],
    bounds: dict[str, tuple[float | None, float | None]],
) -> None:
    for text in (f"Mg-O, {words}", f"{words} in Mg-O; 20 runs"):
        goal = parse_goal(text).goal
        assert [(o.property, o.direction, o.target) for o in goal.objectives] == objectives
        assert {c.property: (c.lower, c.upper) for c in goal.constraints} == bounds
        assert goal.space.required == ("Mg", "O")


BUDGETS: list[tuple[str, dict[str, Any]]] = [
    ("60 DFT runs", {"evaluations": 60, "evaluator": "dft"}),
    ("20 evaluations", {"evaluations": 20}),
    ("at most 10 calculations", {"evaluations": 10}),
    ("budget of 12", {"evaluations": 12}),
    ("1,000 runs", {"evaluations": 1000}),
    ("3 days", {"wall_hours": 72.0}),
    ("within 2 hours", {"wall_hours": 2.0}),
    ("90 minutes", {"wall_hours": 1.5}),
    ("1 day and 6 hours", {"wall_hours": 30.0}),
    ("half an hour", {"wall_hours": 0.5}),
    ("5 rounds", {"rounds": 5}),
    ("stop after 5 rounds without improvement", {"patience": 5, "rounds": 1000}),
    ("stop after 3 hits", {"hits": 3}),
    ("seed 7", {"seed": 7}),
    ("with GPAW", {"evaluator": "gpaw"}),
    ("using quantum espresso", {"evaluator": "espresso"}),
    ("with ABINIT", {"evaluator": "abinit"}),
    ("calculated by VASP", {"evaluator": "vasp"}),
    ("at most 12 atoms", {"max_atoms": 12}),
    ("fewer than 12 atoms per cell", {"max_atoms": 11}),
    ("12-atom cells", {"max_atoms": 12}),
]


@pytest.mark.parametrize(("words", "expected"), BUDGETS, ids=[row[0] for row in BUDGETS])
def test_budget_cell_size_and_evaluator_are_read(words: str, expected: dict[str, Any]) -> None:
    understanding = parse_goal(f"stable Mg-O crystals, {words}")
    goal = understanding.goal
    found = {
        **goal.budget.model_dump(),
        **goal.stop.model_dump(),
        "seed": goal.seed,
        "evaluator": goal.evaluator,
        "max_atoms": goal.space.max_atoms,
    }
    assert {name: found[name] for name in expected} == expected
    assert understanding.unused == ()


def test_number_of_crystals_wanted_is_not_taken_for_a_budget() -> None:
    goal = parse_goal("find three stable Mg-O crystals within 20 evaluations").goal
    assert (goal.stop.hits, goal.budget.evaluations) == (3, 20)
    capped = parse_goal("Mg-O, screening up to 100 candidates")
    assert capped.goal.stop.hits is None
    assert "100" in " ".join(capped.unused)


def test_the_example_sentence_is_understood_word_for_word() -> None:
    understanding = parse_goal(EXAMPLE)
    goal = understanding.goal
    assert goal.space.required == goal.space.allowed == ("Li", "P", "S")
    assert set(ELEMENT_CLASSES["toxic"]) == set(goal.space.excluded)
    assert (goal.budget.evaluations, goal.budget.wall_hours, goal.evaluator) == (60, 72.0, "dft")
    assert {c.property: c.lower for c in goal.constraints}["band_gap"] == 2.0
    assert goal.objectives[0].property == "energy_above_hull"
    assert understanding.unused == ("solid electrolyte",)
    assert any("conduction" in note for note in understanding.notes)
    assert any("25 meV/atom" in line for line in understanding.assumptions)


def test_every_default_is_said() -> None:
    lines = " | ".join(parse_goal("Na-Cl").assumptions)
    for words in (
        "20 evaluations",
        "24 hours",
        "1000 rounds",
        "4 rounds without",
        "20 atoms",
        "evaluator: auto",
        "seed: 0",
    ):
        assert f"{words}" in lines
    defaults = GoalDefaults(evaluations=7, wall_hours=0.5, seed=3)
    assert "budget: 7 evaluations (default)" in parse_goal("Na-Cl", defaults).assumptions
    assert not any("(default)" in a and "evaluations" in a for a in parse_goal("Na-Cl, 5 runs").assumptions)


def test_non_toxic_and_rare_earth_free_leave_those_elements_out_of_an_open_search() -> None:
    allowed = set(parse_goal("non-toxic, rare-earth-free sulfides containing Cu").goal.space.allowed)
    assert {"Cu", "S"} <= allowed
    assert not allowed & {*ELEMENT_CLASSES["toxic"], *ELEMENT_CLASSES["rare earths"]}


@pytest.mark.parametrize(
    ("text", "unused"),
    [
        ("please find me a shiny Na-Cl crystal", ("shiny",)),
        ("Na-Cl for my grandmother's birthday", ("grandmother's birthday",)),
        ("hexagonal, blue Na-Cl and round things", ("blue", "round things")),
        ("Li–ion Na-Cl", ("Li–ion",)),
        ("at least 50 % Na-Cl", ("50",)),
    ],
)
def test_unused_words_are_exact(text: str, unused: tuple[str, ...]) -> None:
    assert parse_goal(text).unused == unused


REFUSED: list[tuple[str, str]] = [
    ("", "empty"),
    ("   \n", "empty"),
    ("Na-Cl " * 2000, "characters"),
    ("find something stable", "No element"),
    ("stable nacl", "NaCl"),
    ("FIND STABLE CRYSTALS OF NACL", "capitals"),
    ("containing Xx", "Xx"),
    ("stable Xx oxides", "Xx"),
    ("Li-Xx-S", "Xx"),
    ("Li3Xx4", "Xx"),
    ("Lithum oxides", "lithium"),
    ("oxides without cadmum", "cadmium"),
    ("Na-Cl, gap above 3 eV and gap below 2 eV", "contradict"),
    ("Na-Cl, band gap between 3 and 2 eV", "contradict"),
    ("Na-Cl, gap above 50 eV", "physical range"),
    ("Na-Cl, density of -2 g/cm3", "physical range"),
    ("Na-Cl, gap above 2 GPa", "eV"),
    ("Na-Cl, gap above 2 K", "eV"),
    ("Na-Cl, highest gap and lowest gap", "Two different aims"),
    ("Na-Cl, optimise density", "which way"),
    ("Li-P-S without sulfur", "both asked for and excluded"),
    ("non-toxic Ga-As", "both asked for and excluded"),
    ("chlorides in the Li-P-S system", "Cl"),
    ("NaCl and MgO", "More than one composition"),
    ("Li-P-S and Li-P-O", "More than one chemical system"),
    ("quaternary Li-P-S", "elements"),
    ("Na-Cl, 0 evaluations", "at least 1"),
    ("Na-Cl with -5 runs", "at least 1"),
    ("Na-Cl, 2.5 runs", "whole number"),
    ("Na-Cl, 99999999 runs", "evaluations"),
    ("Na-Cl, 0 hours", "time"),
    ("Na-Cl, 10000 days", "wall_hours"),
    ("Na-Cl, 20 runs and 30 runs", "Two budgets"),
    ("Na-Cl with 300 atoms", "200"),
    ("Li150Cl151", "200"),
    ("Na-Cl, gap above nan eV", "nan"),
    ("Na-Cl, gap above 1e999 eV", "finite"),
    ("Na-Cl, 10^3 runs", "power"),
    ("Li6.5La3Zr2O12", "part of an atom"),
    ("Na-Cl with GPAW and espresso", "Two evaluators"),
    ("Zn-S without NaCl", "only elements"),
    ("Li7La3Zr2O12 with at most 10 atoms", "24 atoms"),
]


@pytest.mark.parametrize(("text", "says"), REFUSED, ids=[f"{text[:40]!r}" for text, _ in REFUSED])
def test_what_cannot_be_meant_is_refused_with_a_remedy(text: str, says: str) -> None:
    with pytest.raises(GoalError) as caught:
        parse_goal(text)
    assert says in str(caught.value)
    assert caught.value.remedy


def test_overrides_replace_text_and_defaults_and_say_so() -> None:
    before = parse_goal("Na-Cl, 60 runs")
    after = apply_overrides(before, evaluations=5, wall_hours=0.25, seed=9, evaluator="sevennet")
    assert (after.goal.budget.evaluations, after.goal.budget.wall_hours) == (5, 0.25)
    assert (after.goal.seed, after.goal.evaluator) == (9, "sevennet")
    assert "budget: 5 evaluations (given with the command)" in after.assumptions
    assert not any(line.startswith(("time: ", "seed: ")) and "(default)" in line for line in after.assumptions)
    assert apply_overrides(before) == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"evaluations": 0},
        {"evaluations": -3},
        {"wall_hours": float("nan")},
        {"rounds": 0},
        {"seed": -1},
        {"evaluator": " "},
    ],
    ids=str,
)
def test_overrides_that_cannot_be_used_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(GoalError):
        apply_overrides(parse_goal("Na-Cl"), **wrong)


def test_description_names_aim_chemistry_budget_and_what_was_not_used() -> None:
    rows = describe(parse_goal(EXAMPLE))
    table = dict(rows)
    assert "minimise energy above hull" in table["aim"]
    assert table["elements"] == "Li-P-S and no others"
    assert "60 evaluations, 72 hours" in table["budget"]
    assert ("not used", "'solid electrolyte'") in rows
    assert ("condition", "band gap at least 2 eV") in rows
