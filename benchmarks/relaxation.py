"""Batched relaxation beside what others do one by one: `python -m benchmarks.relaxation`.

The same crystals (known structure types and supercells of 2 to 40 atoms, strained and shaken), the same networks and
the same fmax: CHGNet here beside `chgnet.model.StructOptimizer`, SevenNet here beside ASE with sevenn's calculator,
where the time goes, how it grows with batch and atoms, and what other optimisers and cell filters would do. Each part
runs in a process of its own, so that its peak memory is its own. `--only PART` runs a part alone, `--crystals N` fewer.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from lodestone.tools.core.structure import from_ase, reduced_formula, to_ase, to_pymatgen
from lodestone.tools.core.types import Crystal
from lodestone.tools.relax import walker as walking
from lodestone.tools.relax.batched import BatchedPotential
from lodestone.tools.relax.models import pieces
from lodestone.tools.relax.registry import make_potential
from lodestone.tools.relax.settings import RelaxationSettings

PARTS = ("chgnet", "StructOptimizer", "sevennet-0", "ASE", "scaling", "optimisers")
RIVALS = {"chgnet": "StructOptimizer", "sevennet-0": "ASE"}
SAME = 1e-3
"""eV/atom; two relaxations that end closer than this ended in the same minimum."""
MAX_ATOMS = 40
REPEATS = ((1, 1, 1), (2, 1, 1), (2, 2, 1), (2, 2, 2))


def structure_types() -> list[Any]:
    """Crystals of many kinds as ASE atoms: metals, covalent, ionic, oxides, ordered alloys."""
    from ase.build import bulk
    from ase.spacegroup import crystal

    def sites(group: int, cell: list[float], places: dict[str, tuple[float, float, float]], **more: Any) -> Any:
        lengths = cell if len(cell) == 6 else cell * 3 + [90, 90, 90]
        return crystal(list(places), list(places.values()), spacegroup=group, cellpar=lengths, **more)

    half = (0.5, 0.5, 0.5)
    return [
        bulk("NaCl", "rocksalt", 5.64),
        bulk("Si", "diamond", 5.43),
        bulk("Ti", "hcp", 2.95, c=4.68),
        bulk("ZnO", "wurtzite", 3.25, c=5.207),
        bulk("NiAl", "cesiumchloride", 2.887),
        bulk("GaAs", "zincblende", 5.65),
        bulk("MgO", "rocksalt", 4.212, cubic=True),
        bulk("Cu", "fcc", 3.615, cubic=True),
        sites(221, [3.905], {"Sr": (0, 0, 0), "Ti": half, "O": (0.5, 0.5, 0)}),
        sites(136, [4.594, 4.594, 2.959, 90, 90, 90], {"Ti": (0, 0, 0), "O": (0.305, 0.305, 0)}),
        sites(167, [4.76, 4.76, 12.99, 90, 90, 120], {"Al": (0, 0, 0.352), "O": (0.306, 0, 0.25)}, primitive_cell=True),
        sites(225, [5.463], {"Ca": (0, 0, 0), "F": (0.25, 0.25, 0.25)}, primitive_cell=True),
        sites(123, [2.80, 2.80, 3.67, 90, 90, 90], {"Cu": (0, 0, 0), "Au": half}),
        sites(154, [4.916, 4.916, 5.405, 90, 90, 120], {"Si": (0.4697, 0, 2 / 3), "O": (0.4135, 0.2669, 0.7858)}),
        sites(227, [8.08], {"Mg": (0.125,) * 3, "Al": half, "O": (0.264,) * 3}, setting=2, primitive_cell=True),
        sites(194, [3.16, 3.16, 12.29, 90, 90, 120], {"Mo": (1 / 3, 2 / 3, 0.25), "S": (1 / 3, 2 / 3, 0.621)}),
    ]


def perturbed_crystals(count: int, seed: int) -> list[Crystal]:
    """Structure types and their supercells of at most 40 atoms, strained by 3 %, shaken by 0.08 Å, in random order."""
    rng = np.random.default_rng(seed)
    kinds = structure_types()
    supercells = [one.repeat(r) for r in REPEATS for one in kinds if len(one) * np.prod(r) <= MAX_ATOMS]
    order = rng.permutation(len(supercells))
    found = []
    for place in range(count):
        atoms = supercells[order[place % len(order)]].copy()
        strain = rng.normal(0.0, 0.03, (3, 3))
        atoms.set_cell(np.asarray(atoms.cell) @ (np.eye(3) + (strain + strain.T) / 2), scale_atoms=True)
        atoms.positions += rng.normal(0.0, 0.08, atoms.positions.shape)
        found.append(from_ase(atoms))
    return found


def settings_of(options: argparse.Namespace) -> RelaxationSettings:
    """The product's own, but for what the command line says."""
    return RelaxationSettings(fmax=options.fmax, max_steps=options.steps)


