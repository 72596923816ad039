"""What was said in one attempt at one plan, as a file that can be read back, and a model that plays such files again.

A recorded conversation holds the brief, every answer of the model, and what the tools told it: enough to see why it
decided, and to run the campaign again without a provider.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import Field, ValidationError

from ..tools.core.errors import ConfigError, ToolError
from ..tools.core.types import Frozen
from .messages import read_brief

MAX_BYTES = 5_000_000
"""A recorded conversation is a few ten kilobytes."""


MAX_SAID = 20_000
"""Characters of one answer that are kept."""


class Call(Frozen):
    """One call of a tool."""

    name: str
    arguments: dict[str, Any]


class Said(Frozen):
    """One answer of a model."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    tokens_in: int = Field(default=0, ge=0)
    tokens_out: int = Field(default=0, ge=0)


class Conversation(Frozen):
    """One attempt of one model at the plan of one round."""

    round: int = Field(ge=1)
    attempt: int = Field(ge=1)
    """1 for the model that is asked first."""
    model: str
    brief: str
    """The message with the brief, as the model got it."""
    said: tuple[Said, ...]
    tools: tuple[str, ...]
    """What the tools answered, in order."""
    outcome: str
    """`plan`, or what went wrong."""

    @property
    def file_name(self) -> str:
        """Under which it is kept."""
        return f"round-{self.round:05d}-{self.attempt}.json"


Keep = Callable[[Conversation], None]


def said_of(message: AIMessage) -> Said:
    """What one message of a model holds."""
    usage = message.usage_metadata or {"input_tokens": 0, "output_tokens": 0}
    return Said(
        text=_plain(str(message.content)),
        calls=tuple(Call(name=_plain(c["name"])[:200], arguments=_arguments(c["args"])) for c in message.tool_calls),
        tokens_in=max(0, int(usage["input_tokens"])),
        tokens_out=max(0, int(usage["output_tokens"])),
    )


def _plain(text: str) -> str:
    """Text that can be written as UTF-8: a model may send half of a surrogate pair, and megabytes."""
    return text.encode("utf-8", "replace").decode()[:MAX_SAID]


def _arguments(given: dict[str, Any]) -> dict[str, Any]:
    text = json.dumps(given, ensure_ascii=False, default=str).encode("utf-8", "replace").decode()
    found: dict[str, Any] = json.loads(text) if len(text) <= MAX_SAID else {"cut off": text[:MAX_SAID]}
    return found


def read_conversation(path: Path) -> Conversation:
    """A recorded conversation.

    Raises:
        ConfigError: for a file that is none.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} has more than {MAX_BYTES} bytes.", "A recorded conversation is short.")
        return Conversation.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise ConfigError(
            f"The conversation {path} cannot be read: {first}.", "Give the folder `conversations` of a campaign."
        ) from error


class Replay(BaseChatModel):
    """Says again what was said in recorded conversations; for a round without one it fails, and the next model is
    asked."""

    folder: Path

    @property
    def _llm_type(self) -> str:
        return "lodestone-replay"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Accept any tools."""
        return self.bind(tools=list(tools), tool_choice=tool_choice, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - part of LangChain's signature
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> ChatResult:
        asked = next((m for m in messages if isinstance(m, HumanMessage)), None)
        if asked is None:
            raise ToolError("The conversation holds no brief.", "Send the brief as the user's message.")
        number = read_brief(str(asked.content)).round
        kept = sorted(self.folder.glob(f"round-{number:05d}-*.json"))
        taken = next((c for c in map(read_conversation, kept) if c.outcome == "plan"), None)
        step = sum(isinstance(m, AIMessage) for m in messages)
        if taken is None or step >= len(taken.said):
            raise ToolError(f"No answer is recorded for step {step + 1} of round {number}.", "Another model is asked.")
        said = taken.said[step]
        message = AIMessage(
            content=said.text,
            tool_calls=[
                {"name": c.name, "args": c.arguments, "id": f"replay-{number}-{step}-{k}", "type": "tool_call"}
                for k, c in enumerate(said.calls)
            ],
        )
        return ChatResult(generations=[ChatGeneration(message=message)])
