"""Several aims: the front of best compromises."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.world import harness, parts
from benchmarks.world.harness import Setup
from lodestone.agent.goal import parse_goal
from lodestone.loops.compromise import front, losses
from lodestone.loops.knowledge import Knowledge
from lodestone.loops.ledger import Ledger
from lodestone.tools.core.types import Quantity

GOAL = parse_goal("Pareto front of high bulk modulus and low density, Ti-Al-N").goal


def crystal(modulus: float, density: float | None) -> Any:
    values = {"bulk_modulus": Quantity(value=modulus, unit="GPa")}
    if density is not None:
        values["density"] = Quantity(value=density, unit="g/cm^3")
    return SimpleNamespace(values=values)


def test_the_front_holds_what_no_other_beats() -> None:
    stiff, light, middle, beaten, twin = (
        crystal(300, 5), crystal(100, 2), crystal(200, 3), crystal(150, 4), crystal(300, 5),
    )  # fmt: skip
    assert front(GOAL, [stiff, light, middle, beaten, twin, crystal(500, None)]) == [stiff, light, middle, twin]
    assert front(GOAL, []) == []


@given(st.lists(st.tuples(st.floats(0, 500), st.floats(0.1, 20)), max_size=30))
def test_every_crystal_off_the_front_is_beaten_by_one_on_it(pairs: list[tuple[float, float]]) -> None:
    measured = [crystal(*pair) for pair in pairs]
    kept = front(GOAL, measured)
    assert bool(kept) == bool(measured)
    for m in measured:
        mine = losses(GOAL, m.values)
        beaten = any(
            all(a <= b for a, b in zip(losses(GOAL, k.values), mine, strict=True)) and losses(GOAL, k.values) != mine
            for k in kept
        )
        assert beaten != any(m is k for k in kept)


def test_a_campaign_for_a_front_counts_its_front_as_found(tmp_path: Path) -> None:
    words = "Pareto front of high density and low formation energy, Cu-Au; 8 evaluations; 3 rounds"
    parts.install(tmp_path / "site")
    setup = Setup(tmp_path / "campaign", tmp_path / "site", words=words, metals=("Al", "Cu", "Au"))
    assert harness.run_alone(setup) == 0, setup.directory.with_suffix(".log").read_text()
    knowledge = Knowledge.read(Ledger.open(setup.directory, read_only=True))
    found = knowledge.hits()
    assert found == front(knowledge.goal, knowledge.fitting())
    assert 1 <= len(found) <= len(knowledge.fitting())
