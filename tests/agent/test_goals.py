"""Written requests in three languages, each with the whole goal that it means; see `tests/goals/README.md`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from lodestone.agent.goal import parse_goal
from lodestone.tools.core.elements import ANION_FORMERS, BROAD, ELEMENT_CLASSES
from lodestone.tools.core.errors import GoalError
from lodestone.tools.core.types import (
    Budget,
    ChemicalSpace,
    Constraint,
    GoalSpec,
    Objective,
    StopRule,
    StructureWish,
)

FOLDER = Path(__file__).parents[1] / "goals"
ROWS = {
    language: tomllib.loads((FOLDER / f"{language}.toml").read_text(encoding="utf-8"))["request"]
    for language in ("en", "zh", "ru")
}
CASES = [pytest.param(row, id=f"{language}-{n}") for language, rows in ROWS.items() for n, row in enumerate(rows)]


def elements_of(words: list[str] | str) -> tuple[str, ...]:
    """Symbols, and names of classes."""
    found: list[str] = []
    for word in words.split() if isinstance(words, str) else words:
        found += ELEMENT_CLASSES.get(word, tuple(word.split()))
    return tuple(sorted(set(found)))


def read_row(row: dict[str, Any]) -> GoalSpec:
    """The goal that a row describes."""
    return GoalSpec(
        text=row["text"],
        objectives=_objectives(row),
        tradeoff=row.get("tradeoff", "weighted"),
        constraints=_constraints(row.get("limits", [])),
        space=_space(row),
        structure=StructureWish.model_validate(row.get("structure", {})),
        novel=row.get("novel", False),
        synthesizable=row.get("synthesizable", False),
        budget=Budget(
            evaluations=row.get("evaluations", 20),
            wall_hours=row.get("hours", 24.0),
            rounds=row.get("rounds", 1000),
            per_fidelity=row.get("per_fidelity", {}),
            core_hours=row.get("core_hours"),
            money=row.get("money"),
            samples=row.get("samples"),
        ),
        stop=StopRule(hits=row.get("hits"), patience=row.get("patience", 4)),
        evaluator=row.get("evaluator", "auto"),
        laboratory=row.get("laboratory"),
        seed=row.get("seed", 0),
    )


def _objectives(row: dict[str, Any]) -> tuple[Objective, ...]:
    words = row.get("objectives", ["min energy_above_hull"])
    weights = row.get("weights", [1.0] * len(words))
    found = []
    for text, weight in zip(words, weights, strict=True):
        if match := re.fullmatch(r"(min|max) (\w+)", text):
            direction = {"min": "minimise", "max": "maximise"}[match[1]]
            found.append(Objective(property=match[2], direction=direction, weight=weight))  # type: ignore[arg-type]
        elif match := re.fullmatch(r"(\w+) = (\S+)", text):
            found.append(Objective(property=match[1], direction="target", target=float(match[2]), weight=weight))
        else:
            name, low, high = re.fullmatch(r"(\w+) in (\S+)\.\.(\S+)", text).groups()  # type: ignore[union-attr]
            found.append(
                Objective(property=name, direction="range", lower=float(low), upper=float(high), weight=weight)
            )
    return tuple(found)


def _constraints(limits: list[str]) -> tuple[Constraint, ...]:
    table: dict[str, dict[str, float]] = {}
    for text in limits:
        name, sign, value = text.split()
        table.setdefault(name, {})[{">=": "lower", "<=": "upper"}[sign]] = float(value)
    return tuple(Constraint(property=name, **bounds) for name, bounds in table.items())


def _space(row: dict[str, Any]) -> ChemicalSpace:
    excluded = elements_of(row.get("excluded", []))
    if "formula" in row or "system" in row:
        required = tuple(re.findall("[A-Z][a-z]?", row["formula"])) if "formula" in row else elements_of(row["system"])
        allowed: set[str] = set(required)
        count = (len(required), len(required))
    else:
        required = elements_of(row.get("required", ""))
        others = {
            "none": (),
            "any": BROAD,
            "cations": tuple(e for e in BROAD if e not in ANION_FORMERS),
            "metals": ELEMENT_CLASSES["metals"],
        }.get(row["others"], tuple(row["others"].split()))
        chosen = {e for group in row.get("choose", []) for e in elements_of([group])}
        allowed = (set(others) | set(required) | chosen) - set(excluded)
        count = tuple(row["n"])  # type: ignore[assignment]
    return ChemicalSpace(
        required=tuple(sorted(required)),
        allowed=tuple(sorted(allowed)),
        excluded=excluded,
        any_of=tuple(sorted(tuple(e for e in elements_of([g]) if e in allowed) for g in row.get("choose", []))),
        formula=row.get("formula"),
        pattern=row.get("pattern"),
        n_elements=count,
        max_atoms=row.get("atoms", 20),
    )


def facts(goal: GoalSpec) -> dict[str, Any]:
    """A goal as plain data; the order of conditions does not matter, nor the last digit of a converted number, nor an
    allowed element that no crystal has room for."""
    found = goal.model_dump(mode="json", exclude={"text"})
    space = goal.space
    apart = sum(len(group) for group in space.any_of) == len({e for group in space.any_of for e in group})
    if apart and len(space.required) + len(space.any_of) == space.n_elements[1]:
        spoken_for = {*space.required, *(e for group in space.any_of for e in group)}
        found["space"]["allowed"] = sorted(spoken_for & set(space.allowed))
    groups = [set(group) for group in space.any_of]
    found["space"]["any_of"] = [sorted(g) for g in sorted(map(sorted, groups)) if not any(o < set(g) for o in groups)]
    found["constraints"] = sorted(
        (c.property, c.lower and float(f"{c.lower:.9g}"), c.upper and float(f"{c.upper:.9g}")) for c in goal.constraints
    )
    return found


def asked_of(text: str) -> str:
    """What is asked, or why it is refused."""
    try:
        understanding = parse_goal(text)
    except GoalError as error:
        return f"{error.problem} {error.remedy}"
    return " ".join(f"{q.text} {q.assumption}" for q in understanding.questions)


@pytest.mark.parametrize("row", CASES)
def test_a_written_request_means_its_goal(row: dict[str, Any]) -> None:
    if "asks" in row:
        assert row["asks"] in asked_of(row["text"])
        return
    understanding = parse_goal(row["text"])
    assert facts(understanding.goal) == facts(read_row(row))
    assert understanding.questions == ()
    if "unused" in row:
        assert set(understanding.unused) == set(row["unused"])


def test_there_are_forty_requests_in_each_language() -> None:
    assert all(len(rows) >= 40 for rows in ROWS.values())
