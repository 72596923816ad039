"""Work on other machines gives the local results, and a lost worker costs at most one attempt."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.world.evaluators import EmtForFaults
from benchmarks.world.parts import DecoratedLattices, EmtPotential
from lodestone.loops.compute.cluster import Engine, batch_cluster
from lodestone.loops.compute.evaluating import DistributedEvaluator
from lodestone.loops.compute.relaxing import DistributedGenerator, DistributedPotential
from lodestone.loops.compute.settings import ComputeSettings
from lodestone.tools.core.errors import ConfigError, ToolError
from lodestone.tools.core.types import ChemicalSpace, Crystal, EvaluationRequest, JobLimits, JobStatus
from lodestone.tools.evaluate.base import EvaluatorSettings

SPACE = ChemicalSpace(allowed=("Au", "Cu", "Ni"), n_elements=(1, 3), max_atoms=4)


def crystals(count: int, seed: int = 1) -> list[tuple[str, Crystal]]:
    found = DecoratedLattices().propose(SPACE, count, np.random.default_rng(seed))
    return [(c.id, c.crystal) for c in found]


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def engine(cluster: Any, notes: list[str]) -> Iterator[Engine]:
    settings = ComputeSettings(engine="dask", address=cluster.address, piece=2, connect_s=30.0)
    made = Engine.connect(settings, notes.append)
    deadline = time.monotonic() + 30
    while made.workers() < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    yield made
    made.close()


def potential(engine: Engine) -> DistributedPotential:
    return DistributedPotential(EmtPotential(), "benchmarks.world.parts:EmtPotential", {"max_steps": 60}, engine)


def same(first: Any, second: Any) -> bool:
    return [r.model_dump(exclude={"wall_s"}) for r in first] == [r.model_dump(exclude={"wall_s"}) for r in second]


def test_relaxations_on_workers_are_those_of_one_machine(engine: Engine) -> None:
    pairs = crystals(9)
    seen: list[int] = []
    found = potential(engine).relax(pairs, lambda done, _total: seen.append(done))
    assert same(found, EmtPotential().relax(pairs))
    assert seen[-1] == 9
    assert potential(engine).energies([c for _, c in pairs]) == EmtPotential().energies([c for _, c in pairs])


def test_generation_on_a_worker_is_that_of_one_machine(engine: Engine) -> None:
    local, far = np.random.default_rng(5), np.random.default_rng(5)
    generator = DistributedGenerator(DecoratedLattices(), "benchmarks.world.parts:DecoratedLattices", {}, engine)
    first = generator.propose(SPACE, 6, far)
    assert first == DecoratedLattices().propose(SPACE, 6, local)
    assert far.random() == local.random(), "the random numbers go on from where the worker left them"
    generator.known = {first[0].id}
    again = generator.propose(SPACE, 6, np.random.default_rng(5))
    assert first[0].id not in {c.id for c in again}


def test_a_worker_that_dies_while_it_relaxes_costs_nothing(cluster: Any, engine: Engine) -> None:
    pairs = crystals(40, seed=3)
    expected = EmtPotential().relax(pairs)
    killed = []

    def kill_one(done: int, _total: int) -> None:
        if not killed:
            killed.append(cluster.workers[0].pid)
            os.kill(cluster.workers[0].pid, signal.SIGKILL)

    assert same(potential(engine).relax(pairs, kill_one), expected)
    assert killed
    cluster.workers[0].wait()
    cluster.add_worker()


def submit(evaluator: DistributedEvaluator, names: list[str]) -> dict[str, EvaluationRequest]:
    cells = crystals(len(names), seed=7)
    wanted = {}
    for name, (_, cell) in zip(names, cells, strict=True):
        request = EvaluationRequest(candidate_id=name, crystal=cell, properties=())
        wanted[evaluator.key(request)] = request
    evaluator.submit(list(wanted.items()), dict.fromkeys(wanted, JobLimits(core_s=100.0)))
    return wanted


def finish(evaluator: DistributedEvaluator, wanted: dict[str, EvaluationRequest], deadline: float) -> None:
    """Do as the agent does until every evaluation is done: what is dead is started again."""
    todo = dict(wanted)
    while todo:
        assert time.monotonic() < deadline, {k[:6]: evaluator.lookup(k) for k in todo}
        for key in list(todo):
            status = evaluator.lookup(key)
            if status is JobStatus.DONE:
                assert evaluator.harvest(key).failure is None
                del todo[key]
            elif status in (JobStatus.DEAD, JobStatus.NEVER_SEEN):
                evaluator.submit([(key, wanted[key])])
        time.sleep(0.05)


def test_evaluations_survive_a_worker_that_dies_while_it_works(cluster: Any, engine: Engine, tmp_path: Path) -> None:
    cells = tmp_path / "jobs"
    inner = EmtForFaults(cells, EvaluatorSettings(threads=1))
    evaluator = DistributedEvaluator(inner, engine)
    wanted = submit(evaluator, [f"crystal-{i}x" for i in range(6)])
    deadline = time.monotonic() + 60
    while not list(cells.glob("??/*/attempt-1.json")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(cluster.workers[1].pid, signal.SIGKILL)
    finish(evaluator, wanted, deadline)
    attempts = {key: inner.jobs.attempts(key) for key in wanted}
    assert all(n <= 2 for n in attempts.values())
    assert sum(n - 1 for n in attempts.values()) <= 1, "one worker works on one key at a time"
    cluster.workers[1].wait()
    cluster.add_worker()


def test_without_its_scheduler_the_agent_works_by_itself(
    cluster: Any, engine: Engine, notes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", cluster.environment["PYTHONPATH"])
    pairs = crystals(6, seed=9)
    expected = EmtPotential().relax(pairs)
    cluster.scheduler.send_signal(signal.SIGKILL)
    cluster.scheduler.wait()
    began = time.monotonic()
    assert same(potential(engine).relax(pairs), expected)
    evaluator = DistributedEvaluator(EmtForFaults(tmp_path / "jobs", EvaluatorSettings(threads=1)), engine)
    (key,) = submit(evaluator, ["alone-x"])
    while evaluator.lookup(key) is not JobStatus.DONE:
        assert time.monotonic() - began < 90
        time.sleep(0.05)
    assert any("works by itself" in note for note in notes)
    cluster.start_scheduler()


def test_a_scheduler_that_was_never_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match=r"127\.0\.0\.1:1"):
        Engine.connect(ComputeSettings(engine="dask", address="tcp://127.0.0.1:1", connect_s=0.5))
    with pytest.raises(ConfigError, match="no address"):
        Engine.connect(ComputeSettings(engine="dask"))


@pytest.mark.parametrize(("engine_name", "lines"), [
    ("slurm", ["#SBATCH -p fast", "#SBATCH -A me", "#SBATCH --mem=8G", "#SBATCH -t 02:00:00", "--cpus-per-task=4"]),
    ("pbs", ["#PBS -q fast", "#PBS -A me", "ncpus=4", "walltime=02:00:00"]),
])  # fmt: skip
def test_batch_jobs_ask_for_what_the_settings_say(engine_name: Any, lines: list[str]) -> None:
    pytest.importorskip("dask_jobqueue")
    settings = ComputeSettings(
        engine=engine_name, queue="fast", account="me", cores=4, memory_gb=8, walltime="02:00:00",
        prologue=("module load gpaw",),
    )  # fmt: skip
    cluster = batch_cluster(settings, scheduler_options={"host": "tcp://127.0.0.1:0"})
    try:
        script = cluster.job_script()
    finally:
        cluster.close()
    for line in [*lines, "module load gpaw", "distributed.cli.dask_worker"]:
        assert line in script, script
