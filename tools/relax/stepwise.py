"""COBYQA, asked for one point after another, so that many minimisations can share the calls of a model."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any

import numpy as np


class _Abandoned(Exception):  # noqa: N818 - ends a thread, and is no error
    """Raised inside a minimisation that nobody waits for any more."""


class StepwiseMinimiser:
    """A minimisation without derivatives: `ask` for a point, `tell` its value, until it has `ended`.

    COBYQA (Ragonneau, PhD thesis, Hong Kong Polytechnic University (2022)) keeps a quadratic model of the function in a
    trust region that shrinks to `final`. It calls the function, and this is called by who evaluates; so it runs in a
    thread of its own, and only ever one of the two runs. `close` it if it is left before its end. Not SciPy's copy:
    that lets one minimisation begin only when the other has ended (https://github.com/scipy/scipy/issues/24027).

    Args:
        start: `d`, the first point.
        radius: of the first trust region.
        final: of the last one, which is the precision.
        bounds: `d x 2`, never left.
        budget: values that it may ask for.
    """

    def __init__(self, start: np.ndarray, radius: float, final: float, bounds: np.ndarray, budget: int) -> None:
        self.ended = False
        self.converged = False
        """Whether it ended because the trust region shrank to `final`."""
        self._arguments = (start, radius, final, bounds, budget)
        self._points: SimpleQueue[Any] = SimpleQueue()
        self._values: SimpleQueue[float | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True, name="cobyqa")

    def ask(self) -> np.ndarray | None:
        """The next point (`d`), once for each value told; None when it has ended."""
        if not self._thread.ident:
            self._thread.start()
        found = self._points.get()
        if isinstance(found, np.ndarray):
            return found
        self.ended = True
        self._thread.join()
        if isinstance(found, BaseException):
            raise found
        self.converged = bool(found.success)
        return None

    def tell(self, value: float) -> None:
        """The value (finite) of the point that was asked for last."""
        self._values.put(value)

    def close(self) -> None:
        """End the thread, wherever it is."""
        if self._thread.ident and not self.ended:
            self.ended = True
            self._values.put(None)
            self._thread.join()

    def _run(self) -> None:
        from cobyqa import minimize
        from scipy.optimize import Bounds

        start, radius, final, bounds, budget = self._arguments
        options = {"radius_init": radius, "radius_final": final, "maxfev": budget}
        try:
            end = minimize(self._value, start, bounds=Bounds(*bounds.T), options=options)
        except _Abandoned:
            return
        except BaseException as error:  # noqa: BLE001 - raised again by the one who asks
            end = error
        self._points.put(end)

    def _value(self, point: np.ndarray) -> float:
        self._points.put(np.array(point, dtype=float))
        value = self._values.get()
        if value is None:
            raise _Abandoned
        return value
