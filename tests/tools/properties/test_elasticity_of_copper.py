"""Equation of state and elastic tensor: published values of EMT copper, invariances, and what the checks say."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.calculators.emt import EMT

from lodestone.tools.core.errors import ToolError
from lodestone.tools.core.structure import from_ase
from lodestone.tools.core.types import Crystal
from lodestone.tools.properties.base import attempt, relaxed
from lodestone.tools.properties.elastic import ElasticModuli, elastic_moduli
from lodestone.tools.properties.eos import EquationOfState, equation_of_state


def test_equation_of_state_gives_the_published_lattice_and_bulk_modulus(copper: Crystal, emt: EMT) -> None:
    result = equation_of_state(copper, emt)
    assert result.valid, result.problems
    # ASE's tutorial on the equation of state, and Jacobsen et al. (1996): a = 3.589 Å, B = 134 GPa.
    assert (4 * result.quantities["volume_per_atom"].value) ** (1 / 3) == pytest.approx(3.590, abs=0.003)
    assert result.quantities["bulk_modulus"].value == pytest.approx(134.0, rel=0.02)
    assert result.quantities["bulk_modulus"].unit == "GPa"
    assert 0 < (result.quantities["bulk_modulus"].std or 0.0) < 2.0
    assert min(result.energies) == result.energies[3]
    assert EquationOfState.model_validate_json(result.model_dump_json()) == result


def test_bulk_modulus_is_the_same_by_energies_and_by_stresses(copper: Crystal, emt: EMT) -> None:
    by_energy = equation_of_state(copper, emt).quantities["bulk_modulus"].value
    by_stress = elastic_moduli(copper, emt).quantities["bulk_modulus"].value
    assert by_stress == pytest.approx(by_energy, rel=0.01)


def test_elastic_tensor_does_not_know_how_the_cell_is_chosen_or_turned(copper: Crystal) -> None:
    turned = bulk("Cu", cubic=True)
    turned.rotate(37.0, (1.0, 2.0, 3.0), rotate_cell=True)
    first, second = elastic_moduli(copper, EMT()), elastic_moduli(from_ase(turned), EMT())
    assert first.valid, first.problems
    assert second.valid, second.problems
    for name in ("c11", "c12", "c44", "shear_modulus", "universal_anisotropy"):
        assert second.quantities[name].value == pytest.approx(first.quantities[name].value, rel=0.01), name
    assert np.allclose(first.tensor, second.tensor, atol=1.0)
    assert ElasticModuli.model_validate_json(first.model_dump_json()) == first


def test_averages_are_ordered_as_voigt_and_reuss_proved(copper: Crystal, emt: EMT) -> None:
    values = {name: q.value for name, q in elastic_moduli(copper, emt).quantities.items()}
    assert values["shear_modulus_reuss"] < values["shear_modulus"] < values["shear_modulus_voigt"]
    assert values["young_modulus"] == pytest.approx(2 * values["shear_modulus"] * (1 + values["poisson_ratio"]))
    assert values["universal_anisotropy"] > 0


def test_body_centred_copper_violates_the_born_criteria(emt: EMT) -> None:
    result = elastic_moduli(from_ase(bulk("Cu", "bcc", a=2.87)), emt)
    assert not result.valid
    assert "Born stability criteria violated" in " ".join(result.problems)
    assert result.quantities["c11"].value < result.quantities["c12"].value


def test_a_minimum_outside_of_the_volumes_is_said(copper: Crystal, emt: EMT, monkeypatch: pytest.MonkeyPatch) -> None:
    def not_relaxed(crystal: Crystal, calculator: EMT, *_: object) -> object:
        atoms = bulk("Cu", a=3.80)
        atoms.calc = calculator
        return atoms

    monkeypatch.setattr("lodestone.tools.properties.eos.relaxed", not_relaxed)
    result = equation_of_state(copper, emt)
    assert not result.valid
    assert "outside of the sampled" in " ".join(result.problems)
    assert result.failure is not None
    assert result.failure.kind == "unphysical"
    assert result.quantities == {}


@pytest.mark.parametrize(
    ("wiggle", "slope", "words"), [(0.2, 4.5, "does not fit: R²"), (0.0, 14.0, "solids lie between 1 and 10")]
)
def test_a_curve_that_no_solid_has_gives_no_number(
    copper: Crystal, emt: EMT, monkeypatch: pytest.MonkeyPatch, wiggle: float, slope: float, words: str
) -> None:
    turns = iter((1, -1) * 10)

    def of_the_textbook(atoms: Atoms) -> float:
        """Birch-Murnaghan with a volume of 11.565 Å³, 134 GPa and the slope given; every other energy off it."""
        eta = (11.565 / (atoms.get_volume() / len(atoms))) ** (2 / 3)
        scale = 9 * 11.565 * (134.0 / 160.21766) / 16
        curve = scale * ((eta - 1) ** 3 * slope + (eta - 1) ** 2 * (6 - 4 * eta))
        return float(len(atoms) * (curve + wiggle * 0.02 * next(turns)))

    monkeypatch.setattr("lodestone.tools.properties.eos.energy", of_the_textbook)
    result = equation_of_state(copper, emt)
    assert result.failure is not None
    assert result.failure.kind == "unphysical"
    assert words in result.failure.reason
    assert result.quantities == {}


def test_a_crystal_that_does_not_relax_is_a_reason_not_an_exception(emt: EMT) -> None:
    rattled = bulk("Cu", cubic=True)
    rattled.rattle(0.1, seed=1)
    crystal = from_ase(rattled)
    result = attempt(EquationOfState, crystal, 1000, lambda meter: relaxed(crystal, emt, meter, max_steps=2))
    assert not result.valid
    assert result.failure is not None
    assert result.failure.kind == "not_relaxed"
    assert "did not reach 0.005 eV/Å in 2 steps" in result.failure.reason


def test_atoms_too_far_apart_to_feel_each_other_are_no_solid(emt: EMT) -> None:
    result = equation_of_state(from_ase(bulk("Cu", "sc", a=6.5)), emt)
    assert not result.valid
    assert result.problems


def test_cost_is_refused_in_words_before_it_is_spent(emt: EMT) -> None:
    large = from_ase(make_supercell(bulk("Cu"), np.diag((3, 3, 3))))
    result = elastic_moduli(large, emt, max_cost=300)
    assert result.failure is not None
    assert result.failure.kind == "too_expensive"
    assert "24 force evaluations of 27 atoms" in result.failure.reason
    assert "at most 300" in result.failure.reason
    assert result.cost <= 300


@pytest.mark.parametrize("strains", [(0.01, 0.02, 0.03, 0.04), (-0.01, 0.01), (-0.5, -0.2, 0.2, 0.5)])
def test_strains_without_a_derivative_are_refused(copper: Crystal, emt: EMT, strains: tuple[float, ...]) -> None:
    with pytest.raises(ToolError, match="Give four or more"):
        elastic_moduli(copper, emt, strains=strains)
