"""The hull: textbook geometry, parity with pymatgen, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lodestone.tools.core.errors import ToolError
from lodestone.tools.evaluate.hull import Hull, HullEntry

METHOD = "toy-1"
PARITY = 1e-8
"""eV/atom."""


def entry(name: str, amounts: dict[str, float], energy: float, method: str = METHOD, source: str = "reference"):
    return HullEntry(id=name, amounts=amounts, energy_per_atom=energy, source=source, method=method)


def binary() -> Hull:
    """Na at -1, Cl at -2, NaCl 2 eV/atom below their mean, and a metastable Na3Cl on no tie line."""
    return Hull(
        [
            entry("na", {"Na": 1}, -1.0),
            entry("na-high", {"Na": 4}, -0.7),
            entry("cl", {"Cl": 2}, -2.0),
            entry("nacl", {"Na": 4, "Cl": 4}, -3.5, source="campaign"),
            entry("na3cl", {"Na": 3, "Cl": 1}, -1.75, source="campaign"),
        ]
    )


def test_formation_energy_is_relative_to_the_lowest_form_of_each_element():
    assert binary().formation_energy({"Na": 1, "Cl": 1}, -3.5) == pytest.approx(-2.0)


def test_hull_is_the_tie_line_between_neighbours():
    hull = binary()
    # Na3Cl = 1/2 Na + 1/2 NaCl per atom, so the tie line is at the mean of -1 and -3.5.
    assert hull.hull_energy({"Na": 3, "Cl": 1}) == pytest.approx(-2.25)
    assert hull.distance({"Na": 3, "Cl": 1}, -1.75) == pytest.approx(0.5)


def test_a_phase_that_lowers_the_hull_has_negative_distance_and_is_on_the_hull():
    hull = binary()
    assert hull.distance({"Na": 1, "Cl": 1}, -3.6) == pytest.approx(-0.1)
    assert hull.energy_above_hull({"Na": 1, "Cl": 1}, -3.6) == 0.0
    lower = hull.extended([entry("new", {"Na": 1, "Cl": 1}, -3.6)])
    assert lower.distance({"Na": 1, "Cl": 1}, -3.5) == pytest.approx(0.1)


def test_phases_lists_every_entry_with_its_place():
    rows = {row.entry.id: row for row in binary().phases()}
    assert rows["nacl"].energy_above_hull == rows["na"].energy_above_hull == 0.0
    assert rows["na-high"].energy_above_hull == pytest.approx(0.3)
    assert rows["na3cl"].formula == "Na3Cl"
    assert rows["nacl"].formation_energy == pytest.approx(-2.0)


def test_statement_says_relative_to_what():
    text = binary().statement()
    assert text == "relative to the elements Cl, Na and 2 compound phases (2 campaign), all by toy-1"


def test_one_element_alone_is_a_hull():
    hull = Hull([entry("a", {"Si": 2}, -5.0), entry("b", {"Si": 1}, -4.8)])
    assert hull.distance({"Si": 8}, -4.8) == pytest.approx(0.2)
    assert hull.statement() == "relative to the element Si, all by toy-1"


@settings(max_examples=25, deadline=None)
@given(st.integers(min_value=0, max_value=10_000), st.integers(min_value=2, max_value=4))
def test_distances_agree_with_pymatgen(seed: int, count: int):
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    rng = np.random.default_rng(seed)
    elements = ["Li", "O", "P", "S"][:count]
    entries = [entry(s, {s: 1}, float(rng.normal())) for s in elements]
    for index in range(12):
        amounts = {s: int(n) for s, n in zip(elements, rng.integers(0, 5, count), strict=True) if n}
        if amounts:
            entries.append(entry(str(index), amounts, float(rng.normal(-1.0, 1.0))))
    hull = Hull(entries)
    diagram = PhaseDiagram(
        [PDEntry(Composition(e.amounts), e.energy_per_atom * sum(e.amounts.values())) for e in entries]
    )
    asked = [{s: float(n) for s, n in zip(elements, rng.integers(1, 9, count), strict=True)} for _ in range(5)]
    expected = [diagram.get_hull_energy_per_atom(Composition(a)) for a in asked]
    assert hull.hull_energies(asked) == pytest.approx(expected, abs=PARITY)
    assert min(hull.distances([(e.amounts, e.energy_per_atom) for e in entries])) == pytest.approx(0.0, abs=PARITY)


def test_scaling_amounts_changes_nothing():
    hull = binary()
    assert hull.hull_energy({"Na": 6, "Cl": 2}) == pytest.approx(hull.hull_energy({"Na": 0.75, "Cl": 0.25}))


def test_mixed_methods_are_refused_by_name():
    with pytest.raises(ToolError, match=r"PBE, toy-1"):
        Hull([entry("na", {"Na": 1}, -1.0), entry("cl", {"Cl": 1}, -2.0, method="PBE")])


def test_missing_element_is_named():
    with pytest.raises(ToolError, match="reference for Cl"):
        Hull([entry("na", {"Na": 1}, -1.0), entry("nacl", {"Na": 1, "Cl": 1}, -3.5)])


@pytest.mark.parametrize("amounts", [{"Na": -1.0, "Cl": 2.0}, {"Na": 0.0}, {"Na": float("nan")}, {"K": 1.0}], ids=str)
def test_unusable_compositions_are_refused(amounts: dict[str, float]):
    with pytest.raises(ToolError):
        binary().hull_energy(amounts)


def test_no_entries_and_empty_questions():
    with pytest.raises(ToolError, match="none were given"):
        Hull([])
    assert binary().hull_energies([]).shape == (0,)
    assert binary().distances([]).shape == (0,)
