"""Weights and card: small, checked when read, and as good as they say."""

from __future__ import annotations

import json
import math
import shutil

import pytest

from lodestone.tools.core.errors import ToolError
from lodestone.tools.recognise.held_out import known, measure, unknown
from lodestone.tools.recognise.recogniser import CrystalRecogniser
from lodestone.tools.recognise.train import Recipe, train
from lodestone.tools.recognise.weights import CARD, HERE, WEIGHTS, load

SAMPLE = 100


@pytest.fixture
def copy(tmp_path):
    for name in (WEIGHTS, CARD):
        shutil.copy(HERE / name, tmp_path / name)
    return tmp_path


def test_shipped_weights_are_below_three_megabytes():
    assert (HERE / WEIGHTS).stat().st_size < 3_000_000


def test_damaged_weights_are_refused_by_their_checksum(copy):
    data = bytearray((copy / WEIGHTS).read_bytes())
    data[-1] ^= 1
    (copy / WEIGHTS).write_bytes(bytes(data))
    with pytest.raises(ToolError, match="sha256"):
        CrystalRecogniser(copy)


def test_missing_oversized_and_foreign_files_are_refused(copy):
    with pytest.raises(ToolError, match="cannot be read"):
        load(copy / "nowhere")
    card = json.loads((copy / CARD).read_text())
    (copy / CARD).write_text(json.dumps({**card, "surprise": 1}))
    with pytest.raises(ToolError, match="does not describe"):
        load(copy)
    (copy / CARD).write_text(json.dumps({**card, "architecture": {**card["architecture"], "width": 32}}))
    with pytest.raises(ToolError, match="does not fit"):
        load(copy)
    (copy / WEIGHTS).write_bytes(b"0" * 3_000_001)
    with pytest.raises(ToolError, match="at most"):
        load(copy)


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.08])
def test_figures_on_the_card_hold_on_known_prototypes(noise):
    network, card = load()
    (stated,) = [f for f in card.held_out if f.noise == noise and f.crystals == "known prototypes"]
    assert stated.n >= 300
    assert stated.crystal_system > 0.85
    found = measure(network, card, known(noise, SAMPLE), noise, "known prototypes")
    assert found.crystal_system >= stated.crystal_system - _three_sigma(stated.crystal_system)
    assert found.prototype >= stated.prototype - _three_sigma(stated.prototype)


def test_figures_on_the_card_hold_on_unknown_crystals():
    network, card = load()
    (stated,) = [f for f in card.held_out if f.noise == 0.05 and f.crystals == "unknown crystals"]
    found = measure(network, card, unknown(0.05, SAMPLE), 0.05, "unknown crystals")
    assert found.prototype is None
    assert abs(found.crystal_system - stated.crystal_system) <= _three_sigma(stated.crystal_system)


def test_training_twice_gives_the_same_weights_and_a_card_that_loads(tmp_path):
    recipe = Recipe(epochs=1, epoch_size=8, batch=4, random_pool=7, held_out=7)
    first, second = train(recipe, tmp_path / "a"), train(recipe, tmp_path / "b")
    assert first.sha256 == second.sha256
    assert load(tmp_path / "a")[1] == first
    assert train(Recipe(**{**vars(recipe), "seed": 1}), tmp_path / "c").sha256 != first.sha256


def _three_sigma(share: float) -> float:
    """Three standard deviations of a share of `SAMPLE`, at least two crystals."""
    return max(3 * math.sqrt(share * (1 - share) / SAMPLE), 2 / SAMPLE)
