"""From a campaign that computed crystals to a laboratory's goal."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.world import harness, parts
from benchmarks.world.harness import Setup
from lodestone.loops.cli import main
from lodestone.loops.history import build_record
from lodestone.loops.knowledge import Knowledge
from lodestone.loops.ledger import Ledger
from lodestone.loops.report.ranking import ranked
from lodestone.loops.settings import load_settings
from lodestone.loops.synthesis.predicted import goal_from, prediction_words
from lodestone.tools.core.errors import GoalError, LedgerError

SETTINGS = load_settings(None, {}, {})


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("make")
    parts.install(folder / "site")
    setup = Setup(
        folder / "campaign", folder / "site", words="most stable compound of Cu and Au; 5 evaluations; 2 rounds"
    )
    assert harness.run_alone(setup) == 0
    return setup.directory


def test_the_best_crystal_is_what_is_made(campaign: Path) -> None:
    best = ranked(build_record(campaign))[0]
    goal = goal_from(campaign, "", SETTINGS)
    assert goal.predicted is not None
    assert (goal.target, goal.predicted.phase.crystal) == (best.formula, best.crystal)
    assert goal.predicted.phase.formation_energy_ev_per_atom == best.values["formation_energy"].value
    assert goal.predicted.above_hull_ev_per_atom == best.values["energy_above_hull"].value
    assert goal.predicted.method == best.method
    assert "number 1 of" in prediction_words(goal.predicted)
    assert (goal.experiments, goal.purity) == (SETTINGS.laboratory.experiments, 0.95)
    assert goal_from(campaign, best.candidate_id[:16], SETTINGS, 0.8) == goal.model_copy(update={"purity": 0.8})


def test_only_what_was_evaluated_is_made(campaign: Path) -> None:
    knowledge = Knowledge.read(Ledger.open(campaign, read_only=True))
    waiting = next(m for m in knowledge.pool if m.candidate.id not in knowledge.evaluated_ids)
    with pytest.raises(GoalError, match="not evaluated"):
        goal_from(campaign, waiting.candidate.id, SETTINGS)
    with pytest.raises(LedgerError, match="No crystal is 'SrTiO3'"):
        goal_from(campaign, "SrTiO3", SETTINGS)


def test_what_no_powder_makes_is_refused_before_anything_moves(
    campaign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "made"
    assert main(["make", str(campaign), "--yes", "--dir", str(folder)]) == GoalError.exit_code
    assert "cannot make" in capsys.readouterr().err
    assert not (folder / "jobs").exists()
    assert main(["make", str(tmp_path), "--yes", "--dir", str(folder)]) == LedgerError.exit_code
    assert main(["make", str(campaign), "--dir", str(folder)]) == GoalError.exit_code
    assert "--yes" in capsys.readouterr().err
    for share in ("0", "120%", "half"):
        with pytest.raises(SystemExit):
            main(["make", str(campaign), "--purity", share])
