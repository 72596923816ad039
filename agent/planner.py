"""The planner: LangChain agents in a row, each bounded, the built-in one last; what they say is checked by policy.

This is the only module that builds agents. A model proposes a plan and nothing else: its tools are read-only,
its answer is validated, `policy.check` bends it into the budget, and `decided_by` says who it was.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, AgentState, ModelCallLimitMiddleware
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import Field, ValidationError

from ..tools.core.errors import ConfigError
from ..tools.core.types import Brief, Frozen, RoundPlan, Understanding
from .builtin_model import BuiltinPlanner
from .goal import GoalDefaults, parse_goal
from .messages import RoundPlanProposal, write_brief
from .policy import PlanLimits, check, decide
from .providers import BUILTIN
from .toolbox import Desk, Toolbox, check_toolbox
from .tracing import Numbers, strike_out

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.runtime import Runtime

_STEPS_PER_CALL = 6
"""Graph steps of one model call with its middleware (three hooks) and tools, and one to spare, for LangGraph's
recursion limit: a second bound, behind that on model calls."""


class PlannerBounds(Frozen):
    """How much one model may use for one plan."""

    model_calls: int = Field(default=6, ge=1, le=50)
    timeout_s: float = Field(default=90.0, gt=0.0, le=3_600.0)
    tokens: int = Field(default=60_000, ge=1_000)
    """Tokens of all calls together, as the provider counts them."""
    failures: int = Field(default=3, ge=1)
    """Failures in a row after which a model is not asked again by this process."""


class _TokenLimitError(Exception):
    """A model used more tokens than one plan is worth."""


class _TokenLimit(AgentMiddleware[Any, Any]):
    """Ends an agent that has used its tokens."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def before_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> None:  # noqa: ARG002 - their signature
        """Count what was used before each call."""
        used = sum(
            message.usage_metadata["total_tokens"]
            for message in state["messages"]
            if isinstance(message, AIMessage) and message.usage_metadata
        )
        if used > self._limit:
            raise _TokenLimitError(f"{used} tokens used, {self._limit} allowed")


