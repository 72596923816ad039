"""Predicted costs: right with history, wide without, and the reason to refuse what is too large."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from lodestone.tools.core.structure import from_ase
from lodestone.tools.core.types import EvaluationRequest, JobStatus
from lodestone.tools.evaluate.cost import START_S, core_time, finished, fit_cost, predict
from lodestone.tools.evaluate.registry import create_evaluator
from lodestone.tools.evaluate.size import irreducible, rotations, size_of, valence_electrons

needs_gpaw = pytest.mark.skipif(importlib.util.find_spec("gpaw") is None, reason="GPAW is not installed")


def _sixty_atoms() -> EvaluationRequest:
    atoms = (bulk("MgO", "rocksalt", a=4.25, cubic=True) * (2, 2, 2))[:60]
    atoms.rattle(0.02, seed=1)
    return EvaluationRequest(candidate_id="large", crystal=from_ase(atoms), properties=())


def _history(n: int, seed: int, slope: float = 1.05, scatter: float = 0.4) -> list[tuple[float, float]]:
    rng = np.random.default_rng(seed)
    work = np.exp(rng.uniform(2, 6, n))
    return [(w, START_S + float(np.exp(-2.2 + slope * np.log(w) + rng.normal(0, scatter)))) for w in work]


def test_history_narrows_the_interval_and_moves_the_median_to_the_truth() -> None:
    truth = START_S + np.exp(-2.2 + 1.05 * np.log(1000.0))
    none, few, many = (fit_cost(_history(n, 0), 1000.0, 1.0) for n in (0, 8, 150))
    assert none.upper / none.lower > few.upper / few.lower > many.upper / many.lower
    assert many.core_s == pytest.approx(truth, rel=0.25)
    assert (none.jobs, few.jobs, many.jobs) == (0, 8, 150)
    assert "no job to learn from" in none.words()
    assert "from 8 finished jobs" in few.words()


@pytest.mark.parametrize("n", [3, 20, 60])
def test_nine_of_ten_costs_lie_inside_the_interval(n: int) -> None:
    inside = 0
    for seed in range(300):
        *known, (work, cost) = _history(n + 1, seed)
        found = fit_cost(known, work, 1.0)
        inside += found.lower <= cost <= found.upper
    assert 0.84 <= inside / 300 <= 0.99


def test_costs_are_told_in_the_unit_that_people_count_in() -> None:
    assert core_time(12.3) == "12.3 core-seconds"
    assert core_time(7200.0) == "2 core-hours"


def test_mesh_points_that_symmetry_leaves() -> None:
    silicon, copper = from_ase(bulk("Si", "diamond", a=5.43)), from_ase(bulk("Cu", "fcc", a=3.6))
    # Gamma-centred fcc meshes: 8 of 4 x 4 x 4 and 16 of 6 x 6 x 6, as every plane-wave code prints.
    assert irreducible((4, 4, 4), rotations(silicon)) == 8
    assert irreducible((6, 6, 6), rotations(copper)) == 16
    alone = np.eye(3, dtype=int)[None]
    assert irreducible((3, 3, 3), alone) == 14  # time reversal alone: (27 + 1) / 2
    assert irreducible((2, 2, 2), alone) == 8


def test_valence_electrons_and_what_cost_grows_with() -> None:
    assert [valence_electrons(el) for el in ("H", "O", "Mg", "Si", "Fe", "Zn", "Ga", "Hf", "Pb")] == [
        1, 6, 2, 4, 8, 12, 3, 4, 4,
    ]  # fmt: skip
    crystal = from_ase(bulk("Si", "diamond", a=5.43))
    small = size_of(crystal, 350.0, 0.4, 1)
    assert size_of(crystal, 600.0, 0.4, 1).work > small.work
    assert size_of(crystal, 350.0, 0.2, 1).work > small.work
    assert size_of(crystal, 350.0, 0.4, 2).work == 2 * small.work
    assert "k-mesh 6 x 6 x 6 (16 by symmetry)" in small.words()


@needs_gpaw
def test_a_cell_of_sixty_atoms_is_refused_with_its_predicted_cost(tmp_path: Path) -> None:
    evaluator = create_evaluator("gpaw", tmp_path, {"threads": 1, "protocol": "precise", "wall_limit_s": 600.0})
    request = _sixty_atoms()
    key = evaluator.key(request)
    evaluator.submit([(key, request)])
    deadline = time.monotonic() + 60
    while evaluator.lookup(key) is JobStatus.RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found = evaluator.harvest(key)
    assert found.failure is not None
    assert found.failure.kind == "too_large"
    assert "60 atoms: predicted cost" in found.failure.reason
    assert "core-hours" in found.failure.reason
    assert found.cost_core_s == 0.0


@pytest.mark.usefixtures("faulty_package")
def test_only_jobs_that_ended_well_at_the_first_attempt_are_history(
    faulty: Any, request_for: Callable[..., EvaluationRequest], wait_until: Callable[..., None]
) -> None:
    evaluator = faulty()
    for deed in ("work", "burn", "fail", "needscare"):
        request = request_for(deed)
        evaluator.submit([(evaluator.key(request), request)])
        wait_until(evaluator, evaluator.key(request))
    assert predict(evaluator, request_for("work"), [evaluator.jobs.root]) is None, "it does not say how large it is"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(evaluator), "work", lambda *_: 10.0)
        history = finished(evaluator.jobs.root, evaluator)
        assert len(history) == 2
        assert {work for work, _ in history} == {10.0}
        found = predict(evaluator, request_for("work"), [evaluator.jobs.root])
    assert found is not None
