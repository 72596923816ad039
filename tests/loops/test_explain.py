"""Five lines with numbers about any crystal of a campaign, every number from its ledger."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.world import harness, parts
from benchmarks.world.harness import Setup
from lodestone.loops.cli import main
from lodestone.loops.explain import explain
from lodestone.loops.knowledge import Knowledge
from lodestone.loops.ledger import Ledger
from lodestone.loops.ledger.rows import EvaluationRow
from lodestone.tools.core.errors import LedgerError
from lodestone.tools.core.types import LadderStep


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explain")
    parts.install(folder / "site")
    setup = Setup(
        folder / "campaign", folder / "site", words="most stable compound of Cu and Au; 5 evaluations; 2 rounds"
    )
    assert harness.run_alone(setup) == 0
    return setup.directory


def test_the_best_crystal_is_explained_with_its_numbers(campaign: Path) -> None:
    ledger = Ledger.open(campaign, read_only=True)
    best = Knowledge.read(ledger).best()
    assert best is not None
    found = explain(campaign)
    row = next(r for r in ledger.evaluations() if r.request.candidate_id == best.id)
    assert (found.candidate_id, found.key, len(found.lines)) == (best.id, row.key, 5)
    assert f"evaluation {row.position} of at most 5" in found.lines[0]
    assert row.why in found.lines[2]
    assert f"measured {best.values['energy_above_hull'].value:.4g}" in found.lines[3]
    assert f"Plan of round {row.round} (builtin)" in found.lines[4]
    assert explain(campaign, row.key[:16]) == explain(campaign, best.id[:16]) == found
    assert explain(campaign, best.entry.formula).formula == best.entry.formula


def test_one_that_was_left_out_says_why(campaign: Path) -> None:
    lost = next(c for c in Ledger.open(campaign, read_only=True).candidates() if c.failure is not None)
    found = explain(campaign, lost.candidate.id)
    assert lost.failure is not None
    assert lost.failure["reason"] in found.lines[2]
    assert found.key == ""


def test_one_that_waits_says_so(campaign: Path) -> None:
    knowledge = Knowledge.read(Ledger.open(campaign, read_only=True))
    waiting = next(m for m in knowledge.pool if m.candidate.id not in knowledge.evaluated_ids)
    assert "Not " in explain(campaign, waiting.candidate.id).lines[2]


@pytest.mark.parametrize("which", ["zzz", "Unobtainium", "%", "'; --"])
def test_one_that_is_not_there_is_an_error_that_says_what_to_give(campaign: Path, which: str) -> None:
    with pytest.raises(LedgerError, match="No crystal"):
        explain(campaign, which)


def test_what_was_tried_after_failures_is_a_line_of_its_own(campaign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = explain(campaign).key
    steps = (
        LadderStep(change="density mixed at a fifth of the strength", because="scf: SCF not converged"),
        LadderStep(change="smearing twice as wide", because="scf: SCF not converged", physics="wider smearing"),
    )
    read = Ledger.evaluations

    def with_steps(ledger: Ledger, *arguments: object) -> list[EvaluationRow]:
        rows = list(read(ledger, *arguments))  # type: ignore[arg-type]
        for row in rows:
            if row.key == key and row.observation is not None:
                row.observation = row.observation.model_copy(update={"ladder": steps})
        return rows

    monkeypatch.setattr(Ledger, "evaluations", with_steps)
    assert explain(campaign).lines[5:] == (
        "Tried after failures: density mixed at a fifth of the strength (because of scf: SCF not converged); "
        "then smearing twice as wide (because of scf: SCF not converged; this changes the physics).",
    )


def test_the_command(campaign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(campaign)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    assert main(["explain", str(campaign), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["candidate_id"] == explain(campaign).candidate_id
