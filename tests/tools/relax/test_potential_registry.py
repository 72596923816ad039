"""Potentials by name: built-in ones, entry points, and any ASE calculator by a factory."""

from __future__ import annotations

import hashlib
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from lodestone.tools.core.errors import ConfigError, ToolError
from lodestone.tools.core.structure import from_ase, volume
from lodestone.tools.core.types import PotentialRecord
from lodestone.tools.relax.ase_calculator import AseModel
from lodestone.tools.relax.batched import relax_batched
from lodestone.tools.relax.registry import BUILT_IN, make_potential, potential_names
from lodestone.tools.relax.settings import RelaxationSettings

FACTORIES = """
from ase.calculators.emt import EMT
from lodestone.tools.core.types import PotentialRecord
from lodestone.tools.relax.ase_calculator import AseModel

def plain():
    return EMT()

def told(model="none", device="none"):
    made = EMT()
    made.parameters["told"] = (model, device)
    return made

def stated():
    record = PotentialRecord(name="emt-1", package="ase", sha256="", licence="LGPL", elements=("Cu",))
    return AseModel(EMT(), record)

def broken():
    raise RuntimeError("no weights here")

def number():
    return 7
"""


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third-party package with factories, one of them behind an entry point."""
    (tmp_path / "some_potentials.py").write_text(FACTORIES)
    info = tmp_path / "some_potentials-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-potentials\nVersion: 2.5\nLicense: Apache-2.0\n")
    (info / "entry_points.txt").write_text("[lodestone.potentials]\nemt = some_potentials:stated\n")
    (info / "top_level.txt").write_text("some_potentials\n")
    (info / "RECORD").write_text("some_potentials.py,,\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("some_potentials", None)


def copper(scale: float = 1.02):
    return from_ase(bulk("Cu", "fcc", 3.6 * scale, cubic=True))


def test_built_in_potentials_are_made_by_name() -> None:
    assert potential_names()[:3] == BUILT_IN
    names = [make_potential(name, device="cpu").name for name in BUILT_IN]
    assert names == ["chgnet-0.3.0", "sevennet-0-11jul2024", "sevennet-l3i5-12dec2024"]


def test_any_ase_calculator_relaxes_through_a_factory() -> None:
    potential = make_potential("some_potentials:plain", RelaxationSettings(fmax=0.005))
    (result,) = potential.relax([("x", copper())])
    assert result.converged
    assert result.potential == potential.name == "plain-2.5"
    assert volume(result.crystal) ** (1 / 3) == pytest.approx(3.5917, abs=0.005)  # EMT's own minimum
    record = potential.record
    assert (record.package, record.sha256) == ("some-potentials 2.5", "")
    assert record.licence == "Apache-2.0 (of the package)"
    assert record.elements is None


def test_a_factory_is_told_model_and_device_and_its_weights_are_checksummed(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"weights")
    potential = make_potential("some_potentials:told", model=str(weights), device="cpu")
    assert potential.model._calculator.parameters["told"] == (str(weights), "cpu")
    assert potential.record.sha256 == hashlib.sha256(b"weights").hexdigest()
    assert potential.name == f"told-{potential.record.sha256[:8]}-2.5"
    assert make_potential("some_potentials:told", model="medium").name == "told-medium-2.5"


def test_an_entry_point_that_states_its_elements_refuses_the_others() -> None:
    assert "emt" in potential_names()
    potential = make_potential("emt")
    assert potential.name == "emt-1"
    gold = from_ase(bulk("Au", "fcc", 4.1))
    (result,) = potential.relax([("x", gold)])
    assert result.failure is not None
    assert "emt-1 never saw Au" in result.failure.reason
    with pytest.raises(ToolError, match="Crystal 1: emt-1 never saw Au"):
        potential.energies([copper(), gold])


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("chgnett", ConfigError, "Did you mean 'chgnet'"),
        ("no_such_package.calculators:mace_mp", ConfigError, "Install the package of 'no_such_package.calculators'"),
        ("some_potentials:missing", ConfigError, "cannot be imported"),
        ("some_potentials:broken", ToolError, "no weights here"),
        ("some_potentials:number", ConfigError, "gives a int"),
    ],
)
def test_what_cannot_be_made_says_why(name, error, words) -> None:
    with pytest.raises(error, match=words):
        make_potential(name)


def test_a_calculator_without_stress_is_refused() -> None:
    class Forces(Calculator):
        implemented_properties = ["energy", "forces"]

    record = PotentialRecord(name="half", package="none", sha256="", licence="not stated", elements=None)
    with pytest.raises(ToolError, match="half gives no stress"):
        AseModel(Forces(), record)


def test_what_a_calculator_raises_for_one_crystal_is_its_reason_alone() -> None:
    record = PotentialRecord(name="emt", package="ase", sha256="", licence="LGPL", elements=None)
    tin = from_ase(bulk("Sn", "diamond", 6.49))
    results = relax_batched(AseModel(EMT(), record), [("tin", tin), ("copper", copper())], RelaxationSettings())
    assert results[0].failure is not None
    assert "emt failed: NotImplementedError" in results[0].failure.reason
    assert results[1].converged


def test_a_calculator_that_answers_nan_ends_with_a_reason() -> None:
    class Undefined(Calculator):
        implemented_properties = ["energy", "forces", "stress"]

        def calculate(self, atoms=None, properties=None, system_changes=all_changes):
            self.results = {"energy": np.nan, "forces": np.zeros((len(atoms), 3)), "stress": np.zeros(6)}

    record = PotentialRecord(name="nan", package="none", sha256="", licence="not stated", elements=None)
    (result,) = relax_batched(AseModel(Undefined(), record), [("x", copper())], RelaxationSettings())
    assert result.failure is not None
    assert "not finite" in result.failure.reason


def test_atoms_that_collided_are_seen_whatever_the_calculator_says() -> None:
    atoms = bulk("Cu", "fcc", 3.6, cubic=True)
    atoms.positions[1] = atoms.positions[0] + [0.1, 0, 0]
    record = PotentialRecord(name="lj", package="ase", sha256="", licence="LGPL", elements=None)
    soft = LennardJones(epsilon=1e-12)
    (result,) = relax_batched(AseModel(soft, record), [("x", from_ase(atoms))], RelaxationSettings())
    assert result.failure is not None
    assert "collided: 0.10 Å" in result.failure.reason


def test_the_entry_point_group_is_the_documented_one() -> None:
    assert {point.name for point in metadata.entry_points(group="lodestone.potentials")} >= {"emt"}
