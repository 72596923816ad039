"""`lodestone calc`: one calculation of one crystal, from a sentence to numbers, without a campaign.

What lives here: the crystal of a request, what is shown before money is spent, the run under the evaluator's own
supervision, and the result. What the words mean is in `agent/words/calculation.py`.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.prompt import Confirm
from rich.table import Table
from rich.text import Text

from ..agent.words.calculation import Calculation, read_calculation
from ..tools.core.errors import BudgetError, ConfigError, EvaluationError, GoalError, ToolError
from ..tools.core.structure import fingerprint, read_structure, reduced_formula, write_cif
from ..tools.core.types import (
    ChemicalSpace,
    Crystal,
    EvaluationRequest,
    Frozen,
    JobStatus,
    Observation,
    Quantity,
    StructureWish,
)
from ..tools.evaluate.base import CalculationFailed, ProcessEvaluator
from ..tools.evaluate.cost import CostPrediction, core_time, predict
from ..tools.evaluate.registry import create_evaluator, evaluator_class, evaluator_names, pick_best
from .calculation_words import cell_words, describe_result, lattice_constant, warnings_of
from .commands import print_json
from .settings import Settings, load_settings

CALCULATIONS = Path("calculations")
POLL_S = 0.25
MAX_PROTOTYPES = 8
"""Of a composition without a named structure, relaxed to find the most stable one."""


class Start(Frozen):
    """The crystal that is calculated, and how it came about."""

    crystal: Crystal
    source: str
    questions: tuple[tuple[str, str], ...] = ()
    """What was left open, and what is assumed."""


def calculate(options: argparse.Namespace) -> int:
    """Understand, show, ask once, run, print; returns 0, or EvaluationError's code when there is no value."""
    settings = load_settings(options.config, os.environ, {})
    asked = read_calculation(options.words, needs_formula=options.cif is None)
    directory = options.out or _free_directory(options.words)
    options.directory = directory
    evaluator = _evaluator(asked, options, settings, directory)
    start = _start(asked, options.cif, options.relax, settings)
    request = EvaluationRequest(
        candidate_id=fingerprint(start.crystal), crystal=start.crystal, properties=asked.properties
    )
    console = Console(stderr=bool(options.json), highlight=False)
    predicted = predict(evaluator, request, _histories(directory))
    _show(console, asked, start, evaluator, request, predicted)
    console.print(Text(f"Folder: {directory}\n"))
    _check_cost(evaluator, predicted)
    if not options.yes:
        if not sys.stdin.isatty():
            raise GoalError("Nobody is here to confirm the calculation.", "Add --yes to run without asking.")
        if not Confirm.ask("Run this calculation?", default=True, console=console):
            return 0
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "start.cif").write_text(write_cif(start.crystal))
    (directory / "input.txt").write_text(_deck(evaluator, request) + "\n")
    observation = _run(evaluator, request, console)
    observation = _with_lattice_constant(observation, asked, start.crystal)
    (directory / "result.json").write_text(observation.model_dump_json(indent=2) + "\n")
    warnings = warnings_of(observation, request, evaluator)
    if options.json:
        print_json({**observation.model_dump(mode="json"), "wanted": asked.wanted, "warnings": warnings})
    else:
        describe_result(console, observation, asked.wanted, warnings, directory)
    got_all = all(name in observation.values or name == "density_of_states" for name in asked.wanted)
    return 0 if observation.failure is None and got_all else EvaluationError.exit_code


# --- before the run -------------------------------------------------------------------------------


