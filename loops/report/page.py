"""The report: one self-contained HTML page, `results.json` beside it, and CIFs of what was found.

Everything in the record is data: the template escapes it, and the page's content security policy lets only the
two scripts shipped here run and nothing load from anywhere. The charts are in `charts.py`, `hull.py`, `cells.py`.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup, escape

from ...tools.core.structure import write_cif
from ...tools.core.types import Quantity
from ..files import write_bytes
from ..record import CampaignRecord, EvaluatedCrystal
from . import words
from .cells import draw_scene, make_scene
from .charts import bars, discovery_chart, pairs, parity_chart, stacked
from .discovery import Discovery, discover
from .export import FORMATS
from .hull import hull_chart
from .names import STEM_PATTERN
from .ranking import RANKING_RULE, headline, main_objective, measured_value, ranked
from .results import Results, cif_names, make_results, spent
from .tradeoffs import tradeoff

HERE = Path(__file__).parent

PICTURES = 6
"""Structures that are drawn: the best of different formula, space group and prototype."""

MOST_ROWS = 300
"""Rows of a table; what is beyond is in `results.json`, and the page says so."""


def write_report(record: CampaignRecord, directory: Path) -> Path:
    """Write `report.html`, `results.json` and `cifs/` into a folder, each file whole or not at all.

    Args:
        record: the campaign, finished or not.
        directory: made where missing; an earlier report in it is replaced, other files are left alone.

    Returns:
        The path of `report.html`.

    Raises:
        LedgerError: the folder cannot be written.
    """
    cifs = cif_texts(record)
    for name, text in cifs.items():
        write_bytes(directory / "cifs" / name, text.encode())
    results = make_results(record)
    write_bytes(directory / "results.json", (results.canonical_json() + "\n").encode())
    page = directory / "report.html"
    write_bytes(page, render_page(record, results, cifs).encode())
    for old in sorted((directory / "cifs").glob("*.cif")):
        if old.name not in cifs and STEM_PATTERN.fullmatch(old.stem):
            old.unlink(missing_ok=True)
    return page


def cif_texts(record: CampaignRecord) -> dict[str, str]:
    """File name to CIF text for every crystal that gets one."""
    names = cif_names(record)
    return {names[row.key]: write_cif(row.crystal) for row in record.evaluated if row.key in names}


def render_page(record: CampaignRecord, results: Results, cifs: dict[str, str]) -> str:
    """The page as HTML text."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["formula"] = formula_markup
    environment.filters["duration"] = words.duration
    scripts = [_own("viewer.js"), _own("tables.js")]
    hashes = [base64.b64encode(hashlib.sha256(str(script).encode()).digest()).decode() for script in scripts]
    context: dict[str, Any] = {
        "record": record,
        "results": results,
        "words": words,
        "css": _own("page.css"),
        "scripts": scripts,
        "script_hashes": hashes,
        "headline": _headline(record),
        "ranking_rule": RANKING_RULE,
        "figures": _key_figures(record, results),
        "table": _table(record, cifs),
        "pictures": _pictures(record, cifs),
        "hull": _hull(record),
        "discovery": _discovery(record),
        "tradeoff": tradeoff(record),
        "chosen": sorted(record.evaluated, key=lambda c: c.order)[-MOST_ROWS:],
        "prediction": _prediction(record),
        "budget": _budget(record),
        "times": _times(record),
        "commands": _commands(record),
        "formats": tuple(FORMATS),
    }
    return environment.get_template("page.html.j2").render(context)


def formula_markup(formula: str) -> Markup:
    """A formula with its numbers as subscripts; everything else is escaped."""
    return Markup(re.sub(r"(?<=[A-Za-z)\]])(\d+)", r"<sub>\1</sub>", str(escape(formula))))  # noqa: S704


def _headline(record: CampaignRecord) -> Markup:
    """The headline with subscripts in formulas only: a space group or a model's name has digits of its own."""
    words = [
        formula_markup(word) if word.strip("(,.)") in {e.formula for e in record.evaluated} else escape(word)
        for word in headline(record).split(" ")
    ]
    return Markup(" ").join(words)


def _own(name: str) -> Markup:
    """A script or style sheet that ships with the package."""
    return Markup((HERE / name).read_text(encoding="utf-8"))  # noqa: S704


