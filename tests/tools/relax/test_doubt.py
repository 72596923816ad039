"""What doubt promises: without labels the committee speaks; labels teach where to believe it; bad ones are caught."""

from __future__ import annotations

import numpy as np
import pytest

from lodestone.tools.core.errors import ToolError
from lodestone.tools.relax.doubt import (
    LEAST_ERROR,
    RECALL,
    Doubter,
    ErrorRecord,
    disagreement,
    spread_out,
)
from lodestone.tools.relax.models import ModelOutput

ATOMS = 6


def said(forces: np.ndarray, features: np.ndarray | None = None, energy: float = 0.0) -> ModelOutput:
    return ModelOutput(energy, forces, np.zeros((3, 3)), 2.0, features)


def world(count: int, seed: int):
    """Planted: the error is three times the committee's distance, and ten times where the first feature is large."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        features = rng.normal(size=(ATOMS, 8))
        features[:, 0] = rng.choice([0.0, 4.0]) + 0.1 * rng.normal(size=ATOMS)
        forces = rng.normal(size=(ATOMS, 3))
        apart = rng.normal(size=(ATOMS, 3))
        apart *= np.exp(rng.normal(-3.0, 1.0, size=(ATOMS, 1))) / np.linalg.norm(apart, axis=1, keepdims=True)
        factor = np.where(features[:, :1] > 2, 10.0, 3.0) * np.exp(0.1 * rng.normal(size=(ATOMS, 1)))
        yield said(forces, features), said(forces + apart), forces + factor * apart


def taught(count: int, seed: int = 0) -> ErrorRecord:
    record = ErrorRecord()
    for output, other, truth in world(count, seed):
        record.add(output, disagreement(output, other), truth)
    return record


def test_without_labels_an_atom_is_doubted_as_far_as_the_committee_disagrees():
    forces = np.zeros((3, 3))
    other = np.diag([0.1, 0.2, 0.4])
    doubt = Doubter(ErrorRecord()).judge(said(forces, energy=-3.0), said(other, energy=-3.6))
    assert doubt.atoms == pytest.approx([0.1, 0.2, 0.4])
    assert doubt.worst == 2
    assert doubt.score > 0.4
    assert doubt.energy == pytest.approx(0.2)


def test_two_models_that_agree_leave_little_doubt():
    forces = np.ones((4, 3))
    assert Doubter(ErrorRecord()).judge(said(forces), said(forces)).score < 5 * LEAST_ERROR


def test_doubt_turns_with_the_crystal_and_follows_the_numbering_of_its_atoms():
    output, other, _ = next(world(1, 5))
    judge = Doubter(taught(12))
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    order = np.random.default_rng(0).permutation(ATOMS)
    first = judge.judge(output, other)
    turned = judge.judge(
        said(output.forces[order] @ turn.T, output.features[order]), said(other.forces[order] @ turn.T)
    )
    assert turned.atoms == pytest.approx(first.atoms[order], rel=1e-6)
    assert turned.score == pytest.approx(first.score, rel=1e-6)


def test_labels_teach_where_the_committee_is_too_sure():
    judge = Doubter(taught(20))
    ratios = {True: [], False: []}
    for output, other, _ in world(20, 1):
        far = output.features[:, 0] > 2
        ratio = judge.judge(output, other).atoms / disagreement(output, other)
        ratios[True] += list(ratio[far])
        ratios[False] += list(ratio[~far])
    assert np.median(ratios[False]) == pytest.approx(3.0, rel=0.3)
    assert np.median(ratios[True]) == pytest.approx(10.0, rel=0.3)


def test_errors_lie_below_the_upper_value_about_as_often_as_they_should():
    judge = Doubter(taught(20))
    below = [
        np.linalg.norm(output.forces - truth, axis=1) < judge.judge(output, other).upper
        for output, other, truth in world(40, 2)
    ]
    assert 0.75 < np.mean(below) < 0.95  # one standard deviation above the median: 0.84


def test_doubt_grows_where_no_label_is_near():
    judge = Doubter(taught(20))
    output, other, _ = next(world(1, 3))
    away = said(output.forces, output.features + 30.0)
    spread = [judge.judge(o, other) for o in (output, away)]
    assert np.median(spread[1].upper / spread[1].atoms) > 1.5 * np.median(spread[0].upper / spread[0].atoms)


def test_the_threshold_catches_the_bad_ones_and_lets_most_good_ones_go():
    record = taught(40)
    judge = Doubter(record)
    tolerance = float(np.median(record.largest))
    limit = judge.threshold(tolerance)
    scores, truth = [], []
    for output, other, forces in world(100, 4):
        scores.append(judge.judge(output, other).score)
        truth.append(np.linalg.norm(output.forces - forces, axis=1).max())
    bad = np.array(truth) > tolerance
    fires = np.array(scores) > limit
    assert fires[bad].mean() > RECALL - 0.07
    assert fires[~bad].mean() < 0.4


def test_with_nothing_bad_on_record_the_threshold_is_the_tolerance():
    assert Doubter(ErrorRecord()).threshold(0.3) == 0.3
    record = taught(8)
    assert Doubter(record).threshold(2 * float(record.largest.max())) == pytest.approx(2 * record.largest.max())


def test_a_record_goes_to_bytes_and_back():
    record = taught(5)
    again = ErrorRecord.from_bytes(record.to_bytes())
    assert again.configurations == 5
    for name, values in vars(record).items():
        assert np.array_equal(getattr(again, name), values)


def test_a_better_version_is_doubted_less():
    record = taught(20)
    output, other, _ = next(world(1, 6))
    before, after = (Doubter(r).judge(output, other).score for r in (record, record.rescaled(0.5)))
    assert after == pytest.approx(0.5 * before, rel=0.15)


def test_a_potential_without_features_is_refused_by_name():
    with pytest.raises(ToolError, match="gives no features"):
        ErrorRecord().add(said(np.zeros((1, 3))), np.zeros(1), np.zeros((1, 3)))


def test_what_is_labelled_does_not_look_alike():
    rng = np.random.default_rng(0)
    here, there = (centre + 0.01 * rng.normal(size=(5, 4)) for centre in (0.0, 3.0))
    chosen = spread_out(np.vstack([here, there]), [*np.linspace(1, 2, 5), *np.linspace(0.1, 0.5, 5)], 4)
    assert chosen == [4, 9]
    assert spread_out([], [], 3) == []
