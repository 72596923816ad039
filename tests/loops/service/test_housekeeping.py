"""Fair shares, bounded logs and disk, and a unit that systemd understands."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lodestone.loops.service.housekeeping import Housekeeper, rotate, size_of
from lodestone.loops.service.settings import ServiceSettings
from lodestone.loops.service.shares import caught_up, chosen, core_sets, shares
from lodestone.loops.service.state import ServiceEvent
from lodestone.loops.service.unit import install_unit, unit_text
from lodestone.tools.core.errors import ConfigError

weights = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(1, 100), min_size=1, max_size=8)


@given(weights, st.integers(0, 24))
def test_shares_use_every_core_once_and_more_weight_never_gets_less(table: dict[str, int], spare: int) -> None:
    cores = len(table) + spare
    found = shares(list(table), table, cores)
    assert sum(found.values()) == cores
    assert min(found.values()) >= 1
    for a in table:
        for b in table:
            assert table[a] <= table[b] or found[a] >= found[b]
    sets = core_sets(found, list(range(cores)))
    assert sorted(c for s in sets.values() for c in s) == list(range(cores))


@given(weights, st.integers(1, 4))
def test_over_time_each_gets_its_share_and_nobody_starves(table: dict[str, int], cores: int) -> None:
    usage = dict.fromkeys(table, 0.0)
    rounds = 400
    for _ in range(rounds):
        turn = chosen({n: usage[n] / table[n] for n in table}, [], cores)
        assert len(turn) == min(cores, len(table)) == len(set(turn))
        for name in turn:
            usage[name] += 1.0
    assert min(usage.values()) > 0
    if cores == 1:
        total = sum(table.values())
        for name, had in usage.items():
            assert had == pytest.approx(rounds * table[name] / total, abs=len(table) + 1)


@given(st.integers(1, 5), st.floats(0, 1e6), st.lists(st.floats(0, 1e6), min_size=1, max_size=6))
def test_one_that_joins_gets_no_more_than_a_turn_ahead(rounds: int, mine: float, others: list[float]) -> None:
    turns = {f"old {n}": value for n, value in enumerate(others)}
    turns["new"] = caught_up(mine, others)
    assert turns["new"] >= mine
    first = min(turns[n] for n in turns if n != "new")
    order = []
    for _ in range(rounds * 2):
        (name,) = chosen(turns, [], 1)
        order.append(name)
        turns[name] += 1.0
    if mine <= first:
        assert order.count("new") <= rounds + 1, "those that were there would starve"
        assert "new" in order


@given(st.lists(st.dictionaries(st.sampled_from("abcde"), st.integers(1, 100), min_size=1), min_size=1, max_size=6))
def test_cores_are_never_given_twice_and_kept_where_they_can_be(steps: list[dict[str, int]]) -> None:
    current: dict[str, set[int]] = {}
    for table in steps:
        counts = shares(list(table), table, 8)
        found = core_sets(counts, list(range(8)), current)
        assert {n: len(s) for n, s in found.items()} == counts
        assert sorted(c for s in found.values() for c in s) == list(range(8))
        for name in set(found) & set(current):
            assert len(found[name] & current[name]) == min(len(found[name]), len(current[name]))
        current = found


def test_those_whose_turn_is_not_over_stay() -> None:
    assert chosen({"a": 100.0, "b": 0.0, "c": 5.0}, ["a"], 2) == ["a", "b"]


def test_a_log_keeps_its_newest_bytes_and_its_writer(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    with log.open("ab", buffering=0) as writer:
        for number in range(7):
            writer.write(b"%d" % number * 1000)
            rotate(log, 999, 3)
            writer.write(b"tail")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["agent.log", "agent.log.1", "agent.log.2", "agent.log.3"]
    assert log.read_bytes() == b"tail"
    assert (tmp_path / "agent.log.1").read_bytes() == b"tail" + b"6" * 1000
    assert not rotate(log, 999, 3)


def test_beyond_its_disk_a_campaign_loses_scratch_of_finished_evaluations_alone(tmp_path: Path) -> None:
    jobs = tmp_path / "c" / "jobs"
    for number, key in enumerate(("a" * 64, "b" * 64, "c" * 64)):
        run = jobs / key[:2] / key / "run-1"
        run.mkdir(parents=True)
        (run / "wavefunctions").write_bytes(b"x" * 1_000_000)
        (run.parent / "request.json").write_text("{}")
        if key[0] != "c":
            (run.parent / "result.json").write_text("{}")
            os.utime(run.parent / "result.json", (number, number))
    settings = ServiceSettings(max_disk_gb=0.0025, min_free_gb=0.0)
    Housekeeper(tmp_path, settings, lambda _: None).step([tmp_path / "c"])
    assert not (jobs / "aa" / ("a" * 64) / "run-1").exists()
    assert (jobs / "bb" / ("b" * 64) / "run-1").exists()
    Housekeeper(tmp_path, settings.model_copy(update={"max_disk_gb": 0.0001}), lambda _: None).step([tmp_path / "c"])
    assert not (jobs / "bb" / ("b" * 64) / "run-1").exists()
    assert (jobs / "cc" / ("c" * 64) / "run-1" / "wavefunctions").exists(), "it is still being worked on"
    assert len(list(jobs.glob("??/*/request.json"))) == 3
    assert len(list(jobs.glob("??/*/result.json"))) == 2
    assert size_of(tmp_path) < 1_100_000


def test_the_unit_brings_the_service_back_and_leaves_jobs_alone(tmp_path: Path) -> None:
    path, commands = install_unit(tmp_path / "my campaigns", home=tmp_path, root_user=False)
    text = path.read_text()
    assert path == tmp_path / ".config/systemd/user/lodestone.service"
    assert "Restart=always" in text
    assert "KillMode=process" in text
    assert f'"{tmp_path}/my campaigns"' in text
    assert commands[1] == "systemctl --user enable --now lodestone.service"
    install_unit(tmp_path / "my campaigns", home=tmp_path, root_user=False)
    path.write_text("[Unit]\n")
    with pytest.raises(ConfigError, match="not a unit that Lodestone wrote"):
        install_unit(tmp_path, home=tmp_path, root_user=False)


def test_a_log_that_cannot_be_copied_moves_no_older_one(tmp_path: Path) -> None:
    log = tmp_path / "agent.log"
    log.write_bytes(b"new" * 1000)
    (tmp_path / "agent.log.1").write_bytes(b"old")
    (tmp_path / ".agent.log.tmp").mkdir()  # stands in for a disk that refuses the copy
    for _ in range(3):
        assert not rotate(log, 999, 3)
    assert (tmp_path / "agent.log.1").read_bytes() == b"old"
    assert log.read_bytes() == b"new" * 1000


def test_one_that_stays_beyond_its_disk_pauses_and_people_are_told_once(tmp_path: Path) -> None:
    big, small = tmp_path / "big", tmp_path / "small"
    for directory, size in ((big, 2_000_000), (small, 1000)):
        directory.mkdir()
        (directory / "ledger.sqlite").write_bytes(b"x" * size)
    events: list[ServiceEvent] = []
    house = Housekeeper(tmp_path, ServiceSettings(max_disk_gb=0.001, min_free_gb=0.0), events.append)
    for _ in range(3):
        house._next = 0.0
        house.step([big, small])
    assert "bound of 0.001 GB" in house.why_paused(big)
    assert house.why_paused(small) == ""
    (big / "ledger.sqlite").write_bytes(b"x" * 1000)
    house._next = 0.0
    house.step([big, small])
    assert house.why_paused(big) == ""
    assert [(e.kind, e.campaign) for e in events] == [("disk", "big"), ("resumed", "big")]


def test_odd_folder_names_are_quoted(tmp_path: Path) -> None:
    text = unit_text(tmp_path / 'a "b" 50% $HOME\\x', python="/opt/$x/python")
    (line,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    assert r"a \"b\" 50%% $$HOME\\x" in line
    assert line.startswith('ExecStart="/opt/$x/python" ')
    with pytest.raises(ConfigError, match="control characters"):
        unit_text(tmp_path / "a\nExecStartPre=touch b")


def test_the_unit_keeps_the_settings_file_and_the_path_of_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/opt/my codes/bin:/usr/bin")
    text = install_unit(Path("elsewhere/campaigns"), home=tmp_path, root_user=False)[0].read_text()
    assert f'"--config" "{tmp_path}/config.toml" "serve"' in text
    assert 'Environment="PATH=/opt/my codes/bin:/usr/bin"' in text
    assert f"EnvironmentFile=-{tmp_path}/elsewhere/campaigns/service.env" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("name", ["c", 'a "b" 50% $HOME\\x'])
def test_systemd_accepts_the_unit(tmp_path: Path, name: str) -> None:
    root = tmp_path / name / "campaigns"
    root.mkdir(parents=True)
    unit = tmp_path / "lodestone.service"
    unit.write_text(unit_text(root, config=tmp_path / name / "config.toml", path=os.environ["PATH"]))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert "lodestone.service" not in done.stderr, done.stderr
