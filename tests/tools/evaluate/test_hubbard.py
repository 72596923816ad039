"""+U: the published table, only where it holds, in the key, in the method and in each code's own words."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from ase.build import bulk

from lodestone.tools.core.structure import from_ase
from lodestone.tools.core.types import EvaluationRequest
from lodestone.tools.evaluate.hubbard import MP_VALUES, hubbard_values
from lodestone.tools.evaluate.registry import create_evaluator

NIO = EvaluationRequest(candidate_id="NiO", crystal=from_ase(bulk("NiO", "rocksalt", a=4.18)), properties=("band_gap",))
NIS = NIO.model_copy(update={"crystal": NIO.crystal.model_copy(update={"species": ("Ni", "S")})})


def test_values_are_those_of_the_materials_project() -> None:
    from pymatgen.io.vasp.sets import MPRelaxSet

    theirs = MPRelaxSet.CONFIG["INCAR"]["LDAUU"]
    for anion in ("O", "F"):
        assert {el: u.value for el, u in MP_VALUES.items()} == {el: float(v) for el, v in theirs[anion].items()}


def test_only_transition_metals_in_oxides_and_fluorides_have_a_u() -> None:
    assert hubbard_values(NIO.crystal, "mp") == {"Ni": ("3d", 6.2)}
    assert hubbard_values(NIO.crystal, "none") == {}
    assert hubbard_values(NIS.crystal, "mp") == {}


@pytest.mark.parametrize("name", ["gpaw", "espresso"])
def test_the_choice_is_in_key_and_method_and_bars_comparisons_of_energies(name: str, tmp_path: Path) -> None:
    plain, with_u = create_evaluator(name, tmp_path), create_evaluator(name, tmp_path, {"hubbard": "mp"})
    assert plain.key(NIO) != with_u.key(NIO)
    assert "+U" in with_u.method
    assert "+U" not in plain.method
    assert "formation_energy" in plain.properties
    assert not {"formation_energy", "energy_above_hull"} & with_u.properties
    assert "band_gap" in with_u.properties


def test_gpaw_is_told_by_its_setups(tmp_path: Path) -> None:
    assert "setups={'Ni': ':d,6.2'}" in create_evaluator("gpaw", tmp_path, {"hubbard": "mp"}).deck(NIO)
    assert "setups" not in create_evaluator("gpaw", tmp_path).deck(NIO)


@pytest.mark.parametrize(
    ("version", "told"),
    [("7.3.1", "HUBBARD (atomic)\nU Ni-3d 6.2"), ("6.7MaX", "hubbard_u(1)     = 6.2"), ("7.0", "hubbard_u(1)")],
)
def test_pw_is_told_by_a_card_from_7_1_on_and_by_the_namelist_before(version: str, told: str, tmp_path: Path) -> None:
    fake = tmp_path / "pw-for-tests"
    fake.write_text(f"#!/bin/sh\necho '     Program PWSCF v.{version} starts'\n")
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    for name in ("Ni.upf", "O.upf"):
        (tmp_path / name).write_text('<PP_HEADER z_valence="10.0"/>')
    settings = {"hubbard": "mp", "command": [str(fake)], "pseudo_dir": str(tmp_path)}
    deck = create_evaluator("espresso", tmp_path, settings).deck(NIO)
    assert told in deck
    assert "starting_magnetization(1) = 0.2" in deck  # 2 of Ni's 10 electrons
