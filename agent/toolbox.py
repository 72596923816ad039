"""Read-only LangChain tools from callables that the composition root injects. Nothing here can spend or move anything.

Each answer is JSON text of bounded length; a tool that fails answers with the reason instead of ending the agent.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..tools.core.errors import ToolError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

DESCRIPTIONS = {
    "best_so_far": "The best crystals found so far, with their goal properties.",
    "failures": "Failures so far, counted by reason.",
    "generator_yields": "How each generator has done: proposed, duplicates, relaxed, near the hull.",
    "hull": "The convex hull as known to the campaign: phases, energies above hull, source.",
    "predict": "What the surrogate and the potential expect for a composition, e.g. Li3PS4. Costs nothing.",
    "budget": "Evaluations, rounds and seconds that are left.",
}
"""Tools that may be injected, with what the model is told about them."""

MAX_ANSWER = 4_000
"""Characters of one tool's answer."""

MAX_CALLS = 20
"""Tool calls of one plan."""

_MAX_FORMULA = 80

Toolbox = Mapping[str, Callable[..., Any]]


def check_toolbox(toolbox: Toolbox) -> None:
    """Refuse what is not one of the read-only tools.

    Raises:
        ToolError: for an unknown name.
    """
    if unknown := sorted(set(toolbox) - set(DESCRIPTIONS)):
        raise ToolError(f"Unknown planner tools: {', '.join(unknown)}.", f"Known: {', '.join(DESCRIPTIONS)}.")


class Desk:
    """The tools of one attempt at one plan; they stop answering when the attempt is closed or used up."""

    def __init__(self, toolbox: Toolbox) -> None:
        check_toolbox(toolbox)
        self._toolbox = toolbox
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._calls = 0
        self.answers: list[str] = []
        """What the tools said so far."""

    def close(self) -> None:
        """Answer nothing from now on; an attempt that ran out of time may still be running."""
        self._closed.set()

    def tools(self) -> list[BaseTool]:
        """LangChain tools in the order of `DESCRIPTIONS`."""
        from langchain_core.tools import StructuredTool

        def make(name: str) -> BaseTool:
            def plain() -> str:
                return self._answer(name)

            def with_formula(formula: str) -> str:
                return self._answer(name, formula[:_MAX_FORMULA])

            function = with_formula if name == "predict" else plain
            return StructuredTool.from_function(function, name=name, description=DESCRIPTIONS[name])

        return [make(name) for name in DESCRIPTIONS if name in self._toolbox]

    def _answer(self, name: str, *arguments: str) -> str:
        with self._lock:
            self._calls += 1
            used_up = self._calls > MAX_CALLS
        if self._closed.is_set() or used_up:
            return "no more answers: give the plan now"
        try:
            text = json.dumps(self._toolbox[name](*arguments), default=str, ensure_ascii=False)
        except Exception as error:  # noqa: BLE001 - injected callables may raise anything; the model gets it as data
            text = f"{name} failed: {type(error).__name__}: {error}"
        said = text if len(text) <= MAX_ANSWER else f"{text[:MAX_ANSWER]} … ({len(text) - MAX_ANSWER} more characters)"
        self.answers.append(said)
        return said
