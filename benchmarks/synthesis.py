"""How many experiments until a target is made? Five ways to choose recipes, in the laboratory's twin.

    python -m benchmarks.synthesis [--seeds 20] [--first 0] [--targets YBa2Cu3O7,…] [--methods "random;…"]
        [--out FILE] [--add FILE …]

Each seed is a laboratory with its own hidden barriers. A search ends when a recipe leaves 80 % (weight) of target, or
after 40 experiments, which then count as 40. Lodestone meets the targets in an order by lot and keeps what it learned
of pairs and of heat from one to the next; `lodestone, alone` forgets all between targets. All choosers see the same
noisy phases; energies are 25 meV/atom off.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median

from benchmarks.synthesis_rivals import BayesianChooser, RandomChooser
from benchmarks.synthesis_world import (
    DEVELOPED,
    HELD_OUT,
    SEEN_ONCE,
    TARGETS,
    Bench,
    geometric_mean,
    knowledge,
    order,
    reactions,
)
from lodestone.surrogate.synthesis import SynthesisHeat
from lodestone.tools.lab.recipes.chooser import Chooser, LearningChooser, ThermodynamicChooser
from lodestone.tools.lab.recipes.pairs import PairBook
from lodestone.tools.lab.recipes.space import RecipeSpace

CAP = 40
METHODS = ("random", "thermodynamic", "bayesian", "lodestone, alone", "lodestone")
Counts = dict[str, dict[str, list[int]]]
"""Experiments by method, by target, one for each seed."""


def search(chooser: Chooser, bench: Bench, cap: int = CAP) -> int:
    """Experiments until the target is there; `cap` where it never is."""
    for count in range(1, cap + 1):
        recipes = chooser.ask(1)
        if not recipes:
            return cap
        outcome, reached = bench.make(recipes[0])
        if reached:
            # What led there is worth knowing for the next target.
            chooser.tell(outcome)
            return count
        chooser.tell(outcome)
    return cap


def choosers(method: str, seed: int) -> Callable[[RecipeSpace], Chooser]:
    """A maker of choosers for one laboratory; what it keeps between targets is inside."""
    book, heat = PairBook(), SynthesisHeat()

    def make(space: RecipeSpace) -> Chooser:
        if method == "random":
            return RandomChooser(space, seed)
        if method == "bayesian":
            return BayesianChooser(space, seed)
        compounds = knowledge(space.target, seed)
        if method == "thermodynamic":
            return ThermodynamicChooser(space, compounds)
        if method == "lodestone, alone":
            return LearningChooser(space, compounds, PairBook(), SynthesisHeat(), seed)
        return LearningChooser(space, compounds, book, heat, seed)

    return make


def run(targets: tuple[str, ...], methods: tuple[str, ...], seeds: range, out: Path | None) -> Counts:
    """All searches; after each seed prints a line and writes what there is."""
    counts: Counts = {method: {target: [] for target in targets} for method in methods}
    spaces = {target: RecipeSpace(reactions(target)) for target in targets}
    for seed in seeds:
        bench, begun = Bench(seed), time.monotonic()
        for method in methods:
            make = choosers(method, seed)
            for target in order(targets, seed):
                counts[method][target].append(search(make(spaces[target]), bench))
        if out:
            out.write_text(json.dumps(counts))
        print(f"seed {seed}: {time.monotonic() - begun:.0f} s", flush=True)
    return counts


def table(counts: Counts, targets: tuple[str, ...]) -> str:
    """Capped mean / median of experiments by target, and geometric means of the means."""
    methods = tuple(counts)
    lines = [f"| target | {' | '.join(methods)} |", f"|---|{'---|' * len(methods)}"]
    for target in targets:
        cells = [f"{fmean(counts[m][target]):.1f} / {median(counts[m][target]):g}" for m in methods]
        lines.append(f"| {target} | {' | '.join(cells)} |")
    groups = {"developed": DEVELOPED, "held out, then seen": SEEN_ONCE, "held out": HELD_OUT, "all": TARGETS}
    for name, group in groups.items():
        some = [target for target in targets if target in group]
        if some:
            means = [geometric_mean([fmean(counts[m][t]) for t in some]) for m in methods]
            lines.append(f"| geometric mean, {name} ({len(some)}) | {' | '.join(f'{x:.2f}' for x in means)} |")
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--methods", default=";".join(METHODS), help="separated by semicolons")
    parser.add_argument("--out", type=Path, help="write counts as JSON")
    parser.add_argument("--add", type=Path, nargs="*", default=[], help="counts of other seeds or methods, as written")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", module="botorch|gpytorch|linear_operator")
    logging.disable(logging.WARNING)
    targets = tuple(arguments.targets.split(","))
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    counts = run(targets, tuple(arguments.methods.split(";")), seeds, arguments.out)
    for path in arguments.add:
        for method, rows in json.loads(path.read_text()).items():
            mine = counts.setdefault(method, {target: [] for target in targets})
            for target in targets:
                mine[target].extend(rows[target])
    print(table(counts, targets))


if __name__ == "__main__":
    main()
