"""Relaxations and evaluations through a real Slurm queue."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.world import parts
from benchmarks.world.evaluators import EmtForFaults
from benchmarks.world.parts import EmtPotential
from lodestone.loops.compute.cluster import Engine
from lodestone.loops.compute.evaluating import DistributedEvaluator
from lodestone.loops.compute.settings import ComputeSettings
from lodestone.tools.evaluate.base import EvaluatorSettings
from tests.loops.compute.slurm import Slurm, missing
from tests.loops.compute.test_cluster import crystals, finish, potential, same, submit

pytest.importorskip("dask_jobqueue")
pytestmark = pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    made = Slurm(tmp_path_factory.mktemp("slurm"))
    yield made
    made.stop()


@pytest.fixture
def settings(slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ComputeSettings:
    parts.install(tmp_path / "site")
    monkeypatch.setenv("SLURM_CONF", str(slurm.conf))
    for name, value in parts.environment(tmp_path / "site").items():
        monkeypatch.setenv(name, value)  # Slurm hands the environment of `sbatch` to the job
    monkeypatch.chdir(tmp_path)
    return ComputeSettings(
        engine="slurm", queue="short", cores=1, memory_gb=1.0, walltime="00:10:00", jobs=3, piece=2, connect_s=30.0,
        prologue=(f"cd {Path(__file__).parents[3]}",),
    )  # fmt: skip


@pytest.fixture
def engine(settings: ComputeSettings) -> Iterator[Engine]:
    made = Engine.connect(settings)
    yield made
    made.close()


def test_relaxations_in_batch_jobs_are_those_of_one_machine(slurm: Slurm, engine: Engine) -> None:
    pairs = crystals(12)
    assert same(potential(engine).relax(pairs), EmtPotential().relax(pairs))
    time.sleep(5)  # more than the three seconds that Dask keeps an idle worker by itself
    assert slurm.jobs(), "a place in the queue is kept for the next round"
    assert engine.workers() >= 1


def test_batch_jobs_without_work_are_given_back(slurm: Slurm, settings: ComputeSettings) -> None:
    engine = Engine.connect(settings.model_copy(update={"idle_s": 1.0}))
    try:
        potential(engine).relax(crystals(4))
        assert slurm.ask("squeue", "--noheader", "--states=R,CG,CD,CA").split(), "it was batch jobs that worked"
        deadline = time.monotonic() + 120
        while slurm.jobs():
            assert time.monotonic() < deadline, slurm.ask("squeue")
            time.sleep(0.2)
    finally:
        engine.close()


def test_a_batch_job_that_is_cancelled_costs_at_most_one_attempt(slurm: Slurm, engine: Engine, tmp_path: Path) -> None:
    inner = EmtForFaults(tmp_path / "jobs", EvaluatorSettings(threads=1))
    evaluator = DistributedEvaluator(inner, engine)
    wanted = submit(evaluator, [f"crystal-{i}x" for i in range(5)])
    deadline = time.monotonic() + 120
    while not list((tmp_path / "jobs").glob("??/*/attempt-1.json")):
        assert time.monotonic() < deadline, slurm.ask("squeue")
        time.sleep(0.01)
    victim = slurm.jobs()[0]
    slurm.ask("scancel", "--signal=KILL", "--full", victim)
    finish(evaluator, wanted, deadline)
    attempts = {key: inner.jobs.attempts(key) for key in wanted}
    assert sum(n - 1 for n in attempts.values()) <= 1, "one worker works on one key at a time"
