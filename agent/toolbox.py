"""Read-only LangChain tools from callables that the composition root injects. Nothing here can spend or move anything.

Each answer is JSON text of bounded length; a tool that fails answers with the reason instead of ending the agent.
"""

from __future__ import annotations

import json
import threading
import unicodedata
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from ..tools.core.errors import ToolError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

MAX_ANSWER = 4_000
"""Characters of one tool's answer."""

MAX_CALLS = 20
"""Tool calls of one plan."""

Toolbox = Mapping[str, Callable[..., Any]]


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Nothing(_Arguments):
    """No arguments."""


class Formula(_Arguments):
    """A composition."""

    formula: str = Field(max_length=80, description="e.g. Li3PS4")


class GeneratorName(_Arguments):
    """A generator."""

    generator: str = Field(max_length=80, description="as named in the brief")


class Words(_Arguments):
    """A description."""

    words: str = Field(max_length=200, description="e.g. layered sulfide with Li")


class Conversion(_Arguments):
    """A quantity and the unit that is wanted."""

    value: float
    unit: str = Field(max_length=40)
    to: str = Field(max_length=40)


TOOLS: dict[str, tuple[str, type[_Arguments]]] = {
    "best_so_far": ("The best crystals found so far, with their measured properties.", Nothing),
    "failures": ("Failures so far, counted by reason.", Nothing),
    "generator_yields": ("How each generator has done: proposed, duplicates, relaxed, promising.", Nothing),
    "hull": ("Crystals on or near the convex hull, on the cheap potential.", Nothing),
    "budget": ("Every account of the campaign: cap, spent, reserved, left.", Nothing),
    "predict": ("What the surrogate expects of a composition: [mean, standard deviation] a property.", Formula),
    "calibration": ("How predictions compared with what was measured afterwards.", Nothing),
    "uncertain": ("Crystals that wait, of which least is known.", Nothing),
    "dry_run": ("What a generator would propose now, and what the screens say of it. Nothing is kept.", GeneratorName),
    "recognise": ("Symmetry, structure type and layers of the crystals of a composition.", Formula),
    "relax": ("Known structure types of a composition, relaxed on the potential. A few a round; not kept.", Formula),
    "find": ("Crystals of the campaign that fit a description in words.", Words),
    "chemistry": ("Charge balance and element classes of a composition.", Formula),
    "convert": ("A value in another unit.", Conversion),
}
"""Tools that may be injected, with what the model is told about them and the arguments that they take."""


def check_toolbox(toolbox: Toolbox) -> None:
    """Refuse what is not one of the read-only tools.

    Raises:
        ToolError: for an unknown name.
    """
    if unknown := sorted(set(toolbox) - set(TOOLS)):
        raise ToolError(f"Unknown planner tools: {', '.join(unknown)}.", f"Known: {', '.join(TOOLS)}.")


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
        self.asked: list[str] = []
        """Names of the tools that were asked, in order."""

    def close(self) -> None:
        """Answer nothing from now on; an attempt that ran out of time may still be running."""
        self._closed.set()

    def tools(self) -> list[BaseTool]:
        """LangChain tools in the order of `TOOLS`."""
        from langchain_core.tools import StructuredTool

        def make(name: str) -> BaseTool:
            description, arguments = TOOLS[name]

            def function(**given: Any) -> str:
                return self._answer(name, given)

            return StructuredTool.from_function(
                function, name=name, description=description, args_schema=arguments, handle_validation_error=_refusal
            )

        return [make(name) for name in TOOLS if name in self._toolbox]

    def _answer(self, name: str, given: Mapping[str, Any]) -> str:
        with self._lock:
            self._calls += 1
            used_up = self._calls > MAX_CALLS
            self.asked.append(name)
        if self._closed.is_set() or used_up:
            return "no more answers: give the plan now"
        try:
            text = json.dumps(self._toolbox[name](**given), default=str, ensure_ascii=False)
        except Exception as error:  # noqa: BLE001 - injected callables may raise anything; the model gets it as data
            text = f"{name} failed: {type(error).__name__}: {error}"
        text = visible(text)
        said = text if len(text) <= MAX_ANSWER else f"{text[:MAX_ANSWER]} … ({len(text) - MAX_ANSWER} more characters)"
        self.answers.append(said)
        return said


def visible(text: str) -> str:
    """The text without control, format and surrogate characters: what a person would not see, a model must not read."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"))


def _refusal(error: Exception) -> str:
    return f"these arguments cannot be used: {' '.join(str(error).split())[:300]}"
