"""Settings: one place for defaults, a clear order of who wins, and no silent typo."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from lodestone.loops.settings import Settings, defaults, load_settings, resumed_settings
from lodestone.tools.core.errors import ConfigError

ROOT = Path(__file__).parents[2]


def test_the_packaged_defaults_are_the_config_toml_at_the_top() -> None:
    assert defaults() == tomllib.loads((ROOT / "config.toml").read_text())


def test_every_default_has_a_comment() -> None:
    lines = [x for x in (ROOT / "config.toml").read_text().splitlines() if " = " in x and not x.startswith("#")]
    assert len(lines) > 40
    assert [x for x in lines if "#" not in x] == []


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[campaign]\nevaluations = 31\nbatch = 3\nrounds = 7\n")
    env = {"LODESTONE_CAMPAIGN__BATCH": "5", "LODESTONE_CAMPAIGN__ROUNDS": "8", "HOME": "/"}
    found = load_settings(file, env, {"campaign.rounds": 9}).campaign
    assert (found.evaluations, found.batch, found.rounds) == (31, 5, 9)
    assert found.proposals == defaults()["campaign"]["proposals"]


def test_settings_survive_json() -> None:
    settings = load_settings(None, {}, {})
    assert Settings.model_validate(settings.model_dump(mode="json")) == settings


def test_lists_come_from_the_environment_with_commas() -> None:
    found = load_settings(None, {"LODESTONE_GENERATORS__ENABLED": "random, prototypes"}, {})
    assert found.generators.enabled == ("random", "prototypes")


@pytest.mark.parametrize(
    ("text", "env", "words"),
    [
        ("[campain]\nbatch = 1", {}, "Did you mean 'campaign'"),
        ("[campaign]\nbacth = 1", {}, "Did you mean 'campaign.batch'"),
        ("campaign = 3", {}, "is a section"),
        ("[campaign]\nbatch = 'two'", {}, "campaign.batch"),
        ("[campaign]\nbatch = 0", {}, "greater than or equal to 1"),
        ("[campaign]\nwall_hours = nan", {}, "campaign.wall_hours"),
        ("[campaign\nbatch = 1", {}, "not valid TOML"),
        ("", {"LODESTONE_CAMPAIGN__BACTH": "1"}, "Did you mean 'campaign.batch'"),
        ("", {"LODESTONE_EVALUATORS__GPAW__PROTOCOL": "sloppy"}, "evaluators.gpaw.protocol"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, env: dict[str, str], words: str) -> None:
    file = tmp_path / "config.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")) as error:
        load_settings(file, env, {})
    assert error.value.remedy


def test_a_missing_or_huge_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No settings file"):
        load_settings(tmp_path / "none.toml", {}, {})
    (tmp_path / "huge.toml").write_text("#" * 300_000)
    with pytest.raises(ConfigError, match="more than"):
        load_settings(tmp_path / "huge.toml", {}, {})


def test_every_setting_is_used_by_the_code() -> None:
    """A default that nothing reads is a promise broken in silence."""
    code = "".join(p.read_text() for room in ("loops", "agent", "tools") for p in (ROOT / room).rglob("*.py"))

    def leaves(table: dict[str, Any]) -> list[str]:
        return [x for k, v in table.items() for x in (leaves(v) if isinstance(v, dict) else [k])]

    assert [name for name in leaves(defaults()) if f".{name}" not in code] == []


def test_a_campaign_of_an_earlier_version_goes_on_with_what_it_stored_and_todays_channels() -> None:
    old = load_settings(None, {}, {"campaign.seed": 7, "relax.fmax": 0.2, "notify.desktop": True})
    stored = old.model_dump(mode="json")
    del stored["notify"]
    del stored["surrogate"]["max_pool"]
    stored["gone_since"] = {"x": 1}
    today = load_settings(None, {}, {"campaign.seed": 1, "notify.webhook_url": "http://127.0.0.1:1/"})
    found = resumed_settings(stored, today)
    assert (found.campaign.seed, found.relax.fmax) == (7, 0.2)
    assert found.surrogate.max_pool == today.surrogate.max_pool
    assert found.notify.webhook_url == "http://127.0.0.1:1/"
    stored["relax"]["fmax"] = "nonsense"
    with pytest.raises(ConfigError, match="stored settings"):
        resumed_settings(stored, today)
