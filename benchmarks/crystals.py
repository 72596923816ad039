"""Choosing crystals of a pool with known DFT values: what is found, and what a cheap potential is worth.

`python -m benchmarks.crystals --data ../shared/data/perov_5/test.csv [--seeds 3]`

Perovskites of Castelli et al. 2012 (via github.com/txie-93/cdvae). Two searches with 20 random and 80 chosen crystals,
four at a time: the lowest 1 % in formation energy (`heat_all`), and gaps (`ind_gap`) of 1.5 to 2.5 eV. `full` knows
what a campaign knows: composition, the recogniser's embedding, volume, CHGNet's energy; `no potential` all but the
last; `composition` the composition alone. Then both at once (low energy, wide gap): hypervolume under the front. Then
the error of predicted formation energies of all other crystals, after labels of 1, 3.5 and 7 % of them by chance: with
CHGNet's energy as the cheap fidelity, and without it.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from pymatgen.core import Structure

from lodestone.loops.settings import load_settings
from lodestone.loops.wiring import potential_for
from lodestone.surrogate.campaign_model import CampaignModel, Measurement, PoolPoint
from lodestone.tools.core.structure import from_pymatgen
from lodestone.tools.core.types import Budget, ChemicalSpace, Constraint, Crystal, GoalSpec, Objective, StopRule
from lodestone.tools.evaluate.references import lowest_reference
from lodestone.tools.recognise.recogniser import CrystalRecogniser

from .crystal_fronts import lodestone_front, plain_parego, random_front, share_of_hypervolume

START, CHOSEN, BATCH = 20, 80, 4
GAPS = (1.5, 2.5)
SHARES = (0.01, 0.035, 0.07)
TOP = 0.01


def read(path: Path, cache: Path) -> tuple[list[PoolPoint], list[dict[str, float]]]:
    """The pool as the surrogate sees it, and its DFT values; CHGNet's energies and embeddings are kept in `cache`."""
    crystals: list[Crystal] = []
    truths: list[dict[str, float]] = []
    with path.open(newline="") as handle:
        for row in csv.DictReader(handle):
            crystals.append(from_pymatgen(Structure.from_str(row["cif"], fmt="cif")))
            truths.append({"formation_energy": float(row["heat_all"]), "band_gap": float(row["ind_gap"])})
    cache.mkdir(parents=True, exist_ok=True)
    stored = cache / f"crystals-{path.stem}-{len(crystals)}.json"
    if not stored.is_file():
        potential = potential_for(load_settings(None, {}, {}))
        alone = {s: lowest_reference(s, potential, cache)[1] for s in sorted({s for c in crystals for s in c.species})}
        energies = potential.energies(crystals)
        cheap = [e - fmean(alone[s] for s in c.species) for e, c in zip(energies, crystals, strict=True)]
        embeddings = [r.embedding for r in CrystalRecogniser().recognise([(str(i), c) for i, c in enumerate(crystals)])]
        stored.write_text(json.dumps({"cheap": cheap, "embeddings": [list(e) for e in embeddings]}))
    kept = json.loads(stored.read_text())
    points = []
    for i, crystal in enumerate(crystals):
        amounts: dict[str, float] = {}
        for symbol in crystal.species:
            amounts[symbol] = amounts.get(symbol, 0.0) + 1.0
        volume = Structure(crystal.lattice, crystal.species, crystal.frac_coords).volume / len(crystal)
        points.append(
            PoolPoint(
                candidate_id=f"{i:05d}",
                amounts=amounts,
                embedding=kept["embeddings"][i],
                # As in campaigns, the cheap energy is a feature as well as the base of the difference.
                extras={"volume_per_atom": volume, "formation_energy": kept["cheap"][i]},
                cheap={"formation_energy": kept["cheap"][i]},
            )
        )
    return points, truths


def goal_of(task: str) -> GoalSpec:
    """`stable`, `gap`, or both as a `front`."""
    common = {
        "text": task,
        "space": ChemicalSpace(allowed=("O",)),
        "budget": Budget(evaluations=START + CHOSEN, wall_hours=1.0),
    }
    if task == "front":
        both = (
            Objective(property="formation_energy", direction="minimise"),
            Objective(property="band_gap", direction="maximise"),
        )
        return GoalSpec(objectives=both, tradeoff="pareto", **common)
    if task == "stable":
        return GoalSpec(objectives=(Objective(property="formation_energy", direction="minimise"),), **common)
    return GoalSpec(
        objectives=(Objective(property="band_gap", direction="range", lower=GAPS[0], upper=GAPS[1]),),
        constraints=(Constraint(property="band_gap", lower=GAPS[0], upper=GAPS[1]),),
        stop=StopRule(hits=10_000),
        **common,
    )


def wanted(task: str, truths: Sequence[dict[str, float]]) -> set[int]:
    """Places of the crystals that are to be found."""
    if task == "gap":
        return {i for i, t in enumerate(truths) if GAPS[0] <= t["band_gap"] <= GAPS[1]}
    order = sorted(range(len(truths)), key=lambda i: truths[i]["formation_energy"])
    return set(order[: round(TOP * len(truths))])