def batched(name: str, crystals: list[Crystal], options: argparse.Namespace) -> dict[str, Any]:
    """Our relaxation, with the time of its stages."""
    potential = make_potential(name, settings_of(options))
    assert isinstance(potential, BatchedPotential)
    potential.energies(crystals[:1])
    spent: dict[str, float] = {"model": 0.0, "graphs": 0.0, "optimiser and checks": 0.0}
    model: Any = potential.model
    model.predict = timed(model.predict, spent, "model")
    model.graph = timed(model.graph, spent, "graphs")
    original = walking.Walker.advance
    walking.Walker.advance = timed(original, spent, "optimiser and checks")  # type: ignore[method-assign]
    started, cpu = time.perf_counter(), time.process_time()
    results = potential.relax([(str(i), crystal) for i, crystal in enumerate(crystals)])
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu
    walking.Walker.advance = original  # type: ignore[method-assign]
    spent["rest"] = wall_s - sum(spent.values())
    rows = [(r.energy_per_atom, r.steps, r.converged, r.failure.reason if r.failure else "") for r in results]
    return {"wall_s": wall_s, "cpu_s": cpu_s, "rows": rows, "profile": spent, "device": model.device}


def timed(function: Callable[..., Any], spent: dict[str, float], name: str) -> Callable[..., Any]:
    """The function, with its seconds added up."""

    @wraps(function)
    def run(*arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            spent[name] += time.perf_counter() - started

    return run


def struct_optimizer(crystals: list[Crystal], options: argparse.Namespace) -> dict[str, Any]:
    """chgnet's own optimiser (FIRE), one crystal after another."""
    from chgnet.model import StructOptimizer

    with contextlib.redirect_stdout(io.StringIO()):
        optimiser = StructOptimizer()
    rows = []
    started, cpu = time.perf_counter(), time.process_time()
    for crystal in crystals:
        answer = optimiser.relax(
            to_pymatgen(crystal), fmax=options.fmax, steps=options.steps, verbose=False, assign_magmoms=False
        )
        energies = answer["trajectory"].energies
        steps = len(energies) - 2
        rows.append((float(energies[-1]) / len(crystal), steps, steps < options.steps, ""))
    return {"wall_s": time.perf_counter() - started, "cpu_s": time.process_time() - cpu, "rows": rows}


def ase_sevennet(crystals: list[Crystal], options: argparse.Namespace) -> dict[str, Any]:
    """sevenn's calculator with ASE's FIRE and Fréchet cell filter, one crystal after another."""
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE
    from sevenn.calculator import SevenNetCalculator

    calculator = SevenNetCalculator("7net-0")
    rows = []
    started, cpu = time.perf_counter(), time.process_time()
    for crystal in crystals:
        atoms = to_ase(crystal)
        atoms.calc = calculator
        optimiser = FIRE(FrechetCellFilter(atoms), logfile=None)
        ended = bool(optimiser.run(fmax=options.fmax, steps=options.steps))
        rows.append((float(atoms.get_potential_energy()) / len(atoms), optimiser.nsteps, ended, ""))
    return {"wall_s": time.perf_counter() - started, "cpu_s": time.process_time() - cpu, "rows": rows}


def scaling(crystals: list[Crystal], options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a model call for each atom, over the size of the batch and of the crystals."""
    del options
    tables: dict[str, list[tuple[str, float]]] = {}
    for name in RIVALS:
        potential = make_potential(name)
        assert isinstance(potential, BatchedPotential)
        small = sorted(crystals, key=len)[: max(4, len(crystals) // 3)]
        rows = []
        for size in (1, 4, 16, 64):
            rows.append(
                (f"{size} crystals of {len(small[0])} to {len(small[-1])} atoms", per_atom(potential, small, size))
            )
        base = to_ase(min(crystals, key=len))
        for cells in (1, 4, 16):
            large = [from_ase(base.repeat((cells, 1, 1)))]
            rows.append((f"1 crystal of {len(large[0])} atoms", per_atom(potential, large, 1)))
        tables[name] = rows
    return {"tables": tables}


def per_atom(potential: BatchedPotential, crystals: list[Crystal], size: int) -> float:
    """Milliseconds an atom, best of two."""
    atoms = [to_ase(crystals[i % len(crystals)]) for i in range(max(size, len(crystals)))]
    calls = list(pieces(map(len, atoms), size, sys.maxsize))
    best = float("inf")
    for _ in range(2):
        started = time.perf_counter()
        for call in calls:
            potential.model.evaluate(atoms[call])
        best = min(best, time.perf_counter() - started)
    return 1000 * best / sum(map(len, atoms))


def optimisers(crystals: list[Crystal], options: argparse.Namespace) -> dict[str, Any]:
    """CHGNet with other optimisers near the minimum and the other cell filter."""
    from ase.filters import FrechetCellFilter
    from ase.optimize import LBFGS

    def lbfgs(self: Any) -> Any:
        alpha, step = walking.BFGS_CURVATURE, walking.BFGS_MAX_STEP
        return LBFGS(self._movable, logfile=None, alpha=alpha, maxstep=step)

    def frechet(self: Any, cell_factor: float) -> Any:
        return FrechetCellFilter(self.atoms, exp_cell_factor=cell_factor)

    variants: dict[str, dict[str, Any]] = {
        "FIRE, then BFGS; UnitCellFilter (the product)": {},
        "FIRE, then L-BFGS; UnitCellFilter": {"_fresh_bfgs": lbfgs},
        "FIRE, then BFGS; FrechetCellFilter": {"_with_cell": frechet},
    }
    found = {}
    for name, changes in variants.items():
        kept = {attribute: getattr(walking.Walker, attribute) for attribute in changes}
        for attribute, function in changes.items():
            setattr(walking.Walker, attribute, function)
        found[name] = batched("chgnet", crystals, options)
        for attribute, function in kept.items():
            setattr(walking.Walker, attribute, function)
    return {"variants": found}


def run_part(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One part, in this process."""
    crystals = perturbed_crystals(options.crystals, options.seed)
    functions = {"StructOptimizer": struct_optimizer, "ASE": ase_sevennet, "scaling": scaling, "optimisers": optimisers}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both packages warn of their own dependencies
        answer = functions[name](crystals, options) if name in functions else batched(name, crystals, options)
    return answer | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def in_its_own_process(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One part in a child: nothing of another part's memory or warm caches."""
    command = [sys.executable, "-m", "benchmarks.relaxation", "--part", name]
    for key in ("crystals", "seed", "steps", "fmax"):
        command += [f"--{key}", str(getattr(options, key))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"part {name} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def show_relaxations(answers: dict[str, dict[str, Any]], crystals: list[Crystal]) -> None:
    """The tables of speed and of energies."""
    if not answers:
        return
    print(
        "| | crystals/minute | CPU seconds | ended at fmax | mean steps | peak memory, MB |\n|---|---|---|---|---|---|"
    )
    for name, answer in answers.items():
        rows = answer["rows"]
        rate, steps = 60 * len(rows) / answer["wall_s"], np.mean([row[1] for row in rows])
        ended = f"{sum(bool(row[2]) for row in rows)}/{len(rows)}"
        print(f"| {name} | {rate:.1f} | {answer['cpu_s']:.1f} | {ended} | {steps:.1f} | {answer['peak_mb']:.0f} |")
    for name, rival in RIVALS.items():
        if name not in answers or rival not in answers:
            continue
        ours, theirs = answers[name], answers[rival]
        deltas = np.array([a[0] - b[0] for a, b in zip(ours["rows"], theirs["rows"], strict=True)])
        same, ratio = np.abs(deltas) < SAME, theirs["wall_s"] / ours["wall_s"]
        cpu = theirs["cpu_s"] / ours["cpu_s"]
        print(f"\n{name} beside {rival}: {ratio:.2f} times as many crystals a minute ({cpu:.2f} by CPU time); ", end="")
        print(f"{same.sum()} of {len(same)} end within {1000 * SAME:g} meV/atom, ", end="")
        print(f"{(deltas < -SAME).sum()} lower, {(deltas > SAME).sum()} higher")
        for place in np.flatnonzero(~same):
            crystal, row = crystals[place], ours["rows"][place]
            note = f"; {row[3]}" if row[3] else ""
            print(f"- {reduced_formula(crystal)}, {len(crystal)} atoms: {1000 * deltas[place]:+.1f} meV/atom{note}")
    for name, answer in answers.items():
        if "profile" in answer:
            parts = ", ".join(f"{stage} {s / answer['wall_s']:.1%}" for stage, s in answer["profile"].items())
            print(f"\nWhere the time of {name} goes ({answer['device']}): {parts}.")


def main(arguments: list[str] | None = None) -> int:
    """Run the parts and print them as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crystals", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--fmax", type=float, default=0.05)
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.part:
        print(json.dumps(run_part(options.part, options)))
        return 0
    crystals = perturbed_crystals(options.crystals, options.seed)
    sizes = sorted(map(len, crystals))
    print(f"{len(crystals)} crystals of {sizes[0]} to {sizes[-1]} atoms (median {sizes[len(sizes) // 2]}), ", end="")
    print(f"fmax {options.fmax:g} eV/Å, at most {options.steps} steps\n")
    answers = {name: in_its_own_process(name, options) for name in PARTS if name in options.only}
    show_relaxations({name: answer for name, answer in answers.items() if "rows" in answer}, crystals)
    if "optimisers" in answers:
        print("\n| near the minimum, CHGNet | crystals/minute | mean steps | mean eV/atom | optimiser's share |")
        print("|---|---|---|---|---|")
        for name, answer in answers["optimisers"]["variants"].items():
            energy, steps = (np.mean([row[i] for row in answer["rows"]]) for i in (0, 1))
            share = answer["profile"]["optimiser and checks"] / answer["wall_s"]
            print(
                f"| {name} | {60 * len(crystals) / answer['wall_s']:.1f} | {steps:.1f} | {energy:.4f} | {share:.1%} |"
            )
    for name, rows in answers.get("scaling", {}).get("tables", {}).items():
        print(f"\n| {name}, one model call | ms/atom |\n|---|---|")
        for what, value in rows:
            print(f"| {what} | {value:.2f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
