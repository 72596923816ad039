"""The report of a synthesis campaign: one self-contained page, and `results.json` beside it.

Recipes, temperature traces, patterns with their fit, the phases in them, and what was learned. Everything is data: the
template escapes it. What is not here: the campaign (`campaign.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from ...tools.core.synthesis import CU_K_ALPHA_1_A, Phase, SynthesisGoal
from ...tools.core.types import Frozen, canonical_json
from ...tools.lab.diffraction.reflections import reflections
from ...tools.lab.evaluator import PRESENT, LabEvaluator
from ...tools.lab.recipes.pairs import PairBook, PairSeen
from ..chronometer import active_seconds
from ..files import write_bytes
from ..ledger import Ledger
from ..report import svg, words
from ..report.page import formula_markup
from ..settings import LaboratorySettings
from .experiments import Experiment, best_of, conditions_of, experiments_of, reaction_of
from .predicted import prediction_words
from .view import phases_of

HERE = Path(__file__).parent
CSS = HERE.parent / "report" / "page.css"
DRAWN_POINTS = 900
"""Points of a pattern in a picture: the highest of each piece."""
TICKS_SHOWN = 0.02
"""Of the strongest reflection."""


class FoundRow(Frozen):
    """A phase in a sample."""

    phase_id: str
    formula: str
    weight_fraction: float
    uncertainty: float
    probability: float


class ExperimentRow(Frozen):
    """One sample, as `results.json` has it. Temperatures in K, times in hours."""

    number: int
    key: str
    state: str
    reaction: str
    powders_g: dict[str, float]
    dosed_mg: dict[str, float]
    template: str
    temperature_k: float
    hold_h: float
    atmosphere: str
    mill_min: float
    regrinds: int
    target_fraction: float | None
    target_fraction_std: float | None
    phases: tuple[FoundRow, ...]
    amorphous_fraction: float | None
    unknown_probability: float | None
    r_wp: float | None
    failure: str
    why: str
    laboratory_hours: float


class SynthesisResults(Frozen):
    """The whole of `results.json`."""

    goal: SynthesisGoal
    status: str
    stop_reason: str
    method: str
    reached: bool
    best: int | None
    """Number of the experiment with most target."""
    experiments: tuple[ExperimentRow, ...]
    learned: tuple[str, ...]


@dataclass(frozen=True)
class SynthesisRecord:
    """A campaign as it stands."""

    directory: Path
    goal: SynthesisGoal
    meta: dict[str, Any]
    evaluator: LabEvaluator
    experiments: list[Experiment]
    wall_s: float


def read_record(directory: Path) -> SynthesisRecord:
    """From the ledger and the laboratory's files. Raises LedgerError."""
    ledger = Ledger.open(directory, read_only=True)
    meta = ledger.all_meta()
    settings = LaboratorySettings.model_validate(meta["settings"]["laboratory"])
    goal = SynthesisGoal.model_validate(meta["goal"])
    evaluator = LabEvaluator(directory / "jobs", settings, None if goal.predicted is None else goal.predicted.phase)
    return SynthesisRecord(
        directory=directory,
        goal=goal,
        meta=meta,
        evaluator=evaluator,
        experiments=experiments_of(ledger, evaluator),
        wall_s=active_seconds(ledger),
    )


def results_of(record: SynthesisRecord) -> SynthesisResults:
    """As data."""
    best = best_of(record.experiments)
    return SynthesisResults(
        goal=record.goal,
        status=str(record.meta["status"]),
        stop_reason=str(record.meta.get("stop_reason", "")),
        method=str(record.meta["method"]),
        reached=any(e.reaches(record.goal) for e in record.experiments),
        best=None if best is None else best.number,
        experiments=tuple(_row(e) for e in record.experiments),
        learned=learned(record.experiments),
    )


