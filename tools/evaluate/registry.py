"""Evaluators by name: the built-in table, installed entry points, and the choice of `auto`.

No name is ever turned into an import of the caller's choosing: only this table and installed packages count.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..core.errors import ConfigError, EvaluationError
from ..core.protocols import Evaluator
from .base import ProcessEvaluator

ENTRY_POINTS = "lodestone.evaluators"
"""Entry-point group of third-party evaluators: a name to a subclass of `ProcessEvaluator`."""

_BUILT_IN = {
    "gpaw": (".gpaw", "GpawEvaluator"),
    "espresso": (".espresso", "EspressoEvaluator"),
    "abinit": (".abinit", "AbinitEvaluator"),
    "vasp": (".vasp", "VaspEvaluator"),
    "sevennet": (".sevennet", "SevenNetEvaluator"),
}
"""Best first: the order of `auto`."""


def evaluator_names() -> tuple[str, ...]:
    """Every evaluator that can be named: the built-in ones, best first, then installed ones by name."""
    installed = {point.name for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}
    return (*_BUILT_IN, *sorted(installed - set(_BUILT_IN)))


def evaluator_class(name: str) -> type[ProcessEvaluator[Any]]:
    """The class of a name. Raises ConfigError for an unknown name or a package that gives something else."""
    if name in _BUILT_IN:
        module, attribute = _BUILT_IN[name]
        found = getattr(importlib.import_module(module, __package__), attribute)
    else:
        points = importlib.metadata.entry_points(group=ENTRY_POINTS, name=name)
        if not points:
            near = get_close_matches(name, evaluator_names(), n=1)
            hint = f"Did you mean '{near[0]}'? " if near else ""
            raise ConfigError(f"Unknown evaluator '{name[:80]}'.", f"{hint}Known: {', '.join(evaluator_names())}.")
        found = next(iter(points)).load()
    if not (isinstance(found, type) and issubclass(found, ProcessEvaluator)):
        raise ConfigError(f"Evaluator '{name}' is not a subclass of ProcessEvaluator.", "Fix its package.")
    return found


def create_evaluator(name: str, root: Path, settings: dict[str, Any] | None = None) -> ProcessEvaluator[Any]:
    """An evaluator with its jobs below `root`.

    Args:
        name: from `evaluator_names()`.
        root: folder of the jobs.
        settings: the evaluator's table in the configuration, plain data.

    Raises:
        ConfigError: for an unknown name, an unknown setting, or one out of range.
    """
    found = evaluator_class(name)
    try:
        return found(root, found.settings_type.model_validate(settings or {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        known = ", ".join(found.settings_type.model_fields)
        raise ConfigError(f"[evaluators.{name}] {where}: {first['msg']}.", f"Settings: {known}.") from error


def pick_best(evaluators: Sequence[Evaluator], needed: Iterable[str]) -> Evaluator:
    """The first available evaluator (best first) that yields all needed properties.

    Raises:
        EvaluationError: that says, for each one, what it lacks and how to get it.
    """
    wanted = frozenset(needed)
    reasons: list[str] = []
    for evaluator in evaluators:
        lacking = wanted - evaluator.properties
        if lacking:
            reasons.append(f"{evaluator.name} does not give {', '.join(sorted(lacking))}")
            continue
        missing = evaluator.available()
        if missing is None:
            return evaluator
        reasons.append(f"{evaluator.name}: {missing}")
    asked = ", ".join(sorted(wanted)) or "an energy"
    raise EvaluationError(f"No evaluator here gives {asked}.", "; ".join(reasons) or "None is configured.")
