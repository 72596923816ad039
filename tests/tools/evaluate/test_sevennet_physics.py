"""SevenNet through a real worker, against measured crystals."""

from __future__ import annotations

import time

import pytest
from ase.build import bulk

from lodestone.tools.core.structure import from_ase
from lodestone.tools.core.types import Crystal, EvaluationRequest, JobStatus, Observation
from lodestone.tools.evaluate.registry import create_evaluator

FAR = ((30.0, 0.0, 0.0), (0.0, 30.0, 0.0), (0.0, 0.0, 30.0))
REQUESTS = {
    "NaCl": (from_ase(bulk("NaCl", "rocksalt", a=5.4)), ("formation_energy",)),
    "NaCl8": (from_ase(bulk("NaCl", "rocksalt", a=5.4, cubic=True)), ("formation_energy",)),
    "CsCl-type NaCl": (from_ase(bulk("NaCl", "cesiumchloride", a=3.5)), ("formation_energy",)),
    "MgO": (from_ase(bulk("MgO", "rocksalt", a=4.3)), ("bulk_modulus",)),
    "lone atom": (Crystal(lattice=FAR, species=("Na",), frac_coords=((0.0, 0.0, 0.0),)), ()),
}


@pytest.fixture(scope="module")
def observations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Observation]:
    """All crystals in one batch: the network is loaded once."""
    evaluator = create_evaluator("sevennet", tmp_path_factory.mktemp("sevennet"), {"threads": 1})
    assert evaluator.available() is None
    pairs = {}
    for name, (crystal, properties) in REQUESTS.items():
        request = EvaluationRequest(candidate_id=name, crystal=crystal, properties=properties)
        pairs[name] = (evaluator.key(request), request)
    evaluator.submit(list(pairs.values()))
    deadline = time.monotonic() + 120
    while any(evaluator.lookup(key) is JobStatus.RUNNING for key, _ in pairs.values()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return {name: evaluator.harvest(key) for name, (key, _) in pairs.items()}


def test_it_is_labelled_as_what_it_is(observations: dict[str, Observation]) -> None:
    for observation in observations.values():
        assert observation.fidelity == "potential"
        assert "not DFT" in observation.method
        assert "band_gap" not in observation.values


def test_rock_salt_relaxes_to_its_measured_lattice(observations: dict[str, Observation]) -> None:
    salt = observations["NaCl"]
    assert salt.failure is None
    assert salt.crystal is not None
    assert (8 * salt.values["volume_per_atom"].value) ** (1 / 3) == pytest.approx(5.64, rel=0.02)
    assert salt.values["density"].value == pytest.approx(2.163, rel=0.06)


def test_energy_per_atom_does_not_depend_on_the_cell(observations: dict[str, Observation]) -> None:
    one, four = (observations[name].values["energy_per_atom"].value for name in ("NaCl", "NaCl8"))
    assert four == pytest.approx(one, abs=2e-4)


def test_rock_salt_lies_below_the_caesium_chloride_type(observations: dict[str, Observation]) -> None:
    salt, other = (observations[name].values["energy_per_atom"].value for name in ("NaCl", "CsCl-type NaCl"))
    assert 0.02 < other - salt < 0.2  # eV/atom; PBE gives 0.07


def test_bulk_modulus_of_periclase(observations: dict[str, Observation]) -> None:
    assert observations["MgO"].failure is None
    assert 130 < observations["MgO"].values["bulk_modulus"].value < 190  # measured 160 GPa


def test_what_is_no_solid_is_a_failure_with_a_reason(observations: dict[str, Observation]) -> None:
    failure = observations["lone atom"].failure
    assert failure is not None
    assert "no solid" in failure.reason or "changed its volume" in failure.reason
    assert observations["lone atom"].values == {}


def test_each_gives_an_energy_and_costs_something(observations: dict[str, Observation]) -> None:
    for name, observation in observations.items():
        assert observation.cost_core_s > 0
        assert ("energy_per_atom" in observation.values) == (name != "lone atom")
