"""A third-party evaluator that fails on purpose, installed through a real entry point while a file of tests runs."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lodestone.tools.core.types import Crystal, EvaluationRequest, JobStatus
from lodestone.tools.evaluate.base import ProcessEvaluator
from lodestone.tools.evaluate.registry import create_evaluator

_ENTRY_POINT = "[lodestone.evaluators]\nfaulty-for-tests = faulty_evaluator:FaultyCalculationForTests\n"


@pytest.fixture(scope="module")
def faulty_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Put a distribution with the entry point on the path of this process and of every worker."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(Path(__file__).parent / "faulty_evaluator.py", folder)
    info = folder / "faulty_evaluator-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: faulty-evaluator\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(_ENTRY_POINT)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")])))
        yield folder
        sys.modules.pop("faulty_evaluator", None)


@pytest.fixture
def request_for() -> Callable[..., EvaluationRequest]:
    """Make a request; the faulty evaluator does what its candidate's name says."""

    def make(name: str, crystal: Crystal | None = None, properties: tuple[str, ...] = ()) -> EvaluationRequest:
        cubic = ((4.0, 0.0, 0.0), (0.0, 4.0, 0.0), (0.0, 0.0, 4.0))
        some = Crystal(lattice=cubic, species=("Po",), frac_coords=((0.0, 0.0, 0.0),))
        return EvaluationRequest(candidate_id=name, crystal=crystal or some, properties=properties)

    return make


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """Poll an evaluator until a key has a status; fail the test when it never gets there."""

    def wait(
        evaluator: ProcessEvaluator[Any], key: str, status: JobStatus = JobStatus.DONE, seconds: float = 30.0
    ) -> None:
        deadline = time.monotonic() + seconds
        while (now := evaluator.lookup(key)) is not status:
            assert time.monotonic() < deadline, f"{key[:8]} is {now} after {seconds} s, expected {status}"
            time.sleep(0.02)

    return wait


@pytest.fixture
def faulty(tmp_path: Path) -> Callable[..., ProcessEvaluator[Any]]:
    """The faulty evaluator on this test's own jobs folder."""

    def make(**settings: object) -> ProcessEvaluator:
        return create_evaluator("faulty-for-tests", tmp_path / "jobs", {"runs": str(tmp_path / "runs"), **settings})

    return make
