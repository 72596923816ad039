"""Relaxation by energies alone beside relaxation along forces: `python -m benchmarks.bowsr`.

Ten structure types with 1 to 13 free parameters, each strained by up to 5 % and its free coordinates moved by up to
0.02 of a cell at random, on CHGNet, one crystal after another. `gradient` follows forces with the space group kept;
`bowsr` knows energies alone; `refinement` is its last part without the Bayesian one. `--seeds N`: more starts of each;
`--strain`, `--shift`: other displacements.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from lodestone.tools.core.protocols import Potential
from lodestone.tools.core.structure import from_ase
from lodestone.tools.core.types import Crystal, Relaxation
from lodestone.tools.relax.bowsr import BowsrPotential
from lodestone.tools.relax.energy_models import BatchEnergies
from lodestone.tools.relax.free_parameters import FreeParameters
from lodestone.tools.relax.registry import make_potential
from lodestone.tools.relax.search import SearchSettings
from lodestone.tools.relax.settings import RelaxationSettings

FMAX = 0.02
"""eV/Å; tight enough for the energy to be the minimum's within a tenth of a meV/atom."""
BUDGET = 300


def structure_types() -> dict[str, Any]:
    """Known structures as ASE atoms, in primitive cells."""
    from ase.build import bulk
    from ase.spacegroup import crystal

    def sites(group: int, cell: list[float], places: dict[str, tuple[float, float, float]], **more: Any) -> Any:
        # A name with a digit is another site of the same element.
        symbols = [name.rstrip("12") for name in places]
        return crystal(symbols, list(places.values()), spacegroup=group, cellpar=cell, primitive_cell=True, **more)

    half, right = (0.5, 0.5, 0.5), [90, 90, 90]
    hexagonal = [90, 90, 120]
    return {
        "SrTiO3, perovskite": sites(221, [3.905] * 3 + right, {"Sr": (0, 0, 0), "Ti": half, "O": (0.5, 0.5, 0)}),
        "MgAl2O4, spinel": sites(
            227, [8.08] * 3 + right, {"Mg": (0.125,) * 3, "Al": half, "O": (0.264,) * 3}, setting=2
        ),
        "ZnO, wurtzite": bulk("ZnO", "wurtzite", 3.25, c=5.207),
        "TiO2, rutile": sites(136, [4.594, 4.594, 2.959, *right], {"Ti": (0, 0, 0), "O": (0.305, 0.305, 0)}),
        "TiO2, anatase": sites(141, [3.784, 3.784, 9.515, *right], {"Ti": (0, 0, 0), "O": (0, 0, 0.208)}),
        "MoS2, 2H": sites(
            194, [3.16, 3.16, 12.29, *hexagonal], {"Mo": (1 / 3, 2 / 3, 0.25), "S": (1 / 3, 2 / 3, 0.621)}
        ),
        "Al2O3, corundum": sites(167, [4.76, 4.76, 12.99, *hexagonal], {"Al": (0, 0, 0.352), "O": (0.306, 0, 0.25)}),
        "SiO2, quartz": sites(
            154, [4.916, 4.916, 5.405, *hexagonal], {"Si": (0.4697, 0, 2 / 3), "O": (0.4135, 0.2669, 0.7858)}
        ),
        "ZrO2, baddeleyite": sites(
            14,
            [5.150, 5.212, 5.317, 90, 99.23, 90],
            {"Zr": (0.2754, 0.0395, 0.2083), "O1": (0.0700, 0.3317, 0.3447), "O2": (0.4496, 0.7569, 0.4792)},
        ),
        "CaTiO3, Pnma": sites(
            62,
            [5.442, 7.640, 5.380, *right],
            {
                "Ca": (0.0355, 0.25, 0.9933),
                "Ti": (0, 0, 0.5),
                "O1": (0.4839, 0.25, 0.0713),
                "O2": (0.2889, 0.0372, 0.7114),
            },
        ),
    }


def starts(options: argparse.Namespace) -> Iterator[tuple[str, int, Crystal]]:
    """Name, number of free parameters and a displaced crystal, as many of each structure as there are seeds."""
    for name, atoms in structure_types().items():
        parameters = FreeParameters.of(from_ase(atoms))
        assert isinstance(parameters, FreeParameters)
        for seed in range(options.seeds):
            moved = np.random.default_rng(seed).uniform(-1.0, 1.0, len(parameters))
            yield name, len(parameters), parameters.crystal_at(moved * parameters.bounds(options.strain, options.shift))


def measured(potential: Potential, crystal: Crystal) -> tuple[Relaxation, float]:
    """The end of one crystal, and its seconds."""
    started = time.perf_counter()
    (result,) = potential.relax([("x", crystal)])
    return result, time.perf_counter() - started


def main() -> None:
    """Print one markdown row for each crystal."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--strain", type=float, default=0.05)
    parser.add_argument("--shift", type=float, default=0.02)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    kept = RelaxationSettings(fmax=FMAX, keep_symmetry=True, max_steps=BUDGET)
    gradient: Any = make_potential("chgnet", kept, device="cpu")
    energies = BatchEnergies(gradient.model)
    searches = {
        "bowsr": BowsrPotential(gradient.name, lambda: energies, kept),
        "refinement": BowsrPotential(gradient.name, lambda: energies, kept, SearchSettings(per_parameter=0)),
    }
    for potential in (gradient, *searches.values()):
        potential.relax([("warm", next(starts(options))[2])])
    potentials = {"gradient": gradient, **searches}
    print("Evaluations; seconds; meV/atom above the lowest of the ends.\n")
    print(f"| crystal | atoms | free | {' | '.join(potentials)} |")
    print("|---|---|---|" + "---|" * len(potentials))
    off: dict[str, list[float]] = {name: [] for name in potentials}
    for name, free, crystal in starts(options):
        ends = {kind: measured(potential, crystal) for kind, potential in potentials.items()}
        lowest = min((end.energy_per_atom for end, _ in ends.values() if end.converged), default=float("nan"))
        cells = []
        for kind, (end, seconds) in ends.items():
            above = 1e3 * (end.energy_per_atom - lowest) if end.converged else float("inf")
            off[kind].append(above)
            told = f"{above:.2f}" if end.failure is None else end.failure.reason
            cells.append(f"{end.steps + 1}; {seconds:.1f} s; {told}")
        print(f"| {name} | {len(crystal)} | {free} | {' | '.join(cells)} |", flush=True)
    for kind, values in off.items():
        within = sum(value <= 5.0 for value in values)
        worst = max((value for value in values if value < float("inf")), default=float("nan"))
        print(f"\n{kind}: {within} of {len(values)} end within 5 meV/atom of the lowest; the worst ended {worst:.2f}.")


if __name__ == "__main__":
    main()
