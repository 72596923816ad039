"""`lodestone doctor`: what is there, and for each missing thing how to get it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from benchmarks.postgres import PostgresServer
from lodestone.loops.cli import main
from lodestone.loops.doctor import Check, checks
from lodestone.loops.settings import load_settings
from lodestone.tools.lab.twin.founding import found


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


def row(name: str, **environment: str) -> Check:
    found = checks(load_settings(None, {f"LODESTONE_{k}": v for k, v in environment.items()}, {}))
    return next(c for c in found if c.name == name)


def test_a_database_that_does_not_answer_is_named_without_its_password() -> None:
    found = row("ledger", LEDGER__URL="postgresql://user:secret@127.0.0.1:1/db")
    assert found.ok is False
    assert "127.0.0.1/db" in found.detail
    assert "secret" not in found.detail + found.remedy


def test_a_database_that_answers(postgres: PostgresServer) -> None:
    found = row("ledger", LEDGER__URL=postgres.url)
    assert found.ok is True
    assert "PostgreSQL 1" in found.detail


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "tcp://127.0.0.1:abc", "nonsense", ""])
def test_a_scheduler_that_does_not_answer(address: str) -> None:
    found = row("compute (dask)", COMPUTE__ENGINE="dask", COMPUTE__ADDRESS=address)
    assert found.ok is False
    assert "dask scheduler" in found.remedy


def test_a_scheduler_that_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        assert row("compute (dask)", COMPUTE__ENGINE="dask", COMPUTE__ADDRESS=address).ok is True


def test_a_machine_without_its_batch_system(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = row("compute (slurm)", COMPUTE__ENGINE="slurm")
    assert found.ok is False
    assert "sbatch" in found.detail


def test_channels_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert row("notifications").ok is None
    monkeypatch.setenv("WEBHOOK_URL_OF_LODESTONE", "https://example.org/secret")
    found = row("notifications", NOTIFY__SMTP_HOST="mail.example.org", NOTIFY__MAIL_FROM="a@example.org",
                NOTIFY__MAIL_TO='["b@example.org"]')  # fmt: skip
    assert found.detail == "webhook, mail"


def test_a_laboratory_is_named_with_what_its_instruments_speak(tmp_path: Path) -> None:
    def row(directory: str) -> Check:
        settings = load_settings(None, {}, {"laboratory.directory": directory})
        return next(c for c in checks(settings) if c.name == "laboratory")

    assert "simulated" in row("").detail
    missing = row(str(tmp_path))
    assert missing.ok is False
    assert "lodestone lab twin" in missing.remedy
    found(tmp_path / "twin", protocols={"transport": "http"}).stop()
    there = row(str(tmp_path / "twin"))
    assert there.ok
    assert "6 instruments over HTTP, SiLA 2" in there.detail
