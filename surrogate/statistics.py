"""What choosing at random from the same pool would be expected to give, exactly; and two factors against it.

Acceleration and enhancement after Rohr et al., Chem. Sci. 11, 2696 (2020), and Liang et al., npj Comput. Mater. 7, 188
(2021). What is not here: curves and words for the report (`loops/report/`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..tools.core.errors import ToolError


def expected_hits(hits: int, pool: int, draws: int) -> float:
    """Hits among `draws` without replacement: the hypergeometric mean, draws * hits / pool."""
    _check_pool(hits, pool)
    return min(draws, pool) * hits / pool


def expected_draws_to_hits(wanted: int, hits: int, pool: int) -> float:
    """Draws without replacement until the `wanted`-th hit: the negative hypergeometric mean
    wanted * (pool + 1) / (hits + 1). Infinite when the pool holds fewer."""
    _check_pool(hits, pool)
    return math.inf if wanted > hits else wanted * (pool + 1) / (hits + 1)


def expected_best(values: Sequence[float], draws: int, maximise: bool = False) -> list[float]:
    """Expected best value after 1, 2, … `draws` draws without replacement.

    With N values sorted from best to worst, the i-th (from 0) is the best of n draws with probability
    C(N-1-i, n-1) / C(N, n): the others all come from the N-1-i worse ones (David & Nagaraja, Order Statistics, 2003,
    section 3.7). Logarithms of factorials keep it exact for large pools.

    Args:
        values: N finite values of the pool, in any order.
        draws: longest sequence; beyond N the best of all is certain.
        maximise: whether high is good.

    Returns:
        `draws` expectations, in the unit of the values.
    """
    array = np.sort(np.asarray(values, dtype=float))
    size = len(array)
    if size == 0 or not np.isfinite(array).all():
        raise ToolError("The pool has no values, or some that are not finite.", "Give at least one finite value.")
    if maximise:
        array = array[::-1]
    log_factorial = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, size + 1)))))
    found = []
    for n in range(1, draws + 1):
        if n >= size:
            found.append(float(array[0]))
            continue
        worse = np.arange(size - 1, n - 2, -1)
        log_probability = (
            (log_factorial[worse] - log_factorial[n - 1] - log_factorial[worse - n + 1])
            - (log_factorial[size] - log_factorial[n] - log_factorial[size - n])
        )  # fmt: skip
        found.append(float(np.exp(log_probability) @ array[: len(worse)]))
    return found


def acceleration_factor(pool: Sequence[float], measured: Sequence[float], maximise: bool = False) -> float | None:
    """Random draws expected until a value as good as the campaign's best, over the campaign's evaluations until it.

    Args:
        pool: values of everything that could have been drawn, the measured ones among them.
        measured: what the campaign measured, in order; NaN for a failed evaluation, which counts as one.
        maximise: whether high is good.

    Returns:
        The factor (above 1: faster than chance), or None when nothing was measured.
    """
    sign = -1.0 if maximise else 1.0
    ordered = [sign * v for v in measured]
    known = [v for v in ordered if math.isfinite(v)]
    if not known:
        return None
    best = min(known)
    tolerance = 1e-9 * max(1.0, abs(best))
    used = next(i for i, v in enumerate(ordered, start=1) if v <= best + tolerance)
    as_good = sum(sign * v <= best + tolerance for v in pool)
    return expected_draws_to_hits(1, max(as_good, 1), max(len(pool), 1)) / used


def enrichment_factor(found: int, evaluations: int, hits: int, pool: int) -> float | None:
    """Hits found over the hits expected of as many random draws (the enhancement factor at that budget).

    None where nothing is expected: no evaluation yet, or no hit in the pool.
    """
    expected = expected_hits(hits, pool, evaluations)
    return found / expected if expected > 0 else None


def _check_pool(hits: int, pool: int) -> None:
    if not 0 <= hits <= pool or pool < 1:
        raise ToolError(f"{hits} hits in a pool of {pool} is not possible.", "Give 0 <= hits <= pool, pool >= 1.")