class AgentPlanner:
    """Words to a goal and briefs to plans; asks its models in order, then the built-in one.

    Args:
        models: (name, chat model) in the order they are asked; empty for the built-in planner alone.
        toolbox: read-only callables by name (`toolbox.DESCRIPTIONS`).
        limits: what a round may hold.
        bounds: what a model may use.

    Raises:
        ToolError: for an unknown tool.
        ConfigError: for two models of one name.
    """

    name = "agent"

    def __init__(
        self,
        models: Sequence[tuple[str, BaseChatModel]] = (),
        toolbox: Toolbox | None = None,
        limits: PlanLimits | None = None,
        bounds: PlannerBounds | None = None,
    ) -> None:
        names = [name for name, _ in models]
        if len({*names, BUILTIN}) != len(names) + 1:
            raise ConfigError(
                f"Planner models {names} are not distinct.", "Name each model once; 'builtin' comes by itself."
            )
        self._models = [*models]
        self._toolbox = dict(toolbox or {})
        check_toolbox(self._toolbox)
        self._limits = limits or PlanLimits()
        self._bounds = bounds or PlannerBounds()
        self._failed = dict.fromkeys(names, 0)
        self._prompt = (files(__package__) / "prompts" / "planner.md").read_text(encoding="utf-8")

    def specify(self, words: str, defaults: dict[str, Any] | None = None) -> Understanding:
        """The goal in a request, by the deterministic grammar: a goal holds money, so no model writes it.

        Raises:
            GoalError: when there is no goal in the words.
            ConfigError: when the defaults cannot be used.
        """
        try:
            filled = GoalDefaults(**(defaults or {}))
        except ValidationError as error:
            raise ConfigError(f"The goal defaults cannot be used: {error}", "Check the settings.") from error
        return parse_goal(words, filled)

    def plan(self, brief: Brief) -> RoundPlan:
        """The plan for a round, whatever the models do; `decided_by` and `reason` say what happened."""
        troubles: list[str] = []
        for name, model in self._models:
            if self._failed[name] >= self._bounds.failures:
                troubles.append(f"{name} not asked after {self._failed[name]} failures")
                continue
            desk = Desk(self._toolbox)
            answer = self._ask(model, brief, desk)
            if isinstance(answer, RoundPlanProposal):
                self._failed[name] = 0
                return self._checked(answer, brief, name, troubles, desk)
            self._failed[name] += 1
            troubles.append(f"{name} {answer}")
        answer = self._ask(BuiltinPlanner(limits=self._limits), brief, Desk(self._toolbox))
        if isinstance(answer, RoundPlanProposal):
            return self._checked(answer, brief, BUILTIN, troubles)
        plan = decide(brief, self._limits)
        return plan.model_copy(update={"decided_by": _who("policy", [*troubles, f"{BUILTIN} {answer}"])})

    def _checked(
        self, answer: RoundPlanProposal, brief: Brief, name: str, troubles: list[str], desk: Desk | None = None
    ) -> RoundPlan:
        """The plan bent into what is allowed; of a model's reasons (`desk` given), numbers that it was not shown go."""
        shares: dict[str, float] = {}
        for row in answer.shares:
            shares[row.generator] = shares.get(row.generator, 0.0) + row.share
        plan, corrections = check(
            brief,
            shares=shares,
            proposals=answer.proposals,
            batch=answer.batch,
            exploration=answer.exploration,
            stop=answer.stop,
            reason=answer.reason,
            limits=self._limits,
        )
        words = plan.reason
        if desk is not None:
            facts = {
                "shares": shares,
                "proposals": plan.proposals,
                "batch": plan.batch,
                "exploration": plan.exploration,
            }
            shown = Numbers((write_brief(brief), json.dumps(facts), *desk.answers))
            words, struck = strike_out(words, shown)
            if struck:
                corrections.append(f"{struck} numbers struck out of the reasons")
        reason = words + (f" [policy: {'; '.join(corrections)}]" if corrections else "")
        return plan.model_copy(update={"reason": reason, "decided_by": _who(name, troubles)})

    def _ask(self, model: BaseChatModel, brief: Brief, desk: Desk) -> RoundPlanProposal | str:
        """A model's proposal, or what went wrong in words. Never takes longer than the bounds allow."""
        outcome: list[RoundPlanProposal | str] = []
        worker = threading.Thread(
            target=lambda: outcome.append(self._run(model, brief, desk)), name="lodestone-planner", daemon=True
        )
        worker.start()
        worker.join(self._bounds.timeout_s)
        desk.close()
        # Python cannot end a thread: one that hangs is left behind as a daemon, and its late answer is not read.
        return outcome[0] if outcome else f"gave no answer within {self._bounds.timeout_s:g} s"

    def _run(self, model: BaseChatModel, brief: Brief, desk: Desk) -> RoundPlanProposal | str:
        calls = self._bounds.model_calls
        try:
            agent = create_agent(
                model,
                desk.tools(),
                system_prompt=self._prompt,
                response_format=ToolStrategy(RoundPlanProposal),
                middleware=[
                    ModelCallLimitMiddleware(run_limit=calls, exit_behavior="error"),
                    _TokenLimit(self._bounds.tokens),
                ],
            )
            state = agent.invoke(
                {"messages": [HumanMessage(content=write_brief(brief))]},
                config={"recursion_limit": _STEPS_PER_CALL * calls + 4},
            )
        except Exception as error:  # noqa: BLE001 - models and providers raise anything; the reason goes into the plan
            return f"failed ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
        answer = state.get("structured_response")
        if not isinstance(answer, RoundPlanProposal):
            return "ended without a plan"
        return answer


def _who(name: str, troubles: Sequence[str]) -> str:
    return f"{name} (after: {'; '.join(troubles)})" if troubles else name
