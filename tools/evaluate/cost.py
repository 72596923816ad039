"""What a calculation will cost: a power law in its size, learned from the evaluator's own finished jobs.

ln(core seconds - start) = a + b ln(work), a Bayesian linear regression with a normal-inverse-gamma prior, so that the
interval is honest with no job as with a hundred (A. Gelman et al., Bayesian Data Analysis, 3rd ed., section 14.8).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ..core.errors import LodestoneError
from ..core.types import EvaluationRequest, Frozen, Observation
from .job import Attempt, JobStore
from .watchdog import Limits

if TYPE_CHECKING:
    from .base import ProcessEvaluator

MAX_HISTORY = 200
"""Finished jobs that are read, the latest first."""

START_S = 2.5
"""Core seconds before a calculation begins: imports and data sets."""

PRIOR_AT = 3.0
"""ln(work) at which an evaluator's `cost_prior` stands: a small cell."""
PRIOR_SLOPE = 1.0
_INTERCEPT_SD, _SLOPE_SD, _SCATTER, _PRIOR_JOBS = 0.6, 0.08, 0.5, 10.0
"""Standard deviations of the prior (machines differ by a factor of two or three; work is made so that the slope is
one), the expected scatter of ln(cost), and how many jobs that expectation is worth."""

LEVEL = 0.9


class CostPrediction(Frozen):
    """Core seconds of one evaluation: the median, and the interval that holds the cost with 90 % probability."""

    core_s: float
    lower: float
    upper: float
    jobs: int
    """Finished ones that it was learned from."""

    def words(self) -> str:
        """For people."""
        source = f"from {self.jobs} finished job{'s' * (self.jobs > 1)}" if self.jobs else "no job to learn from yet"
        factor, unit = _unit(self.core_s)
        median, lower, upper = (f"{value / factor:.2g}" for value in (self.core_s, self.lower, self.upper))
        return f"{median} {unit} ({lower} to {upper} with 90 %; {source})"


def core_time(seconds: float) -> str:
    """Core seconds in the unit that people count in."""
    factor, unit = _unit(seconds)
    number = f"{seconds / factor:.3g}"
    return f"{number} {unit.removesuffix('s') if number == '1' else unit}"


def _unit(seconds: float) -> tuple[float, str]:
    return (1.0, "core-seconds") if seconds < 600 else (3600.0, "core-hours")


def predict(
    evaluator: ProcessEvaluator[Any], request: EvaluationRequest, roots: Iterable[Path]
) -> CostPrediction | None:
    """The cost of an evaluation, learned from finished jobs of the same evaluator below `roots`.

    Returns:
        None where the evaluator cannot say how large a calculation is.
    """
    work = evaluator.work(request)
    if work is None:
        return None
    history = [pair for root in roots for pair in finished(root, evaluator)][:MAX_HISTORY]
    return fit_cost(history, work, evaluator.cost_prior)


def fit_cost(history: list[tuple[float, float]], work: float, prior: float) -> CostPrediction:
    """Fit (work, core seconds) of finished jobs, and predict at `work`; `prior` is ln(core seconds) at `PRIOR_AT`."""
    import numpy as np
    from scipy.stats import t

    used = [(math.log(w) - PRIOR_AT, math.log(s - START_S)) for w, s in history if w > 0 and s - START_S > 0.1]
    x = np.array([[1.0, row[0]] for row in used]).reshape(-1, 2)
    y = np.array([row[1] for row in used])
    mean0 = np.array([prior, PRIOR_SLOPE])
    precision0 = np.diag([(_SCATTER / _INTERCEPT_SD) ** 2, (_SCATTER / _SLOPE_SD) ** 2])
    precision = precision0 + x.T @ x
    mean = np.linalg.solve(precision, precision0 @ mean0 + x.T @ y)
    degrees = _PRIOR_JOBS + len(used)
    squares = _PRIOR_JOBS * _SCATTER**2 + float(y @ y + mean0 @ precision0 @ mean0 - mean @ precision @ mean)
    at = np.array([1.0, math.log(work) - PRIOR_AT])
    scale = math.sqrt(squares / degrees * (1.0 + float(at @ np.linalg.solve(precision, at))))
    centre, reach = float(at @ mean), float(t.ppf((1 + LEVEL) / 2, degrees)) * scale
    core_s, lower, upper = (START_S + math.exp(min(value, 60.0)) for value in (centre, centre - reach, centre + reach))
    return CostPrediction(core_s=core_s, lower=lower, upper=upper, jobs=len(used))


def finished(root: Path, evaluator: ProcessEvaluator[Any]) -> list[tuple[float, float]]:
    """(work, core seconds) of the jobs below `root` that this evaluator has finished well, the latest first.

    Each was done with the settings of its own order. Jobs that climbed the ladder or were killed on the way are left
    out, since they cost more than a calculation of their size; so are files that cannot be read.
    """
    paths = sorted(root.glob("??/*/result.json"), key=_modified, reverse=True)[:MAX_HISTORY]
    store = JobStore(root)
    found = [_cost_of(store, path.parent.name, evaluator) for path in paths]
    return [pair for pair in found if pair is not None]


def refusal(evaluator: ProcessEvaluator[Any], request: EvaluationRequest, limits: Limits) -> str:
    """Why a calculation is not begun: it is nearly certain to pass its limit. Empty: it may begin.

    Nearly certain: the whole interval of the predicted cost lies above what it may use.
    """
    predicted = predict(evaluator, request, [evaluator.jobs.root])
    if predicted is None:
        return ""
    allowed = min(limits.wall_s * evaluator.cores, limits.core_s if limits.core_s is not None else math.inf)
    if predicted.lower <= allowed:
        return ""
    return f"{len(request.crystal)} atoms: predicted cost {predicted.words()}; the limit is {core_time(allowed)}"


def _cost_of(store: JobStore, key: str, evaluator: ProcessEvaluator[Any]) -> tuple[float, float] | None:
    try:
        observation = store.result(key)
        if observation is None or not _typical(observation, evaluator) or store.attempts(key) != 1:
            return None
        batch = Attempt.model_validate_json((store.folder(key) / "attempt-1.json").read_text()).batch
        order = store.order(batch)
        settings = evaluator.settings_type.model_validate(order["settings"])
        work = type(evaluator)(store.root, settings).work(store.request(key))
    except (OSError, ValidationError, LodestoneError, KeyError):
        return None
    return None if work is None else (work, observation.cost_core_s)


def _typical(observation: Observation, evaluator: ProcessEvaluator[Any]) -> bool:
    same = observation.evaluator.rpartition("-")[0] == evaluator.name
    return same and observation.failure is None and not observation.ladder


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
