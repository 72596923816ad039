"""The planner: chat models in a row, each bounded, the built-in one last; what they say is checked by policy.

A model proposes a plan and nothing else: its tools are read-only,
its answer is validated, `policy.check` bends it into the budget, and `decided_by` says who it was.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ..tools.core.errors import ConfigError
from ..tools.core.plans import Brief, RoundPlan
from ..tools.core.types import Understanding
from .allowance import Allowance, Usage
from .asking import Bounds, ask
from .builtin_model import BuiltinPlanner
from .conversations import Conversation, Keep, said_of
from .goal import GoalDefaults
from .messages import RoundPlanProposal, write_brief
from .model_reader import understand
from .policy import PlanLimits, check, decide, stop_reason
from .providers import BUILTIN
from .toolbox import Desk, Toolbox, check_toolbox
from .tracing import Numbers, strike_out

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel


class AgentPlanner:
    """Words to a goal and briefs to plans; asks its models in order, then the built-in one.

    Args:
        models: (name, chat model) in the order they are asked; empty for the built-in planner alone.
        toolbox: read-only callables by name (`toolbox.TOOLS`).
        limits: what a round may hold.
        bounds: what a model may use for one question.
        allowance: what all models together may use in a round and in a campaign.
        keep: given each conversation when it is over.

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
        bounds: Bounds | None = None,
        allowance: Allowance | None = None,
        keep: Keep = lambda _: None,
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
        self._bounds = bounds or Bounds()
        self._allowance = allowance or Allowance()
        self._keep = keep
        self._failed = dict.fromkeys(names, 0)
        self._prompt = (files(__package__) / "prompts" / "planner.md").read_text(encoding="utf-8")

    def specify(self, words: str, defaults: dict[str, Any] | None = None) -> Understanding:
        """The goal in a request, by the grammar, and by the models where that is not enough; see `model_reader`.

        Raises:
            GoalError: when there is no goal in the words.
            ConfigError: when the defaults cannot be used.
        """
        try:
            filled = GoalDefaults(**(defaults or {}))
        except ValidationError as error:
            raise ConfigError(f"The goal defaults cannot be used: {error}", "Check the settings.") from error
        return understand(words, filled, self._models, self._bounds)

    def plan(self, brief: Brief) -> RoundPlan:
        """The plan for a round, whatever the models do; `decided_by` and `reason` say what happened."""
        used = Usage()
        plan = self._plan(brief, used)
        return plan.model_copy(update={"tokens": used.tokens, "money": round(self._allowance.cost(used), 6)})

    def _plan(self, brief: Brief, used: Usage) -> RoundPlan:
        troubles: list[str] = []
        if stop_reason(brief) is not None:
            return self._own(brief, troubles)  # no model can change that: none is paid to be asked
        for attempt, (name, model) in enumerate(self._models, start=1):
            if self._failed[name] >= self._bounds.failures:
                troubles.append(f"{name} not asked after {self._failed[name]} failures")
                continue
            tokens, cap = self._allowance.tokens_left(brief, used)
            if tokens < 1:
                troubles.append(f"{name} not asked: {cap} are used up")
                continue
            desk, usage = Desk(self._toolbox), Usage()
            answer = self._ask(model, brief, desk, tokens, usage)
            used.tokens_in, used.tokens_out = used.tokens_in + usage.tokens_in, used.tokens_out + usage.tokens_out
            outcome = answer if isinstance(answer, str) else "plan"
            self._keep(
                Conversation(
                    round=brief.round, attempt=attempt, model=name, brief=write_brief(brief),
                    said=tuple(said_of(m) for m in usage.answers), tools=tuple(desk.answers), outcome=outcome,
                )
            )  # fmt: skip
            if isinstance(answer, RoundPlanProposal):
                self._failed[name] = 0
                return self._checked(answer, brief, name, troubles, desk)
            self._failed[name] += 1
            troubles.append(f"{name} {answer}")
        return self._own(brief, troubles)

    def _own(self, brief: Brief, troubles: list[str]) -> RoundPlan:
        """The built-in planner's plan, through the same agent as any model's."""
        answer = self._ask(BuiltinPlanner(limits=self._limits), brief, Desk(self._toolbox), self._bounds.tokens)
        if isinstance(answer, RoundPlanProposal):
            return self._checked(answer, brief, BUILTIN, troubles)
        plan = decide(brief, self._limits)
        return plan.model_copy(update={"decided_by": _who("policy", [*troubles, f"{BUILTIN} {answer}"])})

    def _checked(
        self, answer: RoundPlanProposal, brief: Brief, name: str, troubles: list[str], desk: Desk | None = None
    ) -> RoundPlan:
        """The plan bent into what is allowed; of a model's reasons (`desk` given), numbers that it was not shown go."""
        wish = answer.wish()
        plan, corrections = check(brief, wish, self._limits)
        words = plan.reason
        if desk is not None:
            facts = {
                "shares": wish.shares,
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

    def _ask(
        self, model: BaseChatModel, brief: Brief, desk: Desk, tokens: int, usage: Usage | None = None
    ) -> RoundPlanProposal | str:
        bounds = self._bounds.model_copy(update={"tokens": min(tokens, self._bounds.tokens)})
        return ask(model, self._prompt, write_brief(brief), RoundPlanProposal, bounds, desk.tools(), desk.close, usage)


def _who(name: str, troubles: Sequence[str]) -> str:
    return f"{name} (after: {'; '.join(troubles)})" if troubles else name
