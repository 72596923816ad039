"""What is tried after a failure is ordered, bounded, written down, and said of the values that it led to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lodestone.tools.core.types import EvaluationRequest, Observation, sha256
from lodestone.tools.evaluate.base import ProcessEvaluator
from lodestone.tools.evaluate.ladder import RUNGS, Ladder, Numerics

Make = Callable[..., EvaluationRequest]
Wait = Callable[..., None]


def outcome(evaluator: ProcessEvaluator[Any], request: EvaluationRequest, wait: Wait) -> Observation:
    key = evaluator.key(request)
    evaluator.submit([(key, request)])
    wait(evaluator, key)
    return evaluator.harvest(key)


def test_what_cannot_change_the_result_is_tried_before_what_can(tmp_path: Path) -> None:
    for kind in {rung.against for rung in RUNGS}:
        physics = [bool(rung.physics) for rung in RUNGS if rung.against == kind]
        assert physics == sorted(physics)
    ladder = Ladder(tmp_path / "ladder.json")
    assert ladder.numerics == Numerics()
    assert ladder.climb("scf", "no convergence")
    assert ladder.numerics == Numerics(mixing=0.2)
    assert ladder.physics == ()
    while ladder.climb("scf", "no convergence"):
        pass
    assert ladder.numerics.smearing == 2.0
    assert len(ladder.physics) == 1
    assert not ladder.offers("scf")
    assert ladder.offers("symmetry")
    assert not ladder.offers("pseudopotential")
    assert not Ladder().climb("scf", "nothing to write to")


def test_steps_outlive_the_process_and_a_damaged_file_is_an_empty_ladder(tmp_path: Path) -> None:
    path = tmp_path / "ladder.json"
    Ladder(path).climb("memory", "out of memory")
    again = Ladder(path)
    assert again.numerics.lean
    assert again.steps[0].because == "memory: out of memory"
    path.write_text(path.read_text()[:-9])
    assert Ladder(path).steps == ()


@pytest.mark.usefixtures("faulty_package")
class TestThroughAWorker:
    """With an evaluator that fails until the right step is taken."""

    def test_a_step_that_helps_gives_the_value_and_is_in_the_record(
        self, faulty: Any, request_for: Make, wait_until: Wait
    ) -> None:
        found = outcome(faulty(), request_for("needscare"), wait_until)
        assert found.failure is None
        assert [step.change for step in found.ladder] == [rung.change for rung in RUNGS[:2]]
        assert all("SCF not converged" in step.because for step in found.ladder)
        assert "smearing" not in found.method

    def test_values_of_changed_physics_say_so_in_their_method(
        self, faulty: Any, request_for: Make, wait_until: Wait
    ) -> None:
        found = outcome(faulty(), request_for("needssmearing"), wait_until)
        assert found.failure is None
        assert "smearing twice as wide as the protocol's" in found.method

    def test_a_failure_lists_what_was_tried(self, faulty: Any, request_for: Make, wait_until: Wait) -> None:
        found = outcome(faulty(), request_for("never"), wait_until)
        assert found.failure is not None
        assert found.failure.kind == "scf"
        for rung in (rung for rung in RUNGS if rung.against == "scf"):
            assert rung.change in found.failure.reason

    def test_the_wall_limit_bounds_the_whole_ladder_and_its_steps_stay_known(
        self, faulty: Any, request_for: Make, wait_until: Wait
    ) -> None:
        found = outcome(faulty(wall_limit_s=2.0), request_for("carehangs"), wait_until)
        assert found.failure is not None
        assert found.failure.kind == "wall"
        assert len(found.ladder) == 2
        assert found.wall_s < 6.0

    def test_memory_is_a_reason_to_try_with_less(self, faulty: Any, request_for: Make, wait_until: Wait) -> None:
        found = outcome(faulty(memory_limit_mb=250.0), request_for("memory"), wait_until)
        assert found.failure is not None
        assert found.failure.kind == "memory"
        assert [step.change for step in found.ladder] == [r.change for r in RUNGS if r.against == "memory"]


def test_records_that_are_older_than_the_ladder_keep_their_digests() -> None:
    old = {
        "artefacts": {}, "candidate_id": "c", "cost_core_s": 1.0, "crystal": None, "evaluator": "gpaw-25.7.0",
        "failure": {"reason": "SCF not converged in 200 iterations", "stage": "evaluate"}, "fidelity": "dft",
        "key": "k", "method": "PBE", "purpose": "candidate", "values": {}, "wall_s": 1.0,
    }  # fmt: skip
    text = json.dumps(old, sort_keys=True, separators=(",", ":"))
    read = Observation.model_validate_json(text)
    assert read.digest() == sha256(text)
    assert read.failure is not None
    assert read.failure.kind == ""
