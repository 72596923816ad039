"""A key names one paid calculation: stable for the same one, another for any change that may change the result."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

from lodestone.tools.core.errors import EvaluationError
from lodestone.tools.core.protocols import Evaluator
from lodestone.tools.core.structure import from_ase
from lodestone.tools.core.types import Crystal, EvaluationRequest
from lodestone.tools.evaluate.registry import create_evaluator, pick_best

NAMES = ("gpaw", "espresso", "sevennet")
SALT = EvaluationRequest(
    candidate_id="c1", crystal=from_ase(bulk("NaCl", "rocksalt", a=5.64)), properties=("band_gap", "density")
)
CHANGES = {
    "gpaw": [
        {"protocol": "moderate"},
        {"cutoff_ev": 360.0},
        {"kspacing": 0.3},
        {"relax": True},
        {"max_iterations": 50},
        {"fmax": 0.01},
        {"symprec": 0.02},
    ],
    "espresso": [{"protocol": "precise"}, {"cutoff_ry": 60.0}, {"density_cutoff_ratio": 4.0}, {"max_iterations": 9}],
    "sevennet": [{"fmax": 0.01}, {"max_steps": 100}, {"device": "cuda"}],
}


@pytest.mark.parametrize("name", NAMES)
def test_each_evaluator_keeps_the_protocol(name: str, tmp_path: Path) -> None:
    evaluator = create_evaluator(name, tmp_path)
    assert isinstance(evaluator, Evaluator)
    assert evaluator.name == name
    assert "band_gap" in evaluator.properties or evaluator.fidelity == "potential"
    assert "not DFT" in evaluator.method or evaluator.fidelity == "dft"


@pytest.mark.parametrize("name", NAMES)
def test_key_changes_with_each_parameter_and_request(name: str, tmp_path: Path) -> None:
    def key(request: EvaluationRequest = SALT, **settings: object) -> str:
        return create_evaluator(name, tmp_path, settings).key(request)

    lattice = tuple(tuple(x * 1.001 for x in row) for row in SALT.crystal.lattice)
    others = [
        SALT.model_copy(update={"replicate": 1}),
        SALT.model_copy(update={"properties": ("density",)}),
        SALT.model_copy(update={"purpose": "reference"}),
        SALT.model_copy(update={"candidate_id": "c2"}),
        SALT.model_copy(update={"crystal": SALT.crystal.model_copy(update={"lattice": lattice})}),
        SALT.model_copy(update={"crystal": SALT.crystal.model_copy(update={"species": ("K", "Cl")})}),
    ]
    keys = [key(), *(key(other) for other in others), *(key(**change) for change in CHANGES[name])]
    assert len(set(keys)) == len(keys)


def test_keys_of_different_evaluators_differ(tmp_path: Path) -> None:
    assert len({create_evaluator(name, tmp_path).key(SALT) for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_key_does_not_change_with_what_cannot_change_the_result(name: str, tmp_path: Path) -> None:
    plain = create_evaluator(name, tmp_path).key(SALT)
    elsewhere = create_evaluator(name, tmp_path / "elsewhere", {"wall_limit_s": 60.0, "max_attempts": 1, "threads": 1})
    assert elsewhere.key(SALT) == plain
    swapped = SALT.model_copy(update={"properties": ("density", "band_gap", "density")})
    assert elsewhere.key(swapped) == plain


@settings(max_examples=30, deadline=None)
@given(noise=st.floats(-4e-7, 4e-7))
def test_the_last_digits_of_a_relaxation_do_not_make_a_new_key(noise: float) -> None:
    evaluator = create_evaluator("sevennet", Path("nowhere"))

    def crystal(x: float) -> Crystal:
        cube = ((4.0 + x, 0.0, 0.0), (0.0, 4.0, 0.0), (x, 0.0, 4.0))
        return Crystal(lattice=cube, species=("Cs", "Cl"), frac_coords=((x % 1.0, 0.0, 0.0), (0.5 + x, 0.5, 0.5)))

    keys = {evaluator.key(SALT.model_copy(update={"crystal": crystal(x)})) for x in (0.0, noise)}
    assert len(keys) == 1


def test_key_is_the_same_in_another_process(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from lodestone.tools.core.types import EvaluationRequest\n"
        "from lodestone.tools.evaluate.registry import create_evaluator\n"
        "print(create_evaluator('gpaw', Path('.')).key(EvaluationRequest.model_validate_json(sys.argv[1])))\n"
        "heavy = {'torch', 'gpaw', 'ase', 'pymatgen', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    out = subprocess.run(
        [sys.executable, "-c", script, SALT.model_dump_json()], capture_output=True, text=True, check=False, timeout=60
    )
    assert out.stdout.strip() == create_evaluator("gpaw", tmp_path).key(SALT), out.stderr


def test_key_changes_with_a_pseudopotential(tmp_path: Path) -> None:
    folder = tmp_path / "pseudo"
    folder.mkdir()
    (folder / "Na.upf").write_text("sodium")
    (folder / "cl.pbe-n.UPF").write_text("chlorine")
    (folder / "Nb.upf").write_text("another element")

    def key() -> str:
        return create_evaluator("espresso", tmp_path, {"pseudo_dir": str(folder)}).key(SALT)

    first = key()
    (folder / "Nb.upf").write_text("does not matter here")
    assert key() == first
    (folder / "cl.pbe-n.UPF").write_text("chlorine, version 2")
    assert key() != first


def test_submit_refuses_a_key_of_another_request(tmp_path: Path) -> None:
    evaluator = create_evaluator("sevennet", tmp_path)
    with pytest.raises(EvaluationError, match="does not belong"):
        evaluator.submit([("ab" * 32, SALT)])


def test_a_folder_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("a file in the way")
    evaluator = create_evaluator("sevennet", tmp_path / "jobs")
    with pytest.raises(EvaluationError, match=r"Cannot write jobs.*fix permissions"):
        evaluator.submit([(evaluator.key(SALT), SALT)])


class _Stub:
    def __init__(self, name: str, properties: set[str], missing: str | None = None) -> None:
        self.name, self.properties, self._missing = name, frozenset(properties), missing

    def available(self) -> str | None:
        return self._missing


@pytest.fixture
def stubs() -> Callable[..., list[_Stub]]:
    """Three evaluators, best first; the DFT codes may be missing."""

    def make(gpaw: str | None = None, espresso: str | None = None) -> list[_Stub]:
        dft = {"energy_above_hull", "band_gap"}
        return [
            _Stub("gpaw", dft, gpaw),
            _Stub("espresso", dft, espresso),
            _Stub("sevennet", {"energy_above_hull"}),
        ]

    return make


def test_auto_takes_the_best_installed_that_gives_all_that_is_needed(stubs: Callable[..., list[_Stub]]) -> None:
    assert pick_best(stubs(), ["energy_above_hull"]).name == "gpaw"
    assert pick_best(stubs("no gpaw"), ["band_gap"]).name == "espresso"
    assert pick_best(stubs("no gpaw", "no pw.x"), ["energy_above_hull"]).name == "sevennet"


def test_a_gap_without_dft_says_what_to_install(stubs: Callable[..., list[_Stub]]) -> None:
    with pytest.raises(
        EvaluationError, match=r"gives band_gap.*pip install gpaw.*apt-get.*sevennet does not give band"
    ):
        pick_best(stubs("pip install gpaw", "apt-get install quantum-espresso"), ["band_gap", "energy_above_hull"])
