"""Campaigns over a pool of crystals with known DFT energies, for `benchmarks.decisions`.

Real: ledger, round, planner, surrogate, recogniser, screens, duplicates. Played, and named so: generators that draw
from a part of the pool each, a potential that looks CHGNet's energy of the pool's crystal up (computed once, before),
and an evaluator that looks the DFT energy up. Pools: perovskites (Castelli et al. 2012) drawn by their anions, and
carbon (Pickard 2020) drawn by the size of the cell; both through github.com/txie-93/cdvae.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pymatgen.core import Structure

from lodestone.loops.planner_tools import Toolbox
from lodestone.loops.settings import Settings
from lodestone.loops.wiring import Parts, planner_for
from lodestone.tools.core.protocols import Potential
from lodestone.tools.core.structure import from_pymatgen, make_candidate
from lodestone.tools.core.types import (
    Candidate,
    ChemicalSpace,
    Crystal,
    EvaluationRequest,
    GoalSpec,
    JobLimits,
    JobStatus,
    Observation,
    PotentialRecord,
    Provenance,
    Quantity,
    Relaxation,
    sha256,
)
from lodestone.tools.evaluate.references import lowest_reference
from lodestone.tools.recognise.recogniser import CrystalRecogniser
from lodestone.tools.screen.duplicates import DuplicateIndex
from lodestone.tools.screen.geometry import GeometryScreen

TOP = 0.01
"""Part of the pool that counts as found."""

ANIONS = ("F", "N", "O", "S")


@dataclass(frozen=True)
class Pool:
    """Crystals with an energy each; `arms` says which generator draws which."""

    name: str
    crystals: dict[str, Crystal]
    energies: dict[str, float]
    """DFT, eV/atom: formation energy, or relative to the lowest of the pool."""
    cheap: dict[str, float]
    """CHGNet, on the same scale."""
    arms: dict[str, tuple[str, ...]]

    @property
    def elements(self) -> tuple[str, ...]:
        """Of all crystals, sorted."""
        return tuple(sorted({s for c in self.crystals.values() for s in c.species}))

    @property
    def threshold(self) -> float:
        """Energy (eV/atom) of the worst crystal that counts as found."""
        return float(np.quantile(list(self.energies.values()), TOP))


def read_pool(name: str, data: Path, cache: Path, potential: Potential) -> Pool:
    """`perov_5` or `carbon_24` from its file; CHGNet's energies are kept in `cache`."""
    file = data / ("perov_5/test.csv" if name == "perov_5" else "carbon_24/val.csv")
    crystals: dict[str, Crystal] = {}
    energies: dict[str, float] = {}
    arms: dict[str, list[str]] = {}
    column = "heat_all" if name == "perov_5" else "energy_per_atom"
    with file.open(newline="") as handle:
        for row in csv.DictReader(handle):
            crystal = from_pymatgen(Structure.from_str(row["cif"], fmt="cif"))
            identity = make_candidate(crystal, Provenance(generator="pool")).id
            if identity not in crystals:
                arms.setdefault(_arm(name, row["cif"]), []).append(identity)
                crystals[identity] = crystal
            energies[identity] = min(float(row[column]), energies.get(identity, np.inf))
    stored = cache / f"{name}-chgnet.json"
    if not stored.is_file():
        values = potential.energies(list(crystals.values()))
        stored.write_text(json.dumps(dict(zip(crystals, values, strict=True))))
    raw = json.loads(stored.read_text())
    if name == "carbon_24":
        lowest, low = min(energies.values()), min(raw.values())
        energies = {i: e - lowest for i, e in energies.items()}
        cheap = {i: raw[i] - low for i in crystals}
    else:
        symbols = {s for c in crystals.values() for s in c.species}
        alone = {s: lowest_reference(s, potential, cache)[1] for s in symbols}
        cheap = {i: raw[i] - sum(alone[s] for s in c.species) / len(c) for i, c in crystals.items()}
    return Pool(name, crystals, energies, cheap, {arm: tuple(ids) for arm, ids in sorted(arms.items())})


def _arm(name: str, cif: str) -> str:
    total = re.search(r"_chemical_formula_sum\s+'?([^'\n]*)", cif)
    assert total is not None
    parts = re.findall(r"([A-Z][a-z]?)(\d*)", total.group(1))
    if name == "perov_5":
        return "".join(f"{symbol}{count or ''}" for symbol, count in sorted(parts) if symbol in ANIONS)
    atoms = int(parts[0][1] or 1)
    return f"{atoms} atoms" if atoms <= 10 else "more atoms"