def _row(one: Experiment) -> ExperimentRow:
    found, result, recipe = one.identification, one.result, one.recipe
    return ExperimentRow(
        number=one.number,
        key=one.row.key,
        state=one.row.state,
        reaction=reaction_of(recipe),
        powders_g={p.formula: round(p.mass_g, 4) for p in recipe.powders},
        dosed_mg={} if result is None else result.dosed_mg,
        template=recipe.template,
        temperature_k=recipe.temperature_k,
        hold_h=recipe.hold_h,
        atmosphere=recipe.atmosphere,
        mill_min=recipe.mill_min,
        regrinds=recipe.regrinds,
        target_fraction=one.fraction,
        target_fraction_std=None if one.fraction is None else one.spread,
        phases=()
        if found is None
        else tuple(
            FoundRow(**p.model_dump(include={"phase_id", "formula", "weight_fraction", "uncertainty", "probability"}))
            for p in found.phases
        ),
        amorphous_fraction=None if found is None else found.amorphous_fraction,
        unknown_probability=None if found is None else found.unknown_probability,
        r_wp=None if found is None else found.r_wp,
        failure=one.failure,
        why=one.row.why,
        laboratory_hours=0.0 if result is None else result.hours,
    )


def learned(experiments: list[Experiment]) -> tuple[str, ...]:
    """What the outcomes say of pairs of solids, in words, without repeats."""
    book, lines = PairBook(), []
    for one in experiments:
        outcome = one.outcome()
        if outcome is not None:
            lines += [_pair_words(seen, one.number) for seen in book.learn(outcome)]
    return tuple(dict.fromkeys(lines))


def _pair_words(seen: PairSeen, number: int) -> str:
    pair = " and ".join(seen.pair)
    where = f"at {seen.temperature_k:.0f} K in {seen.atmosphere.replace('_', ' in ')} (experiment {number})"
    if seen.products:
        return f"{pair} react to {', '.join(seen.products)} {where}"
    return f"{pair} lie side by side and do not react {where}"


def write_synthesis_report(directory: Path) -> Path:
    """Write `report.html` and `results.json`; the page's path. Raises LedgerError."""
    record = read_record(directory)
    results = results_of(record)
    write_bytes(directory / "results.json", (canonical_json(results.model_dump(mode="json")) + "\n").encode())
    page = directory / "report.html"
    write_bytes(page, render(record, results).encode())
    return page