def _evaluator(
    asked: Calculation, options: argparse.Namespace, settings: Settings, directory: Path
) -> ProcessEvaluator[Any]:
    """The evaluator that was named by a flag, by a word, or by the settings; for `auto` the best one that can."""
    name = options.evaluator or asked.evaluator or settings.evaluators.default
    names = evaluator_names() if name in ("auto", "dft") else (name,)
    protocol = options.protocol or asked.protocol
    needed = set(asked.properties)
    found = []
    for each in names:
        known = evaluator_class(each).settings_type.model_fields
        table = settings.evaluators.model_dump(mode="json").get(each)
        chosen = dict(table) if isinstance(table, dict) else {}
        for field, value in (("protocol", protocol), ("hubbard", "mp" if asked.hubbard else "")):
            if value and field in known:
                chosen[field] = value
            elif value and len(names) == 1:
                raise ConfigError(f"Evaluator '{each}' has no {field}.", "Leave it out, or name a DFT code.")
        evaluator = create_evaluator(each, directory / "jobs", chosen)
        if len(names) == 1 or evaluator.fidelity == "dft":
            evaluator.properties = evaluator.properties | evaluator.extras
            found.append(evaluator)
    best = pick_best(found, needed)
    return next(e for e in found if e is best)


def _start(asked: Calculation, cif: Path | None, relax: bool, settings: Settings) -> Start:
    """The crystal: of a file as it is, or of a structure type relaxed with the potential of `[relax]`."""
    questions = tuple((f"'{word}' was not understood. What is meant?", "it is left out") for word in asked.unused)
    from .wiring import potential_for

    if cif is not None:
        crystal = read_structure(cif)
        if not relax:
            return Start(crystal=crystal, source=f"{cif}, as it is", questions=questions)
        potential = potential_for(settings)
        return Start(crystal=_relaxed([crystal], potential), source=f"{cif}, relaxed by {potential.name}")
    candidates = _prototypes(asked, settings.campaign.max_atoms)
    if not _is_named(asked):
        many = len(candidates)
        questions += ((
            "Which structure?",
            f"the most stable of {many} prototypes by {settings.relax.potential}" if many > 1 else "the only prototype",
        ),)  # fmt: skip
    potential = potential_for(settings)
    return Start(crystal=_relaxed(candidates, potential), source=f"relaxed by {potential.name}", questions=questions)


def _is_named(asked: Calculation) -> bool:
    return bool(asked.prototype or asked.label or asked.space_group)


def _prototypes(asked: Calculation, max_atoms: int) -> list[Crystal]:
    """Decorated prototypes of the composition, of the named structure where one is named."""
    import numpy as np
    from pymatgen.core import Composition

    from ..tools.generate.prototypes import PrototypeGenerator

    formula = Composition(asked.formula).reduced_formula
    elements = tuple(sorted(asked.formula))
    space = ChemicalSpace(
        required=elements,
        allowed=elements,
        formula=formula,
        n_elements=(len(elements), len(elements)),
        max_atoms=max_atoms,
    )
    generator = PrototypeGenerator()
    generator.wish = StructureWish(
        prototypes=(asked.prototype,) if asked.prototype else (),
        space_groups=(asked.space_group,) if asked.space_group else (),
    )
    many = 200 if asked.label else MAX_PROTOTYPES
    found = generator.propose(space, many, np.random.default_rng(0))
    if asked.label:
        found = [c for c in found if c.provenance.parameters.get("prototype") == asked.label]
    if not found:
        what = asked.prototype or asked.label or (f"space group {asked.space_group}" if asked.space_group else "")
        raise GoalError(
            f"No prototype of {formula}{f' with {what}' if what else ''} is known.", "Give the crystal as --cif FILE."
        )
    return [candidate.crystal for candidate in found]


def _relaxed(crystals: list[Crystal], potential: Any) -> Crystal:
    """The one of lowest energy after relaxation."""
    results = potential.relax([(str(i), crystal) for i, crystal in enumerate(crystals)])
    good = [result for result in results if result.failure is None]
    if not good:
        raise ToolError(
            f"The starting crystal cannot be relaxed: {results[0].failure.reason}.", "Give it as --cif FILE."
        )
    best: Crystal = min(good, key=lambda result: result.energy_per_atom).crystal
    return best


