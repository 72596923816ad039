"""One bounded question to one chat model, with a typed answer. The only module that builds LangChain agents."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, AgentState, ModelCallLimitMiddleware
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel, Field

from ..tools.core.types import Frozen
from .allowance import Usage

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.tools import BaseTool
    from langgraph.runtime import Runtime

_STEPS_PER_CALL = 6
"""Graph steps of one model call with its middleware (three hooks) and tools, and one to spare, for LangGraph's
recursion limit: a second bound, behind that on model calls."""

Answer = TypeVar("Answer", bound=BaseModel)


class Bounds(Frozen):
    """How much one model may use for one question."""

    model_calls: int = Field(default=6, ge=1, le=50)
    timeout_s: float = Field(default=90.0, gt=0.0, le=3_600.0)
    tokens: int = Field(default=60_000, ge=1)
    """Tokens of all calls together, as the provider counts them."""
    failures: int = Field(default=3, ge=1)
    """Failures in a row after which a model is not asked again by this process."""


class _TokenLimitError(Exception):
    """A model used more tokens than one question is worth."""


class _TokenLimit(AgentMiddleware[Any, Any]):
    """Counts what an agent uses, and ends one that has used its tokens."""

    def __init__(self, limit: int, usage: Usage) -> None:
        super().__init__()
        self._limit = limit
        self._usage = usage

    def before_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> None:  # noqa: ARG002 - their signature
        """Look at what was used before each call."""
        if self._usage.tokens > self._limit:
            raise _TokenLimitError(f"{self._usage.tokens} tokens used, {self._limit} allowed")

    def after_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> None:  # noqa: ARG002
        """Count each answer, and keep it."""
        answers = [m for m in state["messages"] if isinstance(m, AIMessage)]
        for message in answers[len(self._usage.answers) :]:
            counted = message.usage_metadata or {"input_tokens": 0, "output_tokens": 0}
            self._usage.tokens_in += max(0, int(counted["input_tokens"]))
            self._usage.tokens_out += max(0, int(counted["output_tokens"]))
            self._usage.answers.append(message)


def ask(
    model: BaseChatModel,
    prompt: str,
    content: str,
    answer: type[Answer],
    bounds: Bounds,
    tools: Sequence[BaseTool] = (),
    give_up: Callable[[], None] = lambda: None,
    usage: Usage | None = None,
) -> Answer | str:
    """What a model answers, or what went wrong in words. Never takes longer than the bounds allow.

    Args:
        model: which one.
        prompt: of the system.
        content: of the user's message.
        answer: type of the answer.
        bounds: what it may use.
        tools: read-only ones.
        give_up: called when the time is over, so that a late model finds no tool that answers.
        usage: filled with what the model uses.
    """
    outcome: list[Answer | str] = []
    counted = Usage() if usage is None else usage
    worker = threading.Thread(
        target=lambda: outcome.append(_run(model, prompt, content, answer, bounds, tools, counted)),
        name="lodestone-model",
        daemon=True,
    )
    worker.start()
    worker.join(bounds.timeout_s)
    give_up()
    # Python cannot end a thread: one that hangs is left behind as a daemon, and its late answer is not read.
    return outcome[0] if outcome else f"gave no answer within {bounds.timeout_s:g} s"


def _run(
    model: BaseChatModel,
    prompt: str,
    content: str,
    answer: type[Answer],
    bounds: Bounds,
    tools: Sequence[BaseTool],
    usage: Usage,
) -> Answer | str:
    try:
        agent = create_agent(
            model,
            list(tools),
            system_prompt=prompt,
            response_format=ToolStrategy(answer),
            middleware=[
                ModelCallLimitMiddleware(run_limit=bounds.model_calls, exit_behavior="error"),
                _TokenLimit(bounds.tokens, usage),
            ],
        )
        state = agent.invoke(
            {"messages": [HumanMessage(content=content)]},
            config={"recursion_limit": _STEPS_PER_CALL * bounds.model_calls + 4},
        )
    except Exception as error:  # noqa: BLE001 - models and providers raise anything; the reason is recorded
        return f"failed ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
    found = state.get("structured_response")
    return found if isinstance(found, answer) else "ended without a plan"
