"""`lodestone doctor`: what is there, and for each missing thing how to get it."""

from __future__ import annotations

import json

import pytest

from lodestone.loops.cli import main
from lodestone.loops.doctor import checks
from lodestone.loops.settings import load_settings


def test_each_missing_capability_says_how_to_get_it() -> None:
    found = checks(load_settings(None, {}, {}))
    assert {
        "CHGNet (relaxation)",
        "SevenNet (evaluator)",
        "GPAW (DFT)",
        "Quantum ESPRESSO (DFT)",
        "GPU",
        "Prefect",
    } <= {c.name for c in found}
    assert [c.name for c in found if c.ok is False] == []
    assert [c.name for c in found if c.ok is None and not c.remedy and c.name != "GPU"] == []


def test_keys_are_never_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("MP_API_KEY", "mp-secret")
    assert main(["doctor", "--json"]) == 0
    out = capsys.readouterr().out
    assert "secret" not in out
    rows = {row["name"]: row for row in json.loads(out)}
    assert rows["Materials Project"]["ok"] is True
    assert "openai" in rows["language models"]["detail"]


def test_a_model_without_its_package_is_named() -> None:
    settings = load_settings(None, {"LODESTONE_PLANNER__MODEL": "mistralai:some"}, {})
    row = next(c for c in checks(settings) if c.name == "model mistralai:some")
    assert row.ok is False
    assert "langchain" in row.remedy
