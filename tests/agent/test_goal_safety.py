"""What must not be passed over in silence: words that matter are asked about, contradictions refused, chat is not."""

from __future__ import annotations

import tomllib
from importlib.resources import files

import pytest

from lodestone.agent.goal import parse_goal
from lodestone.agent.words.lexicon import LANGUAGES
from lodestone.tools.core.errors import GoalError
from lodestone.tools.core.properties import UNAVAILABLE

ASKED = [
    ("Na-Cl with 5 widgets", "5 widgets"),
    ("ternary oxides at 300 K", "300 K"),
    ("ternary oxides, forty-two somethings", "forty-two somethings"),
    ("binary oxides with their density in mind", "density"),
    ("ternary oxides, not cubic", "not cubic"),
    ("oxides of Ti, never mind nickelless ones", "never"),
    ("CASTEP for Zn-S", "CASTEP"),
    ("Zn-S at the HSE06 level", "HSE06"),
    ("kesterite sulfides", "kesterite"),
    ("K2NiF4-type oxides", "K2NiF4-type"),
    ("Zn-S, weight", "weight"),
    ("Ti-O, oxyfoobarides", "oxyfoobarides"),
    ("banish mercury; ternary oxides", "banish"),
    ("Mg-O, screening up to 100 candidates", "100 candidates"),
    ("Zn-S, highest wobbliness", "highest"),
    ("二元氧化物，温度300 K", "300 K"),
    ("用CASTEP算Zn-S", "CASTEP"),
    ("锌黄锡矿结构的硫化物", "锌黄锡矿"),
    ("三元氧化物，非立方", "非立方"),
    ("тройные оксиды при 300 К", "300 К"),
    ("Zn-S в CASTEP", "CASTEP"),
    ("сульфиды со структурой кестерита", "кестерита"),
    ("тройные оксиды, но не кубические", "но не"),
]


@pytest.mark.parametrize(("text", "words"), ASKED, ids=[text for text, _ in ASKED])
def test_words_that_matter_and_changed_nothing_are_asked_about(text: str, words: str) -> None:
    questions = [q for q in parse_goal(text).questions if words in q.text]
    assert questions
    assert all(q.assumption == "it is left out" for q in questions)


CHAT = [
    "Dear colleagues, could you please find me a shiny Na-Cl crystal? Many thanks in advance, you are wonderful!",
    "I would like to see a stable Li-P-S crystal for my thesis",
    "Na-Cl for my grandmother's birthday",
    "老师您好，麻烦帮忙看看Na-Cl体系，非常感谢！",
    "Уважаемые коллеги, помогите, пожалуйста, с системой Na-Cl; заранее благодарю",
    "Li-P-S solid electrolyte like NaCl",
]


@pytest.mark.parametrize("text", CHAT)
def test_small_talk_is_not_asked_about(text: str) -> None:
    assert parse_goal(text).questions == ()


CONTRADICTIONS = [
    ("Ga-In-N, gap near 2 eV, sevennet", "band gap"),
    ("带隙大于3 eV的In-Ga-O，只用sevennet", "band gap"),
    ("Ga-N, gap above 4 eV and gap below 1 eV", "contradict"),
    ("带隙既要大于4 eV又要小于1 eV的二元氧化物", "contradict"),
    ("cubic TiO2, space group 194", "cubic"),
    ("noncentrosymmetric TiO2, space group 136", "centre of inversion"),
    ("binary compounds containing Li, Fe, P and O", "elements"),
    ("тройные нитриды с щелью больше 2 ГПа", "band gap"),
    ("Na-Cl with 40 to 20 evaluations", "empty"),
    ("Na-Cl, maximise the gap (weight -1)", "weight"),
    ("Na-Cl, weight 3", "weight"),
]


@pytest.mark.parametrize(("text", "says"), CONTRADICTIONS, ids=[text for text, _ in CONTRADICTIONS])
def test_contradictions_are_refused_by_name(text: str, says: str) -> None:
    with pytest.raises(GoalError) as caught:
        parse_goal(text)
    assert says in str(caught.value)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", UNAVAILABLE)
def test_every_property_without_a_source_is_refused_in_each_language(name: str, language: str) -> None:
    data = files("lodestone.agent.words") / "data" / f"{language}.toml"
    phrases = tomllib.loads(data.read_text(encoding="utf-8"))["unavailable"][name].split(" | ")
    for phrase in phrases:
        with pytest.raises(GoalError, match="nothing here yields"):
            parse_goal(f"Na-Cl, {phrase.replace('*', '')} > 3")


@pytest.mark.parametrize(
    ("text", "excluded"),
    [
        ("ternary oxides, lead and cadmium excluded", {"Pb", "Cd"}),
        ("oxides of Ti, Pb excluded", {"Pb"}),
        ("Ignore mercury and thallium: ternary bromides", {"Hg", "Tl"}),
        ("halide perovskites free from lead, tin allowed", {"Pb"}),
        ("三元溴化物，铅、汞除外", {"Pb", "Hg"}),
        ("ternary bromides that don't contain lead", {"Pb"}),
        ("no heavy metals except lead; ternary bromides", {"Cd", "Hg", "Tl"}),
        ("三元溴化物，最好不含铅", {"Pb"}),
        ("不含锰、钴、镍的锂氧化物", {"Mn", "Co", "Ni"}),
        ("K oxides, no other alkali metals", {"Li", "Na", "Rb", "Cs"}),
        ("除了锂以外不含其他碱金属的氧化物", {"Na", "K", "Rb", "Cs"}),
        ("оксиды калия без других щелочных металлов", {"Li", "Na", "Rb", "Cs"}),
        ("除铅以外的三元溴化物", {"Pb"}),
        ("三元溴化物，铅和汞一律不要", {"Pb", "Hg"}),
        ("тройные бромиды, свинца быть не должно", {"Pb"}),
        ("тройные бромиды; ртуть и таллий исключить", {"Hg", "Tl"}),
    ],
)
def test_an_exclusion_may_stand_behind_its_list(text: str, excluded: set[str]) -> None:
    understanding = parse_goal(text)
    assert set(understanding.goal.space.excluded) == excluded
    assert understanding.questions == ()


@pytest.mark.parametrize(
    ("words", "evaluations"),
    [
        ("forty-five runs", 45),
        ("a hundred and twenty runs", 120),
        ("two dozen runs", 24),
        ("三十五次评估", 35),
        ("一百零五次评估", 105),
        ("сорок пять оценок", 45),
        ("сто двадцать оценок", 120),
    ],
)
def test_numbers_in_words_are_put_together(words: str, evaluations: int) -> None:
    assert parse_goal(f"Na-Cl, {words}").goal.budget.evaluations == evaluations


@pytest.mark.parametrize(
    ("words", "hours"),
    [("a day and a half", 36.0), ("two and a half days", 60.0), ("两天半", 60.0), ("полтора дня", 36.0)],
)
def test_half_units_of_time_are_read(words: str, hours: float) -> None:
    assert parse_goal(f"Na-Cl, {words}").goal.budget.wall_hours == hours
