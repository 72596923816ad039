"""Chat models by name: what is missing is named with the command that brings it, and nothing touches the network."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

from lodestone.agent import providers
from lodestone.agent.builtin_model import BuiltinPlanner
from lodestone.agent.providers import ModelSettings, load_model, missing
from lodestone.tools.core.errors import ConfigError


@pytest.mark.parametrize("name", ["", "builtin", " builtin "])
def test_builtin_planner_needs_no_model(name: str) -> None:
    assert load_model(ModelSettings(name=name)) is None


@pytest.mark.parametrize("name", ["gpt", "nowhere:model", "openai:", "a:b:c"])
def test_name_without_a_known_provider_is_refused_with_the_list(name: str) -> None:
    with pytest.raises(ConfigError, match="anthropic"):
        load_model(ModelSettings(name=name))


def test_missing_package_is_named_with_its_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="pip install langchain-anthropic"):
        load_model(ModelSettings(name="anthropic:some-model"))


def test_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "find_spec", lambda _: True)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY"):
        load_model(ModelSettings(name="openai:some-model"))
    assert missing("openai", base_url="http://127.0.0.1:1/v1") is None


def test_settings_reach_the_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, object] = {}

    class FakeOllama(BuiltinPlanner):
        def __init__(self, **options: object) -> None:
            super().__init__()
            given.update(options)

    module = types.ModuleType("langchain_ollama")
    module.ChatOllama = FakeOllama  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "langchain_ollama", module)
    monkeypatch.setattr(providers, "find_spec", lambda _: True)
    model = load_model(ModelSettings(name="ollama:qwen3:8b", base_url="http://127.0.0.1:11434", timeout_s=5.0))
    assert isinstance(model, FakeOllama)
    assert given == {
        "model": "qwen3:8b",
        "base_url": "http://127.0.0.1:11434",
        "num_predict": 2000,
        "client_kwargs": {"timeout": 5.0},
    }


def test_goals_and_provider_names_are_read_without_loading_heavy_packages() -> None:
    script = (
        "import sys; from lodestone.agent import goal, policy, providers, toolbox;"
        "print([m for m in ('langchain', 'langchain_core', 'pymatgen', 'torch', 'pint') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
