"""What a map of annealed stripes promises: physics is used, doubt is honest, and wrong input is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from lodestone.surrogate.mapping import GaussianProfile, Stripe, StripeMapper
from lodestone.surrogate.mapping_process import fit_signatures, matern_slope
from lodestone.surrogate.processes.posterior import Particles, matern
from lodestone.tools.core.errors import ToolError

PROFILE = GaussianProfile(lambda stripe: 0.5 + 0.05 * math.log10(stripe.dwell))
POSITIONS = [round(-0.75 + 0.05 * i, 2) for i in range(31)]
STRIPES = [Stripe(peak, dwell) for peak in (500.0, 700.0, 900.0, 1100.0) for dwell in (300.0, 1000.0, 3000.0)]
HOT = Stripe(1100.0, 1000.0)


def signature(stripe: Stripe, positions: list[float]) -> np.ndarray:
    """Two coefficients that switch at 600 °C, earlier for longer dwells, and one that hardly changes; `n x 3`."""
    boundary = 600.0 - 60.0 * math.log10(stripe.dwell / 1000.0)
    done = 1.0 / (1.0 + np.exp(-(PROFILE(stripe, np.array(positions)) - boundary) / 20.0))
    return np.column_stack([done, 0.3 - 0.5 * done, 0.01 * done**2])


def mapper_of(told: dict[Stripe, list[float]], stripes: list[Stripe] = STRIPES) -> StripeMapper:
    mapper = StripeMapper(PROFILE, stripes, POSITIONS)
    for stripe, positions in told.items():
        mapper.tell(stripe, positions, signature(stripe, positions).tolist())
    return mapper


def r_squared(mapper: StripeMapper, stripes: list[Stripe]) -> float:
    truth = np.concatenate([signature(s, POSITIONS) for s in stripes])
    found = np.concatenate([mapper.predict(s, POSITIONS).mean for s in stripes])
    return float(1 - np.square(truth - found).sum() / np.square(truth - truth.mean(0)).sum())


def explored(stripes: list[Stripe], annealed: int, each: int) -> StripeMapper:
    mapper = StripeMapper(PROFILE, stripes, POSITIONS)
    for _ in range(annealed):
        (stripe,) = mapper.ask_stripes()
        for _ in range(each):
            (position,) = mapper.ask_positions(stripe)
            mapper.tell(stripe, [position], signature(stripe, [position]).tolist())
    return mapper


def test_the_profile_falls_from_the_peak_to_the_room() -> None:
    temperatures = PROFILE(HOT, np.array([0.0, PROFILE.width(HOT) / 2, 5.0]))
    assert temperatures == pytest.approx([1100.0, 25.0 + 1075.0 / math.e, 25.0])


def test_one_flank_teaches_about_the_other() -> None:
    prediction = mapper_of({HOT: [0.0, 0.1, 0.2, 0.3, 0.5]}).predict(HOT, [-0.3, 0.3, -0.2, 0.2])
    assert prediction.mean[0] == pytest.approx(prediction.mean[1], abs=1e-12)
    assert prediction.std[2] == pytest.approx(prediction.std[3], abs=1e-12)
    assert prediction.mean[0] == pytest.approx(signature(HOT, [0.3])[0], abs=0.1)


def test_a_stripe_teaches_about_another_peak_at_equal_temperature() -> None:
    cooler = Stripe(900.0, 1000.0)
    mapper = mapper_of({HOT: [0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.7]})
    assert mapper.predict(cooler, POSITIONS).mean == pytest.approx(signature(cooler, POSITIONS), abs=0.2)


def test_doubt_falls_where_it_was_measured() -> None:
    before = mapper_of({HOT: [0.0, 0.7]}).predict(HOT, [0.25]).std
    after = mapper_of({HOT: [0.0, 0.25, 0.7]})
    assert np.linalg.norm(after.predict(HOT, [0.25]).std) < 0.5 * np.linalg.norm(before)
    at, beside = after.predict(HOT, [0.25, 0.4]).std
    assert np.linalg.norm(at) < np.linalg.norm(beside)


def test_the_order_in_which_measurements_are_told_changes_nothing() -> None:
    one = mapper_of({HOT: [0.0, 0.2, 0.3], STRIPES[0]: [0.1, 0.4]})
    two = mapper_of({STRIPES[0]: [0.4, 0.1], HOT: [0.3, 0.0, 0.2]})
    assert np.array_equal(one.predict(HOT, POSITIONS).mean, two.predict(HOT, POSITIONS).mean)
    assert one.ask_positions(HOT, 3) == two.ask_positions(HOT, 3)
    assert one.ask_stripes(2) == two.ask_stripes(2)


def test_the_first_place_is_the_hottest_and_none_is_asked_for_twice() -> None:
    mapper = StripeMapper(PROFILE, STRIPES, POSITIONS)
    assert mapper.ask_stripes()[0].peak == 1100.0
    assert mapper.ask_positions(HOT) == [0.0]
    assert len(set(mapper.ask_stripes(99))) == len(STRIPES)
    mapper = mapper_of({HOT: POSITIONS[:-2]})
    assert sorted(mapper.ask_positions(HOT, 5)) == POSITIONS[-2:]
    assert HOT not in mapper.ask_stripes(99)
    assert mapper_of({s: [0.0] for s in STRIPES}).ask_stripes() == []


def test_positions_are_asked_for_at_the_boundary_once_it_is_seen() -> None:
    even = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    (asked,) = mapper_of({HOT: even}, [HOT]).ask_positions(HOT)
    change = np.abs(np.diff(signature(HOT, even)[:, 0]))
    steepest = int(change.argmax())
    assert even[steepest] < abs(asked) < even[steepest + 1]


def test_stripes_are_asked_for_where_the_gradient_is_unknown() -> None:
    known = [s for s in STRIPES if s.dwell < 3000.0]
    mapper = mapper_of(dict.fromkeys(known, POSITIONS[15::2]))
    (asked,) = mapper.ask_stripes()
    assert asked.dwell == 3000.0
    _, near = mapper.change(Stripe(1100.0, 1000.0), POSITIONS)
    _, far = mapper.change(Stripe(1100.0, 3000.0), POSITIONS)
    assert near.mean() < far.mean()


def at_temperature(temperature: float) -> float:
    """Position on the hot stripe, by the inverse of its profile."""
    return PROFILE.width(HOT) / 2 * math.sqrt(math.log((HOT.peak - PROFILE.room) / (temperature - PROFILE.room)))


def test_the_gradient_is_large_and_least_known_at_the_boundary() -> None:
    # Evenly in temperature, so that a plain is measured as densely as the boundary.
    even = [at_temperature(t) for t in range(100, 1101, 100)]
    mapper = mapper_of({HOT: even}, [HOT])
    change, doubt = mapper.change(HOT, [at_temperature(t) for t in (600.0, 250.0, 950.0)])
    assert change[0] > 3 * change[1:].max()
    assert doubt[0] > doubt[1:].max()


def test_a_small_map_is_known_after_few_measurements() -> None:
    assert r_squared(explored([HOT], 1, 8), [HOT]) > 0.98
    assert r_squared(explored(STRIPES, 4, 4), STRIPES) > 0.95


def test_derivatives_agree_with_finite_differences() -> None:
    generator = torch.Generator().manual_seed(3)
    left, right = (torch.rand(n, 2, generator=generator, dtype=torch.float64) for n in (5, 7))
    values = ([[-0.5, 0.2], [0.3, -1.0]], [-3.0, -2.0], [0.1, 0.8], [1.0, 1.0])
    some = Particles(*(torch.tensor(v, dtype=torch.float64) for v in values))
    slopes = matern_slope(left, right, some)
    for axis in range(2):
        step = torch.zeros(2, dtype=torch.float64)
        step[axis] = 1e-5
        rough = (matern(left + step, right, some) - matern(left - step, right, some)) / 2e-5
        assert torch.allclose(slopes[:, axis], rough, atol=1e-7)


def test_slopes_and_gains_agree_with_the_process_itself() -> None:
    rng = np.random.default_rng(1)
    x = rng.random((12, 2))
    process = fit_signatures(x, np.column_stack([np.sin(4 * x[:, 0]), x.sum(1) ** 2, x[:, 1]]), 0)
    places, step = rng.random((6, 2)), 1e-4
    for axis in range(2):
        shift = step * np.eye(2)[axis]
        rough = (process.moments(places + shift)[0] - process.moments(places - shift)[0]) / (2 * step)
        assert process.slopes(places).expected[:, axis] == pytest.approx(np.square(rough).sum(1), rel=1e-2)
    # Particles alone differ in their means, which a belief leaves as they are: what falls is the variance within.
    weights = rng.random(6)
    candidate = np.array([[0.5, 0.5]])
    fall = process.moments(places)[1] - process.believe(candidate).moments(places)[1]
    assert process.gains(places, weights, candidate)[0] == pytest.approx(weights @ fall.sum(1), rel=1e-6)


def test_inducing_points_say_nearly_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    x, places = rng.random((60, 2)), rng.random((6, 2))
    signatures = np.column_stack([np.sin(4 * x[:, 0]), x.sum(1) ** 2])
    exact = fit_signatures(x, signatures, 0)
    monkeypatch.setattr("lodestone.surrogate.processes.member.EXACT", 50)
    rough = fit_signatures(x, signatures, 0)
    assert all(m.restored is not None for m in rough.members)
    assert rough.moments(places)[0] == pytest.approx(exact.moments(places)[0], abs=1e-3)
    assert rough.slopes(places).variance == pytest.approx(exact.slopes(places).variance, rel=0.05)
    gains = [p.gains(places, np.ones(6), places) for p in (exact, rough)]
    assert gains[1] == pytest.approx(gains[0], rel=0.05)


def test_whole_stripes_can_be_told() -> None:
    x = np.random.default_rng(3).random((320, 2))
    process = fit_signatures(x, np.column_stack([np.tanh(20 * (x[:, 0] - 0.5)), x[:, 1]]), 0)
    found = process.moments(np.array([[0.45, 0.2], [0.55, 0.8]]))[0]
    assert found == pytest.approx(np.array([[np.tanh(-1.0), 0.2], [np.tanh(1.0), 0.8]]), abs=0.05)


def test_one_measurement_and_equal_ones_are_enough_to_go_on() -> None:
    mapper = mapper_of({HOT: [0.0]})
    assert mapper.predict(HOT, [0.0]).mean[0] == pytest.approx(signature(HOT, [0.0])[0], abs=1e-6)
    # From one place nobody knows how much others differ: as much as there is, for all that is known.
    assert (mapper.predict(HOT, [0.7]).std > 0.1).all()
    mapper.tell(HOT, [0.0, 0.7], [mapper.predict(HOT, [0.0]).mean[0].tolist()] * 2)
    assert np.isfinite(mapper.predict(HOT, POSITIONS).std).all()
    assert mapper.ask_positions(HOT)[0] not in (0.0, 0.7)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda m: m.predict(HOT, [0.0]), "Nothing is measured yet. Tell at least one"),
        (lambda m: m.tell(HOT, [0.0, 0.1], [[1.0]]), "2 positions and 1 signatures"),
        (lambda m: m.tell(HOT, [0.0, 0.1], [[1.0, 2.0], [1.0]]), "signature of shape (1,)"),
        (lambda m: m.tell(HOT, [0.0], [[math.nan]]), "coefficient of nan"),
        (lambda m: m.tell(HOT, [math.inf], [[1.0]]), "position of inf"),
        (lambda m: m.tell(Stripe(1500.0, 1000.0), [0.0], [[1.0]]), "peak of 1500 °C; the map reaches from 500 to 1100"),
        (lambda m: m.ask_positions(Stripe(900.0, 9e6)), "dwell of 9e+06 µs"),
        (lambda m: m.ask_positions(HOT, 0), "0 picks"),
        (lambda m: m.ask_stripes(-1), "-1 picks"),
        (lambda _: Stripe(math.nan, 1.0), "peak of nan"),
        (lambda _: Stripe(900.0, 0.0), "dwell of 0.0"),
        (lambda _: StripeMapper(PROFILE, [], POSITIONS), "0 stripes"),
        (lambda _: StripeMapper(PROFILE, STRIPES, []), "0 positions"),
        (lambda _: StripeMapper(lambda _s, x: x * math.nan, STRIPES, POSITIONS), "gives no temperatures"),
        (lambda _: StripeMapper(lambda _s, x: 0 * x + 900, STRIPES, POSITIONS), "same temperature"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_next_step(act: Callable[[StripeMapper], object], words: str) -> None:
    with pytest.raises(ToolError, match=re.escape(words)) as caught:
        act(StripeMapper(PROFILE, STRIPES, POSITIONS))
    assert caught.value.remedy


def test_a_refused_signature_leaves_the_mapper_as_it_was() -> None:
    mapper = mapper_of({HOT: [0.0]})
    with pytest.raises(ToolError):
        mapper.tell(HOT, [0.1, 0.2], [[0.1, 0.2, 0.3], [0.1, 0.2]])
    assert mapper.measured == 1