def _key_figures(record: CampaignRecord, results: Results) -> list[tuple[str, str, str]]:
    """Big number, its unit, and what it is."""
    name = main_objective(record).property
    rows: list[tuple[str, str, str]] = []
    order = ranked(record)
    best = measured_value(order[0], name) if order else None
    if order and best is not None:
        rows.append((words.number(name, best), words.unit(name), f"{words.label(name)} of the best"))
    hits = sum(1 for crystal in order if crystal.meets_goal)
    rows.append((str(hits), f"of {len(order)}", "evaluated crystals meet the goal"))
    rows.append((str(record.evaluations_spent), f"of {record.goal.budget.evaluations}", "evaluations spent"))
    curve = results.discovery
    if curve is not None and curve.acceleration is not None:
        rows.append((f"{curve.acceleration:.1f}", "×", "fewer evaluations than random choice"))
    rows.append((words.duration(record.wall_s), "", f"wall time of {record.goal.budget.wall_hours:g} h"))
    return rows


def _columns(record: CampaignRecord) -> list[str]:
    """Measured properties worth a column: the goal's, and the energy above hull where there is one."""
    names = list(record.goal.properties)
    if any("energy_above_hull" in crystal.values for crystal in record.evaluated):
        names.append("energy_above_hull")
    return list(dict.fromkeys(names))


def _cell(name: str, quantity: Quantity | None) -> dict[str, str]:
    if quantity is None:
        return {"text": "–", "raw": ""}
    kept = words.stored(name, quantity)
    spread = "" if kept.std is None else f" ± {words.number(name, kept.std)}"
    return {"text": words.number(name, kept.value) + spread, "raw": f"{kept.value:.9g}"}


def _table(record: CampaignRecord, cifs: dict[str, str]) -> dict[str, Any]:
    names, files = _columns(record), cif_names(record)
    predicted = [name for name in names if any(name in crystal.predicted for crystal in record.evaluated)]
    rows = []
    for rank, crystal in enumerate(ranked(record)[:MOST_ROWS], 1):
        text = cifs.get(files.get(crystal.key, ""), "")
        rows.append(
            {
                "rank": rank,
                "crystal": crystal,
                "values": [_cell(name, crystal.values.get(name)) for name in names],
                "predicted": [_cell(name, crystal.predicted.get(name)) for name in predicted],
                "file": files.get(crystal.key, ""),
                "link": _download(text) if text else "",
            }
        )
    failed = sum(1 for crystal in record.evaluated if crystal.failure)
    total = len(record.evaluated) - failed
    return {
        "names": names,
        "predicted": predicted,
        "rows": rows,
        "failed": failed,
        "left_out": max(0, total - MOST_ROWS),
        "methods": sorted({crystal.method for crystal in record.evaluated if not crystal.failure}),
    }


def _download(cif: str) -> str:
    return "data:chemical/x-cif;base64," + base64.b64encode(cif.encode()).decode()


def _pictures(record: CampaignRecord, cifs: dict[str, str]) -> list[dict[str, Any]]:
    """The best crystals that differ in formula, space group or prototype, drawn."""
    files, seen, out = cif_names(record), set(), []
    for rank, crystal in enumerate(ranked(record), 1):
        kind = (crystal.formula, crystal.space_group, crystal.prototype)
        if kind in seen:
            continue
        seen.add(kind)
        scene = make_scene(crystal.crystal)
        text = cifs.get(files.get(crystal.key, ""), "")
        out.append(
            {
                "rank": rank,
                "crystal": crystal,
                "scene": scene.model_dump(mode="json"),
                "svg": draw_scene(scene, _plain_name(crystal), f"g{rank}e"),
                "legend": list(zip(scene.elements, scene.colours, strict=True)),
                "conventional": scene.conventional,
                "values": [
                    f"{words.label(name)} {words.quantity_text(name, crystal.values[name])}"
                    for name in record.goal.properties
                    if name in crystal.values
                ],
                "file": files.get(crystal.key, ""),
                "link": _download(text) if text else "",
            }
        )
        if len(out) == PICTURES:
            break
    return out


def _plain_name(crystal: EvaluatedCrystal) -> str:
    return f"{crystal.formula}, space group {crystal.space_group_symbol}"


def _hull(record: CampaignRecord) -> dict[str, Any]:
    kind, drawing, remark = hull_chart(record)
    phases = sorted(record.hull, key=lambda phase: (phase.energy_above_hull, phase.formation_energy))
    return {
        "kind": kind,
        "svg": drawing,
        "remark": remark,
        "phases": phases[:MOST_ROWS],
        "left_out": max(0, len(phases) - MOST_ROWS),
        "sources": sorted({phase.source for phase in phases}),
        "stable": sum(1 for phase in phases if phase.energy_above_hull <= 5e-4),
    }


