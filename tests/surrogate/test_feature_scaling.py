"""Features are scaled once, finite whatever is missing, few, and the same for the same crystals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from pymatgen.symmetry.groups import SpaceGroup

from lodestone.surrogate.features import (
    COMPOSITION_COMPONENTS,
    EMBEDDING_COMPONENTS,
    Featuriser,
    point_group_order,
)
from lodestone.surrogate.points import PoolPoint
from lodestone.tools.core.errors import ToolError

Make = Callable[..., tuple[list[PoolPoint], dict[str, float]]]


def test_point_group_orders_agree_with_pymatgen_for_all_230_groups() -> None:
    for number in range(1, 231):
        group = SpaceGroup.from_int_number(number, hexagonal=True)
        rotations = {tuple(op.rotation_matrix.round(6).ravel()) for op in group.symmetry_ops}
        assert point_group_order(number) == len(rotations), number


@pytest.mark.parametrize("number", [0, 231, -1])
def test_an_impossible_space_group_is_refused(number: int) -> None:
    with pytest.raises(ToolError, match="space group"):
        point_group_order(number)


def test_features_are_few_and_scaled(make_pool: Make) -> None:
    points, _ = make_pool(0)
    x = Featuriser().fit(points).transform(points)
    assert x.shape[1] <= EMBEDDING_COMPONENTS + COMPOSITION_COMPONENTS + 2
    assert torch.allclose(x.mean(dim=0), torch.zeros(x.shape[1], dtype=x.dtype), atol=1e-9)
    std = x.std(dim=0, correction=0)
    assert float(std.max()) == pytest.approx(1.0)
    assert float(std.min()) > 1e-3


def test_the_leading_components_find_the_two_hidden_coordinates(make_pool: Make) -> None:
    """The 16-dimensional embedding is a view of two coordinates; the noise is fifty times smaller."""
    points, _ = make_pool(0)
    bare = [PoolPoint(p.candidate_id, {"Na": 1.0}, p.embedding) for p in points]
    x = Featuriser().fit(bare).transform(bare)
    raw = torch.tensor([p.embedding for p in points], dtype=torch.float64)
    raw = raw - raw.mean(dim=0)
    fitted = x[:, :2] @ torch.linalg.lstsq(x[:, :2], raw).solution
    assert float((raw - fitted).square().sum() / raw.square().sum()) < 0.02


def test_new_crystals_do_not_move_the_scale(make_pool: Make) -> None:
    points, _ = make_pool(0)
    featuriser = Featuriser().fit(points[:50])
    alone, among = featuriser.transform(points[60:61]), featuriser.transform(points[50:])[10:11]
    assert torch.allclose(alone, among)


def test_features_do_not_depend_on_the_order_of_the_crystals(make_pool: Make) -> None:
    points, _ = make_pool(1)
    forward = Featuriser().fit(points).transform(points[:20])
    backward = Featuriser().fit(points[::-1]).transform(points[:20])
    assert torch.allclose(forward, backward, atol=1e-7)


def test_the_unit_of_a_scalar_does_not_matter(make_pool: Make) -> None:
    points, _ = make_pool(2)
    other = [replace(p, extras={**p.extras, "density": 1000 * p.extras["density"] + 3}) for p in points]
    assert torch.allclose(Featuriser().fit(points).transform(points), Featuriser().fit(other).transform(other))


def test_missing_values_count_as_the_mean(make_pool: Make) -> None:
    points, _ = make_pool(3)
    featuriser = Featuriser().fit(points)
    holes = [
        PoolPoint("no embedding", {"Na": 1.0, "Cl": 1.0}),
        PoolPoint("other network", {"Na": 1.0, "Cl": 1.0}, embedding=(1.0, 2.0)),
        PoolPoint("nan", {"Na": 1.0, "Cl": 1.0}, embedding=(float("nan"),) * 16, extras={"density": float("inf")}),
    ]
    x = featuriser.transform(holes)
    assert bool(x.isfinite().all())
    assert torch.allclose(x[0], x[1])
    assert torch.allclose(x[0], x[2])


def test_an_extra_that_measured_crystals_lack_is_left_out(make_pool: Make) -> None:
    points, _ = make_pool(4)
    waiting = [replace(p, extras={**p.extras, "head": float(i)}) for i, p in enumerate(points[20:])]
    together = points[:20] + waiting
    with_head = Featuriser().fit(together)
    without = Featuriser().fit(together, measured=points[:20])
    assert without.dimension == with_head.dimension - 1
    assert torch.allclose(without.transform(waiting), Featuriser().fit(points).transform(points[20:]))


def test_one_crystal_or_identical_ones_still_give_a_column() -> None:
    point = PoolPoint("a", {"Si": 1.0}, (0.1, 0.2), {"density": 2.3})
    for points in ([point], [point] * 5):
        featuriser = Featuriser().fit(points)
        assert featuriser.dimension == 1
        assert featuriser.transform(points).shape == (len(points), 1)


def test_using_features_without_a_scale_is_refused() -> None:
    with pytest.raises(ToolError):
        Featuriser().transform([PoolPoint("a", {"Si": 1.0})])
    with pytest.raises(ToolError):
        Featuriser().fit([])
