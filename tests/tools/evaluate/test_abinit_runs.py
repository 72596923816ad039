"""ABINIT with the pseudopotentials of Debian's abinit-data; skipped without them."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from ase.build import bulk

from benchmarks.published_values import GAPS, SOLIDS
from lodestone.tools.core.structure import from_ase
from lodestone.tools.core.types import EvaluationRequest, JobStatus, Observation
from lodestone.tools.evaluate.base import CalculationFailed
from lodestone.tools.evaluate.registry import create_evaluator

PSEUDOS = Path("/usr/share/abinit/psp/Pseudodojo_nc_sr_04_pbe_standard_psp8")
PAW = Path("/usr/share/abinit/psp/Pseudodojo_paw_pbe_standard")
CONSERVING_LDA = PSEUDOS.parent / "Pseudodojo_nc_sr_04_pw_standard_psp8"
SILICON = from_ase(bulk("Si", "diamond", a=5.47))
pytestmark = pytest.mark.skipif(
    shutil.which("abinit") is None or not (PSEUDOS / "Si.psp8").is_file(),
    reason="abinit or the PBE pseudopotentials of abinit-data are missing",
)


def _evaluate(root: Path, request: EvaluationRequest, **settings: object) -> Observation:
    evaluator = create_evaluator("abinit", root, {"threads": 1, "pseudo_dir": str(PSEUDOS), **settings})
    assert evaluator.available() is None
    key = evaluator.key(request)
    evaluator.submit([(key, request)])
    deadline = time.monotonic() + 280
    while evaluator.lookup(key) is JobStatus.RUNNING:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return evaluator.harvest(key)


@pytest.fixture(scope="module")
def silicon(tmp_path_factory: pytest.TempPathFactory) -> tuple[Observation, Path]:
    """Silicon with gap, bulk modulus and density of states, and the folder of the jobs."""
    root = tmp_path_factory.mktemp("abinit")
    properties = ("band_gap", "bulk_modulus", "density_of_states")
    request = EvaluationRequest(candidate_id="Si", crystal=SILICON, properties=properties)
    return _evaluate(root, request, cutoff_ha=12.0), root


def test_silicon_is_that_of_all_electron_pbe(silicon: tuple[Observation, Path]) -> None:
    values, published = silicon[0].values, SOLIDS["Si"]
    assert published.bulk_modulus is not None
    assert silicon[0].failure is None
    assert silicon[0].evaluator.startswith("abinit-9")
    assert "ABINIT 9" in silicon[0].method
    assert values["band_gap"].value == pytest.approx(GAPS["Si"].fundamental.value, abs=0.1)
    assert values["band_gap_direct"].value == pytest.approx(GAPS["Si"].direct.value, abs=0.1)
    assert values["bulk_modulus"].value == pytest.approx(published.bulk_modulus.value, rel=0.05)
    assert values["equilibrium_volume_per_atom"].value == pytest.approx(published.a.value**3 / 8, rel=0.01)
    assert values["fmax"].value < 1e-3
    assert values["stress_max"].value < 2.0


def test_the_density_of_states_of_silicon_holds_its_electrons(silicon: tuple[Observation, Path]) -> None:
    import numpy as np

    observation, root = silicon
    energies, states = np.genfromtxt(root / observation.artefacts["density of states"], delimiter=",", skip_header=1).T
    assert float(states[energies <= 0.0].sum() * (energies[1] - energies[0])) == pytest.approx(8.0, abs=0.3)
    assert "Si.psp8" in (root / observation.artefacts["input"]).read_text()


def test_a_squeezed_crystal_relaxes_to_its_volume(tmp_path: Path) -> None:
    squeezed = from_ase(bulk("Si", "diamond", a=5.40))
    request = EvaluationRequest(candidate_id="Si", crystal=squeezed, properties=())
    found = _evaluate(tmp_path, request, cutoff_ha=12.0, kspacing=0.6, relax=True, fmax=0.02, max_steps=10)
    assert found.failure is None
    assert found.crystal is not None
    assert found.values["volume_per_atom"].value == pytest.approx(SOLIDS["Si"].a.value ** 3 / 8, rel=0.02)
    assert found.method.endswith("relaxed")
    assert "relaxation" in found.artefacts
    labels = (tmp_path / found.artefacts["labels"]).read_text().splitlines()
    assert len(labels) >= 2, "each step of the way is a label"


def test_iron_of_one_atom_keeps_its_moment(tmp_path: Path) -> None:
    if not (PAW / "Fe.xml").is_file():
        pytest.skip("abinit-data has no PAW data set of iron")
    folder = tmp_path / "paw"
    folder.mkdir()
    shutil.copy(PAW / "Fe.xml", folder)
    iron = from_ase(bulk("Fe", "bcc", a=2.83))
    request = EvaluationRequest(candidate_id="Fe", crystal=iron, properties=("magnetization", "band_gap"))
    found = _evaluate(tmp_path / "jobs", request, pseudo_dir=str(folder), cutoff_ha=15.0, kspacing=0.7)
    assert found.failure is None
    assert found.values["magnetization"].value == pytest.approx(2.2, abs=0.3)  # PBE and measured: 2.2 Bohr magnetons
    assert found.values["magnetic_moment_max"].value == pytest.approx(2.2, abs=0.3)
    assert found.values["band_gap"].value == 0.0


def test_a_cycle_that_does_not_converge_is_no_result_though_abinit_ends_with_status_0(tmp_path: Path) -> None:
    request = EvaluationRequest(candidate_id="Si", crystal=SILICON, properties=())
    found = _evaluate(tmp_path, request, cutoff_ha=8.0, kspacing=1.2, max_iterations=1)
    assert found.failure is not None
    assert found.failure.kind == "scf"
    assert found.failure.reason.startswith("SCF not converged in 1 iterations; tried: density mixed")
    assert len(found.ladder) == 4
    assert found.values == {}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("Si.psp8", "garbage\n", "is no pseudopotential that ABINIT reads"),
        ("Si.xml", "<paw_dataset>", "is no pseudopotential that ABINIT reads"),
        ("Si.fhi", "C\n 6.0 4.0 990101\n 6 11 2 2 400 0\n", "is of the element with number 6, not of Si"),
        ("Sc.psp8", "another element\n", "one pseudopotential for Si is expected in pseudo_dir, found: none"),
    ],
)
def test_a_missing_or_wrong_pseudopotential_is_told_before_the_run(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    folder = tmp_path / "psp"
    folder.mkdir()
    (folder / name).write_text(text)
    evaluator = create_evaluator("abinit", tmp_path / "jobs", {"pseudo_dir": str(folder)})
    with pytest.raises(CalculationFailed, match=words) as caught:
        evaluator.calculate(EvaluationRequest(candidate_id="Si", crystal=SILICON, properties=()), tmp_path)
    assert caught.value.kind == "pseudopotential"
    assert not (tmp_path / "abinit.log").exists()


def test_functionals_and_kinds_of_pseudopotentials_do_not_mix(tmp_path: Path) -> None:
    other = CONSERVING_LDA / "C.psp8"
    if not other.is_file():
        pytest.skip("abinit-data has no LDA pseudopotential of carbon")
    folder = tmp_path / "psp"
    folder.mkdir()
    shutil.copy(PSEUDOS / "Si.psp8", folder)
    shutil.copy(other, folder)
    carbide = EvaluationRequest(candidate_id="SiC", crystal=from_ase(bulk("SiC", "zincblende", a=4.36)), properties=())
    evaluator = create_evaluator("abinit", tmp_path, {"pseudo_dir": str(folder)})
    with pytest.raises(CalculationFailed, match="2 functionals: LDA, PBE") as caught:
        evaluator.deck(carbide)
    assert caught.value.kind == "pseudopotential"


def test_u_is_for_paw_and_stands_at_its_element(tmp_path: Path) -> None:
    if not (PAW / "Ni.xml").is_file() or not (CONSERVING_LDA / "Fe.psp8").is_file():
        pytest.skip("abinit-data has no data sets of nickel and iron")
    folder = tmp_path / "paw"
    folder.mkdir()
    for name in ("Ni.xml", "O.xml"):
        shutil.copy(PAW / name, folder)
    oxide = EvaluationRequest(candidate_id="NiO", crystal=from_ase(bulk("NiO", "rocksalt", a=4.17)), properties=())
    deck = create_evaluator("abinit", tmp_path, {"pseudo_dir": str(folder), "hubbard": "mp"}).deck(oxide)
    assert "znucl 8 28" in deck
    assert "lpawu\n-1 2" in deck
    assert "upawu 0.0 6.2 eV" in deck
    assert "pawecutdg" in deck
    assert "ixc" not in deck, "the files say the functional"
    conserving = create_evaluator("abinit", tmp_path, {"pseudo_dir": str(CONSERVING_LDA), "hubbard": "mp"})
    iron = EvaluationRequest(candidate_id="FeO", crystal=from_ase(bulk("FeO", "rocksalt", a=4.3)), properties=())
    with pytest.raises(CalculationFailed, match="needs PAW") as caught:
        conserving.deck(iron)
    assert caught.value.kind == "pseudopotential"
