"""The deterministic planner in the shape of a chat model, so that it runs through the same agent as any provider.

It reads the brief from the conversation, lets `policy.decide` plan, and answers with one structured tool call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from ..tools.core.errors import ToolError
from .messages import GeneratorShare, RoundPlanProposal, read_brief
from .policy import PlanLimits, decide


class BuiltinPlanner(BaseChatModel):
    """A chat model without weights: the answer to a brief is `policy.decide(brief)`."""

    limits: PlanLimits = PlanLimits()

    @property
    def _llm_type(self) -> str:
        return "lodestone-builtin"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Accept any tools; only the structured answer is ever called."""
        return self.bind(tools=list(tools), tool_choice=tool_choice, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - part of LangChain's signature
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> ChatResult:
        asked = [message for message in messages if isinstance(message, HumanMessage)]
        if not asked:
            raise ToolError("The conversation holds no brief.", "Send the brief as the user's message.")
        plan = decide(read_brief(str(asked[0].content)), self.limits)
        proposal = RoundPlanProposal(
            shares=[GeneratorShare(generator=name, share=share) for name, share in plan.shares.items()],
            proposals=plan.proposals,
            batch=plan.batch,
            fidelity=plan.fidelity or "",
            focus=list(plan.focus.elements),
            exploration=plan.exploration,
            stop=plan.stop,
            reason=plan.reason,
        )
        call = {"name": RoundPlanProposal.__name__, "args": proposal.model_dump(), "id": f"plan-{plan.round}"}
        message = AIMessage(content="", tool_calls=[{**call, "type": "tool_call"}])
        return ChatResult(generations=[ChatGeneration(message=message)])