def render(record: SynthesisRecord, results: SynthesisResults) -> str:
    """The page as HTML text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["formula"] = formula_markup
    best = best_of(record.experiments)
    context = {
        "goal": record.goal,
        "results": results,
        "site": record.evaluator.site,
        "css": Markup(CSS.read_text(encoding="utf-8")),  # noqa: S704 (our own style sheet)
        "headline": _headline(record, best),
        "figures": _figures(record, best),
        "best": None if best is None else best.number,
        "rows": [_shown(record, e) for e in record.experiments],
        "progress": progress_chart(record),
        "without_structure": record.meta.get("without_structure", []),
        "directory": str(record.directory),
        "predicted": _predicted(record, best),
    }
    return environment.get_template("report.html.j2").render(context)


def _predicted(record: SynthesisRecord, best: Experiment | None) -> tuple[str, ...]:
    """What was predicted, and what the measurement says of it."""
    if record.goal.predicted is None:
        return ()
    wanted, phase = record.evaluator.wanted, record.goal.predicted.phase
    lines = [f"{prediction_words(record.goal.predicted)}."]
    known = next((p for p in record.evaluator.site.phases if p.id in wanted and p.id != phase.id), None)
    if known is not None:
        change = (_volume(phase) / _volume(known)) ** (1 / 3) - 1
        lines.append(
            f"The laboratory knows this crystal as {known.id}, and looks for that; the edges of the predicted cell are "
            f"{100 * change:+.1f} % off it."
        )
    found = None if best is None or best.identification is None else best.identification
    seen = [p for p in found.phases if p.phase_id in wanted and p.probability >= PRESENT] if found else []
    if best is not None and found is not None:
        if seen and known is None:
            change = 100 * seen[0].cell_change
            lines.append(f"Experiment {best.number} made it; its edges are {change:+.1f} % off the predicted ones.")
        elif seen:
            lines.append(f"Experiment {best.number} made it.")
        else:
            lines.append("It was not seen yet: what was made of its composition has another structure, or none.")
    return tuple(lines)


def _volume(phase: Phase) -> float:
    """Å3 an atom."""
    return float(abs(np.linalg.det(np.array(phase.crystal.lattice))) / len(phase.crystal))


def _headline(record: SynthesisRecord, best: Experiment | None) -> str:
    goal = record.goal
    if best is None or best.fraction is None:
        return f"No sample of {goal.target} has been measured yet"
    if best.reaches(goal):
        return f"{goal.target} with {100 * best.fraction:.0f} % by weight, in experiment {best.number}"
    had, asked = 100 * best.fraction, 100 * goal.purity
    return f"{goal.target} was not reached: {had:.0f} % at best, where {asked:.0f} % is asked"


def _figures(record: SynthesisRecord, best: Experiment | None) -> list[tuple[str, str, str]]:
    made = [e for e in record.experiments if e.result is not None]
    share = "–" if best is None or best.fraction is None else f"{100 * best.fraction:.1f}"
    hours = max((e.result.hours for e in made if e.result is not None), default=0.0)
    return [
        (share, "%", "of the best sample is the target, by weight"),
        (str(len(made)), f"of {record.goal.experiments}", "experiments made"),
        (f"{hours:.0f}", "h", "of laboratory time for the longest"),
        (words.duration(record.wall_s), "", f"wall time of {record.goal.wall_hours:g} h"),
    ]


def _shown(record: SynthesisRecord, one: Experiment) -> dict[str, Any]:
    return {
        "experiment": one,
        "reaction": reaction_of(one.recipe),
        "conditions": conditions_of(one.recipe),
        "phases": phases_of(one, record.goal),
        "share": "" if one.fraction is None else f"{100 * one.fraction:.1f} ± {100 * one.spread:.1f}",
        "reaches": one.reaches(record.goal),
        "pattern": pattern_chart(record, one),
        "trace": trace_chart(one),
    }


def progress_chart(record: SynthesisRecord) -> Markup | None:
    """Target fraction of each experiment, and what is asked."""
    measured = [(e.number, e.fraction) for e in record.experiments if e.fraction is not None]
    if len(measured) < 2:
        return None
    last = max(n for n, _ in measured)
    frame = svg.Frame(
        "Target by experiment",
        f"Weight fraction of {record.goal.target} in {len(measured)} samples.",
        (0.5, last + 0.5),
        (0.0, 105.0),
    )
    frame.axes("experiment", f"{record.goal.target}, % by weight", whole_x=True)
    level = frame.py(100 * record.goal.purity)
    frame.add(svg.path([(frame.left, level), (frame.right, level)], "line random"))
    frame.add(svg.text("asked for", frame.left + 6, level - 6, class_="tick"))
    best = np.maximum.accumulate([f for _, f in measured])
    frame.add(
        svg.path([(frame.px(n), frame.py(100 * b)) for (n, _), b in zip(measured, best, strict=True)], "line hull")
    )
    for number, fraction in measured:
        tip = f"experiment {number}: {100 * fraction:.1f} %"
        frame.add(svg.marker("circle", frame.px(number), frame.py(100 * fraction), 4.5, "dot campaign", tip=tip))
    return frame.render()


def pattern_chart(record: SynthesisRecord, one: Experiment) -> Markup | None:
    """Measured points, fit, difference below, and ticks where the phases' reflections are."""
    if one.reading is None:
        return None
    drawn = one.reading.drawn
    angles, counts, model = (np.array(v) for v in (drawn.two_theta_deg, drawn.counts, drawn.model))
    keep = _peaks_kept(counts)
    height = float(max(counts.max(), 1.0))
    listed = [p for p in one.reading.identification.phases if p.probability >= PRESENT][:4]
    below = 0.28 + 0.07 * len(listed)
    frame = svg.Frame(
        f"Powder pattern of experiment {one.number}",
        f"Found: {phases_of(one, record.goal)}.",
        (float(angles[0]), float(angles[-1])),
        (-below * 100, 104.0),
    )
    frame.axes("2θ, degrees (Cu Kα)", "counts, % of the highest")
    zero = -8.0 - 7.0 * len(listed) - 9.0
    for row, phase in enumerate(listed):
        level = -5.0 - 7.0 * row
        for angle in _ticks_of(record, phase.phase_id, float(angles[0]), float(angles[-1])):
            x = frame.px(angle)
            line = [(x, frame.py(level)), (x, frame.py(level - 4.0))]
            frame.add(svg.path(line, "line", style=f"stroke:var({_COLOURS[row]});stroke-width:1.1", tip=phase.formula))
    points = [(frame.px(a), frame.py(100 * c / height)) for a, c in zip(angles[keep], counts[keep], strict=True)]
    frame.add("".join(svg.marker("circle", x, y, 1.1, "dot", style="fill:var(--quiet)") for x, y in points))
    fit = [(frame.px(a), frame.py(100 * c / height)) for a, c in zip(angles[keep], model[keep], strict=True)]
    frame.add(svg.path(fit, "line", style="stroke:var(--campaign);stroke-width:1.2"))
    left = [
        (frame.px(a), frame.py(zero + 100 * d / height))
        for a, d in zip(angles[keep], (counts - model)[keep], strict=True)
    ]
    frame.add(svg.path(left, "line", style="stroke:var(--random);stroke-width:0.9"))
    for row, phase in enumerate(listed):
        label = f"{phase.formula} {100 * phase.weight_fraction:.0f} %"
        x, y = frame.right - 4, frame.top + 14 + 16 * row
        frame.add(svg.text(label, x, y, class_="name", anchor="end", style=f"fill:var({_COLOURS[row]})"))
    return frame.render()


