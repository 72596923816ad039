"""Quantum ESPRESSO with the pseudopotentials in the examples of Debian's package; skipped without them."""

from __future__ import annotations

import gzip
import shutil
import time
from pathlib import Path

import pytest
from ase.build import bulk

from benchmarks.published_values import GAPS, SOLIDS
from lodestone.tools.core.errors import EvaluationError
from lodestone.tools.core.structure import from_ase
from lodestone.tools.core.types import EvaluationRequest, JobStatus, Observation
from lodestone.tools.evaluate.base import CalculationFailed
from lodestone.tools.evaluate.espresso_output import check_output
from lodestone.tools.evaluate.registry import create_evaluator

CARBON = Path("/usr/share/doc/quantum-espresso/examples/XSpectra/pseudo/C_PBE_TM_2pj.UPF.gz")
DIAMOND = EvaluationRequest(
    candidate_id="diamond",
    crystal=from_ase(bulk("C", "diamond", a=3.57)),
    properties=("band_gap", "bulk_modulus"),
)
needs_pw = pytest.mark.skipif(
    shutil.which("pw.x") is None or not CARBON.is_file(), reason="pw.x or its example pseudopotentials are missing"
)


@pytest.fixture
def pseudo_dir(tmp_path: Path) -> Path:
    """A folder with one pseudopotential of carbon (norm-conserving, PBE) and a decoy."""
    folder = tmp_path / "pseudo"
    folder.mkdir()
    (folder / "C_PBE.UPF").write_bytes(gzip.decompress(CARBON.read_bytes()))
    (folder / "Ca.upf").write_text("calcium, and not carbon")
    return folder


def _evaluate(root: Path, request: EvaluationRequest, **settings: object) -> Observation:
    evaluator = create_evaluator("espresso", root, {"threads": 1, "density_cutoff_ratio": 4.0, **settings})
    assert evaluator.available() is None
    key = evaluator.key(request)
    evaluator.submit([(key, request)])
    deadline = time.monotonic() + 200
    while evaluator.lookup(key) is JobStatus.RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return evaluator.harvest(key)


@needs_pw
def test_diamond_has_the_gap_and_bulk_modulus_of_pbe(tmp_path: Path, pseudo_dir: Path) -> None:
    observation = _evaluate(tmp_path, DIAMOND, pseudo_dir=str(pseudo_dir))
    assert observation.failure is None
    assert observation.values["band_gap"].value == pytest.approx(4.15, abs=0.2)  # PBE 4.1 to 4.2 eV
    assert observation.values["bulk_modulus"].value == pytest.approx(434, rel=0.05)  # PBE, GPa
    assert observation.values["fmax"].value < 1e-3
    assert observation.cost_core_s > 0.5, "the time of pw.x, a child of the calculation, counts"
    assert "Quantum ESPRESSO 6" in observation.method or "Quantum ESPRESSO 7" in observation.method


@needs_pw
def test_what_cannot_be_calculated_is_a_failure_with_its_reason(tmp_path: Path, pseudo_dir: Path) -> None:
    single = DIAMOND.model_copy(update={"properties": ()})
    stopped = _evaluate(tmp_path, single, pseudo_dir=str(pseudo_dir), max_iterations=1)
    assert stopped.failure is not None
    assert "SCF not converged in 1 iterations" in stopped.failure.reason
    (pseudo_dir / "c.second.upf").write_text("ambiguous")
    ambiguous = _evaluate(tmp_path, single, pseudo_dir=str(pseudo_dir))
    assert ambiguous.failure is not None
    assert "C_PBE.UPF, c.second.upf" in ambiguous.failure.reason
    boron = EvaluationRequest(candidate_id="B", crystal=from_ase(bulk("B", "fcc", a=2.8)), properties=())
    missing = _evaluate(tmp_path, boron, pseudo_dir=str(pseudo_dir))
    assert missing.failure is not None
    assert missing.failure.kind == "pseudopotential"
    assert "one pseudopotential for B is expected in pseudo_dir, found: none" in missing.failure.reason


