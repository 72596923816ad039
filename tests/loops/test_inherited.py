"""A new campaign learns from what a former one measured, without it afterwards, and only where values go together."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.world import harness, parts
from benchmarks.world.harness import Setup
from lodestone.loops.history import build_record
from lodestone.loops.inherited import inherit
from lodestone.loops.knowledge import Knowledge
from lodestone.loops.ledger import Ledger
from lodestone.tools.core.errors import ConfigError

WORDS = "the most stable compound of Cu and Au; 6 evaluations; 2 rounds"


def test_measurements_of_a_former_campaign_are_taken_over_whole(tmp_path: Path) -> None:
    parts.install(tmp_path / "site")
    first = Setup(tmp_path / "first", tmp_path / "site", words=WORDS, metals=("Au", "Cu"))
    assert harness.run_alone(first) == 0, first.directory.with_suffix(".log").read_text()
    former = Knowledge.read(Ledger.open(first.directory, read_only=True))
    before = (first.directory / "ledger.sqlite").read_bytes()

    second = Setup(
        tmp_path / "second", tmp_path / "site", words=WORDS, metals=("Au", "Cu"), seed=7,
        settings={"surrogate.former": [str(first.directory)]},
    )  # fmt: skip
    assert harness.run_alone(second) == 0, second.directory.with_suffix(".log").read_text()
    assert (first.directory / "ledger.sqlite").read_bytes() == before
    ledger = Ledger.open(second.directory, read_only=True)
    taken = {row["candidate_id"]: row["values"] for row in ledger.meta("inherited")}
    assert taken == {
        m.id: {k: q.value for k, q in m.values.items() if k != "energy_above_hull"} for m in former.training
    }
    # It counts as nothing of its own: neither measured nor found, and the reader of the report is told.
    new = Knowledge.read(ledger)
    paid = {e.candidate_id for e in new.evaluations if e.purpose == "candidate"}
    assert {m.id for m in new.measured} == paid
    assert any("learns from" in note and str(first.directory) in note for note in build_record(second.directory).notes)

    # It goes on without the former one.
    shutil.rmtree(first.directory)
    assert harness.run_alone(second) == 0, second.directory.with_suffix(".log").read_text()


def test_what_does_not_go_together_is_refused_by_name(tmp_path: Path) -> None:
    parts.install(tmp_path / "site")
    setup = Setup(tmp_path / "first", tmp_path / "site", words=WORDS, metals=("Au", "Cu"))
    assert harness.run_alone(setup) == 0, setup.directory.with_suffix(".log").read_text()
    meta = Ledger.open(setup.directory, read_only=True).all_meta()
    where = str(setup.directory)
    found, notes = inherit([where, where], meta["method"], meta["potential"])
    assert len({f.candidate_id for f in found}) == len(found) > 0
    assert where in notes[0]
    with pytest.raises(ConfigError, match="another evaluator"):
        inherit([where], "PBE", meta["potential"])
    with pytest.raises(ConfigError, match="another relaxation potential"):
        inherit([where], meta["method"], "chgnet-9")
    with pytest.raises(ConfigError, match="no campaign in"):
        inherit([str(tmp_path / "nowhere")], meta["method"], meta["potential"])
