"""The property head learns from a campaign, and never gets worse on points it has not seen."""

from __future__ import annotations

import pytest
import torch

from lodestone.tools.core.errors import ToolError
from lodestone.tools.recognise.head import MIN_POINTS, PropertyHead


def _data(n: int, seed: int = 0, noise: float = 0.02) -> tuple[torch.Tensor, torch.Tensor]:
    """Six hidden causes behind 40 features; the target is the sum of two of them, in eV/atom."""
    generator = torch.Generator().manual_seed(seed)
    spread = torch.randn(6, 40, generator=torch.Generator().manual_seed(99))
    causes = torch.randn(n, 6, generator=generator)
    target = 0.1 * causes[:, :2].sum(1) + noise * torch.randn(n, generator=generator)
    return causes @ spread, target


def _noise(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(n, 40, generator=generator), torch.randn(n, generator=generator)


def test_head_learns_and_predicts_points_that_it_has_not_seen():
    features, targets = _data(60)
    head = PropertyHead()
    report = head.fit(features, targets, seed=1)
    assert report.accepted
    assert report.held_out_rmse_after < 0.6 * report.held_out_rmse_before
    new, truth = _data(200, seed=7)
    error = (head.predict(new) - truth).pow(2).mean().sqrt()
    assert error < 0.6 * truth.std()
    assert error == pytest.approx(report.held_out_rmse_after, rel=0.5)


def test_head_that_finds_only_noise_is_not_kept():
    head = PropertyHead()
    report = head.fit(*_noise(40), seed=1)
    assert report.trained
    assert not report.accepted
    assert report.held_out_rmse_after >= report.held_out_rmse_before
    assert head.state() == {}
    assert torch.equal(head.predict(torch.ones(3, 40)), torch.zeros(3, dtype=torch.float64))


def test_worse_head_leaves_the_earlier_one_untouched():
    features, targets = _data(60)
    head = PropertyHead()
    assert head.fit(features, targets, seed=1).accepted
    before = head.to_bytes()
    # Fewer and spoilt points: nothing learned from them can beat what the head knows of the law.
    few, right = _data(12, seed=3, noise=0.0)
    spoilt = right + 0.05 * torch.randn(12, generator=torch.Generator().manual_seed(8))
    report = head.fit(few, spoilt, seed=2)
    assert not report.accepted
    assert head.to_bytes() == before


def test_more_data_replace_an_earlier_head():
    features, targets = _data(80)
    head = PropertyHead()
    assert head.fit(features[:12], targets[:12], seed=1).accepted
    early = head.to_bytes()
    report = head.fit(features, targets, seed=2)
    assert report.accepted
    assert report.held_out_rmse_after < report.held_out_rmse_before
    assert head.to_bytes() != early


def test_error_of_the_earlier_head_is_measured_on_points_it_never_learned():
    """An earlier head of the same points is no better than a fresh fit of them: nothing was learned by heart."""
    features, targets = _data(30, noise=0.1)
    head = PropertyHead()
    first = head.fit(features, targets, seed=1)
    assert first.accepted
    again = head.fit(features, targets, seed=1)
    assert again.held_out_rmse_before == pytest.approx(first.held_out_rmse_after, rel=1e-9)
    assert not again.accepted


def test_head_does_not_depend_on_the_order_of_points():
    features, targets = _data(25)
    order = torch.randperm(25, generator=torch.Generator().manual_seed(1))
    one, other = PropertyHead(), PropertyHead()
    one.fit(features, targets, seed=4)
    other.fit(features[order], targets[order], seed=4)
    assert torch.allclose(one.predict(features), other.predict(features), atol=1e-8)


def test_too_few_points_are_not_trained_on_and_say_so():
    report = PropertyHead().fit(*_data(MIN_POINTS - 1), seed=0)
    assert (report.trained, report.accepted, report.held_out_rmse_after) == (False, False, None)
    assert f"at least {MIN_POINTS}" in report.reason


def test_head_survives_bytes_and_state():
    features, targets = _data(40)
    head = PropertyHead()
    head.fit(features, targets, seed=1)
    copy = PropertyHead.from_bytes(head.to_bytes())
    assert copy.to_bytes() == head.to_bytes()
    assert torch.equal(copy.predict(features), head.predict(features))
    other = PropertyHead()
    other.load_state(head.state())
    assert torch.equal(other.predict(features), head.predict(features))
    assert PropertyHead.from_bytes(PropertyHead().to_bytes()).state() == {}


def test_misuse_is_refused():
    features, targets = _data(40)
    head = PropertyHead()
    head.fit(features, targets, seed=1)
    with pytest.raises(ToolError, match="takes n x 40"):
        head.predict(features[:, :5])
    with pytest.raises(ToolError, match="expected"):
        head.fit(features, targets[:-1], seed=0)
    with pytest.raises(ToolError, match="finite"):
        head.fit(features, targets.where(targets > 0, torch.nan), seed=0)
    with pytest.raises(ToolError, match="Not a property head"):
        PropertyHead.from_bytes(b"something else")
    with pytest.raises(ToolError, match="not the state"):
        head.load_state({"w1": torch.zeros(3)})
