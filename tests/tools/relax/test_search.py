"""The search by itself, on functions whose minimum is known exactly."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from lodestone.tools.core.errors import ToolError
from lodestone.tools.relax.search import Search, SearchSettings
from lodestone.tools.relax.stepwise import StepwiseMinimiser

Function = Callable[[np.ndarray], float]


def run(function: Function, size: int, budget: int = 200, seed: int = 1, **settings) -> Search:
    search = Search(size, seed, SearchSettings(**settings), budget)
    while len(points := search.ask()):
        search.tell(points, [function(point) for point in points])
    return search


def valley(size: int, seed: int = 0) -> tuple[Function, np.ndarray]:
    """A quadratic valley that lies askew, its minimum off the origin; eV/atom, about as stiff as a crystal."""
    rng = np.random.default_rng(seed)
    turn = np.linalg.qr(rng.normal(size=(size, size)))[0]
    stiff = (turn * np.geomspace(0.3, 5.0, size)) @ turn.T
    lowest = rng.uniform(-0.2, 0.2, size)
    return lambda z: float((z - lowest) @ stiff @ (z - lowest)) - 3.0, lowest


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_minimum_is_found_to_a_tenth_of_a_millielectronvolt(size: int) -> None:
    function, lowest = valley(size)
    search = run(function, size)
    assert search.converged
    assert function(search.point) == pytest.approx(-3.0, abs=1e-4)
    assert search.point == pytest.approx(lowest, abs=0.02)
    assert search.evaluations < 15 * (size + 1)


def test_refinement_alone_needs_no_process() -> None:
    function, _ = valley(10)
    search = run(function, 10, per_parameter=0)
    assert search.converged
    assert function(search.point) == pytest.approx(-3.0, abs=1e-3)


def test_of_two_valleys_the_bayesian_part_finds_the_lower_one() -> None:
    """The start lies in the higher valley, where a search that only goes down ends."""

    def wells(z: np.ndarray) -> float:
        return float(-0.3 * np.exp(-(((z[0] - 0.35) / 0.12) ** 2)) - 0.1 * np.exp(-(((z[0] + 0.02) / 0.08) ** 2)))

    local = run(wells, 1, per_parameter=0)
    found = run(wells, 1, start=0.5, per_parameter=10)
    assert local.point[0] == pytest.approx(-0.02, abs=0.02)
    assert found.point[0] == pytest.approx(0.35, abs=0.02)


def test_holes_without_a_value_are_gone_around() -> None:
    function, _ = valley(2)

    def torn(z: np.ndarray) -> float:
        return float("nan") if z[0] < -0.05 and z[1] > 0.1 else function(z)

    search = run(torn, 2)
    assert search.converged
    assert np.isfinite(torn(search.point))


def test_without_any_value_it_ends_after_the_first_points() -> None:
    search = run(lambda _: float("nan"), 3)
    assert (search.ended, search.converged, search.best) == (True, False, None)
    assert search.evaluations == 5


def test_a_budget_is_kept_and_said_to_be_spent() -> None:
    function, _ = valley(2)
    for budget in (2, 6, 18):
        search = run(function, 2, budget=budget)
        assert search.evaluations <= budget
        assert not search.converged


def test_a_minimum_beyond_the_bounds_shows_as_an_edge() -> None:
    search = run(lambda z: float(z[1] + z[0] ** 2), 2)
    assert search.edge == 1
    assert search.point[1] == pytest.approx(-1.0, abs=1e-3)


def test_nothing_to_search_is_one_evaluation() -> None:
    search = run(lambda _: -3.0, 0)
    assert (search.evaluations, search.converged) == (1, True)


def test_the_same_seed_gives_the_same_search() -> None:
    function, _ = valley(1)
    one, other, third = run(function, 1), run(function, 1), run(function, 1, seed=2)
    assert (one.point == other.point).all()
    assert one.evaluations == other.evaluations
    assert not (one.point == third.point).all()


def test_a_search_that_is_left_leaves_no_thread() -> None:
    function, _ = valley(2)
    search = Search(2, 1, SearchSettings(per_parameter=0), 100)
    search.tell(points := search.ask(), [function(point) for point in points])
    search.ask()
    assert any(thread.name == "cobyqa" for thread in threading.enumerate())
    search.close()
    assert not any(thread.name == "cobyqa" for thread in threading.enumerate())


def test_what_breaks_inside_a_minimisation_is_raised_outside() -> None:
    minimiser = StepwiseMinimiser(np.zeros(1), -1.0, -2.0, np.array([[-1.0, 1.0]]), 10)
    with pytest.raises(ValueError, match="radius"):
        minimiser.ask()


@pytest.mark.parametrize("bad", [{"strain": 0.0}, {"shift": 0.6}, {"start": 1.5}, {"gain": 0.0}, {"per_parameter": -1}])
def test_senseless_search_settings_are_refused(bad) -> None:
    with pytest.raises(ToolError):
        SearchSettings(**bad)
