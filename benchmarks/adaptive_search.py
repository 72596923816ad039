"""A campaign that teaches its potential, against sending every crystal of it to DFT.

`python -m benchmarks.adaptive_search --directory DIR [--goal "..."]`

First `lodestone run` with `[learning] when = "dft"` and few evaluations: labels, references of the elements and chosen
crystals, one point each at the geometry that the potential found. Then every crystal that the campaign relaxed goes to
the same DFT code by itself, which also relaxes it: what a campaign costs that trusts no potential. Compared are the
number of DFT runs, core time, and at each composition of the convex hull of everything the formation energy that each
found. What is finished is not repeated when the command is given again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from lodestone.loops.ledger import Ledger
from lodestone.tools.core.structure import reduced_formula
from lodestone.tools.core.types import Crystal
from lodestone.tools.evaluate.hull import Hull, HullEntry
from lodestone.tools.evaluate.registry import create_evaluator

from .published import Record, Task, calculate

GOAL = "find the most stable compound in the Mg-Si system; 12 evaluations; 3 rounds"
SETTINGS = {
    "LODESTONE_LEARNING__WHEN": "dft",
    "LODESTONE_LEARNING__MIN_SOURCES": "4",
    "LODESTONE_LEARNING__MAX_SECONDS": "240",
    "LODESTONE_LEARNING__REPLAY": "20",
    "LODESTONE_CAMPAIGN__MAX_ATOMS": "6",
    "LODESTONE_CAMPAIGN__PROPOSALS": "12",
    "LODESTONE_EVALUATORS__SECOND_OPINION": "none",
}
ENERGY = "energy_per_atom"
STABLE = 1e-6
"""eV/atom above the hull; a crystal below it is on it."""


class Found(NamedTuple):
    """A crystal and its DFT energy."""

    crystal: Crystal
    energy: float
    """eV/atom."""


def campaign(directory: Path, goal: str) -> None:
    """Run the campaign to its end, or on from where it was cut off."""
    folder = directory / "campaign"
    words = ["resume", str(folder)] if folder.exists() else ["run", goal, "--yes", "--evaluator", "gpaw"]
    more = [] if folder.exists() else ["--dir", str(folder)]
    command = [sys.executable, "-m", "lodestone.loops.cli", *words, *more]
    subprocess.run(command, env={**os.environ, **SETTINGS}, check=True, stdout=sys.stderr)


def everything(directory: Path, ledger: Ledger) -> tuple[list[Found], Record]:
    """DFT relaxations of the elements' references and of every crystal that the campaign relaxed."""
    evaluator = create_evaluator("gpaw", directory / "jobs", {"relax": True})
    record = Record(directory / "everything.jsonl", "gpaw", "fast")
    requests = [row.request for row in ledger.evaluations()]
    crystals = {r.candidate_id: r.crystal for r in requests if r.purpose == "reference"}
    crystals |= {
        row.candidate.id: row.relaxation.crystal for row in ledger.candidates() if row.relaxation and not row.failure
    }
    found = []
    for name, crystal in crystals.items():
        calculate(evaluator, Task(name, crystal, (ENERGY,), "", frozenset()), record)
        values, failure = record.values("gpaw", name)
        if ENERGY in values:
            found.append(Found(crystal, values[ENERGY]))
        else:
            print(f"{name}: {failure}", file=sys.stderr)
    return found, record


def formation(found: list[Found]) -> tuple[dict[str, float], Hull]:
    """Lowest formation energy (eV/atom) of each formula, and the hull."""
    entries = [
        HullEntry(
            id=str(i), amounts=Counter(f.crystal.species), energy_per_atom=f.energy, source="benchmark", method="gpaw"
        )
        for i, f in enumerate(found)
    ]
    hull = Hull(entries)
    best: dict[str, float] = {}
    for f in found:
        formula = reduced_formula(f.crystal)
        best[formula] = min(best.get(formula, 9e9), hull.formation_energy(Counter(f.crystal.species), f.energy))
    return best, hull


def main() -> None:
    """Run what is not finished, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--goal", default=GOAL)
    args = parser.parse_args()
    args.directory.mkdir(parents=True, exist_ok=True)
    campaign(args.directory, args.goal)
    ledger = Ledger.open(args.directory / "campaign", read_only=True)
    rows = [row for row in ledger.evaluations() if row.request.purpose != "opinion" and row.observation is not None]
    mine = [
        Found(row.request.crystal, row.observation.values[ENERGY].value)
        for row in rows
        if row.request.purpose != "label" and ENERGY in row.observation.values
    ]
    purposes = Counter(row.request.purpose for row in rows)
    all_found, record = everything(args.directory, ledger)
    own, _ = formation(mine)
    theirs, hull = formation(all_found)
    spent = sum(row.observation.cost_core_s for row in rows)
    print("| | DFT runs | core seconds of DFT |\n|---|---|---|")
    print(f"| campaign that learns: {json.dumps(purposes)} | {len(rows)} | {spent:.0f} |")
    print(f"| everything to DFT | {len(all_found)} | {record.seconds():.0f} |\n")
    print("| on the hull of everything | formation energy, everything (eV/atom) | campaign | difference (meV/atom) |")
    print("|---|---|---|---|")
    for f in all_found:
        formula = reduced_formula(f.crystal)
        if len(Counter(f.crystal.species)) > 1 and hull.distance(Counter(f.crystal.species), f.energy) <= STABLE:
            value = own.get(formula)
            off = "not evaluated |" if value is None else f"{value:.3f} | {1000 * (value - theirs[formula]):+.1f}"
            print(f"| {formula} | {theirs[formula]:.3f} | {off} |")
    print()
    for event in ledger.events("learned"):
        said = {k: event[k] for k in ("why", "reason", "before", "after") if k in event}
        print(f"round {event['round']}: {json.dumps(said)}")


if __name__ == "__main__":
    main()
