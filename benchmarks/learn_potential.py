"""Teaching CHGNet from DFT: how much better it gets, and what it forgets.

`python -m benchmarks.learn_potential --data ../shared/data/mlearn/Mo [--perovskites ../shared/data/perov_5/test.csv]`
learns from `training.json` (Zuo et al., J. Phys. Chem. A 124, 731 (2020): PBE energies and forces of strained, molten
and defective cells), and prints mean absolute errors on `test.json`, before and after. What it must not forget is
measured on 50 crystals that have nothing to do with it: perovskites with DFT energies (Castelli et al., Energy Environ.
Sci. 5, 9034 (2012)); and, with `--other`, on the test cells of another element.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import warnings
from pathlib import Path

import numpy as np

from lodestone.loops.replay import replay_crystals
from lodestone.tools.core.labels import Label
from lodestone.tools.core.structure import from_pymatgen, site_rows
from lodestone.tools.core.types import Crystal
from lodestone.tools.relax.chgnet import ChgnetModel
from lodestone.tools.relax.learning import Errors, FineTuning, TuningSettings, errors_of, fit_shifts, outputs_of

OTHERS = 50
CALIBRATING = 600
"""Perovskites that the shifts between their DFT and the potential are fitted on; the 50 are not among them."""


def main() -> None:
    """Learn, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with training.json and test.json")
    parser.add_argument("--perovskites", type=Path, help="csv with `cif` and `heat_all`")
    parser.add_argument("--other", type=Path, help="folder of another element, whose test cells must stay as they are")
    parser.add_argument("--seconds", type=float, default=1500.0)
    parser.add_argument("--replay", type=int, default=60, help="crystals of the replay; 0: none")
    parser.add_argument("--learning-rate", type=float, default=TuningSettings.learning_rate)
    parser.add_argument("--batch-atoms", type=int, default=TuningSettings.batch_atoms)
    parser.add_argument("--energy-weight", type=float, default=TuningSettings.energy_weight)
    parser.add_argument("--averaging", type=float, default=TuningSettings.averaging)
    parser.add_argument("--save", type=Path, help="write the tuned weights here")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    base = ChgnetModel()
    train, test = (read_mlearn(args.data / f"{part}.json") for part in ("training", "test"))
    settings = TuningSettings(
        max_seconds=args.seconds,
        learning_rate=args.learning_rate,
        batch_atoms=args.batch_atoms,
        averaging=args.averaging,
        energy_weight=args.energy_weight,
    )
    tuning = FineTuning(
        base, train, replay_crystals(args.replay, {s for x in train for s in x.crystal.species}), settings
    )
    tuned, report = tuning.run(told)
    if args.save is not None:
        args.save.write_bytes(tuned.save())
    print(
        f"{report.reason}; {report.epochs} epochs, {report.seconds:.0f} s, {report.trained} + {report.held_out} labels"
    )
    print()
    print("| what | CHGNet as it came | fine-tuned |")
    print("|---|---|---|")
    rows = {f"{args.data.name}, test cells ({len(test)})": (test, (tuning.shifts, report.shifts))}
    if args.other is not None:
        other = read_mlearn(args.other / "test.json")
        rows[f"{args.other.name}, test cells ({len(other)})"] = (other, (None, None))
    for name, (labels, shifts) in rows.items():
        cells = []
        for model, known in zip((base, tuned), shifts, strict=True):
            known = known or fit_shifts(labels, [o.energy for o in outputs_of(model, [x.crystal for x in labels])])
            errors = errors_of(model, labels, known)
            cells.append(f"{1000 * errors.energy:.1f} meV/atom, {errors.force:.3f} eV/Å")
        print(f"| {name} | {cells[0]} | {cells[1]} |")
    if args.perovskites is not None:
        crystals, heats = read_perovskites(args.perovskites)
        before, after = (perovskite_errors(model, crystals, heats) for model in (base, tuned))
        print(
            f"| {OTHERS} perovskites, formation energy | {1000 * before[0]:.1f} meV/atom | {1000 * after[0]:.1f} "
            f"meV/atom ({100 * (after[0] / before[0] - 1):+.1f} %) |"
        )
        print(
            f"| the same, change of the energy itself | 0 | {1000 * np.abs(after[1] - before[1]).mean():.1f} meV/atom |"
        )


def told(epoch: int, errors: Errors) -> None:
    """One line an epoch, beside the table."""
    print(f"epoch {epoch}: {1000 * errors.energy:.1f} meV/atom, {errors.force:.3f} eV/Å", file=sys.stderr, flush=True)


def read_mlearn(path: Path) -> list[Label]:
    """Labels of a file of mlearn, without stresses (the order of their components is not written down)."""
    from pymatgen.core import Structure

    labels = []
    for number, row in enumerate(json.loads(path.read_text())):
        crystal = from_pymatgen(Structure.from_dict(row["structure"]))
        forces = site_rows(np.array(row["outputs"]["forces"], float))
        labels.append(
            Label(crystal=crystal, energy=row["outputs"]["energy"], forces=forces, source=f"{row['group']}-{number}")
        )
    return labels


def read_perovskites(path: Path) -> tuple[list[Crystal], np.ndarray]:
    """Crystals and their DFT heats of formation (eV/atom); the first 50 are the ones to be remembered."""
    from pymatgen.core import Structure

    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    chosen = np.random.default_rng(0).permutation(len(rows))[: OTHERS + CALIBRATING]
    crystals = [from_pymatgen(Structure.from_str(rows[i]["cif"], fmt="cif")) for i in chosen]
    return crystals, np.array([float(rows[i]["heat_all"]) for i in chosen])


def perovskite_errors(model: ChgnetModel, crystals: list[Crystal], heats: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean absolute error (eV/atom) on the 50, with element shifts from the others; and the 50 energies."""
    energies = [o.energy for o in outputs_of(model, crystals, at_once=32)]
    labels = [
        Label(crystal=c, energy=h * len(c), forces=((0.0, 0.0, 0.0),) * len(c))
        for c, h in zip(crystals, heats, strict=True)
    ]
    shifts = fit_shifts(labels[OTHERS:], energies[OTHERS:])
    own = np.array([e / len(c) for e, c in zip(energies, crystals, strict=True)])[:OTHERS]
    moved = np.array([sum(shifts.get(s, 0.0) for s in c.species) / len(c) for c in crystals[:OTHERS]])
    return float(np.abs(own + moved - heats[:OTHERS]).mean()), own


if __name__ == "__main__":
    main()