def search(task: str, points: list[PoolPoint], truths: list[dict[str, float]], seed: int) -> list[int]:
    """Places in the order of evaluation."""
    name = "formation_energy" if task == "stable" else "band_gap"
    place = {p.candidate_id: i for i, p in enumerate(points)}
    order = random.Random(seed).sample(range(len(points)), START)
    goal = goal_of(task)
    while len(order) < START + CHOSEN:
        model = CampaignModel((name,), seed=seed)
        model.fit([Measurement(points[i], {name: truths[i][name]}) for i in order], pool=points)
        best = min((truths[i] for i in order), key=lambda t: goal.objectives[0].loss(t[name]))
        left = [points[i] for i in sorted(set(range(len(points))) - set(order))]
        order += [place[p.candidate_id] for p in model.choose(left, BATCH, 0.0, goal, best)]
    return order


def errors(points: list[PoolPoint], truths: list[dict[str, float]], share: float, seed: int) -> float:
    """Mean absolute error (eV/atom) of the formation energies of all crystals without a label."""
    known = set(random.Random(seed).sample(range(len(points)), round(share * len(points))))
    model = CampaignModel(("formation_energy",), seed=seed)
    measured = [Measurement(points[i], {"formation_energy": truths[i]["formation_energy"]}) for i in sorted(known)]
    model.fit(measured, pool=points)
    rest = [i for i in range(len(points)) if i not in known]
    mean, _ = model.predict([points[i] for i in rest])["formation_energy"]
    return fmean(abs(m - truths[i]["formation_energy"]) for m, i in zip(mean.tolist(), rest, strict=True))


def searches(pools: dict[str, list[PoolPoint]], truths: list[dict[str, float]], seeds: int) -> None:
    """What is found, by what the surrogate knows."""
    print("| search | features | share found with 100 evaluations | × random | seconds a choice of four |")
    print("|---|---|---|---|---|")
    for task in ("stable", "gap"):
        aim = wanted(task, truths)
        for label, pool in pools.items():
            begun = time.perf_counter()
            runs = [search(task, pool, truths, seed) for seed in range(seeds)]
            spent = (time.perf_counter() - begun) / (seeds * CHOSEN / BATCH)
            share = fmean(len(aim & set(r)) / min(len(aim), START + CHOSEN) for r in runs)
            chance = (START + CHOSEN) / len(pool) * len(aim) / min(len(aim), START + CHOSEN)
            label = f"{task} ({len(aim)} of {len(pool)}) | {label}"
            print(f"| {label} | {share:.2f} | {share / chance:.1f} | {spent:.1f} |", flush=True)


def fronts(points: list[PoolPoint], truths: list[dict[str, float]], seeds: int) -> None:
    """Two aims at once."""
    print("\n| front of energy and gap | hypervolume with 24 evaluations | 32 | 40 | 100 | seconds a choice |")
    print("|---|---|---|---|---|---|")
    for method in (lodestone_front, plain_parego, random_front):
        begun = time.perf_counter()
        goal = goal_of("front")
        runs = [method(points, truths, goal, seed, START, CHOSEN, BATCH) for seed in range(seeds)]
        spent = (time.perf_counter() - begun) / (seeds * CHOSEN / BATCH)
        parts = [fmean(share_of_hypervolume(truths, r[:n]) for r in runs) for n in (24, 32, 40, 100)]
        print(f"| {method.__name__} | {' | '.join(f'{p:.3f}' for p in parts)} | {spent:.1f} |", flush=True)


def fidelities(points: list[PoolPoint], dear: list[PoolPoint], truths: list[dict[str, float]], seeds: int) -> None:
    """What the cheap energy is worth."""
    print("\n| labels | with CHGNet: MAE (eV/atom) | without | ratio |\n|---|---|---|---|")
    for share in SHARES:
        both = [fmean(errors(pool, truths, share, seed) for seed in range(seeds)) for pool in (points, dear)]
        print(f"| {share:.1%} | {both[0]:.3f} | {both[1]:.3f} | {both[0] / both[1]:.2f} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=Path("crystals-cache"), help="CHGNet's energies and embeddings")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", choices=("searches", "front", "fidelities"), help="one part")
    args = parser.parse_args()
    points, truths = read(args.data, args.cache)
    alone = [replace(p, embedding=(), extras={}, cheap={}) for p in points]
    dear = [replace(p, cheap={}, extras={"volume_per_atom": p.extras["volume_per_atom"]}) for p in points]
    if args.only in (None, "searches"):
        searches({"full": points, "no potential": dear, "composition": alone}, truths, args.seeds)
    if args.only in (None, "front"):
        fronts(points, truths, args.seeds)
    if args.only in (None, "fidelities"):
        fidelities(points, dear, truths, args.seeds)


if __name__ == "__main__":
    main()
