"""Computed crystals among those that a laboratory knows: the same one after an error of calculation, or another one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from lodestone.tools.core.errors import ToolError
from lodestone.tools.core.synthesis import Identification, Phase, PhaseFound
from lodestone.tools.core.types import Crystal
from lodestone.tools.lab.evaluator import target_fraction
from lodestone.tools.lab.known_phases import library
from lodestone.tools.lab.predicted import expecting, known_as
from lodestone.tools.lab.site import Site
from lodestone.tools.lab.twin.founding import literature, structures


@cache
def site() -> Site:
    """What a twin knows; nobody talks to its instruments."""
    known: Any = {"phases": structures(), "compounds": literature(0)}
    return Site.model_construct(name="paper", **known)


def known(name: str) -> Crystal:
    return next(p.crystal for p in library() if p.id == name)


def strained(crystal: Crystal, strain: float) -> Crystal:
    lattice = (1.0 + strain) * np.array(crystal.lattice)
    return crystal.model_copy(update={"lattice": tuple(map(tuple, lattice.tolist()))})


def doubled(crystal: Crystal, shift: float) -> Crystal:
    """Two cells along c; the first atom of each moved apart by so much of the new cell."""
    lattice = np.array(crystal.lattice) * np.array([[1.0], [1.0], [2.0]])
    places = np.array(crystal.frac_coords)
    low, high = places * [1, 1, 0.5], places * [1, 1, 0.5] + [0, 0, 0.5]
    low[0, 2] += shift
    high[0, 2] -= shift
    return crystal.model_copy(
        update={
            "lattice": tuple(map(tuple, lattice.tolist())),
            "species": crystal.species * 2,
            "frac_coords": tuple(map(tuple, np.vstack([low, high]).tolist())),
        }
    )


def predicted(formula: str, crystal: Crystal, energy: float | None = None) -> Phase:
    return Phase(id=f"{formula}-predicted", formula=formula, crystal=crystal, formation_energy_ev_per_atom=energy)


@pytest.mark.parametrize("change", [
    lambda c: strained(c, 0.03),
    lambda c: strained(c, -0.02),
    lambda c: doubled(c, 0.01),
])  # fmt: skip
def test_a_known_crystal_is_known_in_spite_of_errors_of_calculation(change: Callable[[Crystal], Crystal]) -> None:
    phase = predicted("SrTiO3", change(known("SrTiO3-perovskite")))
    assert known_as(phase, site().phases) == ("SrTiO3-perovskite",)
    there, wanted = expecting(site(), phase)
    assert wanted == {"SrTiO3-perovskite"}
    assert len(there.phases) == len(site().phases), "its measured cell is looked for"
    assert there.compounds == site().compounds


def test_forms_of_titania_are_told_apart() -> None:
    names = {p.id for p in site().phases if p.formula == "TiO2"}
    assert {"TiO2-rutile", "TiO2-anatase"} <= names
    for name in ("TiO2-rutile", "TiO2-anatase"):
        assert known_as(predicted("TiO2", strained(known(name), 0.015)), site().phases) == (name,)


def test_an_unknown_form_is_looked_for_with_its_own_cell() -> None:
    ilmenite = known("MgTiO3-ilmenite")
    other = ilmenite.model_copy(update={"species": tuple("Sr" if s == "Mg" else s for s in ilmenite.species)})
    phase = predicted("SrTiO3", other)
    there, wanted = expecting(site(), phase)
    assert wanted == {"SrTiO3-predicted"}
    assert there.phases[-1] == phase
    assert {p.id for p in there.structures_of("SrTiO3")} > wanted
    assert there.compounds == site().compounds, "energies of two sources make no driving force"


def test_a_composition_that_nobody_knows_brings_its_energy() -> None:
    garnet = known("Y3Al5O12-garnet")
    other = garnet.model_copy(update={"species": tuple("Sc" if s == "Y" else s for s in garnet.species)})
    there, _ = expecting(site(), predicted("Sc3Al5O12", other, -3.5))
    compound = next(c for c in there.compounds if c.formula == "Sc3Al5O12")
    assert compound.formation_energy_ev_per_atom == -3.5
    assert compound.volume_a3_per_atom == pytest.approx(12.0**3 / 160, rel=0.05)
    with pytest.raises(ToolError, match="formation energy"):
        expecting(site(), predicted("Sc3Al5O12", other))


def test_only_the_predicted_form_counts() -> None:
    both = Identification(
        phases=(found("TiO2-rutile", 0.7), found("TiO2-anatase", 0.3)), unknown_probability=0.0, r_wp=0.1
    )
    assert target_fraction(both, "TiO2")[0] == pytest.approx(1.0)
    assert target_fraction(both, "TiO2", {"TiO2-anatase"})[0] == pytest.approx(0.3)
    assert target_fraction(both, "TiO2", {"TiO2-predicted"})[0] == 0.0


def found(name: str, share: float) -> PhaseFound:
    return PhaseFound(
        phase_id=name,
        formula=name.split("-")[0],
        weight_fraction=share,
        uncertainty=0.01,
        probability=0.9,
        cell_change=0.0,
    )
