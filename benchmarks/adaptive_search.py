"""A campaign that teaches its potential, against sending every crystal of it to DFT.

`python -m benchmarks.adaptive_search --directory DIR [--goal "..."]`

First `lodestone run` with `[learning] when = "dft"` and few evaluations: labels, references of the elements and chosen
crystals, one point each at the geometry that the potential found. Then every other crystal that the campaign relaxed
gets its point of the same DFT too: what a campaign costs that trusts no potential. At each composition of the convex
hull of everything, the best crystal of either is at last relaxed by DFT itself. Compared are the number of DFT runs,
core time, and those final energies. What is finished is not repeated when the command is given again.
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

GOAL = "find the most stable compound in the Mg-Si system; 12 evaluations; 4 rounds"
SETTINGS = {
    "LODESTONE_LEARNING__WHEN": "dft",
    "LODESTONE_LEARNING__MIN_SOURCES": "4",
    "LODESTONE_LEARNING__MAX_SECONDS": "240",
    "LODESTONE_LEARNING__REPLAY": "20",
    "LODESTONE_CAMPAIGN__MAX_ATOMS": "6",
    "LODESTONE_CAMPAIGN__PROPOSALS": "16",
    "LODESTONE_EVALUATORS__SECOND_OPINION": "none",
}
ENERGY = "energy_per_atom"
STABLE = 1e-6
"""eV/atom above the hull; a crystal below it is on it."""

GOOD = 0.01
"""eV/atom above the best of everything at the same composition."""


class Found(NamedTuple):
    """A crystal and its DFT energy."""

    name: str
    crystal: Crystal
    energy: float
    """eV/atom."""

    @property
    def formula(self) -> str:
        """Reduced."""
        return reduced_formula(self.crystal)


def campaign(directory: Path, goal: str) -> None:
    """Run the campaign to its end, or on from where it was cut off."""
    folder = directory / "campaign"
    words = ["resume", str(folder)] if folder.exists() else ["run", goal, "--yes", "--evaluator", "gpaw"]
    more = [] if folder.exists() else ["--dir", str(folder)]
    command = [sys.executable, "-m", "lodestone.loops.cli", *words, *more]
    subprocess.run(command, env={**os.environ, **SETTINGS}, check=True, stdout=sys.stderr)


class Dft:
    """GPAW's energies of crystals, kept in a record.

    Args:
        directory: of jobs and record.
        relax: whether DFT relaxes each crystal first.
    """

    def __init__(self, directory: Path, relax: bool) -> None:
        name = "relaxed" if relax else "points"
        self._evaluator = create_evaluator("gpaw", directory / f"jobs-{name}", {"relax": relax})
        self.record = Record(directory / f"{name}.jsonl", "gpaw", "fast")

    def energies(self, crystals: dict[str, Crystal]) -> list[Found]:
        """Of all that came to an end; the others are named with their reason."""
        found = []
        for name, crystal in crystals.items():
            calculate(self._evaluator, Task(name, crystal, (ENERGY,), "", frozenset()), self.record)
            values, failure = self.record.values("gpaw", name)
            if ENERGY in values:
                found.append(Found(name, crystal, values[ENERGY]))
            else:
                print(f"{name}: {failure}", file=sys.stderr)
        return found


def best(found: list[Found]) -> tuple[dict[str, Found], Hull]:
    """The lowest crystal of each formula, and the hull of all."""
    hull = Hull(
        HullEntry(
            id=f.name, amounts=Counter(f.crystal.species), energy_per_atom=f.energy, source="campaign", method="PBE"
        )
        for f in found
    )
    lowest: dict[str, Found] = {}
    for f in sorted(found, key=lambda f: f.energy):
        lowest.setdefault(f.formula, f)
    return lowest, hull


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
    order = [
        Found(row.request.candidate_id, row.request.crystal, row.observation.values[ENERGY].value)
        if row.request.purpose != "label" and row.observation is not None and ENERGY in row.observation.values
        else None
        for row in rows
    ]
    mine = [f for f in order if f is not None]
    known = {f.name for f in mine}
    rest = {r.candidate.id: r.relaxation.crystal for r in ledger.candidates() if r.relaxation and not r.failure}
    points = Dft(args.directory, relax=False)
    others = points.energies({name: crystal for name, crystal in rest.items() if name not in known})
    own, _ = best(mine)
    lowest, hull = best([*mine, *others])
    purposes = Counter(row.request.purpose for row in rows)
    spent = sum(row.observation.cost_core_s for row in rows if row.observation is not None)
    of_mine = sum(row.observation.cost_core_s for row in rows if row.observation and row.request.purpose != "label")
    print("| | DFT runs | core seconds of DFT |\n|---|---|---|")
    print(
        f"| campaign that learns ({', '.join(f'{n} {p}' for p, n in purposes.items())}) | {len(rows)} | {spent:.0f} |"
    )
    stable = {
        f: one
        for f, one in lowest.items()
        if len(set(one.crystal.species)) > 1 and hull.distance(Counter(one.crystal.species), one.energy) <= STABLE
    }
    found = {
        formula: next((i for i, f in enumerate(order, 1) if f is not None and _as_good(f, one)), None)
        for formula, one in stable.items()
    }
    print(f"| the same, until every compound on the hull was found within 10 meV/atom | {_last(found)} | |")
    print(f"| everything to DFT | {len(mine) + len(others)} | {of_mine + points.record.seconds():.0f} |\n")
    print(
        "| on the hull of everything | crystals | same crystal | final energies, everything and campaign | difference |"
    )
    print("|---|---|---|---|---|")
    relaxed = Dft(args.directory, relax=True)
    for formula, one in stable.items():
        count = sum(f.formula == formula for f in [*mine, *others])
        if formula not in own:
            print(f"| {formula} | {count} | not evaluated by the campaign | | |")
            continue
        ends = [f.energy for f in relaxed.energies({f.name: f.crystal for f in (one, own[formula])})]
        same = "yes" if own[formula].name == one.name else "no"
        off = f"{1000 * (ends[-1] - ends[0]):.1f} meV/atom"
        print(f"| {formula} | {count} | {same} | {ends[0]:.4f} and {ends[-1]:.4f} eV/atom | {off} |")
    print()
    for event in ledger.events("learned"):
        said = {k: event[k] for k in ("why", "reason", "before", "after") if k in event}
        print(f"round {event['round']}: {json.dumps(said)}")


def _as_good(one: Found, best: Found) -> bool:
    return one.formula == best.formula and one.energy - best.energy <= GOOD


def _last(found: dict[str, int | None]) -> str:
    """The run by which all were found; which ones never were."""
    never = [formula for formula, place in found.items() if place is None]
    return f"never: {', '.join(never)}" if never else str(max((n for n in found.values() if n), default=0))


if __name__ == "__main__":
    main()
