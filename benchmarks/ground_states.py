"""Finds known ground states: Lodestone's whole loop beside plain random symmetric search, on the same potential.

    python -m benchmarks.ground_states [--quick] [--seeds 3] [--systems Na-Cl,…] [--out results.json]

Truth: the lowest of the textbook prototypes (`textbook.py`) relaxed with the potential. Found: within 2 meV/atom of
it or below, on that potential. A campaign counts as successful when such a crystal has been *evaluated* within 100
relaxations and 10 evaluations (elemental references included). Both methods are told the chemical system and nothing
more, draw compositions from the same list, and relax on the same potential.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from pymatgen.core import Composition

from benchmarks.textbook import SYSTEMS, Builder, textbook_crystals
from lodestone.loops.campaign import Campaign
from lodestone.loops.commands import understand
from lodestone.loops.knowledge import Knowledge, Measured
from lodestone.loops.settings import Settings, load_settings
from lodestone.loops.view import View
from lodestone.loops.wiring import Parts, build_parts, choose_evaluator, potential_for
from lodestone.tools.core.protocols import Potential
from lodestone.tools.core.structure import from_pymatgen
from lodestone.tools.core.types import ChemicalSpace

TOLERANCE = 0.002
"""eV/atom; found means within this of the truth, or below."""
MAX_RELAXATIONS = 100
MAX_EVALUATIONS = 10
QUICK = ("Na-Cl", "Zn-S", "Ni-Al")
RANDOM_CHUNK = 10


@dataclass(frozen=True)
class Outcome:
    """One run of one method on one system; None: not within the caps."""

    system: str
    seed: int
    method: str
    first_relaxed: int | None
    """Number of the relaxation that first reached the truth."""
    relaxations: int | None
    """Relaxations that had been done when the crystal was evaluated (for random search: the same as above)."""
    evaluations: int | None
    best_gap: float | None
    """eV/atom of the best crystal of the composition above the truth (negative: below)."""
    wall_s: float


class Found(Exception):  # noqa: N818  a signal, not an error
    """Ends a campaign that has evaluated the ground state."""


class Watch(View):
    """Stops a campaign as soon as a crystal at the truth's energy has been evaluated."""

    def __init__(self, formula: str, truth: float) -> None:
        self.formula = formula
        self.truth = truth

    def known(self, knowledge: Knowledge) -> None:
        """Raise Found when there is one."""
        if any(_is_found(m, self.formula, self.truth) for m in knowledge.measured):
            raise Found


def _is_found(m: Measured, formula: str, truth: float) -> bool:
    return (
        bool(m.values)
        and m.member.candidate.formula == formula
        and m.member.relaxation.energy_per_atom <= truth + TOLERANCE
    )


def truth_of(potential: Potential, elements: tuple[str, ...], prototypes: dict[str, Builder]) -> tuple[str, float]:
    """Name and energy (eV/atom) of the lowest textbook prototype on this potential, from three starting volumes."""
    best = ("", float("inf"))
    for volume in (10.0, 14.0, 20.0):
        crystals = textbook_crystals(elements, prototypes, volume)
        results = potential.relax([(name, from_pymatgen(s)) for name, s in crystals.items()])
        for result in results:
            if result.converged and result.energy_per_atom < best[1]:
                best = (result.candidate_id, result.energy_per_atom)
    return best


def run_campaign(
    system: str,
    formula: str,
    truth: float,
    seed: int,
    method: str = "lodestone",
    adapt: Callable[[Parts, Settings], None] = lambda *_: None,
    jobs: Path | None = None,
) -> Outcome:
    """The product itself, told the chemical system and the budget.

    Args:
        system: e.g. `Na-Cl`.
        formula: of the ground state.
        truth: its energy on the potential, eV/atom.
        seed: of the campaign.
        method: name of the row.
        adapt: changes parts before the campaign starts.
        jobs: folder of the evaluations, where several campaigns share them; an evaluation has one key wherever it is
            asked for, and is done once.
    """
    began = time.perf_counter()
    settings = load_settings(None, {"LODESTONE_PREFECT__ENABLED": "false"}, {})
    budget = f"{MAX_EVALUATIONS} evaluations with sevennet; 6 hours; seed {seed}"
    words = f"most stable compound in the {system} system; {budget}"
    understanding = understand(words, settings)
    reduced = Composition(formula).reduced_formula
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        directory = Path(folder) / "campaign"
        evaluator = choose_evaluator(understanding.goal, settings, jobs or directory)
        parts = build_parts(understanding.goal, settings, evaluator)
        adapt(parts, settings)
        campaign = Campaign.create(directory, understanding, settings, parts)
        try:
            campaign.run(parts, Watch(reduced, truth))
        except Found:
            for row in campaign.ledger.evaluations():
                evaluator.cancel(row.key)
        finally:
            campaign.close()
        return _outcome(campaign, system, reduced, truth, seed, method, time.perf_counter() - began)


