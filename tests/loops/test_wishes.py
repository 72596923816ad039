"""A campaign evaluates only what was asked for, and measures it against everything that it found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.world import harness, parts
from benchmarks.world.harness import Setup
from lodestone.loops.knowledge import Knowledge
from lodestone.loops.ledger import Ledger
from lodestone.tools.core.types import GoalSpec


def finished(tmp_path: Path, words: str) -> Knowledge:
    parts.install(tmp_path / "site")
    setup = Setup(tmp_path / "campaign", tmp_path / "site", words=words, metals=("Au", "Cu", "Ni"))
    assert harness.run_alone(setup) == 0, setup.directory.with_suffix(".log").read_text()
    return Knowledge.read(Ledger.open(setup.directory, read_only=True))


def test_only_the_wished_crystal_systems_are_paid_for(tmp_path: Path) -> None:
    knowledge = finished(tmp_path, "most stable compound of Cu and Au, tetragonal; 8 evaluations; 3 rounds")
    done = [m for m in knowledge.measured if m.values]
    assert done
    assert {m.member.recognition.crystal_system for m in done} == {"tetragonal"}
    others = [m for m in knowledge.pool if m.recognition.crystal_system != "tetragonal"]
    assert others, "the hull also knows crystals that were not asked for"
    assert all(knowledge.is_asked_for(m.member) for m in knowledge.ranked(5))


def test_a_range_is_aimed_at(tmp_path: Path) -> None:
    words = (
        "density between 10 and 12 g/cm3, twice as important as a low formation energy, Cu-Au; 8 evaluations; 3 rounds"
    )
    goal = parts.goal(words).goal
    assert [o.direction for o in goal.objectives] == ["range", "minimise"]
    knowledge = finished(tmp_path, words)
    assert isinstance(knowledge.goal, GoalSpec)
    ranks = [knowledge.rank(m.values) for m in knowledge.ranked(8)]
    assert ranks == sorted(ranks)
    assert np.isfinite(ranks).all()


def test_two_groups_have_to_be_in(tmp_path: Path) -> None:
    goal = parts.goal("compounds of group 1 and group 17 elements").goal
    assert len(goal.space.any_of) == 2
    assert goal.space.n_elements[0] == 2


@pytest.mark.parametrize("words", ["NaCl, make the best one in the laboratory", "制备最好的1个NaCl，在实验室"])
def test_a_laboratory_that_is_not_connected_is_refused_before_money_is_spent(words: str, tmp_path: Path) -> None:
    from lodestone.loops.settings import load_settings
    from lodestone.loops.wiring import build_parts, evaluator_by_name
    from lodestone.tools.core.errors import ConfigError

    settings = load_settings(None, {}, {})
    goal = parts.goal(words).goal
    with pytest.raises(ConfigError, match="laboratory"):
        build_parts(goal, settings, evaluator_by_name("sevennet", settings, tmp_path))
