"""Chat models of real providers by name, through LangChain's `init_chat_model`. No network until a model is asked."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from ..tools.core.errors import ConfigError
from ..tools.core.types import Frozen

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

PROVIDERS: dict[str, tuple[str, str]] = {
    "anthropic": ("langchain_anthropic", "ANTHROPIC_API_KEY"),
    "openai": ("langchain_openai", "OPENAI_API_KEY"),
    "google_genai": ("langchain_google_genai", "GOOGLE_API_KEY"),
    "mistralai": ("langchain_mistralai", "MISTRAL_API_KEY"),
    "groq": ("langchain_groq", "GROQ_API_KEY"),
    "deepseek": ("langchain_deepseek", "DEEPSEEK_API_KEY"),
    "openrouter": ("langchain_openrouter", "OPENROUTER_API_KEY"),
    "ollama": ("langchain_ollama", ""),
}
"""Provider to its package and the environment variable of its key (empty: runs without one)."""

BUILTIN = "builtin"
"""The name of the planner that needs no provider."""

REPLAY = "replay"
"""`replay:FOLDER` plays the conversations of an earlier campaign again."""


class ModelSettings(Frozen):
    """Which chat model to ask, and how long an answer may be."""

    name: str = BUILTIN
    """`builtin`, `provider:model`, e.g. `anthropic:claude-…`, `ollama:qwen3`, or `replay:FOLDER`."""
    base_url: str = ""
    """Another address of the provider's interface, e.g. of a server on the local network."""
    max_tokens: int = Field(default=2_000, ge=100, le=32_000)
    """Tokens of one answer."""
    timeout_s: float = Field(default=60.0, gt=0.0, le=3_600.0)
    """Seconds for one request."""


def load_model(settings: ModelSettings) -> BaseChatModel | None:
    """The chat model that the settings name; None for the built-in planner.

    Raises:
        ConfigError: for a name that cannot be read, a missing package or a missing key.
    """
    name = settings.name.strip()
    if name in ("", BUILTIN):
        return None
    provider, _, model = name.partition(":")
    if provider == REPLAY:
        from .conversations import Replay

        if not Path(model).is_dir():
            raise ConfigError(f"There is no folder {model} to play again.", "Name the `conversations` of a campaign.")
        return Replay(folder=Path(model))
    if provider not in PROVIDERS or not model:
        raise ConfigError(
            f"'{name}' names no chat model.",
            f"Write 'provider:model' with one of: {', '.join(PROVIDERS)}; or 'builtin'.",
        )
    if problem := missing(provider, settings.base_url):
        raise ConfigError(f"The model '{name}' cannot be used: {problem}", "Or set the planner's model to 'builtin'.")
    from langchain.chat_models import init_chat_model

    if provider == "ollama":
        options: dict[str, Any] = {"num_predict": settings.max_tokens, "client_kwargs": {"timeout": settings.timeout_s}}
    else:
        options = {"max_tokens": settings.max_tokens, "timeout": settings.timeout_s, "max_retries": 1}
    if provider in ("openai", "deepseek", "openrouter"):
        # The client follows redirects by itself, and would send the brief wherever a server points.
        import httpx

        options["http_client"] = httpx.Client(follow_redirects=False, timeout=settings.timeout_s)
    if settings.base_url:
        options["base_url"] = settings.base_url
        key = PROVIDERS[provider][1]
        if key and not os.environ.get(key):
            options["api_key"] = "none"  # a local server asks for none, and the clients insist on one
    try:
        return init_chat_model(model, model_provider=provider, **options)
    except Exception as error:  # provider packages raise their own types for bad names and options
        raise ConfigError(f"The model '{name}' cannot be set up: {error}", "Check its name and address.") from error


def missing(provider: str, base_url: str = "") -> str | None:
    """What a known provider lacks here, with how to get it; None when it can be asked."""
    package, key = PROVIDERS[provider]
    if find_spec(package) is None:
        return f"its package is missing; pip install {package.replace('_', '-')}."
    if key and not base_url and not os.environ.get(key):
        return f"its key is missing; set the environment variable {key}."
    return None
