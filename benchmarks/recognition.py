"""Crystal system and prototype under displacements, beside spglib and pymatgen: `python -m benchmarks.recognition`.

All methods see the same held-out crystals: known prototypes with new elements, supercells (8 to 32 atoms),
rotations and displacements, and crystals of no known prototype. Prints a Markdown table and writes nothing.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence

import numpy as np

from lodestone.tools.core.structure import to_ase, to_pymatgen
from lodestone.tools.core.types import Crystal
from lodestone.tools.recognise.held_out import NOISES, Sample, known, measure, unknown
from lodestone.tools.recognise.symmetry import crystal_system
from lodestone.tools.recognise.weights import HERE, load

TOLERANCES = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.3, 1.6)
"""Å; spglib's customary tolerance, and looser ones of which the best at each noise is shown."""


def spglib_right(samples: Sequence[Sample], symprec: float) -> float:
    """Share of crystals whose crystal system spglib finds at a tolerance; finding nothing is wrong."""
    return float(np.mean([_spglib_system(s.crystal, symprec) == s.parent.system for s in samples]))


def pymatgen_right(samples: Sequence[Sample]) -> float:
    """Share of crystals for which pymatgen's prototype matcher returns the right label, alone or among others."""
    import pandas as pd
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY, PrototypeDatabaseMatcher

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        matcher = PrototypeDatabaseMatcher(pd.DataFrame(AFLOW_PROTOTYPE_LIBRARY))
        found = [matcher.get_prototypes(to_pymatgen(s.crystal)) or [] for s in samples]
    return float(
        np.mean([s.parent.label in {f["tags"]["aflow"] for f in fs} for s, fs in zip(samples, found, strict=True)])
    )


def _spglib_system(crystal: Crystal, symprec: float) -> str:
    import spglib

    atoms = to_ase(crystal)
    cell = (np.asarray(atoms.cell), atoms.get_scaled_positions(), atoms.numbers)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            data = spglib.get_symmetry_dataset(cell, symprec=symprec)
        except spglib.error.SpglibError:
            return ""
    return crystal_system(int(data.number)) if data is not None else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.recognition", description=__doc__)
    parser.add_argument("--n", type=int, default=300, help="crystals at each noise")
    parser.add_argument("--skip-matcher", action="store_true", help="leave out pymatgen's matcher (slow)")
    given = parser.parse_args(arguments)
    network, card = load(HERE)
    print(f"Model {card.model}. Noise: root mean square displacement over mean nearest-neighbour distance.\n")
    print(
        "| crystals | n | noise | strain | system: network | spglib 0.01 Å | spglib best (at) "
        "| prototype: network | pymatgen matcher |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    rows = [(known, "known prototypes", noise, 0.0) for noise in NOISES]
    rows += [(known, "known prototypes", noise, 0.02) for noise in (0.0, 0.05)]
    rows += [(unknown, "unknown crystals", noise, 0.0) for noise in NOISES]
    for make, name, noise, strain in rows:
        samples = make(noise, given.n, strain)
        ours = measure(network, card, samples, noise, name)
        spglib = {symprec: spglib_right(samples, symprec) for symprec in TOLERANCES}
        best = max(spglib, key=lambda t: spglib[t])
        matcher = "" if given.skip_matcher or make is unknown else f"{pymatgen_right(samples):.1%}"
        prototype = "" if ours.prototype is None else f"{ours.prototype:.1%}"
        print(
            f"| {name} | {ours.n} | {noise:.0%} | {strain:.0%} | {ours.crystal_system:.1%} | {spglib[0.01]:.1%} "
            f"| {spglib[best]:.1%} ({best:g} Å) | {prototype} | {matcher} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
