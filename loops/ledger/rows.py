"""Rows of the ledger as the round reads them: decoded, complete."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from ...tools.core.properties import get_property
from ...tools.core.types import (
    Candidate,
    EvaluationRequest,
    Observation,
    Quantity,
    Recognition,
    Relaxation,
    canonical_json,
)
from ..geometry import geometry_values

RelaxedRow = tuple[Relaxation, Recognition | None, dict[str, float], dict[str, str] | None]
"""A relaxation, what was recognised, the potential's own properties, and the reason for leaving the pool."""


class EvaluationRow:
    """One evaluation as the ledger holds it."""

    __slots__ = ("handle", "key", "observation", "position", "predicted", "request", "round", "state", "why")

    def __init__(self, row: sa.Row[Any]) -> None:
        self.key: str = row.key
        self.position: int = row.position
        self.round: int = row.round
        self.state: str = row.state
        self.handle: str = row.handle
        self.request = EvaluationRequest.model_validate_json(row.request)
        self.predicted = quantities(row.predicted)
        self.why: str = row.why
        self.observation = Observation.model_validate_json(row.observation) if row.observation else None


class CandidateRow:
    """One candidate with what is known about it so far."""

    __slots__ = ("candidate", "cheap", "failure", "pooled", "position", "recognition", "relaxation", "round")

    def __init__(self, row: sa.Row[Any]) -> None:
        self.round: int = row.round
        self.position: int = row.position
        self.pooled = bool(row.pooled)
        self.candidate = Candidate.model_validate_json(row.candidate)
        self.relaxation = Relaxation.model_validate_json(row.relaxation) if row.relaxation else None
        self.recognition = Recognition.model_validate_json(row.recognition) if row.recognition else None
        self.cheap: dict[str, float] = json.loads(row.cheap) if row.cheap else {}
        self.failure: dict[str, str] | None = None
        if row.stage:
            self.failure = {"stage": row.stage, "reason": row.reason}
            if row.what:
                self.failure["screen"] = row.what


def quantities(text: str | None) -> dict[str, Quantity]:
    """Name to quantity, from JSON text."""
    return {k: Quantity.model_validate(v) for k, v in json.loads(text).items()} if text else {}


def outcome_json(observation: Observation, request: str) -> str:
    """What a result says in numbers: its values, and density and volume of the crystal that they belong to."""
    if observation.failure is not None and not observation.values:
        return "{}"
    crystal = observation.crystal or EvaluationRequest.model_validate_json(request).crystal
    values = {
        name: Quantity(value=value, unit=get_property(name).unit) for name, value in geometry_values(crystal).items()
    }
    values |= observation.values
    return canonical_json({k: v.model_dump(mode="json") for k, v in values.items()})