def test_without_pseudopotentials_it_says_what_to_set(tmp_path: Path) -> None:
    evaluator = create_evaluator("espresso", tmp_path)
    assert "pseudo_dir" in (evaluator.available() or "")
    without = create_evaluator("espresso", tmp_path, {"command": ["no-such-pw.x"]})
    assert "apt-get install quantum-espresso" in (without.available() or "")
    with pytest.raises(EvaluationError, match="apt-get install quantum-espresso"):
        without.submit([(without.key(DIAMOND), DIAMOND)])
    assert without.lookup(without.key(DIAMOND)) is JobStatus.NEVER_SEEN


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("     convergence NOT achieved after 100 iterations: stopping\n", 2, "SCF not converged"),
        (
            " %%%%%%%%%%\n     Error in routine  cdiaghg (159):\n      S matrix not positive definite\n %%%%%\n",
            1,
            r"cdiaghg \(159\): S matrix not positive definite",
        ),
        ("!    total energy = -22.8 Ry\n", 0, "before the job was done"),
        ("!    total energy = -22.8 Ry\n   JOB DONE.\n", 1, "status 1"),
    ],
)
def test_a_run_that_did_not_end_well_is_told_by_its_output(tmp_path: Path, text: str, code: int, reason: str) -> None:
    output = tmp_path / "pw.out"
    output.write_text(text)
    with pytest.raises(CalculationFailed, match=reason):
        check_output(output, code, 100)


SILICON = Path("/usr/share/espresso/pseudo/Si.pbe-rrkj.UPF")
needs_silicon = pytest.mark.skipif(
    shutil.which("pw.x") is None or not SILICON.is_file(), reason="pw.x or the Si of quantum-espresso-data is missing"
)


@pytest.fixture(scope="module")
def silicon_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Observation, Path]:
    """Silicon with everything that can be asked for, and the folder of the jobs."""
    root = tmp_path_factory.mktemp("silicon")
    (root / "pseudo").mkdir()
    shutil.copy(SILICON, root / "pseudo")
    request = EvaluationRequest(
        candidate_id="Si",
        crystal=from_ase(bulk("Si", "diamond", a=5.47)),
        properties=("band_gap", "bulk_modulus", "density_of_states"),
    )
    settings = {"pseudo_dir": str(root / "pseudo"), "cutoff_ry": 30.0}
    return _evaluate(root / "jobs", request, **settings), root / "jobs"


@needs_silicon
def test_silicon_is_that_of_all_electron_pbe(silicon_run: tuple[Observation, Path]) -> None:
    values, published = silicon_run[0].values, SOLIDS["Si"]
    assert published.bulk_modulus is not None
    assert silicon_run[0].failure is None
    assert values["band_gap"].value == pytest.approx(GAPS["Si"].fundamental.value, abs=0.1)
    assert values["band_gap_direct"].value == pytest.approx(GAPS["Si"].direct.value, abs=0.1)  # at Gamma
    assert values["bulk_modulus"].value == pytest.approx(published.bulk_modulus.value, rel=0.05)
    assert values["bulk_modulus_derivative"].value == pytest.approx(4.3, abs=0.4)
    assert values["equilibrium_volume_per_atom"].value == pytest.approx(published.a.value**3 / 8, rel=0.01)
    assert values["bulk_modulus"].std is not None


@needs_silicon
def test_the_density_of_states_of_silicon_holds_its_electrons(silicon_run: tuple[Observation, Path]) -> None:
    import numpy as np

    observation, root = silicon_run
    energies, states = np.genfromtxt(root / observation.artefacts["density of states"], delimiter=",", skip_header=1).T
    below = energies <= 0.0
    assert float(states[below].sum() * (energies[1] - energies[0])) == pytest.approx(8.0, abs=0.3)
