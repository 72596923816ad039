"""Corrections of 2020 against the table of Wang et al., Sci. Rep. 11, 15496 (2021): eV per atom of anion or metal."""

from __future__ import annotations

from pathlib import Path

import pytest
from ase.build import bulk

from lodestone.tools.core.structure import from_ase
from lodestone.tools.core.types import Crystal
from lodestone.tools.evaluate.base import CalculationFailed
from lodestone.tools.evaluate.corrections import correction_words, mp2020_correction
from lodestone.tools.evaluate.hubbard import hubbard_values
from lodestone.tools.evaluate.registry import create_evaluator, evaluator_names

TABLE = {
    # Of the anion
    ("MgO", 4.21): {"O": -0.687},
    ("MgS", 5.20): {"S": -0.503},
    ("LiF", 4.03): {"F": -0.462},
    ("NaCl", 5.64): {"Cl": -0.614},
    ("ScN", 4.50): {"N": -0.361},
    # Of the anion, and of the metal with U
    ("FeO", 4.33): {"O": -0.687, "Fe": -2.256},
    ("MnO", 4.44): {"O": -0.687, "Mn": -1.668},
    ("CoO", 4.26): {"O": -0.687, "Co": -1.638},
    ("NiO", 4.17): {"O": -0.687, "Ni": -2.541},
    ("VO", 4.09): {"O": -0.687, "V": -1.7},
}


def _rock_salt(formula: str, a: float) -> Crystal:
    return from_ase(bulk(formula, "rocksalt", a=a))


@pytest.mark.parametrize(("formula", "a"), TABLE)
def test_each_correction_is_that_of_the_paper(formula: str, a: float) -> None:
    crystal = _rock_salt(formula, a)
    found = mp2020_correction(crystal, -20.0, hubbard_values(crystal, "mp"))
    assert found.value == pytest.approx(sum(TABLE[formula, a].values()), abs=1e-3)
    assert len(found.parts) == len(TABLE[formula, a])
    assert 0.0 < found.std < 0.05


def test_a_correction_grows_with_the_cell_and_an_element_has_none() -> None:
    cube = from_ase(bulk("FeO", "rocksalt", a=4.33, cubic=True))
    found = mp2020_correction(cube, -80.0, hubbard_values(cube, "mp"))
    assert found.value == pytest.approx(4 * (-0.687 - 2.256), abs=1e-3)
    for crystal in (from_ase(bulk("Fe", "bcc", a=2.83)), from_ase(bulk("Al", "fcc", a=4.05))):
        assert mp2020_correction(crystal, -8.0, {}).value == 0.0


def test_a_peroxide_is_not_corrected_as_an_oxide() -> None:
    a = 5.0
    places = ((0.0, 0.0, 0.0), (0.5, 0.5, 0.0), (0.5, 0.15, 0.5), (0.5, 0.85, 0.5))
    peroxide = Crystal(
        lattice=((a, 0.0, 0.0), (0.0, a, 0.0), (0.0, 0.0, a)), species=("Na", "Na", "O", "O"), frac_coords=places
    )
    assert mp2020_correction(peroxide, -20.0, {}).value == pytest.approx(2 * -0.465, abs=1e-3)


def test_an_oxide_that_lacks_its_u_has_no_correction() -> None:
    with pytest.raises(CalculationFailed, match="no correction of 2020 belongs to FeO"):
        mp2020_correction(_rock_salt("FeO", 4.33), -20.0, {})


def test_no_evaluator_mixes_energies_with_and_without_u_unless_they_are_corrected(tmp_path: Path) -> None:
    """Without corrections an evaluator with U gives no formation energy and no hull, and says U in its method, so that
    `Hull`, which takes one method, refuses the mixture."""
    for name in evaluator_names():
        evaluator = create_evaluator(name, tmp_path)
        if "hubbard" not in type(evaluator.settings).model_fields:
            continue
        with_u = create_evaluator(name, tmp_path, {"hubbard": "mp"})
        assert with_u.method != evaluator.method
        assert "formation_energy" not in with_u.properties
        offered = "corrections" in type(evaluator.settings).model_fields
        assert offered == (name == "vasp"), "fitted to VASP's energies, offered for no other code"
    assert correction_words("none") == ""