_COLOURS = ("--stable", "--miss", "--reference", "--unstable")


def _peaks_kept(counts: np.ndarray) -> np.ndarray:
    """Indices of the highest point of each piece."""
    pieces = np.array_split(np.arange(len(counts)), min(DRAWN_POINTS, len(counts)))
    return np.array([piece[int(np.argmax(counts[piece]))] for piece in pieces])


def _ticks_of(record: SynthesisRecord, phase_id: str, low: float, high: float) -> list[float]:
    phase = next((p for p in record.evaluator.site.phases if p.id == phase_id), None)
    if phase is None:
        return []
    q_max = (2.0 * np.sin(np.radians(high) / 2.0) / CU_K_ALPHA_1_A) ** 2
    found = reflections(phase.crystal, float(q_max))
    strong = found.strength > TICKS_SHOWN * found.strength.max()
    angles = 2.0 * np.degrees(np.arcsin(CU_K_ALPHA_1_A * np.sqrt(found.q[strong]) / 2.0))
    return [float(a) for a in angles if low < a < high]


def trace_chart(one: Experiment) -> Markup | None:
    """Temperature of the furnace while it had the sample."""
    if one.result is None or len(one.result.trace) < 2:
        return None
    hours, kelvin = (np.array(v) for v in zip(*one.result.trace, strict=True))
    frame = svg.Frame(
        f"Furnace of experiment {one.number}",
        f"Temperature over {hours[-1] - hours[0]:.0f} hours, {kelvin.max():.0f} K at most.",
        (float(hours[0]), float(hours[-1])),
        (250.0, float(kelvin.max()) * 1.06),
    )
    frame.axes("hours since the order", "furnace, K")
    frame.add(svg.path([(frame.px(h), frame.py(k)) for h, k in zip(hours, kelvin, strict=True)], "line campaign"))
    return frame.render()
