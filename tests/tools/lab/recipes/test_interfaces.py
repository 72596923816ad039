"""Reactions at interfaces: conservation, parity with linear programming, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from lodestone.tools.core.errors import ToolError
from lodestone.tools.lab.recipes.formulas import amounts_of, atom_count
from lodestone.tools.lab.recipes.interfaces import Corners, corners

SOLIDS = ("BaO", "BaO2", "BaCO3", "TiO2", "BaTiO3", "Ba2TiO4", "BaTi2O5", "CuO", "Cu2O", "BaCuO2", "Y2O3", "Y2Cu2O5",
          "Y2BaCuO5", "YBa2Cu3O7", "YBa2Cu3O6", "BaY2O4")  # fmt: skip
CONTACTS = (("BaCO3", "TiO2"), ("BaO", "TiO2"), ("BaCO3", "CuO"), ("BaCuO2", "Y2Cu2O5"), ("Y2O3", "BaCuO2"),
            ("BaCO3",), ("BaO2",), ("BaCuO2", "CuO", "Y2BaCuO5"), ("BaTiO3", "CuO"))  # fmt: skip


def unbalanced(found: Corners) -> float:
    elements = sorted({symbol for name in found.species for symbol in amounts_of(name)})
    table = np.array([[float(amounts_of(name).get(symbol, 0)) for symbol in elements] for name in found.species])
    return float(np.abs(found.coefficients @ table).max(initial=0.0))


@pytest.mark.parametrize("contact", CONTACTS)
def test_every_corner_conserves_elements_and_uses_all_reactants(contact: tuple[str, ...]):
    found = corners(contact, SOLIDS)
    assert len(found.coefficients)
    assert unbalanced(found) < 1e-9
    left = found.coefficients[:, : len(contact)]
    assert (left < 0.0).all()
    sizes = np.array([atom_count(name) for name in found.species[: len(contact)]])
    assert (-left @ sizes) == pytest.approx(np.ones(len(left)))
    assert (found.coefficients[:, len(contact) : found.solids] >= 0.0).all()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([c for c in CONTACTS if len(c) == 2]), st.integers(0, 10_000))
def test_the_lowest_corner_is_the_optimum_of_the_linear_programme(contact: tuple[str, str], seed: int):
    """One programme over all mixtures of the two solids, against the list of corners. Reactions that leave one of the
    solids alone are no business of an interface, so energies are drawn such that no solid falls apart by itself."""
    found = corners(contact, SOLIDS)
    rng = np.random.default_rng(seed)
    energies = rng.normal(0.0, 1.0, len(found.species))
    energies[: len(contact)] = -200.0 + rng.normal(0.0, 1.0, len(contact))
    energies[len(contact) :] += [-40.0 * atom_count(name) for name in found.species[len(contact) :]]
    gases = found.species[found.solids :]
    elements = sorted({symbol for name in found.species for symbol in amounts_of(name)})
    signs = np.array([-1.0] * len(contact) + [1.0] * (len(found.species) - len(contact)))
    balance = [
        [s * float(amounts_of(n).get(e, 0)) for n, s in zip(found.species, signs, strict=True)] for e in elements
    ]
    size = [atom_count(name) if i < len(contact) else 0.0 for i, name in enumerate(found.species)]
    bounds = [(None, None) if name == "O2" and name in gases else (0.0, None) for name in found.species]
    # Both solids take part: what is left of one is the same as less of it.
    answer = linprog(
        energies * signs, A_eq=[*balance, size], b_eq=[0.0] * len(elements) + [1.0], bounds=bounds, method="highs"
    )
    assert answer.status == 0
    best = min(float(row @ energies) for one in (contact, contact[:1], contact[1:]) for row in _rows(one, found))
    assert best == pytest.approx(answer.fun, abs=1e-6)


def _rows(contact: tuple[str, ...], like: Corners) -> list[np.ndarray]:
    """Corners of some of the reactants, in the columns of another table; the other reactant may not form."""
    found = corners(contact, [name for name in like.species[: like.solids] if name not in like.species[:2]])
    place = {name: index for index, name in enumerate(like.species)}
    rows = []
    for row in found.coefficients:
        moved = np.zeros(len(like.species))
        for name, number in zip(found.species, row, strict=True):
            moved[place[name]] = number
        rows.append(moved)
    return rows


def test_the_order_of_solids_changes_nothing():
    one, other = corners(("BaCO3", "TiO2"), SOLIDS), corners(("TiO2", "BaCO3"), tuple(reversed(SOLIDS)))
    assert one.species == other.species
    assert (one.coefficients == other.coefficients).all()


def test_solids_that_share_nothing_to_form_have_no_reaction():
    assert not len(corners(("BaO", "TiO2"), ("BaO", "TiO2", "CuO")).coefficients)


def test_too_many_solids_in_one_contact_are_refused():
    with pytest.raises(ToolError, match="in one contact"):
        corners(SOLIDS[:5], SOLIDS)
    with pytest.raises(ToolError, match="in one contact"):
        corners((), SOLIDS)
