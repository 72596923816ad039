"""A cheaper evaluator looks first: what it says sharpens the choice, decides nothing, and has an account of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.world import harness, parts
from benchmarks.world.harness import Setup
from lodestone.loops.explain import explain
from lodestone.loops.head import HeadKeeper
from lodestone.loops.history import build_record
from lodestone.loops.judgement import Judgement, weighed
from lodestone.loops.knowledge import Knowledge
from lodestone.loops.ledger import Ledger
from lodestone.loops.ledger.verify import verify
from lodestone.loops.opinions import Opinions, cost_of
from lodestone.loops.summary import summarise
from lodestone.loops.wiring import choose_scout, evaluator_by_name
from lodestone.surrogate.fidelity import LEAST_PAIRS
from lodestone.tools.core.errors import ConfigError
from lodestone.tools.core.plans import FidelityFacts

WORDS = "the most stable compound of Cu and Au; 20 evaluations; 18 rounds"
METALS = ("Al", "Au", "Cu", "Ni")
SCOUTED = {"evaluators.second_opinion": "emt-scout", "campaign.batch": 2}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scouted")
    parts.install(folder / "site")
    setup = Setup(folder / "campaign", folder / "site", words=WORDS, metals=METALS, settings=SCOUTED)
    assert harness.run_alone(setup) == 0, setup.directory.with_suffix(".log").read_text()
    return setup.directory


def test_opinions_come_first_and_count_on_an_account_of_their_own(finished: Path) -> None:
    ledger = Ledger.open(finished, read_only=True)
    assert not verify(ledger).problems
    plans = [plan for plan, _ in ledger.plans()]
    assert plans[0].fidelity == "potential"
    assert {p.fidelity for p in plans} == {"potential", "dft"}
    assert "second opinions first" in plans[0].reason
    accounts = ledger.accounts()
    knowledge = Knowledge.read(ledger)
    assert accounts["evaluations"].spent == len(knowledge.evaluations) + len(knowledge.labels) <= 20
    assert accounts["evaluations:potential"].spent == len(knowledge.opinions) > 0
    assert accounts["evaluations:potential"].cap == 4 * 20
    assert accounts["evaluations:dft"].spent == len(knowledge.evaluations) + len(knowledge.labels)


def test_opinions_find_nothing_and_hide_nothing(finished: Path) -> None:
    ledger = Ledger.open(finished, read_only=True)
    knowledge = Knowledge.read(ledger)
    opinions = Opinions(knowledge)
    evaluated = {m.id for m in knowledge.measured}
    assert opinions.energies
    assert evaluated & set(opinions.energies), "the evaluator looked at some that the scout had seen"
    assert all(e.purpose != "opinion" for e in knowledge.evaluations)
    assert {e.candidate_id for e in knowledge.evaluations} == knowledge.evaluated_ids
    record = build_record(finished)
    assert record.evaluations_spent == len(knowledge.evaluations) + len(knowledge.labels)
    assert {c.candidate_id for c in record.evaluated} == evaluated
    assert sum(e.evaluated for e in record.pool) == len(evaluated)
    assert any("second opinions" in note for note in record.notes)
    assert summarise(finished).failed == sum(bool(e.failure) for e in knowledge.evaluations)


def test_the_error_record_of_the_scout_is_its_known_error(finished: Path) -> None:
    """Its errors lie within 10 meV/atom, with those of the elements within 20; EMT against itself has none."""
    knowledge = Knowledge.read(Ledger.open(finished, read_only=True))
    own, potential = Opinions(knowledge).disagreement()
    assert own is not None
    assert potential is not None
    assert 0.0 < own < 0.02
    assert potential < 1e-6


def test_what_is_expected_of_an_opinion_is_the_opinion_where_there_is_one(finished: Path) -> None:
    knowledge = Knowledge.read(Ledger.open(finished, read_only=True))
    opinions = Opinions(knowledge)
    model = opinions.learn({})
    assert model is not None
    expected = opinions.expected(model, {})
    assert set(expected) == {m.candidate.id for m in knowledge.pool}
    assert all(expected[i] == energy for i, energy in opinions.energies.items() if i in expected)


def test_the_planner_is_told_what_asking_is_worth_once_enough_crystals_had_both(finished: Path) -> None:
    """The potential of this world gives the deciding energies themselves: opinions about them are worth nothing."""
    ledger = Ledger.open(finished, read_only=True)
    knowledge = Knowledge.read(ledger)
    assert Opinions(knowledge).pairs >= LEAST_PAIRS
    assert any("a core-hour" in plan.reason for plan, _ in ledger.plans())
    judgement = Judgement(knowledge, HeadKeeper(finished / "models", False), ledger)
    gains = judgement.gains()
    assert gains is not None
    assert gains.unit == "eV/atom"
    assert gains.scout == 0.0
    assert gains.judge >= 0.0
    scout = FidelityFacts(fidelity="potential", evaluator="emt-scout", core_s=1.0, left=9, unasked=3)
    judge = FidelityFacts(fidelity="dft", evaluator="emt-judge", core_s=50.0, left=4)
    told = weighed((scout, judge), knowledge, HeadKeeper(finished / "models", False), ledger)
    assert told[0].gain_per_core_h == 0.0
    assert told[1].gain_per_core_h == pytest.approx(3600 * gains.judge / 50.0, rel=0.01)
    spent = scout.model_copy(update={"left": 0})
    assert weighed((spent, judge), knowledge, HeadKeeper(finished / "models", False), ledger) == (spent, judge)


def test_explain_tells_the_deciding_evaluation(finished: Path) -> None:
    found = explain(finished)
    assert "evaluation" in found.lines[0]
    assert any("second opinion" in line for line in found.lines)


def test_costs_come_from_the_record_to_one_digit(finished: Path) -> None:
    knowledge = Knowledge.read(Ledger.open(finished, read_only=True))
    settings = parts.settings()
    scout = evaluator_by_name("sevennet", settings, finished)
    assert cost_of(knowledge, scout, ("nobody",)) == 10.0
    assert cost_of(knowledge, scout, ("opinion",)) in {float(n) for n in range(10)} | {10.0}


def test_a_campaign_without_a_dft_code_has_no_scout(tmp_path: Path) -> None:
    settings = parts.settings()
    judge = evaluator_by_name("gpaw", settings, tmp_path)
    potential = evaluator_by_name("sevennet", settings, tmp_path)
    assert choose_scout(potential, settings, tmp_path) is None
    found = choose_scout(judge, settings, tmp_path)
    assert found is not None
    assert found.name == "sevennet"
    assert choose_scout(judge, parts.settings(**{"evaluators.second_opinion": "none"}), tmp_path) is None
    with pytest.raises(ConfigError, match="does not rank below"):
        choose_scout(potential, parts.settings(**{"evaluators.second_opinion": "sevennet"}), tmp_path)
    with pytest.raises(ConfigError, match="Unknown evaluator"):
        choose_scout(judge, parts.settings(**{"evaluators.second_opinion": "sevenet"}), tmp_path)
