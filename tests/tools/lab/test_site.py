"""A laboratory as its folder describes it, and the crystals that it knows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lodestone.tools.core.errors import LabError
from lodestone.tools.core.structure import to_ase
from lodestone.tools.lab.known_phases import library
from lodestone.tools.lab.recipes.formulas import same_ratios
from lodestone.tools.lab.site import FILE, Site, read_site
from lodestone.tools.lab.templates import OXIDE_IN_AIR
from lodestone.tools.lab.twin.chemistry_data import solids
from lodestone.tools.lab.twin.founding import KEY_FILE, PERSON, found, shelf, structures

DENSITIES = {
    "BaCO3-aragonite": 4.29, "SrTiO3-perovskite": 5.12, "Sr2TiO4-K2NiF4": 5.00, "LiCoO2-LiCoO2": 5.06,
    "Li2CO3-zabuyelite": 2.11, "Ba(NO3)2-nitrate": 3.24, "Co3O4-spinel": 6.11, "MgAl2O4-spinel": 3.58,
    "La2O3-La2O3": 6.51, "Y3Al5O12-garnet": 4.55, "LiHO-LiOH": 1.46, "Li2MnO3-Li2MnO3": 3.90,
}  # fmt: skip
"""g/cm3; CRC Handbook, 97th ed., section 4, and Wyckoff, Crystal Structures."""


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("laboratory")
    found(folder, seed=5).stop()
    return folder


@pytest.mark.parametrize(("name", "density"), DENSITIES.items())
def test_known_crystals_have_their_published_densities(name: str, density: float) -> None:
    phase = next(p for p in library() if p.id == name)
    atoms = to_ase(phase.crystal)
    grams = atoms.get_masses().sum() * 1.66053907
    assert grams / atoms.get_volume() == pytest.approx(density, rel=0.03)


def test_atoms_of_known_crystals_do_not_touch() -> None:
    for phase in library():
        distances = to_ase(phase.crystal).get_all_distances(mic=True)
        nearest = distances[distances > 1e-6].min() if (distances > 1e-6).any() else 9.0
        assert nearest > (0.85 if "H" in phase.crystal.species else 1.15), phase.id


def test_a_twin_knows_its_solids_by_its_own_names() -> None:
    names = {p.formula for p in structures()}
    assert names <= set(solids())
    assert {"ZnFe2O4", "PbTiO3", "Ba(NO3)2"} <= names, "not as a reduced formula would spell them"
    assert set(shelf(structures())) <= names


def test_a_twin_writes_down_its_laboratory(twin: Path) -> None:
    site = read_site(twin)
    assert site.simulated
    assert set(site.book().names()) == {"oxide_in_air", "oxide_in_argon", "reduction_in_hydrogen"}
    assert {same_ratios(p.formula) for p in site.phases} <= {same_ratios(c.formula) for c in site.compounds}
    assert (twin / KEY_FILE).stat().st_mode & 0o077 == 0, "only its owner reads a private key"
    assert PERSON in site.people


def test_lithium_is_kept_out_of_alumina_where_it_would_eat_it(twin: Path) -> None:
    site = read_site(twin)
    powders = ("Li2CO3", "Co3O4")
    assert site.crucible_for(OXIDE_IN_AIR.name, powders, "air", 1100.0) == "alumina"
    assert site.crucible_for(OXIDE_IN_AIR.name, powders, "air", 1250.0) == "zirconia"
    assert site.crucible_for(OXIDE_IN_AIR.name, powders, "air", 1500.0) is None, "lithium leaves any of them"
    assert site.crucible_for("nobody_approved_it", powders, "air", 1100.0) is None


def test_phases_of_a_sample_are_those_of_its_elements_and_of_air(twin: Path) -> None:
    found_elements = {frozenset(p.crystal.species) for p in read_site(twin).phases_of(frozenset({"Sr", "Ti"}))}
    assert frozenset({"Sr", "C", "O"}) in found_elements
    assert all(e <= {"Sr", "Ti", "O", "C", "H", "N"} for e in found_elements)


@pytest.mark.parametrize(("change", "why"), [
    ({"simulated": False}, "faster in a twin only"),
    ({"addresses": []}, "addresses"),
    ({"shelf": ["Xx2O"]}, "no element"),
    ({"furnaces": ["furnace_9"]}, "furnace_9"),
    ({"colour": "blue"}, "colour"),
])  # fmt: skip
def test_a_wrong_description_is_refused_with_the_place(twin: Path, tmp_path: Path, change: dict, why: str) -> None:
    told = json.loads((twin / FILE).read_text()) | change
    (tmp_path / FILE).write_text(json.dumps(told))
    with pytest.raises(LabError, match=why):
        read_site(tmp_path)


def test_a_changed_template_is_no_longer_approved(twin: Path) -> None:
    site = read_site(twin)
    hotter = site.templates[0].template.model_copy(update={"temperature_k": (600.0, 2500.0)})
    forged = site.templates[0].model_copy(update={"template": hotter})
    changed = Site.model_validate(site.model_dump() | {"templates": [forged.model_dump()]})
    with pytest.raises(LabError, match="not approved"):
        changed.book()


def test_no_laboratory_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="lodestone lab twin"):
        read_site(tmp_path)
    (tmp_path / FILE).write_text("{")
    with pytest.raises(LabError, match=r"site\.json"):
        read_site(tmp_path)


def test_a_founding_that_was_cut_off_is_not_taken_for_a_laboratory(tmp_path: Path) -> None:
    (tmp_path / "twin.json").write_text("{}")
    with pytest.raises(LabError, match="cut off"):
        found(tmp_path)
