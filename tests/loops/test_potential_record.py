"""What relaxed a campaign stands in its ledger, in its report, and in the way of resuming it with other weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.world import harness, parts
from benchmarks.world.harness import Setup
from lodestone.loops.cli import main
from lodestone.loops.doctor import checks
from lodestone.loops.history import build_record
from lodestone.loops.ledger import Ledger
from lodestone.loops.settings import load_settings
from lodestone.loops.wiring import potential_for
from lodestone.tools.core.errors import ConfigError
from lodestone.tools.relax.bowsr import BowsrPotential

WORDS = "the most stable compound of Cu and Au; 4 evaluations; 1 round"


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished campaign, relaxed by effective-medium theory."""
    folder = tmp_path_factory.mktemp("potential")
    parts.install(folder / "site")
    setup = Setup(folder / "c", folder / "site", words=WORDS, metals=("Au", "Cu"))
    assert harness.run_alone(setup) == 0, setup.directory.with_suffix(".log").read_text()
    return setup.directory


def test_version_checksum_and_licence_are_in_the_ledger_and_in_the_report(campaign: Path) -> None:
    assert Ledger.open(campaign, read_only=True).meta("potential_record") == {
        "name": "emt", "package": "ase", "sha256": "", "licence": "LGPL-2.1-or-later", "elements": None,
    }  # fmt: skip
    versions = build_record(campaign).versions
    assert versions["weights of emt"] == "without a checksum (licence: LGPL-2.1-or-later)"


def test_a_campaign_is_not_resumed_on_another_potential(campaign: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Outside the world of the benchmark a resume builds what the settings name: CHGNet.
    assert main(["resume", str(campaign)]) == 8
    assert "Energies of two potentials do not mix" in capsys.readouterr().err


def test_the_settings_choose_the_potential() -> None:
    names = {
        "chgnet": "chgnet-0.3.0",
        "sevennet-0": "sevennet-0-11jul2024",
        "ase.calculators.emt:EMT": "EMT-",
    }
    for chosen, expected in names.items():
        found = potential_for(load_settings(None, {}, {"relax.potential": chosen, "relax.max_batch_atoms": 99}))
        assert found.name.startswith(expected)
        assert found.settings.max_batch_atoms == 99  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="Did you mean 'sevennet-0'"):
        potential_for(load_settings(None, {}, {"relax.potential": "sevennet0"}))
    with pytest.raises(ConfigError, match="device"):
        load_settings(None, {}, {"relax.device": "quantum"})


def test_the_settings_choose_how_it_relaxes() -> None:
    found = potential_for(load_settings(None, {}, {"relax.method": "bowsr", "relax.max_steps": 77}))
    assert isinstance(found, BowsrPotential)
    assert (found.name, found.settings.max_steps) == ("chgnet-0.3.0", 77)
    with pytest.raises(ConfigError, match="method"):
        load_settings(None, {}, {"relax.method": "magic"})


@pytest.mark.parametrize(
    ("settings", "ok", "words"),
    [
        ({}, True, "chgnet"),
        ({"relax.potential": "sevennet-l3i5"}, True, "sevennet-l3i5"),
        ({"relax.potential": "mace.calculators:mace_mp"}, False, "not there"),
        ({"relax.potential": "magic"}, False, "not there"),
        ({"relax.model": "/nowhere/weights.pth"}, False, "no weights at"),
    ],
)
def test_doctor_says_whether_the_potential_is_there(settings, ok, words) -> None:
    (row,) = [c for c in checks(load_settings(None, {}, settings)) if c.name == "relaxation potential"]
    assert row.ok is ok
    assert words in row.detail
    assert bool(row.remedy) is not ok