def _show(
    console: Console,
    asked: Calculation,
    start: Start,
    evaluator: ProcessEvaluator[Any],
    request: EvaluationRequest,
    predicted: CostPrediction | None,
) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column(overflow="fold")
    wanted = ", ".join(name.replace("_", " ") for name in asked.wanted)
    rows = [
        ("calculation", f"{wanted} of {reduced_formula(start.crystal)}"),
        ("crystal", f"{asked.prototype} {cell_words(start.crystal)}; {start.source}".strip()),
        ("evaluator", f"{evaluator.name} {evaluator.version}"),
        ("method", evaluator.method),
    ]
    size = getattr(evaluator, "size", None)
    if size is not None:
        rows.append(("size", size(request).words()))
    allowed = core_time(evaluator.wall_limit_s * evaluator.cores)
    if predicted is not None:
        rows.append(("cost", f"{predicted.words()}; the limit is {allowed}"))
    rows += [("question", f"{question} (until then: {assumed})") for question, assumed in start.questions]
    for name, text in rows:
        table.add_row(Text(name), Text(text))
    console.print(table)
    console.print(Text(f"\n{_deck(evaluator, request)}\n"))


def _deck(evaluator: ProcessEvaluator[Any], request: EvaluationRequest) -> str:
    try:
        return evaluator.deck(request)
    except CalculationFailed as error:
        raise EvaluationError(f"The input cannot be written: {error.problem}.", "Mend it, then try again.") from error


def _histories(directory: Path) -> list[Path]:
    """Folders of finished jobs to learn the cost from: of this calculation and of those beside it."""
    return [directory / "jobs", *(p for p in sorted(directory.parent.glob("*/jobs")) if p != directory / "jobs")]


def _check_cost(evaluator: ProcessEvaluator[Any], predicted: CostPrediction | None) -> None:
    allowed = evaluator.wall_limit_s * evaluator.cores
    if predicted is not None and predicted.lower > allowed:
        raise BudgetError(
            f"The predicted cost is {predicted.words()}; the limit is {core_time(allowed)}.",
            f"Raise [evaluators.{evaluator.name}] wall_limit_s, or ask for a coarser protocol.",
        )


# --- the run --------------------------------------------------------------------------------------


def _run(evaluator: ProcessEvaluator[Any], request: EvaluationRequest, console: Console) -> Observation:
    """Have it done by a supervised worker; one that was done before is not paid again."""
    key = evaluator.key(request)
    try:
        with console.status("Calculating …") if console.is_terminal else nullcontext():
            while (status := evaluator.lookup(key)) is not JobStatus.DONE:
                if status is JobStatus.CANNOT_KNOW:
                    raise EvaluationError(
                        "Nobody can tell whether this calculation runs already.",
                        f"Look at {evaluator.jobs.folder(key)}.",
                    )
                if status is not JobStatus.RUNNING:
                    evaluator.submit([(key, request)])
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        evaluator.cancel(key)
        raise
    return evaluator.harvest(key)


def _with_lattice_constant(observation: Observation, asked: Calculation, crystal: Crystal) -> Observation:
    """With the lattice constant at the equilibrium volume, where it was asked for and the crystal is cubic."""
    volume = observation.values.get("equilibrium_volume_per_atom")
    if "lattice_constant" not in asked.wanted or volume is None:
        return observation
    constant = lattice_constant(crystal, volume)
    added: dict[str, Quantity] = {} if constant is None else {"lattice_constant": constant}
    return observation.model_copy(update={"values": {**observation.values, **added}})


def _free_directory(text: str) -> Path:
    slug = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-") or "calculation"
    for number in range(1, 10_000):
        directory = CALCULATIONS / (slug if number == 1 else f"{slug}-{number}")
        if not directory.exists():
            return directory
    raise ConfigError(f"{CALCULATIONS} is full of folders named {slug}.", "Give --out.")
