"""Does doubt find the configurations on which the potential errs? Against DFT on strained, molten, defective crystals.

`python -m benchmarks.doubt --data ../shared/data/mlearn [--every 3] [--orders 3]`
The cells of mlearn (Zuo et al., J. Phys. Chem. A 124, 731 (2020): PBE forces of Mo and Si). CHGNet 0.3.0 is doubted,
SevenNet-0 is the other member of the committee. A configuration is bad where a force errs by more than 0.3 eV/Å. After
no, 6, 20 and 40 labels drawn by chance the others are judged: how many of the bad ones lie above the threshold that the
trigger has set itself, how many of the good ones; and the same where the threshold is set by the truth.
"""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from lodestone.tools.core.structure import to_ase
from lodestone.tools.relax.chgnet import ChgnetModel
from lodestone.tools.relax.doubt import RECALL, Doubter, ErrorRecord, disagreement
from lodestone.tools.relax.models import BatchModel, ModelOutput, ask
from lodestone.tools.relax.sevennet import SevenNetModel

from .learn_potential import read_mlearn

ELEMENTS = ("Mo", "Si")
TOLERANCE = 0.3
LABELS = (0, 6, 20, 40)
AT_ONCE = 4


@dataclass(frozen=True)
class Case:
    """A configuration with what both potentials and DFT say."""

    output: ModelOutput
    other: ModelOutput
    forces: np.ndarray

    @property
    def largest(self) -> float:
        """eV/Å: largest error of a force."""
        return float(np.linalg.norm(self.output.forces - self.forces, axis=1).max())


def main() -> None:
    """Judge, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with Mo and Si")
    parser.add_argument("--every", type=int, default=3, help="of the training cells every so many are taken")
    parser.add_argument("--orders", type=int, default=3, help="draws of the labels")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    pair = ChgnetModel(), SevenNetModel("sevennet-0")
    cases = {element: read(args.data / element, args.every, pair) for element in ELEMENTS}
    cases["both"] = [case for element in ELEMENTS for case in cases[element]]
    print("| cells | labels | bad | good | AUC | bad caught | good caught | good caught where 95 % of the bad are |")
    print("|---|---|---|---|---|---|---|---|")
    for name, all_of_them in cases.items():
        for count in LABELS:
            orders = args.orders if count else 1
            rows = np.array([judged(all_of_them, count, seed) for seed in range(orders)])
            bad, good, area, caught, alarms, best = (fmean(column) for column in rows.T)
            print(
                f"| {name} | {count} | {bad:.0f} | {good:.0f} | {area:.3f} | {caught:.2f} | {alarms:.2f} | {best:.2f} |"
            )


def read(folder: Path, every: int, pair: tuple[BatchModel, BatchModel]) -> list[Case]:
    """The test cells, and some of those for training, with what both potentials say."""
    labels = read_mlearn(folder / "test.json") + read_mlearn(folder / "training.json")[::every]
    cases = []
    for start in range(0, len(labels), AT_ONCE):
        some = labels[start : start + AT_ONCE]
        atoms = [to_ase(label.crystal) for label in some]
        for label, output, other in zip(some, *(ask(model, atoms) for model in pair), strict=True):
            if not isinstance(output, str) and not isinstance(other, str):
                cases.append(Case(output, other, np.array(label.forces)))
    return cases


def judged(cases: list[Case], count: int, seed: int) -> tuple[float, ...]:
    """Bad, good, area under the ROC curve, share of the bad and of the good above the threshold, and of the good at
    the truth's own threshold."""
    order = np.random.default_rng(seed).permutation(len(cases))
    record = ErrorRecord()
    for i in order[:count]:
        record.add(cases[i].output, disagreement(cases[i].output, cases[i].other), cases[i].forces)
    doubter = Doubter(record)
    limit = doubter.threshold(TOLERANCE)
    rest = [cases[i] for i in order[count:]]
    scores = np.array([doubter.judge(case.output, case.other).score for case in rest])
    bad = np.array([case.largest > TOLERANCE for case in rest])
    # The area is the share of pairs in which the bad one is doubted more.
    area = float((scores[bad][:, None] > scores[~bad][None, :]).mean())
    best = np.quantile(scores[bad], 1 - RECALL)
    return (
        float(bad.sum()),
        float((~bad).sum()),
        area,
        float((scores[bad] > limit).mean()),
        float((scores[~bad] > limit).mean()),
        float((scores[~bad] > best).mean()),
    )


if __name__ == "__main__":
    main()
