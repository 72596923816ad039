"""Batched relaxation beside chgnet's own one-by-one optimiser: `python -m benchmarks.relaxation`.

Both relax the same random symmetric crystals with the same network to the same fmax. Prints crystals a minute, model
evaluations and end energies; a difference in energy is two optimisers that fell into different minima.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time
import warnings

import numpy as np

from lodestone.tools.core.structure import from_pymatgen, reduced_formula, to_pymatgen
from lodestone.tools.core.types import Crystal
from lodestone.tools.relax.batched import RelaxationSettings
from lodestone.tools.relax.chgnet import ChgnetPotential

COMPOSITIONS: tuple[dict[str, int], ...] = (
    {"Na": 1, "Cl": 1},
    {"Mg": 1, "O": 1},
    {"Ca": 1, "F": 2},
    {"Ni": 1, "Al": 1},
    {"Si": 1, "C": 1},
    {"Li": 2, "O": 1},
    {"Zn": 1, "S": 1},
    {"Sr": 1, "Ti": 1, "O": 3},
)


def random_crystals(count: int, seed: int, max_atoms: int = 12) -> list[Crystal]:
    """Primitive cells of random symmetric crystals (PyXtal), the same for the same seed."""
    from pyxtal import pyxtal

    rng = np.random.default_rng(seed)
    crystals: list[Crystal] = []
    while len(crystals) < count:
        unit = COMPOSITIONS[len(crystals) % len(COMPOSITIONS)]
        copies, group, state = int(rng.choice([1, 2, 4])), int(rng.integers(2, 231)), int(rng.integers(2**31))
        if sum(unit.values()) * copies > max_atoms:
            continue
        made = pyxtal()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                made.from_random(3, group, list(unit), [n * copies for n in unit.values()], random_state=state)
            except Exception:  # noqa: BLE001, S112 - PyXtal raises anything where the sites do not fit: draw again
                continue
            if made.valid:
                crystals.append(from_pymatgen(made.to_pymatgen().get_primitive_structure()))
    return crystals


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison and print it as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crystals", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args(arguments)

    from chgnet.model import StructOptimizer

    crystals = random_crystals(options.crystals, options.seed)
    potential = ChgnetPotential(RelaxationSettings(max_steps=options.steps))
    fmax = potential.settings.fmax
    with contextlib.redirect_stdout(io.StringIO()):
        optimiser = StructOptimizer(use_device=potential.model.device)
    potential.energies(crystals[:1])

    started = time.perf_counter()
    ours = potential.relax([(str(index), crystal) for index, crystal in enumerate(crystals)])
    batched_s = time.perf_counter() - started

    theirs: list[tuple[float, int]] = []
    started = time.perf_counter()
    for crystal in crystals:
        answer = optimiser.relax(
            to_pymatgen(crystal), fmax=fmax, steps=options.steps, verbose=False, assign_magmoms=False
        )
        energies = answer["trajectory"].energies
        theirs.append((float(energies[-1]) / len(crystal), len(energies) - 2))
    single_s = time.perf_counter() - started

    print(f"{len(crystals)} random crystals, fmax {fmax:g} eV/Å, at most {options.steps} steps, {potential.name}\n")
    print("| | crystals/minute | ended at fmax | mean steps |")
    print("|---|---|---|---|")
    their_ends = sum(steps < options.steps for _, steps in theirs)
    their_steps = np.mean([count for _, count in theirs])
    rate, their_rate = 60 * len(crystals) / batched_s, 60 * len(crystals) / single_s
    steps = np.mean([r.steps for r in ours])
    print(f"| batched (FIRE, then BFGS) | {rate:.1f} | {sum(r.converged for r in ours)} | {steps:.1f} |")
    print(f"| StructOptimizer (FIRE), one by one | {their_rate:.1f} | {their_ends} | {their_steps:.1f} |")
    print(f"| ratio | {rate / their_rate:.2f} | | |\n")
    print("| crystal | atoms | steps | StructOptimizer's steps | eV/atom | minus StructOptimizer's, meV/atom |")
    print("|---|---|---|---|---|---|")
    for crystal, result, (energy, count) in zip(crystals, ours, theirs, strict=True):
        name = reduced_formula(crystal) + (f" ({result.failure.reason})" if result.failure else "")
        delta = 1000 * (result.energy_per_atom - energy)
        print(f"| {name} | {len(crystal)} | {result.steps} | {count} | {result.energy_per_atom:.4f} | {delta:+.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
