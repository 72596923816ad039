"""Crystals that training never saw, and how often the network is right about them.

Known prototypes get new decorations, cells, rotations and displacements; unknown crystals are AFLOW prototypes too
large for training and fresh random ones. What is not here: the rivals' figures (`benchmarks/recognition.py`).
Import this module lazily: it needs torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch_geometric.data import Batch

from ..core.types import Crystal
from .graph import crystal_graph
from .network import CrystalNetwork
from .synthetic import Parent, Shake, aflow_parents, decorate, random_parents, shake
from .weights import Card, HeldOut

NOISES = (0.0, 0.02, 0.05, 0.08)
"""Lindemann ratios: root mean square displacement over the mean nearest-neighbour distance. Most crystals melt
near 0.1 (Lindemann, Phys. Z. 11, 609, 1910)."""

SEED = 20_250_001
"""Far from the seeds of training, which count up from the one given on its command line."""

MIN_ATOMS, MAX_ATOMS = 8, 32
LARGE = 36
"""Atoms in the primitive cell of the largest AFLOW prototype among the unknown crystals."""


@dataclass(frozen=True)
class Sample:
    """A shaken crystal, and the ideal one that it comes from."""

    crystal: Crystal
    parent: Parent


def known(noise: float, n: int, strain: float = 0.0) -> list[Sample]:
    """`n` crystals of the prototypes that the network knows, each as often as any other."""
    return _samples(aflow_parents(), noise, n, strain, MAX_ATOMS)


def unknown(noise: float, n: int, strain: float = 0.0) -> list[Sample]:
    """`n` crystals that belong to no prototype of the network: one half large AFLOW prototypes, one half random."""
    small = {p.label for p in aflow_parents()}
    large = [p for p in aflow_parents(LARGE) if p.label not in small]
    fresh = random_parents(n - n // 2, np.random.default_rng(SEED + 1))
    return _samples(large, noise, n // 2, strain, LARGE) + _samples(fresh, noise, len(fresh), strain, MAX_ATOMS)


def _samples(parents: Sequence[Parent], noise: float, n: int, strain: float, max_atoms: int) -> list[Sample]:
    rng = np.random.default_rng([SEED, round(noise * 1e4), round(strain * 1e4), len(parents)])
    how = Shake(noise=noise, strain=strain, min_atoms=MIN_ATOMS, max_atoms=max_atoms)
    order = np.concatenate([rng.permutation(len(parents)) for _ in range(-(-n // max(1, len(parents))))])[:n]
    return [Sample(decorate(*shake(parents[i], rng, how), rng), parents[i]) for i in order]


def predictions(network: CrystalNetwork, crystals: Sequence[Crystal], size: int = 64) -> Iterator[tuple[int, int]]:
    """Index of crystal system and of prototype, for each crystal in order."""
    for start in range(0, len(crystals), size):
        batch = Batch.from_data_list([crystal_graph(c).to_data() for c in crystals[start : start + size]])
        with torch.inference_mode():
            _, systems, prototypes = network(batch)
        yield from zip(systems.argmax(1).tolist(), prototypes.argmax(1).tolist(), strict=True)


def measure(network: CrystalNetwork, card: Card, samples: Sequence[Sample], noise: float, crystals: str) -> HeldOut:
    """Shares right; the prototype only where the crystals have one that the network knows."""
    found = list(predictions(network, [s.crystal for s in samples]))
    systems = [card.systems[s] == x.parent.system for (s, _), x in zip(found, samples, strict=True)]
    named = [x.parent.label in card.prototypes for x in samples]
    prototypes = [card.prototypes[p] == x.parent.label for (_, p), x in zip(found, samples, strict=True)]
    return HeldOut(
        noise=noise,
        crystals=crystals,
        n=len(samples),
        crystal_system=round(float(np.mean(systems)), 4),
        prototype=round(float(np.mean(prototypes)), 4) if all(named) else None,
    )
