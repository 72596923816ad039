"""What chat models may cost: tokens and money, in a round and in a whole campaign."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import Field

from ..tools.core.plans import Brief
from ..tools.core.types import Frozen

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

MILLION = 1_000_000


@dataclass
class Usage:
    """What models used, and what they said: filled while they are asked, also when that ends badly."""

    tokens_in: int = 0
    tokens_out: int = 0
    answers: list[AIMessage] = field(default_factory=list)

    @property
    def tokens(self) -> int:
        """Of all calls together."""
        return self.tokens_in + self.tokens_out


class Allowance(Frozen):
    """Caps, from the settings and out of a model's reach. What was used so far stands in the brief, and so in the
    ledger: a campaign that is resumed does not start to count anew."""

    tokens_per_round: int = Field(default=60_000, ge=1)
    tokens_per_campaign: int = Field(default=3_000_000, ge=1)
    money_per_round: float | None = Field(default=None, gt=0.0)
    money_per_campaign: float | None = Field(default=None, gt=0.0)
    price_in: float = Field(default=0.0, ge=0.0)
    """Of a million tokens that a model reads."""
    price_out: float = Field(default=0.0, ge=0.0)
    """Of a million tokens that it writes."""

    def cost(self, usage: Usage) -> float:
        """Money for what was used."""
        return (usage.tokens_in * self.price_in + usage.tokens_out * self.price_out) / MILLION

    def tokens_left(self, brief: Brief, usage: Usage) -> tuple[int, str]:
        """Tokens that may still be used in this round, and which cap says so; at the dearer of the two prices."""
        tokens, money = brief.planner_tokens + usage.tokens, brief.planner_money + self.cost(usage)
        left = [
            (self.tokens_per_round - usage.tokens, f"{self.tokens_per_round} tokens a round"),
            (self.tokens_per_campaign - tokens, f"{self.tokens_per_campaign} tokens a campaign"),
        ]
        dearest = max(self.price_in, self.price_out)
        for cap, used, what in (
            (self.money_per_round, self.cost(usage), "round"),
            (self.money_per_campaign, money, "campaign"),
        ):
            if cap is not None and dearest > 0:
                left.append((int((cap - used) * MILLION / dearest), f"{cap:g} of money a {what}"))
        tokens_left, what = min(left)
        return max(0, tokens_left), what