def _discovery(record: CampaignRecord) -> dict[str, Any] | None:
    curve: Discovery | None = discover(record)
    if curve is None:
        return None
    return {
        "svg": discovery_chart(curve),
        "curve": curve,
        "constrained": any(row.property != curve.property for row in record.goal.constraints)
        or len(record.goal.objectives) > 1,
        "last": words.number(curve.property, next(v for v in reversed(curve.best) if v is not None)),
        "expected": words.number(curve.property, curve.expected[-1]),
        "unit": words.unit(curve.property),
        "failed": sum(1 for crystal in record.evaluated if crystal.failure),
    }


def _prediction(record: CampaignRecord) -> dict[str, Any] | None:
    rows = pairs(record)
    if not rows:
        return None
    name = main_objective(record).property
    judged = [row for row in rows if row.inside is not None]
    cheap = [
        abs(crystal.cheap[name] - value)
        for crystal in ranked(record)
        if name in crystal.cheap and (value := measured_value(crystal, name)) is not None
    ]
    error = sum(abs(row.measured - row.predicted) for row in rows) / len(rows)
    return {
        "svg": parity_chart(record, rows),
        "count": len(rows),
        "judged": len(judged),
        "inside": sum(1 for row in judged if row.inside),
        "error": f"{words.number(name, error)} {words.unit(name)}",
        "cheap_error": f"{words.number(name, sum(cheap) / len(cheap))} {words.unit(name)}" if cheap else "",
        "name": words.label(name),
    }


def _budget(record: CampaignRecord) -> dict[str, Any]:
    cost = spent(record)
    others = cost.evaluations_reference + cost.evaluations_labels + cost.evaluations_failed
    good = max(0, cost.evaluations - others)
    parts = [
        ("candidates measured", good, "fill-candidate"),
        ("references", cost.evaluations_reference, "fill-reference"),
        ("failed", cost.evaluations_failed, "fill-failed"),
    ]
    if cost.evaluations_labels:
        parts.insert(2, ("labels for the potential", cost.evaluations_labels, "fill-own"))
    return {
        "cost": cost,
        "parts": parts,
        "left": max(0, cost.evaluations_budget - cost.evaluations),
        "svg": stacked(
            "Evaluations spent", [(label, float(n), css) for label, n, css in parts], float(cost.evaluations_budget)
        ),
        "wall_svg": stacked(
            "Wall time spent, hours",
            [("spent", round(cost.wall_s / 3600, 3), "fill-candidate")],
            cost.wall_budget_s / 3600,
        ),
        "core_hours": words.core_hours(cost.core_s),
    }


def _times(record: CampaignRecord) -> dict[str, Any]:
    """Seconds a stage; what no stage accounts for counts as time outside the tools."""
    named = sum(row.wall_s for row in record.times)
    rest = max(0.0, record.wall_s - named)
    total = max(record.wall_s, named)
    outside = rest + sum(row.wall_s for row in record.times if not row.tool)
    rows = [(row.stage, row.wall_s, "fill-tool" if row.tool else "fill-own") for row in record.times]
    if record.times and rest > 0.005 * total:
        rows.append(("not in any stage", rest, "fill-own"))
    rows.sort(key=lambda row: -row[1])
    percent: Callable[[float], str] = lambda size: f"{words.duration(size)} · {100 * size / total:.1f} %"  # noqa: E731
    return {
        "svg": bars("Wall time per stage", [(name, size, percent(size), css) for name, size, css in rows])
        if record.times
        else None,
        "outside": f"{100 * outside / total:.1f} %" if record.times and total > 0 else "",
    }


def _commands(record: CampaignRecord) -> dict[str, str]:
    goal, folder = record.goal, shlex.quote(record.directory)
    run = [
        "lodestone run",
        shlex.quote(goal.text),
        f"--evaluator {shlex.quote(record.evaluator)}",
        f"--evaluations {goal.budget.evaluations}",
        f"--rounds {goal.budget.rounds}",
        f"--wall {goal.budget.wall_hours:g}h",
        f"--seed {goal.seed}",
    ]
    return {
        "run": " ".join(run),
        "resume": f"lodestone resume {folder}",
        "report": f"lodestone report {folder}",
        "export": f"lodestone export {folder} --format cif",
    }