def _outcome(
    campaign: Campaign, system: str, formula: str, truth: float, seed: int, method: str, wall_s: float
) -> Outcome:
    """What the ledger says of a campaign."""
    knowledge = Knowledge.read(campaign.ledger)
    relaxed = [r for r in campaign.ledger.candidates() if r.relaxation is not None]
    energies = [
        (i, r.relaxation.energy_per_atom)
        for i, r in enumerate(relaxed, start=1)
        if r.relaxation is not None and r.candidate.formula == formula and r.relaxation.converged
    ]
    first = next((i for i, energy in energies if energy <= truth + TOLERANCE), None)
    at_truth = {m.entry.key for m in knowledge.measured if _is_found(m, formula, truth)}
    done = next(
        (
            (sum(r.round <= e.round for r in relaxed), order)
            for order, e in enumerate(knowledge.evaluations, start=1)
            if e.key in at_truth
        ),
        None,
    )
    ok = done is not None and done[0] <= MAX_RELAXATIONS and done[1] <= MAX_EVALUATIONS
    return Outcome(
        system, seed, method, first, done[0] if ok and done else None, done[1] if ok and done else None,
        min(energy for _, energy in energies) - truth if energies else None, wall_s,
    )  # fmt: skip


def run_random(system: str, formula: str, truth: float, seed: int, potential: Potential) -> Outcome:
    """Plain random symmetric search in the chemical system, relaxed one chunk after another."""
    from lodestone.tools.generate.random_symmetric import RandomSymmetricGenerator

    began = time.perf_counter()
    elements = tuple(sorted(Composition(formula).as_dict()))
    reduced = Composition(formula).reduced_formula
    space = ChemicalSpace(required=elements, allowed=elements, n_elements=(len(elements), len(elements)))
    generator = RandomSymmetricGenerator()
    rng = np.random.default_rng([seed, 17])
    count, best, first = 0, float("inf"), None
    while count < MAX_RELAXATIONS and first is None:
        chunk = generator.propose(space, RANDOM_CHUNK, rng)
        for candidate, result in zip(chunk, potential.relax([(c.id, c.crystal) for c in chunk]), strict=True):
            count += 1
            if result.converged and candidate.formula == reduced:
                best = min(best, result.energy_per_atom)
                if first is None and result.energy_per_atom <= truth + TOLERANCE:
                    first = count
    return Outcome(system, seed, "random", first, first, None, best - truth, time.perf_counter() - began)


def table(outcomes: list[Outcome], truths: dict[str, tuple[str, float]]) -> str:
    """The result as markdown."""
    lines = [
        "| system | ground state on the potential | found (seeds) | relaxations until reached | … until evaluated "
        "| evaluations | random: found | random: relaxations until reached |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for system, (name, energy) in truths.items():
        ours = [o for o in outcomes if o.system == system and o.method == "lodestone"]
        rand = [o for o in outcomes if o.system == system and o.method == "random"]
        cells = [
            system,
            f"{name} ({energy:.4f} eV/atom)",
            f"{sum(o.evaluations is not None for o in ours)}/{len(ours)}",
            _cell([o.first_relaxed for o in ours]),
            _cell([o.relaxations for o in ours]),
            _cell([o.evaluations for o in ours]),
            f"{sum(o.first_relaxed is not None for o in rand)}/{len(rand)}",
            _cell([o.first_relaxed for o in rand]),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    for method in ("lodestone", "random"):
        mine = [o for o in outcomes if o.method == method]
        reached = [o.first_relaxed if o.first_relaxed is not None else MAX_RELAXATIONS + 1 for o in mine]
        if mine:
            lines.append(
                f"\n{method}: reached in {sum(o.first_relaxed is not None for o in mine)} of {len(mine)} runs; "
                f"median relaxations until reached {statistics.median(reached):g} (not reached counts as "
                f"{MAX_RELAXATIONS + 1}); {sum(o.wall_s for o in mine) / 60:.1f} min in all"
            )
    solved = sum(
        all(o.evaluations is not None for o in outcomes if o.system == s and o.method == "lodestone") for s in truths
    )
    lines.append(f"\nSystems found with every seed: {solved} of {len(truths)}.")
    return "\n".join(lines)


def _cell(values: list[int | None]) -> str:
    return ", ".join("–" if v is None else str(v) for v in values)


def main() -> None:
    """Run, print as results come, print the table."""
    warnings.filterwarnings("ignore")
    logging.getLogger("moyo").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help=f"{', '.join(QUICK)}, one seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--systems", default="")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    wanted = options.systems.split(",") if options.systems else [s[0] for s in SYSTEMS]
    wanted = list(QUICK) if options.quick else wanted
    potential = potential_for(load_settings(None, {}, {}))
    outcomes: list[Outcome] = []
    truths: dict[str, tuple[str, float]] = {}
    systems = [row for row in SYSTEMS if row[0] in wanted]
    for system, _, elements, prototypes in systems:
        truths[system] = truth_of(potential, elements, prototypes)
        print(f"{system}: truth {truths[system][0]} at {truths[system][1]:.4f} eV/atom", flush=True)
    for seed in range(1 if options.quick else options.seeds):
        for system, formula, _, _ in systems:
            energy = truths[system][1]
            for outcome in (
                run_campaign(system, formula, energy, seed),
                run_random(system, formula, energy, seed, potential),
            ):
                outcomes.append(outcome)
                print(f"  {outcome}", flush=True)
            if options.out:
                options.out.write_text(
                    json.dumps({"truths": truths, "outcomes": [asdict(o) for o in outcomes]}, indent=1)
                )
    print("\n" + table(outcomes, truths))


if __name__ == "__main__":
    main()
