"""Trains the recogniser: `python -m lodestone.tools.recognise.train --out DIR [--epochs N] [--seed N]`.

Every crystal is made on the fly from its index and the seed, so no data set is kept. What is not here: how a
crystal is made (`synthetic.py`) and judged (`held_out.py`). Import this module lazily: it needs torch.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from .graph import graph_of
from .held_out import NOISES, known, measure, unknown
from .network import Architecture, CrystalNetwork
from .symmetry import CRYSTAL_SYSTEMS
from .synthetic import OTHER, Parent, Shake, aflow_parents, random_parents, shake
from .weights import Card, save

UNNAMED = -100
"""Class index that the prototype loss passes over (PyTorch's default)."""


@dataclass(frozen=True)
class Recipe:
    """How the network is trained; all of it is written to the card."""

    epochs: int = 20
    seed: int = 0
    epoch_size: int = 6400
    batch: int = 64
    learning_rate: float = 2e-3
    random_share: float = 0.3
    random_pool: int = 4000
    noise: float = 0.10
    strain: float = 0.02
    axes: float = 0.03
    average: float = 0.995
    held_out: int = 500


class ShakenCrystals(Dataset):
    """Item `i` is always the same crystal for the same recipe: a prototype or a random crystal, shaken."""

    def __init__(self, recipe: Recipe, labels: Sequence[str]) -> None:
        self._recipe = recipe
        self._index = {label: i for i, label in enumerate(labels)}
        named = aflow_parents()
        self._by_label: dict[str, list[Parent]] = defaultdict(list)
        for parent in named:
            self._by_label[parent.label].append(parent)
        self._labels = sorted(self._by_label)
        self._random = random_parents(recipe.random_pool, np.random.default_rng(recipe.seed))
        self._named = {_signature(p) for p in named}

    def __len__(self) -> int:
        return self._recipe.epochs * self._recipe.epoch_size

    def __getitem__(self, index: int) -> Data:
        recipe = self._recipe
        rng = np.random.default_rng([recipe.seed, index])
        if rng.random() < recipe.random_share:
            parent = self._random[int(rng.integers(len(self._random)))]
        else:
            same = self._by_label[self._labels[int(rng.integers(len(self._labels)))]]
            parent = same[int(rng.integers(len(same)))]
        quiet = rng.random() < 0.1
        how = Shake(
            noise=0.0 if quiet else float(rng.uniform(0.0, recipe.noise)),
            strain=0.0 if quiet else float(rng.uniform(0.0, recipe.strain)),
            axes=recipe.axes,
            min_atoms=int(rng.choice([1, 8, 16])),
        )
        basis, cart, kinds = shake(parent, rng, how)
        data = graph_of(basis, cart @ np.linalg.inv(basis), kinds).to_data()
        data.system = CRYSTAL_SYSTEMS.index(parent.system)
        # A small random crystal may happen to be a prototype: it teaches its system, but not "other".
        hidden = parent.label == OTHER and _signature(parent) in self._named
        data.prototype = UNNAMED if hidden else self._index[parent.label]
        return data


def train(recipe: Recipe, out: Path, workers: int = 0) -> Card:
    """Train, measure on held-out crystals, and write `recogniser.safetensors` and `recogniser.json` to `out`."""
    torch.manual_seed(recipe.seed)
    labels = [*sorted({p.label for p in aflow_parents()}), OTHER]
    network = CrystalNetwork(Architecture(systems=7, prototypes=len(labels)))
    averaged = copy.deepcopy(network).eval()
    steps = recipe.epochs * (recipe.epoch_size // recipe.batch)
    optimizer = torch.optim.AdamW(network.parameters(), lr=recipe.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.learning_rate, total_steps=steps, pct_start=0.1)
    loader = DataLoader(ShakenCrystals(recipe, labels), batch_size=recipe.batch, num_workers=workers, drop_last=True)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.02)
    started, right, seen = time.monotonic(), np.zeros(2), 0
    for step, batch in enumerate(loader):
        _, systems, prototypes = network(batch)
        loss = loss_of(systems, batch.system) + loss_of(prototypes, batch.prototype)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        keep = min(recipe.average, (step + 1) / (step + 10))
        with torch.no_grad():
            for mean, new in zip(averaged.parameters(), network.parameters(), strict=True):
                mean.lerp_(new, 1 - keep)
        hits = [(systems.argmax(1) == batch.system), (prototypes.argmax(1) == batch.prototype)]
        right += [float(h.float().sum()) for h in hits]
        seen += len(batch.system)
        if (step + 1) % 50 == 0:
            rates = " ".join(f"{r:.3f}" for r in right / seen)
            print(
                f"{step + 1}/{steps} loss {loss.item():.3f} right {rates} {time.monotonic() - started:.0f} s",
                flush=True,
            )
            right, seen = np.zeros(2), 0
        if (step + 1) % 250 == 0:
            _finish(averaged, recipe, labels, out, measured=False)
    return _finish(averaged, recipe, labels, out, measured=True)


def _finish(network: CrystalNetwork, recipe: Recipe, labels: list[str], out: Path, measured: bool) -> Card:
    card = {"systems": CRYSTAL_SYSTEMS, "prototypes": tuple(labels), "training": vars(recipe)}
    written = save(out, network, card)
    if not measured:
        return written
    figures = []
    for noise in NOISES:
        figures.append(measure(network, written, known(noise, recipe.held_out), noise, "known prototypes"))
        figures.append(measure(network, written, unknown(noise, recipe.held_out), noise, "unknown crystals"))
    return save(out, network, {**card, "held_out": tuple(figures)})


def _signature(parent: Parent) -> tuple[int, tuple[int, ...]]:
    """Space group, and how many sites of each kind: equal for equal prototypes, and for some others."""
    return parent.number, tuple(sorted(np.bincount(parent.kinds).tolist()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; prints progress and the held-out figures."""
    parser = argparse.ArgumentParser(prog="lodestone.tools.recognise.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="directory for the weights and their card")
    parser.add_argument("--epochs", type=int, default=Recipe.epochs, help="of 6400 crystals each")
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    parser.add_argument("--workers", type=int, default=0, help="processes that make crystals")
    given = parser.parse_args(arguments)
    card = train(Recipe(epochs=given.epochs, seed=given.seed), given.out, given.workers)
    for row in card.held_out:
        print(row.canonical_json())
    return 0


if __name__ == "__main__":
    sys.exit(main())