class Arm:
    """Draws crystals of one part of the pool, each once."""

    def __init__(self, name: str, pool: Pool) -> None:
        self.name = name
        self.known: Container[str] = frozenset()
        self._pool = pool

    def propose(self, space: ChemicalSpace, n: int, rng: np.random.Generator) -> list[Candidate]:
        """See `Generator.propose`."""
        found: list[Candidate] = []
        for place in rng.permutation(len(self._pool.arms[self.name])):
            identity = self._pool.arms[self.name][place]
            crystal = self._pool.crystals[identity]
            if len(found) < n and set(crystal.species) <= set(space.allowed) and identity not in self.known:
                found.append(make_candidate(crystal, Provenance(generator=self.name)))
        return found


class LookedUpPotential:
    """CHGNet's energy of the pool's crystals, which stay as they are."""

    name = "chgnet, looked up"
    record = PotentialRecord(name=name, package="none", sha256="", licence="not stated", elements=None)

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def relax(self, crystals: Sequence[tuple[str, Crystal]], progress: Any = None) -> list[Relaxation]:
        """See `Potential.relax`."""
        del progress
        return [
            Relaxation(
                candidate_id=identity, crystal=crystal, energy_per_atom=self._pool.cheap[identity], fmax=0.0,
                stress_max_gpa=0.0, steps=1, converged=True, potential=self.name,
            )
            for identity, crystal in crystals
        ]  # fmt: skip

    def energies(self, crystals: Sequence[Crystal]) -> list[float]:
        """See `Potential.energies`."""
        return [self._pool.cheap[make_candidate(c, Provenance(generator="pool")).id] for c in crystals]


class LookedUpEvaluator:
    """The pool's DFT energies."""

    name = "pool"
    version = "1"
    method = "DFT of the pool (benchmark only)"
    fidelity: Literal["potential", "dft", "experiment"] = "dft"
    properties = frozenset({"formation_energy", "energy_above_hull"})
    cores = 1
    wall_limit_s = 60.0

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._done: dict[str, EvaluationRequest] = {}

    def available(self) -> str | None:
        """Always."""
        return None

    def key(self, request: EvaluationRequest) -> str:
        """See `Evaluator.key`."""
        return sha256(f"{self._pool.name} {request.purpose} {request.candidate_id}")

    def submit(
        self, requests: Sequence[tuple[str, EvaluationRequest]], limits: Mapping[str, JobLimits] | None = None
    ) -> None:
        """Done at once."""
        del limits
        self._done.update(requests)

    def lookup(self, key: str) -> JobStatus:
        """See `Evaluator.lookup`."""
        return JobStatus.DONE if key in self._done else JobStatus.NEVER_SEEN

    def harvest(self, key: str) -> Observation:
        """See `Evaluator.harvest`."""
        request = self._done[key]
        energy = 0.0 if request.purpose == "reference" else self._pool.energies[request.candidate_id]
        return Observation(
            key=key, candidate_id=request.candidate_id, evaluator=self.name, method=self.method, fidelity="dft",
            purpose=request.purpose, values={"energy_per_atom": Quantity(value=energy, unit="eV/atom")},
        )  # fmt: skip

    def cancel(self, key: str) -> None:
        """Nothing runs."""


class PoolParts(Parts):
    """Parts whose elements have zero energy: the pool's energies are formation energies."""

    def reference(self, symbol: str) -> tuple[Crystal, float]:
        """A cell that stands for the element."""
        cell: Any = ((3.0, 0.0, 0.0), (0.0, 3.0, 0.0), (0.0, 0.0, 3.0))
        return Crystal(lattice=cell, species=(symbol,), frac_coords=((0.0, 0.0, 0.0),)), 0.0


def pool_parts(pool: Pool, goal: GoalSpec, settings: Settings) -> PoolParts:
    """All parts of a campaign over a pool."""
    del goal
    toolbox = Toolbox()
    screen = GeometryScreen(0.5, 0.2, 6.0, 12.0)
    return PoolParts(
        settings=settings,
        generators={name: Arm(name, pool) for name in pool.arms},
        screens=[screen],
        potential=LookedUpPotential(pool),
        recogniser=CrystalRecogniser(symprec=0.1),
        evaluator=LookedUpEvaluator(pool),
        planner=planner_for(settings, toolbox),
        new_duplicate_index=lambda: DuplicateIndex(0.2, 0.3, 5.0),
        relaxed_screens=[screen],
        toolbox=toolbox,
    )
