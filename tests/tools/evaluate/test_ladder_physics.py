"""Steps of the ladder that claim to change no physics give the same energy with the real codes; the others say so."""

from __future__ import annotations

import importlib.util
import shutil
import time
from pathlib import Path

import pytest
from ase.build import bulk

from lodestone.tools.core.structure import from_ase
from lodestone.tools.core.types import EvaluationRequest, JobStatus
from lodestone.tools.evaluate.ladder import RUNGS, Ladder
from lodestone.tools.evaluate.registry import create_evaluator

SILICON = Path("/usr/share/espresso/pseudo/Si.pbe-rrkj.UPF")
MISSING = {
    "gpaw": None if importlib.util.find_spec("gpaw") else "GPAW is not installed",
    "espresso": None
    if shutil.which("pw.x") and SILICON.is_file()
    else "pw.x or the Si of quantum-espresso-data is missing",
}


@pytest.mark.parametrize("name", ["gpaw", "espresso"])
def test_each_step_keeps_the_energy_unless_it_says_otherwise(name: str, tmp_path: Path) -> None:
    if MISSING[name]:
        pytest.skip(MISSING[name])
    settings: dict[str, object] = {"threads": 1, "kspacing": 0.9}
    if name == "espresso":
        shutil.copy(SILICON, tmp_path)
        settings = {"threads": 1, "pseudo_dir": str(tmp_path), "cutoff_ry": 20.0}
    evaluator = create_evaluator(name, tmp_path / "jobs", settings)
    silicon = from_ase(bulk("Si", "diamond", a=5.47))
    rungs = RUNGS[2:]  # a climb to the third step takes the first two as well
    requests = {}
    for number, rung in enumerate((None, *rungs)):
        request = EvaluationRequest(candidate_id="Si", crystal=silicon, properties=(), replicate=number)
        key = evaluator.key(request)
        requests[key] = request
        if rung is not None:
            evaluator.jobs.folder(key).mkdir(parents=True)
            climbed = Ladder(evaluator.jobs.ladder_file(key))
            while climbed.numerics.model_dump(include=set(rung.numerics)) != rung.numerics:
                assert climbed.climb(rung.against, "on purpose")
    evaluator.submit(list(requests.items()))
    deadline = time.monotonic() + 240
    while any(evaluator.lookup(key) is JobStatus.RUNNING for key in requests):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    plain, *others = (evaluator.harvest(key) for key in requests)
    assert plain.failure is None
    assert plain.ladder == ()
    energy = plain.values["energy_per_atom"].value
    for rung, found in zip(rungs, others, strict=True):
        assert found.failure is None, (rung.change, found.failure)
        assert rung.change in {step.change for step in found.ladder}
        if rung.physics:
            assert rung.physics in found.method
        elif not any(step.physics for step in found.ladder):
            assert found.values["energy_per_atom"].value == pytest.approx(energy, abs=1e-3), rung.change
